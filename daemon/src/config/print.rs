//! The configuration as text: the file of all defaults, and `print-config`.
//!
//! Owns:  layout of both, and that a secret shows only as being set.
//! Never: decides a value.

use std::fmt::Write as _;

use serde_json::json;
use toml::Value;

use super::errors::Place;
use super::table::{OPTIONS, Opt, Preset, Takes};
use super::{Effective, Loaded, Origin, Setting};

/// Columns of a comment line.
const COLUMNS: usize = 100;

const HEAD: &str = "Configuration of outboxd. Every option stands here at its default; one that begins with # has no default, or one \
that follows from others. Stronger than this file are flags and the environment: OUTBOXD_SECTION__KEY, for example \
OUTBOXD_TRANSPORT__HTTP__URL.

Durations: a whole number and ms, s, m, h or d, at least 10ms. Sizes: a whole number and KiB, MiB, GiB or TiB, or plain \
bytes. Relative paths start at this file's directory.

A change counts from outboxctl reload (or HUP) on, except where a restart is named. outboxd check-config FILE checks a file; outboxd print-config shows what is in effect and where it came from.";

/// Returns the text of a configuration file that has every option at its default, with its documentation.
#[must_use]
pub fn default_file_text() -> String {
    let mut text = String::new();
    comment(&mut text, HEAD);
    let mut section = "";
    for opt in OPTIONS.iter() {
        text.push('\n');
        if opt.section != section {
            section = opt.section;
            heading(&mut text, section);
        }
        option(&mut text, opt);
    }
    text
}

fn heading(text: &mut String, section: &str) {
    let mark = if section.contains('*') { "#" } else { "" };
    push_line(text, &format!("{mark}[{}]", section.replace('*', "NAME")));
}

fn option(text: &mut String, opt: &Opt) {
    comment(text, &doc_of(opt));
    let line =
        |value: &str| if opt.key.contains('*') { value.to_owned() } else { format!("{} = {value}", opt.key) };
    match opt.preset {
        Preset::Value(value) => push_line(text, &line(value)),
        Preset::Example(value) => push_line(text, &format!("#{}", line(value))),
    }
}

fn doc_of(opt: &Opt) -> String {
    let mut doc = opt.doc.to_owned();
    if let super::given::Kind::Words(words) = opt.kind {
        let quoted: Vec<String> = words().iter().map(|word| format!("\"{word}\"")).collect();
        doc += &format!(" One of {}.", quoted.join(", "));
    }
    if opt.takes == Takes::Restart {
        doc += " A change needs a restart.";
    }
    doc
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Adds a comment, wrapped between words.
fn comment(text: &mut String, sentences: &str) {
    for paragraph in sentences.split('\n') {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > COLUMNS {
                push_line(text, &line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        push_line(text, &line);
    }
}

/// Returns every effective value and where it came from, for people: TOML, except that a secret is a comment.
#[must_use]
pub fn effective_text(loaded: &Loaded) -> String {
    let mut text = String::new();
    match &loaded.file {
        Some(path) => push_line(&mut text, &format!("# file: {}", path.display())),
        None => push_line(&mut text, "# no file"),
    }
    let mut section = String::new();
    for (_, setting) in in_table_order(loaded) {
        let own_section = concrete(setting.opt.section, setting);
        if own_section != section {
            section = own_section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let key = concrete(setting.opt.key, setting);
        let left = match &setting.value {
            Effective::Shown(value) => format!("{key} = {value}"),
            Effective::Hidden => format!("# {key}: set (hidden)"),
            Effective::Unset => format!("# {key}: not set"),
        };
        push_line(&mut text, &format!("{left:<44} # {}", origin_text(&setting.origin)));
    }
    text
}

/// Returns the same for programs.
#[must_use]
pub fn effective_json(loaded: &Loaded) -> serde_json::Value {
    let settings: Vec<_> =
        in_table_order(loaded).map(|(name, setting)| setting_json(name, setting)).collect();
    json!({ "file": loaded.file.as_ref().map(|path| path.to_string_lossy()), "settings": settings })
}

/// Settings in the order of the option table; those of one named section together.
fn in_table_order(loaded: &Loaded) -> impl Iterator<Item = (&str, &Setting)> {
    let mut settings: Vec<_> = loaded.origins.iter().collect();
    settings.sort_by_cached_key(|(name, setting)| {
        let section = OPTIONS.iter().position(|opt| opt.section == setting.opt.section);
        let own =
            OPTIONS.iter().position(|opt| (opt.section, opt.key) == (setting.opt.section, setting.opt.key));
        let group = if setting.opt.section.contains('*') { setting.free.clone() } else { None };
        (section, group, own, (*name).to_owned())
    });
    settings.into_iter()
}

/// A section or key with what stands for its `*`.
fn concrete(pattern: &str, setting: &Setting) -> String {
    pattern.replace('*', &super::names::dotted(&[setting.free.as_deref().unwrap_or("*")]))
}

fn setting_json(name: &str, setting: &Setting) -> serde_json::Value {
    let origin = match &setting.origin {
        Origin::Written(Place::File { path, line, column }) => {
            json!({ "kind": "file", "path": path.to_string_lossy(), "line": line, "column": column })
        }
        Origin::Written(Place::Environment(variable)) => json!({ "kind": "environment", "name": variable }),
        Origin::Written(Place::Flag(flag)) => json!({ "kind": "flag", "name": flag }),
        Origin::Written(Place::Default) => json!({ "kind": "default" }),
        Origin::Follows(other) => json!({ "kind": "follows", "key": other }),
    };
    match &setting.value {
        Effective::Shown(value) => json!({ "key": name, "value": as_json(value), "origin": origin }),
        Effective::Hidden => {
            json!({ "key": name, "value": "set (hidden)", "hidden": true, "origin": origin })
        }
        Effective::Unset => json!({ "key": name, "value": null, "origin": origin }),
    }
}

fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Boolean(switch) => json!(switch),
        Value::Datetime(date) => json!(date.to_string()),
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), as_json(value))).collect(),
    }
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Written(Place::File { path, line, .. }) => format!("file {}:{line}", path.display()),
        Origin::Written(Place::Environment(variable)) => format!("environment {variable}"),
        Origin::Written(Place::Flag(flag)) => format!("flag {flag}"),
        Origin::Written(Place::Default) => "default".to_owned(),
        Origin::Follows(other) => format!("follows {other}"),
    }
}
