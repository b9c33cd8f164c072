//! Why a message waits: what for, since when, what happens next and at what time.
//!
//! Owns:  the order of reasons, and their words.
//! Never: changes anything.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use outbox::limits::SUSPECT_UPTIME;
use outbox::{Account, Cause, EntryView, Gate, Message, Moment, Phase};
use outbox_control::Time;
use outbox_control::types::{WaitsFor, Why};

use super::Context;
use super::body::Id;
use super::explain::Whose;
use super::messages::{json, look_up};
use super::problem::Answer;
use super::query::Query;
use super::show::{self, scheduled, time};
use crate::config::TransportKind;
use crate::engine::{LinkState, View};

/// What an entry waits for.
pub(super) struct Reason {
    waits_for: WaitsFor,
    since: Time,
    next_attempt_at: Option<Time>,
    detail: String,
    hint: Option<String>,
}

impl Reason {
    /// The earliest moment at which anything will be tried.
    pub(super) const fn next_attempt_at(&self) -> Option<Time> {
        self.next_attempt_at
    }
}

/// Everything that can keep an entry back, besides itself.
pub(super) struct Surroundings {
    pub(super) now: Moment,
    pub(super) paused: bool,
    pub(super) transport: TransportKind,
    pub(super) probe: String,
    pub(super) engine: View,
    pub(super) account: Option<Account>,
    /// The blocker's state, for a lane that is kept by its head.
    pub(super) blocker_keeps: bool,
}

/// `GET /v1/messages/{id}/why`.
pub(super) async fn why(State(context): State<Arc<Context>>, Id(id): Id, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let answer = match look_up(&context, id).await? {
        Message::Receipt(receipt) => {
            ended_why(&show::ended(&receipt, context.transport_kind()), time(receipt.at))
        }
        Message::Entry(view) => {
            let surroundings = surroundings(&context, &view).await?;
            match reason(&view, &surroundings) {
                Some(reason) => Why {
                    state: show::state(view.state),
                    waits_for: Some(reason.waits_for),
                    blocked_by: view.blocked_by.clone(),
                    since: reason.since,
                    next_attempt_at: reason.next_attempt_at,
                    detail: reason.detail,
                    hint: reason.hint,
                },
                None => {
                    let since = since_of(&view);
                    ended_why(&show::entry(&view, surroundings.now, None, surroundings.transport), since)
                }
            }
        }
    };
    Ok(json(&answer).into_response())
}

/// Looks up what can keep an entry back.
pub(super) async fn surroundings(context: &Arc<Context>, view: &EntryView) -> Answer<Surroundings> {
    let account_name = view.entry.identity.account.clone();
    let blocker = view.blocked_by.clone();
    let outbox = context.outbox.clone();
    let looked_up = tokio::task::spawn_blocking(move || {
        let account = outbox.account(&account_name)?;
        let keeps = match blocker.map(|blocker| outbox.get(&blocker)) {
            Some(Ok(Message::Entry(view))) => matches!(
                view.entry.delivery.phase,
                Phase::Failed { .. } | Phase::Held { .. } | Phase::Uncertain { .. }
            ),
            _ => false,
        };
        outbox::Result::Ok(LookedUp { account, paused: outbox.counters().paused, blocker_keeps: keeps })
    });
    let looked_up = looked_up.await.unwrap_or(Err(outbox::Error::Closed))?;
    Ok(surroundings_of(context, looked_up))
}

/// What was looked up in the store for an entry.
pub(super) struct LookedUp {
    pub(super) account: Option<Account>,
    pub(super) paused: bool,
    pub(super) blocker_keeps: bool,
}

/// Adds what the engine and the configuration say.
pub(super) fn surroundings_of(context: &Context, looked_up: LookedUp) -> Surroundings {
    let LookedUp { account, paused, blocker_keeps } = looked_up;
    let in_force = context.in_force();
    let config = &in_force.config;
    let probe = match (&config.link.probe, config.transport.kind) {
        (Some(probe), _) => format!("{}:{}", probe.host, probe.port),
        (None, TransportKind::App) => String::new(),
        (None, TransportKind::Http) => config.transport.http.url.as_ref().map(authority).unwrap_or_default(),
        (None, TransportKind::Tim) => {
            let first = config.transport.tim.logins.values().next();
            let url = first.and_then(|login| login.base_url.parse().ok());
            url.as_ref().map(authority).unwrap_or_default()
        }
    };
    Surroundings {
        now: context.outbox.now(),
        paused,
        transport: config.transport.kind,
        probe,
        engine: context.engine.view(),
        account,
        blocker_keeps,
    }
}

/// Host and port alone: a user's name in a URL is nobody's business here.
fn authority(url: &Uri) -> String {
    match (url.host(), url.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

/// Since when an entry stands where it stands.
fn since_of(view: &EntryView) -> Time {
    let at = match &view.entry.delivery.phase {
        Phase::Waiting { since, .. }
        | Phase::Held { since, .. }
        | Phase::Sending { since, .. }
        | Phase::Uncertain { since }
        | Phase::Failed { since, .. }
        | Phase::Expired { since, .. } => *since,
    };
    time(at)
}

fn ended_why(entry: &outbox_control::types::Entry, since: Time) -> Why {
    use outbox_control::types::State;
    let ended = |detail, hint| Why {
        state: entry.state,
        waits_for: None,
        blocked_by: None,
        since,
        next_attempt_at: None,
        detail,
        hint,
    };
    let error = entry.last_error.as_ref();
    let said = error.map(in_words).unwrap_or_default();
    let maybe =
        if entry.may_have_arrived { " An earlier attempt may have arrived all the same." } else { "" };
    let (detail, hint) = match entry.state {
        State::Sent => {
            let new_msg_id = entry.new_msg_id.as_deref().unwrap_or_default();
            (format!("It was sent; the new message is {new_msg_id}."), None)
        }
        State::Cancelled => (format!("It was cancelled.{maybe}"), None),
        State::Expired => {
            (format!("It was not sent within its time to live.{maybe}"), Some("Resend it to try again."))
        }
        _ => {
            let cure = error.and_then(|error| error.cure.clone());
            let hint = cure.unwrap_or_else(|| "resend it once the reason is gone, or cancel it".to_owned());
            return ended(format!("It failed{said}.{maybe}"), Some(hint));
        }
    };
    ended(detail, hint.map(ToOwned::to_owned))
}

/// A failure with its code's name and meaning: "(20003 unknown user: ERR_SVR_MSG_INVALID_ID, ...)".
fn in_words(error: &outbox_control::types::LastError) -> String {
    let meaning = match (&error.name, &error.meaning) {
        (Some(name), Some(meaning)) => format!("; {name}: {meaning}"),
        _ => String::new(),
    };
    format!(" ({} {}{meaning})", error.code, error.desc)
}

/// The first reason that applies, in the order of the contract; `None` for an ended entry.
pub(super) fn reason(view: &EntryView, around: &Surroundings) -> Option<Reason> {
    let since = since_of(view);
    let plain = |waits_for, detail: String, hint: &str| {
        Some(Reason {
            waits_for,
            since,
            next_attempt_at: None,
            detail,
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        })
    };
    match &view.entry.delivery.phase {
        Phase::Failed { .. } | Phase::Expired { .. } => None,
        Phase::Sending { attempt, .. } => {
            plain(WaitsFor::Answer, format!("Attempt {attempt} is under way."), "")
        }
        Phase::Held { reason, .. } => {
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            plain(WaitsFor::Release, format!("It is held{why}."), "Release it.")
        }
        Phase::Uncertain { .. } => plain(
            WaitsFor::Decision,
            "An attempt may have reached the service, and its answer is unknown.".into(),
            "Resend it (it may arrive twice), resolve it if somebody saw it arrive, or cancel it.",
        ),
        Phase::Waiting { .. } => match &view.blocked_by {
            Some(blocker) if around.blocker_keeps => plain(
                WaitsFor::Decision,
                format!("Its conversation is kept by {blocker}, which needs a person."),
                "Look at that message first: resend, release, resolve or cancel it.",
            ),
            Some(blocker) => plain(
                WaitsFor::Head,
                format!("It waits behind {blocker} in its conversation."),
                "Ask why that message waits.",
            ),
            None => Some(waiting_reason(view, around, since)),
        },
    }
}

/// Why the head of a lane has not gone.
fn waiting_reason(view: &EntryView, around: &Surroundings, since: Time) -> Reason {
    let now = around.now;
    let due = match view.entry.delivery.phase {
        Phase::Waiting { due, .. } if due > now.time => Some(scheduled(now, due)),
        _ => None,
    };
    let reason = |waits_for, next_attempt_at, detail: String, hint: Option<String>| Reason {
        waits_for,
        since,
        next_attempt_at,
        detail,
        hint,
    };
    if around.paused {
        let hint = Some("Resume with POST /v1/resume or `outboxctl resume`.".to_owned());
        return reason(WaitsFor::Paused, None, "Everything is paused.".into(), hint);
    }
    let account = &view.entry.identity.account;
    let gate = around.account.as_ref().map(|account| &account.gate);
    if let Some(Gate::Paused { reason: why, code, try_at, .. }) = gate {
        let next = try_at.map(|at| scheduled(now, at));
        let hint = show::gate_cure(*code, Whose { account, transport: around.transport });
        return reason(
            WaitsFor::Account,
            next,
            format!("The account {account} is paused: {why}."),
            Some(hint),
        );
    }
    if around.transport == TransportKind::App && !around.engine.app_attached {
        let hint = Some("Start the app; it asks for work with POST /v1/leases.".to_owned());
        return reason(WaitsFor::App, None, "No app asks for work.".into(), hint);
    }
    if let (Some(due), Phase::Waiting { cause: Cause::Suspect, .. }) = (due, &view.entry.delivery.phase) {
        let detail = format!(
            "The daemon died during its last {} attempts: it is tried again, alone, once the daemon has been up for {} s.",
            view.entry.delivery.deaths,
            SUSPECT_UPTIME.as_secs()
        );
        return reason(WaitsFor::Time, Some(due), detail, None);
    }
    if let Some(waiting) = link_reason(around, since) {
        return waiting;
    }
    if let Some(Gate::Limited { until, .. }) = gate
        && *until > now.time
    {
        let next = Some(due.map_or(scheduled(now, *until), |due| due.max(scheduled(now, *until))));
        let error = view.entry.last_error.as_ref();
        let error =
            error.map(|error| show::last_error(error, Whose { account, transport: around.transport }));
        let said = error.as_ref().map(in_words).unwrap_or_default();
        let detail = format!("The service slowed the account {account}{said}.");
        return reason(WaitsFor::Rate, next, detail, error.and_then(|error| error.cure));
    }
    let slowed = around.engine.slowed.iter().find(|(name, _)| name == account);
    if let (None, Some((_, at))) = (due, slowed) {
        let detail = match around.transport {
            TransportKind::App => {
                format!("The app asks for more than transport.app.rate allows {account}.")
            }
            _ => format!("The account {account} sends as much as its rate allows."),
        };
        return reason(WaitsFor::Rate, Some(scheduled(now, *at)), detail, None);
    }
    if let (Some(due), Phase::Waiting { cause: Cause::Paced, .. }) = (due, &view.entry.delivery.phase) {
        let detail = "Its group gets as many messages as transport.tim.group_rate allows.".to_owned();
        return reason(WaitsFor::Rate, Some(due), detail, None);
    }
    match due {
        Some(due) => {
            let whose = Whose { account, transport: around.transport };
            let error = view.entry.last_error.as_ref().map(|error| show::last_error(error, whose));
            let after = error.as_ref().map(in_words).unwrap_or_default();
            let cure = error.and_then(|error| error.cure);
            reason(WaitsFor::Time, Some(due), format!("Its next attempt comes at {due}{after}."), cure)
        }
        None => {
            let detail = format!(
                "It is due and goes as soon as there is room ({} of {} attempts under way).",
                around.engine.in_flight, around.engine.window
            );
            reason(WaitsFor::Room, Some(time(now.wall)), detail, None)
        }
    }
}

fn link_reason(around: &Surroundings, since: Time) -> Option<Reason> {
    let engine = &around.engine;
    let unknown_is_fine = around.transport == TransportKind::App && around.probe.is_empty();
    let state = match engine.link {
        LinkState::Up if engine.next_scout.is_none() => return None,
        // The app alone says that it is up, or the system that something went.
        LinkState::Up => "in doubt",
        LinkState::Unknown if unknown_is_fine => return None,
        LinkState::Unknown => "not known yet",
        LinkState::Down => "down",
    };
    let next = engine.next_scout.map(|at| scheduled(around.now, at.max(around.now.time)));
    let what = match (around.probe.as_str(), next) {
        ("", Some(next)) => format!(" The next try comes at {next}."),
        (probe, Some(next)) => format!(" The next probe of {probe} comes at {next}."),
        (_, None) => String::new(),
    };
    Some(Reason {
        waits_for: WaitsFor::Link,
        since,
        next_attempt_at: next,
        detail: format!("The link is {state} (by {}).{what}", engine.link_source.as_str()),
        hint: Some("Nothing is lost, and no attempt is counted while offline.".to_owned()),
    })
}
