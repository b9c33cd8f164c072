//! Merges of pages, as sled's log tells of them.
//!
//! Owns:  which merge can come to no end.
//! Never: reads a file, changes anything.
//!
//! A page that is nearly empty goes into its neighbour. Its parent says first which one goes, and that it has gone before that is
//! freed. Where the second word is gone without a trace, whoever comes by waits for ever for a page that is free.

use std::collections::HashMap;

use crate::segment::{Cursor, FREE, LINK, Message, NODE};

/// Of a link: a child is about to go, or has gone.
const INTENT: u8 = 2;
const CONFIRM: u8 = 3;
/// Of a node: it holds other nodes.
const INDEX: u8 = 1;

/// What all messages of a log say of merges. Takes some bytes for each node that holds others, one of a hundred, and for each page that
/// was freed.
#[derive(Default)]
pub(crate) struct Merges {
    /// What a parent has said last, and where: the child that goes, or that none does.
    goes: HashMap<u64, (u64, Option<u64>)>,
    /// Where a page was freed last.
    freed: HashMap<u64, u64>,
}

impl Merges {
    /// Messages may come in any order.
    pub(crate) fn take(&mut self, message: &Message, body: &[u8]) {
        let body = Cursor { bytes: body, at: 0 };
        let goes = match message.kind {
            LINK => of_link(body),
            NODE => of_node(body),
            FREE => {
                let freed = self.freed.entry(message.page).or_default();
                *freed = message.position.max(*freed);
                None
            }
            _ => None,
        };
        if let Some(goes) = goes {
            let last = self.goes.entry(message.page).or_default();
            *last = (message.position, goes).max(*last);
        }
    }

    /// Where in the log the child stands freed of a merge that can come to no end.
    pub(crate) fn without_end(&self) -> Option<u64> {
        self.goes.values().find_map(|(position, child)| {
            self.freed.get(child.as_ref()?).copied().filter(|freed| freed > position)
        })
    }
}

/// What a link says: the child that goes, or that none does any more.
fn of_link(mut body: Cursor<'_>) -> Option<Option<u64>> {
    match body.byte()? {
        INTENT => Some(Some(body.number()?)),
        CONFIRM => Some(None),
        _ => None,
    }
}

/// The same of a node that holds others.
fn of_node(mut body: Cursor<'_>) -> Option<Option<u64>> {
    let (_neighbour, goes) = (body.number()?, body.number()?);
    let (_is_merged, _prefix_length) = (body.byte()?, body.byte()?);
    let (_low, _high) = (body.text()?, body.text()?);
    (body.byte()? == INDEX).then_some((goes != 0).then_some(goes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range as Bytes;
    use std::path::Path;

    use super::*;
    use crate::disk::{Disk, Sizes, Writes};
    use crate::limits::SEGMENT_BYTES_BY_HAND;
    use crate::salvage::{self, Log, Range};
    use crate::segment::Segment;

    const SMALL: Sizes = Sizes { segment_bytes: SEGMENT_BYTES_BY_HAND, reserve_bytes: 0 };

    fn key(number: usize) -> Vec<u8> {
        format!("a{number:04}").into_bytes()
    }

    /// A store's file at some moment, and the rows in it.
    type Moment = (Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>);

    /// Rows come, and go again from places all over, until pages are merged; what lies there at many moments of that.
    fn live(dir: &Path) -> Vec<Moment> {
        const ROWS: usize = 800;
        let disk = Disk::open(dir, SMALL).unwrap();
        for first in (0..ROWS).step_by(40) {
            let row = |number| (key(number), Some([7; 300].as_slice().into()));
            disk.commit(&(first..first + 40).map(row).collect()).unwrap();
        }
        let mut moments = Vec::new();
        for part in 0..60 {
            let first = part * 37 % 80 * 10;
            disk.commit(&(first..first + 10).map(|number| (key(number), None)).collect::<Writes>()).unwrap();
            assert!((0..ROWS).step_by(10).all(|number| disk.engine.get(&key(number)).is_ok()));
            if part % 4 == 3 {
                // What the reads have merged is in the file behind the next group.
                disk.commit(&Writes::from([(key(ROWS), Some([1].as_slice().into()))])).unwrap();
                let bytes = std::fs::read(dir.join("db")).unwrap();
                let rows = disk.raw_rows(b"").into_iter();
                moments.push((bytes, rows.map(|(key, value)| (key, value.to_vec())).collect()));
            }
        }
        moments
    }

    /// Where in the file the words stand that a child has gone.
    fn confirms(bytes: &mut [u8]) -> Vec<(Bytes<usize>, usize)> {
        let mut found = Vec::new();
        for (number, segment) in bytes.chunks_mut(SEGMENT_BYTES_BY_HAND).enumerate() {
            let offset = number * SEGMENT_BYTES_BY_HAND;
            let mut segment = Segment::new(segment, SEGMENT_BYTES_BY_HAND);
            while let Some(message) = segment.next() {
                if message.kind == LINK && segment.body(&message) == [CONFIRM] {
                    let body_at = offset + message.body_at;
                    found.push((body_at - message.header_bytes()..body_at + 1, body_at));
                }
            }
        }
        found
    }

    /// Makes of a message one that says nothing.
    fn take_back(bytes: &mut [u8], (message, body_at): (Bytes<usize>, usize)) {
        const CANCELED: u8 = 1;
        bytes[message.start + 4] = CANCELED;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes[body_at..message.end]);
        sum.update(&bytes[message.start + 4..body_at]);
        bytes[message.start..message.start + 4].copy_from_slice(&(!sum.finalize()).to_le_bytes());
    }

    #[test]
    fn a_merge_that_can_come_to_no_end_is_damage_and_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let moments = live(dir.path());
        let db = dir.path().join("db");
        let is_torn = || salvage::is_torn(&db, SEGMENT_BYTES_BY_HAND, Range::WHOLE).unwrap();
        let mut without_end = 0;
        for (whole, held) in moments {
            std::fs::write(&db, &whole).unwrap();
            assert!(!is_torn());
            for confirm in confirms(&mut whole.clone()) {
                let mut bytes = whole.clone();
                take_back(&mut bytes, confirm);
                std::fs::write(&db, bytes).unwrap();
                let log = Log::read(&db, SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap();
                assert_eq!(log.is_damaged(), is_torn());
                without_end += usize::from(is_torn());
                let rows: BTreeMap<_, _> =
                    log.rows().map(|row| row.map(|row| (row.key.to_vec(), row.value)).unwrap()).collect();
                assert!(rows == held);
            }
        }
        // Of the others, the parent was written anew since.
        assert!(without_end > 0);
        println!("{without_end} without an end");
    }
}
