//! The disk: rows in sled, made durable.
//!
//! Owns:  sled (this is its only door), the order batch → flush → sync, the syncs after an open, and which row
//!        stands in which leaf.
//! Never: knows what a row means, is called by more than one thread to change something.
//!
//! sled's `flush` hands pages to the kernel and does not wait for the drive: what it flushed can be gone
//! after a power cut. So each commit ends with a `sync_data` of our own on the file that sled writes, and
//! nothing is applied between the two. An error of either is final.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::OpenError;
use crate::keys;
use crate::leaf::{Change, Leaf};
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
    fn next(&self, prefix: &[u8], from: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        self.next_where(prefix, from, &|_| true)
    }

    /// The first such row whose key is wanted.
    fn next_where(
        &self,
        prefix: &[u8],
        from: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<(Vec<u8>, Bytes)>, DiskError>;

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
    from: Bound<Vec<u8>>,
    read: std::vec::IntoIter<(Vec<u8>, Bytes)>,
}

impl Walk<'_> {
    /// The next row; `None` at the end.
    pub(crate) fn step(&mut self) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        if let Some(row) = self.read.next() {
            return Ok(Some(row));
        }
        let in_leaves = keys::leaf_size(&self.prefix).is_some();
        let mut rows = Vec::with_capacity(WALK_ROWS);
        let mut last = None;
        for row in self.disk.db.range((self.from.clone(), Bound::Unbounded)).take(WALK_ROWS) {
            let (key, value) = row.map_err(engine)?;
            if in_leaves && key.first() == self.prefix.first() {
                // A leaf that begins before the prefix may reach into it; one that begins after it does not.
                if *key > *self.prefix && !key.starts_with(&self.prefix) {
                    break;
                }
                let leaf = self.disk.read_leaf(&key, &value);
                let here = leaf.rows_from(0).filter(|(key, _)| key.starts_with(&self.prefix));
                rows.extend(here.map(|(key, value)| (key.to_vec(), value.into())));
                last = Some(key);
                if !rows.is_empty() {
                    break;
                }
                continue;
            }
            if !key.starts_with(&self.prefix) {
                break;
            }
            rows.push((key.to_vec(), value));
            last = Some(key);
        }
        if let Some(key) = last {
            self.from = Bound::Excluded(key.to_vec());
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
    /// Leaves that could not be read since this was last asked for.
    damaged: Mutex<BTreeSet<Vec<u8>>>,
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
        Ok(Self { db, file, dir: dir.into(), damaged: Mutex::default() })
    }

    /// Applies all writes as one batch and returns once they are on the drive.
    pub(crate) fn commit(&self, writes: &Writes) -> Result<(), DiskError> {
        let mut batch = sled::Batch::default();
        let mut rows = 0;
        let mut left = writes.iter().peekable();
        while let Some((key, value)) = left.next() {
            rows += 1;
            let Some(max) = keys::leaf_size(key) else {
                match value {
                    Some(value) => batch.insert(key.as_slice(), value),
                    None => batch.remove(key.as_slice()),
                }
                continue;
            };
            let (own_key, leaf) = match self.leaf_row_of(key)? {
                None => (vec![key[0]], Leaf::default()),
                Some((own_key, bytes)) => {
                    let leaf = self.read_leaf(&own_key, &bytes);
                    if leaf.len() == 0 {
                        // It is about to be written anew: what could not be read is kept.
                        batch.insert(keys::set_aside(&own_key), bytes);
                    }
                    (own_key, leaf)
                }
            };
            let mut changes: Vec<Change<'_>> = vec![(key, value.as_deref())];
            if left.peek().is_some_and(|(next, _)| next.first() == key.first()) {
                let end = self.key_after(&own_key)?;
                while let Some((key, value)) = left.next_if(|(key, _)| **key < end) {
                    changes.push((key, value.as_deref()));
                }
            }
            let (leaf, appends) = leaf.changed(&changes);
            if leaf.len() == 0 {
                batch.remove(own_key);
                continue;
            }
            for (key, bytes) in leaf.written(&own_key, max, appends) {
                batch.insert(key, bytes);
            }
        }
        self.apply(batch, rows)
    }

    /// Applies a batch and returns once it is on the drive.
    fn apply(&self, batch: sled::Batch, rows: usize) -> Result<(), DiskError> {
        self.db.apply_batch(batch).map_err(engine)?;
        self.let_go(rows)?;
        self.db.flush().map_err(engine)?;
        self.file.sync_data().map_err(|error| DiskError(format!("sync of {}: {error}", self.dir.display())))
    }

    /// Lets the engine free what a batch replaced. It frees a little at every so many calls, and a batch counts as
    /// one call however many rows it has: without as many calls that do nothing, memory grows without end.
    fn let_go(&self, rows: usize) -> Result<(), DiskError> {
        (0..rows / 2).try_for_each(|_| self.db.get(keys::COUNTERS).map(drop)).map_err(engine)
    }

    /// The leaf in which a row stands or would stand, if there is one.
    fn leaf_of(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Leaf)>, DiskError> {
        Ok(self.leaf_row_of(key)?.map(|(own_key, bytes)| {
            let leaf = self.read_leaf(&own_key, &bytes);
            (own_key, leaf)
        }))
    }

    fn leaf_row_of(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let first = &key[..1];
        let row = self.db.range(first..=key).next_back().transpose().map_err(engine)?;
        Ok(row.map(|(own_key, bytes)| (own_key.to_vec(), bytes)))
    }

    /// Reads a leaf. One that cannot be read counts as empty and is remembered, so that the rest goes on until the
    /// writer has set it aside.
    fn read_leaf(&self, own_key: &[u8], bytes: &[u8]) -> Leaf {
        Leaf::read(own_key, bytes).unwrap_or_else(|_| {
            self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(own_key.to_vec());
            Leaf::default()
        })
    }

    /// The leaves that could not be read since this was last asked for.
    pub(crate) fn damaged_leaves(&self) -> Vec<Vec<u8>> {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *damaged).into_iter().collect()
    }

    /// Keeps the bytes of leaves that still cannot be read elsewhere, and removes them.
    pub(crate) fn set_aside_leaves(&self, own_keys: &[Vec<u8>]) -> Result<(), DiskError> {
        let mut batch = sled::Batch::default();
        for own_key in own_keys {
            let Some(bytes) = self.db.get(own_key).map_err(engine)? else { continue };
            if Leaf::read(own_key, &bytes).is_err() {
                batch.insert(keys::set_aside(own_key), bytes);
                batch.remove(own_key.as_slice());
            }
        }
        self.apply(batch, own_keys.len())
    }

    /// Where the leaf with this key ends: the key of the next one, or that of the next kind.
    fn key_after(&self, own_key: &[u8]) -> Result<Vec<u8>, DiskError> {
        match self.db.range::<&[u8], _>((Bound::Excluded(own_key), Bound::Unbounded)).next() {
            Some(Err(error)) => Err(engine(error)),
            Some(Ok((next, _))) if next.first() == own_key.first() => Ok(next.to_vec()),
            _ => Ok(after_prefix(&own_key[..1])),
        }
    }

    /// The leaf of the same kind that begins after this key.
    fn leaf_after(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Leaf)>, DiskError> {
        match self.db.range::<&[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next() {
            Some(Err(error)) => Err(engine(error)),
            Some(Ok((next, bytes))) if next.first() == key.first() => {
                let leaf = self.read_leaf(&next, &bytes);
                Ok(Some((next.to_vec(), leaf)))
            }
            _ => Ok(None),
        }
    }

    fn next_in_leaves(
        &self,
        prefix: &[u8],
        from: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let from = from.max(prefix);
        if from.first() != prefix.first() {
            return Ok(None);
        }
        let Some((mut own_key, mut leaf)) = self.leaf_at(from)? else { return Ok(None) };
        let mut index = leaf.position(from);
        loop {
            for (at, (key, _)) in leaf.rows_from(index).enumerate() {
                if !key.starts_with(prefix) {
                    return Ok(None);
                }
                if is_wanted(key) {
                    return Ok(leaf.at(index + at));
                }
            }
            // Each turn goes on to a later leaf.
            match self.leaf_after(&own_key)? {
                Some(next) => (own_key, leaf, index) = (next.0, next.1, 0),
                None => return Ok(None),
            }
        }
    }

    /// The leaf in which a row stands or would stand, else the first one after it.
    fn leaf_at(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Leaf)>, DiskError> {
        match self.leaf_of(key)? {
            Some(found) => Ok(Some(found)),
            None => self.leaf_after(key),
        }
    }

    fn last_in_leaves(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let mut end = before.to_vec();
        // Each turn goes back to an earlier leaf, and few have nothing below: one that begins right before `before`,
        // and those that cannot be read.
        loop {
            let first = &prefix[..1];
            let (own_key, leaf) = match self.db.range(first..end.as_slice()).next_back() {
                None => return Ok(None),
                Some(Err(error)) => return Err(engine(error)),
                Some(Ok((own_key, bytes))) => {
                    let leaf = self.read_leaf(&own_key, &bytes);
                    (own_key.to_vec(), leaf)
                }
            };
            if let Some(index) = leaf.position(before).checked_sub(1) {
                return Ok(leaf.at(index).filter(|(key, _)| key.starts_with(prefix)));
            }
            end = own_key;
        }
    }

    /// Walks over all rows of a prefix.
    pub(crate) fn walk(&self, prefix: &[u8]) -> Walk<'_> {
        let mut from = Bound::Included(prefix.to_vec());
        if keys::leaf_size(prefix).is_some()
            && let Some(Ok((own_key, _))) = self.db.range(&prefix[..1]..=prefix).next_back()
        {
            from = Bound::Included(own_key.to_vec());
        }
        Walk { disk: self, prefix: prefix.to_vec(), from, read: Vec::new().into_iter() }
    }

    /// Rows as the engine has them.
    #[cfg(test)]
    pub(crate) fn raw_rows(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Bytes)> {
        self.db
            .scan_prefix(prefix)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value)).unwrap())
            .collect()
    }

    /// Writes rows past everything.
    #[cfg(test)]
    pub(crate) fn write_raw(&self, rows: Vec<(Vec<u8>, Vec<u8>)>) {
        for (key, value) in rows {
            self.db.insert(key, value).unwrap();
        }
        self.db.flush().unwrap();
    }

    /// Bytes of the store's main file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |data| data.len())
    }
}

impl Rows for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        if keys::leaf_size(key).is_some() {
            return Ok(self.leaf_of(key)?.and_then(|(_, leaf)| leaf.get(key)));
        }
        self.db.get(key).map_err(engine)
    }

    fn next_where(
        &self,
        prefix: &[u8],
        from: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        if keys::leaf_size(prefix).is_some() {
            return self.next_in_leaves(prefix, from, is_wanted);
        }
        for row in self.db.range(from..) {
            // After a damaged page an iterator repeats its error for ever: the first one is final.
            let (key, value) = row.map_err(engine)?;
            if !key.starts_with(prefix) {
                break;
            }
            if is_wanted(&key) {
                return Ok(Some((key.to_vec(), value)));
            }
        }
        Ok(None)
    }

    fn last(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        if keys::leaf_size(prefix).is_some() {
            return self.last_in_leaves(prefix, before);
        }
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
