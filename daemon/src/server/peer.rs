//! The client of one connection.
//!
//! Owns:  its role, how far the answer to it has got, and the leases in that answer.
//! Never: reads credentials, touches the socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox::LeaseId;

use super::Role;

/// A client; clones are the same one.
#[derive(Clone)]
pub(super) struct Peer {
    role: Option<Role>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answer: Progress,
    /// An answer was written in full, so the client knows whom it talks to.
    answered: bool,
    /// The answer is a stream that has no end by itself.
    has_stream: bool,
    /// Leases in an answer that was not written in full yet.
    unheard: Vec<LeaseId>,
}

/// How far the answer to the present request has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// No request was taken up since the last answer.
    #[default]
    None,
    /// A call works on it.
    Begun,
    /// The HTTP layer has all of it; the next flush that ends leaves nothing behind.
    Made,
}

impl Peer {
    pub(super) fn new(role: Option<Role>) -> Self {
        Self { role, state: Arc::default() }
    }

    /// What it may do; `None` for nothing at all.
    pub(super) const fn role(&self) -> Option<Role> {
        self.role
    }

    /// Remembers that the answer is a stream that has no end by itself.
    pub(super) fn note_stream(&self) {
        self.state().has_stream = true;
    }

    /// Whether the answer under way is such a stream.
    pub(super) fn has_stream(&self) -> bool {
        self.state().has_stream
    }

    /// Remembers the leases of an answer that is about to be written.
    pub(super) fn note_leases(&self, leases: Vec<LeaseId>) {
        self.state().unheard.extend(leases);
    }

    /// The leases that could not be written to the client.
    pub(super) fn take_unheard_leases(&self) -> Vec<LeaseId> {
        std::mem::take(&mut self.state().unheard)
    }

    /// A request was taken up.
    pub(super) fn begin_answer(&self) {
        self.state().answer = Progress::Begun;
    }

    /// The whole answer was handed to the HTTP layer.
    pub(super) fn answer_made(&self) {
        self.state().answer = Progress::Made;
    }

    /// Everything that the HTTP layer had is in the socket.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.answer == Progress::Made {
            state.answer = Progress::None;
            state.answered = true;
            state.unheard.clear();
            state.has_stream = false;
        }
    }

    /// Whether a request was taken up whose answer was not written in full.
    pub(super) fn is_being_answered(&self) -> bool {
        self.state().answer != Progress::None
    }

    /// Whether any answer was written in full.
    pub(super) fn was_answered(&self) -> bool {
        self.state().answered
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_heard_only_by_a_flush_after_their_whole_answer_was_made() {
        let lease = || vec!["1-1-0000000000000000-6d".parse().unwrap()];
        let peer = Peer::new(None);
        peer.begin_answer();
        peer.note_leases(lease());
        peer.flushed();
        assert!(peer.is_being_answered() && !peer.was_answered());
        assert_eq!(peer.take_unheard_leases().len(), 1, "the answer was under way");
        peer.note_leases(lease());
        peer.answer_made();
        peer.flushed();
        assert!(!peer.is_being_answered() && peer.was_answered());
        assert_eq!(peer.take_unheard_leases(), []);
    }
}
