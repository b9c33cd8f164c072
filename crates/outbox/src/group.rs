//! A group: what has gathered is carried out in one transaction and committed as one batch.
//!
//! Owns:  how much a group takes, how long it waits for more, the moment from which its answers are true.
//! Never: answers before the drive has the group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::config::Committer;
use crate::disk::{Disk, Writes};
use crate::drive::DiskError;
use crate::entry::Counters;
use crate::error::{Error, Result};
use crate::limits::{GATHER_WAIT_MAX, GROUP_BYTES_MAX, GROUP_VERBS_MAX, RUN_WAIT_MAX};
use crate::notice::Notices;
use crate::queue::{Caller, Job, Kind, Queue, Verb, Waiting};
use crate::rewrite::Compacted;
use crate::shared::Shared;
use crate::stuck::Stuck;
use crate::tx::Tx;
use crate::{keys, seal};

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

/// What a group left behind.
pub(crate) struct GroupEnd {
    pub(crate) verbs: usize,
    /// Who asked for a rewrite meanwhile.
    pub(crate) compacts: Vec<Caller<Compacted>>,
    /// The group, where there was no room for it.
    pub(crate) stuck: Option<Stuck>,
    /// A stop was asked for.
    pub(crate) stop: bool,
}

/// Builds and commits one group.
pub(crate) fn run_group(
    shared: &Shared,
    queue: &mut Queue,
    (first, kind): (Verb, Kind),
    last_verbs: usize,
) -> GroupEnd {
    let before = *shared.snapshot();
    let free_bytes = shared.spool.free_bytes();
    let config = shared.config();
    let disk = shared.disk.at_hand();
    let mut tx = Tx::new(&disk, &config, &shared.clock, before, free_bytes);
    tx.keeps_all = shared.spool.seal.is_held();
    let mut waiting = vec![Waiting { kind, answer: first(&mut tx, &shared.spool) }];
    let (mut stop, mut compacts) = (false, Vec::new());
    let mut patience = Patience::new(shared, last_verbs);
    while tx.bytes() < GROUP_BYTES_MAX && waiting.len() < GROUP_VERBS_MAX {
        match queue.try_next() {
            Ok(Job::Verb(verb, kind)) => {
                waiting.push(Waiting { kind, answer: verb(&mut tx, &shared.spool) });
            }
            Ok(Job::Compact(caller)) => compacts.push(caller),
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
    let (outcomes, requests) =
        std::mem::take(waiting).into_iter().partition(|one| !one.kind.can_be_asked_again());
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
        let limit = if shared.is_in_run() {
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
        // What is answered rests on what earlier groups have written.
        shared.look_for_file().map_err(Uncommitted::before)?;
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
        let mut committed = shared.exclusive();
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
        shared.disk.engine.look_for_file()?;
        *committed = self.counters;
        seal::follow(shared, &self.counters)
    }

    /// What is left to do behind a commit.
    pub(crate) fn end(self, shared: &Shared, commit_took: Duration) -> Notices {
        remove_files(shared, self.unnamed_files);
        Notices { counters: self.counters, commit_took, ..self.notices }
    }
}

/// A group that the writer commits for itself.
pub(crate) fn one_group<T>(shared: &Shared, change: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
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

/// Whether a store that was opened again is the one that was closed: it counts what was acknowledged last.
pub(crate) fn is_as_it_was(found: Option<&Counters>, known: &Counters) -> bool {
    // A store in which nothing was ever accepted need not have any.
    found.map_or(known.next_seq <= 1, |found| found == known)
}
