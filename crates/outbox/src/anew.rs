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
use crate::disk::{Disk, Sizes};
use crate::drive::{io_error, panic_text, sync_path};
use crate::entry::Counters;
use crate::error::{Error, OpenError, Result};
use crate::files;
use crate::layout;
use crate::limits::{KEPT_SPOOLS_MAX, SCAN_BYTES_MAX, SCAN_TAIL_BYTES_MAX};
use crate::reserve;
use crate::salvage::{self, Log, Range};
use crate::seal::{self, Seal};
use crate::spool::{self, Aside, Opened, Spool};
use crate::unsaid::{self, Note, Unsaid};
use crate::verify::{self, Lost};
use crate::{keys, record};

/// How the name of a damaged store begins that is kept, and how that of one ends that is not whole yet.
const KEPT: &str = "spool-";
const PART: &str = "part";

/// What can be read of a store without the engine.
pub(crate) struct Salvage {
    log: Log,
    pub(crate) is_damaged: bool,
    /// Nobody can tell which rows are those that were committed last.
    all_may_be_old: bool,
    /// Messages that should be there, where anything that can be read says so, and what an open before this one found missing.
    pub(crate) note: Note,
}

impl Salvage {
    /// Reads the spool's store, which nobody has open.
    pub(crate) fn of(spool: &Spool, segment_bytes: usize) -> std::result::Result<Self, OpenError> {
        let (db, seal) = (spool.store().join("db"), &spool.seal);
        // What a store that was made anew lacks is known, until a start has told it.
        let unsaid = Unsaid::of(spool);
        let sealed = seal.read().filter(|_| !unsaid.is_made_anew);
        let known = sealed.as_ref();
        let note = |counters: Option<&Counters>| {
            let counted = unsaid.note.counted.or_else(|| counted(counters, known));
            Note { counted, ..unsaid.note }
        };
        let read = |until| Log::read(&db, segment_bytes, until).map_err(io_error("reading", &db));
        let is_older = |log: &Log| {
            if log.is_torn() {
                return Ok(false);
            }
            let adds_up = log.adds_up().map_err(io_error("reading", &db))?;
            Ok(!adds_up.unwrap_or(!seal.has_followed()))
        };
        let log = read(u64::MAX)?;
        let is_damaged = log.is_damaged();
        if let Some(from) = log.taken_back_from() {
            let rest = read(from)?;
            let counters = counters_of(&rest);
            if !lacks_promised(counters.as_ref(), known) {
                let (all_may_be_old, note) = (is_older(&rest)?, note(counters.as_ref()));
                return Ok(Self { log: rest, is_damaged, all_may_be_old, note });
            }
            // The seal knows what stood there: it was on the drive. What of it cannot be read may have changed anything.
            let note = note(counters_of(&log).as_ref());
            return Ok(Self { log, is_damaged: true, all_may_be_old: true, note });
        }
        let counters = counters_of(&log);
        let note = note(counters.as_ref());
        // Without counters nobody can tell what came last.
        let all_may_be_old =
            counters.is_none() || lacks_promised(counters.as_ref(), known) || is_older(&log)?;
        Ok(Self { log, is_damaged, all_may_be_old, note })
    }

    /// Makes a store of it in `dir`, which exists and is empty.
    pub(crate) fn write(&self, dir: &Path, sizes: Sizes) -> std::result::Result<Disk, OpenError> {
        Disk::of_rows(dir, Sizes { reserve_bytes: 0, ..sizes }, &self.log, self.all_may_be_old)
    }
}

fn counters_of(log: &Log) -> Option<Counters> {
    log.value(keys::COUNTERS).and_then(|bytes| record::decode(keys::COUNTERS, &bytes).ok())
}

/// Whether a store with these counters lacks what the seal knows.
fn lacks_promised(counters: Option<&Counters>, seal: Option<&Counters>) -> bool {
    seal.is_some_and(|seal| counters.is_none_or(|counters| verify::is_behind(seal, counters)))
}

/// How many messages there should be: as the seal says where it knows more.
fn counted(counters: Option<&Counters>, seal: Option<&Counters>) -> Option<u64> {
    let known = if lacks_promised(counters, seal) { seal } else { counters };
    known.map(Counters::messages)
}

/// How much is looked through for an open: all of a small store, and of a large one what the engine is about to read.
pub(crate) fn range(store: &Path, asks_for_check: bool) -> Range {
    let is_small = fs::metadata(store.join("db")).is_ok_and(|db| db.len() <= SCAN_BYTES_MAX);
    if is_small || asks_for_check {
        return Range::WHOLE;
    }
    Range { since: salvage::read_from(store), bytes_max: SCAN_TAIL_BYTES_MAX }
}

/// What a look at a store that the engine has opened has found.
pub(crate) struct Findings {
    /// What the seal knows and it does not.
    pub(crate) lost: Option<Lost>,
    /// Whether its rows are those that were committed last; `None` where it does not know, `Some(true)` where nobody asked.
    pub(crate) adds_up: Option<bool>,
}

impl Findings {
    pub(crate) fn is_whole(&self) -> bool {
        self.lost.is_none() && self.adds_up != Some(false)
    }
}

/// Looks whether a store lacks something, or can be read no further: at what stands last, or at all of it.
pub(crate) fn look(disk: &Disk, seal: &Seal, all: bool) -> Result<Findings> {
    let look = || {
        let adds_up = if all { disk.engine.adds_up()? } else { disk.engine.knows_total().then_some(true) };
        // It has lost what it knew.
        let adds_up = adds_up.or_else(|| seal.has_followed().then_some(false));
        Ok(Findings { lost: verify::lost(seal.read().as_ref(), disk)?, adds_up })
    };
    // The engine panics on some damage.
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|panic| Err(Error::Unhealthy { reason: panic_text(panic.as_ref()) }))
}

/// The store that was opened, or one made of what can be read of it where it lacks something or can be read no further.
pub(crate) fn whole(mut opened: Opened, sizes: Sizes) -> std::result::Result<(Opened, Findings), OpenError> {
    let all = opened.is_looked_through;
    let look = |disk: &Disk| match (look(disk, &opened.spool.seal, all), disk.engine.failure()) {
        // A look writes a little, too; for want of room nothing is made anew.
        (_, Some(error)) => Err(error.in_open(opened.spool.path())),
        (found, None) => Ok(found),
    };
    let mut found = look(&opened.disk)?;
    // Of one that was made anew and that no start has told of yet, it is known what it lacks.
    let is_known = |found: &Findings| found.adds_up != Some(false) && unsaid::is_made_anew(&opened.spool);
    let is_fine = found.as_ref().is_ok_and(|found| found.is_whole() || is_known(found));
    if !opened.is_made_anew && !is_fine {
        drop(opened.disk);
        opened.disk = opened.spool.make_anew(sizes)?;
        opened.is_made_anew = true;
        found = look(&opened.disk)?;
    }
    let reason =
        |error: Error| OpenError::Corrupt { path: opened.spool.path().into(), reason: error.to_string() };
    let found = found.map_err(reason)?;
    Ok((opened, found))
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
    // A spool that is finished has something in it.
    let is_empty = fs::metadata(&db).is_ok_and(|db| db.len() == 0);
    if !is_empty && !salvage::is_torn(&db, segment_bytes, range).map_err(io_error("reading", &db))? {
        return Ok(None);
    }
    let salvage = Salvage::of(spool, segment_bytes)?;
    Ok(Some(salvage).filter(|salvage| is_empty || salvage.is_damaged))
}

/// Puts a store made of what can be read in the place of the spool's own, which nobody has open, and keeps that.
pub(crate) fn make(spool: &Spool, salvage: &Salvage, sizes: Sizes) -> std::result::Result<(), OpenError> {
    // What was kept for the damaged one is wanted for its successor.
    reserve::give_back(&spool.store());
    let made = crash::around("make anew", || {
        let new = spool.begin_rewrite()?;
        salvage.write(&new, sizes)?;
        spool.ask_for_check().map_err(io_error("asking for a check of", spool.path()))?;
        crash::around("write anew", || {
            files::write_file(&new.join(unsaid::ANEW), salvage.note.text().as_bytes())
        })?;
        spool.finish_rewrite()
    });
    made.inspect_err(|_| spool.drop_rewrite())?;
    spool.exchange_store(Aside::Damaged)
}

/// Keeps a damaged store whose successor is in its place, as a spool by itself; but not one too many. Wherever this is cut short, it
/// can be done again.
pub(crate) fn keep(path: &Path, damaged: &Path) -> std::result::Result<(), OpenError> {
    let quarantine = path.join(layout::QUARANTINE);
    finish_parts(&quarantine)?;
    if !damaged.exists() {
        return Ok(());
    }
    let kept = kept(&quarantine);
    if kept.len() >= KEPT_SPOOLS_MAX {
        return files::remove_folder(damaged);
    }
    let part = quarantine.join(format!("{KEPT}{}", next_number(&kept))).with_extension(PART);
    files::make_dir(&part.join("payloads"))?;
    for file in fs::read_dir(path.join("payloads")).into_iter().flatten().flatten() {
        // A payload that cannot be linked is told as missing by whoever looks.
        let _ = crash::around("link payload", || {
            fs::hard_link(file.path(), part.join("payloads").join(file.file_name()))
        });
    }
    for name in seal::NAMES {
        if let Ok(seal) = files::read_head(&path.join(name), seal::BYTES_MAX) {
            crash::around("copy seal", || files::write_file(&part.join(name), &seal))?;
        }
    }
    crash::around("write unsaid", || files::write_file(&part.join(unsaid::KEPT), b"unsaid\n"))?;
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
            files::remove_folder(&part)?;
        }
    }
    Ok(())
}

/// Damaged stores that are kept.
pub(crate) fn kept(quarantine: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(quarantine).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some() || path.join("store").is_dir()).collect()
}

/// The number in the name of a damaged store that is kept.
pub(crate) fn number(kept: &Path) -> Option<u32> {
    kept.file_name()?.to_str()?.strip_prefix(KEPT)?.parse().ok()
}

fn next_number(kept: &[PathBuf]) -> u32 {
    kept.iter().filter_map(|kept| number(kept)).max().unwrap_or(0).saturating_add(1)
}
