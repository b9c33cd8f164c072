//! Small questions about JSON values that several readers ask.
//!
//! Owns:  the names of JSON types in error texts, and the rule for whole numbers.
//! Never: knows a field.

pub(crate) mod exact;

use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Beyond 2^53 a float no longer names one integer, so it is not taken for one.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The whole number that a JSON number stands for; `2.0` is 2, `2.5` is none.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() < FLOAT_EXACT_MAX).then_some(float as i64)
    })
}

/// The type of a value, with its article, for an error text.
pub(crate) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The type of a value that was not parsed, with its article, for an error text.
pub(crate) fn raw_kind(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_without_a_fraction_are_whole() {
        let whole_of = |text: &str| whole(&serde_json::from_str(text).unwrap());
        assert_eq!(whole_of("2"), Some(2));
        assert_eq!(whole_of("2.0"), Some(2));
        assert_eq!(whole_of("-1e3"), Some(-1000));
        assert_eq!(whole_of("-0"), Some(0));
        assert_eq!(whole_of("9223372036854775807"), Some(i64::MAX));
        assert_eq!(whole_of("2.5"), None);
        assert_eq!(whole_of("9223372036854775808"), None);
        assert_eq!(whole_of("1e300"), None);
    }

    #[test]
    fn a_raw_value_has_the_kind_that_it_has_once_parsed() {
        for text in ["{}", "[1]", "\"a\"", "true", "false", "null", "-1", "0.5"] {
            let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(raw_kind(&raw), kind(&serde_json::from_str(text).unwrap()), "{text}");
        }
    }
}
