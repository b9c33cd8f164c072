//! The app as transport: requests for work that wait, and how fast they are served.
//!
//! Owns:  the queue of waiting requests, rates, whether an app is attached.
//! Never: talks to the store.

use std::collections::VecDeque;
use std::time::Duration;

use outbox::{Lease, LeaseId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::rates::{Quotas, Rates};

/// Leases that may be out at once, over all apps: an app that takes and never reports must not take all.
const LEASES_OUT_MAX: u64 = 1024;

/// Accounts that are shown as kept back by their rate: there are seldom more.
pub(super) const SLOWED_SHOWN: usize = 16;

/// An app counts as attached for so long after its last request: it may be busy with what it got.
const ATTACHED_FOR: Duration = Duration::from_secs(90);

/// A request for work.
pub struct LeaseAsk {
    /// Whose messages.
    pub account: String,
    /// At most so many.
    pub max: usize,
    /// How long each lease lasts.
    pub lasts: Duration,
    /// Until when to wait for the first.
    pub wait_until: Instant,
    /// Where the leases go.
    pub reply: oneshot::Sender<outbox::Result<Vec<Lease>>>,
}

impl LeaseAsk {
    /// Answers with leases; gives them back if nobody hears it.
    pub(super) fn answer(self, leases: Vec<Lease>) -> Result<(), Vec<LeaseId>> {
        self.reply
            .send(Ok(leases))
            .map_err(|unheard| unheard.unwrap_or_default().into_iter().map(|lease| lease.id).collect())
    }

    /// Answers that there is no work.
    pub(super) fn dismiss(self) {
        // Whoever has gone misses nothing.
        let _ = self.reply.send(Ok(Vec::new()));
    }

    /// Answers that there can be no work.
    pub(super) fn refuse(self, error: outbox::Error) {
        let _ = self.reply.send(Err(error));
    }
}

struct Waiter {
    ask: LeaseAsk,
    /// The look-round in which nothing was found for it.
    looked: Option<u64>,
}

/// The engine's side of the app as transport.
pub(super) struct AppSide {
    waiters: VecDeque<Waiter>,
    rates: Rates,
    round: u64,
    seen: Option<Instant>,
}

impl AppSide {
    pub(super) fn new(rates: Rates) -> Self {
        Self { waiters: VecDeque::new(), rates, round: 0, seen: None }
    }

    /// Goes on with other rates.
    pub(super) fn set_quotas(&mut self, quotas: Quotas) {
        self.rates.set_quotas(quotas);
    }

    /// A request arrived. There are no more of them than connections.
    pub(super) fn ask(&mut self, ask: LeaseAsk) {
        self.seen = Some(Instant::now());
        self.waiters.push_back(Waiter { ask, looked: None });
    }

    /// Nothing was found for a request in that look-round: it waits for the next change.
    pub(super) fn wait_on(&mut self, ask: LeaseAsk, round: u64) {
        let looked = Some(round);
        self.waiters.push_front(Waiter { ask, looked });
    }

    /// Something changed: all waiting requests are looked at again.
    pub(super) fn look_again(&mut self) {
        self.round += 1;
    }

    /// The next request that may be served, how many leases it may have, and the look-round.
    pub(super) fn next(&mut self, now: Timestamp, out: u64) -> Option<(LeaseAsk, usize, u64)> {
        // A client that has gone would take leases and tokens from those that are there.
        self.waiters.retain(|waiter| !waiter.ask.reply.is_closed());
        let room = usize::try_from(LEASES_OUT_MAX.saturating_sub(out)).unwrap_or(usize::MAX);
        let may_have =
            |waiter: &Waiter| self.rates.available(&waiter.ask.account, now).min(waiter.ask.max).min(room);
        let at = self
            .waiters
            .iter()
            .position(|waiter| waiter.looked != Some(self.round) && may_have(waiter) > 0)?;
        let max = self.waiters.get(at).map(may_have)?;
        self.waiters.remove(at).map(|waiter| (waiter.ask, max, self.round))
    }

    /// Leases were given out.
    pub(super) fn leased(&mut self, ask: &LeaseAsk, leases: usize, now: Timestamp) {
        self.seen = Some(Instant::now());
        self.rates.take(&ask.account, leases, now);
    }

    /// Answers the requests whose time is over, and forgets those whose app has gone.
    pub(super) fn dismiss_late(&mut self) {
        let now = Instant::now();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.ask.wait_until <= now {
                waiter.ask.dismiss();
            } else if !waiter.ask.reply.is_closed() {
                self.waiters.push_back(waiter);
            }
        }
    }

    /// Answers all requests with the reason why there can be no work.
    pub(super) fn refuse_all(&mut self, error: &outbox::Error) {
        for waiter in self.waiters.drain(..) {
            waiter.ask.refuse(error.clone());
        }
    }

    /// When the first waiting request's time is over.
    pub(super) fn next_late(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.ask.wait_until).min()
    }

    /// When a request that only its rate keeps back may be served.
    pub(super) fn next_rate(&self, now: Timestamp) -> Option<Timestamp> {
        self.waiters
            .iter()
            .filter(|waiter| waiter.looked != Some(self.round))
            .map(|waiter| self.rates.next(&waiter.ask.account, now))
            .filter(|at| *at > now)
            .min()
    }

    /// Accounts whose requests only their rate keeps back, and until when.
    pub(super) fn slowed(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        let slowed = |waiter: &Waiter| {
            let at = self.rates.next(&waiter.ask.account, now);
            (at > now).then(|| (waiter.ask.account.clone(), at))
        };
        self.waiters.iter().filter_map(slowed).take(SLOWED_SHOWN).collect()
    }

    /// Whether an app asks for work, or did so a moment ago.
    pub(super) fn is_attached(&self) -> bool {
        !self.waiters.is_empty() || self.seen.is_some_and(|seen| seen.elapsed() < ATTACHED_FOR)
    }
}
