//! Messages: list, show, payload, hold, release, cancel, resolve.
//!
//! Owns:  these calls.
//! Never: submit and resend, which have files of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, Uri};
use outbox::{Cancelled, EntryView, Filter, Message, Replacement, Resolution, Ticket};
use outbox_control::types::{
    CancelAnswer, CancelOutcome, Entry, MessagePage, Problem, ProblemCode, ReasonBody, ResolveRequest,
    State as ShownState,
};
use outbox_tim::mend;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Context;
use super::body::{Id, Json, LongJson};
use super::problem::{Answer, Refused, bad_request};
use super::query::Query;
use super::show;
use super::why::{self, LookedUp, Surroundings};

/// Runs a look-up of the store on a thread that may wait: a reader waits for the group that is being
/// written.
pub(super) async fn reading<T: Send + 'static>(
    look_up: impl FnOnce() -> outbox::Result<T> + Send + 'static,
) -> Answer<T> {
    let answer = tokio::task::spawn_blocking(look_up).await;
    Ok(answer.unwrap_or(Err(outbox::Error::Closed))?)
}

/// How long whoever reports an outcome waits for the disk. A commit takes some milliseconds, on a bad disk a second; what
/// takes longer waits for room, and that may take days.
pub(super) const RECORDING_MAX: Duration = Duration::from_secs(10);

/// Records an outcome. A long replacement is written to a file first, on a thread that may wait for the disk. Where the disk has
/// no room the outcome waits for that in the store's queue, and whoever reported it is told so.
pub(super) async fn recording<T: Send + 'static>(
    record: impl FnOnce() -> Ticket<T> + Send + 'static,
) -> Answer<T> {
    let recorded = async {
        let queued = tokio::task::spawn_blocking(record).await;
        queued.map_err(|_| outbox::Error::Closed)?.await
    };
    match tokio::time::timeout(RECORDING_MAX, recorded).await {
        Ok(recorded) => Ok(recorded?),
        Err(_) => {
            let detail = format!(
                "the outcome is in memory alone: the disk has not taken it within {} s",
                RECORDING_MAX.as_secs()
            );
            Err(Problem::new(ProblemCode::StoreUnhealthy, detail)
                .with_hint(
                    "It is recorded once the disk takes it; `failure` in the status says what it waits for, such as room. \
                     Repeat the call to hear of it; a repeat does no harm.",
                )
                .into())
        }
    }
}

/// Looks a message up by msgID or id.
pub(super) async fn look_up(context: &Arc<Context>, id: String) -> Answer<Message> {
    let outbox = context.outbox.clone();
    reading(move || outbox.get(&id)).await
}

/// A JSON answer.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    json_with(StatusCode::OK, value)
}

/// A JSON answer with a status.
pub(super) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body),
        Err(error) => Refused(bad_request(format!("the answer cannot be written: {error}"))).into_response(),
    }
}

/// An answer that is JSON already.
pub(super) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Bytes that were JSON when they were stored.
pub(super) fn raw(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    String::from_utf8(bytes).ok().and_then(|text| RawValue::from_string(text).ok())
}

/// An entry with what the engine knows of its next attempt.
pub(super) async fn shown(context: &Arc<Context>, view: &EntryView) -> Answer<Entry> {
    Ok(show_entry(view, &why::surroundings(context, view).await?))
}

fn show_entry(view: &EntryView, around: &Surroundings) -> Entry {
    let next = why::reason(view, around).and_then(|reason| reason.next_attempt_at());
    show::entry(view, around.now, next, around.transport)
}

/// A message, whether it is an entry or a receipt.
pub(super) async fn shown_message(context: &Arc<Context>, message: &Message) -> Answer<Entry> {
    match message {
        Message::Entry(view) => shown(context, view).await,
        Message::Receipt(receipt) => Ok(show::ended(receipt, context.transport_kind())),
    }
}

/// `GET /v1/messages`.
pub(super) async fn list(State(context): State<Arc<Context>>, uri: Uri) -> Answer<Response> {
    let query = Query::read(uri.query(), &["state", "conversation", "account", "limit", "cursor"])?;
    let filter = Filter {
        states: query.all("state").map(listed_state).collect::<Result<_, _>>()?,
        account: query.one("account")?.map(ToOwned::to_owned),
        conversation: query.one("conversation")?.map(ToOwned::to_owned),
        ..Filter::default()
    };
    let from = query.one("cursor")?.map_or(Ok(0), read_cursor)?;
    let limit = query.limit()?;
    let outbox = context.outbox.clone();
    // All of a page in one go: each look-up may have to wait for the group that is being written.
    let (page, accounts, paused) = reading(move || {
        let page = outbox.list(&filter, from, limit)?;
        let mut accounts = BTreeMap::new();
        for view in &page.entries {
            let name = &view.entry.identity.account;
            if !accounts.contains_key(name) {
                accounts.insert(name.clone(), outbox.account(name)?);
            }
        }
        Ok((page, accounts, outbox.counters().paused))
    })
    .await?;
    // A blocked one has no next attempt of its own, whatever its blocker does: that is not looked up.
    let around = |account| why::surroundings_of(&context, LookedUp { account, paused, blocker_keeps: false });
    let around: BTreeMap<_, _> =
        accounts.into_iter().map(|(name, account)| (name, around(account))).collect();
    let shown =
        |view: &EntryView| around.get(&view.entry.identity.account).map(|around| show_entry(view, around));
    let messages = page.entries.iter().filter_map(shown).collect();
    Ok(json(&MessagePage { messages, next: page.next.map(cursor) }))
}

fn listed_state(text: &str) -> Answer<outbox::State> {
    let state = text.parse().map_err(|error| bad_request(format!("{error}")).with_field("state"))?;
    entry_state(state)
}

/// The store's state of entries that can be listed.
pub(super) fn entry_state(state: ShownState) -> Answer<outbox::State> {
    if state.is_listed() {
        return Ok(show::state_of(state));
    }
    let problem = bad_request(format!("`{state}` messages are no entries any more")).with_field("state");
    Err(problem.with_hint("Sent ones are listed by GET /v1/sent; any one is shown by its msgID.").into())
}

/// A cursor is the place in the order of acceptance from which to go on.
fn cursor(seq: u64) -> String {
    format!("s{seq}")
}

fn read_cursor(text: &str) -> Answer<u64> {
    text.strip_prefix('s').and_then(|number| number.parse().ok()).ok_or_else(|| {
        bad_request("`cursor` is not one of this call's")
            .with_field("cursor")
            .with_hint("Use `next` of a page as it is.")
            .into()
    })
}

/// `GET /v1/messages/{id}`.
pub(super) async fn show(State(context): State<Arc<Context>>, Id(id): Id, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let message = look_up(&context, id).await?;
    Ok(json(&shown_message(&context, &message).await?))
}

/// `GET /v1/messages/{id}/payload`.
pub(super) async fn payload(State(context): State<Arc<Context>>, Id(id): Id, uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let outbox = context.outbox.clone();
    let payload = reading(move || outbox.payload(&id)).await?;
    Ok(json_bytes(StatusCode::OK, payload.message))
}

/// `POST /v1/messages/{id}/hold`.
pub(super) async fn hold(
    State(context): State<Arc<Context>>,
    Id(id): Id,
    Json(body): Json<ReasonBody>,
) -> Answer<Response> {
    let view = context.outbox.hold(id, body.reason).await?;
    Ok(json(&shown(&context, &view).await?))
}

/// `POST /v1/messages/{id}/release`.
pub(super) async fn release(
    State(context): State<Arc<Context>>,
    Id(id): Id,
    Json(_): Json<ReasonBody>,
) -> Answer<Response> {
    let view = context.outbox.release(id).await?;
    Ok(json(&shown(&context, &view).await?))
}

/// `DELETE /v1/messages/{id}`.
pub(super) async fn cancel(
    State(context): State<Arc<Context>>,
    Id(id): Id,
    uri: Uri,
    Json(body): Json<ReasonBody>,
) -> Answer<Response> {
    let query = Query::read(uri.query(), &["reason"])?;
    let reason = body.reason.or(query.one("reason")?.map(ToOwned::to_owned));
    let plain = |outcome, may_have_arrived| CancelAnswer { outcome, data: None, may_have_arrived };
    let answer = match context.outbox.cancel(id, reason).await? {
        Cancelled::Cancelled { may_have_arrived } => plain(CancelOutcome::Cancelled, may_have_arrived),
        Cancelled::Uncertain => plain(CancelOutcome::Uncertain, true),
        Cancelled::Pending => plain(CancelOutcome::Pending, false),
        Cancelled::TooLate(receipt) => {
            let outbox = context.outbox.clone();
            // What became of the message is true without it.
            let data = reading(move || outbox.data(&receipt)).await.ok().flatten().and_then(raw);
            CancelAnswer { data, ..plain(CancelOutcome::TooLate, false) }
        }
    };
    Ok(json(&answer))
}

/// `POST /v1/messages/{id}/resolve`.
pub(super) async fn resolve(
    State(context): State<Arc<Context>>,
    Id(id): Id,
    LongJson(body): LongJson<ResolveRequest>,
) -> Answer<Response> {
    if body.code != 0 {
        let problem = bad_request("`code` must be 0: a message is resolved by having arrived");
        return Err(problem.with_field("code").with_hint("Cancel a message that did not arrive.").into());
    }
    let replacement = body.data.as_deref().map(replacement_of).transpose()?;
    let resolution = Resolution { desc: body.desc.unwrap_or_default(), replacement };
    let outbox = context.outbox.clone();
    let receipt = recording(move || outbox.resolve(id, resolution)).await?;
    Ok(json(&show::ended(&receipt, context.transport_kind())))
}

/// The new message that a person saw.
fn replacement_of(data: &RawValue) -> Answer<Replacement> {
    let ids: serde_json::Map<String, serde_json::Value> = mend::parse(data.get().as_bytes())
        .map_err(|_| bad_request("`data` must be the new message, a JSON object").with_field("data"))?;
    let id = |name: &str| ids.get(name).and_then(|id| id.as_str()).filter(|id| !id.is_empty());
    let new_msg_id = id("msgID").or_else(|| id("message_msg_id")).map(ToOwned::to_owned);
    Ok(Replacement { new_msg_id, data: data.get().as_bytes().to_vec() })
}
