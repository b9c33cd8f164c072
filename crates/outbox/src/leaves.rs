//! Rows in leaves, and how the writer and everyone else find them.
//!
//! Owns:  going from leaf to leaf, which of them are looked up and which are at hand.
//! Never: writes.

use std::ops::Bound;
use std::sync::Arc;

use crate::at_hand::Found;
use crate::disk::{Bytes, Disk, Rows};
use crate::drive::DiskError;
use crate::keys;

/// Leaves, wherever they are read.
pub(crate) trait Leaves {
    fn disk(&self) -> &Disk;

    /// The leaf that a row belongs to; the first of a kind, with no rows, where there is none.
    fn leaf_of(&self, key: &[u8]) -> Result<Found, DiskError>;

    /// The last leaf of a kind that begins below a key, which may be one of the next kind.
    fn leaf_below(&self, kind: u8, key: &[u8]) -> Result<Option<Found>, DiskError>;

    /// The leaf of the same kind that comes after one.
    fn leaf_after(&self, found: &Found) -> Result<Option<Found>, DiskError>;

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
        let mut found = self.leaf_of(from)?;
        let mut index = found.leaf.position(from);
        loop {
            for (at, (key, _)) in found.leaf.rows_from(index).enumerate() {
                if !key.starts_with(prefix) {
                    return Ok(None);
                }
                if is_wanted(key) {
                    return Ok(found.leaf.at(index + at));
                }
            }
            // Each turn goes on to a later leaf.
            match self.leaf_after(&found)? {
                Some(next) => (found, index) = (next, 0),
                None => return Ok(None),
            }
        }
    }

    fn last_in_leaves(&self, prefix: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let mut end: Bytes = before.into();
        // Each turn goes back to an earlier leaf, and few have nothing below: one that begins right before `before`,
        // and those that cannot be read.
        while let Some(found) = self.leaf_below(prefix[0], &end)? {
            if let Some(index) = found.leaf.position(before).checked_sub(1) {
                return Ok(found.leaf.at(index).filter(|(key, _)| key.starts_with(prefix)));
            }
            end = found.own_key;
        }
        Ok(None)
    }
}

impl Leaves for Disk {
    fn disk(&self) -> &Disk {
        self
    }

    fn leaf_of(&self, key: &[u8]) -> Result<Found, DiskError> {
        Ok(match self.leaf_row_of(key)? {
            Some(row) => self.found(&row),
            None => Found { own_key: key[..1].into(), leaf: Arc::default(), end: None },
        })
    }

    fn leaf_below(&self, kind: u8, key: &[u8]) -> Result<Option<Found>, DiskError> {
        let row = self.engine.last(&[kind], Bound::Excluded(key))?;
        Ok(row.map(|row| self.found(&row)))
    }

    fn leaf_after(&self, found: &Found) -> Result<Option<Found>, DiskError> {
        let next = self.engine.first(Bound::Excluded(&found.own_key))?;
        Ok(next.filter(|(next, _)| next.first() == found.own_key.first()).map(|row| self.found(&row)))
    }
}

/// The disk as the writer reads it. Nobody else may: between a batch and its sync, leaves at hand are those of before.
#[derive(Clone, Copy)]
pub(crate) struct ByWriter<'a> {
    disk: &'a Disk,
}

impl<'a> ByWriter<'a> {
    pub(crate) const fn new(disk: &'a Disk) -> Self {
        Self { disk }
    }

    /// Keeps a leaf at hand, unless it could not be read: that is looked at again until it is set aside.
    fn keep(&self, found: Found) -> Result<(Found, Bytes), DiskError> {
        let end = self.disk.key_after(&found.own_key)?;
        if found.leaf.len() > 0 {
            self.disk.leaves_at_hand().keep(found.own_key.clone(), Arc::clone(&found.leaf), end.clone());
        }
        Ok((Found { end: Some(end.clone()), ..found }, end))
    }

    /// The leaf that a row belongs to, and where it ends.
    pub(crate) fn leaf_and_end(&self, key: &[u8]) -> Result<(Found, Bytes), DiskError> {
        let at_hand = self.disk.leaves_at_hand().of(key);
        match at_hand {
            Some(Found { end: Some(end), own_key, leaf }) => {
                Ok((Found { own_key, leaf, end: Some(end.clone()) }, end))
            }
            _ => self.keep(self.disk.leaf_of(key)?),
        }
    }
}

impl Leaves for ByWriter<'_> {
    fn disk(&self) -> &Disk {
        self.disk
    }

    fn leaf_of(&self, key: &[u8]) -> Result<Found, DiskError> {
        self.leaf_and_end(key).map(|(found, _)| found)
    }

    fn leaf_below(&self, kind: u8, key: &[u8]) -> Result<Option<Found>, DiskError> {
        let at_hand = self.disk.leaves_at_hand().below(key);
        match at_hand {
            Some(found) => Ok(Some(found).filter(|found| found.own_key.first() == Some(&kind))),
            None => match self.disk.leaf_below(kind, key)? {
                Some(found) => self.keep(found).map(|(found, _)| Some(found)),
                None => Ok(None),
            },
        }
    }

    fn leaf_after(&self, found: &Found) -> Result<Option<Found>, DiskError> {
        match &found.end {
            Some(end) if end.first() != found.own_key.first() => Ok(None),
            Some(end) => self.leaf_of(end).map(Some),
            None => self.disk.leaf_after(found),
        }
    }
}

impl<L: Leaves> Rows for L {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        if keys::leaf_size(key).is_some() {
            return Ok(self.leaf_of(key)?.leaf.get(key));
        }
        self.disk().engine.get(key)
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
        self.disk().engine.scan(Bound::Included(from), |key, value| {
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
        let row = self.disk().engine.last(prefix, Bound::Excluded(before))?;
        Ok(row.filter(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.to_vec(), value)))
    }
}
