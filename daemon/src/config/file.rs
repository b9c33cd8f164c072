//! The configuration file: from bytes to named values, each with its line.
//!
//! Owns:  reading the file, TOML syntax errors, unknown keys and sections.
//! Never: reads a value into its typed field, quotes a line that may hold a secret.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::errors::{ConfigError, ConfigErrors, Place};
use super::names::{self, Found};
use super::overlay::{Overlay, Written};

/// Largest file: a full one has 10 KB, so a megabyte is another file given by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file as text.
///
/// # Errors
/// If there is none, it is no regular file, too large, or not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ConfigError::NoFile { path: path.to_owned() },
        _ => ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        ConfigError::NotUtf8 { place: place(path, &before, before.len()) }
    })
}

/// Puts every value of a file's text over what is there, and notes what has no meaning.
pub(crate) fn overlay(path: &Path, text: &str, overlay: &mut Overlay, errors: &mut ConfigErrors) {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return errors.push(syntax_error(path, text, &error)),
    };
    Walk { path, text, overlay, errors }.table(document.get_ref(), &mut Vec::new());
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    overlay: &'a mut Overlay,
    errors: &'a mut ConfigErrors,
}

impl<'a> Walk<'a> {
    /// Depth is bounded by the options' names: below an option or an unknown name nothing is walked.
    fn table<'t>(&mut self, table: &'t DeTable<'t>, name: &mut Vec<&'t str>) {
        let mut entries: Vec<_> = table.iter().collect();
        // In the file's order, so that problems are listed from top to bottom.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            name.push(key.get_ref());
            self.entry(key.span(), value, name);
            name.pop();
        }
    }

    fn entry<'t>(&mut self, key: Range<usize>, value: &'t Spanned<DeValue<'t>>, name: &mut Vec<&'t str>) {
        match (names::find(name), value.get_ref()) {
            (Found::Option(opt, free), _) => {
                let place = self.place(value.span().start);
                let written =
                    Written { opt, free: free.map(str::to_owned), value: owned(value.get_ref()), place };
                self.overlay.put(written, self.errors);
            }
            (Found::Section, DeValue::Table(table)) => self.table(table, name),
            (Found::Section, _) => {
                let problem = ConfigError::BadValue {
                    place: self.place(key.start),
                    key: names::dotted(name),
                    message: "is a section, not an option".into(),
                    hint: Some(format!("write [{}] and its options below", names::dotted(name))),
                };
                self.errors.push(problem);
            }
            (Found::Nothing, value) => {
                let what = if value.is_table() { "section" } else { "key" };
                let hint = names::hint_for_key(name);
                let place = self.place(key.start);
                self.errors.push(ConfigError::UnknownKey { place, what, key: names::dotted(name), hint });
            }
        }
    }

    fn place(&self, offset: usize) -> Place {
        place(self.path, self.text, offset)
    }
}

/// Line and column of a byte.
fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(start..).unwrap_or_default().chars().count().saturating_add(1);
    Place::File { path: PathBuf::from(path), line, column }
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let message = if may_hold_secret(text, offset) { error.message().to_owned() } else { error.to_string() };
    ConfigError::Syntax { place: place(path, text, offset), message }
}

/// Whether the line of a syntax error, or one that it may continue, belongs to headers: those are not quoted.
fn may_hold_secret(text: &str, offset: usize) -> bool {
    let line_end = text.get(offset..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| offset + end);
    let until = text.get(..line_end).unwrap_or(text);
    // From the last line that opens a section on: a value may go on over several lines.
    let section = until.rfind("\n[").unwrap_or(0);
    until.get(section..).unwrap_or(until).to_lowercase().contains("headers")
}

/// The value without its place. Numbers that TOML can write but nothing here can hold stay text.
fn owned(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or(Value::String(digits), Value::Integer)
        }
        DeValue::Float(number) => {
            let digits = number.as_str().replace('_', "");
            digits.parse().map_or(Value::String(digits), Value::Float)
        }
        DeValue::Boolean(switch) => Value::Boolean(*switch),
        DeValue::Datetime(date) => Value::Datetime(*date),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| owned(item.get_ref())).collect()),
        DeValue::Table(table) => {
            let pairs =
                table.iter().map(|(key, value)| (key.get_ref().clone().into_owned(), owned(value.get_ref())));
            Value::Table(pairs.collect())
        }
    }
}

/// Reads a default, which the option table writes as TOML.
pub(crate) fn value_of_preset(text: &str) -> Option<Value> {
    DeValue::parse(text).ok().map(|value| owned(value.get_ref()))
}
