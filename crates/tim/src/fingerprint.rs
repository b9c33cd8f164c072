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
//! | a whole number from -2^63 to 2^64-1, however it is written | `i`, 128 bits |
//! | any other whole number with the shortest digits of its f64, such as 1e30 | `d`, the bits of its f64 |
//! | any other whole number | `w`, bytes, its first to its last digit that is not 0, `e`, count of zeros |
//! | a number with a fraction | that of its f64: `i` if that is whole and in that range, else `d` |
//! | text | `s`, bytes, UTF-8 |
//! | array | `a`, count, values |
//! | object | `o`, count, then for each field: bytes of the name, name, value |
//!
//! So whole numbers, which may be ids, count with all their digits. Fractions count as the float that every SDK
//! makes of them: one writes 22.543095999999999, the next 22.543096, and means one place.
//!
//! Half of a character in a text (see `mend`) has the three bytes that UTF-8 would give it if it were allowed
//! there. No valid text has such bytes, and no two halves have the same: which half it is counts.

mod number;

use crate::json::exact::Exact;
use number::Number;

/// Keeps these hashes apart from all others, and one version of the form apart from the next.
const DOMAIN: &[u8] = b"outbox-tim message fingerprint 1\n";

/// Tags and numbers are gathered to this size before they are hashed: BLAKE3 is slow on single bytes. It also
/// bounds the memory that a fingerprint takes.
const BUFFER_BYTES: usize = 4096;

/// Hashes the canonical form of an object that has exactly these fields, which come in the order of their names'
/// bytes, each name once.
///
/// The depth of the recursion is that of the parser, which accepts 127 levels.
pub(crate) fn of_object<'a>(fields: impl Iterator<Item = (&'a [u8], &'a Exact<'a>)>) -> [u8; 32] {
    let mut canonical = Canonical { hasher: blake3::Hasher::new(), buffer: Vec::with_capacity(BUFFER_BYTES) };
    canonical.bytes(DOMAIN);
    canonical.object(&fields.collect::<Vec<_>>());
    canonical.finish()
}

/// Writes canonical forms into a hash.
struct Canonical {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Canonical {
    fn value(&mut self, value: &Exact<'_>) {
        match value {
            Exact::Null => self.bytes(b"n"),
            Exact::Bool(false) => self.bytes(b"f"),
            Exact::Bool(true) => self.bytes(b"t"),
            Exact::Number(number) => self.number(&Number::read(number)),
            Exact::Text(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Exact::Array(items) => {
                self.bytes(b"a");
                self.length(items.len());
                for item in items {
                    self.value(item);
                }
            }
            Exact::Object(fields) => {
                self.object(&fields.iter().map(|(name, value)| (name.as_ref(), value)).collect::<Vec<_>>());
            }
        }
    }

    fn object(&mut self, fields: &[(&[u8], &Exact<'_>)]) {
        self.bytes(b"o");
        self.length(fields.len());
        for (name, value) in fields {
            self.text(name);
            self.value(value);
        }
    }

    fn number(&mut self, number: &Number) {
        match number {
            Number::Integer(integer) => {
                self.bytes(b"i");
                self.bytes(&integer.to_le_bytes());
            }
            Number::Digits(digits) => {
                self.bytes(b"w");
                self.text(digits.as_bytes());
            }
            Number::Float(float) => {
                self.bytes(b"d");
                self.bytes(&float.to_bits().to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.length(text.len());
        self.bytes(text);
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
    use crate::json::exact::read_fields;

    fn of_message(json: &str) -> [u8; 32] {
        let fields = read_fields(json.as_bytes()).unwrap();
        of_object(fields.iter().map(|(name, value)| (name.as_ref(), value)))
    }

    fn of(text: &str) -> [u8; 32] {
        of_message(&format!("{{\"v\":{text}}}"))
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
    fn whole_numbers_are_told_apart_by_every_digit_however_long() {
        let values = [
            "12345678901234567890123",
            "12345678901234567890124",
            "-12345678901234567890123",
            "123456789012345678901230",
            "12345678901234568000000",
            "12345678901234567890123000",
            "9007199254740993.0",
            "9007199254740992.0",
            "18446744073709551616",
            "18446744073709551617",
            "18446744073709552000",
            "-9223372036854775808",
            "-9223372036854775809",
            "-9223372036854776000",
            "1e30",
            "1000000000000000019884624838656",
            "1000000000000000000000000000001",
        ];
        for (index, left) in values.iter().enumerate() {
            for right in &values[index + 1..] {
                assert_ne!(of(left), of(right), "{left} and {right}");
            }
        }
    }

    #[test]
    fn long_numbers_of_one_value_are_equal_however_they_are_written() {
        for (left, right) in [
            ("12345678901234567890123", "12345678901234567890123.000"),
            ("12345678901234567890123", "1.2345678901234567890123e+22"),
            ("12345678901234567890123000", "12345678901234567890123E3"),
            ("-12345678901234567890123", "-123456789012345678901230e-1"),
            ("18446744073709551615", "1.8446744073709551615e19"),
            ("1e30", "0.00001E35"),
            ("0", "-0.000e999999999999999999999"),
            ("5", "0.0000000000000000000000005e25"),
        ] {
            assert_eq!(of(left), of(right), "{left} and {right}");
        }
    }

    #[test]
    fn numbers_with_a_fraction_are_the_float_that_every_sdk_makes_of_them() {
        for (left, right) in [
            ("22.543095999999999", "22.543096"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("1e-400", "0"),
        ] {
            assert_eq!(of(left), of(right), "{left} and {right}");
        }
        assert_ne!(of("22.543096"), of("22.543097"));
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
        form.extend(*b"o\x03\0\0\0\0\0\0\0");
        form.extend(*b"\x01\0\0\0\0\0\0\0ai\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        form.extend(*b"\x01\0\0\0\0\0\0\0ba\x03\0\0\0\0\0\0\0ns\x02\0\0\0\0\0\0\0hid\0\0\0\0\0\0\xe0\x3f");
        form.extend(*b"\x01\0\0\0\0\0\0\0ca\x02\0\0\0\0\0\0\0s\x03\0\0\0\0\0\0\0\xed\xa0\xbd");
        form.extend(*b"w\x1a\0\0\0\0\0\0\0-1234567890123456789012e10");
        let json = r#"{"c":["\ud83d",-12345678901234567890120000000000],"b": [null, "hi", 0.5], "a": 2}"#;
        assert_eq!(of_message(json), *blake3::hash(&form).as_bytes());
    }
}
