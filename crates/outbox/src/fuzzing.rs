//! A door for tests with random bytes: the codecs of records and leaves, which nothing else outside may know.
//!
//! Owns:  functions that read bytes as a record of a kind, or as a leaf, and write them again.
//! Never: is part of what this crate promises: it changes with the records.

use crate::entry::{Account, Counters, Entry, Lane, Receipt, StoredEvent, StoredPayload};
use crate::leaf::Leaf;
use crate::record::{RecordError, Stored, decode, encode};

/// Reads bytes that lie under a key as a record of that kind, and gives what would be written for it; `None` if
/// there is no such kind.
#[must_use]
pub fn reread(kind: u8, key: &[u8], bytes: &[u8]) -> Option<Result<Vec<u8>, RecordError>> {
    fn again<T: Stored>(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, RecordError> {
        encode(key, &decode::<T>(key, bytes)?)
    }
    let again = match kind {
        Entry::KIND => again::<Entry>,
        Receipt::KIND => again::<Receipt>,
        Lane::KIND => again::<Lane>,
        Account::KIND => again::<Account>,
        Counters::KIND => again::<Counters>,
        StoredPayload::KIND => again::<StoredPayload>,
        StoredEvent::KIND => again::<StoredEvent>,
        _ => return None,
    };
    Some(again(key, bytes))
}

/// Reads bytes that lie under a key as a leaf, and gives what would be written for it; `None` if they are none.
#[must_use]
pub fn reread_leaf(own_key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let leaf = Leaf::read(own_key, bytes).ok()?;
    // A leaf without rows is never written.
    Some(if leaf.len() == 0 { Vec::new() } else { leaf.bytes(own_key) })
}
