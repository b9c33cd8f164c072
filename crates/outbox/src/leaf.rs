//! Leaves: many small rows in one row of the engine.
//!
//! Owns:  the bytes of a leaf, finding a row in it, writing changes into it, dividing it.
//! Never: knows what a row means, reads or writes the store.
//!
//! The engine keeps a record of some hundred bytes in memory for each of its pages, a page holds about ten rows,
//! and each change of a row writes to the log by itself. Rows of an index are small, many, and change in runs. So
//! neighbours stand together in one row of the engine, a *leaf*, under the first key that it was made for: a group
//! that adds two hundred timers writes a few leaves, and a million of them cost the memory of some thousand pages.
//!
//! ```text
//! 0..4    CRC-32 over the leaf's key and the rest
//! 4       version, 1
//! 5..     rows in the order of their keys, each: bytes shared with the key before (the first: with the leaf's
//!         own key), bytes that follow, those bytes; then the same for the value. Lengths are LEB128.
//! ```

use crate::disk::Bytes;
use crate::total::Share;

/// The only layout there is.
const VERSION: u8 = 1;

/// Checksum and version.
const HEAD_BYTES: usize = 5;

/// A change of one row: its new value, or its removal.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// One row within [`Rows::text`].
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    key: usize,
    value: usize,
}

/// The rows of a leaf.
#[derive(Default)]
pub(crate) struct Leaf {
    /// Keys and values, one after the other.
    text: Vec<u8>,
    places: Vec<Place>,
    /// In the total, of the bytes that stand in the store; `None` where it does not stand there, or not like this.
    pub(crate) share: Option<Share>,
}

/// A leaf's bytes are not those that were written, or not of this layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damaged;

/// How much stands in one leaf at the most; a row that is larger has one to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafSize {
    pub(crate) rows: usize,
    /// Of keys and values.
    pub(crate) bytes: usize,
}

impl Leaf {
    /// Reads a leaf that stands under `own_key`.
    pub(crate) fn read(own_key: &[u8], bytes: &[u8]) -> Result<Self, Damaged> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(Damaged)?;
        if head[..4] != checksum(own_key, head[4], body).to_le_bytes() || head[4] != VERSION {
            return Err(Damaged);
        }
        let share = Some(Share::of(own_key, bytes));
        let mut leaf = Self { text: Vec::with_capacity(body.len() * 2), places: Vec::new(), share };
        let mut rest = body;
        while !rest.is_empty() {
            rest = leaf.read_row(own_key, rest).ok_or(Damaged)?;
        }
        Ok(leaf)
    }

    fn read_row<'a>(&mut self, own_key: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.text.len();
        let before = self.places.last().copied();
        let rest = match before {
            None => self.read_part(rest, own_key)?,
            Some(before) => self.read_part_after(rest, before.at, before.key)?,
        };
        let key = self.text.len() - at;
        let rest = match before {
            None => self.read_part(rest, &[])?,
            Some(before) => self.read_part_after(rest, before.at + before.key, before.value)?,
        };
        self.places.push(Place { at, key, value: self.text.len() - at - key });
        Some(rest)
    }

    fn read_part<'a>(&mut self, rest: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
        let (shared, rest) = read_length(rest)?;
        let (more, rest) = read_length(rest)?;
        self.text.extend_from_slice(before.get(..shared)?);
        let (part, rest) = rest.split_at_checked(more)?;
        self.text.extend_from_slice(part);
        Some(rest)
    }

    fn read_part_after<'a>(&mut self, rest: &'a [u8], at: usize, length: usize) -> Option<&'a [u8]> {
        let (shared, rest) = read_length(rest)?;
        let (more, rest) = read_length(rest)?;
        if shared > length {
            return None;
        }
        self.text.extend_from_within(at..at + shared);
        let (part, rest) = rest.split_at_checked(more)?;
        self.text.extend_from_slice(part);
        Some(rest)
    }

    fn row(&self, place: Place) -> (&[u8], &[u8]) {
        let value_at = place.at + place.key;
        (&self.text[place.at..value_at], &self.text[value_at..value_at + place.value])
    }

    fn key(&self, place: Place) -> &[u8] {
        &self.text[place.at..place.at + place.key]
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The rows from the one at `index` on.
    pub(crate) fn rows_from(&self, index: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.get(index..).unwrap_or_default().iter().map(|place| self.row(*place))
    }

    /// Where the first row at or after `key` stands, or would stand.
    pub(crate) fn position(&self, key: &[u8]) -> usize {
        self.places.partition_point(|place| self.key(*place) < key)
    }

    /// The value of a row.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.rows_from(self.position(key))
            .next()
            .filter(|(found, _)| *found == key)
            .map(|(_, value)| value.into())
    }

    /// The row at an index.
    pub(crate) fn at(&self, index: usize) -> Option<(Vec<u8>, Bytes)> {
        self.places.get(index).map(|place| {
            let (key, value) = self.row(*place);
            (key.to_vec(), value.into())
        })
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.places.push(Place { at: self.text.len(), key: key.len(), value: value.len() });
        self.text.extend_from_slice(key);
        self.text.extend_from_slice(value);
    }

    /// The leaf with changes, which come in the order of their keys, and whether all that is new stands at its end.
    pub(crate) fn changed(&self, changes: &[Change<'_>]) -> (Self, bool) {
        let added = changes
            .iter()
            .map(|(key, value)| value.map_or(0, |value| key.len() + value.len()))
            .sum::<usize>();
        let rows = self.len() + changes.len();
        let mut new = Self {
            text: Vec::with_capacity(self.text.len() + added),
            places: Vec::with_capacity(rows),
            share: None,
        };
        let mut old = self.rows_from(0).peekable();
        let mut appends = true;
        for (key, value) in changes {
            while let Some((before, kept)) = old.next_if(|(before, _)| before < key) {
                new.push(before, kept);
            }
            let replaced = old.next_if(|(before, _)| before == key).is_some();
            if let Some(value) = value {
                appends &= !replaced && old.peek().is_none();
                new.push(key, value);
            }
        }
        for (key, value) in old {
            new.push(key, value);
        }
        (new, appends)
    }

    /// The leaf, or several where it is larger than `max`.
    ///
    /// Where rows only ever come at the end, all leaves but the last are left full; anywhere else each is left with
    /// room for more.
    pub(crate) fn divided(self, max: LeafSize, appends: bool) -> Vec<Self> {
        let parts = self.len().div_ceil(max.rows).max(self.text.len().div_ceil(max.bytes)).max(1);
        let rows = if appends { max.rows } else { self.len().div_ceil(parts) };
        let each = LeafSize { rows, ..max };
        if each.count_of(&self.places) >= self.len() {
            return vec![self];
        }
        let mut divided = Vec::with_capacity(parts);
        let mut left = self.places.as_slice();
        while !left.is_empty() {
            let (places, rest) = left.split_at(each.count_of(left));
            divided.push(self.part(places));
            left = rest;
        }
        divided
    }

    fn part(&self, places: &[Place]) -> Self {
        let bytes = places.iter().map(|place| place.key + place.value).sum();
        let mut part =
            Self { text: Vec::with_capacity(bytes), places: Vec::with_capacity(places.len()), share: None };
        for place in places {
            let (key, value) = self.row(*place);
            part.push(key, value);
        }
        part
    }

    /// The key of the first row.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        self.places.first().map(|place| self.key(*place))
    }

    /// What it takes in memory.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// The bytes of the leaf where it stands under `own_key`.
    pub(crate) fn bytes(&self, own_key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.text.len());
        bytes.extend_from_slice(&[0, 0, 0, 0, VERSION]);
        let (mut key_before, mut value_before): (&[u8], &[u8]) = (own_key, &[]);
        for (key, value) in self.rows_from(0) {
            write_part(&mut bytes, key_before, key);
            write_part(&mut bytes, value_before, value);
            (key_before, value_before) = (key, value);
        }
        let sum = checksum(own_key, VERSION, &bytes[HEAD_BYTES..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

impl LeafSize {
    /// How many of these rows fit, at least one.
    fn count_of(self, places: &[Place]) -> usize {
        let mut bytes = 0;
        let fit = places.iter().take(self.rows).take_while(|place| {
            bytes += place.key + place.value;
            bytes <= self.bytes
        });
        fit.count().max(1)
    }
}

fn write_part(bytes: &mut Vec<u8>, before: &[u8], part: &[u8]) {
    let shared = before.iter().zip(part).take_while(|(a, b)| a == b).count();
    write_length(bytes, shared);
    write_length(bytes, part.len() - shared);
    bytes.extend_from_slice(&part[shared..]);
}

fn write_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    // Three bytes hold two million: far more than any row.
    for (index, byte) in bytes.iter().enumerate().take(3) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[index + 1..]));
        }
    }
    None
}

fn checksum(own_key: &[u8], version: u8, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(own_key);
    sum.update(&[version]);
    sum.update(body);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const EIGHT: LeafSize = LeafSize { rows: 8, bytes: 1000 };

    fn leaf(rows: &[(&[u8], &[u8])]) -> Leaf {
        let mut leaf = Leaf::default();
        for (key, value) in rows {
            leaf.push(key, value);
        }
        leaf
    }

    /// The leaves, each under its key, as bytes.
    fn written(leaf: Leaf, own_key: &[u8], max: LeafSize, appends: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let parts = leaf.divided(max, appends).into_iter().enumerate();
        let keyed = parts.map(|(index, part)| {
            let own_key = if index == 0 { own_key } else { part.first_key().unwrap() };
            (own_key.to_vec(), part.bytes(own_key))
        });
        keyed.collect()
    }

    fn rows(leaf: &Leaf) -> Vec<(Vec<u8>, Vec<u8>)> {
        leaf.rows_from(0).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_leaf_has_the_documented_layout() {
        let written = written(leaf(&[(b"xab", b"id-1"), (b"xac", b"id-22")]), b"xa", EIGHT, true);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].1[4..], *b"\x01\x02\x01b\x00\x04id-1\x02\x01c\x03\x0222");
        assert_eq!(rows(&Leaf::read(b"xa", &written[0].1).unwrap()).len(), 2);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let bytes = written(leaf(&[(b"xab", b"id-1"), (b"xac", b"")]), b"x", EIGHT, true).remove(0).1;
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Leaf::read(b"x", &changed).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Leaf::read(b"x", &bytes[..length]).is_err(), "length {length}");
        }
        assert!(Leaf::read(b"y", &bytes).is_err(), "another key");
    }

    #[test]
    fn what_comes_at_the_end_leaves_full_leaves_and_what_comes_between_leaves_room() {
        let many: Vec<[u8; 2]> = (0..10).map(|n| [b'x', n]).collect();
        let old = leaf(&many[..8].iter().map(|key| (&key[..], &b""[..])).collect::<Vec<_>>());
        let ends: Vec<Change<'_>> = many[8..].iter().map(|key| (&key[..], Some(&b""[..]))).collect();
        let (new, appends) = old.changed(&ends);
        let sizes = |new: Leaf, appends| -> Vec<usize> {
            new.divided(EIGHT, appends).iter().map(Leaf::len).collect()
        };
        assert!(appends);
        assert_eq!(sizes(new, appends), [8, 2]);
        let (new, appends) = old.changed(&[(b"x\x03\x01", Some(b""))]);
        assert!(!appends);
        assert_eq!(sizes(new, appends), [5, 4]);
    }

    proptest::proptest! {
        #[test]
        fn changes_do_to_leaves_what_they_do_to_a_map(
            steps in proptest::collection::vec(
                proptest::collection::btree_map(
                    proptest::collection::vec(0_u8..4, 0..5),
                    proptest::option::of(proptest::collection::vec(0_u8..3, 0..4)),
                    0..6,
                ),
                0..12,
            ),
            max in 1_usize..5,
            bytes in 1_usize..20,
        ) {
            let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut current = Leaf::default();
            for step in steps {
                let changes: Vec<Change<'_>> = step.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
                let (new, appends) = current.changed(&changes);
                for (key, value) in &step {
                    match value {
                        Some(value) => map.insert(key.clone(), value.clone()),
                        None => map.remove(key),
                    };
                }
                let mut together = Leaf::default();
                for (key, text) in written(new, b"", LeafSize { rows: max, bytes }, appends) {
                    let part = Leaf::read(&key, &text).unwrap();
                    proptest::prop_assert!(part.len() <= max);
                    proptest::prop_assert!(part.text.len() <= bytes || part.len() == 1);
                    part.rows_from(0).for_each(|(key, value)| together.push(key, value));
                }
                let expected: Vec<_> = map.clone().into_iter().collect();
                proptest::prop_assert_eq!(rows(&together), expected);
                for (key, value) in &map {
                    let found = together.get(key);
                    proptest::prop_assert_eq!(found.as_deref(), Some(value.as_slice()));
                }
                current = together;
            }
        }
    }
}
