//! The client of one connection.
//!
//! Owns:  its role, and the leases in the last answer to it.
//! Never: reads credentials.

use std::sync::{Arc, Mutex, PoisonError};

use outbox::LeaseId;

use super::Role;

/// A client; clones are the same one.
#[derive(Clone)]
pub(super) struct Peer {
    role: Option<Role>,
    /// Leases in the answer that was written last. The next request proves that it arrived.
    unheard: Arc<Mutex<Vec<LeaseId>>>,
}

impl Peer {
    pub(super) fn new(role: Option<Role>) -> Self {
        Self { role, unheard: Arc::default() }
    }

    /// What it may do; `None` for nothing at all.
    pub(super) const fn role(&self) -> Option<Role> {
        self.role
    }

    /// Remembers the leases of an answer that is about to be written.
    pub(super) fn note_leases(&self, leases: Vec<LeaseId>) {
        *self.unheard.lock().unwrap_or_else(PoisonError::into_inner) = leases;
    }

    /// The leases of which it is not certain that the client has them.
    pub(super) fn take_unheard_leases(&self) -> Vec<LeaseId> {
        std::mem::take(&mut *self.unheard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
