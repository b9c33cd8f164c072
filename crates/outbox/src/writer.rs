//! The writer: one thread changes the store; what has gathered is committed as one group. A simulation does
//! without the thread and commits by hand, with the same code.
//!
//! Owns:  the queue of verbs, group commit, the health of the store.
//! Never: answers before the drive has the group, goes on after a failed flush or sync (`stuck.rs` opens the store again
//!        where there was no room).

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::chance::Chance;
use crate::clock::{SpoolClock, Stopwatch};
use crate::config::{Committer, Config};
use crate::disk::{Disk, DiskError, Writes, panic_text};
use crate::entry::Counters;
use crate::error::{Error, Result};
use crate::limits::{
    CHECKPOINT_BYTES_MIN, GATHER_WAIT_MAX, GROUP_BYTES_MAX, GROUP_VERBS_MAX, OPEN_ROOM_BYTES,
    QUEUE_VERBS_MAX, REWRITE_AFTER_IDLE, RUN_WAIT_MAX, SEAL_AFTER_IDLE,
};
use crate::notice::Notices;
use crate::rewrite::{Compacted, Reply, Rewriter};
use crate::seal::Sealer;
use crate::spool::Spool;
use crate::stuck::Stuck;
use crate::tx::Tx;
use crate::verify::{self, Rebuild};
use crate::{crash, keys, quarantine, seal};

/// Why the store takes no more changes.
#[derive(Clone)]
struct Failure {
    reason: String,
    /// There was no room: it is over once there is, and outcomes wait for that.
    passes: bool,
}

/// What readers and the writer share.
pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) spool: Spool,
    pub(crate) clock: SpoolClock,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) committer: Committer,
    /// What can be replaced while the outbox is open; a group works with one of them to its end.
    config: RwLock<Arc<Config>>,
    /// The counters of the last durable group. The writer holds it locked from the first row it applies
    /// until the group is on the drive, so a reader never sees what a power cut could still take back.
    committed: RwLock<Counters>,
    failure: Mutex<Option<Failure>>,
    /// Whether there is one: what every verb looks at.
    has_failed: AtomicBool,
    /// What is derived must be made anew: the open found so, or it was begun and has not come to its end.
    must_rebuild: AtomicBool,
    /// How many callers are queueing a run of verbs right now: the writer waits a moment for the whole of it.
    runs: AtomicUsize,
    /// The queue's other end, where no thread has it.
    by_hand: Mutex<Option<Committing>>,
}

impl Shared {
    pub(crate) fn new(
        disk: Disk,
        spool: Spool,
        clock: SpoolClock,
        config: Config,
        counters: Counters,
        must_rebuild: bool,
    ) -> Self {
        Self {
            disk,
            spool,
            clock,
            chance: Arc::clone(&config.chance),
            committer: config.committer.clone(),
            config: RwLock::new(Arc::new(config)),
            committed: RwLock::new(counters),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
            must_rebuild: AtomicBool::new(must_rebuild),
            runs: AtomicUsize::new(0),
            by_hand: Mutex::new(None),
        }
    }

    /// Commits what has gathered as one group, if it is done by hand; tells whether there was anything.
    pub(crate) fn commit_by_hand(&self) -> bool {
        let mut by_hand = self.by_hand.lock().unwrap_or_else(PoisonError::into_inner);
        by_hand.as_mut().is_some_and(|committing| match committing.queue.try_next() {
            Ok(Job::Verb(first, kind)) => {
                let first = (first, kind);
                committing.group(self, first);
                true
            }
            Ok(Job::Compact(reply)) => {
                committing.rewrite(self, |rewriter| rewriter.begin(self, Some(reply)));
                while committing.rewriter.is_under_way() {
                    committing.rewrite(self, |rewriter| rewriter.go_on(self));
                }
                true
            }
            Ok(Job::Stop) | Err(_) => false,
        })
    }

    /// Says that verbs will be queued one after the other until the answer is dropped, so that they share a group.
    pub(crate) fn begin_run(&self) -> Run<'_> {
        self.runs.fetch_add(1, Ordering::AcqRel);
        Run(&self.runs)
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the configuration for the groups to come.
    pub(crate) fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// A view of the last durable group; the writer waits while it is held, so hold it shortly.
    pub(crate) fn snapshot(&self) -> RwLockReadGuard<'_, Counters> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for whoever reads rows: after a failure the engine shows what is not on the drive.
    pub(crate) fn view(&self) -> Result<RwLockReadGuard<'_, Counters>> {
        let counters = self.snapshot();
        match self.failure() {
            Some(error) => Err(error),
            None => Ok(counters),
        }
    }

    /// Keeps all readers out while it is held.
    pub(crate) fn exclusive(&self) -> std::sync::LockResult<RwLockWriteGuard<'_, Counters>> {
        self.committed.write()
    }

    /// Why the store takes no more changes, if so.
    pub(crate) fn failure(&self) -> Option<Error> {
        if !self.has_failed.load(Ordering::Acquire) {
            return None;
        }
        self.failed().as_ref().map(|failure| Error::Unhealthy { reason: failure.reason.clone() })
    }

    /// Whether what is wrong may pass by itself.
    pub(crate) fn is_stuck(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
            && self.failed().as_ref().is_some_and(|failure| failure.passes)
    }

    /// Takes no more changes from here on; the first reason stays. The next open checks everything.
    pub(crate) fn fail(&self, reason: String) -> Error {
        self.note(Failure { reason, passes: false })
    }

    /// The same for an error of the drive; one for lack of room passes, where a thread can wait for that.
    pub(crate) fn fail_by(&self, error: DiskError) -> Error {
        let passes = error.is_full && matches!(self.committer, Committer::Thread);
        self.note(Failure { reason: error.text, passes })
    }

    fn note(&self, new: Failure) -> Error {
        let mut failure = self.failed();
        if failure.as_ref().is_none_or(|known| known.passes && !new.passes) {
            // Best effort: what made the store fail may keep this from being written, too.
            let _ = self.spool.ask_for_check();
            *failure = Some(new);
            self.has_failed.store(true, Ordering::Release);
        }
        let reason = failure.as_ref().map(|failure| failure.reason.clone()).unwrap_or_default();
        Error::Unhealthy { reason }
    }

    /// Whether what is derived may disagree with the records.
    pub(crate) fn must_rebuild(&self) -> bool {
        self.must_rebuild.load(Ordering::Acquire)
    }

    /// Takes changes again: the store was opened again, and looked at.
    pub(crate) fn is_well_again(&self) {
        let mut failure = self.failed();
        if failure.as_ref().is_some_and(|known| known.passes) {
            *failure = None;
            self.has_failed.store(false, Ordering::Release);
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run of verbs that is being queued.
pub(crate) struct Run<'a>(&'a AtomicUsize);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells a caller how its group ended.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// One verb: reads and writes through the transaction; its answer goes out after the commit. One that is dropped is refused.
pub(crate) type Verb = Box<dyn FnOnce(&mut Tx<'_>, &Spool) -> Answer + Send>;

/// What becomes of a verb while the store has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is refused: whoever asked can ask again.
    Request,
    /// It is refused, but not once it was carried out: what it gave away must reach the one who asked.
    Lease,
    /// It waits: what has happened cannot be asked for again.
    Outcome,
}

pub(crate) enum Job {
    Verb(Verb, Kind),
    Compact(Reply),
    Stop,
}

/// A verb that was carried out, until its group is durable.
pub(crate) struct Waiting {
    pub(crate) kind: Kind,
    pub(crate) answer: Answer,
}

/// Changes on their way to the drive.
pub(crate) struct Group {
    pub(crate) writes: Writes,
    pub(crate) counters: Counters,
    pub(crate) notices: Notices,
    unnamed_files: Vec<[u8; 16]>,
}

/// A group that did not become durable.
struct Uncommitted {
    error: Error,
    /// The group, where the drive refused it.
    group: Option<Group>,
}

impl Uncommitted {
    fn before(error: Error) -> Box<Self> {
        Box::new(Self { error, group: None })
    }
}

/// The writer's queue.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The other end of the queue.
pub(crate) struct Queue {
    jobs: Receiver<Job>,
    /// Outcomes that came while the store had no room; they come first.
    waiting: VecDeque<Verb>,
}

impl Queue {
    fn try_next(&mut self) -> std::result::Result<Job, TryRecvError> {
        match self.waiting.pop_front() {
            Some(verb) => Ok(Job::Verb(verb, Kind::Outcome)),
            None => self.jobs.try_recv(),
        }
    }

    fn next(&mut self, wait: Option<Duration>) -> std::result::Result<Job, RecvTimeoutError> {
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
    pub(crate) fn hold(&mut self, shared: &Shared, wait: Duration) -> bool {
        match self.jobs.recv_timeout(wait) {
            Ok(Job::Verb(verb, Kind::Outcome)) if self.waiting.len() < QUEUE_VERBS_MAX => {
                self.waiting.push_back(verb);
            }
            // Dropped, and so refused with the store's failure.
            Ok(Job::Verb(..)) => {}
            Ok(Job::Compact(reply)) => {
                // Nobody may be waiting any more: then nobody misses the answer.
                let _ = reply.send(Err(shared.failure().unwrap_or(Error::Closed)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
        }
        false
    }
}

/// Who commits, and what is known from one group to the next.
struct Committing {
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
        while !receiver.has_message() && shared.commit_by_hand() {}
        receiver.recv().unwrap_or_else(|_| Err(gone(&shared)))
    }
}

/// The writer ended without an answer.
fn gone(shared: &Shared) -> Error {
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

impl Writer {
    /// Puts right what the open found, then starts the thread, if there is to be one.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_VERBS_MAX);
        let mut committing = Committing {
            queue: Queue { jobs: queue, waiting: VecDeque::new() },
            stuck: None,
            sealer: Sealer::new(shared),
            has_asked_for_check: false,
            quarantined: None,
            last_verbs: 1,
            rewriter: Rewriter::default(),
        };
        committing.put_right(shared);
        let thread = match &shared.committer {
            Committer::Thread => {
                let shared = Arc::clone(shared);
                let thread = std::thread::Builder::new().name("outbox-writer".into());
                Some(thread.spawn(move || committing.run(&shared))?)
            }
            Committer::ByHand { .. } => {
                *shared.by_hand.lock().unwrap_or_else(PoisonError::into_inner) = Some(committing);
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
        let (sender, receiver) = oneshot::channel();
        let verb = Box::new(move |tx: &mut Tx<'_>, spool: &Spool| -> Answer {
            tx.begin();
            let answer = verb(tx, spool);
            if answer.is_err() {
                tx.roll_back();
            }
            crash::before(name);
            Box::new(move |committed: Result<()>| {
                crash::after(name);
                // Nobody may be waiting any more: then nobody misses the answer.
                let _ = sender.send(committed.and(answer));
            })
        });
        if self.jobs.send(Job::Verb(verb, kind)).is_err() {
            return Ticket(Err(gone(shared)), Arc::clone(shared));
        }
        if let Committer::ByHand { queued } = &shared.committer {
            queued();
        }
        Ticket(Ok(receiver), Arc::clone(shared))
    }

    /// Queues a rewrite of the store.
    pub(crate) fn compact(&self, shared: &Arc<Shared>) -> Ticket<Compacted> {
        let (reply, receiver) = oneshot::channel();
        if self.jobs.send(Job::Compact(reply)).is_err() {
            return Ticket(Err(gone(shared)), Arc::clone(shared));
        }
        if let Committer::ByHand { queued } = &shared.committer {
            queued();
        }
        Ticket(Ok(receiver), Arc::clone(shared))
    }

    /// Carries out what is queued, closes the spool in order, and waits for that.
    pub(crate) fn stop(&self, shared: &Shared) {
        let _ = self.jobs.send(Job::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let by_hand = shared.by_hand.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committing) = by_hand {
            committing.run(shared);
        }
    }
}

impl Committing {
    /// Commits until a stop is asked for, then closes the spool in order.
    fn run(mut self, shared: &Shared) {
        loop {
            if self.stuck.is_some() && self.wait_for_room(shared) {
                break;
            }
            match self.next(shared) {
                Ok(Job::Verb(first, kind)) => {
                    if self.group(shared, (first, kind)) {
                        break;
                    }
                }
                Ok(Job::Compact(reply)) => {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, Some(reply)))
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
    }

    /// The next job; a timeout is time for the seal, or for the rewrite, where there is one or should be one.
    fn next(&mut self, shared: &Shared) -> std::result::Result<Job, RecvTimeoutError> {
        if self.rewriter.is_under_way() {
            return self.queue.next(Some(Duration::ZERO));
        }
        let wait = match shared.committer {
            Committer::ByHand { .. } => None,
            Committer::Thread if !self.sealer.is_done(shared) => Some(SEAL_AFTER_IDLE),
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
                for reply in end.compacts {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, Some(reply)));
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

    /// Closes the spool in order, unless the store failed.
    fn close(&mut self, shared: &Shared) {
        if shared.failure().is_none() {
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
    let _nobody_reads = shared.exclusive().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = shared.disk.engine.open_again(|| Ok(())) {
        shared.fail(format!("opening the store once more before the stop: {error}"));
    }
}

/// What a group left behind.
struct GroupEnd {
    verbs: usize,
    /// Who asked for a rewrite meanwhile.
    compacts: Vec<Reply>,
    /// The group, where there was no room for it.
    stuck: Option<Stuck>,
    /// A stop was asked for.
    stop: bool,
}

/// Builds and commits one group.
fn run_group(shared: &Shared, queue: &mut Queue, (first, kind): (Verb, Kind), last_verbs: usize) -> GroupEnd {
    let before = *shared.snapshot();
    let free_bytes = shared.spool.free_bytes();
    let config = shared.config();
    let disk = shared.disk.at_hand();
    let mut tx = Tx::new(&disk, &config, &shared.clock, before, free_bytes);
    let mut waiting = vec![Waiting { kind, answer: first(&mut tx, &shared.spool) }];
    let (mut stop, mut compacts) = (false, Vec::new());
    let mut patience = Patience::new(shared, last_verbs);
    while tx.bytes() < GROUP_BYTES_MAX && waiting.len() < GROUP_VERBS_MAX {
        match queue.try_next() {
            Ok(Job::Verb(verb, kind)) => {
                waiting.push(Waiting { kind, answer: verb(&mut tx, &shared.spool) });
            }
            Ok(Job::Compact(reply)) => compacts.push(reply),
            Ok(Job::Stop) => {
                stop = true;
                break;
            }
            Err(_) if patience.waits_for_more(shared, waiting.len()) => std::thread::yield_now(),
            Err(_) => break,
        }
    }
    let verbs = waiting.len();
    let mut stuck = None;
    match commit(shared, tx, &before) {
        Ok(notices) => tell(shared, waiting, &notices),
        Err(uncommitted) => {
            let Uncommitted { error, group } = *uncommitted;
            let group = group.filter(|_| shared.is_stuck());
            let refused = if group.is_some() { take_requests(&mut waiting) } else { waiting.split_off(0) };
            refused.into_iter().for_each(|refused| (refused.answer)(Err(error.clone())));
            stuck = group.map(|group| Stuck::new(group, waiting));
        }
    }
    GroupEnd { verbs, compacts, stuck, stop }
}

/// Answers all whose group is durable, and tells who listens.
pub(crate) fn tell(shared: &Shared, waiting: Vec<Waiting>, notices: &Notices) {
    for waiting in waiting {
        (waiting.answer)(Ok(()));
    }
    if let Some(observer) = &shared.config().observer {
        observer(notices);
    }
}

/// Takes out those that can ask again; leaves the others.
fn take_requests(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let (outcomes, requests) = std::mem::take(waiting).into_iter().partition(|one| one.kind != Kind::Request);
    *waiting = outcomes;
    requests
}

/// How long a group waits for more verbs while the queue is empty.
///
/// A caller alone never waits. Where several were answered together they come again together, but one after the
/// other: without a moment's patience the first of them would have a group, and a sync of the drive, to itself.
struct Patience {
    verbs_expected: usize,
    /// Begun with the first wait.
    waiting: Option<Stopwatch>,
}

impl Patience {
    fn new(shared: &Shared, last_verbs: usize) -> Self {
        // By hand nobody comes while a group is built.
        let verbs_expected = if matches!(shared.committer, Committer::Thread) { last_verbs } else { 0 };
        Self { verbs_expected, waiting: None }
    }

    fn waits_for_more(&mut self, shared: &Shared, verbs: usize) -> bool {
        let limit = if shared.runs.load(Ordering::Acquire) > 0 {
            RUN_WAIT_MAX
        } else if verbs < self.verbs_expected {
            GATHER_WAIT_MAX
        } else {
            return false;
        };
        self.waiting.get_or_insert_with(Stopwatch::start).read() < limit
    }
}

/// Makes a group durable. After an error the store takes nothing more until it is opened again; the group comes back with
/// one of the drive.
fn commit(
    shared: &Shared,
    mut tx: Tx<'_>,
    before: &Counters,
) -> std::result::Result<Notices, Box<Uncommitted>> {
    if let Some(error) = shared.failure() {
        return Err(Uncommitted::before(error));
    }
    if !tx.has_writes() && tx.counters == *before {
        let (_, _, notices, unnamed_files) = tx.into_parts();
        remove_files(shared, unnamed_files);
        return Ok(Notices { counters: *before, ..notices });
    }
    tx.counters.clock = shared.clock.mark(tx.now);
    let counters = tx.counters;
    tx.put(keys::COUNTERS.to_vec(), &counters).map_err(Uncommitted::before)?;
    let (writes, counters, notices, unnamed_files) = tx.into_parts();
    let group = Group { writes, counters, notices, unnamed_files };
    let stopwatch = Stopwatch::start();
    let committed = {
        let mut committed = shared.committed.write().unwrap_or_else(PoisonError::into_inner);
        // The failure is known before anybody reads again, also where the engine panics.
        catch_unwind(AssertUnwindSafe(|| group.commit(shared, &mut committed)))
            .unwrap_or_else(|panic| Err(DiskError::of_panic(panic.as_ref())))
            .map_err(|error| shared.fail_by(error))
    };
    match committed {
        Ok(()) => Ok(group.end(shared, stopwatch.read())),
        Err(error) => Err(Box::new(Uncommitted { error, group: Some(group) })),
    }
}

impl Group {
    /// Writes it, while no reader looks.
    pub(crate) fn commit(
        &self,
        shared: &Shared,
        committed: &mut Counters,
    ) -> std::result::Result<(), DiskError> {
        shared.disk.commit(&self.writes)?;
        *committed = self.counters;
        seal::follow(shared, &self.counters)
    }

    /// What is left to do behind a commit.
    pub(crate) fn end(self, shared: &Shared, commit_took: Duration) -> Notices {
        remove_files(shared, self.unnamed_files);
        Notices { counters: self.counters, commit_took, ..self.notices }
    }
}

/// Sets rows aside that could not be read, says so, and makes anew what follows from the records; the same where that was
/// begun before, or the open found that it must be done.
fn mend(shared: &Shared) -> Result<()> {
    if shared.failure().is_some() {
        return Ok(());
    }
    let mut damaged = shared.disk.damaged_leaves();
    if damaged.is_empty() && !shared.must_rebuild() {
        return Ok(());
    }
    shared.must_rebuild.store(true, Ordering::Release);
    let failed = |action: &str, error: &std::io::Error| shared.fail_by(DiskError::of_io(action, error));
    shared.spool.ask_for_check().map_err(|error| failed("asking for a check: ", &error))?;
    let mut known = BTreeSet::new();
    loop {
        set_aside(shared, &damaged)?;
        rebuild(shared)?;
        known.extend(damaged);
        // What the rebuild itself met; each turn knows more.
        damaged = shared.disk.damaged_leaves();
        damaged.retain(|own_key| !known.contains(own_key));
        if damaged.is_empty() {
            break;
        }
    }
    shared.must_rebuild.store(false, Ordering::Release);
    if shared.disk.engine.has_met_damage() {
        return Ok(());
    }
    shared.spool.checked().map_err(|error| failed("ending a check: ", &error))
}

fn set_aside(shared: &Shared, damaged: &[Vec<u8>]) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    // Said first: what is said twice after a death in between is better than what nobody hears of.
    one_group(shared, |tx| {
        for own_key in damaged {
            tx.announce_set_aside(
                None,
                &format!("rows from {} on could not be read", own_key.escape_ascii()),
            )?;
        }
        Ok(())
    })?;
    let _nobody_reads = shared.exclusive().unwrap_or_else(PoisonError::into_inner);
    crash::around("mend", || shared.disk.set_aside_leaves(damaged)).map_err(|error| shared.fail_by(error))
}

fn rebuild(shared: &Shared) -> Result<()> {
    let mut step = Rebuild::begin();
    while !matches!(step, Rebuild::Done) {
        step = crash::around("rebuild", || one_group(shared, |tx| verify::rebuild(tx, step)))?;
    }
    Ok(())
}

/// A group that the writer commits for itself.
fn one_group<T>(shared: &Shared, change: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    let before = *shared.snapshot();
    let config = shared.config();
    let disk = shared.disk.at_hand();
    let mut tx = Tx::new(&disk, &config, &shared.clock, before, shared.spool.free_bytes());
    let answer = change(&mut tx).map_err(|error| match shared.disk.engine.failure() {
        Some(error) => shared.fail_by(error),
        None => shared.fail(format!("putting the store right: {error}")),
    })?;
    let notices = commit(shared, tx, &before).map_err(|uncommitted| uncommitted.error)?;
    if let Some(observer) = &config.observer {
        observer(&notices);
    }
    Ok(answer)
}

/// Removes files that nothing on the drive names any more.
fn remove_files(shared: &Shared, names: Vec<[u8; 16]>) {
    for name in names {
        shared.spool.remove_payload(name);
    }
}

/// The counters that stand in the store.
pub(crate) fn read_counters(disk: &Disk) -> Result<Option<Counters>> {
    crate::tx::load(disk, keys::COUNTERS)
}
