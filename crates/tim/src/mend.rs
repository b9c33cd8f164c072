//! Halves of characters: escapes from `\ud800` to `\udfff` that stand without their other half.
//!
//! Owns:  finding them in JSON text, and the U+FFFD that is read in their place; numbers beyond all floats.
//! Never: changes bytes that are kept or sent; mends anything else that may be wrong with a text.
//!
//! JavaScript's texts are UTF-16, and cutting one can cut an emoji in two. What is left is written as an escape
//! that the grammar of JSON allows and that no Unicode text can hold, so the parser refuses all of it. A message
//! must not be lost for that: its bytes stay as they are, and who reads them reads a mended copy.
//!
//! A mended copy has `\ufffd` where the original has such an escape, and thereby the same length: all else stands
//! at the same place in both, and an error in it has the same line and column.
//!
//! A message may also have a number that the grammar allows and no float can hold, such as 1e400. Where a message
//! is read as a value, null stands for it: no field of the SDKs can mean it.

use std::ops::Range;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

/// Stands for half a character, as it does wherever UTF-16 is read leniently. As long as what it replaces.
const REPLACEMENT: &[u8; ESCAPE_BYTES] = br"\ufffd";

/// Bytes of an escape with four hex digits.
const ESCAPE_BYTES: usize = 6;

/// Parses JSON in which halves of characters are read as U+FFFD. Linear; only a text that the parser refuses is
/// copied, once.
///
/// Raw values inside `T` would be mended, too: read texts with this, never what has to stay as it came.
///
/// # Errors
/// What the parser found, with line and column; nothing about halves of characters.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| match mended(json) {
        Some(copy) => serde_json::from_slice(&copy),
        None => Err(error),
    })
}

/// Parses any JSON; numbers beyond all floats are read as null. A text that the parser refuses is copied once.
pub(crate) fn parse_value(json: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| {
        let mut copy = json.to_vec();
        let has_halves = mend(&mut copy);
        let has_numbers = drop_numbers(&mut copy);
        if has_halves || has_numbers { serde_json::from_slice(&copy) } else { Err(error) }
    })
}

/// Writes null, and blanks, over numbers that the parser has no float for, and says whether there were any. The
/// bytes must begin outside of a text. Linear: each number is looked at once.
fn drop_numbers(json: &mut [u8]) -> bool {
    const NULL: &[u8] = b"null";
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut has_dropped = false;
    let mut is_text = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += match byte {
            b'"' => {
                is_text = !is_text;
                1
            }
            b'\\' if is_text => 2,
            b'-' | b'0'..=b'9' if !is_text => {
                let length = json.iter().skip(at).take_while(|byte| is_part(byte)).count();
                if let Some(number) = json.get_mut(at..at + length)
                    && is_beyond_floats(number)
                {
                    number.fill(b' ');
                    // The shortest such number has five characters.
                    number.iter_mut().zip(NULL).for_each(|(byte, letter)| *byte = *letter);
                    has_dropped = true;
                }
                length
            }
            _ => 1,
        };
    }
    has_dropped
}

/// The parser skips any number that the grammar allows, and reads only what a float can hold.
fn is_beyond_floats(number: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(number).is_ok() && serde_json::from_slice::<f64>(number).is_err()
}

/// Reads a text; `None` for a value of any other type.
pub(crate) fn parse_text(raw: &RawValue) -> Option<String> {
    parse(raw.get().as_bytes()).ok()
}

/// A mended copy of JSON text; `None` if no half of a character is in it.
#[must_use]
pub fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut copy = json.to_vec();
    mend(&mut copy).then_some(copy)
}

/// Replaces halves of characters where they stand, and says whether there were any. The bytes must begin outside
/// of a text, as those of a whole value do. Never fails: whatever is no JSON otherwise stays so.
pub fn mend(json: &mut [u8]) -> bool {
    let mut has_halves = false;
    let mut is_text = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += match byte {
            b'"' => {
                is_text = !is_text;
                1
            }
            b'\\' if is_text => match code_unit(json, at) {
                // One character after the backslash belongs to it, also a quote or another backslash.
                None => 2,
                Some(0xD800..=0xDBFF)
                    if matches!(code_unit(json, at + ESCAPE_BYTES), Some(0xDC00..=0xDFFF)) =>
                {
                    2 * ESCAPE_BYTES
                }
                Some(0xD800..=0xDFFF) => {
                    if let Some(half) = json.get_mut(at..at + ESCAPE_BYTES) {
                        half.copy_from_slice(REPLACEMENT);
                        has_halves = true;
                    }
                    ESCAPE_BYTES
                }
                Some(_) => ESCAPE_BYTES,
            },
            _ => 1,
        };
    }
    has_halves
}

/// What the four hex digits of the escape at a place say; `None` if no such escape begins there.
fn code_unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..)?.get(..ESCAPE_BYTES)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// Where a part that was borrowed from a text stands in it; `None` if it was borrowed from another one.
#[must_use]
pub fn place(text: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= text.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        parse_text(&RawValue::from_string(json.to_owned()).unwrap())
    }

    /// Every text of up to five of these units, written with escapes, and what the standard library reads in it.
    #[test]
    fn every_mixture_of_halves_is_read_as_lenient_utf_16() {
        let units = [0xD83D, 0xDBFF, 0xDC00, 0xDFFF, 0x41, 0x5C, 0x22, 0xFFFD];
        let mut mixtures: Vec<Vec<u16>> = vec![Vec::new()];
        for length in 0..5 {
            let longer = mixtures.iter().filter(|mixture| mixture.len() == length);
            let longer = longer.flat_map(|start| units.map(|unit| [start.as_slice(), &[unit]].concat()));
            mixtures.extend(longer.collect::<Vec<_>>());
        }
        assert_eq!(mixtures.len(), 1 + 8 + 64 + 512 + 4096 + 32_768);
        for mixture in mixtures {
            let spelling = |unit: &u16| match unit {
                0x41 => "A".to_owned(),
                0x5C => r"\\".to_owned(),
                0x22 => r#"\""#.to_owned(),
                0xDBFF | 0xDFFF => format!("\\u{unit:X}"),
                _ => format!("\\u{unit:x}"),
            };
            let json = format!("\"{}\"", mixture.iter().map(spelling).collect::<String>());
            assert_eq!(text(&json).unwrap(), String::from_utf16_lossy(&mixture), "{json}");
        }
    }

    #[test]
    fn what_is_valid_stays_as_it_is() {
        for json in [
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""\\\\ud83d\\""#,
            r#""\"\\\"\\ud83d""#,
            r#""\ufffd\ud7ff\ue000\u0000""#,
            r#"{"\\ud83d":["\uD83D\uDE00", "ud83d", null]}"#,
            "",
        ] {
            assert_eq!(mended(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn halves_are_found_in_names_and_texts_at_any_depth_and_only_there() {
        let json = br#" {"a\ud83d" : ["\\", "\uDe00", {"b":"\"\uD83Dx"}], "c":"\\\ud83d\ud83d\ude00"} "#;
        let expected = br#" {"a\ufffd" : ["\\", "\ufffd", {"b":"\"\ufffdx"}], "c":"\\\ufffd\ud83d\ude00"} "#;
        assert_eq!(mended(json).unwrap(), expected);
        for outside in [r"\ud83d", r#""a"\ud83d"b""#, r"[\ud83d]"] {
            assert_eq!(mended(outside.as_bytes()), None, "{outside}");
            assert!(parse_value(outside.as_bytes()).is_err());
        }
    }

    #[test]
    fn texts_that_break_off_are_not_mended_into_anything() {
        for json in
            [r#"""#, r#""\"#, r#""\u"#, r#""\ud8"#, r#""\ud83"#, r#""\ud83""#, r#""\u+d83""#, r#""\ud83g""#]
        {
            assert_eq!(mended(json.as_bytes()), None, "{json}");
            assert!(parse_value(json.as_bytes()).is_err(), "{json}");
        }
        for json in [r#""\ud83d"#, r#""\ud83d\"#, r#""\ud83d\u"#, r#""\ud83d\ude0""#, r#""\ud83d\x""#] {
            assert_eq!(mended(json.as_bytes()).unwrap(), json.replace(r"\ud83d", r"\ufffd").as_bytes());
            assert!(parse_value(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn the_error_is_the_parsers_own_and_where_it_was_mended_the_next_one() {
        let first = parse_value(b"[\"a\", 1, }").unwrap_err().to_string();
        assert_eq!(first, serde_json::from_str::<Value>("[\"a\", 1, }").unwrap_err().to_string());
        let next = parse_value(b"[\"\\ud83d\", 1, }").unwrap_err();
        assert_eq!((next.line(), next.column()), (1, 15), "{next}");
        assert!(!next.to_string().contains("hex escape"), "{next}");
    }

    #[test]
    fn only_texts_are_read_as_texts() {
        assert_eq!(text(r#" "a\ud83d" "#.trim()).as_deref(), Some("a\u{fffd}"));
        for json in ["null", "1", "{}", "[\"a\"]", r#"["\ud83d"]"#] {
            assert_eq!(text(json), None, "{json}");
        }
    }

    #[test]
    fn numbers_beyond_all_floats_are_read_as_null_and_all_else_as_it_is() {
        let read = |json: &str| parse_value(json.as_bytes()).map(|value| value.to_string()).ok();
        for (json, expected) in [
            ("1e400", "null"),
            ("-1.5E+999", "null"),
            (
                r#"{"a":1e400,"b":[-9e308 , 1e308,1e309],"c":"1e400"}"#,
                r#"{"a":null,"b":[null,1e+308,null],"c":"1e400"}"#,
            ),
            (r#"{"1e400":"\"1e400","\ud83d":1e400}"#, "{\"1e400\":\"\\\"1e400\",\"\u{fffd}\":null}"),
            ("1e-400", "0.0"),
        ] {
            assert_eq!(read(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(read(&format!("1{}", "0".repeat(400))).as_deref(), Some("null"));
        for json in ["1e400e", "1e", "--1e400", "01e400", "1e400 x", "[1e400", "+1e400", r#""1e400"#] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_part_is_found_where_it_was_borrowed() {
        let text = b"0123456789";
        assert_eq!(place(text, &text[3..7]), Some(3..7));
        assert_eq!(place(text, text), Some(0..10));
        assert_eq!(place(&text[2..5], &text[4..6]), None);
        assert_eq!(place(&text[5..], &text[4..6]), None);
    }
}
