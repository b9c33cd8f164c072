//! The daemon as a whole: status, flush, compact, pause, accounts, connectivity, health.
//!
//! Owns:  these calls.
//! Never: looks at a single message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use outbox::{GateChange, SpoolStatus};
use outbox_control::types::{
    self, AccountState, CompactAnswer, Connectivity, ConnectivityRequest, Counts, FlushAnswer, FlushRequest,
    Live, Paused, Ready, ReasonBody, Status, TransportStatus,
};
use tokio::sync::oneshot;

use super::Context;
use super::body::{Id, Json};
use super::messages::{json, json_with, reading};
use super::problem::{Answer, Refused, shutting_down};
use super::query::Query;
use super::show;
use crate::config::TransportKind;
use crate::engine::{Command, LinkState, View};
use crate::found;

/// Accounts that `status` lists.
const ACCOUNTS_SHOWN: usize = 100;

/// An engine that has not looked around for so long makes no progress: it does so every ten seconds.
const BEAT_MAX: Duration = Duration::from_secs(30);

/// `GET /v1/status`.
pub(super) async fn status(State(context): State<Arc<Context>>, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let outbox = context.outbox.clone();
    let (spool, accounts) = reading(move || status_and_accounts(&outbox)).await?;
    Ok(json(&shown_status(&context, &spool, &accounts)))
}

/// The accounts of a store that failed cannot be read; everything else is shown.
fn status_and_accounts(outbox: &outbox::Outbox) -> outbox::Result<(SpoolStatus, Vec<outbox::Account>)> {
    let accounts = match outbox.accounts(ACCOUNTS_SHOWN) {
        Err(_) if outbox.failure().is_some() => Vec::new(),
        accounts => accounts?,
    };
    Ok((outbox.status()?, accounts))
}

fn shown_status(context: &Context, spool: &SpoolStatus, accounts: &[outbox::Account]) -> Status {
    let now = context.outbox.now();
    let view = context.engine.view();
    let counters = &spool.counters;
    let in_force = context.in_force();
    let config = &in_force.config;
    let mut more = serde_json::Map::new();
    more.insert("inFlight".into(), view.in_flight.into());
    match config.transport.kind {
        TransportKind::Http => {
            let url = config.transport.http.url.as_ref().map(shown_url);
            more.insert("url".into(), url.into());
            more.insert("window".into(), view.window.into());
        }
        TransportKind::App => {
            more.insert("attached".into(), view.app_attached.into());
        }
        TransportKind::Tim => {
            let hosts: BTreeSet<_> =
                config.transport.tim.logins.values().map(|login| login.base_url.as_str()).collect();
            more.insert("urls".into(), hosts.into_iter().collect());
            more.insert("window".into(), view.window.into());
        }
    }
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: show::time(context.started_at),
        paused: counters.paused,
        link: show::link(&view),
        pace: shown_pace(config.transport.kind, &view, counters, now.time),
        transport: TransportStatus { kind: config.transport.kind.as_str().to_owned(), more },
        accounts: accounts.iter().map(|account| shown_account(context, account)).collect(),
        counts: Counts {
            queued: counters.ready,
            deferred: counters.deferred,
            blocked: counters.blocked(),
            held: counters.held,
            sending: counters.sending,
            uncertain: counters.uncertain,
            failed: counters.failed,
            expired: counters.expired,
        },
        sent_total: counters.sent_total,
        oldest_waiting_ms: spool.oldest_waiting.map(|since| now.time.since_ms(since)),
        spool: shown_spool(context, spool),
        last_sent_at: known(counters.last_sent_at),
    }
}

fn shown_account(context: &Context, account: &outbox::Account) -> types::Account {
    show::account(account, context.outbox.now(), context.started_at, context.transport_kind())
}

fn shown_pace(
    kind: TransportKind,
    view: &View,
    counters: &outbox::Counters,
    now: outbox::Timestamp,
) -> types::Pace {
    let backlog = counters.ready + counters.deferred + counters.blocked() + counters.sending;
    let moves = view.link == LinkState::Up && !counters.paused;
    let is_app = kind == TransportKind::App;
    let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
    types::Pace {
        window: (!is_app).then(|| number(view.window)),
        in_flight: if is_app { counters.sending } else { number(view.in_flight) },
        // Two digits after the point are more than an estimate has.
        per_second: view.drain.per_second(now).map(|rate| (rate * 100.0).round() / 100.0),
        backlog_gone_in_ms: if backlog == 0 {
            Some(0)
        } else {
            // Where everything waits for a time of its own, the pace says nothing.
            let goes_now = counters.ready + counters.sending > 0;
            view.drain.gone_in_ms(backlog, now).filter(|_| moves && goes_now)
        },
    }
}

/// A time that the counters have; none where it never was, or got lost with a damaged store.
fn known(at: outbox::WallTime) -> Option<outbox_control::Time> {
    (at.0 > 0).then(|| show::time(at))
}

/// A URL without what may be a secret: user, password, query.
fn shown_url(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}{}", url.host().unwrap_or_default(), url.path())
}

fn shown_spool(context: &Context, spool: &SpoolStatus) -> types::SpoolStatus {
    let counters = &spool.counters;
    let limits = context.outbox.config();
    types::SpoolStatus {
        path: limits.path.display().to_string(),
        bytes: counters.payload_bytes,
        messages: counters.entries(),
        limit_bytes: limits.max_bytes,
        limit_messages: limits.max_messages,
        free_bytes: Some(spool.free_bytes),
        reserved_bytes: spool.reserved_bytes,
        format: spool.format,
        store_bytes: spool.store_bytes,
        receipts: counters.receipts,
        receipts_since: spool.oldest_event.map(show::time),
        receipts_dropped: counters.receipts_dropped,
        receipts_dropped_since: known(counters.receipts_dropped_since),
        data_dropped: counters.data_dropped,
        data_dropped_since: known(counters.data_dropped_since),
        quarantined: counters.quarantined,
        damaged: spool.is_damaged,
        missing: spool.missing,
        damaged_files: spool.damaged_files,
        failure: context.outbox.failure().map(|failure| failure.to_string()),
    }
}

/// `POST /v1/flush`.
pub(super) async fn flush(
    State(context): State<Arc<Context>>,
    Json(body): Json<FlushRequest>,
) -> Answer<Response> {
    let outbox = context.outbox.clone();
    let due = reading(move || outbox.flush(body.account, body.conversation)).await?;
    Ok(json(&FlushAnswer { due }))
}

/// `POST /v1/compact`.
pub(super) async fn compact(State(context): State<Arc<Context>>, Json(_): Json<Empty>) -> Answer<Response> {
    let compacted = context.outbox.compact().await.map_err(|error| {
        let is_for_room = matches!(error, outbox::Error::DiskLow { .. });
        let Refused(problem) = error.into();
        Refused(match is_for_room {
            true => {
                problem.with_hint("Free some disk space: the store is copied before its own is given back.")
            }
            false => problem,
        })
    });
    let outbox::Compacted { bytes_before, bytes_after } = compacted?;
    Ok(json(&CompactAnswer { bytes_before, bytes_after }))
}

/// `POST /v1/pause`.
pub(super) async fn pause(State(context): State<Arc<Context>>, Json(_): Json<Empty>) -> Answer<Response> {
    context.outbox.pause().await?;
    Ok(json(&Paused { paused: true }))
}

/// `POST /v1/resume`.
pub(super) async fn resume(State(context): State<Arc<Context>>, Json(_): Json<Empty>) -> Answer<Response> {
    context.outbox.resume().await?;
    Ok(json(&Paused { paused: false }))
}

/// A body without fields.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// `GET /v1/accounts`.
pub(super) async fn accounts(State(context): State<Arc<Context>>, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let outbox = context.outbox.clone();
    let accounts = reading(move || outbox.accounts(ACCOUNTS_SHOWN)).await?;
    let shown: Vec<_> = accounts.iter().map(|account| shown_account(&context, account)).collect();
    Ok(json(&serde_json::json!({ "accounts": shown })))
}

/// `POST /v1/accounts/{account}/pause`.
pub(super) async fn pause_account(
    State(context): State<Arc<Context>>,
    Id(account): Id,
    Json(body): Json<ReasonBody>,
) -> Answer<Response> {
    change_account(&context, account, GateChange::Pause { reason: body.reason }).await
}

/// `POST /v1/accounts/{account}/resume`.
pub(super) async fn resume_account(
    State(context): State<Arc<Context>>,
    Id(account): Id,
    Json(_): Json<ReasonBody>,
) -> Answer<Response> {
    change_account(&context, account, GateChange::Open).await
}

async fn change_account(context: &Arc<Context>, name: String, change: GateChange) -> Answer<Response> {
    let account = context.outbox.set_account(name, change).await?;
    let now = context.outbox.now();
    Ok(json(&show::account(&account, now, now.wall, context.transport_kind())))
}

/// `PUT /v1/connectivity`.
pub(super) async fn connectivity(
    State(context): State<Arc<Context>>,
    Json(body): Json<ConnectivityRequest>,
) -> Answer<Response> {
    let state = match body.state {
        types::LinkState::Up => LinkState::Up,
        types::LinkState::Down => LinkState::Down,
        types::LinkState::Unknown => LinkState::Unknown,
    };
    let (reply, answer) = oneshot::channel();
    context.engine.send(Command::Connectivity(state, reply)).await;
    let view = answer.await.map_err(|_| shutting_down())?;
    Ok(json(&Connectivity { link: show::link(&view) }))
}

/// `GET /v1/health/live`.
pub(super) async fn live(State(context): State<Arc<Context>>, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let silent_ms = context.outbox.now().time.since_ms(context.engine.view().beat);
    let live = u128::from(silent_ms) < BEAT_MAX.as_millis();
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_with(status, &Live { live }))
}

/// `GET /v1/health/ready`.
pub(super) async fn ready(State(context): State<Arc<Context>>, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let view = context.engine.view();
    let outbox = context.outbox.clone();
    let (spool, accounts) = reading(move || status_and_accounts(&outbox)).await?;
    let failure = context.outbox.failure().map(|failure| failure.to_string());
    let stopping = view.stopping.then(|| "the daemon is stopping".to_owned());
    let refusal = failure.or(stopping).or_else(|| no_room(&context.outbox.config(), &spool));
    let ready = refusal.is_none();
    let mut degraded: Vec<String> = refusal.into_iter().collect();
    if view.link == LinkState::Down {
        degraded.push("the link is down".to_owned());
    }
    let counters = &spool.counters;
    if counters.paused {
        degraded.push("everything is paused".to_owned());
    }
    if counters.quarantined > 0 {
        degraded.push(format!(
            "{} records could not be read and were set aside (`quarantine` in the spool)",
            counters.quarantined
        ));
    }
    degraded.extend(found::words(context.outbox.report()));
    if context.outbox.has_met_damage() {
        degraded.push(
            "a part of the store cannot be read; a restart of outboxd makes the store anew of the rest"
                .to_owned(),
        );
    }
    if spool.damaged_files > 0 {
        degraded.push(format!(
            "{} files of large messages or replacements cannot be read (`outboxd fsck` and the log name the messages)",
            spool.damaged_files
        ));
    }
    for account in accounts.iter().map(|account| shown_account(&context, account)) {
        if account.state != AccountState::Open {
            degraded.push(format!("the account {} is {}", account.account, account.state.as_str()));
        }
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_with(status, &Ready { ready, degraded }))
}

/// Why every new message is refused, if so: the limits that a submit is checked against.
fn no_room(limits: &outbox::Config, spool: &SpoolStatus) -> Option<String> {
    let (messages, bytes) = (spool.counters.entries(), spool.counters.payload_bytes);
    if messages >= limits.max_messages {
        return Some(format!("the outbox is full: spool.max_messages is {}", limits.max_messages));
    }
    if bytes >= limits.max_bytes {
        return Some(format!(
            "the outbox is full: {bytes} bytes, and spool.max_bytes is {}",
            limits.max_bytes
        ));
    }
    (spool.free_bytes < limits.min_free_bytes).then(|| {
        format!(
            "the disk has {} bytes free, and spool.min_free is {}",
            spool.free_bytes, limits.min_free_bytes
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_user_and_query() {
        let shown = |url: &str| shown_url(&url.parse().unwrap());
        assert_eq!(shown("https://me:secret@host:81/send?key=secret"), "https://host:81/send");
        assert_eq!(shown("http://[::1]:9/"), "http://[::1]:9/");
    }

    #[test]
    fn each_limit_of_a_submit_is_a_reason_for_not_being_ready() {
        let limits = outbox::Config {
            max_messages: 2,
            max_bytes: 10,
            min_free_bytes: 100,
            ..outbox::Config::new("spool")
        };
        let said = |messages: u64, payload_bytes, free_bytes| {
            let counters = outbox::Counters { held: messages, payload_bytes, ..Default::default() };
            let spool = SpoolStatus {
                counters,
                store_bytes: 0,
                free_bytes,
                reserved_bytes: 0,
                is_damaged: false,
                missing: 0,
                damaged_files: 0,
                has_failed: false,
                format: 1,
                oldest_event: None,
                oldest_waiting: None,
            };
            no_room(&limits, &spool).unwrap_or_default()
        };
        assert_eq!(said(1, 9, 100), "");
        assert!(said(2, 9, 100).contains("spool.max_messages"));
        assert!(said(1, 10, 100).contains("spool.max_bytes"));
        assert!(said(1, 9, 99).contains("spool.min_free"));
    }
}
