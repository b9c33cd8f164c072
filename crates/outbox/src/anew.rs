//! A damaged store: found before the engine opens it, and made anew of what can be read of it.
//!
//! Owns:  what counts as damage, what a fresh store is made of, where the damaged one is kept.
//! Never: lets the engine open a store that is damaged: it writes over what stands behind a message that it cannot read, or passes
//!        over it.
//!
//! A cut of the power leaves what looks like damage where nothing was promised yet; the log tells the two apart, and where it
//! cannot, the seal does.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::crash;
use crate::disk::{Disk, Sizes, io_error, panic_text, sync_path};
use crate::entry::Counters;
use crate::error::{Error, OpenError, Result};
use crate::limits::{KEPT_SPOOLS_MAX, SCAN_BYTES_MAX, SCAN_TAIL_BYTES_MAX};
use crate::reserve;
use crate::salvage::{self, Log, Range};
use crate::spool::{self, Aside, Opened, Spool};
use crate::verify::{self, Lost};
use crate::{keys, record, seal};

/// How the name of a damaged store begins that is kept, and how that of one ends that is not whole yet.
const KEPT: &str = "spool-";
const PART: &str = "part";

/// In such a store, until a start has said that there is one.
const UNSAID: &str = "unsaid";

/// What can be read of a store without the engine.
pub(crate) struct Salvage {
    log: Log,
    pub(crate) is_damaged: bool,
    /// Nobody can tell which rows are those that were committed last.
    all_may_be_old: bool,
}

impl Salvage {
    /// Reads the store in `store`, which nobody has open.
    pub(crate) fn of(
        store: &Path,
        segment_bytes: usize,
        seal: Option<&Counters>,
    ) -> std::result::Result<Self, OpenError> {
        let db = store.join("db");
        let read = |until| Log::read(&db, segment_bytes, until).map_err(io_error("reading", &db));
        let lacks_promised = |counters: Option<&Counters>| {
            seal.is_some_and(|seal| counters.is_none_or(|counters| verify::is_behind(seal, counters)))
        };
        let lacks_rows = |log: &Log| log.lacks_rows().map_err(io_error("reading", &db));
        let log = read(u64::MAX)?;
        let counters = counters_of(&log);
        let is_damaged = log.is_damaged();
        if let Some(from) = log.taken_back_from() {
            let rest = read(from)?;
            if !lacks_promised(counters_of(&rest).as_ref()) {
                let all_may_be_old = lacks_rows(&rest)?;
                return Ok(Self { log: rest, is_damaged, all_may_be_old });
            }
            // The seal knows what stood there: it was on the drive. What of it cannot be read may have changed anything.
            return Ok(Self { log, is_damaged: true, all_may_be_old: true });
        }
        // Without counters nobody can tell what came last.
        let all_may_be_old = counters.is_none() || lacks_promised(counters.as_ref()) || lacks_rows(&log)?;
        Ok(Self { log, is_damaged, all_may_be_old })
    }

    /// Makes a store of it in `dir`, which exists and is empty.
    pub(crate) fn write(&self, dir: &Path, sizes: Sizes) -> std::result::Result<Disk, OpenError> {
        Disk::of_rows(dir, Sizes { reserve_bytes: 0, ..sizes }, &self.log, self.all_may_be_old)
    }
}

fn counters_of(log: &Log) -> Option<Counters> {
    log.value(keys::COUNTERS).and_then(|bytes| record::decode(keys::COUNTERS, &bytes).ok())
}

/// How much is looked through for an open: all of a small store, and of a large one what the engine is about to read.
pub(crate) fn range(store: &Path, asks_for_check: bool) -> Range {
    let is_small = fs::metadata(store.join("db")).is_ok_and(|db| db.len() <= SCAN_BYTES_MAX);
    if is_small || asks_for_check {
        return Range::WHOLE;
    }
    Range { since: salvage::read_from(store), bytes_max: SCAN_TAIL_BYTES_MAX }
}

/// What a store that the engine has opened says of itself.
pub(crate) struct Looked {
    /// What the seal knows and it does not.
    pub(crate) lost: Option<Lost>,
    /// Whether its rows are those that were committed last; `None` where it does not know, `Some(true)` where nobody asked.
    pub(crate) adds_up: Option<bool>,
}

impl Looked {
    pub(crate) fn is_whole(&self) -> bool {
        self.lost.is_none() && self.adds_up != Some(false)
    }
}

/// Looks whether a store lacks something, or can be read no further: at what stands last, or at all of it.
pub(crate) fn look(disk: &Disk, seal: Option<&Counters>, all: bool) -> Result<Looked> {
    let look = || {
        let adds_up = if all { disk.engine.adds_up()? } else { Some(true) };
        Ok(Looked { lost: verify::lost(seal, disk)?, adds_up })
    };
    // The engine panics on some damage.
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|panic| Err(Error::Unhealthy { reason: panic_text(panic.as_ref()) }))
}

/// The store that was opened, or one made of what can be read of it where it lacks something or can be read no further.
pub(crate) fn whole(mut opened: Opened, sizes: Sizes) -> std::result::Result<(Opened, Looked), OpenError> {
    let seal = opened.spool.seal();
    let all = opened.is_looked_through;
    let look = |disk: &Disk| match (look(disk, seal.as_ref(), all), disk.engine.failure()) {
        // A look writes a little, too; for want of room nothing is made anew.
        (_, Some(error)) => Err(error.in_open(opened.spool.path())),
        (looked, None) => Ok(looked),
    };
    let mut looked = look(&opened.disk)?;
    if !opened.is_made_anew && !looked.as_ref().is_ok_and(Looked::is_whole) {
        drop(opened.disk);
        opened.disk = opened.spool.make_anew(sizes)?;
        opened.is_made_anew = true;
        looked = look(&opened.disk)?;
    }
    let reason =
        |error: Error| OpenError::Corrupt { path: opened.spool.path().into(), reason: error.to_string() };
    let looked = looked.map_err(reason)?;
    Ok((opened, looked))
}

/// What can be read of the spool's store, if it is damaged.
pub(crate) fn damaged(
    spool: &Spool,
    segment_bytes: usize,
    range: Range,
) -> std::result::Result<Option<Salvage>, OpenError> {
    let store = spool.store();
    let db = store.join("db");
    if !db.exists() {
        // Nothing is left to be read; the seal tells what is missing.
        return Ok(None);
    }
    if !salvage::is_torn(&db, segment_bytes, range).map_err(io_error("reading", &db))? {
        return Ok(None);
    }
    let salvage = Salvage::of(&store, segment_bytes, spool.seal().as_ref())?;
    Ok(Some(salvage).filter(|salvage| salvage.is_damaged))
}

/// Puts a store made of what can be read in the place of the spool's own, which nobody has open, and keeps that.
pub(crate) fn make(spool: &Spool, salvage: &Salvage, sizes: Sizes) -> std::result::Result<(), OpenError> {
    // What was kept for the damaged one is wanted for its successor.
    reserve::give_back(&spool.store());
    let made = crash::around("make anew", || {
        salvage.write(&spool.begin_rewrite()?, sizes)?;
        spool.ask_for_check().map_err(io_error("asking for a check of", spool.path()))?;
        crash::around("write anew", || spool::write_file(&spool.path().join(spool::ANEW), b"anew\n"))?;
        spool.finish_rewrite()
    });
    made.inspect_err(|_| spool.drop_rewrite())?;
    spool.exchange_store(Aside::Damaged)
}

/// Keeps a damaged store whose successor is in its place, as a spool by itself; but not one too many. Wherever this is cut short, it
/// can be done again.
pub(crate) fn keep(path: &Path, damaged: &Path) -> std::result::Result<(), OpenError> {
    let quarantine = path.join(spool::QUARANTINE);
    finish_parts(&quarantine)?;
    if !damaged.exists() {
        return Ok(());
    }
    let kept = kept(&quarantine);
    if kept.len() >= KEPT_SPOOLS_MAX {
        return spool::remove_folder(damaged);
    }
    let part = quarantine.join(format!("{KEPT}{}", next_number(&kept))).with_extension(PART);
    spool::make_dir(&part.join("payloads"))?;
    for file in fs::read_dir(path.join("payloads")).into_iter().flatten().flatten() {
        // A payload that cannot be linked is told as missing by whoever looks.
        let _ = fs::hard_link(file.path(), part.join("payloads").join(file.file_name()));
    }
    for name in seal::NAMES {
        if let Ok(seal) = fs::read(path.join(name)) {
            spool::write_file(&part.join(name), &seal)?;
        }
    }
    spool::write_file(&part.join(UNSAID), b"unsaid\n")?;
    spool::write_marks(&part)?;
    for synced in [part.join("payloads"), part.clone(), quarantine.clone(), path.to_owned()] {
        sync_path(&synced)?;
    }
    let moved = crash::around("keep store", || fs::rename(damaged, part.join("store")));
    moved.map_err(io_error("renaming", damaged))?;
    sync_path(&part)?;
    sync_path(path)?;
    finish_parts(&quarantine)
}

/// Gives what was kept its name, and removes what was only begun.
fn finish_parts(quarantine: &Path) -> std::result::Result<(), OpenError> {
    for entry in fs::read_dir(quarantine).into_iter().flatten().flatten() {
        let part = entry.path();
        if part.extension().is_none_or(|extension| extension != PART) {
            continue;
        }
        if part.join("store").exists() {
            let named = crash::around("name kept", || fs::rename(&part, part.with_extension("")));
            named.map_err(io_error("renaming", &part))?;
            sync_path(quarantine)?;
        } else {
            spool::remove_folder(&part)?;
        }
    }
    Ok(())
}

fn kept(quarantine: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(quarantine).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some() || path.join("store").is_dir()).collect()
}

fn number(kept: &Path) -> Option<u32> {
    kept.file_name()?.to_str()?.strip_prefix(KEPT)?.parse().ok()
}

fn next_number(kept: &[PathBuf]) -> u32 {
    kept.iter().filter_map(|kept| number(kept)).max().unwrap_or(0).saturating_add(1)
}

/// Whether the store was made anew, and no start has said so yet.
pub(crate) fn is_unsaid(spool: &Spool) -> bool {
    spool.path().join(spool::ANEW).exists()
}

/// The damaged store of which that is true, if it is kept.
pub(crate) fn kept_and_unsaid(spool: &Spool) -> Option<PathBuf> {
    kept(&spool.path().join(spool::QUARANTINE)).into_iter().find(|kept| kept.join(UNSAID).exists())
}

/// A start says so.
pub(crate) fn say(spool: &Spool, kept: Option<&Path>) -> std::result::Result<(), OpenError> {
    for folder in [kept.map(|kept| (kept, UNSAID)), is_unsaid(spool).then(|| (spool.path(), spool::ANEW))] {
        let Some((folder, name)) = folder else { continue };
        let mark = folder.join(name);
        crash::around("say anew", || fs::remove_file(&mark)).map_err(io_error("removing", &mark))?;
        sync_path(folder)?;
    }
    Ok(())
}
