//! Leaves at hand: what the writer has read or written lately, as rows and not as bytes.
//!
//! Owns:  which leaves are kept, where each of them ends, the limit of their memory.
//! Never: reads or writes the store, is asked by anyone but the writer: what it holds is what the store holds only
//!        between two commits.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::disk::Bytes;
use crate::leaf::Leaf;
use crate::limits::AT_HAND_BYTES;

/// A leaf, and what it is responsible for.
#[derive(Clone)]
pub(crate) struct Found {
    /// The key under which it stands, or would stand if there were rows for it.
    pub(crate) own_key: Bytes,
    pub(crate) leaf: Arc<Leaf>,
    /// The key of the next leaf, or the first key of the next kind; `None` where nobody looked.
    pub(crate) end: Option<Bytes>,
}

/// What a commit made of one leaf.
pub(crate) struct Replaced {
    pub(crate) own_key: Bytes,
    /// Where it ended, and the last of its parts ends.
    pub(crate) end: Bytes,
    /// Empty if its last row went.
    pub(crate) parts: Vec<(Bytes, Leaf)>,
}

struct Kept {
    leaf: Arc<Leaf>,
    end: Bytes,
    used: u64,
}

impl Kept {
    /// Bytes of memory, nodes of the map and the allocator's own included by a guess.
    fn bytes(&self) -> usize {
        const BESIDE: usize = 160;
        self.leaf.memory_bytes() + BESIDE
    }
}

/// The leaves at hand.
#[derive(Default)]
pub(crate) struct AtHand {
    leaves: BTreeMap<Bytes, Kept>,
    bytes: usize,
    /// How often something was looked for: the time by which the oldest are known.
    now: u64,
}

impl AtHand {
    /// The leaf that a row belongs to.
    pub(crate) fn of(&mut self, key: &[u8]) -> Option<Found> {
        self.last_to(Bound::Included(key), |end| key < end)
    }

    /// The last leaf that begins below a key.
    pub(crate) fn below(&mut self, key: &[u8]) -> Option<Found> {
        self.last_to(Bound::Excluded(key), |end| key <= end)
    }

    fn last_to(&mut self, to: Bound<&[u8]>, reaches: impl Fn(&[u8]) -> bool) -> Option<Found> {
        self.now += 1;
        let (own_key, kept) = self.leaves.range_mut::<[u8], _>((Bound::Unbounded, to)).next_back()?;
        if !reaches(&kept.end) {
            return None;
        }
        kept.used = self.now;
        Some(Found { own_key: own_key.clone(), leaf: Arc::clone(&kept.leaf), end: Some(kept.end.clone()) })
    }

    /// Keeps a leaf that was read.
    pub(crate) fn keep(&mut self, own_key: Bytes, leaf: Arc<Leaf>, end: Bytes) {
        let kept = Kept { leaf, end, used: self.now };
        self.bytes += kept.bytes();
        if let Some(before) = self.leaves.insert(own_key, kept) {
            self.bytes -= before.bytes();
        }
        if self.bytes > AT_HAND_BYTES {
            self.drop_older_half();
        }
    }

    /// Follows a commit. Leaves come in the order of their keys.
    pub(crate) fn replace(&mut self, replaced: Vec<Replaced>) {
        for Replaced { own_key, end, parts } in replaced {
            if parts.is_empty() && own_key.len() > 1 {
                self.drop_leaf(&own_key, end);
                continue;
            }
            let mut parts = parts.into_iter().peekable();
            if parts.peek().is_none() {
                // The first of a kind: rows below all other leaves belong there, also while there is none.
                self.keep(own_key, Arc::default(), end);
                continue;
            }
            while let Some((own_key, leaf)) = parts.next() {
                let end = parts.peek().map_or_else(|| end.clone(), |(next, _)| next.clone());
                self.keep(own_key, Arc::new(leaf), end);
            }
        }
    }

    /// A leaf that is gone leaves its rows to be to the one before it.
    fn drop_leaf(&mut self, own_key: &[u8], end: Bytes) {
        if let Some(gone) = self.leaves.remove(own_key) {
            self.bytes -= gone.bytes();
        }
        let below = (Bound::Unbounded, Bound::Excluded(own_key));
        if let Some((_, before)) = self.leaves.range_mut::<[u8], _>(below).next_back()
            && *before.end == *own_key
        {
            before.end = end;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Each time half of what there is goes, so that finding the oldest costs little for each that comes.
    fn drop_older_half(&mut self) {
        let mut used: Vec<u64> = self.leaves.values().map(|kept| kept.used).collect();
        let middle = used.len() / 2;
        let (_, middle, _) = used.select_nth_unstable(middle);
        let oldest = *middle;
        self.leaves.retain(|_, kept| kept.used > oldest);
        self.bytes = self.leaves.values().map(Kept::bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Bytes {
        text.as_bytes().into()
    }

    fn leaf(keys: &[&str]) -> Leaf {
        let changes: Vec<_> = keys.iter().map(|key| (key.as_bytes(), Some(b"v".as_slice()))).collect();
        Leaf::default().changed(&changes).0
    }

    fn own_key(found: Option<Found>) -> Option<String> {
        found.map(|found| String::from_utf8(found.own_key.to_vec()).unwrap())
    }

    #[test]
    fn a_leaf_is_found_only_for_rows_between_its_key_and_its_end() {
        let mut at_hand = AtHand::default();
        at_hand.keep(key("xc"), Arc::new(leaf(&["xc"])), key("xf"));
        assert_eq!(own_key(at_hand.of(b"xc")), Some("xc".into()));
        assert_eq!(own_key(at_hand.of(b"xe9")), Some("xc".into()));
        assert_eq!(own_key(at_hand.of(b"xf")), None, "another leaf's");
        assert_eq!(own_key(at_hand.of(b"xb")), None);
        assert_eq!(own_key(at_hand.below(b"xf")), Some("xc".into()));
        assert_eq!(own_key(at_hand.below(b"xc")), None);
        assert_eq!(own_key(at_hand.below(b"xg")), None, "there may be one in between");
    }

    #[test]
    fn what_a_leaf_leaves_when_it_goes_belongs_to_the_one_before_it() {
        let mut at_hand = AtHand::default();
        at_hand.keep(key("x"), Arc::new(leaf(&["xa"])), key("xc"));
        at_hand.keep(key("xc"), Arc::new(leaf(&["xc"])), key("xf"));
        at_hand.replace(vec![
            Replaced { own_key: key("x"), end: key("xc"), parts: Vec::new() },
            Replaced { own_key: key("xc"), end: key("xf"), parts: Vec::new() },
        ]);
        let first = at_hand.of(b"xd").unwrap();
        assert_eq!((&*first.own_key, first.leaf.len()), (b"x".as_slice(), 0));
        assert_eq!(first.end, Some(key("xf")));
        let parts = vec![(key("x"), leaf(&["xa"])), (key("xb"), leaf(&["xb", "xd"]))];
        at_hand.replace(vec![Replaced { own_key: key("x"), end: key("xf"), parts }]);
        assert_eq!(at_hand.of(b"xa").unwrap().end, Some(key("xb")));
        assert_eq!(at_hand.of(b"xd").unwrap().end, Some(key("xf")));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut at_hand = AtHand::default();
        let name = |number: usize| key(&format!("x{number:06}"));
        let many = AT_HAND_BYTES / 160;
        for number in 0..many {
            at_hand.keep(name(number), Arc::new(leaf(&["x"])), name(number + 1));
            assert!(at_hand.of(&name(0)).is_some(), "asked for all the time, forgotten after {number}");
            assert!(at_hand.bytes <= AT_HAND_BYTES);
        }
        assert!(at_hand.of(&name(1)).is_none());
        assert!(at_hand.of(&name(many - 1)).is_some());
    }
}
