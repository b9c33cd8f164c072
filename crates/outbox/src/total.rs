//! The total: how many rows there are, and a sum over all of them. It stands among them and changes with each batch.
//!
//! Owns:  a row's share of the sum, how the total follows changes, the row that it stands in, the look through all rows that is
//!        compared with it.
//! Never: reads or writes the store, knows what a row means.
//!
//! Where a part of the engine's file is gone, the engine may find older rows in its place, each of them whole: no checksum
//! of a row tells that. The total does.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::disk::Bytes;
use crate::keys;
use crate::record::{self, RecordError};

/// Of all rows but its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) rows: u64,
    sum: u64,
}

/// What a row adds to the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(u64);

impl Total {
    /// Counts a row.
    pub(crate) fn add(&mut self, Share(share): Share) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(share);
    }

    /// Counts it no more.
    fn take(&mut self, Share(share): Share) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(share);
    }

    /// Follows the change of a row.
    pub(crate) fn change(&mut self, old: Option<Share>, new: Option<Share>) {
        if let Some(old) = old {
            self.take(old);
        }
        if let Some(new) = new {
            self.add(new);
        }
    }

    /// Counts a row that was read; not its own.
    pub(crate) fn add_row(&mut self, key: &[u8], value: &[u8]) {
        if key != keys::TOTAL {
            self.add(Share::of(key, value));
        }
    }

    /// The value of its row.
    fn to_row(self) -> Result<Vec<u8>, RecordError> {
        record::encode(keys::TOTAL, &self)
    }

    /// The total in its row.
    pub(crate) fn of_row(bytes: &[u8]) -> Result<Self, RecordError> {
        record::decode(keys::TOTAL, bytes)
    }
}

/// What is known of all rows of an open store.
#[derive(Clone, Default)]
pub(crate) struct Totals {
    total: Total,
    /// The store has the row that says so: one of an earlier build, or one that has lost it, has it behind its next commit.
    is_stored: bool,
    pub(crate) look: Option<Look>,
}

impl Totals {
    /// The store says so.
    pub(crate) const fn stored(total: Total) -> Self {
        Self { total, is_stored: true, look: None }
    }

    /// The store does not say; this look has passed all rows.
    pub(crate) fn counted(look: Look) -> Self {
        // Where there are none, there is nothing to be said.
        Self { total: look.total, is_stored: look.total.rows == 0, look: None }
    }

    pub(crate) const fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Whether a look that has passed all rows has found what there should be.
    pub(crate) fn is_of(&self, look: &Look) -> bool {
        self.total == look.total
    }

    /// Follows the change of a row that is about to be committed.
    pub(crate) fn change(&mut self, key: &[u8], old: Option<Share>, new: Option<Share>) {
        self.total.change(old, new);
        if let Some(look) = self.look.as_mut().filter(|look| look.has_passed(key)) {
            look.total.change(old, new);
        }
    }

    /// The value of the total's row in this commit.
    pub(crate) fn store(&mut self) -> Result<Vec<u8>, RecordError> {
        self.is_stored = true;
        self.total.to_row()
    }
}

/// A look through all rows, which may go on while they change.
#[derive(Clone)]
pub(crate) struct Look {
    /// The last row that it has passed.
    passed: Option<Bytes>,
    /// Over the rows up to there, as they are now.
    total: Total,
}

/// How far a look through all rows has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There is more.
    Partly,
    /// The rows are those that were committed last.
    Right,
    /// Some are missing, or older than they should be.
    Wrong,
    /// The store was opened again meanwhile.
    Interrupted,
}

impl Look {
    pub(crate) fn begin() -> Self {
        Self { passed: None, total: Total::default() }
    }

    /// Where it goes on.
    pub(crate) fn from(&self) -> Bound<Bytes> {
        self.passed.clone().map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// Passes the next row.
    pub(crate) fn pass(&mut self, key: Bytes, value: &[u8]) {
        self.total.add_row(&key, value);
        self.passed = Some(key);
    }

    fn has_passed(&self, key: &[u8]) -> bool {
        self.passed.as_ref().is_some_and(|passed| *key <= **passed)
    }
}

impl Share {
    /// Sums do not depend on the order of rows. The checksum's bits are spread, so that what two rows gain and lose does not
    /// cancel out.
    pub(crate) fn of(key: &[u8], value: &[u8]) -> Self {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&(key.len() as u64).to_le_bytes());
        sum.update(key);
        sum.update(value);
        Self(spread(u64::from(sum.finalize()) | (value.len() as u64) << 32))
    }
}

/// Each bit that goes in changes about half of those that come out; no two numbers become the same (the constants are those of
/// SplitMix64).
const fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&[u8], &[u8])]) -> Total {
        let mut total = Total::default();
        rows.iter().for_each(|(key, value)| total.add_row(key, value));
        total
    }

    #[test]
    fn a_total_is_that_of_its_rows_however_they_came() {
        let mut total = of(&[(b"b", b"old"), (b"c", b"3")]);
        let share = |key: &[u8], value: &[u8]| Some(Share::of(key, value));
        total.change(share(b"b", b"old"), share(b"b", b"2"));
        total.change(share(b"c", b"3"), None);
        total.change(None, share(b"a", b"1"));
        assert_eq!(total, of(&[(b"a", b"1"), (b"b", b"2")]));
        assert_eq!(Total::of_row(&total.to_row().unwrap()), Ok(total));
    }

    #[test]
    fn a_row_that_is_missing_another_or_older_makes_a_difference() {
        let total = of(&[(b"a", b"1"), (b"b", b"2")]);
        let others: [&[(&[u8], &[u8])]; 6] = [
            &[(b"a", b"1")],
            &[(b"a", b"1"), (b"b", b"1")],
            &[(b"a", b"2"), (b"b", b"1")],
            &[(b"a1", b""), (b"b", b"2")],
            &[(b"a", b"1"), (b"b", b"2"), (b"c", b"")],
            &[(b"a", b"1"), (b"b", b"2"), (b"b", b"2")],
        ];
        others.iter().for_each(|other| assert_ne!(of(other), total, "{other:?}"));
        assert_eq!(
            of(&[(keys::TOTAL, b"9"), (b"a", b"1"), (b"b", b"2")]),
            total,
            "its own row is none of them"
        );
    }
}
