//! Rates: how many leases each account may have in a time.
//!
//! Owns:  the times of each account's last leases, and what they leave room for.
//! Never: reads a clock, knows why an account has its rate.

use std::collections::{BTreeMap, HashMap, VecDeque};

use outbox::{Room, Timestamp};

/// Accounts remembered at once; the ones that have all their room are forgotten first, for nothing is lost
/// by it.
const ACCOUNTS_MAX: usize = 1024;

/// A smooth rate's leases come in portions, so that a drain at full rate does not take a transaction for each:
/// twenty a second.
const PORTIONS_A_SECOND: u32 = 20;

/// A service counts when requests arrive, not when they leave: a smooth rate stays this share below it.
const MARGIN: f64 = 0.05;

/// At most `count` in any `window_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    count: usize,
    window_ms: u64,
}

impl Quota {
    /// A whole second's worth at once, then none until that second is over: for an app, which paces what it
    /// got by itself.
    #[must_use]
    pub fn burst(rate: u32) -> Self {
        Self { count: count(rate), window_ms: 1000 }
    }

    /// Spread evenly, in small portions: never more than `rate` in any second.
    #[must_use]
    pub fn smooth(rate: u32) -> Self {
        let rate = rate.max(1);
        let portion = (rate / PORTIONS_A_SECOND).max(1);
        let window_ms = (f64::from(portion) * 1000.0 * (1.0 + MARGIN) / f64::from(rate)).ceil();
        Self { count: count(portion), window_ms: window_ms as u64 }
    }
}

fn count(rate: u32) -> usize {
    usize::try_from(rate).unwrap_or(usize::MAX).max(1)
}

/// The quotas of a transport: one for all accounts, or others for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of accounts that are not named; `None`: no limit.
    pub each: Option<Quota>,
    /// Of single accounts.
    pub of: HashMap<String, Quota>,
}

/// Leases by account.
#[derive(Debug)]
pub(super) struct Rates {
    quotas: Quotas,
    logs: BTreeMap<String, VecDeque<Timestamp>>,
}

impl Rates {
    #[must_use]
    pub(super) fn new(quotas: Quotas) -> Self {
        Self { quotas, logs: BTreeMap::new() }
    }

    /// Goes on with other quotas. What was given out counts on, as far as the new quota reaches back.
    pub(super) fn set_quotas(&mut self, quotas: Quotas) {
        self.quotas = quotas;
        for (account, log) in &mut self.logs {
            let quota = self.quotas.of.get(account).copied().or(self.quotas.each);
            let excess = quota.map_or(log.len(), |quota| log.len().saturating_sub(quota.count));
            log.drain(..excess);
        }
    }

    fn quota(&self, account: &str) -> Option<Quota> {
        self.quotas.of.get(account).copied().or(self.quotas.each)
    }

    /// Leases that the account may have now.
    #[must_use]
    pub(super) fn available(&self, account: &str, now: Timestamp) -> usize {
        let Some(quota) = self.quota(account) else { return usize::MAX };
        let Some(log) = self.logs.get(account) else { return quota.count };
        let recent = log.iter().rev().take_while(|at| at.plus_ms(quota.window_ms) > now).count();
        quota.count.saturating_sub(recent)
    }

    /// When the account may have its next lease.
    #[must_use]
    pub(super) fn next(&self, account: &str, now: Timestamp) -> Timestamp {
        if self.available(account, now) > 0 {
            return now;
        }
        let oldest = self.quota(account).and_then(|quota| {
            let log = self.logs.get(account)?;
            let at = log.get(log.len().checked_sub(quota.count)?)?;
            Some(at.plus_ms(quota.window_ms))
        });
        oldest.unwrap_or(now).max(now)
    }

    /// What the accounts have room for in one call.
    #[must_use]
    pub(super) fn room(&self, now: Timestamp) -> Room {
        let of = self.quotas.of.keys().chain(self.logs.keys());
        Room {
            each: self.quotas.each.map_or(usize::MAX, |quota| quota.count),
            of: of.map(|account| (account.clone(), self.available(account, now))).collect(),
        }
    }

    /// Notes that leases were given out.
    pub(super) fn take(&mut self, account: &str, leases: usize, now: Timestamp) {
        let Some(quota) = self.quota(account) else { return };
        if self.logs.len() >= ACCOUNTS_MAX && !self.logs.contains_key(account) {
            self.forget(now);
        }
        let log = self.logs.entry(account.to_owned()).or_default();
        log.extend(std::iter::repeat_n(now, leases.min(quota.count)));
        let old = log.len().saturating_sub(quota.count);
        log.drain(..old);
    }

    fn forget(&mut self, now: Timestamp) {
        let idle: Vec<_> = self
            .logs
            .keys()
            .filter(|name| self.quota(name).is_none_or(|quota| self.available(name, now) >= quota.count))
            .cloned()
            .collect();
        for name in idle {
            self.logs.remove(&name);
        }
        if self.logs.len() >= ACCOUNTS_MAX {
            // So many accounts at once: they begin with all their room again rather than grow without end.
            self.logs.clear();
        }
    }

    /// Accounts that have no room now and when they have some again, at most `shown` of them.
    #[must_use]
    pub(super) fn exhausted(&self, now: Timestamp, shown: usize) -> Vec<(String, Timestamp)> {
        let next = |account: &String| (account.clone(), self.next(account, now));
        self.logs.keys().map(next).filter(|(_, at)| *at > now).take(shown).collect()
    }

    /// When the first account without room has some again.
    #[must_use]
    pub(super) fn next_room(&self, now: Timestamp) -> Option<Timestamp> {
        self.logs.keys().map(|account| self.next(account, now)).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(quota: Quota) -> Rates {
        Rates::new(Quotas { each: Some(quota), of: HashMap::new() })
    }

    /// Takes whatever it may have in each millisecond; the times of what it got.
    fn greedy(quota: Quota, for_ms: u64) -> Vec<u64> {
        let mut rates = rates(quota);
        let mut got = Vec::new();
        for ms in 0..for_ms {
            let now = Timestamp(ms);
            let leases = rates.available("a", now);
            rates.take("a", leases, now);
            got.extend(std::iter::repeat_n(ms, leases));
        }
        got
    }

    #[test]
    fn no_second_holds_more_than_the_rate_and_little_of_it_is_lost() {
        for (quota, rate, least) in [
            (Quota::burst(5), 5, 50),
            (Quota::smooth(200), 200, 1_850),
            (Quota::smooth(40), 40, 370),
            (Quota::smooth(1), 1, 9),
            (Quota::smooth(10_000), 10_000, 90_000),
        ] {
            let got = greedy(quota, 10_000);
            for (index, at) in got.iter().enumerate() {
                let within = got[index..].iter().take_while(|other| **other < at + 1000).count();
                assert!(within <= rate, "{within} within a second from {at} ms");
            }
            assert!(got.len() >= least, "only {} in ten seconds at {rate} a second", got.len());
        }
    }

    #[test]
    fn the_next_moment_is_the_first_at_which_there_is_room_and_accounts_do_not_share() {
        let mut rates = rates(Quota::burst(5));
        let now = Timestamp(1_000);
        assert_eq!((rates.available("a", now), rates.next("a", now)), (5, now));
        rates.take("a", 3, now);
        rates.take("a", 2, now.plus_ms(100));
        let late = now.plus_ms(200);
        assert_eq!((rates.available("a", late), rates.next("a", late)), (0, now.plus_ms(1_000)));
        assert_eq!(rates.available("a", now.plus_ms(999)), 0);
        assert_eq!(rates.available("a", now.plus_ms(1_000)), 3);
        assert_eq!(rates.available("a", now.plus_ms(1_100)), 5);
        assert_eq!(rates.available("b", late), 5);
        assert_eq!(rates.exhausted(late, 16), [("a".to_owned(), now.plus_ms(1_000))]);
        assert_eq!(rates.room(late).of, [("a".to_owned(), 0)].into());
        assert_eq!((rates.room(late).each, rates.next_room(late)), (5, Some(now.plus_ms(1_000))));
    }

    #[test]
    fn without_a_quota_there_is_no_limit_and_nothing_is_remembered() {
        let mut rates = Rates::new(Quotas::default());
        rates.take("a", 500, Timestamp(1));
        assert_eq!(rates.available("a", Timestamp(1)), usize::MAX);
        assert_eq!(rates.room(Timestamp(1)), Room { each: usize::MAX, of: HashMap::new() });
        assert_eq!(rates.next_room(Timestamp(1)), None);
    }

    #[test]
    fn more_accounts_than_are_remembered_forget_those_with_all_their_room() {
        let mut rates = rates(Quota::burst(2));
        for number in 0..ACCOUNTS_MAX {
            rates.take(&format!("a{number}"), 1, Timestamp(0));
        }
        let now = Timestamp(900);
        rates.take("a0", 1, now);
        rates.take("new", 2, Timestamp(1_000));
        assert_eq!(rates.logs.len(), 2, "the one that still counts, and the new one");
        assert_eq!(rates.available("a0", Timestamp(1_000)), 1);
    }
}
