//! Bytes of a record: envelope and body.
//!
//! Owns:  the envelope (kind, version, length, checksum over key and body) and bincode; it is bincode's
//!        only door.
//! Never: knows what a record means, reads or writes the store.
//!
//! ```text
//! offset  0     1        2..4   4..8     8..12              12..
//!         kind  version  zero   length   CRC-32 (all of it) body (bincode, varint, little endian)
//! ```
//! The checksum covers the key as well: a record that turns up under another key is not taken for its own.
//! A body's layout is frozen with its version. A new field means a new version and a conversion.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before the body.
const ENVELOPE_BYTES: usize = 12;

/// Largest body; far above any record that the verbs write.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// A kind of record. The numbers are on disk: never reuse one.
pub(crate) trait Stored: Serialize + DeserializeOwned {
    /// Which kind.
    const KIND: u8;
    /// Which layout of its body.
    const VERSION: u8 = 1;
}

/// Why bytes are not the record that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the envelope or the length in it says.
    #[error("the record is cut off after {0} bytes")]
    Short(usize),
    /// The checksum does not fit: bits were changed, or the record belongs to another key.
    #[error("the record's checksum does not match")]
    Checksum,
    /// Another kind or version than this program writes.
    #[error("the record is of kind {kind}, version {version}, which this program does not read here")]
    Foreign {
        /// The kind found.
        kind: u8,
        /// The version found.
        version: u8,
    },
    /// The checksum fits and the body does not decode: a defect of the program that wrote it.
    #[error("the record's body does not decode: {0}")]
    Body(String),
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(BODY_BYTES_MAX)
}

pub(crate) fn checksum(key: &[u8], head: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(head);
    sum.update(body);
    sum.finalize()
}

/// The bytes of a record that is stored under `key`.
pub(crate) fn encode<T: Stored>(key: &[u8], value: &T) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&[T::KIND, T::VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    options().serialize_into(&mut bytes, value).map_err(|error| RecordError::Body(error.to_string()))?;
    let length = u32::try_from(bytes.len() - ENVELOPE_BYTES).unwrap_or(u32::MAX);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(key, &bytes[..8], &bytes[ENVELOPE_BYTES..]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// The kind of a record, without a look at its body.
pub(crate) fn kind(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

/// The record stored under `key`.
pub(crate) fn decode<T: Stored>(key: &[u8], bytes: &[u8]) -> Result<T, RecordError> {
    let short = || RecordError::Short(bytes.len());
    let (head, body) = bytes.split_at_checked(ENVELOPE_BYTES).ok_or_else(short)?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if usize::try_from(length) != Ok(body.len()) {
        return Err(short());
    }
    let sum = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if sum != checksum(key, &head[..8], body) {
        return Err(RecordError::Checksum);
    }
    if (head[0], head[1]) != (T::KIND, T::VERSION) {
        return Err(RecordError::Foreign { kind: head[0], version: head[1] });
    }
    options().deserialize(body).map_err(|error| RecordError::Body(error.to_string()))
}

/// Whether these bytes are a record under this key, of whatever kind.
pub(crate) fn is_whole(key: &[u8], bytes: &[u8]) -> bool {
    let Some((head, body)) = bytes.split_at_checked(ENVELOPE_BYTES) else { return false };
    head[8..] == checksum(key, &head[..8], body).to_le_bytes()
}

/// The first field of a record's body, unchecked: it is for the caller to find out whether it is true.
pub(crate) fn first_field<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    options().allow_trailing_bytes().deserialize(bytes.get(ENVELOPE_BYTES..)?).ok()
}

#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        number: u64,
        text: String,
    }

    impl Stored for Sample {
        const KIND: u8 = 200;
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let value = Sample { number: 300, text: "harbour".into() };
        let bytes = encode(b"key", &value).unwrap();
        assert_eq!(decode::<Sample>(b"key", &bytes), Ok(value));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Sample>(b"key", &changed).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode::<Sample>(b"key", &bytes[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_record_under_another_key_is_refused() {
        let bytes = encode(b"key", &Sample { number: 1, text: String::new() }).unwrap();
        assert_eq!(decode::<Sample>(b"kez", &bytes), Err(RecordError::Checksum));
    }

    #[test]
    fn the_envelope_has_the_documented_layout() {
        let bytes = encode(b"key", &Sample { number: 300, text: "ab".into() }).unwrap();
        assert_eq!(&bytes[..8], &[200, 1, 0, 0, 6, 0, 0, 0]);
        assert_eq!(&bytes[12..], &[251, 44, 1, 2, b'a', b'b']);
    }
}
