//! The writer: one thread changes the store; what has gathered is committed as one group. A simulation does
//! without the thread and commits by hand, with the same code.
//!
//! Owns:  the queue of verbs, group commit, the seal, the health of the store.
//! Never: answers before the drive has the group, goes on after a failed flush or sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::chance::Chance;
use crate::clock::{SpoolClock, Stopwatch, Timestamp};
use crate::config::{Committer, Config};
use crate::disk::{Disk, panic_text};
use crate::entry::Counters;
use crate::error::{Error, Result};
use crate::limits::{
    CHECKPOINT_BYTES_MIN, GATHER_WAIT_MAX, GROUP_BYTES_MAX, GROUP_VERBS_MAX, QUEUE_VERBS_MAX,
    REWRITE_AFTER_IDLE, RUN_WAIT_MAX, SEAL_EVERY,
};
use crate::notice::Notices;
use crate::rewrite::{Compacted, Reply, Rewriter};
use crate::spool::Spool;
use crate::tx::Tx;
use crate::verify::{self, Rebuild};
use crate::{keys, record};

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
    failure: OnceLock<String>,
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
    ) -> Self {
        Self {
            disk,
            spool,
            clock,
            chance: Arc::clone(&config.chance),
            committer: config.committer.clone(),
            config: RwLock::new(Arc::new(config)),
            committed: RwLock::new(counters),
            failure: OnceLock::new(),
            runs: AtomicUsize::new(0),
            by_hand: Mutex::new(None),
        }
    }

    /// Commits what has gathered as one group, if it is done by hand; tells whether there was anything.
    pub(crate) fn commit_by_hand(&self) -> bool {
        let mut by_hand = self.by_hand.lock().unwrap_or_else(PoisonError::into_inner);
        by_hand.as_mut().is_some_and(|committing| match committing.queue.try_recv() {
            Ok(Job::Verb(first)) => {
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

    /// Keeps all readers out while it is held.
    pub(crate) fn exclusive(&self) -> std::sync::LockResult<RwLockWriteGuard<'_, Counters>> {
        self.committed.write()
    }

    /// Why the store takes no more changes, if so.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().map(|reason| Error::Unhealthy { reason: reason.clone() })
    }

    /// Takes no more changes from here on; the first reason stays. The next open checks everything.
    pub(crate) fn fail(&self, reason: String) -> Error {
        let reason = self.failure.get_or_init(|| {
            // Best effort: what made the store fail may keep this from being written, too.
            let _ = self.spool.ask_for_check();
            reason
        });
        let reason = reason.clone();
        Error::Unhealthy { reason }
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
type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// One verb: reads and writes through the transaction; its answer goes out after the commit.
type Verb = Box<dyn FnOnce(&mut Tx<'_>, &Spool) -> Answer + Send>;

enum Job {
    Verb(Verb),
    Compact(Reply),
    Stop,
}

/// The writer's queue.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The other end of the queue.
struct Committing {
    queue: Receiver<Job>,
    sealed_at: Timestamp,
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
    /// Starts the thread, if there is to be one.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_VERBS_MAX);
        let committing = Committing {
            queue,
            sealed_at: shared.clock.now().time,
            last_verbs: 1,
            rewriter: Rewriter::default(),
        };
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

    /// Queues a verb. Blocks while the queue is full.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        verb: impl FnOnce(&mut Tx<'_>, &Spool) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        let (sender, receiver) = oneshot::channel();
        let job = Job::Verb(Box::new(move |tx, spool| {
            tx.begin();
            let answer = verb(tx, spool);
            if answer.is_err() {
                tx.roll_back();
            }
            Box::new(move |committed| {
                // Nobody may be waiting any more: then nobody misses the answer.
                let _ = sender.send(committed.and(answer));
            })
        }));
        if self.jobs.send(job).is_err() {
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
            match self.next(shared) {
                Ok(Job::Verb(first)) => {
                    if self.group(shared, first) {
                        break;
                    }
                }
                Ok(Job::Compact(reply)) => {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, Some(reply)))
                }
                Err(RecvTimeoutError::Timeout) if self.rewriter.is_under_way() => {
                    self.rewrite(shared, |rewriter| rewriter.go_on(shared));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.rewrite(shared, |rewriter| rewriter.begin(shared, None))
                }
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.rewriter.give_up(shared, &Error::Closed);
        close(shared);
    }

    /// Lets a part of a rewrite be done; a panic of the engine ends it and the store, not the thread.
    fn rewrite(&mut self, shared: &Shared, part: impl FnOnce(&mut Rewriter)) {
        let part = catch_unwind(AssertUnwindSafe(|| part(&mut self.rewriter)));
        if let Err(panic) = part {
            let error = shared.fail(format!("the storage engine panicked: {}", panic_text(panic.as_ref())));
            self.rewriter.give_up(shared, &error);
        }
    }

    /// The next job; a timeout is time for the rewrite, where there is one or should be one.
    fn next(&self, shared: &Shared) -> std::result::Result<Job, RecvTimeoutError> {
        if self.rewriter.is_under_way() {
            return self.queue.recv_timeout(Duration::ZERO);
        }
        let by_thread = matches!(shared.committer, Committer::Thread);
        if by_thread && self.rewriter.is_worth_it(shared) {
            return self.queue.recv_timeout(REWRITE_AFTER_IDLE);
        }
        self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Commits one group; tells whether a stop was asked for.
    fn group(&mut self, shared: &Shared, first: Verb) -> bool {
        let last_verbs = self.last_verbs;
        let group = catch_unwind(AssertUnwindSafe(|| run_group(shared, &self.queue, first, last_verbs)));
        let stop = match group {
            Ok(end) => {
                self.last_verbs = end.verbs;
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
        if let Err(error) = mend(shared) {
            shared.fail(format!("mending what is derived: {error}"));
        }
        let now = shared.clock.now().time;
        if now >= self.sealed_at.plus(SEAL_EVERY) && shared.failure.get().is_none() {
            self.sealed_at = now;
            seal(shared);
        }
        stop
    }
}

/// Closes the spool in order, unless the store failed.
fn close(shared: &Shared) {
    if shared.failure.get().is_none() {
        seal(shared);
        checkpoint(shared);
        if shared.failure.get().is_none()
            && let Err(error) = shared.spool.mark_clean()
        {
            shared.fail(format!("closing the spool: {error}"));
        }
    }
}

/// Opens the store once more where that spares the next start much of the log.
fn checkpoint(shared: &Shared) {
    if shared.disk.engine.written_bytes() < CHECKPOINT_BYTES_MIN || shared.failure.get().is_some() {
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
    /// A stop was asked for.
    stop: bool,
}

/// Builds and commits one group.
fn run_group(shared: &Shared, queue: &Receiver<Job>, first: Verb, last_verbs: usize) -> GroupEnd {
    let before = *shared.snapshot();
    let free_bytes = shared.spool.free_bytes();
    let config = shared.config();
    let disk = shared.disk.at_hand();
    let mut tx = Tx::new(&disk, &config, &shared.clock, before, free_bytes);
    let mut answers = vec![first(&mut tx, &shared.spool)];
    let (mut stop, mut compacts) = (false, Vec::new());
    let mut patience = Patience::new(shared, last_verbs);
    while tx.bytes() < GROUP_BYTES_MAX && answers.len() < GROUP_VERBS_MAX {
        match queue.try_recv() {
            Ok(Job::Verb(verb)) => answers.push(verb(&mut tx, &shared.spool)),
            Ok(Job::Compact(reply)) => compacts.push(reply),
            Ok(Job::Stop) => {
                stop = true;
                break;
            }
            Err(_) if patience.waits_for_more(shared, answers.len()) => std::thread::yield_now(),
            Err(_) => break,
        }
    }
    let verbs = answers.len();
    let committed = commit(shared, tx, &before);
    let notices = committed.as_ref().ok().cloned();
    let answer = committed.map(|_| ());
    for waiting in answers {
        waiting(answer.clone());
    }
    if let (Some(notices), Some(observer)) = (notices, &config.observer) {
        observer(&notices);
    }
    GroupEnd { verbs, compacts, stop }
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

/// Makes a group durable. An error is final: the store takes nothing more until it is opened again.
fn commit(shared: &Shared, mut tx: Tx<'_>, before: &Counters) -> Result<Notices> {
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    if !tx.has_writes() && tx.counters == *before {
        let (_, _, notices, unnamed_files) = tx.into_parts();
        remove_files(shared, unnamed_files);
        return Ok(Notices { counters: *before, ..notices });
    }
    tx.counters.clock = shared.clock.mark(tx.now);
    let counters = tx.counters;
    tx.put(keys::COUNTERS.to_vec(), &counters)?;
    let (writes, counters, notices, unnamed_files) = tx.into_parts();
    let stopwatch = Stopwatch::start();
    {
        let mut committed = shared.committed.write().unwrap_or_else(PoisonError::into_inner);
        shared.disk.commit(&writes).map_err(|error| shared.fail(error.0))?;
        *committed = counters;
    }
    let commit_took = stopwatch.read();
    remove_files(shared, unnamed_files);
    Ok(Notices { counters, commit_took, ..notices })
}

/// Sets rows aside that could not be read, says so, and makes anew what follows from the records.
fn mend(shared: &Shared) -> Result<()> {
    let damaged = shared.disk.damaged_leaves();
    if damaged.is_empty() || shared.failure.get().is_some() {
        return Ok(());
    }
    let unavailable = |error: std::io::Error| Error::Unhealthy { reason: error.to_string() };
    shared.spool.ask_for_check().map_err(unavailable)?;
    shared.disk.set_aside_leaves(&damaged)?;
    one_group(shared, |tx| {
        for own_key in &damaged {
            tx.announce_set_aside(
                None,
                &format!("rows from {} on could not be read", own_key.escape_ascii()),
            )?;
        }
        Ok(())
    })?;
    let mut step = Rebuild::begin();
    while !matches!(step, Rebuild::Done) {
        step = one_group(shared, |tx| verify::rebuild(tx, step))?;
    }
    shared.spool.checked().map_err(unavailable)
}

/// A group that the writer commits for itself.
fn one_group<T>(shared: &Shared, change: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    let before = *shared.snapshot();
    let config = shared.config();
    let disk = shared.disk.at_hand();
    let mut tx = Tx::new(&disk, &config, &shared.clock, before, shared.spool.free_bytes());
    let answer = change(&mut tx)?;
    let notices = commit(shared, tx, &before)?;
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

/// Writes the last acknowledged sequence and counts beside the store.
fn seal(shared: &Shared) {
    let counters = *shared.snapshot();
    let written = record::encode(keys::SEAL, &counters)
        .map_err(|error| error.to_string())
        .and_then(|bytes| shared.spool.write_seal(&bytes).map_err(|error| error.to_string()));
    if let Err(error) = written {
        shared.fail(format!("writing the seal: {error}"));
    }
}

/// The counters that stand in the store.
pub(crate) fn read_counters(disk: &Disk) -> Result<Option<Counters>> {
    crate::tx::load(disk, keys::COUNTERS)
}
