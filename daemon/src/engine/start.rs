//! What the engine can start now: a tick, a probe, a lease.
//!
//! Owns:  the conditions under which each is started; at most one of each is under way.
//! Never: waits for what it starts, applies an answer.

use outbox::{LeaseRequest, LeaseTo, Moment};

use tokio::time::Instant;

use super::{Done, Engine, LEASE_AT_ONCE, News, Permit};

impl Engine {
    pub(super) fn start_what_can(&mut self) {
        let failure = self.outbox.failure();
        self.note_store(failure.as_ref());
        if let Some(error) = failure {
            return self.app.refuse_all(&error);
        }
        self.retry_refused();
        let now = self.outbox.now();
        if let Some(slept) = self.slumber.notice(now.time, Instant::now()) {
            tracing::info!(slept_ms = slept.as_millis(), "The machine slept.");
            self.hear_news(News::Gone);
        }
        self.start_tick(now);
        if self.stop_by.is_some() {
            return;
        }
        self.start_probe(now);
        if self.push.is_some() {
            self.start_lease();
        } else {
            self.start_app_lease(now);
        }
    }

    /// Says once that the store takes no changes, and once that it does again.
    fn note_store(&mut self, failure: Option<&outbox::Error>) {
        match failure {
            Some(error) if !self.store_failed => tracing::error!(%error, "The store takes no changes."),
            None if self.store_failed => {
                tracing::info!("The store takes changes again.");
                self.work = true;
                self.app.look_again();
            }
            _ => {}
        }
        self.store_failed = failure.is_some();
    }

    fn start_tick(&mut self, now: Moment) {
        if self.ticking || self.alarm.is_none_or(|at| at > now.time) {
            return;
        }
        self.ticking = true;
        self.alarm = None;
        self.work = true;
        self.app.look_again();
        let ticket = self.outbox.tick();
        self.call(async move { Done::Ticked(ticket.await) });
    }

    fn start_probe(&mut self, now: Moment) {
        let roll = self.roll();
        self.link.release_canary(now, roll);
        if !self.has_backlog() {
            return;
        }
        let Some(round) = self.link.start_probe(now) else { return };
        let probe = self.probe.start();
        self.call(async move { Done::Probed(round, probe.await) });
    }

    /// Whether anything waits that the link keeps back: without it, being offline costs nothing at all.
    pub(super) fn has_backlog(&self) -> bool {
        let counters = self.wake.counters();
        counters.ready > 0 || counters.deferred > 0
    }

    /// Attempts under way, and outcomes that are not on disk yet.
    pub(super) fn under_way(&self) -> usize {
        self.attempts.len() + self.settling + self.unsettled.len()
    }

    /// How many more attempts the pace allows now.
    fn pace_room(&mut self) -> usize {
        let Self { stranded, leases, .. } = self;
        stranded.retain(|id| leases.contains_key(id));
        self.pace.room(self.under_way(), self.stranded.len())
    }

    fn start_lease(&mut self) {
        let room = match self.link.permit() {
            Permit::All => self.pace_room(),
            Permit::Canary => 1,
            Permit::Nothing => 0,
        };
        let now = self.outbox.now().time;
        if self.room_at.is_some_and(|at| at <= now) {
            self.room_at = None;
            self.work = true;
        }
        if !self.work || self.leasing || room == 0 {
            return;
        }
        self.work = false;
        self.leasing = true;
        self.await_room();
        let request = LeaseRequest {
            max: room.min(LEASE_AT_ONCE),
            room: self.rates.room(now),
            ..LeaseRequest::default()
        };
        let ticket = self.outbox.lease(request);
        self.call(async move { Done::Leased(ticket.await) });
    }

    fn start_app_lease(&mut self, now: Moment) {
        if self.leasing {
            return;
        }
        let permit = self.link.permit();
        let sending = self.wake.counters().sending;
        let next = if permit == Permit::Nothing { None } else { self.app.next(now.time, sending) };
        let Some((ask, max, round)) = next else {
            // Each request had its look, also one that would not wait.
            return self.app.dismiss_late();
        };
        self.leasing = true;
        let request = LeaseRequest {
            max: if permit == Permit::Canary { 1 } else { max },
            account: Some(ask.account.clone()),
            to: LeaseTo::App { duration: ask.lasts },
            ..LeaseRequest::default()
        };
        let ticket = self.outbox.lease(request);
        self.call(async move { Done::LeasedForApp(ask, round, ticket.await) });
    }
}
