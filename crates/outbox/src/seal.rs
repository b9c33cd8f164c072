//! The seal: the counters as they were acknowledged last, outside the store. What it knows and the store does not is lost.
//!
//! Owns:  its two files, which of them is newer, when the slow one is written.
//! Never: says of a group what is not on the drive yet.
//!
//! Once the open has told what is missing, `seal.last` is written behind each group and not synced: a process that is killed leaves it, a cut of the power may take it.
//! `seal` is synced, which costs more than a group: it is written when nothing more comes, and now and then while something does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::drive::DiskError;
use crate::entry::Counters;
use crate::files::{read_head, write_synced};
use crate::limits::SEAL_EVERY;
use crate::record::RecordError;
use crate::shared::Shared;
use crate::spool::Spool;
use crate::{crash, keys, record, verify};

const SEAL: &str = "seal";
const FRESH: &str = "seal.new";
const LAST: &str = "seal.last";

/// Its files. One of them is enough to know that a spool was finished once.
pub(crate) const NAMES: [&str; 3] = [SEAL, FRESH, LAST];

/// As much of each of them as is read: a record of counters takes a quarter of it.
pub(crate) const BYTES_MAX: u64 = 1024;

/// The files of the seal in a spool.
pub(crate) struct Seal {
    path: PathBuf,
    /// `seal.last`, once it was written.
    last: Mutex<Option<File>>,
    /// It stays as it is: an open has not yet told what it knows and the store does not.
    is_held: AtomicBool,
}

impl Seal {
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.into(), last: Mutex::new(None), is_held: AtomicBool::new(false) }
    }

    /// The counters that were acknowledged last, if anything that can be read says so.
    pub(crate) fn read(&self) -> Option<Counters> {
        match (self.read_synced(), self.read_last()) {
            (Some(seal), Some(last)) => Some(if verify::is_behind(&seal, &last) { seal } else { last }),
            (seal, last) => seal.or(last),
        }
    }

    /// Whether the spool has the format of this program: a seal of it can be read, and none of another one.
    pub(crate) fn tells_format(&self) -> bool {
        let found = [self.decode_synced(), self.decode_last()];
        let is_foreign = |seal: &Option<Result<Counters, RecordError>>| {
            matches!(seal, Some(Err(RecordError::Foreign { .. })))
        };
        found.iter().any(|seal| matches!(seal, Some(Ok(_)))) && !found.iter().any(is_foreign)
    }

    /// Whether an open has not yet told what it knows and the store does not.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    /// Whether a group was ever followed by it: from then on the store knows the total of its rows.
    pub(crate) fn has_followed(&self) -> bool {
        self.path.join(LAST).exists()
    }

    fn read_synced(&self) -> Option<Counters> {
        self.decode_synced()?.ok()
    }

    fn read_last(&self) -> Option<Counters> {
        self.decode_last()?.ok()
    }

    fn decode_synced(&self) -> Option<Result<Counters, RecordError>> {
        let bytes = read_head(&self.path.join(SEAL), BYTES_MAX).ok()?;
        Some(record::decode(keys::SEAL, &bytes))
    }

    fn decode_last(&self) -> Option<Result<Counters, RecordError>> {
        let bytes = read_head(&self.path.join(LAST), BYTES_MAX).ok()?;
        let (length, rest) = bytes.split_first_chunk()?;
        // What an earlier, longer one has left comes behind it.
        let bytes = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some(record::decode(keys::SEAL, bytes))
    }

    fn write_synced(&self, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.path.join(FRESH);
        crash::around("write seal", || write_synced(&fresh, bytes))?;
        crash::around("rename seal", || fs::rename(&fresh, self.path.join(SEAL)))?;
        File::open(&self.path)?.sync_all()
    }

    pub(crate) fn write_last(&self, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_le_bytes(), record].concat();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *last {
            Some(file) => file,
            none => none.insert(crash::around("create last", || create(&self.path.join(LAST)))?),
        };
        // At once and in place, so that a kill finds the one before or this one whole.
        crash::around("write last", || file.write_all_at(&bytes, 0))
    }

    fn sync_last(&self) -> io::Result<()> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        crash::around("sync last", || last.as_ref().map_or(Ok(()), File::sync_all))
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Says how far the store has come, behind each group.
pub(crate) fn follow(shared: &Shared, counters: &Counters) -> Result<(), DiskError> {
    let seal = &shared.spool.seal;
    if seal.is_held() {
        return Ok(());
    }
    unless_full(written(counters, |bytes| seal.write_last(bytes)))
}

/// What it knows is kept until the open has told it.
pub(crate) fn hold(spool: &Spool) {
    spool.seal.is_held.store(true, Ordering::Release);
}

/// The open has told it. Of a store that was made anew, what the old one knew beyond it must not come back with a cut of the power.
pub(crate) fn release(shared: &Shared, is_made_anew: bool) -> Result<(), DiskError> {
    let (seal, counters) = (&shared.spool.seal, *shared.snapshot());
    if is_made_anew {
        written(&counters, |bytes| seal.write_last(bytes).and_then(|()| seal.sync_last()))?;
        written(&counters, |bytes| seal.write_synced(bytes))?;
    }
    seal.is_held.store(false, Ordering::Release);
    Ok(())
}

/// The old one stays and says less, until there is room.
fn unless_full(written: Result<(), DiskError>) -> Result<(), DiskError> {
    written.or_else(|error| if error.is_full { Ok(()) } else { Err(error) })
}

fn written(counters: &Counters, write: impl FnOnce(&[u8]) -> io::Result<()>) -> Result<(), DiskError> {
    let bytes = record::encode(keys::SEAL, counters).map_err(io::Error::other);
    bytes.and_then(|bytes| write(&bytes)).map_err(|error| DiskError::of_io("writing the seal: ", &error))
}

/// Who writes the synced seal, and when.
pub(crate) struct Sealer {
    at: Timestamp,
    /// What it knows.
    known: Option<Counters>,
}

impl Sealer {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self { at: shared.clock.now().time, known: shared.spool.seal.read_synced() }
    }

    /// Whether it knows all there is.
    pub(crate) fn is_done(&self, shared: &Shared) -> bool {
        self.known.as_ref() == Some(&*shared.snapshot())
    }

    /// Whether it is time for it, also while groups come.
    pub(crate) fn is_due(&self, shared: &Shared) -> bool {
        shared.clock.now().time >= self.at.plus(SEAL_EVERY)
    }

    /// Seals what is there, unless the store failed or an open has not told yet.
    pub(crate) fn seal(&mut self, shared: &Shared) {
        if shared.failure().is_some() || shared.spool.seal.is_held() {
            return;
        }
        let counters = *shared.snapshot();
        *self = Self { at: shared.clock.now().time, known: Some(counters) };
        if let Err(error) = unless_full(written(&counters, |bytes| shared.spool.seal.write_synced(bytes))) {
            shared.fail_by(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(next_seq: u64) -> Counters {
        Counters { next_seq, ..Counters::default() }
    }

    fn record(next_seq: u64) -> Vec<u8> {
        record::encode(keys::SEAL, &counters(next_seq)).unwrap()
    }

    #[test]
    fn the_newer_of_the_two_counts_and_one_that_cannot_be_read_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::of(dir.path());
        assert_eq!(seal.read(), None);
        seal.write_last(&record(u64::MAX)).unwrap();
        seal.write_last(&record(7)).unwrap();
        assert_eq!(seal.read(), Some(counters(7)), "a shorter one over a longer one");
        seal.write_synced(&record(6)).unwrap();
        assert_eq!(seal.read(), Some(counters(7)));
        seal.write_synced(&record(8)).unwrap();
        assert_eq!(seal.read(), Some(counters(8)));
        seal.write_last(&record(9)).unwrap();
        let last = dir.path().join(LAST);
        let whole = fs::read(&last).unwrap();
        for length in 0..4 + record(9).len() {
            fs::write(&last, &whole[..length]).unwrap();
            assert_eq!(seal.read(), Some(counters(8)), "{length} bytes");
        }
        for bit in 0..(4 + record(9).len()) * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&last, flipped).unwrap();
            assert_eq!(seal.read(), Some(counters(8)), "bit {bit}");
        }
    }
}
