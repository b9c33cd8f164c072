//! The disk: rows, alone or in leaves, over the storage engine.
//!
//! Owns:  which row stands in which leaf, what becomes of leaves that cannot be read.
//! Never: knows what a row means, names the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::engine::{Batch, Engine, Row};
pub(crate) use crate::engine::{Bytes, DiskError, io_error, panic_text, sync_path};
use crate::error::OpenError;
use crate::keys;
use crate::leaf::{Change, Leaf};
use crate::record;

/// Rows to write (`Some`) and to remove (`None`).
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

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
        let (disk, prefix) = (self.disk, &self.prefix);
        let mut rows: Vec<(Vec<u8>, Bytes)> = Vec::with_capacity(WALK_ROWS);
        let mut last = None;
        disk.engine.scan(self.from.as_ref().map(Vec::as_slice), |key, value| {
            // A leaf that begins before the prefix may reach into it; one that begins after it does not.
            let reaches = in_leaves && key.first() == prefix.first() && *key <= **prefix;
            if !reaches && !key.starts_with(prefix) {
                return false;
            }
            last = Some(key.to_vec());
            if in_leaves {
                let leaf = disk.read_leaf(&key, &value);
                let here = leaf.rows_from(0).filter(|(key, _)| key.starts_with(prefix));
                rows.extend(here.map(|(key, value)| (key.to_vec(), value.into())));
                return rows.is_empty();
            }
            rows.push((key.to_vec(), value));
            rows.len() < WALK_ROWS
        })?;
        if let Some(key) = last {
            self.from = Bound::Excluded(key);
        }
        self.read = rows.into_iter();
        Ok(self.read.next())
    }
}

/// An open store.
pub(crate) struct Disk {
    pub(crate) engine: Engine,
    /// Leaves that could not be read since this was last asked for.
    damaged: Mutex<BTreeSet<Vec<u8>>>,
}

impl Disk {
    /// Opens or creates the store in `dir`, which exists.
    pub(crate) fn open(dir: &Path, segment_bytes: usize) -> Result<Self, OpenError> {
        let disk = Self { engine: Engine::open(dir, segment_bytes)?, damaged: Mutex::default() };
        let corrupt = |error: DiskError| OpenError::Corrupt { path: dir.into(), reason: error.0 };
        if disk.is_without_leaves().map_err(corrupt)? {
            let found = "1 of a build before the first release, whose rows stand alone".into();
            return Err(OpenError::Format { path: dir.into(), found, known: crate::spool::FORMAT });
        }
        Ok(disk)
    }

    /// Whether records stand where leaves of them should: every one of them would be taken for damage.
    fn is_without_leaves(&self) -> Result<bool, DiskError> {
        let messages = keys::messages();
        let first = self.engine.first(Bound::Included(&messages))?;
        Ok(first.is_some_and(|(key, bytes)| key.starts_with(&messages) && record::is_whole(&key, &bytes)))
    }

    /// Applies all writes as one batch and returns once they are on the drive.
    pub(crate) fn commit(&self, writes: &Writes) -> Result<(), DiskError> {
        let mut batch = Batch::with_capacity(writes.len());
        let mut left = writes.iter().peekable();
        while let Some((key, value)) = left.next() {
            let Some(max) = keys::leaf_size(key) else {
                batch.push((key.clone(), value.clone()));
                continue;
            };
            let (own_key, leaf) = match self.leaf_row_of(key)? {
                None => (vec![key[0]], Leaf::default()),
                Some((own_key, bytes)) => {
                    let leaf = self.read_leaf(&own_key, &bytes);
                    if leaf.len() == 0 {
                        // It is about to be written anew: what could not be read is kept.
                        batch.push((keys::set_aside_leaf(&own_key), Some(bytes)));
                    }
                    (own_key.to_vec(), leaf)
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
                batch.push((own_key, None));
                continue;
            }
            let written = leaf.written(&own_key, max, appends);
            batch.extend(written.into_iter().map(|(key, bytes)| (key, Some(bytes.into()))));
        }
        self.engine.commit(&batch)
    }

    /// The leaf in which a row stands or would stand, if there is one.
    fn leaf_of(&self, key: &[u8]) -> Result<Option<(Bytes, Leaf)>, DiskError> {
        Ok(self.leaf_row_of(key)?.map(|row| self.leaf_in(row)))
    }

    fn leaf_row_of(&self, key: &[u8]) -> Result<Option<Row>, DiskError> {
        self.engine.last(&key[..1], Bound::Included(key))
    }

    fn leaf_in(&self, (own_key, bytes): Row) -> (Bytes, Leaf) {
        let leaf = self.read_leaf(&own_key, &bytes);
        (own_key, leaf)
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
        let mut batch = Batch::new();
        for own_key in own_keys {
            let Some(bytes) = self.engine.get(own_key)? else { continue };
            if Leaf::read(own_key, &bytes).is_err() {
                batch.push((keys::set_aside_leaf(own_key), Some(bytes)));
                batch.push((own_key.clone(), None));
            }
        }
        self.engine.commit(&batch)
    }

    /// Where the leaf with this key ends: the key of the next one, or that of the next kind.
    fn key_after(&self, own_key: &[u8]) -> Result<Vec<u8>, DiskError> {
        Ok(match self.engine.first(Bound::Excluded(own_key))? {
            Some((next, _)) if next.first() == own_key.first() => next.to_vec(),
            _ => after_prefix(&own_key[..1]),
        })
    }

    /// The leaf of the same kind that begins after this key.
    fn leaf_after(&self, key: &[u8]) -> Result<Option<(Bytes, Leaf)>, DiskError> {
        let next = self.engine.first(Bound::Excluded(key))?;
        Ok(next.filter(|(next, _)| next.first() == key.first()).map(|row| self.leaf_in(row)))
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
    fn leaf_at(&self, key: &[u8]) -> Result<Option<(Bytes, Leaf)>, DiskError> {
        match self.leaf_of(key)? {
            Some(found) => Ok(Some(found)),
            None => self.leaf_after(key),
        }
    }

    fn last_in_leaves(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let mut end: Bytes = before.into();
        // Each turn goes back to an earlier leaf, and few have nothing below: one that begins right before `before`,
        // and those that cannot be read.
        while let Some(row) = self.engine.last(&prefix[..1], Bound::Excluded(&end))? {
            let (own_key, leaf) = self.leaf_in(row);
            if let Some(index) = leaf.position(before).checked_sub(1) {
                return Ok(leaf.at(index).filter(|(key, _)| key.starts_with(prefix)));
            }
            end = own_key;
        }
        Ok(None)
    }

    /// Walks over all rows of a prefix.
    pub(crate) fn walk(&self, prefix: &[u8]) -> Result<Walk<'_>, DiskError> {
        let mut from = Bound::Included(prefix.to_vec());
        if keys::leaf_size(prefix).is_some()
            && let Some((own_key, _)) = self.leaf_row_of(prefix)?
        {
            from = Bound::Included(own_key.to_vec());
        }
        Ok(Walk { disk: self, prefix: prefix.to_vec(), from, read: Vec::new().into_iter() })
    }

    /// Rows as the engine has them.
    #[cfg(test)]
    pub(crate) fn raw_rows(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Bytes)> {
        let mut rows = Vec::new();
        let each = |key: Bytes, value: Bytes| {
            let is_one = key.starts_with(prefix);
            rows.extend(is_one.then(|| (key.to_vec(), value)));
            is_one
        };
        self.engine.scan(Bound::Included(prefix), each).unwrap();
        rows
    }

    /// Writes rows past everything.
    #[cfg(test)]
    pub(crate) fn write_raw(&self, rows: Vec<(Vec<u8>, Vec<u8>)>) {
        self.engine
            .commit(&rows.into_iter().map(|(key, value)| (key, Some(value.into()))).collect())
            .unwrap();
    }

    /// Bytes of the store's main file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.engine.size_bytes()
    }
}

impl Rows for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        if keys::leaf_size(key).is_some() {
            return Ok(self.leaf_of(key)?.and_then(|(_, leaf)| leaf.get(key)));
        }
        self.engine.get(key)
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
        let mut found = None;
        self.engine.scan(Bound::Included(from), |key, value| {
            let is_one = key.starts_with(prefix);
            if is_one && is_wanted(&key) {
                found = Some((key.to_vec(), value));
            }
            is_one && found.is_none()
        })?;
        Ok(found)
    }

    fn last(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        if keys::leaf_size(prefix).is_some() {
            return self.last_in_leaves(prefix, before);
        }
        let row = self.engine.last(prefix, Bound::Excluded(before))?;
        Ok(row.filter(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.to_vec(), value)))
    }
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
