//! The engine: one task that owns everything between the store and the transport.
//!
//! Owns:  link, pace, attempts under way, apps that wait for work, the alarm for what is due by itself.
//! Never: decides what an outcome means for an entry (the store's lifecycle does), shares its state, or
//!        waits inside `apply`.
//!
//! ```text
//! loop {
//!     start what can be started now      (a lease, a tick, a probe)
//!     select: one action                 (an attempt ended, the store answered, a command, the alarm, ...)
//!     apply it                           (plain code; it may start calls, it never waits)
//! }
//! ```
//! Submits, holds, cancels and all reading go from the socket to the store directly; the store's notices
//! wake the engine. One owner costs a hop for the few questions that only the engine can answer (they read
//! its published [`View`]); it buys that no state here needs a lock.

mod app;
mod handle;
mod link;
mod news;
mod pace;
mod probe;
mod rates;
mod settings;
mod start;
mod wake;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use outbox::{Lease, LeaseId, Outbox, Outcome, Report, Ticked, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use crate::transport::verdict::maybe_reached;
use crate::transport::{Attempt, Transport, Turn};
pub use app::LeaseAsk;
use app::{AppSide, SLOWED_SHOWN};
pub use handle::{Command, Handle, LinkNews, View};
use link::Round;
pub use link::{Link, LinkOptions, LinkState, Permit, Scout, Source};
pub use news::News;
use news::Slumber;
pub use pace::{Drain, Pace};
use probe::Prober;
pub use probe::{Probe, connects};
use rates::Rates;
pub use rates::{Quota, Quotas};
pub use settings::{EngineSettings, Sender};
pub use wake::{Events, Wake};

/// Commands that wait for the engine: more than the socket has connections.
const COMMANDS_MAX: usize = 1024;

/// The engine looks around at least so often: a machine's sleep stops timers, and a beat shows progress.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// How long attempts under way may go on after a stop was asked for.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Leases taken in one call: enough to keep every core busy, few enough that payloads stay small in memory.
const LEASE_AT_ONCE: usize = 64;

/// Everything the engine needs.
pub struct Setup {
    /// The store.
    pub outbox: Outbox,
    /// What the configuration says.
    pub settings: EngineSettings,
    /// Where the store's notices arrive.
    pub wake: Arc<Wake>,
}

/// The engine's state. See the module's page for the loop.
pub struct Engine {
    outbox: Outbox,
    push: Option<Arc<dyn Transport>>,
    /// Of accounts whose messages this process sends.
    rates: Rates,
    /// When an account that has used up its rate may send again.
    room_at: Option<Timestamp>,
    app: AppSide,
    probe: Prober,
    link: Link,
    slumber: Slumber,
    pace: Pace,
    drain: Drain,
    attempts: JoinSet<Report>,
    /// Which lease each attempt has: an attempt that panics must not lose it.
    leases: HashMap<task::Id, LeaseId>,
    /// The attempt that finds out whether the link is up.
    canary: Option<LeaseId>,
    /// Attempts that were under way when the link went: they may hang for long, and keep nobody waiting.
    stranded: HashSet<task::Id>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    settling: usize,
    /// Outcomes that the store could not take: tried again, for a proven success must not be forgotten.
    unsettled: Vec<Ended>,
    /// Whatever waited only for the link is to be woken: the store could not take that, either.
    unwoken: bool,
    retry_at: Option<Instant>,
    /// The store took no changes when it was last looked at.
    store_failed: bool,
    leasing: bool,
    ticking: bool,
    /// Something may be due that no lease call has looked for yet.
    work: bool,
    /// The next moment at which something is due by itself.
    alarm: Option<Timestamp>,
    commands: mpsc::Receiver<Command>,
    wake: Arc<Wake>,
    view: watch::Sender<View>,
    links: watch::Sender<LinkNews>,
    stop_by: Option<Instant>,
}

/// What a call that was started has come to.
enum Done {
    Leased(outbox::Result<Vec<Lease>>),
    LeasedForApp(LeaseAsk, u64, outbox::Result<Vec<Lease>>),
    Settled(Ended, outbox::Result<outbox::Settled>),
    Ticked(outbox::Result<Ticked>),
    Probed(Round, bool),
    Woken(outbox::Result<()>),
    Other(outbox::Result<()>),
}

/// An attempt that has ended, until the store has its outcome.
#[derive(Clone)]
struct Ended {
    lease: LeaseId,
    report: Arc<Report>,
}

/// What the engine was woken for.
enum Action {
    Stop,
    AttemptEnded(Option<LeaseId>, Result<Report, JoinError>),
    Done(Done),
    Command(Command),
    Woken,
    LookAround,
}

impl Engine {
    /// Sets up an engine and the way to it.
    #[must_use]
    pub fn new(setup: Setup) -> (Self, Handle) {
        let now = setup.outbox.now();
        let link = Link::new(setup.settings.link_options(), now);
        let (push, quotas, app_quotas) = setup.settings.sender.into_parts();
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let first_view = View {
            link: link.state(),
            link_since: link.since(),
            link_source: link.source(),
            next_scout: link.next_scout(),
            app_attached: false,
            in_flight: 0,
            window: 1,
            drain: Drain::default(),
            beat: now.time,
            slowed: Vec::new(),
            stopping: false,
        };
        let (view, view_receiver) = watch::channel(first_view);
        let first_news = LinkNews { state: link.state(), since: link.since(), source: link.source() };
        let (links, link_receiver) = watch::channel(first_news);
        let engine = Self {
            outbox: setup.outbox,
            push,
            rates: Rates::new(quotas),
            room_at: None,
            app: AppSide::new(Rates::new(app_quotas)),
            probe: Prober::new(setup.settings.probe),
            link,
            slumber: Slumber::new(now.time, Instant::now()),
            pace: Pace::new(setup.settings.concurrency),
            drain: Drain::default(),
            attempts: JoinSet::new(),
            leases: HashMap::new(),
            canary: None,
            stranded: HashSet::new(),
            calls: FuturesUnordered::new(),
            settling: 0,
            unsettled: Vec::new(),
            unwoken: false,
            retry_at: None,
            store_failed: false,
            leasing: false,
            ticking: false,
            work: true,
            alarm: Some(now.time),
            commands,
            wake: setup.wake,
            view,
            links,
            stop_by: None,
        };
        (engine, Handle { commands: command_sender, view: view_receiver, links: link_receiver })
    }

    /// Runs until a stop was asked for and the attempts under way have ended, or their grace is over. What
    /// is unfinished then stays leased on disk, and the next start settles it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            self.start_what_can();
            self.publish();
            if self.has_stopped() {
                return;
            }
            let action = self.select(stop.as_mut()).await;
            self.apply(action);
        }
    }

    fn has_stopped(&self) -> bool {
        self.stop_by.is_some_and(|by| {
            // What a store that failed did not take, it will not take any more.
            let hopeless = if self.outbox.failure().is_some() { self.unsettled.len() } else { 0 };
            let idle = self.under_way() == hopeless && !self.leasing;
            idle || Instant::now() >= by
        })
    }

    async fn select(&mut self, stop: std::pin::Pin<&mut impl Future<Output = ()>>) -> Action {
        let look_around = self.next_look();
        tokio::select! {
            biased;
            () = stop, if self.stop_by.is_none() => Action::Stop,
            Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => match ended {
                Ok((id, report)) => Action::AttemptEnded(self.leases.remove(&id), Ok(report)),
                Err(error) => Action::AttemptEnded(self.leases.remove(&error.id()), Err(error)),
            },
            Some(done) = self.calls.next(), if !self.calls.is_empty() => Action::Done(done),
            Some(command) = self.commands.recv() => Action::Command(command),
            () = self.wake.woken() => Action::Woken,
            () = tokio::time::sleep_until(look_around) => Action::LookAround,
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Stop => self.begin_stop(),
            Action::AttemptEnded(Some(lease), ended) => self.attempt_ended(lease, ended),
            Action::AttemptEnded(None, _) => tracing::error!("An attempt without a lease ended."),
            Action::Done(done) => self.done(done),
            Action::Command(command) => self.command(command),
            Action::Woken => self.hear_store(),
            Action::LookAround => {}
        }
    }

    // --- what happened -----------------------------------------------------------------------------

    fn begin_stop(&mut self) {
        tracing::info!(in_flight = self.attempts.len(), "Stopping.");
        self.stop_by = Some(Instant::now() + STOP_GRACE);
        self.app.refuse_all(&outbox::Error::Closed);
    }

    fn attempt_ended(&mut self, lease: LeaseId, ended: Result<Report, JoinError>) {
        let report = ended.unwrap_or_else(|error| {
            tracing::error!(msg_id = lease.msg_id(), %error, "The attempt failed inside the daemon.");
            maybe_reached("the attempt failed inside the daemon".to_owned())
        });
        if !self.is_of_before(&lease, report.outcome) {
            self.learn(report.outcome);
        }
        self.settle(Ended { lease, report: Arc::new(report) });
    }

    /// Whether this attempt reached nobody, but began before the canary that is under way: it says nothing new, and
    /// must not let another canary go.
    fn is_of_before(&mut self, lease: &LeaseId, outcome: Outcome) -> bool {
        let canary = self.canary.take_if(|canary| canary == lease);
        let unanswered = matches!(outcome, Outcome::NotReached | Outcome::MaybeReached);
        canary.is_none() && self.canary.is_some() && unanswered && self.link.permit() != Permit::All
    }

    fn settle(&mut self, ended: Ended) {
        self.settling += 1;
        let outbox = self.outbox.clone();
        let (lease, report) = (ended.lease.clone(), Report::clone(&ended.report));
        let is_large =
            report.replacement.as_ref().is_some_and(|new| new.data.len() > outbox::limits::INLINE_BYTES_MAX);
        self.call(async move {
            let ticket = if is_large {
                // A large replacement is written to a file first, on a thread that may wait for the disk.
                let settle = task::spawn_blocking(move || outbox.settle(lease, report).wait());
                settle.await.unwrap_or(Err(outbox::Error::Closed))
            } else {
                outbox.settle(lease, report).await
            };
            Done::Settled(ended, ticket)
        });
    }

    /// What an outcome says about link and pace.
    fn learn(&mut self, outcome: Outcome) {
        let before = self.link.state();
        self.link.attempt_ended(outcome, self.outbox.now(), self.roll());
        // In this order: the answer that opened the link is the first success of the new pace.
        self.link_changed(before);
        self.pace.attempt_ended(outcome);
        self.drain.attempt_ended(outcome, self.outbox.now().time);
    }

    fn link_changed(&mut self, before: LinkState) {
        let state = self.link.state();
        if state == before {
            return;
        }
        tracing::info!(link = state.as_str(), source = self.link.source().as_str(), "The link changed.");
        let news = LinkNews { state, since: self.link.since(), source: self.link.source() };
        self.links.send_replace(news);
        self.work = true;
        self.app.look_again();
        if before == LinkState::Up {
            self.network_went();
            self.stranded = self.leases.keys().copied().collect();
        }
        if state == LinkState::Up {
            self.pace.restart();
            self.drain = Drain::default();
            self.wake_not_reached();
        }
    }

    fn hear_news(&mut self, news: News) {
        tracing::debug!(?news, "The network changed.");
        if self.link.hear(news, self.outbox.now()) {
            self.network_went();
        }
    }

    /// What was connected may lead nowhere any more.
    fn network_went(&self) {
        if let Some(transport) = &self.push {
            transport.forget_connections();
        }
    }

    /// Whatever waits only because nobody could be reached is due now.
    fn wake_not_reached(&mut self) {
        let outbox = self.outbox.clone();
        self.call(async move { Done::Woken(outbox.wake_not_reached_async().await.map(drop)) });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Leased(leased) => self.leased(leased),
            Done::LeasedForApp(ask, round, leased) => self.leased_for_app(ask, round, leased),
            Done::Settled(ended, settled) => self.settled(ended, settled),
            Done::Ticked(ticked) => {
                self.ticking = false;
                let next = ticked.as_ref().ok().and_then(|ticked| ticked.next);
                self.set_alarm(next);
                if let Err(error) = ticked {
                    self.look_later();
                    self.note_failure("tick", Some(error));
                }
            }
            Done::Probed(round, reached) => self.probed(round, reached),
            Done::Woken(Err(error)) if !is_final(&error) => {
                self.note_failure("wake-up", Some(error));
                // Else they would wait out their delays.
                self.unwoken = true;
                self.retry_at.get_or_insert(Instant::now() + LOOK_AROUND);
            }
            Done::Woken(result) | Done::Other(result) => self.note_failure("store call", result.err()),
        }
    }

    fn probed(&mut self, round: Round, reached: bool) {
        let before = self.link.state();
        if !self.link.probed(round, reached, self.outbox.now(), self.roll()) {
            return;
        }
        tracing::debug!(reached, "Probed.");
        self.work = true;
        self.app.look_again();
        self.link_changed(before);
        if self.link.permit() == Permit::Canary && self.wake.counters().ready == 0 {
            // The canary must not wait for the delay of a message that was only not reached.
            self.wake_not_reached();
        }
    }

    fn settled(&mut self, ended: Ended, settled: outbox::Result<outbox::Settled>) {
        self.settling -= 1;
        self.work = true;
        let Err(error) = settled else { return };
        if is_final(&error) {
            return self.note_failure("settle", Some(error));
        }
        tracing::error!(msg_id = ended.lease.msg_id(), %error, "The outcome could not be recorded; trying again.");
        // No more of them than attempts: each keeps its place among those under way.
        self.unsettled.push(ended);
        self.retry_at.get_or_insert(Instant::now() + LOOK_AROUND);
    }

    /// Tries again what the store could not take and nobody else asks for again.
    fn retry_refused(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.retry_at = None;
            if std::mem::take(&mut self.unwoken) {
                self.wake_not_reached();
            }
            for ended in std::mem::take(&mut self.unsettled) {
                self.settle(ended);
            }
        }
    }

    /// A call failed for a reason that may pass: look again after a while.
    fn look_later(&mut self) {
        self.set_alarm(Some(self.outbox.now().time.plus(LOOK_AROUND)));
    }

    fn leased(&mut self, leased: outbox::Result<Vec<Lease>>) {
        self.leasing = false;
        let leases = match leased {
            Ok(leases) => leases,
            Err(error) => {
                self.look_later();
                return self.note_failure("lease", Some(error));
            }
        };
        if leases.is_empty() {
            return;
        }
        // There may be more; an empty answer says that there is not.
        self.work = true;
        if self.link.permit() == Permit::Nothing || self.stop_by.is_some() {
            return self.take_back(leases.into_iter().map(|lease| lease.id).collect());
        }
        for lease in leases {
            self.begin_attempt(lease);
        }
        self.await_room();
    }

    /// Remembers when an account that has none now has room again. A moment that was remembered before stays:
    /// the lease that is under way was asked for without that account, even if it has room meanwhile.
    pub(super) fn await_room(&mut self) {
        let next = self.rates.next_room(self.outbox.now().time);
        self.room_at = [self.room_at, next].into_iter().flatten().min();
    }

    /// Begins an attempt, or puts it off if its transport has no turn for it, or gives it back if the store was so long about
    /// the lease that it comes too late.
    fn begin_attempt(&mut self, lease: Lease) {
        if self.outbox.now().time >= lease.begin_by {
            return self.take_back(vec![lease.id]);
        }
        let Some(transport) = self.push.clone() else { return };
        let id = lease.id.clone();
        let attempt = Attempt {
            msg_id: lease.msg_id,
            account: lease.account,
            conversation: lease.conversation,
            attempt: lease.attempt,
            seq: lease.seq,
            send_token: lease.token,
            online_user_only: lease.online_user_only,
            web_message_instance: lease.web_message_instance,
            message: lease.message,
        };
        if let Turn::After(wait) = transport.turn(&attempt) {
            // Up to the next millisecond: a schedule has no finer steps, and must not come too early.
            let ticket = self.outbox.put_off(id, wait + Duration::from_millis(1));
            return self.call(async move { Done::Other(ticket.await.map(drop)) });
        }
        if self.link.permit() == Permit::Canary {
            self.canary = Some(id.clone());
        }
        self.link.attempt_began();
        self.rates.take(&attempt.account, 1, self.outbox.now().time);
        let task = self.attempts.spawn(async move {
            outbox::crash::before("attempt");
            let report = transport.attempt(attempt).await;
            outbox::crash::after("attempt");
            report
        });
        self.leases.insert(task.id(), id);
    }

    fn leased_for_app(&mut self, ask: LeaseAsk, round: u64, leased: outbox::Result<Vec<Lease>>) {
        self.leasing = false;
        match leased {
            Err(error) => {
                self.note_failure("lease", Some(error.clone()));
                ask.refuse(error);
            }
            Ok(leases) if leases.is_empty() => self.app.wait_on(ask, round),
            Ok(leases) if self.link.permit() == Permit::Nothing => {
                // The link went while the store was asked.
                self.take_back(leases.into_iter().map(|lease| lease.id).collect());
                self.app.wait_on(ask, round);
            }
            Ok(leases) => {
                self.app.leased(&ask, leases.len(), self.outbox.now().time);
                match ask.answer(leases) {
                    Ok(()) => self.link.canary_given_away(),
                    Err(unheard) => self.take_back(unheard),
                }
            }
        }
    }

    fn take_back(&mut self, leases: Vec<LeaseId>) {
        for lease in leases {
            let ticket = self.outbox.take_back(lease);
            self.call(async move { Done::Other(ticket.await.map(drop)) });
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connectivity(state, reply) => {
                let before = self.link.state();
                self.link.app_says(state, self.outbox.now());
                self.work = true;
                self.app.look_again();
                self.link_changed(before);
                if state == LinkState::Up && before == LinkState::Up {
                    self.wake_not_reached();
                }
                self.publish();
                // A caller who has gone misses nothing.
                let _ = reply.send(self.view.borrow().clone());
            }
            Command::Lease(ask) if self.stop_by.is_some() => ask.refuse(outbox::Error::Closed),
            Command::Lease(ask) => self.app.ask(ask),
            Command::Evidence(outcome) => self.learn(outcome),
            Command::News(news) => self.hear_news(news),
            Command::TakeBack(leases) => self.take_back(leases),
            Command::Settings(settings, reply) => self.take_settings(*settings, reply),
        }
    }

    fn hear_store(&mut self) {
        if let Some(at) = self.wake.take() {
            self.set_alarm(Some(at));
            if at <= self.outbox.now().time {
                self.work = true;
                self.app.look_again();
            }
        }
    }

    /// A store that fails has said so to everybody; the log says it once more, with what was tried.
    fn note_failure(&self, what: &str, error: Option<outbox::Error>) {
        match error {
            None => {}
            Some(outbox::Error::WrongState { msg_id, state, why }) => {
                tracing::debug!(what, msg_id, state = state.as_str(), why, "The entry had moved on.");
            }
            Some(error) => tracing::error!(what, %error, "The store refused."),
        }
    }

    /// A uniform number from 0 to 1, for jitter.
    fn roll(&self) -> f64 {
        outbox::roll(self.outbox.config().chance.as_ref())
    }

    fn call(&mut self, call: impl Future<Output = Done> + Send + 'static) {
        self.calls.push(Box::pin(call));
    }

    // --- time ------------------------------------------------------------------------------------------------

    fn set_alarm(&mut self, at: Option<Timestamp>) {
        self.alarm = [self.alarm, at].into_iter().flatten().min();
    }

    /// When to look around even if nothing happens.
    fn next_look(&self) -> Instant {
        let now = self.outbox.now().time;
        if self.outbox.failure().is_some() {
            // Nothing is started any more; only answers of what is under way can still come.
            let look = Instant::now() + LOOK_AROUND;
            return self.stop_by.map_or(look, |by| by.min(look));
        }
        let scout = self.link.alarm().filter(|_| self.stop_by.is_none() && self.has_backlog());
        let alarm = self.alarm.filter(|_| !self.ticking);
        // Nothing is leased any more once a stop was asked for: its moment would stay in the past.
        let room = self.room_at.filter(|_| !self.leasing && self.stop_by.is_none());
        let due = [alarm, scout, room, self.app.next_rate(now)].into_iter().flatten().min();
        let wait = due.map_or(LOOK_AROUND, |at| Duration::from_millis(at.since_ms(now)).min(LOOK_AROUND));
        let by_clock = Instant::now() + wait;
        let late = self.app.next_late().filter(|_| !self.leasing);
        [Some(by_clock), late, self.stop_by, self.retry_at].into_iter().flatten().min().unwrap_or(by_clock)
    }

    /// Accounts that only their rate keeps back, and until when.
    fn slowed(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        if self.push.is_some() { self.rates.exhausted(now, SLOWED_SHOWN) } else { self.app.slowed(now) }
    }

    fn publish(&self) {
        let now = self.outbox.now().time;
        let view = View {
            link: self.link.state(),
            link_since: self.link.since(),
            link_source: self.link.source(),
            next_scout: self.link.next_scout(),
            app_attached: self.app.is_attached(),
            in_flight: self.attempts.len(),
            window: self.pace.window(),
            drain: self.drain,
            beat: now,
            slowed: self.slowed(now),
            stopping: self.stop_by.is_some(),
        };
        self.view.send_if_modified(|shown| {
            let changed = *shown != view;
            *shown = view;
            changed
        });
    }
}

/// Whether the store will never take this outcome: it knows better, or it is closed.
const fn is_final(error: &outbox::Error) -> bool {
    matches!(error, outbox::Error::WrongState { .. } | outbox::Error::NoLease { .. } | outbox::Error::Closed)
}
