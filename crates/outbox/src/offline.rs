//! A spool that nobody has open, looked at without changing it.
//!
//! Owns:  the private copy of the store that is looked at, or the store made of what can be read out of a damaged one; the walk
//!        over its messages, the check of it.
//! Never: writes to the spool itself: even opening sled changes its files, so a copy is opened.

use std::fs;
use std::path::{Path, PathBuf};

use crate::anew::{self, Salvage};
use crate::chance::{SystemChance, fresh_token};
use crate::clock::{Moment, Timestamp, WallTime};
use crate::disk::{Disk, Sizes};
use crate::drive::io_error;
use crate::entry::{Counters, Entry, Kept, Phase, Place, Receipt, Unresolved, hex};
use crate::error::{Error, OpenError, Result};
use crate::files::copy_files;
use crate::group::read_counters;
use crate::keys;
use crate::limits::SEGMENT_BYTES;
use crate::salvage::Range;
use crate::spool::Spool;
use crate::tx::{Record, decode_message, load_message};
use crate::unsaid::Unsaid;
use crate::verify::{self, Lost};
use crate::view::{self, Payload};

/// Keys of records that cannot be read which a check names; more of them are counted.
const BAD_NAMED_MAX: usize = 100;

/// A message as it lies in a spool.
#[derive(Clone, Debug, PartialEq)]
pub enum Exported {
    /// One that is kept.
    Entry {
        /// Its record; its schedule stands on the wall clock (see [`wall_of`]).
        entry: Box<Entry>,
        /// Its payload; `None` where none is kept or it cannot be read.
        payload: Option<Payload>,
    },
    /// One that has ended.
    Receipt {
        /// Its receipt; its schedule stands on the wall clock.
        receipt: Box<Receipt>,
        /// Its replacement; `None` where none is kept or it cannot be read.
        data: Option<Vec<u8>>,
    },
}

/// What a check found. Everything but the first three numbers should be zero, or true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Entries that can be read.
    pub entries: u64,
    /// Receipts that can be read.
    pub receipts: u64,
    /// Records that were set aside before.
    pub set_aside: u64,
    /// Whether the last process closed the spool in order.
    pub clean: bool,
    /// Entries and receipts that cannot be read.
    pub bad_records: u64,
    /// Their keys, up to a hundred.
    pub bad_keys: Vec<String>,
    /// Entries whose payload cannot be read.
    pub bad_payloads: u64,
    /// Their msgIDs, up to a hundred.
    pub bad_payload_ids: Vec<String>,
    /// Receipts whose replacement cannot be read.
    pub bad_data: u64,
    /// Whether the store has places that the storage engine cannot read, or lacks something; the next open makes it anew of the
    /// rest, and that is what the check has looked at.
    pub damaged: bool,
    /// Messages that are counted and of which no record can be read.
    pub missing: u64,
    /// Whether everything derived agrees with the records.
    pub derived_agrees: bool,
    /// Whether the mark of the spool's format cannot be read; a daemon does not open it then.
    pub bad_mark: bool,
    /// Acknowledged messages that are missing.
    pub lost: Option<Lost>,
}

impl Check {
    /// Whether nothing is wrong. A stop that was not in order is no damage.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.bad_records == 0
            && self.bad_payloads == 0
            && self.bad_data == 0
            && !self.damaged
            && self.missing == 0
            && self.derived_agrees
            && !self.bad_mark
            && self.lost.is_none()
    }
}

/// A spool that nobody has open.
pub struct Offline {
    // Before the folder that it lies in: sled must be gone when the folder is removed.
    disk: Disk,
    _copy: Scratch,
    spool: Spool,
    counters: Counters,
    /// Messages that there should be.
    counted: u64,
    clean: bool,
    is_damaged: bool,
}

impl Offline {
    /// Looks at the spool in `path` through a copy in the system's folder for temporary files. A process that a signal may end
    /// leaves the copy there: it rather names a folder that it removes itself ([`Offline::open_in`]).
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        Self::open_in(path, &std::env::temp_dir())
    }

    /// Copies the store of the spool in `path` into a new folder inside `folder` and opens the copy. Of one that is damaged, reads
    /// what it can out of the bytes of its file, also where the storage engine would not, and makes a store of that, as an open of
    /// the spool does. No other process can open the spool for writing until this is dropped.
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn open_in(path: &Path, folder: &Path) -> std::result::Result<Self, OpenError> {
        let spool = Spool::look(path)?;
        if let Some(salvage) = anew::damaged(&spool, SEGMENT_BYTES, Range::WHOLE)? {
            return Self::of_damaged(spool, &salvage, folder);
        }
        if !spool.store().join("db").exists() {
            // Nothing can be read out of what is not there; the seal tells what is missing.
            let copy = Scratch::new(folder)?;
            let disk = Disk::open(&copy.path, Sizes::WITHOUT_RESERVE)?;
            let counted = Unsaid::of(&spool).note.counted.or(spool.seal().map(|seal| seal.messages()));
            return Self::over(spool, copy, disk, true, counted);
        }
        let copy = Scratch::copy_of(&spool.store(), folder)?;
        match Disk::open(&copy.path, Sizes::WITHOUT_RESERVE) {
            Ok(disk) => {
                let looked = anew::look(&disk, &spool.seal, true);
                if let Some(error) = disk.engine.failure() {
                    return Err(error.in_open(&copy.path));
                }
                if looked.is_ok_and(|looked| looked.is_whole()) {
                    let counted = Unsaid::of(&spool).note.counted;
                    return Self::over(spool, copy, disk, false, counted);
                }
            }
            Err(OpenError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
        drop(copy);
        let salvage = Salvage::of(&spool, SEGMENT_BYTES)?;
        Self::of_damaged(spool, &salvage, folder)
    }

    fn of_damaged(spool: Spool, salvage: &Salvage, folder: &Path) -> std::result::Result<Self, OpenError> {
        let copy = Scratch::new(folder)?;
        let disk = salvage.write(&copy.path, Sizes::WITHOUT_RESERVE)?;
        Self::over(spool, copy, disk, true, salvage.note.counted)
    }

    /// Whether the store has places that the storage engine cannot read, or lacks something: this is what can be read of it, and
    /// what may have been changed since by something that cannot be read is taken for attempted.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    fn over(
        spool: Spool,
        copy: Scratch,
        disk: Disk,
        is_damaged: bool,
        counted: Option<u64>,
    ) -> std::result::Result<Self, OpenError> {
        let path = spool.path().to_owned();
        let corrupt = |error: Error| OpenError::Corrupt { path: path.clone(), reason: error.to_string() };
        let counters = match read_counters(&disk) {
            Ok(counters) => counters.unwrap_or_default(),
            // The check says so: nothing derived agrees with counters that are not there.
            Err(Error::BadRecord { .. }) => Counters::default(),
            Err(error) => return Err(corrupt(error)),
        };
        let (clean, counted) = (spool.is_clean(), counted.unwrap_or_else(|| counters.messages()));
        Ok(Self { disk, _copy: copy, spool, counters, counted, clean, is_damaged })
    }

    /// Writes the mark of the spool's format anew, where it cannot be read and everything else can.
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn mend_mark(&self) -> std::result::Result<(), OpenError> {
        if self.spool.has_mark() { Ok(()) } else { self.spool.write_mark() }
    }

    /// Asks the next open to look at everything, and to make anew what disagrees.
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn ask_for_check(&self) -> std::result::Result<(), OpenError> {
        self.spool.ask_for_check().map_err(io_error("asking for a check of", self.spool.path()))
    }

    /// Hands over every message: receipts in the order in which they ended, then entries in the order of
    /// acceptance. What cannot be read is counted and passed over. Needs some bytes of memory for each message.
    ///
    /// # Errors
    /// Those of `each`, and [`Error::Unhealthy`] where the store itself can be read no further.
    pub fn export<E: From<Error>>(
        &self,
        mut each: impl FnMut(Exported) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let (mut receipts, mut entries, mut bad) = (Vec::new(), Vec::new(), 0);
        self.walk(|_, record| match record {
            Some(Record::Receipt(receipt)) => receipts.push((receipt.seq, receipt.identity.msg_id)),
            Some(Record::Entry(entry)) => entries.push((entry.identity.seq, entry.identity.msg_id)),
            None => bad += 1,
        })?;
        receipts.sort_unstable();
        entries.sort_unstable();
        for (_, msg_id) in receipts.into_iter().chain(entries) {
            let record = load_message(&self.disk, &msg_id)?;
            match record {
                Some(Record::Receipt(receipt)) => each(self.receipt(receipt))?,
                Some(Record::Entry(entry)) => each(self.entry(entry))?,
                None => {}
            }
        }
        Ok(bad)
    }

    /// How many of the messages that are counted are not among so many that were read.
    #[must_use]
    pub const fn missing(&self, read: u64) -> u64 {
        self.counted.saturating_sub(read)
    }

    /// Looks at every record and everything derived from it.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] where the store itself can be read no further.
    pub fn check(&self) -> Result<Check> {
        let mut check = Check { clean: self.clean, bad_mark: !self.spool.has_mark(), ..Check::default() };
        self.walk(|key, record| match record {
            None => {
                check.bad_records += 1;
                if check.bad_keys.len() < BAD_NAMED_MAX {
                    check.bad_keys.push(key.escape_ascii().to_string());
                }
            }
            Some(Record::Entry(entry)) => {
                check.entries += 1;
                let missing = entry.payload != Place::Nowhere
                    && view::payload_of(&self.disk, &self.spool, &entry).is_err();
                if missing {
                    check.bad_payloads += 1;
                    if check.bad_payload_ids.len() < BAD_NAMED_MAX {
                        check.bad_payload_ids.push(entry.identity.msg_id);
                    }
                }
            }
            Some(Record::Receipt(receipt)) => {
                check.receipts += 1;
                check.bad_data += u64::from(self.lacks_data(&receipt));
            }
        })?;
        check.set_aside = self.spool.files_in_quarantine() as u64;
        let mut set_aside = self.disk.walk(&keys::quarantine())?;
        while set_aside.step()?.is_some() {
            check.set_aside += 1;
        }
        let lost = verify::lost(self.spool.seal().as_ref(), &self.disk)?;
        check.lost = Lost::all_of(Unsaid::of(&self.spool).note.lost, lost);
        check.damaged = self.is_damaged;
        check.missing = self.missing(check.entries + check.receipts);
        check.derived_agrees = check.bad_records == 0 && verify::agrees(&self.disk, &self.counters)?;
        Ok(check)
    }

    /// Whether a replacement is named, still promised, and cannot be read.
    fn lacks_data(&self, receipt: &Receipt) -> bool {
        receipt.data != Kept::Nowhere
            && receipt.seq >= self.counters.data_floor
            && !matches!(view::data_of(&self.disk, &self.spool, receipt), Ok(Some(_)))
    }

    /// Looks at all records; a leaf that cannot be read counts as one.
    fn walk(&self, mut each: impl FnMut(&[u8], Option<Record>)) -> Result<()> {
        let mut messages = self.disk.walk(&keys::messages())?;
        while let Some((key, bytes)) = messages.step()? {
            each(&key, decode_message(&key, &bytes).ok());
        }
        for own_key in self.disk.damaged_leaves() {
            each(&own_key, None);
        }
        Ok(())
    }

    fn entry(&self, mut entry: Entry) -> Exported {
        let payload = view::payload_of(&self.disk, &self.spool, &entry).ok();
        let then = self.then();
        on_wall_clock(&mut entry, |time| Timestamp(then.wall_of(time).0.max(0).unsigned_abs()));
        Exported::Entry { entry: Box::new(entry), payload }
    }

    fn receipt(&self, mut receipt: Receipt) -> Exported {
        let data = view::data_of(&self.disk, &self.spool, &receipt).ok().flatten();
        receipt.ended = Timestamp(receipt.at.0.max(0).unsigned_abs());
        receipt.identity.submitted = Timestamp(receipt.identity.submitted_at.0.max(0).unsigned_abs());
        Exported::Receipt { receipt: Box::new(receipt), data }
    }

    /// The last moment at which the spool's time and the wall clock were seen together.
    const fn then(&self) -> Moment {
        Moment { time: self.counters.clock.time, wall: self.counters.clock.wall }
    }
}

/// Moves all moments of an entry's schedule to another time line.
pub(crate) fn on_wall_clock(entry: &mut Entry, to: impl Fn(Timestamp) -> Timestamp) {
    let move_to = |time: &mut Timestamp| *time = to(*time);
    move_to(&mut entry.identity.submitted);
    let delivery = &mut entry.delivery;
    move_to(&mut delivery.deadline);
    if let Some(not_before) = &mut delivery.not_before {
        move_to(not_before);
    }
    if let Some(Unresolved { since, window_end, .. }) = &mut delivery.unresolved {
        move_to(since);
        move_to(window_end);
    }
    match &mut delivery.phase {
        Phase::Waiting { due, .. } => move_to(due),
        Phase::Held { stopped, due, .. } => {
            move_to(stopped);
            move_to(due);
        }
        Phase::Sending { started, .. } => move_to(started),
        Phase::Uncertain { .. } => {}
        Phase::Failed { keep_until, .. } | Phase::Expired { keep_until, .. } => move_to(keep_until),
    }
}

/// A folder of our own that goes with its owner.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(folder: &Path) -> std::result::Result<Self, OpenError> {
        let path = folder.join(format!("outbox-copy-{}", hex(&fresh_token(&SystemChance).0)));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(io_error("creating", &path))?;
        Ok(Self { path })
    }

    /// Copies the files of a folder; sled has no folders within but `blobs`.
    fn copy_of(source: &Path, folder: &Path) -> std::result::Result<Self, OpenError> {
        let copy = Self::new(folder)?;
        copy_files(source, &copy.path)?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind lies where the system clears up; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The wall clock's milliseconds that [`Exported`] has in the place of spool time.
#[must_use]
pub const fn wall_of(time: Timestamp) -> WallTime {
    WallTime(time.0.cast_signed())
}
