//! What was written for each option, the strongest source winning: default, file, environment, flag.
//!
//! Owns:  precedence, and the one name under which each option is kept.
//! Never: reads values.

use std::collections::BTreeMap;

use toml::Value;

use super::errors::{ConfigError, ConfigErrors, Place};
use super::names;
use super::sources::Sources;
use super::table::Opt;

/// One value as it was written.
pub(crate) struct Written {
    pub(crate) opt: &'static Opt,
    /// What stands for `*` in the option's name.
    pub(crate) free: Option<String>,
    pub(crate) value: Value,
    pub(crate) place: Place,
}

impl Written {
    /// The full name: sections and key, with what stands for `*`.
    pub(crate) fn name(&self) -> Vec<&str> {
        let free = self.free.as_deref();
        self.opt
            .segments()
            .map(|segment| if segment == "*" { free.unwrap_or(segment) } else { segment })
            .collect()
    }
}

/// All values that somebody wrote, by full name.
#[derive(Default)]
pub(crate) struct Overlay(BTreeMap<String, Written>);

impl Overlay {
    /// Takes a value over one of a weaker source. Two of the same file under one name are an error.
    pub(crate) fn put(&mut self, mut written: Written, errors: &mut ConfigErrors) {
        written.free = written.free.map(|free| one_spelling(written.opt, free, &written.place));
        let name = names::dotted(&written.name());
        let place = written.place.clone();
        let before = self.0.insert(name.clone(), written);
        if let (Some(Written { place: Place::File { line, .. }, .. }), Place::File { .. }) = (before, &place)
        {
            let message = format!("stands here a second time; the first is in line {line}");
            errors.push(ConfigError::BadValue { place, key: name, message, hint: None });
        }
    }

    /// Takes the variables of the environment.
    pub(crate) fn put_environment(&mut self, sources: &Sources, errors: &mut ConfigErrors) {
        for (variable, text) in sources.environment.options() {
            let place = Place::Environment(variable.clone());
            let Some((opt, free)) = names::find_variable(&variable) else {
                let hint = names::hint_for_variable(&variable);
                errors.push(ConfigError::UnknownKey {
                    place,
                    what: "environment variable",
                    key: variable,
                    hint,
                });
                continue;
            };
            let Some(text) = text else {
                let message = "is not UTF-8 text".into();
                errors.push(ConfigError::BadValue { place, key: variable, message, hint: None });
                continue;
            };
            let free = free.map(str::to_owned);
            self.put(Written { opt, free, value: opt.kind.value_of(text), place }, errors);
        }
    }

    /// Takes the flags of the command line.
    pub(crate) fn put_flags(&mut self, sources: &Sources, errors: &mut ConfigErrors) {
        for (name, flag, text) in sources.flags.given() {
            if let names::Found::Option(opt, _) = names::find(&name) {
                let value = opt.kind.value_of(text);
                self.put(Written { opt, free: None, value, place: Place::Flag(flag) }, errors);
            }
        }
    }

    /// Where an option was written; `None`: nowhere.
    pub(crate) fn place_of(&self, name: &str) -> Option<&Place> {
        self.0.get(name).map(|written| &written.place)
    }

    /// Everything that was written, by name; what stands in the file in its lines' order, so that problems are listed
    /// from top to bottom.
    pub(crate) fn in_written_order(&self) -> impl Iterator<Item = (&str, &Written)> {
        let mut all: Vec<_> = self.0.iter().map(|(name, written)| (name.as_str(), written)).collect();
        all.sort_by_key(|(_, written)| match &written.place {
            Place::File { line, column, .. } => (*line, *column),
            _ => (usize::MAX, 0),
        });
        all.into_iter()
    }
}

/// One spelling for names that mean the same: header names in lower case, and with `-` for the `_` that shells allow in
/// a variable.
fn one_spelling(opt: &Opt, free: String, place: &Place) -> String {
    match (opt.key, place) {
        ("headers.*", Place::Environment(_)) => free.to_lowercase().replace('_', "-"),
        ("headers.*", _) => free.to_lowercase(),
        ("*", _) => free.parse::<i64>().map_or(free, |code| code.to_string()),
        _ => free,
    }
}
