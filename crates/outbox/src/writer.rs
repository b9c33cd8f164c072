//! The writer: one thread changes the store; what has gathered is committed as one group. A simulation does
//! without the thread and commits by hand, with the same code.
//!
//! Owns:  the thread, and what it does when: groups, mending, the seal, a rewrite, the stop.
//! Never: goes on after a failed flush or sync (`stuck.rs` opens the store again where there was no room).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Committer;
use crate::drive::panic_text;
use crate::error::{Error, Result};
use crate::group::{is_as_it_was, one_group, read_counters, run_group};
use crate::limits::{
    CHECKPOINT_BYTES_MIN, OPEN_ROOM_BYTES, QUEUE_VERBS_MAX, REWRITE_AFTER_IDLE, SEAL_AFTER_IDLE,
};
use crate::mend::mend;
use crate::notice::Notices;
use crate::queue::{Answer, Caller, Job, Kind, Queue, Ticket, Verb, gone};
use crate::rewrite::{Compacted, Rewriter};
use crate::seal::Sealer;
use crate::shared::Shared;
use crate::spool::Spool;
use crate::stuck::Stuck;
use crate::tx::Tx;
use crate::{crash, quarantine};

/// The way to it: the queue's near end.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Who commits, and what is known from one group to the next.
pub(crate) struct Committing {
    queue: Queue,
    /// What the drive had no room for.
    stuck: Option<Stuck>,
    sealer: Sealer,
    /// For damage that was met.
    has_asked_for_check: bool,
    /// Records that had been set aside when it was last looked at; `None` where nobody has looked.
    quarantined: Option<u64>,
    /// Verbs of the last group: as many callers are about to come again.
    last_verbs: usize,
    rewriter: Rewriter,
    /// The observer knows that the store takes no changes.
    has_failed: bool,
}

impl Writer {
    /// Puts right what the open found, then starts the thread, if there is to be one.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_VERBS_MAX);
        let mut committing = Committing {
            queue: Queue::of(queue),
            stuck: None,
            sealer: Sealer::new(shared),
            has_asked_for_check: false,
            quarantined: None,
            last_verbs: 1,
            rewriter: Rewriter::default(),
            has_failed: false,
        };
        committing.put_right(shared);
        let thread = match &shared.committer {
            Committer::Thread => {
                let shared = Arc::clone(shared);
                let thread = std::thread::Builder::new().name("outbox-writer".into());
                Some(thread.spawn(move || committing.run(&shared))?)
            }
            Committer::ByHand { .. } => {
                *shared.by_hand() = Some(committing);
                None
            }
        };
        Ok(Self { jobs, thread: Mutex::new(thread) })
    }

    /// Queues a verb; refuses it where the store takes no changes. Blocks while the queue is full.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        kind: Kind,
        name: &'static str,
        verb: impl FnOnce(&mut Tx<'_>, &Spool) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        if let Some(error) = shared.failure()
            && (kind != Kind::Outcome || !shared.is_stuck())
        {
            return Ticket::refused(error, shared);
        }
        let (caller, ticket) = Caller::new(shared);
        let verb = Box::new(move |tx: &mut Tx<'_>, spool: &Spool| -> Answer {
            tx.begin();
            let answer = verb(tx, spool);
            if let Err(error) = &answer {
                tx.roll_back();
                if let (Error::Unreadable { .. }, true, Some(shared)) =
                    (error, kind.is_vital(), caller.shared())
                {
                    shared.fail(format!("{error}; the next start makes it anew of the rest"));
                }
            }
            crash::before(name);
            Box::new(move |committed: Result<()>| {
                crash::after(name);
                caller.answer(committed.and(answer));
            })
        });
        if self.jobs.send(Job::Verb(verb, kind)).is_err() {
            return Ticket::refused(gone(shared), shared);
        }
        if let Committer::ByHand { queued } = &shared.committer {
            queued();
        }
        ticket
    }

    /// Queues a rewrite of the store.
    pub(crate) fn compact(&self, shared: &Arc<Shared>) -> Ticket<Compacted> {
        let (caller, ticket) = Caller::new(shared);
        if self.jobs.send(Job::Compact(caller)).is_err() {
            return Ticket::refused(gone(shared), shared);
        }
        if let Committer::ByHand { queued } = &shared.committer {
            queued();
        }
        ticket
    }

    /// Carries out what is queued, closes the spool in order, and waits for that.
    pub(crate) fn stop(&self, shared: &Shared) {
        let _ = self.jobs.send(Job::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let by_hand = shared.by_hand().take();
        if let Some(committing) = by_hand {
            committing.run(shared);
        }
    }
}

impl Committing {
    /// Commits until a stop is asked for, then closes the spool in order.
    fn run(mut self, shared: &Shared) {
        loop {
            // Also of what an idle moment met.
            self.tell_health(shared);
            if self.stuck.is_some() {
                if self.wait_for_room(shared) {
                    break;
                }
                continue;
            }
            match self.next(shared) {
                Ok(Job::Verb(first, kind)) => {
                    if self.group(shared, (first, kind)) {
                        break;
                    }
                }
                Ok(Job::Compact(caller)) => {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, Some(caller)))
                }
                Err(RecvTimeoutError::Timeout) if self.rewriter.is_under_way() => {
                    self.rewrite(shared, |rewriter| rewriter.go_on(shared));
                }
                Err(RecvTimeoutError::Timeout) if !self.sealer.is_done(shared) => self.sealer.seal(shared),
                Err(RecvTimeoutError::Timeout) => {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, None))
                }
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.rewriter.give_up(shared, &Error::Closed);
        self.leave_damage_to_the_next_open(shared);
        self.close(shared);
    }

    /// Until the store takes changes again, or never will, or a stop is asked for; tells the last.
    fn wait_for_room(&mut self, shared: &Shared) -> bool {
        let Some(stuck) = self.stuck.take() else { return false };
        let error = shared.failure().unwrap_or(Error::Closed);
        self.rewriter.give_up(shared, &error);
        let is_stop = stuck.wait(shared, &mut self.queue);
        self.put_right(shared);
        is_stop
    }

    /// Lets a part of a rewrite be done; a panic of the engine ends it and the store, not the thread.
    fn rewrite(&mut self, shared: &Shared, part: impl FnOnce(&mut Rewriter)) {
        let part = catch_unwind(AssertUnwindSafe(|| part(&mut self.rewriter)));
        if let Err(panic) = part {
            let error = shared.fail(format!("the storage engine panicked: {}", panic_text(panic.as_ref())));
            self.rewriter.give_up(shared, &error);
        }
        if shared.is_stuck() {
            self.stuck.get_or_insert_with(Stuck::without_group);
        }
    }

    /// The next job; a timeout is time for the seal, or for the rewrite, where there is one or should be one.
    fn next(&mut self, shared: &Shared) -> std::result::Result<Job, RecvTimeoutError> {
        if self.rewriter.is_under_way() {
            return self.queue.next(Some(Duration::ZERO));
        }
        let wait = match shared.committer {
            Committer::ByHand { .. } => None,
            Committer::Thread if !self.sealer.is_done(shared) => Some(SEAL_AFTER_IDLE),
            // What an open has not told yet is noted in the store that is there.
            Committer::Thread if shared.spool.seal.is_held() => None,
            Committer::Thread => self.rewriter.is_worth_it(shared).then_some(REWRITE_AFTER_IDLE),
        };
        self.queue.next(wait)
    }

    /// Commits one group; tells whether a stop was asked for.
    fn group(&mut self, shared: &Shared, first: (Verb, Kind)) -> bool {
        let last_verbs = self.last_verbs;
        let group = catch_unwind(AssertUnwindSafe(|| run_group(shared, &mut self.queue, first, last_verbs)));
        let stop = match group {
            Ok(end) => {
                self.last_verbs = end.verbs;
                self.stuck = end.stuck;
                for caller in end.compacts {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, Some(caller)));
                }
                end.stop
            }
            Err(panic) => {
                shared.fail(format!("the storage engine panicked: {}", panic_text(panic.as_ref())));
                false
            }
        };
        if self.rewriter.is_under_way() {
            self.rewrite(shared, |rewriter| rewriter.go_on(shared));
        }
        self.put_right(shared);
        if self.sealer.is_due(shared) {
            self.sealer.seal(shared);
        }
        stop
    }

    /// Wakes the observer where the store takes no changes any more, or does again: no group tells it.
    fn tell_health(&mut self, shared: &Shared) {
        let has_failed = shared.failure().is_some();
        if std::mem::replace(&mut self.has_failed, has_failed) != has_failed
            && let Some(observer) = &shared.config().observer
        {
            let (counters, wake) = (*shared.snapshot(), Some(shared.clock.now().time));
            observer(&Notices { counters, wake, ..Notices::default() });
        }
    }

    /// A part of the store that cannot be read is looked for, and the rest saved, by an open that looks at everything.
    fn leave_damage_to_the_next_open(&mut self, shared: &Shared) {
        if shared.disk.engine.has_met_damage() && !self.has_asked_for_check {
            // If it cannot be written, the next group tries again.
            self.has_asked_for_check = shared.spool.ask_for_check().is_ok();
        }
    }

    /// Mends what could not be read, and moves what was set aside out of the store. Where it fails, the store does.
    fn put_right(&mut self, shared: &Shared) {
        self.leave_damage_to_the_next_open(shared);
        // What keeps either from its end has failed the store already, for good or for want of room.
        let _ = mend(shared);
        let counted = Some(shared.snapshot().quarantined);
        if counted != self.quarantined && shared.failure().is_none() {
            self.quarantined = counted;
            let move_out = || one_group(shared, |tx| quarantine::move_out(tx, &shared.spool));
            while crash::around("quarantine", move_out) == Ok(true) {}
        }
        if shared.is_stuck() {
            self.stuck.get_or_insert_with(Stuck::without_group);
        }
    }

    /// Closes the spool in order, unless the store failed or its open came to no end.
    fn close(&mut self, shared: &Shared) {
        if shared.failure().is_none() && !shared.spool.seal.is_held() {
            self.sealer.seal(shared);
            checkpoint(shared);
            if shared.failure().is_none()
                && let Err(error) = shared.spool.mark_clean()
            {
                shared.fail(format!("closing the spool: {error}"));
            }
        }
    }
}

/// Commits what has gathered as one group, if it is done by hand; tells whether there was anything.
pub(crate) fn commit_by_hand(shared: &Shared) -> bool {
    let mut by_hand = shared.by_hand();
    by_hand.as_mut().is_some_and(|committing| match committing.queue.try_next() {
        Ok(Job::Verb(first, kind)) => {
            let first = (first, kind);
            committing.group(shared, first);
            true
        }
        Ok(Job::Compact(caller)) => {
            committing.rewrite(shared, |rewriter| rewriter.begin(shared, Some(caller)));
            while committing.rewriter.is_under_way() {
                committing.rewrite(shared, |rewriter| rewriter.go_on(shared));
            }
            true
        }
        Ok(Job::Stop) | Err(_) => false,
    })
}

/// Opens the store once more where that spares the next start much of the log. A damaged one is left to that start, which keeps
/// it as it is before the engine writes over what it cannot read.
fn checkpoint(shared: &Shared) {
    let is_worth_it = shared.disk.engine.written_bytes() >= CHECKPOINT_BYTES_MIN;
    if !is_worth_it
        || shared.disk.engine.is_torn()
        || shared.spool.free_bytes() < OPEN_ROOM_BYTES
        || shared.failure().is_some()
    {
        return;
    }
    let committed = shared.exclusive();
    let opened = shared.disk.engine.open_again(|| Ok(())).map_err(|error| error.to_string());
    let found = opened.and_then(|()| read_counters(&shared.disk).map_err(|error| error.to_string()));
    let wrong = match found {
        Ok(found) if is_as_it_was(found.as_ref(), &committed) => return,
        Ok(_) => "it counts otherwise than before".to_owned(),
        Err(error) => error,
    };
    shared.fail(format!("opening the store once more before the stop: {wrong}"));
}
