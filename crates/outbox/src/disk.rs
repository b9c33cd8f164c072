//! The disk: rows, alone or in leaves, over the storage engine.
//!
//! Owns:  which row stands in which leaf, what becomes of leaves that cannot be read.
//! Never: knows what a row means, names the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::at_hand::{AtHand, Found, Replaced};
use crate::drive::{DiskError, io_error, panic_text};
use crate::engine::{Batch, Engine, Row, Write};
pub(crate) use crate::engine::{Bytes, Sizes};
use crate::error::OpenError;
use crate::keys;
use crate::leaf::{Change, Leaf};
use crate::leaves::ByWriter;
use crate::limits::COPY_PART_BYTES;
use crate::salvage::{Log, Salvaged};
use crate::total::Share;
use crate::{record, verify};

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
        disk.engine.read_through(self.from.as_ref().map(Vec::as_slice), |key, value| {
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
    at_hand: Mutex<AtHand>,
}

impl Disk {
    /// Opens or creates the store in `dir`, which exists.
    pub(crate) fn open(dir: &Path, sizes: Sizes) -> Result<Self, OpenError> {
        // The engine panics on some damage, also where its own open has come to an end.
        catch_unwind(|| Self::open_store(dir, sizes)).unwrap_or_else(|panic| {
            Err(OpenError::Corrupt { path: dir.into(), reason: panic_text(panic.as_ref()) })
        })
    }

    fn open_store(dir: &Path, sizes: Sizes) -> Result<Self, OpenError> {
        let disk =
            Self { engine: Engine::open(dir, sizes)?, damaged: Mutex::default(), at_hand: Mutex::default() };
        let corrupt = |error: DiskError| OpenError::Corrupt { path: dir.into(), reason: error.text };
        if disk.is_without_leaves().map_err(corrupt)? {
            let found = "1 of a build before the first release, whose rows stand alone".into();
            return Err(OpenError::Format { path: dir.into(), found, known: crate::layout::FORMAT });
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
        let (mut batch, mut replaced) = (Batch::new(), Vec::new());
        let at_hand = self.at_hand();
        let mut left = writes.iter().peekable();
        while let Some((key, value)) = left.next() {
            let Some(max) = keys::leaf_size(key) else {
                batch.insert(key.clone(), Write::of(key, value.clone()));
                continue;
            };
            let (found, end) = at_hand.leaf_and_end(key)?;
            let mut old = found.leaf.share;
            if found.leaf.len() == 0
                && let Some(unread) = self.engine.get(&found.own_key)?
            {
                // It is about to be written anew: what could not be read is kept.
                old = Some(Share::of(&found.own_key, &unread));
                let kept = keys::set_aside_leaf(&found.own_key);
                let write = Write::of(&kept, Some(unread));
                batch.insert(kept, write);
            }
            let mut changes: Vec<Change<'_>> = vec![(key, value.as_deref())];
            while let Some((key, value)) = left.next_if(|(key, _)| ***key < *end) {
                changes.push((key, value.as_deref()));
            }
            let (leaf, appends) = found.leaf.changed(&changes);
            let mut own_key = found.own_key.clone();
            let mut parts = Vec::new();
            if leaf.len() == 0 {
                batch.insert(own_key.to_vec(), Write::of(&own_key, None).in_place_of(old));
            } else {
                for mut part in leaf.divided(max, appends) {
                    if let (false, Some(first)) = (parts.is_empty(), part.first_key()) {
                        own_key = first.into();
                    }
                    // Only the first has the place of the old one.
                    let write =
                        Write::of(&own_key, Some(part.bytes(&own_key).into())).in_place_of(old.take());
                    part.share = write.share();
                    batch.insert(own_key.to_vec(), write);
                    parts.push((own_key.clone(), part));
                }
            }
            replaced.push(Replaced { own_key: found.own_key, end, parts });
        }
        match self.engine.commit(batch) {
            Ok(()) => self.leaves_at_hand().replace(replaced),
            Err(error) => {
                self.leaves_at_hand().clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes a store of the rows of a damaged one; of those that may have changed since, or of all, entries are doubted.
    pub(crate) fn of_rows(
        dir: &Path,
        sizes: Sizes,
        log: &Log,
        all_may_be_old: bool,
    ) -> Result<Self, OpenError> {
        let disk = Self::open(dir, sizes)?;
        let (mut batch, mut bytes) = (Batch::new(), 0);
        let mut add = |row: Salvaged<'_>, is_last: bool| {
            let Salvaged { key, value, may_be_old, .. } = row;
            let value = if may_be_old || all_may_be_old { verify::doubt(key, value) } else { value };
            bytes += key.len() + value.len();
            batch.insert(key.to_vec(), Write::of(key, Some(value.into())));
            if bytes < COPY_PART_BYTES && !is_last {
                return Ok(());
            }
            bytes = 0;
            disk.engine.commit(std::mem::take(&mut batch)).map_err(|error| error.in_open(dir))
        };
        let mut before: Option<Salvaged<'_>> = None;
        for row in log.rows() {
            let row = row.map_err(io_error("reading the log for", dir))?;
            let Some(left) = before.take() else {
                before = Some(row);
                continue;
            };
            before = match apart(left, row) {
                (Some(left), Some(right)) => {
                    add(left, false)?;
                    Some(right)
                }
                (left, right) => left.or(right),
            };
        }
        before.map_or(Ok(()), |last| add(last, true))?;
        Ok(disk)
    }

    /// Closes the store and opens what is on the drive, whatever was in memory.
    pub(crate) fn open_anew(&self) -> Result<(), OpenError> {
        self.leaves_at_hand().clear();
        self.engine.open_anew()
    }

    /// The disk as its only writer reads it: what was read or written lately is at hand.
    pub(crate) const fn at_hand(&self) -> ByWriter<'_> {
        ByWriter::new(self)
    }

    pub(crate) fn leaves_at_hand(&self) -> MutexGuard<'_, AtHand> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn leaf_row_of(&self, key: &[u8]) -> Result<Option<Row>, DiskError> {
        self.engine.last(&key[..1], Bound::Included(key))
    }

    pub(crate) fn found(&self, (own_key, bytes): &Row) -> Found {
        Found { own_key: own_key.clone(), leaf: Arc::new(self.read_leaf(own_key, bytes)), end: None }
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
                let kept = keys::set_aside_leaf(own_key);
                let write = Write::of(&kept, Some(bytes));
                batch.insert(kept, write);
                batch.insert(own_key.clone(), Write::of(own_key, None));
            }
        }
        self.leaves_at_hand().clear();
        self.engine.commit(batch)
    }

    /// Where the leaf with this key ends: the key of the next one, or that of the next kind.
    pub(crate) fn key_after(&self, own_key: &[u8]) -> Result<Bytes, DiskError> {
        Ok(match self.engine.first(Bound::Excluded(own_key))? {
            Some((next, _)) if next.first() == own_key.first() => next,
            _ => after_prefix(&own_key[..1]).into(),
        })
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
        self.leaves_at_hand().clear();
        let write = |(key, value): (Vec<u8>, Vec<u8>)| {
            let write = Write::of(&key, Some(value.into()));
            (key, write)
        };
        self.engine.commit(rows.into_iter().map(write).collect()).unwrap();
    }

    /// Bytes of the store's main file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.engine.size_bytes()
    }
}

/// Takes neighbours apart that reach into each other: one of them is older than what became of it. Rows of the left one where
/// the right one begins were in there still before the right one was made, or are there again since it went.
fn apart<'a>(left: Salvaged<'a>, right: Salvaged<'a>) -> (Option<Salvaged<'a>>, Option<Salvaged<'a>>) {
    let is_of_leaves = keys::leaf_size(left.key).is_some() && left.key.first() == right.key.first();
    let Some(leaf) = is_of_leaves.then(|| Leaf::read(left.key, &left.value).ok()).flatten() else {
        return (Some(left), Some(right));
    };
    let beyond: Vec<Change<'_>> =
        leaf.rows_from(leaf.position(right.key)).map(|(key, _)| (key, None)).collect();
    if beyond.is_empty() {
        return (Some(left), Some(right));
    }
    if left.position > right.position {
        return (Some(left), None);
    }
    let leaf = leaf.changed(&beyond).0;
    let left = (leaf.len() > 0).then(|| Salvaged { value: leaf.bytes(left.key), ..left });
    (left, Some(right))
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

    #[test]
    fn what_was_committed_is_there_after_a_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), Sizes::WITHOUT_RESERVE).unwrap();
        let writes = Writes::from([(b"a1".to_vec(), Some(b"one".as_slice().into())), (b"b".to_vec(), None)]);
        disk.commit(&writes).unwrap();
        assert!(disk.size_bytes() > 0);
        drop(disk);
        std::fs::write(dir.path().join("snap.0000000000000001.generating"), b"half").unwrap();
        let disk = Disk::open(dir.path(), Sizes::WITHOUT_RESERVE).unwrap();
        assert_eq!(disk.get(b"a1").unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(disk.next(b"a", b"a").unwrap().unwrap().0, b"a1");
        assert_eq!(disk.next(b"a", b"a2").unwrap(), None);
        assert_eq!(disk.last(b"a", b"b").unwrap().unwrap().0, b"a1");
        assert!(!dir.path().join("snap.0000000000000001.generating").exists());
    }

    /// A leaf with these rows, as it was salvaged from this position.
    fn salvaged(own_key: &'static [u8], rows: &[&'static [u8]], position: u64) -> Salvaged<'static> {
        let changes: Vec<Change<'_>> = rows.iter().map(|key| (*key, Some(b"value".as_slice()))).collect();
        let value = Leaf::default().changed(&changes).0.bytes(own_key);
        Salvaged { key: own_key, value, position, may_be_old: false }
    }

    fn keys_of(row: Option<Salvaged<'_>>) -> Option<Vec<Vec<u8>>> {
        let row = row?;
        let leaf = Leaf::read(row.key, &row.value).unwrap();
        Some(leaf.rows_from(0).map(|(key, _)| key.to_vec()).collect())
    }

    #[test]
    fn of_two_leaves_that_reach_into_each_other_the_newer_one_is_right() {
        let taken_apart = |left_at, right_at, right: &'static [u8]| {
            let left = salvaged(b"m", &[b"ma", b"mc", b"me"], left_at);
            let (left, right) = apart(left, salvaged(right, &[right], right_at));
            (keys_of(left), keys_of(right))
        };
        let keys = |keys: &[&[u8]]| Some(keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>());
        assert_eq!(taken_apart(1, 2, b"mf"), (keys(&[b"ma", b"mc", b"me"]), keys(&[b"mf"])), "side by side");
        assert_eq!(taken_apart(1, 2, b"mc"), (keys(&[b"ma"]), keys(&[b"mc"])), "the left one was divided");
        assert_eq!(taken_apart(1, 2, b"m\0"), (None, keys(&[b"m\0"])), "nothing is left of it");
        assert_eq!(taken_apart(2, 1, b"mc"), (keys(&[b"ma", b"mc", b"me"]), None), "the right one had gone");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
        #[test]
        fn the_writer_and_everyone_else_read_what_was_written(
            steps in proptest::collection::vec(
                (
                    proptest::collection::btree_map(
                        (proptest::sample::select(b"cmwx".to_vec()), 0_u8..40),
                        proptest::option::of(0_usize..400),
                        1..12,
                    ),
                    proptest::bool::weighted(0.2),
                ),
                1..12,
            ),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let small = Sizes { segment_bytes: crate::limits::SEGMENT_BYTES_BY_HAND, reserve_bytes: 0 };
            let disk = Disk::open(dir.path(), small).unwrap();
            let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (changes, forget) in steps {
                let mut writes = Writes::new();
                for ((kind, number), size) in changes {
                    let key = vec![kind, number];
                    match size {
                        Some(size) => map.insert(key.clone(), vec![number; size]),
                        None => map.remove(&key),
                    };
                    writes.insert(key.clone(), map.get(&key).map(|value| value.as_slice().into()));
                }
                disk.commit(&writes).unwrap();
                if forget {
                    disk.leaves_at_hand().clear();
                }
                for rows in [&disk as &dyn Rows, &disk.at_hand()] {
                    for kind in *b"cmwx" {
                        for number in 0..40 {
                            let key = [kind, number];
                            let value = map.get(&key[..]).map(|value| Bytes::from(value.as_slice()));
                            proptest::prop_assert_eq!(rows.get(&key).unwrap(), value);
                            let next = map.range(key.to_vec()..vec![kind + 1]).next();
                            let next = next.map(|(key, value)| (key.clone(), Bytes::from(value.as_slice())));
                            proptest::prop_assert_eq!(rows.next(&[kind], &key).unwrap(), next);
                            let last = map.range(vec![kind]..key.to_vec()).next_back();
                            let last = last.map(|(key, value)| (key.clone(), Bytes::from(value.as_slice())));
                            proptest::prop_assert_eq!(rows.last(&[kind], &key).unwrap(), last);
                        }
                        let last = map.range(vec![kind]..vec![kind + 1]).next_back();
                        let last = last.map(|(key, value)| (key.clone(), Bytes::from(value.as_slice())));
                        proptest::prop_assert_eq!(rows.last(&[kind], &[kind + 1]).unwrap(), last);
                    }
                }
            }
        }
    }

    #[test]
    fn a_store_that_cannot_be_read_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        assert!(matches!(Disk::open(dir.path(), Sizes::WITHOUT_RESERVE), Err(OpenError::Io { .. })));
    }

    #[test]
    fn the_key_after_a_prefix_is_above_all_its_keys() {
        assert_eq!(after_prefix(b"ab"), b"ac");
        assert_eq!(after_prefix(&[1, 255]), [2]);
        assert!(after_prefix(&[255]).as_slice() > [255; 200].as_slice());
    }
}
