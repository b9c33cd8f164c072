//! The disk: rows in sled, made durable.
//!
//! Owns:  sled (this is its only door), the order batch → flush → sync, and the syncs after an open.
//! Never: knows what a row means, is called by more than one thread to change something.
//!
//! sled's `flush` hands pages to the kernel and does not wait for the drive: what it flushed can be gone
//! after a power cut. So each commit ends with a `sync_data` of our own on the file that sled writes, and
//! nothing is applied between the two. An error of either is final.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::OpenError;
use crate::limits::{CACHE_BYTES, LOCK_WAIT};

/// The bytes of a value; cheap to clone.
pub(crate) type Bytes = sled::IVec;

/// Rows to write (`Some`) and to remove (`None`).
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// A failure of the storage engine, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DiskError(pub(crate) String);

/// Anything rows can be read from: the disk itself, or a transaction over it.
pub(crate) trait Rows {
    /// The value under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError>;

    /// The first row at or after `from` whose key begins with `prefix`.
    fn next(&self, prefix: &[u8], from: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError>;

    /// The last row whose key begins with `prefix` and is below `before`.
    fn last(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError>;
}

/// Rows of one walk over a prefix that are read at a time: enough that finding the place in the tree costs
/// little beside reading, few enough that the largest rows together stay small.
const WALK_ROWS: usize = 64;

/// A walk over all rows of a prefix.
pub(crate) struct Walk<'a> {
    disk: &'a Disk,
    prefix: Vec<u8>,
    from: Vec<u8>,
    read: std::vec::IntoIter<(Vec<u8>, Bytes)>,
}

impl Walk<'_> {
    /// The next row; `None` at the end.
    pub(crate) fn step(&mut self) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        if let Some(row) = self.read.next() {
            return Ok(Some(row));
        }
        let mut rows = Vec::with_capacity(WALK_ROWS);
        for row in self.disk.db.range(self.from.as_slice()..).take(WALK_ROWS) {
            let (key, value) = row.map_err(engine)?;
            if !key.starts_with(&self.prefix) {
                break;
            }
            rows.push((key.to_vec(), value));
        }
        if let Some((key, _)) = rows.last() {
            self.from = after_key(key);
        }
        self.read = rows.into_iter();
        Ok(self.read.next())
    }
}

/// An open store.
pub(crate) struct Disk {
    db: sled::Db,
    /// Our own handle of the file that sled writes.
    file: File,
    dir: PathBuf,
}

impl Disk {
    /// Opens or creates the store in `dir`, which exists, and makes its existence durable.
    pub(crate) fn open(dir: &Path, segment_bytes: usize) -> Result<Self, OpenError> {
        remove_unfinished_snapshots(dir)?;
        let db = open_with_patience(dir, segment_bytes)?;
        let corrupt = |error: sled::Error| OpenError::Corrupt { path: dir.into(), reason: error.to_string() };
        db.flush().map_err(corrupt)?;
        let file_path = dir.join("db");
        let file = File::options().read(true).write(true).open(&file_path);
        let file = file.map_err(io_error("opening", &file_path))?;
        // sled never syncs `conf`, and a second power cut may come before the first commit.
        sync_path(&dir.join("conf"))?;
        file.sync_all().map_err(io_error("syncing", &file_path))?;
        sync_path(dir)?;
        Ok(Self { db, file, dir: dir.into() })
    }

    /// Applies all writes as one batch and returns once they are on the drive.
    pub(crate) fn commit(&self, writes: &Writes) -> Result<(), DiskError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value),
                None => batch.remove(key.as_slice()),
            }
        }
        self.db.apply_batch(batch).map_err(engine)?;
        self.db.flush().map_err(engine)?;
        self.file.sync_data().map_err(|error| DiskError(format!("sync of {}: {error}", self.dir.display())))
    }

    /// Walks over all rows of a prefix.
    pub(crate) fn walk(&self, prefix: &[u8]) -> Walk<'_> {
        Walk { disk: self, prefix: prefix.to_vec(), from: prefix.to_vec(), read: Vec::new().into_iter() }
    }

    /// Bytes of the store's main file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |data| data.len())
    }
}

impl Rows for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        self.db.get(key).map_err(engine)
    }

    fn next(&self, prefix: &[u8], from: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        // After a damaged page an iterator repeats its error for ever: one step, and its error is final.
        match self.db.range(from..).next() {
            None => Ok(None),
            Some(Err(error)) => Err(engine(error)),
            Some(Ok((key, value))) if key.starts_with(prefix) => Ok(Some((key.to_vec(), value))),
            Some(Ok(_)) => Ok(None),
        }
    }

    fn last(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        match self.db.range(..before).next_back() {
            None => Ok(None),
            Some(Err(error)) => Err(engine(error)),
            Some(Ok((key, value))) if key.starts_with(prefix) => Ok(Some((key.to_vec(), value))),
            Some(Ok(_)) => Ok(None),
        }
    }
}

fn engine(error: sled::Error) -> DiskError {
    DiskError(error.to_string())
}

/// A snapshot that was being written at a crash can keep sled from opening. Finished ones stay.
fn remove_unfinished_snapshots(dir: &Path) -> Result<(), OpenError> {
    let entries = std::fs::read_dir(dir).map_err(io_error("reading", dir))?;
    for entry in entries {
        let entry = entry.map_err(io_error("reading", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path()).map_err(io_error("removing", &entry.path()))?;
        }
    }
    Ok(())
}

/// Opens sled, waiting for a lock that its last process may still hold for a moment.
fn open_with_patience(dir: &Path, segment_bytes: usize) -> Result<sled::Db, OpenError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let started = Instant::now();
    loop {
        let config = sled::Config::new()
            .path(dir)
            .segment_size(segment_bytes)
            .cache_capacity(CACHE_BYTES)
            // No flusher thread: it would sync for ever while idle, and we flush each group ourselves.
            .flush_every_ms(None);
        // sled panics on some damage; that must end in an error that says what to do.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let reason = match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => {
                if started.elapsed() < LOCK_WAIT {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                error.to_string()
            }
            Ok(Err(sled::Error::Io(source))) => {
                return Err(OpenError::Io { action: "opening the store in", path: dir.into(), source });
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        return Err(OpenError::Corrupt { path: dir.into(), reason });
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "the storage engine panicked".to_owned())
}

/// Makes a file's content, or a directory's entries, durable.
pub(crate) fn sync_path(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("syncing", path))
}

/// Turns an I/O error into an [`OpenError`] that names action and path.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io { action, path: path.into(), source }
}

/// The key after all keys that begin with `prefix`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; 256]
}

/// The key right after `key`.
pub(crate) fn after_key(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEGMENT_BYTES;

    #[test]
    fn what_was_committed_is_there_after_a_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SEGMENT_BYTES).unwrap();
        let writes = Writes::from([(b"a1".to_vec(), Some(b"one".as_slice().into())), (b"b".to_vec(), None)]);
        disk.commit(&writes).unwrap();
        assert!(disk.size_bytes() > 0);
        drop(disk);
        std::fs::write(dir.path().join("snap.0000000000000001.generating"), b"half").unwrap();
        let disk = Disk::open(dir.path(), SEGMENT_BYTES).unwrap();
        assert_eq!(disk.get(b"a1").unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(disk.next(b"a", b"a").unwrap().unwrap().0, b"a1");
        assert_eq!(disk.next(b"a", b"a2").unwrap(), None);
        assert_eq!(disk.last(b"a", b"b").unwrap().unwrap().0, b"a1");
        assert!(!dir.path().join("snap.0000000000000001.generating").exists());
    }

    #[test]
    fn a_store_that_cannot_be_read_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        assert!(matches!(Disk::open(dir.path(), SEGMENT_BYTES), Err(OpenError::Io { .. })));
    }

    #[test]
    fn the_key_after_a_prefix_is_above_all_its_keys() {
        assert_eq!(after_prefix(b"ab"), b"ac");
        assert_eq!(after_prefix(&[1, 255]), [2]);
        assert!(after_prefix(&[255]).as_slice() > [255; 200].as_slice());
    }
}
