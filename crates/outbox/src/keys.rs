//! Keys of the store: one tree, one letter each.
//!
//! Owns:  the key layout.
//! Never: reads or writes.
//!
//! | key | value | |
//! |---|---|---|
//! | `m` msgID | entry or receipt | **decides**; all below is derived from it, or belongs to it |
//! | `p` seq | payload of an entry that is on its way | also the order of acceptance |
//! | `f` seq | payload of an entry that failed or expired | |
//! | `s` state seq | msgID | entries that are held, sending, uncertain, failed, expired |
//! | `l` lane | lane | |
//! | `l` lane seq | | entries with a place in their lane, behind its own row: what changes together stands together |
//! | `w` account ready lane | | lane heads that are due, in the order in which they became so |
//! | `d` due lane | account hash | lane heads with a later attempt time |
//! | `x` time seq | msgID | what must happen to an entry by itself: expiry, lapse, window, retention |
//! | `a` id-hash seq | msgID | aliases |
//! | `g` account | account | |
//! | `e` event | event | durable events; those of receipts are in the order of `sent?since=` |
//! | `n` newMsgID newMsgID-hash event | msgID | which originals a message replaced |
//! | `b` name | | payload and replacement files that belong to an entry or receipt |
//! | `z` key | a record that could not be read; `#` before the key: a leaf | set aside, kept for a person |
//! | `c` | counters | |
//! | `t` | total over all other rows | the engine's own |
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers. Accounts, conversations and
//! foreign ids stand as 128-bit hashes, because keys are short and names are not.

use crate::clock::Timestamp;
use crate::entry::{LaneKey, Phase, short_hash};
use crate::leaf::LeafSize;

/// Which state index an entry stands in; part of the key `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum StateIndex {
    Held = 1,
    Sending = 2,
    Uncertain = 3,
    Failed = 4,
    Expired = 5,
}

impl StateIndex {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Held, Self::Sending, Self::Uncertain, Self::Failed, Self::Expired];

    /// The index of a phase; waiting entries are found by their payload.
    pub(crate) const fn of(phase: &Phase) -> Option<Self> {
        match phase {
            Phase::Waiting { .. } => None,
            Phase::Held { .. } => Some(Self::Held),
            Phase::Sending { .. } => Some(Self::Sending),
            Phase::Uncertain { .. } => Some(Self::Uncertain),
            Phase::Failed { .. } => Some(Self::Failed),
            Phase::Expired { .. } => Some(Self::Expired),
        }
    }
}

/// An account as part of a key.
pub(crate) type AccountHash = [u8; 16];

pub(crate) fn account_hash(account: &str) -> AccountHash {
    short_hash(&[account])
}

fn join(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(prefix);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(crate) const COUNTERS: &[u8] = b"c";

pub(crate) const TOTAL: &[u8] = b"t";

/// Bytes of a foreign id's text in its key: in Tencent's ids that is the user, the second and the random part.
const ORDERED_BYTES: usize = 40;

/// Not a row: what the seal's checksum takes for its key.
pub(crate) const SEAL: &[u8] = b"seal";

pub(crate) fn message(msg_id: &str) -> Vec<u8> {
    join(b'm', &[msg_id.as_bytes()])
}

pub(crate) fn messages() -> Vec<u8> {
    vec![b'm']
}

/// Where the payload of an entry stands: those on their way and those that ended are kept apart, so that
/// the oldest message on its way is found at once.
pub(crate) fn payload(ended: Ended, seq: u64) -> Vec<u8> {
    join(ended.prefix(), &[&seq.to_be_bytes()])
}

pub(crate) fn payloads(ended: Ended) -> Vec<u8> {
    vec![ended.prefix()]
}

/// Whether an entry is on its way or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    No,
    Yes,
}

impl Ended {
    const fn prefix(self) -> u8 {
        match self {
            Self::No => b'p',
            Self::Yes => b'f',
        }
    }
}

pub(crate) fn state(state: StateIndex, seq: u64) -> Vec<u8> {
    join(b's', &[&[state as u8], &seq.to_be_bytes()])
}

pub(crate) fn states(state: StateIndex) -> Vec<u8> {
    vec![b's', state as u8]
}

pub(crate) fn lane_entry(lane: LaneKey, seq: u64) -> Vec<u8> {
    join(b'l', &[&lane.0, &seq.to_be_bytes()])
}

/// All rows of a lane begin with its own.
pub(crate) fn lane(lane: LaneKey) -> Vec<u8> {
    join(b'l', &[&lane.0])
}

/// What a row of the kind `l` is.
pub(crate) enum LaneRow {
    /// The lane's own.
    Lane(LaneKey),
    /// That of an entry.
    Entry(LaneKey, u64),
}

/// Reads a key of the kind `l`; `None` if it is none.
pub(crate) fn lane_row(key: &[u8]) -> Option<LaneRow> {
    let (lane, rest) = key.strip_prefix(b"l")?.split_first_chunk()?;
    if rest.is_empty() {
        return Some(LaneRow::Lane(LaneKey(*lane)));
    }
    Some(LaneRow::Entry(LaneKey(*lane), u64::from_be_bytes(rest.try_into().ok()?)))
}

pub(crate) fn ready(account: AccountHash, at: Timestamp, lane: LaneKey) -> Vec<u8> {
    join(b'w', &[&account, &at.0.to_be_bytes(), &lane.0])
}

pub(crate) fn readies(account: AccountHash) -> Vec<u8> {
    join(b'w', &[&account])
}

pub(crate) fn deferred(due: Timestamp, lane: LaneKey) -> Vec<u8> {
    join(b'd', &[&due.0.to_be_bytes(), &lane.0])
}

pub(crate) fn timer(at: Timestamp, seq: u64) -> Vec<u8> {
    join(b'x', &[&at.0.to_be_bytes(), &seq.to_be_bytes()])
}

pub(crate) fn alias(id: &str, seq: u64) -> Vec<u8> {
    join(b'a', &[&short_hash(&[id]), &seq.to_be_bytes()])
}

pub(crate) fn aliases(id: &str) -> Vec<u8> {
    join(b'a', &[&short_hash(&[id])])
}

pub(crate) fn account(name: &str) -> Vec<u8> {
    join(b'g', &[name.as_bytes()])
}

pub(crate) fn event(seq: u64) -> Vec<u8> {
    join(b'e', &[&seq.to_be_bytes()])
}

pub(crate) fn replaced(new_msg_id: &str, event: u64) -> Vec<u8> {
    let mut key = replacements(new_msg_id);
    key.extend_from_slice(&event.to_be_bytes());
    key
}

/// The text comes before its hash, because a service's new ids come nearly in order: those of one group stand together.
pub(crate) fn replacements(new_msg_id: &str) -> Vec<u8> {
    let text = new_msg_id.as_bytes();
    join(b'n', &[&text[..text.len().min(ORDERED_BYTES)], &short_hash(&[new_msg_id])])
}

pub(crate) fn file(name: [u8; 16]) -> Vec<u8> {
    join(b'b', &[&name])
}

/// Everything that is set aside.
pub(crate) fn quarantine() -> Vec<u8> {
    vec![b'z']
}

pub(crate) fn set_aside(key: &[u8]) -> Vec<u8> {
    join(b'z', &[key])
}

/// Where the bytes of a leaf are kept that could not be read.
pub(crate) fn set_aside_leaf(own_key: &[u8]) -> Vec<u8> {
    join(b'z', &[b"#", own_key])
}

/// Prefixes whose rows are derived from the entries and rebuilt when they disagree.
pub(crate) const DERIVED: [u8; 6] = [b's', b'l', b'w', b'd', b'x', b'g'];

/// How large a leaf of a kind is; `None` for kinds whose rows stand alone.
///
/// Timers, states and lane heads come in runs: a large leaf is written once for many changes. Lanes change
/// in as many places as there are conversations, and each change writes its leaf: sixty entries of one lane, or a dozen
/// lanes of one entry each, are a few hundred bytes. Payloads and
/// events come at the end and go at the front, one by one where nothing else happens, and each time all of a leaf is
/// written: two payloads of a KiB together are worth it, four are not (pages of the engine hold up to sixteen leaves).
/// Entries and receipts stand a few together: what a page costs in memory, whether it was read or not, is what a
/// long backlog costs. Names of new messages are small, and come nearly in their order.
pub(crate) fn leaf_size(key: &[u8]) -> Option<LeafSize> {
    let (rows, bytes) = match key.first()? {
        b's' | b'w' | b'd' | b'x' => (32, 4096),
        b'l' => (64, 1536),
        b'e' => (16, 4096),
        b'm' => (8, 1280),
        b'n' => (16, 2048),
        b'p' => (32, 2304),
        _ => return None,
    };
    Some(LeafSize { rows, bytes })
}

/// The number in the last eight bytes of a key.
pub(crate) fn tail_number(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The number in the eight bytes after `offset`.
pub(crate) fn number_at(key: &[u8], offset: usize) -> u64 {
    key.get(offset..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The lane in the last sixteen bytes of a key.
pub(crate) fn tail_lane(key: &[u8]) -> LaneKey {
    LaneKey(key.last_chunk::<16>().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_into_the_store_and_sort_by_number() {
        let longest = "x".repeat(crate::limits::ID_BYTES_MAX);
        assert!(message(&longest).len() <= 255);
        assert!(account(&longest).len() <= 255);
        assert!(payload(Ended::No, 255) < payload(Ended::No, 256));
        let lane = LaneKey::of("a", "b");
        assert!(deferred(Timestamp(9), lane) < deferred(Timestamp(10), LaneKey([0; 16])));
        assert_eq!(tail_number(&payload(Ended::No, 77)), 77);
        assert_eq!(tail_lane(&deferred(Timestamp(9), lane)), lane);
        assert_eq!(number_at(&deferred(Timestamp(9), lane), 1), 9);
    }

    #[test]
    fn the_rows_of_a_lane_stand_together_and_its_own_first() {
        let id = LaneKey([7; 16]);
        assert!(super::lane(id) < lane_entry(id, 0));
        assert!(lane_entry(id, u64::MAX) < super::lane(LaneKey([8; 16])));
        assert!(matches!(lane_row(&super::lane(id)), Some(LaneRow::Lane(found)) if found == id));
        assert!(matches!(lane_row(&lane_entry(id, 9)), Some(LaneRow::Entry(found, 9)) if found == id));
        assert!(lane_row(b"l").is_none() && lane_row(&lane_entry(id, 9)[..20]).is_none());
    }
}
