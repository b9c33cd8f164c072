//! What a reload changes: the configuration in force beside the one that was just read.
//!
//! Owns:  which options differ, and which of them have to wait for a restart.
//! Never: reads files, puts anything into use.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;

use super::given::Given;
use super::table::Takes;
use super::{Config, Effective, Loaded, Origin, Place, Setting};

/// Options that differ, by their full names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In force from now on.
    pub changed: Vec<String>,
    /// As before until the next start.
    pub needs_restart: Vec<String>,
}

/// Puts what was read in the place of what is in force, except where a restart is needed: there the old value
/// stays, and is named again by each reload until then.
#[must_use]
pub fn merge(running: &Loaded, read: Loaded) -> (Loaded, Changes) {
    let names = differing(running, &read);
    // The options of a transport that is not the running one's say nothing about that one.
    let other_transport = names.contains("transport.kind");
    let waits = |name: &str| {
        let setting = read.origins.0.get(name).or_else(|| running.origins.0.get(name));
        setting.is_some_and(|setting| setting.opt.takes == Takes::Restart)
            || (other_transport && name.starts_with("transport."))
    };
    let (needs_restart, changed): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| waits(name));
    let mut merged = read;
    if other_transport {
        merged.config.transport = running.config.transport.clone();
    }
    for name in &needs_restart {
        keep(running, &mut merged, name);
    }
    (merged, Changes { changed, needs_restart })
}

/// Leaves an option as it is in force.
fn keep(running: &Loaded, merged: &mut Loaded, name: &str) {
    let Some(setting) = running.origins.0.get(name) else {
        merged.origins.0.remove(name);
        return;
    };
    merged.origins.0.insert(name.to_owned(), setting.clone());
    let base = match &setting.origin {
        Origin::Written(Place::File { path, .. }) => path.parent(),
        _ => None,
    };
    if let (Takes::Restart, Effective::Shown(value)) = (setting.opt.takes, &setting.value) {
        let given = Given { name: setting.free.as_deref(), value, base, credentials: None };
        // It was read without a problem before.
        let kept = (setting.opt.set)(&mut merged.config, &given);
        debug_assert!(kept.is_ok(), "the value of {name} does not fit any more: {kept:?}");
    }
}

/// Names of the options that are not as they were.
fn differing(old: &Loaded, new: &Loaded) -> BTreeSet<String> {
    let names = old.origins.0.keys().chain(new.origins.0.keys());
    let differs = |name: &&String| match (old.origins.0.get(*name), new.origins.0.get(*name)) {
        (Some(was), Some(is)) => {
            was.value != is.value || secret_of(&old.config, was) != secret_of(&new.config, is)
        }
        _ => true,
    };
    names.filter(differs).cloned().collect()
}

/// What stands behind an option that is shown only as being set, or that names a file.
fn secret_of(config: &Config, setting: &Setting) -> Option<String> {
    let free = setting.free.as_deref();
    if setting.value == Effective::Hidden {
        let header = config.transport.http.headers.get(&free?.to_ascii_lowercase())?;
        return Some(header.expose_secret().to_owned());
    }
    if setting.opt.key == "secret_key_file" {
        let tim = &config.transport.tim;
        let account = free.map_or(Some(&tim.default), |name| tim.accounts.get(name))?;
        return account.secret_key_file.as_ref()?.content_text();
    }
    None
}
