//! What readers and the writer share: the open store, the counters of its last durable group, its health.
//!
//! Owns:  who may look when, why the store takes no more changes.
//! Never: changes a row.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::chance::Chance;
use crate::clock::SpoolClock;
use crate::config::{Committer, Config};
use crate::disk::Disk;
use crate::drive::{DiskError, is_full};
use crate::entry::Counters;
use crate::error::{Error, OpenError, Result};
use crate::spool::Spool;
use crate::writer::Committing;

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
    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, Counters> {
        self.committed.write().unwrap_or_else(PoisonError::into_inner)
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

    /// The same for a store that could not be opened again.
    pub(crate) fn fail_to_open(&self, what: &str, error: &OpenError) -> Error {
        match error {
            OpenError::Io { source, .. } if is_full(source) => {
                self.fail_by(DiskError::of_io(&format!("{what}: "), source))
            }
            error => self.fail(format!("{what}: {error}")),
        }
    }

    /// Fails where the next open would not find what is written.
    pub(crate) fn look_for_file(&self) -> Result<()> {
        self.disk.engine.look_for_file().map_err(|error| self.fail_by(error))
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

    /// From now on it may, or no more.
    pub(crate) fn set_must_rebuild(&self, must_rebuild: bool) {
        self.must_rebuild.store(must_rebuild, Ordering::Release);
    }

    /// Whether a run of verbs is being queued.
    pub(crate) fn is_in_run(&self) -> bool {
        self.runs.load(Ordering::Acquire) > 0
    }

    /// The queue's other end, where no thread has it.
    pub(crate) fn by_hand(&self) -> MutexGuard<'_, Option<Committing>> {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner)
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
