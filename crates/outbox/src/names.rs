//! Fixed-size names: send tokens, lanes, and the hashes and digits that they are made of.
//!
//! Owns:  how a lane's key follows from its conversation; hexadecimal digits.
//! Never: draws random numbers.

use serde::{Deserialize, Serialize};

/// Random 128 bits, made at submit, the same on every automatic attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SendToken(pub [u8; 16]);

/// The line that a message waits in: account and conversation, as a hash (names may be long).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneKey(pub [u8; 16]);

impl SendToken {
    /// The token as 32 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl std::fmt::Debug for SendToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl std::fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl LaneKey {
    /// The lane of a conversation.
    #[must_use]
    pub fn of(account: &str, conversation: &str) -> Self {
        Self::hash(&[account, conversation])
    }

    /// A lane of one message's own, for spools without an order.
    #[must_use]
    pub fn alone(account: &str, conversation: &str, msg_id: &str) -> Self {
        Self::hash(&[account, conversation, msg_id])
    }

    fn hash(parts: &[&str]) -> Self {
        Self(short_hash(parts))
    }
}

/// 128 bits of BLAKE3 over texts that contain no control characters.
pub(crate) fn short_hash(parts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The bytes of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_read_back() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
        assert_eq!(unhex("00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(unhex("0g"), None);
        assert_eq!(unhex("ü"), None);
        assert_eq!(unhex("+1"), None);
    }

    #[test]
    fn lanes_with_shifted_names_differ() {
        assert_ne!(LaneKey::of("ab", "c"), LaneKey::of("a", "bc"));
        assert_ne!(LaneKey::of("a", "b"), LaneKey::alone("a", "b", ""));
    }
}
