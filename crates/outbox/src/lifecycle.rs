//! The life of an entry: one pure function from a delivery record and an event to what comes next.
//!
//! Owns:  every rule about phases, counters, limits, the uncertain policy and deadlines.
//! Never: reads a clock, draws random numbers, touches disk or network, knows lanes beyond "keeps its
//!        place".
//!
//! ```text
//!              submit
//!                │        lease (due, head of its lane, gates open)
//!   release ┌─ waiting ──────────────────────────▶ sending
//!     ▲     │   ▲ ▲ └─ not reached, limited, gate ───┤│││   (not counted)
//!     │   hold  │ └─── retry, maybe reached inside ──┘│││   (attempts + 1)
//!     │     ▼   │      the de-duplication window      │││
//!     └── held  └──────────┐ resend                   │││
//!                       uncertain ◀── maybe reached ──┘││   (window over, or no proof)
//!   failed  ◀── reject, attempts used up, policy fail ─┘│
//!   expired ◀── deadline (never while sending)          ▼
//!   cancelled ◀── cancel                              sent
//! ```

use std::time::Duration;

use crate::clock::{BootId, Moment, Timestamp};
use crate::entry::{Cause, Delivery, Holder, Phase, SendToken, Then, Tried, Unresolved};
use crate::limits::{DEATHS_MAX, LEASE_TOTAL_MAX, UPLOAD_ATTEMPTS_MAX, UPLOAD_INITIAL, WINDOW_MARGIN};
use crate::outcome::{Class, Outcome, Report};
use crate::retry::RetryPolicy;

/// What a person chose in the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Delays and limits of attempts.
    pub retry: RetryPolicy,
    /// How long the service recognises a repeated send token.
    pub dedup_window: DedupWindow,
    /// What becomes of a message whose outcome stays unknown.
    pub on_uncertain: OnUncertain,
    /// Whether a lane goes on past a head that failed or is held.
    pub on_failed_head: OnFailedHead,
    /// How long failed and expired entries keep their payload.
    pub failed_retention: Duration,
}

/// How long the service recognises a repeated send token; zero if it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupWindow {
    /// In a conversation with one person.
    pub one_to_one: Duration,
    /// In a group.
    pub group: Duration,
}

impl DedupWindow {
    /// A window that is the same for every message.
    #[must_use]
    pub const fn same(window: Duration) -> Self {
        Self { one_to_one: window, group: window }
    }

    /// The window of one message.
    #[must_use]
    pub const fn of(self, to_group: bool) -> Duration {
        if to_group { self.group } else { self.one_to_one }
    }
}

/// What becomes of a message whose outcome stays unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUncertain {
    /// It is sent again: at least once.
    #[default]
    Resend,
    /// It waits for a person.
    Hold,
    /// It fails: at most once.
    Fail,
}

/// Whether a lane goes on past a head that failed or is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailedHead {
    /// It goes on.
    #[default]
    Continue,
    /// It waits for a person.
    Hold,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            dedup_window: DedupWindow::default(),
            on_uncertain: OnUncertain::default(),
            on_failed_head: OnFailedHead::default(),
            failed_retention: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Everything from outside that a step may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The configuration.
    pub policy: &'a Policy,
    /// Now.
    pub now: Moment,
    /// This boot.
    pub boot: BootId,
    /// A uniform number from 0 to 1, for jitter.
    pub roll: f64,
    /// A new send token, should one be needed.
    pub fresh_token: SendToken,
    /// The entry's time to live in milliseconds.
    pub ttl_ms: u64,
    /// Whether the payload is still there.
    pub has_payload: bool,
    /// Whether it goes to a group.
    pub to_group: bool,
}

/// What happens to an entry.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    /// It is leased.
    Lease(Holder),
    /// The holder of its lease reports.
    Report(&'a Report),
    /// The holder of a lapsed lease reports after all, and no newer attempt has begun.
    LateReport(&'a Report),
    /// Nothing more will be heard of its attempt.
    Death(Death),
    /// Its lease never reached the one who asked for it.
    TakeBack,
    /// Not to be sent before this moment: its transport has no turn for it, or the process is too young.
    PutOff(Timestamp),
    /// Its payload cannot be read now.
    Postpone,
    /// Its timer may have come.
    Timer,
    /// A person holds it.
    Hold {
        /// Why.
        reason: Option<String>,
    },
    /// A person releases it.
    Release,
    /// A person wants it sent now.
    Resend,
    /// A person or the app cancels it.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// A person saw it arrive.
    Resolve,
}

/// How an attempt ended of which nothing more will be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Its lease lapsed, or its process was stopped in order.
    Silent,
    /// Its process died in this boot: the message may be the reason.
    Suspect,
    /// The machine was restarted: how long ago it began is not known.
    Reboot,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The entry's new delivery record, or its end.
    pub next: Next,
    /// The entry became uncertain in this step, whatever the policy made of it then.
    pub uncertain: bool,
}

/// The entry's new delivery record, or its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// It goes on.
    Entry(Delivery),
    /// It becomes a receipt.
    Receipt(Ending, Delivery),
}

/// How an entry ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The service has it.
    Sent,
    /// A person saw it arrive.
    Resolved,
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: Option<String>,
    },
    /// A failed or expired entry was kept long enough.
    Retired,
}

/// Why an event does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not in this phase.
    WrongState,
    /// The payload is no longer kept.
    NoPayload,
}

/// What the step function answers.
pub(crate) type Stepped = Result<Step, Refusal>;

/// Applies an event to an entry.
///
/// # Errors
/// A [`Refusal`] where the event does not apply; nothing changes then. A repeated hold, release, resend
/// or cancel applies and changes nothing.
pub(crate) fn step(delivery: &Delivery, event: &Event<'_>, context: &Context<'_>) -> Stepped {
    let life = Life { delivery: delivery.clone(), context };
    let now = context.now.time;
    match event {
        Event::Lease(holder) => life.lease(*holder),
        Event::Report(report) => life.report(report),
        Event::LateReport(report) => Ok(life.late_report(report)),
        Event::Death(death) => life.death(*death),
        Event::TakeBack => life.take_back(now, Cause::TakenBack),
        Event::PutOff(until) => life.put_off(*until),
        Event::Postpone => life.postpone(),
        Event::Timer => life.timer(),
        Event::Hold { reason } => life.hold(reason.clone()),
        Event::Release => life.release(),
        Event::Resend => life.resend(),
        Event::Cancel { reason } => Ok(life.cancel(reason.clone())),
        Event::Resolve => life.resolve(),
    }
}

/// The end of a service's de-duplication window for an attempt that began at `since`.
#[must_use]
pub(crate) fn window_end(since: Timestamp, window: Duration) -> Timestamp {
    since.plus(window - WINDOW_MARGIN.min(window / 2))
}

/// When an entry whose outcome stays unknown would be tried again.
#[derive(Clone, Copy)]
enum Again {
    At(Timestamp),
    /// Its attempts are used up; what failed the last one.
    Never(Class),
}

/// Until when the service recognises a repetition: by the window that was configured when it began or by the
/// present one, whichever ends first.
fn known_until(unresolved: Unresolved, window: Duration) -> Timestamp {
    window_end(unresolved.since, window).min(unresolved.window_end)
}

/// When a lease that an app has from `started` on must end: in an hour, or with the de-duplication window of
/// an earlier attempt. An app may send at any moment of its lease, and after the window that could be a double.
#[must_use]
pub(crate) fn lease_end_max(delivery: &Delivery, started: Timestamp, window: Duration) -> Timestamp {
    started.plus(LEASE_TOTAL_MAX).min(recognised_until(delivery, window))
}

/// The moment from which an attempt that was leased must not begin any more: the entry has expired, or what arrived before
/// is not recognised again.
#[must_use]
pub(crate) fn begin_by(delivery: &Delivery, window: Duration) -> Timestamp {
    delivery.deadline.min(recognised_until(delivery, window))
}

/// Until when a repetition is no double that nobody has been told of.
fn recognised_until(delivery: &Delivery, window: Duration) -> Timestamp {
    match delivery.unresolved {
        Some(unresolved) if !delivery.possible_duplicate => known_until(unresolved, window),
        _ => Timestamp(u64::MAX),
    }
}

/// One entry on its way through one step.
struct Life<'a> {
    delivery: Delivery,
    context: &'a Context<'a>,
}

impl Life<'_> {
    fn lease(mut self, holder: Holder) -> Stepped {
        if !matches!(self.delivery.phase, Phase::Waiting { .. }) {
            return Err(Refusal::WrongState);
        }
        let now = self.context.now;
        let window = self.context.policy.dedup_window.of(self.context.to_group);
        let holder = match holder {
            Holder::App { until, boot } => {
                Holder::App { until: until.min(lease_end_max(&self.delivery, now.time, window)), boot }
            }
            Holder::Process => Holder::Process,
        };
        self.delivery.starts = self.delivery.starts.saturating_add(1);
        self.delivery.phase = Phase::Sending {
            attempt: self.delivery.attempts.saturating_add(1),
            since: now.wall,
            started: now.time,
            holder,
            then: Then::GoOn,
        };
        Ok(self.go_on())
    }

    fn report(mut self, report: &Report) -> Stepped {
        let Phase::Sending { ref then, .. } = self.delivery.phase else {
            return Err(Refusal::WrongState);
        };
        let then = then.clone();
        self.delivery.deaths = 0;
        self.count(report.outcome, report.class);
        if matches!(report.outcome, Outcome::Sent | Outcome::Duplicate) {
            return Ok(self.end(Ending::Sent));
        }
        self.note_unresolved(report.outcome);
        if let Then::Cancel { reason } = then {
            return Ok(self.end(Ending::Cancelled { reason }));
        }
        let step = self.after_failure(report);
        Ok(self.settled(step, then))
    }

    /// What a failed attempt leads to, before deadline and hold are looked at.
    fn after_failure(&self, report: &Report) -> Step {
        let tried = self.delivery.tried;
        let retry = &self.context.policy.retry;
        let used_up = retry.max_attempts > 0 && tried.all >= retry.max_attempts;
        match report.outcome {
            Outcome::Sent | Outcome::Duplicate => self.clone_life().end(Ending::Sent),
            Outcome::Reject => self.clone_life().fail(report.class),
            Outcome::NotReached => {
                // What has a floor is not woken before it by the link's return.
                let cause = if report.retry_after.is_some() { Cause::Backoff } else { Cause::NotReached };
                self.clone_life().wait(cause, report.retry_after, report.class)
            }
            Outcome::Limited => self.clone_life().wait_until(self.context.now.time, Cause::Limited),
            Outcome::GateShut => self.clone_life().wait_until(self.context.now.time, Cause::GateShut),
            Outcome::MaybeReached | Outcome::ProvesNothing if used_up => {
                self.clone_life().declare(Again::Never(report.class))
            }
            Outcome::MaybeReached | Outcome::ProvesNothing => self.clone_life().after_unresolved(report),
            Outcome::Retry => {
                let unknown_used_up =
                    report.class == Class::Unknown && tried.unknown >= retry.unknown_max_attempts;
                let uploads_used_up =
                    report.class == Class::FileUpload && tried.upload >= UPLOAD_ATTEMPTS_MAX;
                if used_up || unknown_used_up || uploads_used_up {
                    return self.clone_life().fail(report.class);
                }
                self.clone_life().wait(Cause::Backoff, report.retry_after, report.class)
            }
        }
    }

    fn late_report(self, report: &Report) -> Step {
        if matches!(report.outcome, Outcome::Sent | Outcome::Duplicate) {
            return self.end(Ending::Sent);
        }
        let may_fail = matches!(self.delivery.phase, Phase::Waiting { .. } | Phase::Uncertain { .. });
        if report.outcome == Outcome::Reject && may_fail {
            return self.fail(report.class);
        }
        self.go_on()
    }

    fn death(mut self, death: Death) -> Stepped {
        let Phase::Sending { ref then, .. } = self.delivery.phase else {
            return Err(Refusal::WrongState);
        };
        let then = then.clone();
        if death == Death::Suspect {
            self.delivery.deaths = self.delivery.deaths.saturating_add(1);
        }
        let lost = Report {
            outcome: Outcome::MaybeReached,
            code: crate::outcome::CODE_MAYBE_REACHED,
            desc: String::new(),
            class: Class::TransientNetwork,
            retry_after: None,
            replacement: None,
        };
        self.count(lost.outcome, lost.class);
        self.note_unresolved(lost.outcome);
        if let (Death::Reboot, Some(unresolved)) = (death, &mut self.delivery.unresolved) {
            unresolved.window_end = unresolved.since;
        }
        if let Then::Cancel { reason } = then {
            return Ok(self.end(Ending::Cancelled { reason }));
        }
        if self.delivery.deaths >= DEATHS_MAX {
            return Ok(self.fail(Class::CrashLoop));
        }
        let step = self.after_failure(&lost);
        Ok(self.settled(step, then))
    }

    /// No attempt was made after all.
    fn take_back(self, due: Timestamp, cause: Cause) -> Stepped {
        let Phase::Sending { ref then, .. } = self.delivery.phase else {
            return Err(Refusal::WrongState);
        };
        let then = then.clone();
        if let Then::Cancel { reason } = then {
            return Ok(self.end(Ending::Cancelled { reason }));
        }
        let step = self.clone_life().wait_until(due, cause);
        Ok(self.settled(step, then))
    }

    fn put_off(self, until: Timestamp) -> Stepped {
        match self.delivery.phase {
            Phase::Waiting { due, .. } => Ok(self.wait_until(due.max(until), Cause::Suspect)),
            _ => self.take_back(until, Cause::Paced),
        }
    }

    fn postpone(self) -> Stepped {
        match self.delivery.phase {
            Phase::Waiting { .. } => Ok(self.wait(Cause::Postponed, None, Class::Unknown)),
            _ => Err(Refusal::WrongState),
        }
    }

    fn timer(self) -> Stepped {
        let now = self.context.now.time;
        match self.delivery.phase {
            Phase::Waiting { .. } | Phase::Uncertain { .. } if now >= self.delivery.deadline => {
                Ok(self.expire())
            }
            Phase::Waiting { due, .. } => match self.delivery.unresolved {
                Some(_) if !self.delivery.possible_duplicate && !self.inside_window() => {
                    Ok(self.declare(Again::At(due)))
                }
                _ => Ok(self.go_on()),
            },
            Phase::Sending { holder: Holder::App { until, .. }, .. } if now >= until => {
                self.death(Death::Silent)
            }
            Phase::Failed { keep_until, .. } | Phase::Expired { keep_until, .. } if now >= keep_until => {
                Ok(self.end(Ending::Retired))
            }
            _ => Ok(self.go_on()),
        }
    }

    fn hold(mut self, reason: Option<String>) -> Stepped {
        match &mut self.delivery.phase {
            Phase::Waiting { due, .. } => {
                let due = *due;
                let now = self.context.now.time;
                Ok(self.keep_back(reason, due, now))
            }
            Phase::Held { .. } | Phase::Sending { then: Then::Hold { .. }, .. } => Ok(self.go_on()),
            Phase::Sending { then, .. } if *then == Then::GoOn => {
                *then = Then::Hold { reason };
                Ok(self.go_on())
            }
            _ => Err(Refusal::WrongState),
        }
    }

    fn release(mut self) -> Stepped {
        match &mut self.delivery.phase {
            Phase::Held { due, .. } => {
                let due = *due;
                Ok(self.let_go(due))
            }
            Phase::Waiting { .. } => Ok(self.go_on()),
            Phase::Sending { then, .. } => {
                if matches!(then, Then::Hold { .. }) {
                    *then = Then::GoOn;
                }
                Ok(self.go_on())
            }
            _ => Err(Refusal::WrongState),
        }
    }

    fn resend(mut self) -> Stepped {
        let now = self.context.now.time;
        let due = self.delivery.not_before.map_or(now, |not_before| not_before.max(now));
        match self.delivery.phase {
            Phase::Waiting { .. } => Ok(self.wait_until(due, Cause::Asked)),
            Phase::Held { .. } => Ok(self.let_go_in_doubt(due)),
            Phase::Sending { .. } => Ok(self.go_on()),
            Phase::Uncertain { .. } => {
                self.delivery.possible_duplicate = true;
                Ok(self.wait_until(due, Cause::Asked))
            }
            Phase::Failed { .. } | Phase::Expired { .. } => {
                // What was put before a person is not put before them again at the window's end.
                let uncertain = Class::Uncertain.into();
                let was_uncertain =
                    matches!(self.delivery.phase, Phase::Failed { class, .. } if class == uncertain);
                if !self.context.has_payload {
                    return Err(Refusal::NoPayload);
                }
                self.delivery.tried = Tried::default();
                self.delivery.interval_ms = 0;
                self.delivery.deaths = 0;
                self.delivery.deadline = self.delivery.deadline.max(now.plus_ms(self.context.ttl_ms));
                if self.delivery.unresolved.is_none() {
                    self.delivery.token = self.context.fresh_token;
                } else if was_uncertain || !self.inside_window() {
                    self.delivery.possible_duplicate = true;
                }
                Ok(self.wait_until(due, Cause::Asked))
            }
        }
    }

    fn cancel(mut self, reason: Option<String>) -> Step {
        if let Phase::Sending { then, .. } = &mut self.delivery.phase {
            if !matches!(then, Then::Cancel { .. }) {
                *then = Then::Cancel { reason };
            }
            return self.go_on();
        }
        self.end(Ending::Cancelled { reason })
    }

    fn resolve(self) -> Stepped {
        let open = match self.delivery.phase {
            Phase::Uncertain { .. } => true,
            Phase::Sending { .. } => false,
            _ => self.delivery.unresolved.is_some(),
        };
        if open { Ok(self.end(Ending::Resolved)) } else { Err(Refusal::WrongState) }
    }

    // --- parts -------------------------------------------------------------------------------------

    fn clone_life(&self) -> Self {
        Self { delivery: self.delivery.clone(), context: self.context }
    }

    fn count(&mut self, outcome: Outcome, class: Class) {
        if !outcome.counts() {
            return;
        }
        let delivery = &mut self.delivery;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.tried.all = delivery.tried.all.saturating_add(1);
        if outcome == Outcome::Retry && class == Class::Unknown {
            delivery.tried.unknown = delivery.tried.unknown.saturating_add(1);
        }
        if outcome == Outcome::Retry && class == Class::FileUpload {
            delivery.tried.upload = delivery.tried.upload.saturating_add(1);
        }
    }

    /// Notes the start of the attempt under way, if it is the first whose outcome is unknown.
    fn note_unresolved(&mut self, outcome: Outcome) {
        let Phase::Sending { since, started, .. } = self.delivery.phase else { return };
        if !matches!(outcome, Outcome::MaybeReached | Outcome::ProvesNothing)
            || self.delivery.unresolved.is_some()
        {
            return;
        }
        self.delivery.unresolved = Some(Unresolved {
            at: since,
            since: started,
            boot: self.context.boot,
            window_end: window_end(started, self.context.policy.dedup_window.of(self.context.to_group)),
        });
    }

    fn inside_window(&self) -> bool {
        self.delivery.unresolved.is_some_and(|unresolved| {
            let window = self.context.policy.dedup_window.of(self.context.to_group);
            unresolved.boot == self.context.boot && self.context.now.time < known_until(unresolved, window)
        })
    }

    fn after_unresolved(mut self, report: &Report) -> Step {
        let proves_nothing = report.outcome == Outcome::ProvesNothing;
        let due = self.next_due(report.retry_after, report.class);
        if self.inside_window() && !proves_nothing && !self.delivery.possible_duplicate {
            return self.wait_until(due, Cause::Unresolved);
        }
        self.declare(Again::At(due))
    }

    /// The outcome stays unknown: the policy decides. `again` is for `resend`.
    fn declare(mut self, again: Again) -> Step {
        let first = !self.delivery.possible_duplicate;
        let policy = self.context.policy;
        let mut step = match policy.on_uncertain {
            OnUncertain::Resend => match again {
                Again::At(due) => {
                    self.delivery.possible_duplicate = true;
                    self.wait_until(due, Cause::Unresolved)
                }
                Again::Never(class) => self.fail(class),
            },
            OnUncertain::Hold => {
                self.delivery.phase = Phase::Uncertain { since: self.context.now.wall };
                self.delivery.in_lane = policy.on_failed_head == OnFailedHead::Hold;
                self.go_on()
            }
            OnUncertain::Fail => self.fail(Class::Uncertain),
        };
        step.uncertain = first || policy.on_uncertain != OnUncertain::Resend;
        step
    }

    fn next_due(&mut self, floor: Option<Duration>, class: Class) -> Timestamp {
        let retry = &self.context.policy.retry;
        let initial = if class == Class::FileUpload { UPLOAD_INITIAL } else { retry.initial };
        let delay = retry.delay_from(initial, self.delivery.interval_ms, self.context.roll, floor);
        self.delivery.interval_ms = delay.next_interval_ms;
        self.context.now.time.plus_ms(delay.wait_ms)
    }

    fn wait(mut self, cause: Cause, floor: Option<Duration>, class: Class) -> Step {
        let due = self.next_due(floor, class);
        self.wait_until(due, cause)
    }

    fn wait_until(mut self, due: Timestamp, cause: Cause) -> Step {
        self.delivery.phase = Phase::Waiting { due, cause, since: self.context.now.wall };
        self.delivery.in_lane = true;
        self.go_on()
    }

    fn keep_back(mut self, reason: Option<String>, due: Timestamp, stopped: Timestamp) -> Step {
        self.delivery.phase = Phase::Held { reason, since: self.context.now.wall, stopped, due };
        self.delivery.in_lane = self.context.policy.on_failed_head == OnFailedHead::Hold;
        self.go_on()
    }

    /// Ends a hold: the clock goes on from where it stopped.
    fn let_go(mut self, due: Timestamp) -> Step {
        let now = self.context.now.time;
        if let Phase::Held { stopped, .. } = self.delivery.phase {
            self.delivery.deadline = self.delivery.deadline.plus_ms(now.since_ms(stopped));
        }
        self.wait_until(due.max(now), Cause::Asked)
    }

    /// The same by a resend. Whoever asks for it has decided, also where the window has passed meanwhile.
    fn let_go_in_doubt(mut self, due: Timestamp) -> Step {
        let in_doubt =
            self.delivery.unresolved.is_some() && !self.delivery.possible_duplicate && !self.inside_window();
        self.delivery.possible_duplicate |= in_doubt;
        Step { uncertain: in_doubt, ..self.let_go(due) }
    }

    fn fail(mut self, class: Class) -> Step {
        let now = self.context.now;
        let policy = self.context.policy;
        self.delivery.phase = Phase::Failed {
            class: class.into(),
            since: now.wall,
            keep_until: now.time.plus(policy.failed_retention),
        };
        self.delivery.in_lane = policy.on_failed_head == OnFailedHead::Hold;
        self.go_on()
    }

    fn expire(mut self) -> Step {
        let now = self.context.now;
        let keep_until = now.time.plus(self.context.policy.failed_retention);
        self.delivery.phase = Phase::Expired { since: now.wall, keep_until };
        self.delivery.in_lane = false;
        self.go_on()
    }

    /// After an attempt: a hold that was asked for meanwhile, then a deadline that passed meanwhile.
    fn settled(&self, step: Step, then: Then) -> Step {
        let Next::Entry(delivery) = &step.next else { return step };
        let is_over = self.context.now.time >= delivery.deadline;
        let life = Life { delivery: delivery.clone(), context: self.context };
        let after = match (then, &delivery.phase) {
            (Then::Hold { reason }, Phase::Waiting { due, .. }) => {
                let due = *due;
                // Its clock could have been stopped when the hold was asked for: then the attempt costs no time.
                let stopped = if is_over { self.began() } else { self.context.now.time };
                life.keep_back(reason, due, stopped)
            }
            (_, Phase::Waiting { .. } | Phase::Uncertain { .. }) if is_over => life.expire(),
            _ => return step,
        };
        Step { uncertain: step.uncertain, ..after }
    }

    /// When the attempt under way began.
    const fn began(&self) -> Timestamp {
        match self.delivery.phase {
            Phase::Sending { started, .. } => started,
            _ => self.context.now.time,
        }
    }

    fn go_on(self) -> Step {
        Step { next: Next::Entry(self.delivery), uncertain: false }
    }

    fn end(self, ending: Ending) -> Step {
        Step { next: Next::Receipt(ending, self.delivery), uncertain: false }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
