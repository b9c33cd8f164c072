//! The fingerprint of a message: equal for two texts that are the same payload.
//!
//! Owns:  the canonical form of a JSON value, and its hash. Both are kept on disk by the store, so neither may
//!        change without a new [`DOMAIN`].
//! Never: knows which fields do not count (`message` says so), keeps or shows a payload.
//!
//! The form: one tag byte for each value, then its content. Texts, arrays and objects carry their length
//! first, and numbers have a fixed one, so that no form is the beginning of another. The fields of an object
//! stand in the order of their names' bytes. Lengths are u64, all numbers little-endian.
//!
//! | value | form |
//! |---|---|
//! | null, false, true | `n`, `f`, `t` |
//! | a whole number from -2^63 to 2^64-1, also when written as a float | `i`, 128 bits |
//! | any other number | `d`, the bits of its f64 |
//! | text | `s`, bytes, UTF-8 |
//! | array | `a`, count, values |
//! | object | `o`, count, then for each field: bytes of the name, name, value |

use serde_json::{Number, Value};

/// Keeps these hashes apart from all others, and one version of the form apart from the next.
const DOMAIN: &[u8] = b"outbox-tim message fingerprint 1\n";

/// Tags and numbers are gathered to this size before they are hashed: BLAKE3 is slow on single bytes. It also
/// bounds the memory that a fingerprint takes.
const BUFFER_BYTES: usize = 4096;

/// Hashes the canonical form of an object that has exactly these fields. Names must be unique.
///
/// The depth of the recursion is that of the parser, which accepts 128 levels.
pub(crate) fn of_object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> [u8; 32] {
    let mut canonical = Canonical { hasher: blake3::Hasher::new(), buffer: Vec::with_capacity(BUFFER_BYTES) };
    canonical.bytes(DOMAIN);
    canonical.object(fields.collect());
    canonical.finish()
}

/// Writes canonical forms into a hash.
struct Canonical {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Canonical {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(false) => self.bytes(b"f"),
            Value::Bool(true) => self.bytes(b"t"),
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Value::Array(items) => {
                self.bytes(b"a");
                self.length(items.len());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(map) => self.object(map.iter().collect()),
        }
    }

    /// Sorts by itself: whether serde_json's map is sorted depends on a feature that any package of a build
    /// may switch on.
    fn object(&mut self, mut fields: Vec<(&String, &Value)>) {
        fields.sort_unstable_by_key(|(name, _)| *name);
        self.bytes(b"o");
        self.length(fields.len());
        for (name, value) in fields {
            self.text(name);
            self.value(value);
        }
    }

    fn number(&mut self, number: &Number) {
        match Canonical::integer(number) {
            Some(integer) => {
                self.bytes(b"i");
                self.bytes(&integer.to_le_bytes());
            }
            None => {
                self.bytes(b"d");
                // Every JSON number has an f64: the parser refuses those beyond its range.
                self.bytes(&number.as_f64().unwrap_or(f64::NAN).to_bits().to_le_bytes());
            }
        }
    }

    fn integer(number: &Number) -> Option<i128> {
        const LOWEST: f64 = -9_223_372_036_854_775_808.0; // -2^63
        const BEYOND: f64 = 18_446_744_073_709_551_616.0; // 2^64
        if let Some(integer) = number.as_i64() {
            return Some(integer.into());
        }
        if let Some(integer) = number.as_u64() {
            return Some(integer.into());
        }
        let float = number.as_f64()?;
        (float.fract() == 0.0 && (LOWEST..BEYOND).contains(&float)).then_some(float as i128)
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    fn length(&mut self, length: usize) {
        self.bytes(&(length as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_BYTES {
            self.hasher.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.hasher.update(&self.buffer);
        self.hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> [u8; 32] {
        let value: Value = serde_json::from_str(&format!("{{\"v\":{text}}}")).unwrap();
        of_object(value.as_object().unwrap().iter())
    }

    #[test]
    fn numbers_of_one_value_are_equal_however_they_are_written() {
        for (left, right) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("0", "-0.0"),
            ("-5", "-5.0"),
            ("2911436684", "2911436684.0"),
            ("18446744073709549568", "18446744073709549568.0"),
            ("1e30", "1000000000000000000000000000000"),
            ("0.5", "5e-1"),
        ] {
            assert_eq!(of(left), of(right), "{left} and {right}");
        }
    }

    #[test]
    fn no_two_different_values_share_a_form() {
        let values = [
            "null",
            "false",
            "true",
            "0",
            "1",
            "-1",
            "1.5",
            "\"\"",
            "\"1\"",
            "\"null\"",
            "[]",
            "{}",
            "[null]",
            "[[]]",
            "[[],[]]",
            "[\"a\",\"b\"]",
            "[\"b\",\"a\"]",
            "[\"ab\"]",
            "[\"a\",\"b\",null]",
            "{\"a\":\"b\"}",
            "{\"b\":\"a\"}",
            "{\"a\":null}",
            "{\"a\":{\"b\":1}}",
            "{\"a\":1,\"b\":{}}",
            "9007199254740993",
            "9007199254740992",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "-9223372036854775808",
            "-9223372036854777856",
        ];
        for (index, left) in values.iter().enumerate() {
            for right in &values[index + 1..] {
                assert_ne!(of(left), of(right), "{left} and {right}");
            }
        }
    }

    #[test]
    fn a_long_text_is_hashed_in_full() {
        for length in [BUFFER_BYTES - 80, BUFFER_BYTES, BUFFER_BYTES + 1, 10 * BUFFER_BYTES] {
            let text = "x".repeat(length);
            assert_eq!(of(&format!("\"{text}\"")), of(&format!(" \"{text}\" ")));
            assert_ne!(of(&format!("\"{text}\"")), of(&format!("\"{text}y\"")));
            assert_ne!(of(&format!("[\"{text}\",1]")), of(&format!("[\"{text}\",2]")));
            assert_ne!(of(&format!("\"a{text}\"")), of(&format!("\"b{text}\"")));
        }
    }

    #[test]
    fn the_form_is_the_one_that_the_page_above_describes() {
        let mut form = DOMAIN.to_vec();
        form.extend(*b"o\x02\0\0\0\0\0\0\0");
        form.extend(*b"\x01\0\0\0\0\0\0\0ai\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        form.extend(*b"\x01\0\0\0\0\0\0\0ba\x02\0\0\0\0\0\0\0ns\x02\0\0\0\0\0\0\0hi");
        let value: Value = serde_json::from_str(r#"{"b": [null, "hi"], "a": 2}"#).unwrap();
        assert_eq!(of_object(value.as_object().unwrap().iter()), *blake3::hash(&form).as_bytes());
    }
}
