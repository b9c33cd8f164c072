//! A door for tests with random bytes: the codec of records, which nothing else outside may know.
//!
//! Owns:  one function that reads bytes as a record of a kind and writes it again.
//! Never: is part of what this crate promises: it changes with the records.

use crate::entry::{Account, Counters, Entry, Lane, Receipt, StoredData, StoredEvent, StoredPayload};
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
        StoredData::KIND => again::<StoredData>,
        StoredEvent::KIND => again::<StoredEvent>,
        _ => return None,
    };
    Some(again(key, bytes))
}
