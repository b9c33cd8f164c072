//! Rewrite: everything that is kept is copied into a fresh store, and the old one goes with its waste.
//!
//! Owns:  when it is worth it, the copying part by part beside everything else, the exchange.
//! Never: is begun where the copy may not fit, keeps a verb waiting for more than one part.
//!
//! The engine uses the space of what was removed again, but never gives it back. While a copy is made, each group goes
//! into both stores; at its end, with no reader in between, the folders change places.

use std::path::PathBuf;

use crate::drive::DiskError;
use crate::entry::Counters;
use crate::error::{Error, Result};
use crate::group::{is_as_it_was, read_counters};
use crate::limits::{REWRITE_BYTES_MIN, REWRITE_SHARE};
use crate::queue::Caller;
use crate::shared::Shared;
use crate::spool::Aside;

/// What a rewrite gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the store's main file before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// Rewrites, of which at most one is under way.
#[derive(Default)]
pub(crate) struct Rewriter {
    under_way: Option<UnderWay>,
    /// What the last one could do: below twice as much, another would find nothing to give back.
    last_bytes: u64,
}

struct UnderWay {
    dir: PathBuf,
    bytes_before: u64,
    callers: Vec<Caller<Compacted>>,
}

/// About how many bytes everything takes that is kept: a record is some hundred bytes, with its share of the indices.
fn kept_bytes(counters: &Counters) -> u64 {
    const RECORD_BYTES: u64 = 1024;
    let records = counters.entries() + counters.receipts + counters.quarantined;
    counters.payload_bytes + counters.data_bytes + records * RECORD_BYTES
}

impl Rewriter {
    /// Whether one is under way.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether one should be begun unasked, once nothing else happens.
    pub(crate) fn is_worth_it(&self, shared: &Shared) -> bool {
        let (bytes, kept) = (shared.disk.size_bytes(), kept_bytes(&shared.snapshot()));
        let enough = bytes >= REWRITE_BYTES_MIN.max(self.last_bytes.saturating_mul(2));
        enough && bytes / REWRITE_SHARE > kept && has_room(shared, kept) && shared.failure().is_none()
    }

    /// Begins one, or joins the one under way.
    pub(crate) fn begin(&mut self, shared: &Shared, caller: Option<Caller<Compacted>>) {
        if let Some(under_way) = &mut self.under_way {
            under_way.callers.extend(caller);
            return;
        }
        let bytes_before = shared.disk.size_bytes();
        match prepare(shared) {
            Ok(dir) => {
                self.under_way = Some(UnderWay { dir, bytes_before, callers: caller.into_iter().collect() });
            }
            Err(error) => {
                self.last_bytes = bytes_before;
                answer(caller.into_iter().collect(), &Err(error));
            }
        }
    }

    /// Does the next part of the one under way.
    pub(crate) fn go_on(&mut self, shared: &Shared) {
        if let Err(error) = must_be_well(shared) {
            return self.give_up(shared, &error);
        }
        match shared.disk.engine.copy_part() {
            Ok(true) => {}
            Ok(false) => {
                let Some(under_way) = self.under_way.take() else { return };
                let done = exchange(shared, &under_way).unwrap_or_else(|error| {
                    drop_copy(shared);
                    Err(error)
                });
                self.last_bytes = shared.disk.size_bytes();
                answer(under_way.callers, &done);
            }
            Err(error) => self.give_up(shared, &not_copied(shared, error)),
        }
    }

    /// Ends the one under way without result; nothing is lost by that.
    pub(crate) fn give_up(&mut self, shared: &Shared, why: &Error) {
        let Some(under_way) = self.under_way.take() else { return };
        drop_copy(shared);
        self.last_bytes = under_way.bytes_before;
        answer(under_way.callers, &Err(why.clone()));
    }
}

/// What must be free for a copy: as much as a store that was only filled takes, and what must stay free.
fn needed_bytes(shared: &Shared, kept: u64) -> u64 {
    kept.saturating_mul(REWRITE_SHARE).saturating_add(shared.config().min_free_bytes)
}

fn has_room(shared: &Shared, kept: u64) -> bool {
    shared.spool.free_bytes() >= needed_bytes(shared, kept)
}

fn no_room(shared: &Shared) -> Error {
    let min_bytes = needed_bytes(shared, kept_bytes(&shared.snapshot()));
    Error::DiskLow { free_bytes: shared.spool.free_bytes(), min_bytes }
}

/// Why there is no copy.
fn not_copied(shared: &Shared, why: DiskError) -> Error {
    if why.is_full {
        return no_room(shared);
    }
    Error::Unavailable { what: format!("the rewrite: {why}") }
}

/// What the engine has in memory behind a failure, its own or another, is not to be made durable by a copy.
fn must_be_well(shared: &Shared) -> Result<()> {
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    match shared.disk.engine.failure() {
        Some(error) => Err(Error::Unavailable { what: format!("the rewrite: {error}") }),
        None => Ok(()),
    }
}

fn drop_copy(shared: &Shared) {
    shared.disk.engine.drop_copy();
    shared.spool.drop_rewrite();
}

fn prepare(shared: &Shared) -> Result<PathBuf> {
    must_be_well(shared)?;
    if !has_room(shared, kept_bytes(&shared.snapshot())) {
        return Err(no_room(shared));
    }
    let begun = shared.spool.begin_rewrite().and_then(|dir| {
        shared.disk.engine.begin_copy(&dir)?;
        Ok(dir)
    });
    begun.map_err(|error| {
        drop_copy(shared);
        not_copied(shared, error.into())
    })
}

/// The outer error is of before the exchange: nothing has changed.
fn exchange(shared: &Shared, under_way: &UnderWay) -> Result<Result<Compacted>> {
    let finished = {
        // Readers wait: none may look into a store that is being exchanged.
        let committed = shared.exclusive();
        // Whoever looks through the store may have met something meanwhile.
        must_be_well(shared)?;
        let copied = shared.disk.engine.finish_copy(&under_way.dir);
        let finished = copied.and_then(|()| Ok(shared.spool.finish_rewrite()?));
        finished.map(|()| open_exchanged(shared, &committed))
    };
    let opened = finished.map_err(|error| not_copied(shared, error))?;
    Ok(opened
        .map(|()| Compacted { bytes_before: under_way.bytes_before, bytes_after: shared.disk.size_bytes() }))
}

fn open_exchanged(shared: &Shared, committed: &Counters) -> Result<()> {
    let exchanged = shared.disk.engine.open_again(|| shared.spool.exchange_store(Aside::DoneWith));
    // Which of the two lies there now is for the next open to find out.
    exchanged.map_err(|error| shared.fail_to_open("opening the rewritten store", &error))?;
    let found = read_counters(&shared.disk).map_err(|error| shared.fail(error.to_string()))?;
    if !is_as_it_was(found.as_ref(), committed) {
        return Err(shared.fail("the rewritten store counts otherwise than the one that was copied".into()));
    }
    Ok(())
}

fn answer(callers: Vec<Caller<Compacted>>, result: &Result<Compacted>) {
    for caller in callers {
        caller.answer(result.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::Rewriter;
    use crate::{Config, Error, Outbox, Submit};

    #[test]
    fn a_store_that_is_not_the_one_that_was_copied_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let submit = |msg_id: &str| {
            let (msg_id, conversation) = (msg_id.to_owned(), "c".to_owned());
            let account = "default".to_owned();
            let message = b"{}".to_vec();
            outbox.submit(Submit { msg_id, account, conversation, message, ..Submit::default() }).wait()
        };
        submit("a").unwrap();
        outbox.compact().wait().unwrap();
        // As if a message more had been acknowledged than the copy has.
        outbox.shared().exclusive().next_seq += 1;
        assert!(matches!(outbox.compact().wait(), Err(Error::Unhealthy { .. })));
        assert!(matches!(submit("b"), Err(Error::Unhealthy { .. })));
        assert!(outbox.failure().is_some_and(|error| error.to_string().contains("rewritten")));
    }

    #[test]
    fn a_rewritten_store_that_finds_no_room_to_be_opened_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let submit = |msg_id: &str| {
            let (msg_id, account, conversation) = (msg_id.to_owned(), "default".into(), "c".into());
            let message = b"{}".to_vec();
            outbox.submit(Submit { msg_id, account, conversation, message, ..Submit::default() }).wait()
        };
        submit("a").unwrap();
        outbox.disk().engine.have_room_for(0);
        assert!(matches!(outbox.compact().wait(), Err(Error::Unhealthy { .. })));
        // Whoever waits for an outcome hears when the store was tried again.
        let resolved = outbox.resolve("a".into(), crate::Resolution::default()).wait();
        assert!(matches!(resolved, Err(Error::WrongState { .. })), "{resolved:?}");
        assert_eq!(outbox.failure(), None);
        assert!(submit("a").unwrap().duplicate && !submit("b").unwrap().duplicate);
        assert!(outbox.compact().wait().is_ok());
    }

    #[test]
    fn a_copy_that_cannot_be_finished_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let mut rewriter = Rewriter::default();
        rewriter.begin(outbox.shared(), None);
        std::fs::remove_dir_all(dir.path().join("store.new")).unwrap();
        rewriter.go_on(outbox.shared());
        assert!(!rewriter.is_under_way());
        assert_eq!(outbox.failure(), None);
        assert!(outbox.compact().wait().is_ok());
    }

    #[test]
    fn a_store_that_failed_is_not_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let store = || std::fs::metadata(dir.path().join("store")).unwrap().ino();
        let before = store();
        let mut rewriter = Rewriter::default();
        rewriter.begin(outbox.shared(), None);
        assert!(rewriter.is_under_way());
        outbox.shared().fail("the drive is gone".into());
        rewriter.go_on(outbox.shared());
        assert!(!rewriter.is_under_way());
        assert_eq!(store(), before, "whatever it holds, the copy may lack it");
    }
}
