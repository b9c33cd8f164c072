//! JSON read without losing anything: halves of characters and all digits of a number stay.
//!
//! Owns:  the tree, and that of a name that is there twice the last counts, as for the parser's own.
//! Never: judges a text: it is only for what the parser has accepted, at least as a mended copy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Deserializer as _, Visitor};

/// Arrays and objects in one another; the parser stops before.
const LEVELS_MAX: usize = 128;

/// The fields of an object, in the order of their names' bytes.
pub(crate) type Fields<'a> = BTreeMap<Cow<'a, [u8]>, Exact<'a>>;

/// A JSON value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exact<'a> {
    Null,
    Bool(bool),
    /// The number as it is spelt.
    Number(&'a str),
    /// The text in UTF-8, but that half of a character is the three bytes that it would have in UTF-8 if it
    /// were allowed there. Thereby no two texts are equal, and those without halves are what they always are.
    Text(Cow<'a, [u8]>),
    Array(Vec<Exact<'a>>),
    Object(Fields<'a>),
}

impl Exact<'_> {
    /// Whether this is a text with half of a character in it.
    pub(crate) fn is_text_with_half(&self) -> bool {
        matches!(self, Self::Text(text) if std::str::from_utf8(text).is_err())
    }

    /// The type, with its article, for an error text.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// A field as it is spelt in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spelt<'a> {
    /// With its quotes.
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// The fields of an object by their names, as they are spelt.
pub(crate) type SpeltFields<'a> = BTreeMap<Cow<'a, [u8]>, Spelt<'a>>;

/// Takes an object apart and changes nothing in it; `None` if it is none, or nothing that the parser would take.
pub(crate) fn spelt_fields(json: &[u8]) -> Option<SpeltFields<'_>> {
    let mut reader = Reader { rest: json };
    let mut fields = SpeltFields::new();
    reader.each_field(|name, spelt, reader| {
        let value = reader.spelt(|reader| reader.value(LEVELS_MAX - 1))?.1;
        fields.insert(name, Spelt { name: spelt, value });
        Some(())
    })?;
    Some(fields)
}

/// Reads an object; `None` if it is none, or nothing that the parser would take.
pub(crate) fn read_fields(json: &[u8]) -> Option<Fields<'_>> {
    let mut reader = Reader { rest: json };
    match reader.value(LEVELS_MAX)? {
        Exact::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Reads values from the start of what is left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The recursion is as deep as the value, for which there are `levels` left.
    fn value(&mut self, levels: usize) -> Option<Exact<'a>> {
        self.skip_space();
        match self.rest.first()? {
            b'{' => Some(Exact::Object(self.fields(levels.checked_sub(1)?)?)),
            b'[' => Some(Exact::Array(self.items(levels.checked_sub(1)?)?)),
            b'"' => Some(Exact::Text(self.text()?)),
            b'n' => self.word(b"null", Exact::Null),
            b't' => self.word(b"true", Exact::Bool(true)),
            b'f' => self.word(b"false", Exact::Bool(false)),
            _ => self.number(),
        }
    }

    fn fields(&mut self, levels: usize) -> Option<Fields<'a>> {
        let mut fields = Fields::new();
        self.each_field(|name, _, reader| {
            fields.insert(name, reader.value(levels)?);
            Some(())
        })?;
        Some(fields)
    }

    /// Reads an object; `value` gets each name, as it reads and as it is spelt, and reads what belongs to it.
    fn each_field(
        &mut self,
        mut value: impl FnMut(Cow<'a, [u8]>, &'a [u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.has(b'}') {
            return Some(());
        }
        loop {
            let (name, spelt) = self.spelt(Self::text)?;
            self.expect(b':')?;
            value(name, spelt, self)?;
            if !self.has(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads something, and tells how it is spelt.
    fn spelt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<(T, &'a [u8])> {
        self.skip_space();
        let before = self.rest;
        let read = read(self)?;
        let length = before.len().checked_sub(self.rest.len())?;
        Some((read, before.get(..length)?))
    }

    fn items(&mut self, levels: usize) -> Option<Vec<Exact<'a>>> {
        let mut items = Vec::new();
        self.expect(b'[')?;
        if self.has(b']') {
            return Some(items);
        }
        loop {
            items.push(self.value(levels)?);
            if !self.has(b',') {
                self.expect(b']')?;
                return Some(items);
            }
        }
    }

    fn text(&mut self) -> Option<Cow<'a, [u8]>> {
        let inner = self.rest.strip_prefix(b"\"")?;
        let (length, has_escapes) = until_quote(inner)?;
        let (quoted, rest) = self.rest.split_at_checked(length + 2)?;
        self.rest = rest;
        if has_escapes { unescape(quoted).map(Cow::Owned) } else { inner.get(..length).map(Cow::Borrowed) }
    }

    fn number(&mut self) -> Option<Exact<'a>> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(number).ok().filter(|number| !number.is_empty()).map(Exact::Number)
    }

    fn word(&mut self, word: &[u8], value: Exact<'a>) -> Option<Exact<'a>> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(value)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.has(byte).then_some(())
    }

    /// Goes past white space, and past the byte if it comes next.
    fn has(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

/// Bytes before the closing quote, and whether there are escapes among them.
fn until_quote(inner: &[u8]) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => return Some((at, has_escapes)),
            b'\\' => {
                has_escapes = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// The parser reads halves of characters, too, if it is asked for bytes instead of a text.
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a text")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }

    serde_json::Deserializer::from_slice(quoted).deserialize_bytes(Bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn plain(exact: &Exact<'_>) -> Value {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match exact {
            Exact::Null => Value::Null,
            Exact::Bool(flag) => Value::from(*flag),
            Exact::Number(number) => serde_json::from_str(number).unwrap(),
            Exact::Text(bytes) => Value::from(text(bytes)),
            Exact::Array(items) => items.iter().map(plain).collect(),
            Exact::Object(fields) => fields.iter().map(|(name, value)| (text(name), plain(value))).collect(),
        }
    }

    #[test]
    fn valid_json_is_read_as_the_parser_reads_it() {
        let examples = include_str!("../../../../tests/fixtures/messages.jsonl");
        let corners = [
            "{}",
            " {\t\"a\" :\r\n[ ] , \"b\":{ } , \"c\" : [ 1 ,-2.5e+7, true,false , null ] } ",
            r#"{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀","":"","a\\":"\\\\"}"#,
            r#"{"a":1,"b":{"x":1,"x":[2]},"a":"last"}"#,
            r#"{"a":[[[{"b":[{}]}]]]}"#,
        ];
        for json in examples.lines().chain(corners) {
            let fields = read_fields(json.as_bytes()).unwrap();
            assert_eq!(plain(&Exact::Object(fields)), serde_json::from_str::<Value>(json).unwrap(), "{json}");
        }
    }

    #[test]
    fn halves_of_characters_are_kept_apart_and_from_everything_else() {
        let json = br#"{"a":"x\ud83d","b":"x\ude00\ud83d\ud83d\ude00","c":"x\ufffd","d\udfff":["\ud83d"]}"#;
        let fields = read_fields(json).unwrap();
        let text = |name: &[u8]| match fields.get(name) {
            Some(Exact::Text(text)) => text.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(b"a"), b"x\xed\xa0\xbd");
        assert_eq!(text(b"b"), b"x\xed\xb8\x80\xed\xa0\xbd\xf0\x9f\x98\x80");
        assert_eq!(text(b"c"), "x\u{fffd}".as_bytes());
        let halved: Vec<_> = fields.values().map(Exact::is_text_with_half).collect();
        assert_eq!(halved, [true, true, false, false], "the last is an array");
        assert!(fields.contains_key(b"d\xed\xbf\xbf".as_slice()));
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let fields = read_fields(br#"{"a":12345678901234567890123, "b":-1.50E+03}"#).unwrap();
        let numbers: Vec<_> = fields.values().collect();
        assert_eq!(numbers, [&Exact::Number("12345678901234567890123"), &Exact::Number("-1.50E+03")]);
    }

    #[test]
    fn an_object_is_taken_apart_without_changing_a_byte() {
        let json = br#" { "a" : [1, "x\ud83d"] ,"b\ud83d":{"c" :1e400},"\u0061":  -1.50E+03 } "#;
        let fields = spelt_fields(json).unwrap();
        let shown: Vec<_> = fields
            .values()
            .map(|field| [field.name, field.value].map(|part| std::str::from_utf8(part).unwrap()))
            .collect();
        let a = [r#""\u0061""#, "-1.50E+03"];
        assert_eq!(shown, [a, [r#""b\ud83d""#, r#"{"c" :1e400}"#]], "of a name that is there twice the last");
        assert_eq!(spelt_fields(b"{}").unwrap(), SpeltFields::new());
        for json in ["[]", "1", "", "{\"a\":}", "{\"a\":1"] {
            assert_eq!(spelt_fields(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn what_the_parser_refuses_ends_without_harm() {
        for json in [
            "",
            "{",
            "{\"",
            "{\"a",
            "{\"a\\",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{x}",
            "[1",
            "[]",
            "1",
        ] {
            assert_eq!(read_fields(json.as_bytes()), None, "{json}");
        }
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(read_fields(deep(LEVELS_MAX - 1).as_bytes()).is_some());
        assert!(read_fields(deep(LEVELS_MAX).as_bytes()).is_none());
        assert!(read_fields(deep(1_000_000).as_bytes()).is_none());
    }
}
