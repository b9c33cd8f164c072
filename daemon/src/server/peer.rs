//! The client of one connection.
//!
//! Owns:  its role, whether it is still there, how far the answer to it has got, and the leases in that answer.
//! Never: reads credentials, reads or writes the socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use outbox::LeaseId;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Role;
use super::problem::{Answer, hung_up};

/// A client; clones are the same one.
#[derive(Clone)]
pub(super) struct Peer {
    role: Option<Role>,
    line: Weak<OwnedFd>,
    state: Arc<Mutex<State>>,
}

/// The socket once more, for its end alone: whoever reads and writes it hears of that only by doing so. It is kept by
/// whoever serves the connection, for a connection that is open anywhere is open to the client.
pub(super) struct Line(Arc<OwnedFd>);

impl Line {
    pub(super) fn of(stream: &impl AsFd) -> io::Result<Self> {
        Ok(Self(Arc::new(stream.as_fd().try_clone_to_owned()?)))
    }
}

#[derive(Default)]
struct State {
    answer: Progress,
    /// An answer was written in full, so the client knows whom it talks to.
    answered: bool,
    /// The answer is a stream that has no end by itself.
    has_stream: bool,
    /// The present request is answered and not all of its body was read.
    has_more_to_send: bool,
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
    pub(super) fn new(role: Option<Role>, line: &Line) -> Self {
        Self { role, line: Arc::downgrade(&line.0), state: Arc::default() }
    }

    /// One without a connection.
    pub(super) fn without_line(role: Option<Role>) -> Self {
        Self { role, line: Weak::new(), state: Arc::default() }
    }

    /// Waits for what a call waits for, as long as the client does: one that has gone would keep its connection from
    /// others. One that only sends nothing more still waits.
    pub(super) async fn as_long_as_there<T>(&self, what: impl Future<Output = T>) -> Answer<T> {
        tokio::select! {
            come = what => Ok(come),
            () = self.gone() => Err(hung_up()),
        }
    }

    /// Returns once the client has closed the connection; never if that cannot be known.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let line = self.line.clone();
        async move {
            let Some(line) = line.upgrade().and_then(|line| line.try_clone().ok()) else {
                return std::future::pending().await;
            };
            let Ok(line) = UnixStream::from_std(line.into()) else { return std::future::pending().await };
            while let Ok(ready) = line.ready(Interest::WRITABLE).await {
                if ready.is_write_closed() {
                    return;
                }
                // That there is room to write is no news; this is how to say that there is none, and wait for the next.
                let none = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
                let _ = line.try_io(Interest::WRITABLE, none);
            }
        }
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
        let mut state = self.state();
        state.answer = Progress::Begun;
        state.has_more_to_send = false;
    }

    /// Nobody reads on in the request's body, whether that was all of it or not.
    pub(super) fn note_body(&self, was_read_whole: bool) {
        self.state().has_more_to_send = !was_read_whole;
    }

    /// Whether the last request was answered before all of its body was read.
    pub(super) fn has_more_to_send(&self) -> bool {
        self.state().has_more_to_send
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
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_gone_once_it_has_closed_and_not_when_it_only_sends_nothing_more() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let line = Line::of(&ours).unwrap();
        let peer = Peer::new(None, &line);
        theirs.shutdown().await.unwrap();
        let wait = |seconds| {
            timeout(Duration::from_secs(seconds), peer.as_long_as_there(std::future::pending::<()>()))
        };
        assert!(wait(1).await.is_err(), "it still waits for its answer");
        let close = async { drop(theirs) };
        let (heard, ()) = tokio::join!(wait(3600), close);
        assert!(heard.expect("it is heard").is_err());
        let come = peer.as_long_as_there(std::future::pending::<()>());
        assert!(timeout(Duration::from_secs(3600), come).await.expect("also afterwards").is_err());
        drop(line);
        assert!(wait(1).await.is_err(), "nobody keeps the connection open to see its end");
    }

    #[test]
    fn leases_are_heard_only_by_a_flush_after_their_whole_answer_was_made() {
        let lease = || vec!["1-1-0000000000000000-6d".parse().unwrap()];
        let peer = Peer::without_line(None);
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
