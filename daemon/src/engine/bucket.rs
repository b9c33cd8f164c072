//! Rates of the app transport: leases a second for each account.
//!
//! Owns:  one token bucket for each account that asked lately.
//! Never: reads a clock.

use std::collections::HashMap;

use outbox::Timestamp;

/// Accounts remembered at once; the ones with a full bucket are forgotten first, for nothing is lost by it.
const ACCOUNTS_MAX: usize = 1024;

/// Token buckets by account. A bucket holds one second's worth.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: u32,
    buckets: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a lease.
    milli: u64,
    at: Timestamp,
}

impl Buckets {
    /// Buckets of `rate` leases a second.
    #[must_use]
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, buckets: HashMap::new() }
    }

    fn full(&self) -> u64 {
        u64::from(self.rate) * 1000
    }

    fn level(&self, account: &str, now: Timestamp) -> u64 {
        let full = self.full();
        self.buckets.get(account).map_or(full, |bucket| {
            let gained = now.since_ms(bucket.at).saturating_mul(u64::from(self.rate));
            bucket.milli.saturating_add(gained).min(full)
        })
    }

    /// Leases that the account may have now.
    #[must_use]
    pub(super) fn available(&self, account: &str, now: Timestamp) -> usize {
        usize::try_from(self.level(account, now) / 1000).unwrap_or(usize::MAX)
    }

    /// When the account may have its next lease.
    #[must_use]
    pub(super) fn next(&self, account: &str, now: Timestamp) -> Timestamp {
        let missing = 1000_u64.saturating_sub(self.level(account, now));
        now.plus_ms(missing.div_ceil(u64::from(self.rate.max(1))))
    }

    /// Takes what was leased.
    pub(super) fn take(&mut self, account: &str, leases: usize, now: Timestamp) {
        let taken = u64::try_from(leases).unwrap_or(u64::MAX).saturating_mul(1000);
        let milli = self.level(account, now).saturating_sub(taken);
        if self.buckets.len() >= ACCOUNTS_MAX && !self.buckets.contains_key(account) {
            let full = self.full();
            let levels: Vec<_> =
                self.buckets.keys().filter(|name| self.level(name, now) >= full).cloned().collect();
            for name in levels {
                self.buckets.remove(&name);
            }
            if self.buckets.len() >= ACCOUNTS_MAX {
                // So many accounts at once: they start over with full buckets rather than grow without end.
                self.buckets.clear();
            }
        }
        self.buckets.insert(account.to_owned(), Bucket { milli, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_second_at_once_and_then_its_rate() {
        let mut buckets = Buckets::new(5);
        let now = Timestamp(1_000);
        assert_eq!(buckets.available("a", now), 5);
        buckets.take("a", 5, now);
        assert_eq!(buckets.available("a", now), 0);
        assert_eq!(buckets.next("a", now), now.plus_ms(200));
        assert_eq!(buckets.available("a", now.plus_ms(199)), 0);
        assert_eq!(buckets.available("a", now.plus_ms(200)), 1);
        assert_eq!(buckets.available("a", now.plus_ms(60_000)), 5);
        assert_eq!(buckets.available("b", now), 5, "accounts do not share");
    }
}
