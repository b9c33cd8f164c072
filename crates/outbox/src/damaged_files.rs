//! Files of payloads and replacements that were met and could not be read: damaged ones, and those that the system does not read now.
//!
//! Owns:  which they are, and whose.
//! Never: touches a file. A message whose payload is damaged is set aside when its turn comes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::DAMAGED_FILES_MAX;

/// Those that are known, by their names, with the msgIDs that they belong to.
#[derive(Default)]
pub(crate) struct DamagedFiles {
    known: Mutex<BTreeMap<[u8; 16], String>>,
}

impl DamagedFiles {
    fn known(&self) -> MutexGuard<'_, BTreeMap<[u8; 16], String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One was met.
    pub(crate) fn note(&self, name: [u8; 16], msg_id: &str) {
        let mut known = self.known();
        if known.len() < DAMAGED_FILES_MAX {
            known.insert(name, msg_id.to_owned());
        }
    }

    /// It could be read, or nothing names it any more.
    pub(crate) fn forget(&self, name: [u8; 16]) {
        self.known().remove(&name);
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.known().len()
    }

    /// Whose they are.
    pub(crate) fn msg_ids(&self) -> Vec<String> {
        self.known().values().cloned().collect()
    }
}
