//! Moments as the API writes them: RFC 3339 in UTC with exactly three decimals.
//!
//! Owns:  the text form of a moment, both ways.
//! Never: reads a clock.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Written as `2026-11-23T08:00:00.000Z`. Read from any RFC 3339 text; finer parts than milliseconds are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

/// 0000-01-01T00:00:00.000Z: RFC 3339 has no earlier year.
const MIN_MS: i64 = -62_167_219_200_000;

/// Text that is not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: write it as 2026-11-23T08:00:00.000Z ({reason})")]
pub struct TimeError {
    text: String,
    reason: String,
}

impl Time {
    /// The moment that many milliseconds after the epoch, moved into the years 0 to 9999 if it lies outside.
    ///
    /// The upper end is jiff's last whole second: it makes no moment from the milliseconds behind that.
    #[must_use]
    pub fn from_ms(epoch_ms: i64) -> Self {
        Self(epoch_ms.clamp(MIN_MS, Timestamp::MAX.as_second() * 1000))
    }

    /// Milliseconds since the epoch; negative before 1970.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this moment; negative if this one is the earlier.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.3}")
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        match text.parse::<Timestamp>() {
            Ok(moment) => Ok(Self::from_ms(moment.as_millisecond())),
            Err(_) if is_in_last_hours(text) => Ok(Self::from_ms(i64::MAX)),
            Err(error) => Err(TimeError { text: text.to_owned(), reason: error.to_string() }),
        }
    }
}

/// Whether a text that jiff refuses is a moment behind jiff's last one, of the year 9999: many write its last day for "never".
fn is_in_last_hours(text: &str) -> bool {
    let Ok(pieces) = Pieces::parse(text) else { return false };
    let day = Timestamp::MAX.to_zoned(TimeZone::UTC).date();
    pieces.date() >= day && pieces.time().is_some() && pieces.offset().is_some()
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_three_decimals_and_ends_in_z() {
        assert_eq!(Time::from_ms(1_795_420_800_000).to_string(), "2026-11-23T08:00:00.000Z");
        assert_eq!(Time::from_ms(1_795_420_800_050).to_string(), "2026-11-23T08:00:00.050Z");
        assert_eq!(Time::from_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn any_rfc_3339_text_is_read() {
        let expected = Ok(Time::from_ms(1_795_420_800_000));
        for text in ["2026-11-23T08:00:00Z", "2026-11-23t09:00:00.000999+01:00", "2026-11-23 08:00:00.0z"] {
            assert_eq!(text.parse::<Time>(), expected, "{text}");
        }
    }

    #[test]
    fn the_last_day_of_the_last_year_is_the_latest_moment() {
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999+00:00", "9999-12-30T22:00:00.001Z"] {
            assert_eq!(text.parse::<Time>(), Ok(Time::from_ms(i64::MAX)), "{text}");
        }
        for text in ["9999-12-31", "9999-12-31T23:59:59", "9999-12-31T25:00:00Z", "10000-01-01T00:00:00Z"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn text_without_a_zone_or_a_date_is_refused_with_an_example() {
        for text in ["2026-11-23T08:00:00", "tomorrow", "", "1795420800000"] {
            let error = text.parse::<Time>().unwrap_err();
            assert!(error.to_string().contains("2026-11-23T08:00:00.000Z"), "{error}");
        }
    }

    #[test]
    fn extremes_stay_printable_and_come_back() {
        for ms in [i64::MIN, i64::MAX] {
            let time = Time::from_ms(ms);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
