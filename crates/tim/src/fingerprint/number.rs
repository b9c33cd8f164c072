//! The value of a JSON number, whatever its spelling.
//!
//! Owns:  which spellings are the same number for a fingerprint.
//! Never: rounds a whole number.

/// What a number stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    /// A whole number that fits into 64 bits, with or without a sign.
    Integer(i128),
    /// A whole number with more digits than a float tells apart, or any beyond all floats: its digits, `e`, and the count of zeros that
    /// follow them.
    Digits(String),
    /// Any other number.
    Float(f64),
}

/// A number of decimal digits, without zeros at either end, with a power of ten. Zero has no digits.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

/// Digits of the largest whole numbers of 64 bits.
const INTEGER_DIGITS_MAX: i64 = 20;

impl Number {
    /// Reads a number that the parser has accepted. Linear in its length.
    pub(super) fn read(text: &str) -> Self {
        let decimal = Decimal::read(text);
        if let Some(integer) = decimal.integer() {
            return Self::Integer(integer);
        }
        // Beyond the range of floats it is infinite, and the digits alone tell one from the other.
        let float: f64 = text.parse().unwrap_or(f64::NAN);
        if !decimal.is_whole() && float.is_finite() {
            return Self::of_fraction(float);
        }
        // The shortest digits from which the float is read again, such as 1e30.
        if decimal == Decimal::read(&format!("{float:e}")) {
            return Self::Float(float);
        }
        let sign = if decimal.is_negative { "-" } else { "" };
        Self::Digits(format!("{sign}{}e{}", decimal.digits, decimal.exponent))
    }

    /// A number with a fraction is the nearest float, as for every SDK; that may be whole.
    fn of_fraction(float: f64) -> Self {
        const LOWEST: f64 = -9_223_372_036_854_775_808.0; // -2^63
        const BEYOND: f64 = 18_446_744_073_709_551_616.0; // 2^64
        let is_integer = float.fract() == 0.0 && (LOWEST..BEYOND).contains(&float);
        if is_integer { Self::Integer(float as i128) } else { Self::Float(float) }
    }
}

impl Decimal {
    fn read(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_matches('0').to_owned();
        if digits.is_empty() {
            return Self { is_negative: false, digits, exponent: 0 };
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let exponent =
            read_exponent(exponent).saturating_add(length(zeros)).saturating_sub(length(fraction.len()));
        Self { is_negative, digits, exponent }
    }

    const fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// The number, if it is whole and from -2^63 to 2^64-1.
    fn integer(&self) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = u32::try_from(self.exponent).ok()?;
        if length(self.digits.len()).saturating_add(self.exponent) > INTEGER_DIGITS_MAX {
            return None;
        }
        let size = self.digits.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(zeros)?)?;
        let integer = if self.is_negative { -size } else { size };
        (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer).then_some(integer)
    }
}

/// An exponent beyond 64 bits is as large as they go: such a number is beyond all floats, or nearest to 0.
fn read_exponent(text: &str) -> i64 {
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_it_stands_for() {
        let digits = |text: &str| Number::Digits(text.to_owned());
        for (text, expected) in [
            ("0", Number::Integer(0)),
            ("-0.00e-7", Number::Integer(0)),
            ("0e99999999999999999999", Number::Integer(0)),
            ("10.0", Number::Integer(10)),
            ("-12.5e1", Number::Integer(-125)),
            ("0.000000000000000000000000000001e32", Number::Integer(100)),
            ("18446744073709551615", Number::Integer(18_446_744_073_709_551_615)),
            ("-9223372036854775808", Number::Integer(-9_223_372_036_854_775_808)),
            ("99999999999999999999", digits("99999999999999999999e0")),
            ("18446744073709551616", digits("18446744073709551616e0")),
            ("-9223372036854775809", digits("-9223372036854775809e0")),
            ("12345678901234567890123000", digits("12345678901234567890123e3")),
            ("1e30", Number::Float(1e30)),
            ("-1000000000000000000000", Number::Float(-1e21)),
            ("1.7976931348623157e308", Number::Float(f64::MAX)),
            ("0.5", Number::Float(0.5)),
            ("1e-400", Number::Integer(0)),
            ("1e-99999999999999999999", Number::Integer(0)),
            ("1.00000000000000000000001", Number::Integer(1)),
            ("1e400", digits("1e400")),
            ("-1.5e400", digits("-15e399")),
            ("12345678901234567890123.5", Number::Float(12_345_678_901_234_567_890_123.5)),
        ] {
            assert_eq!(Number::read(text), expected, "{text}");
        }
    }

    #[test]
    fn every_power_of_ten_is_one_number_in_both_spellings() {
        for exponent in 0..=308 {
            let long = format!("1{}", "0".repeat(exponent));
            assert_eq!(Number::read(&long), Number::read(&format!("1e{exponent}")), "1e{exponent}");
            assert_ne!(Number::read(&long), Number::read(&format!("{long}1")), "1e{exponent}");
        }
    }
}
