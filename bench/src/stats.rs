//! Medians, spreads and percentiles.
//!
//! Owns:  what several rounds of a measurement come to.
//! Never: knows what was measured.

/// Median and extremes of several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of at least one value; of none it is all zero.
    pub(crate) fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        match (sorted.first(), sorted.last()) {
            (Some(&min), Some(&max)) => Self { median: median(&sorted), min, max },
            _ => Self::one(0.0),
        }
    }

    /// A value that was measured once.
    pub(crate) const fn one(value: f64) -> Self {
        Self { median: value, min: value, max: value }
    }

    /// Whether there is anything besides the median.
    pub(crate) fn is_one(&self) -> bool {
        self.min == self.max
    }

    /// The spread in another unit.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }
}

/// The ratio of two measurements, round by round: what both met in one round cancels out.
pub(crate) fn ratio(subject: &[f64], baseline: &[f64]) -> Spread {
    let ratios: Vec<f64> =
        subject.iter().zip(baseline).filter(|(_, base)| **base > 0.0).map(|(sub, base)| sub / base).collect();
    Spread::of(&ratios)
}

/// The values in rising order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|below| sorted.get(below)).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// The smallest value that `percent` of all values do not exceed.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    // 99.9 has no exact form: a rank that is whole must not become the next one.
    let rank = (percent * sorted.len() as f64 / 100.0 - 1e-6).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle_or_between_the_two_middle_ones() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]), Spread::one(7.0));
        assert_eq!(Spread::of(&[]), Spread::one(0.0));
    }

    #[test]
    fn a_ratio_is_taken_in_each_round_for_itself() {
        let spread = ratio(&[5.0, 50.0, 500.0], &[10.0, 100.0, 1000.0]);
        assert_eq!(spread, Spread::one(0.5));
        assert_eq!(ratio(&[1.0, 1.0], &[0.0, 4.0]), Spread::one(0.25));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), 500.0);
        assert_eq!(percentile(&values, 99.0), 990.0);
        assert_eq!(percentile(&values, 99.9), 999.0);
        assert_eq!(percentile(&[3.0], 99.9), 3.0);
        assert_eq!(percentile(&[], 50.0), 0.0);
    }
}
