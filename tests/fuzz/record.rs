//! Records: bytes that nobody wrote are refused, and what is read is written the same again.
//!
//! Owns:  an envelope of its own, written after the format's description and not after the code.
//! Never: knows what a record means.

use outbox::RecordError;
use outbox::fuzzing::{reread, reread_leaf};

const GOLDEN: &str = include_str!("../../crates/outbox/tests/golden/records-v1.txt");

/// The key under which the pinned records lie.
const KEY: &[u8] = b"key";

pub(crate) const WORDS: &[&str] = &["\0", "\u{1}", "msg", "c2c:", "\0\0\0\0\0\0\0\0"];

/// Records of every kind.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let unhex = |line: &str| {
        let digits = line.split_once(' ').unwrap().1.as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    };
    GOLDEN.lines().map(unhex).collect()
}

/// An envelope around a body: kind, version, two zeros, length, checksum over key, head and body.
fn sealed(kind: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 1, 0, 0];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    let sum = crc32fast::hash(&[key, &bytes, body].concat());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A leaf under a key: checksum over key, version and rows, then these.
fn sealed_leaf(key: &[u8], rows: &[u8]) -> Vec<u8> {
    let sum = crc32fast::hash(&[key, &[1], rows].concat());
    [&sum.to_le_bytes(), &[1][..], rows].concat()
}

fn check_leaf(data: &[u8]) {
    let is_whole = data.len() >= 5 && data[4] == 1 && data[..4] == sealed_leaf(KEY, &data[5..])[..4];
    assert!(is_whole || reread_leaf(KEY, data).is_none(), "bytes that nobody wrote are read as a leaf");
    let leaf = sealed_leaf(KEY, data);
    assert_eq!(reread_leaf(b"kez", &leaf), None, "a leaf lies under another key");
    // Rows may share less with the row before than they could; written again they share all they can.
    if let Some(written) = reread_leaf(KEY, &leaf).filter(|written| !written.is_empty()) {
        assert!(written.len() <= leaf.len(), "a leaf grows by being read");
        assert_eq!(reread_leaf(KEY, &written).as_ref(), Some(&written), "it reads as something else");
    }
}

pub(crate) fn check(data: &[u8]) {
    check_leaf(data);
    let Some(&kind) = data.first() else { return };
    // As it came: whoever has the checksum right has written it, and it reads as nothing else.
    let as_it_came = reread(kind, KEY, data);
    let is_whole = data.len() >= 12
        && data[4..8] == u32::try_from(data.len() - 12).unwrap().to_le_bytes()
        && data[8..12] == crc32fast::hash(&[KEY, &data[..8], &data[12..]].concat()).to_le_bytes();
    if let Some(read) = &as_it_came {
        assert!(is_whole || read.is_err(), "bytes that nobody wrote are read as a record");
    }
    if is_whole && (1..=7).contains(&kind) {
        let other_key = reread(kind, b"kez", data).unwrap();
        assert_eq!(other_key, Err(RecordError::Checksum), "a record lies under another key");
        let other_kind = reread(kind % 7 + 1, KEY, data).unwrap();
        assert!(matches!(other_kind, Err(RecordError::Foreign { .. })), "{other_kind:?}");
    }
    // With a right envelope: the body alone decides, whatever bytes it has.
    let (kind, body) = (kind % 7 + 1, data.get(12..).unwrap_or(&data[1..]));
    let record = sealed(kind, KEY, body);
    match reread(kind, KEY, &record).unwrap() {
        Ok(written) => {
            // A number may have been written in more bytes than it needs; after that nothing changes any more.
            assert!(written.len() <= record.len(), "a record grows by being read");
            assert_eq!(
                reread(kind, KEY, &written).unwrap().as_ref(),
                Ok(&written),
                "it reads as something else"
            );
        }
        Err(error) => assert!(matches!(error, RecordError::Body(_)), "{error:?}"),
    }
}
