//! The open: a spool becomes an open outbox.
//!
//! Owns:  the order of what an open finds, puts right and tells; the report of it.
//! Never: lets go of what only it knows before somebody has heard its report: where it is cut short, the next one finds the same.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::anew::{self, Findings};
use crate::clock::{SpoolClock, Timestamp};
use crate::config::{Committer, Config};
use crate::disk::{Disk, Rows, Sizes};
use crate::drive::{io_error, panic_text};
use crate::entry::Counters;
use crate::error::{Error, OpenError, Result};
use crate::group::read_counters;
use crate::limits::{SEGMENT_BYTES, SEGMENT_BYTES_BY_HAND};
use crate::looker::Looker;
use crate::outbox::Inner;
use crate::queue::Kind;
use crate::shared::Shared;
use crate::spool::{self, Opened, Spool};
use crate::unsaid::{self, Note, Unsaid};
use crate::verbs::{self, Before};
use crate::verify::{self, Lost};
use crate::writer::Writer;
use crate::{crash, keys, seal};

/// What an open found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The last process closed the spool in order, or the spool is new.
    pub clean: bool,
    /// Everything was looked at: the machine may have stopped under the last process, or something had gone wrong.
    pub checked: bool,
    /// Attempts that a dead process left behind.
    pub interrupted: u64,
    /// What is derived disagreed with the records and was made anew.
    pub rebuilt: bool,
    /// Records set aside because they could not be read, since the spool was made.
    pub quarantined: u64,
    /// What was acknowledged and is missing.
    pub lost: Option<Lost>,
    /// Messages that were counted and of which no record can be read, neither of their way nor of their end.
    pub missing: u64,
    /// Payload files that no record named, removed.
    pub orphans: u64,
    /// The store was damaged, and was made anew of what could be read of it.
    pub is_made_anew: bool,
    /// The file that says which format the spool has was damaged, and was written anew.
    pub is_mark_mended: bool,
    /// As it was, it lies here, a spool by itself; nowhere where too many are kept already.
    pub kept: Option<std::path::PathBuf>,
}

/// Opens the spool, or makes one; lets go of what only the open knows once `tell` has heard it.
pub(crate) fn open(
    config: Config,
    tell: impl FnOnce(&OpenReport, &Counters) -> io::Result<()>,
) -> std::result::Result<Inner, OpenError> {
    let path = config.path.clone();
    let opened = try_open(config.clone()).or_else(|error| match error {
        // A large store was looked at in part: a second try looks at all of it, and saves the rest.
        OpenError::Corrupt { .. } if spool::ask_for_check_of_closed(&path).unwrap_or(false) => {
            try_open(config)
        }
        error => Err(error),
    })?;
    let counters = *opened.shared.snapshot();
    tell(&opened.report, &counters).map_err(io_error("telling what was found in", &path))?;
    // What was not let go of must not be marked as closed in order.
    let_go(&opened).inspect_err(|error| drop(opened.shared.fail(error.to_string())))?;
    Ok(opened)
}

/// The last step: where it is not reached, the next open finds what this one found.
fn let_go(opened: &Inner) -> std::result::Result<(), OpenError> {
    let (shared, path) = (&opened.shared, opened.shared.spool.path());
    seal::release(shared, opened.report.is_made_anew).map_err(|error| error.in_open(path))?;
    if !shared.disk.engine.has_met_damage() {
        shared.spool.checked().map_err(io_error("ending the check of", path))?;
    }
    unsaid::say(&shared.spool)
}

fn try_open(config: Config) -> std::result::Result<Inner, OpenError> {
    let path = config.path.clone();
    // The engine panics on some damage, also after its own open.
    catch_unwind(AssertUnwindSafe(|| open_once(config)))
        .unwrap_or_else(|panic| Err(OpenError::Corrupt { path, reason: panic_text(panic.as_ref()) }))
}

fn open_once(config: Config) -> std::result::Result<Inner, OpenError> {
    let (path, sizes) = (config.path.clone(), sizes(&config));
    let corrupt = |error: Error| OpenError::Corrupt { path: path.clone(), reason: error.to_string() };
    let opened = Spool::open(&path, &config.holder, sizes)?;
    let (opened, Findings { lost, adds_up }) = anew::whole(opened, sizes)?;
    let Opened { spool, disk, clean, is_mark_mended, .. } = opened;
    let sealed = spool.seal();
    seal::hold(&spool);
    let Unsaid { is_made_anew, note, kept } = Unsaid::of(&spool);
    let (in_store, counters_lost) = counters_of(&disk, sealed).map_err(&corrupt)?;
    let counters = past(in_store, sealed);
    let mark = (counters.clock.time > Timestamp(0)).then_some(counters.clock);
    let clock = SpoolClock::resume(Arc::clone(&config.clock), mark);
    // What the rows say of attempts is of their own boot.
    let left = if mark.is_some() { in_store.clock.boot } else { clock.boot() };
    let clock = clock.over_rows_of(left);
    let before = Before { clean, boot: left };
    // A process that is killed loses nothing that it gave to the system, and the engine takes back a group that is
    // there in part. Only a stop of the whole machine can leave more than that, or something that went wrong.
    let asked = spool.asks_for_check() || adds_up.is_none();
    let checked = asked || (!clean && before.boot != clock.boot());
    let rebuilt = counters != in_store
        || counters_lost
        || !verify::looks_right(&disk, &counters).map_err(&corrupt)?
        || (checked && !verify::agrees(&disk, &counters).map_err(&corrupt)?);
    let lost = Lost::all_of(note.lost, lost);
    let counted = note.counted.or((!counters_lost).then(|| counters.messages()));
    let known = Note { counted, lost };
    if (rebuilt || lost.is_some()) && known != note {
        // What tells it now is about to be overwritten.
        known.write(&spool)?;
    }
    let shared = Arc::new(Shared::new(disk, spool, clock, config, counters, rebuilt));
    let writer = Writer::start(&shared).map_err(io_error("starting the writer of", &path))?;
    let report = OpenReport {
        clean,
        checked,
        rebuilt,
        lost,
        is_made_anew,
        is_mark_mended,
        kept,
        ..OpenReport::default()
    };
    // Whatever ends the open from here on ends its threads, too.
    let mut opened = Inner { shared, writer, looker: Looker::idle(), report };
    opened.report.interrupted = end_attempts(&opened, before)?;
    let Inner { shared, looker, report, .. } = &mut opened;
    report.missing = counted.map_or(0, |counted| counted.saturating_sub(shared.snapshot().messages()));
    report.orphans = sweep(&shared.spool, &shared.disk, is_made_anew || report.missing > 0)?;
    report.quarantined = shared.snapshot().quarantined;
    if let Committer::Thread = shared.committer {
        *looker = Looker::start(shared).map_err(io_error("starting the looker of", &path))?;
    }
    Ok(opened)
}

fn sizes(config: &Config) -> Sizes {
    let segment_bytes = match config.committer {
        Committer::Thread => SEGMENT_BYTES,
        Committer::ByHand { .. } => SEGMENT_BYTES_BY_HAND,
    };
    Sizes { segment_bytes, reserve_bytes: config.reserve_bytes }
}

/// The counters, and whether those that the store had are lost.
fn counters_of(disk: &Disk, sealed: Option<Counters>) -> Result<(Counters, bool)> {
    match read_counters(disk) {
        Ok(Some(counters)) => Ok((counters, false)),
        // A spool in which nothing ever changed has none; one with messages, or a seal that knows some, has lost them.
        Ok(None) => {
            let counters = first_counters(sealed);
            let is_used = counters.next_seq > 1 || counters.next_event > 1;
            Ok((counters, is_used || has_messages(disk)?))
        }
        Err(Error::BadRecord { .. }) => Ok((first_counters(sealed), true)),
        Err(error) => Err(error),
    }
}

/// The counters of a spool that has none: a new one, or one that lost them.
fn first_counters(seal: Option<Counters>) -> Counters {
    let known = seal.unwrap_or_default();
    Counters {
        // 0 means "from the oldest kept" to a reader of events, so sequences begin at 1.
        next_seq: known.next_seq.max(1),
        next_event: known.next_event.max(1),
        event_floor: known.event_floor.max(1),
        data_floor: known.data_floor,
        sent_total: known.sent_total,
        paused: known.paused,
        clock: known.clock,
        ..Counters::default()
    }
}

/// Those of a store that lacks what the seal knows: numbers and times that were given are not given again, what was given up
/// is not looked for, and a pause that was acknowledged stays.
fn past(counters: Counters, seal: Option<Counters>) -> Counters {
    let Some(seal) = seal.filter(|seal| verify::is_behind(seal, &counters)) else { return counters };
    let clock = if seal.clock.time > counters.clock.time { seal.clock } else { counters.clock };
    Counters {
        next_seq: counters.next_seq.max(seal.next_seq),
        next_event: counters.next_event.max(seal.next_event),
        data_floor: counters.data_floor.max(seal.data_floor),
        sent_total: counters.sent_total.max(seal.sent_total),
        paused: seal.paused,
        clock,
        ..counters
    }
}

fn has_messages(disk: &Disk) -> Result<bool> {
    Ok(disk.next(&keys::messages(), &keys::messages())?.is_some())
}

fn sweep(spool: &Spool, disk: &Disk, may_be_lost: bool) -> std::result::Result<u64, OpenError> {
    // What cannot be read may name it.
    let is_named = |name| disk.get(&keys::file(name)).map_or(true, |row| row.is_some());
    crash::around("sweep", || spool.sweep_payloads(is_named, may_be_lost))
        .map_err(io_error("sweeping the payloads of", spool.path()))
}

/// Ends the attempts that a dead process left behind; answers how many.
fn end_attempts(opened: &Inner, before: Before) -> std::result::Result<u64, OpenError> {
    let Inner { shared, writer, .. } = opened;
    let interrupted = shared.snapshot().sending;
    end_each(shared, writer, before).map_err(|error| {
        let path = shared.spool.path();
        if shared.is_stuck() {
            let source = io::ErrorKind::StorageFull.into();
            return OpenError::Io { action: "mending", path: path.into(), source };
        }
        OpenError::Corrupt { path: path.into(), reason: error.to_string() }
    })?;
    Ok(interrupted.saturating_sub(shared.snapshot().sending))
}

fn end_each(shared: &Arc<Shared>, writer: &Writer, before: Before) -> Result<()> {
    for part in [verbs::recover, verbs::end_windows] {
        let mut from = None;
        loop {
            let ended = writer.submit(shared, Kind::Request, "recover", move |tx, _| part(tx, before, from));
            from = ended.wait()?;
            if from.is_none() {
                break;
            }
        }
    }
    shared.clock.arrive();
    let noted = writer.submit(shared, Kind::Request, "recover", |tx, _| {
        verbs::note_boot(tx);
        Ok(())
    });
    noted.wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BootId, Clock, ClockMark, Reading, WallTime};
    use crate::{LeaseRequest, Message, Outbox, Submit};

    struct InBoot(u8);

    impl Clock for InBoot {
        fn read(&self) -> Reading {
            let boot = BootId([self.0; 16]);
            Reading { wall: WallTime(1_800_000_000_000), since_boot_ms: 5_000, boot }
        }
    }

    fn in_boot(path: &std::path::Path, boot: u8) -> Config {
        Config { clock: Arc::new(InBoot(boot)), min_free_bytes: 0, ..Config::new(path) }
    }

    /// A life that ends while its message "a" is under way.
    fn cut_in_an_attempt(config: Config) {
        let outbox = Outbox::open(config).unwrap();
        let (msg_id, account, conversation) = ("a".to_owned(), "default".into(), "c".into());
        let message = b"{}".to_vec();
        outbox.submit(Submit { msg_id, account, conversation, message, ..Submit::default() }).wait().unwrap();
        assert_eq!(outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait().unwrap().len(), 1);
        outbox.shared().fail("the power is cut".into());
    }

    #[test]
    fn a_store_goes_on_behind_what_its_seal_knows() {
        let mark = |time, boot| ClockMark {
            boot: BootId([boot; 16]),
            since_boot_ms: 7,
            time: Timestamp(time),
            wall: WallTime(9),
        };
        let store = Counters {
            next_seq: 10,
            next_event: 20,
            event_floor: 3,
            data_floor: 4,
            sent_total: 5,
            waiting: 6,
            clock: mark(100, 1),
            ..Counters::default()
        };
        assert_eq!(past(store, None), store);
        assert_eq!(past(store, Some(Counters { paused: true, ..store })), store, "it knows no more");
        let seal = Counters {
            next_seq: 12,
            next_event: 19,
            event_floor: 8,
            data_floor: 9,
            sent_total: 7,
            waiting: 1,
            paused: true,
            clock: mark(200, 2),
            ..store
        };
        // Receipts below the floor of events would never be given up.
        let known =
            Counters { next_seq: 12, data_floor: 9, sent_total: 7, paused: true, clock: seal.clock, ..store };
        assert_eq!(past(store, Some(seal)), known);
        assert_eq!(past(known, Some(seal)), known, "once and for all");
    }

    #[test]
    fn time_goes_on_from_the_seal_and_an_attempt_of_another_boot_has_ended_with_that() {
        let dir = tempfile::tempdir().unwrap();
        let config = |boot| in_boot(dir.path(), boot);
        cut_in_an_attempt(config(1));
        // The next boot came further, before the wall clock was set; of that the store knows nothing.
        let seal = seal::Seal::of(dir.path());
        let known = seal.read().unwrap();
        let time = known.clock.time.plus_ms(60_000);
        let clock = ClockMark { boot: BootId([2; 16]), since_boot_ms: 4_000, time, wall: WallTime(70_000) };
        let beyond = Counters { clock, ..known };
        seal.write_last(&crate::record::encode(keys::SEAL, &beyond).unwrap()).unwrap();
        let outbox = Outbox::open(config(2)).unwrap();
        assert!(outbox.report().lost.is_some());
        assert_eq!(outbox.now().time, time.plus_ms(1_000));
        let Ok(Message::Entry(view)) = outbox.get("a") else { panic!("it waits") };
        assert_eq!(view.entry.delivery.deaths, 0, "the machine stopped, in the boot that began it");
    }

    #[test]
    fn a_reboot_is_seen_until_what_it_cut_short_has_been_ended() {
        let dir = tempfile::tempdir().unwrap();
        let config = |boot| in_boot(dir.path(), boot);
        cut_in_an_attempt(config(1));
        {
            // An open that makes anew what is derived, and comes no further.
            let config = config(2);
            let Opened { spool, disk, .. } =
                Spool::open(dir.path(), &config.holder, sizes(&config)).ok().unwrap();
            let counters = read_counters(&disk).unwrap().unwrap();
            let clock = SpoolClock::resume(Arc::clone(&config.clock), Some(counters.clock));
            let shared = Arc::new(Shared::new(disk, spool, clock, config, counters, true));
            let writer = Writer::start(&shared).unwrap();
            assert!(read_counters(&shared.disk).unwrap().unwrap().next_seq > 1);
            shared.fail("it is killed".into());
            writer.stop(&shared);
        }
        let outbox = Outbox::open(config(2)).unwrap();
        assert_eq!(outbox.report().interrupted, 1);
        let Ok(Message::Entry(view)) = outbox.get("a") else { panic!("it waits") };
        let delivery = view.entry.delivery;
        assert_eq!(delivery.deaths, 0, "the machine stopped: nothing says that the attempt killed anybody");
        let unresolved = delivery.unresolved.unwrap();
        assert_eq!(unresolved.window_end, unresolved.since, "how long the machine was off, nobody knows");
    }
}
