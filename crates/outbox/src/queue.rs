//! The queue of verbs before the writer, and the tickets of those who wait for an answer.
//!
//! Owns:  the order of verbs, what waits and what is refused while the store has no room.
//! Never: carries a verb out.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::limits::QUEUE_VERBS_MAX;
use crate::rewrite::Compacted;
use crate::shared::Shared;
use crate::spool::Spool;
use crate::tx::Tx;
use crate::writer::commit_by_hand;

/// Tells a caller how its group ended.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// One verb: reads and writes through the transaction; its answer goes out after the commit. One that is dropped is refused
/// ([`Caller`]).
pub(crate) type Verb = Box<dyn FnOnce(&mut Tx<'_>, &Spool) -> Answer + Send>;

/// Who waits for the answer of a verb. Dropped without one, it hears why the store takes none at this moment: later there may
/// be no reason any more.
pub(crate) struct Caller<T> {
    sender: Option<oneshot::Sender<Result<T>>>,
    /// The queue must not keep the store alive that it belongs to.
    shared: Weak<Shared>,
}

impl<T> Caller<T> {
    /// A caller, and where it waits.
    pub(crate) fn new(shared: &Arc<Shared>) -> (Self, Ticket<T>) {
        let (sender, receiver) = oneshot::channel();
        let caller = Self { sender: Some(sender), shared: Arc::downgrade(shared) };
        (caller, Ticket(Ok(receiver), Arc::clone(shared)))
    }

    /// The store, while there is one.
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }

    pub(crate) fn answer(mut self, answer: Result<T>) {
        self.tell(answer);
    }

    fn tell(&mut self, answer: Result<T>) {
        if let Some(sender) = self.sender.take() {
            // Nobody may be waiting any more: then nobody misses the answer.
            let _ = sender.send(answer);
        }
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.tell(Err(self.shared().map_or(Error::Closed, |shared| gone(&shared))));
        }
    }
}

/// What becomes of a verb while the store has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is refused: whoever asked can ask again.
    Request,
    /// It is refused, but not once it was carried out: what it gave away must reach the one who asked.
    Lease,
    /// It waits: what has happened cannot be asked for again.
    Outcome,
    /// It is refused: what is due by itself is due again.
    Chore,
}

impl Kind {
    /// Whether whoever asked can ask again.
    pub(crate) const fn can_be_asked_again(self) -> bool {
        matches!(self, Self::Request | Self::Chore)
    }

    /// Whether nothing goes on without it: where it meets what cannot be read, the store has failed.
    pub(crate) const fn is_vital(self) -> bool {
        !matches!(self, Self::Request)
    }
}

pub(crate) enum Job {
    Verb(Verb, Kind),
    Compact(Caller<Compacted>),
    Stop,
}

/// A verb that was carried out, until its group is durable.
pub(crate) struct Waiting {
    pub(crate) kind: Kind,
    pub(crate) answer: Answer,
}

/// The other end of the queue.
pub(crate) struct Queue {
    jobs: Receiver<Job>,
    /// Outcomes that came while the store had no room; they come first.
    waiting: VecDeque<Verb>,
}

impl Queue {
    pub(crate) const fn of(jobs: Receiver<Job>) -> Self {
        Self { jobs, waiting: VecDeque::new() }
    }

    pub(crate) fn try_next(&mut self) -> std::result::Result<Job, TryRecvError> {
        match self.waiting.pop_front() {
            Some(verb) => Ok(Job::Verb(verb, Kind::Outcome)),
            None => self.jobs.try_recv(),
        }
    }

    pub(crate) fn next(&mut self, wait: Option<Duration>) -> std::result::Result<Job, RecvTimeoutError> {
        if let Some(verb) = self.waiting.pop_front() {
            return Ok(Job::Verb(verb, Kind::Outcome));
        }
        match wait {
            Some(wait) => self.jobs.recv_timeout(wait),
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// What comes while the store has no room: outcomes wait, as many as may be queued; everything else is refused. Tells
    /// whether a stop was asked for.
    pub(crate) fn hold(&mut self, wait: Duration) -> bool {
        match self.jobs.recv_timeout(wait) {
            Ok(Job::Verb(verb, Kind::Outcome)) if self.waiting.len() < QUEUE_VERBS_MAX => {
                self.waiting.push_back(verb);
            }
            // Dropped, and so refused with the store's failure.
            Ok(Job::Verb(..) | Job::Compact(_)) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
        }
        false
    }
}

/// The answer of a verb, once it is durable: wait for it, or await it. No runtime is needed for either.
#[must_use = "the verb is carried out either way, but only the answer tells whether it succeeded"]
pub struct Ticket<T>(std::result::Result<oneshot::Receiver<Result<T>>, Error>, Arc<Shared>);

impl<T> Ticket<T> {
    /// A verb that was refused before it reached the writer.
    pub(crate) fn refused(error: Error, shared: &Arc<Shared>) -> Self {
        Self(Err(error), Arc::clone(shared))
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// The verb's own, or [`Error::Unhealthy`] when the store failed under it.
    pub fn wait(self) -> Result<T> {
        let Self(receiver, shared) = self;
        let receiver = receiver?;
        // By hand nobody else would: whoever waits commits what stands before its verb, and the verb.
        while !receiver.has_message() && commit_by_hand(&shared) {}
        receiver.recv().unwrap_or_else(|_| Err(gone(&shared)))
    }
}

/// The writer ended without an answer.
pub(crate) fn gone(shared: &Shared) -> Error {
    shared.failure().unwrap_or(Error::Closed)
}

impl<T: Send + 'static> IntoFuture for Ticket<T> {
    type Output = Result<T>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self(receiver, shared) = self;
        Box::pin(async move { receiver?.await.unwrap_or_else(|_| Err(gone(&shared))) })
    }
}
