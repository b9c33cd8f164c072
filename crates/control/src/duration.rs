//! Durations as requests and configuration write them: a number and a unit.
//!
//! Owns:  the text form of a duration, both ways.
//! Never: knows the limits of an option (its caller gives them).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MS: u64 = 1;
const SECOND: u64 = 1000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// From here on whole days are written as days; below, people say `72h`.
const DAYS_FROM: u64 = 7 * DAY;

/// A duration with its text form, such as `1500ms`, `30s`, `5m`, `72h`, `7d`.
///
/// Parts below a millisecond are not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

/// Text that is not a duration, or one outside its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no number before the unit.
    #[error("`{0}` is not a duration: write a number and a unit (ms, s, m, h or d), such as `30s`")]
    NoNumber(String),
    /// The number has no unit.
    #[error("`{0}` has no unit: write `{0}s` for seconds, or one of ms, m, h, d")]
    NoUnit(String),
    /// The unit is none of the five.
    #[error("`{text}` has the unknown unit `{unit}`: use ms, s, m, h or d")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands behind the number.
        unit: String,
    },
    /// The number is a fraction.
    #[error("`{0}` has a fraction: use a smaller unit, such as `1500ms` for one and a half seconds")]
    Fraction(String),
    /// The number does not fit.
    #[error("`{0}` is too long a duration to count in milliseconds")]
    TooLarge(String),
    /// Shorter than the least that is allowed here.
    #[error("`{text}` is too short: at least {min}")]
    BelowMin {
        /// The whole text.
        text: String,
        /// The shortest duration allowed.
        min: DurationText,
    },
    /// Longer than the most that is allowed here.
    #[error("`{text}` is too long: at most {max}")]
    AboveMax {
        /// The whole text.
        text: String,
        /// The longest duration allowed.
        max: DurationText,
    },
}

/// Reads a duration: a whole number followed by `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// Says what is wrong with the text, and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(split);
    if digits.is_empty() {
        return Err(DurationError::NoNumber(text.to_owned()));
    }
    let unit_ms = match unit.trim_start() {
        "ms" => MS,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "" => return Err(DurationError::NoUnit(trimmed.to_owned())),
        other if other.starts_with(['.', ',']) => return Err(DurationError::Fraction(text.to_owned())),
        other => return Err(DurationError::UnknownUnit { text: text.to_owned(), unit: other.to_owned() }),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| DurationError::TooLarge(text.to_owned()))
}

/// Reads a duration that must lie between two others, both included.
///
/// # Errors
/// Like [`parse_duration`], and names the limit that the duration crosses.
pub fn parse_duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, DurationError> {
    let duration = parse_duration(text)?;
    if duration < min {
        return Err(DurationError::BelowMin { text: text.to_owned(), min: DurationText(min) });
    }
    if duration > max {
        return Err(DurationError::AboveMax { text: text.to_owned(), max: DurationText(max) });
    }
    Ok(duration)
}

impl DurationText {
    /// The duration of that many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration itself.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for DurationText {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<DurationText> for Duration {
    fn from(text: DurationText) -> Self {
        text.0
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        match ms {
            0 => f.write_str("0s"),
            _ if ms >= DAYS_FROM && ms.is_multiple_of(DAY) => write!(f, "{}d", ms / DAY),
            _ if ms.is_multiple_of(HOUR) => write!(f, "{}h", ms / HOUR),
            _ if ms.is_multiple_of(MINUTE) => write!(f, "{}m", ms / MINUTE),
            _ if ms.is_multiple_of(SECOND) => write!(f, "{}s", ms / SECOND),
            _ => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for DurationText {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse_duration(text).map(Self)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_the_documentation_comes_back_as_it_was() {
        for text in
            ["10ms", "1500ms", "1s", "30s", "5m", "15m", "1h", "24h", "72h", "7d", "30d", "365d", "0s"]
        {
            assert_eq!(text.parse::<DurationText>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_largest_unit_that_divides_is_written() {
        for (text, written) in
            [("1000ms", "1s"), ("120s", "2m"), ("3d", "72h"), ("168h", "7d"), ("169h", "169h")]
        {
            assert_eq!(text.parse::<DurationText>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn a_refusal_says_how_to_write_it() {
        for (text, part) in [
            ("1.5s", "1500ms"),
            ("30", "`30s`"),
            ("s", "such as `30s`"),
            ("", "such as `30s`"),
            ("-1s", "such as `30s`"),
            ("5min", "unknown unit `min`"),
            ("99999999999999999999d", "too long"),
            ("18446744073709551615h", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn limits_are_included_and_named_when_crossed() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
        assert_eq!(parse_duration_within("1s", min, max), Ok(min));
        assert_eq!(parse_duration_within("5m", min, max), Ok(max));
        assert!(parse_duration_within("999ms", min, max).unwrap_err().to_string().contains("at least 1s"));
        assert!(parse_duration_within("6m", min, max).unwrap_err().to_string().contains("at most 5m"));
    }
}
