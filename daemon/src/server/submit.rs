//! Submit: one message, and what a submit object becomes for the store.
//!
//! Owns:  the call for one message, routing and checks of a submit object.
//! Never: reads many lines (`ndjson`).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use outbox::{PreparedSubmit, Report, WallTime};
use outbox_control::types::{DEFAULT_ACCOUNT, Problem, SendError, Submit, Submitted, TooLarge};
use outbox_tim::{V2TimValueCallback, message};

use super::body;
use super::messages::{json_with, reading};
use super::problem::{Answer, bad_request, of_store, shutting_down};
use super::query::Query;
use super::{Context, ndjson, show};
use crate::transport::verdict::{Classes, judge_callback};

/// Media type of many messages.
const NDJSON: &str = "application/x-ndjson";

/// `POST /v1/messages`.
pub(super) async fn submit(State(context): State<Arc<Context>>, request: Request) -> Answer<Response> {
    Query::read(request.uri().query(), &[])?;
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(NDJSON) {
        return Ok(ndjson::submit_lines(context, request.into_body()));
    }
    let max = body::long_max(&context.outbox);
    let mut share = context.share();
    let body = body::read(request.into_body(), max, &mut share).await;
    let body = body.map_err(|problem| name_limit(problem, &context))?;
    let submit = read_submit(&context, &body)?;
    // It may wait for the drive now, beside many others.
    drop((body, share));
    let submitted = accept(&context, submit).await?;
    let status = if submitted.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(json_with(status, &submitted))
}

/// A body that is too long has a message that is too long.
fn name_limit(problem: Problem, context: &Context) -> Problem {
    if problem.status_code() != StatusCode::PAYLOAD_TOO_LARGE {
        return problem;
    }
    let max = context.outbox.config().max_message_bytes;
    let detail = format!("the message is longer than spool.max_message_bytes, {max} bytes");
    Problem::too_large(TooLarge::Body, detail).with_field("message")
}

/// Hands a message to the store and waits until it is on disk.
async fn accept(context: &Arc<Context>, submit: outbox::Submit) -> Answer<Submitted> {
    let Ok(_seat) = context.submits.acquire().await else { return Err(shutting_down()) };
    let prepared = prepare(context, submit).await?;
    store(context, prepared).await
}

/// Checks a message; a large payload is written to its file, on a thread that may wait for the disk.
pub(super) async fn prepare(context: &Context, submit: outbox::Submit) -> Answer<PreparedSubmit> {
    let bytes = submit.message.len() + submit.web_message_instance.as_ref().map_or(0, Vec::len);
    let outbox = context.outbox.clone();
    if bytes > outbox::limits::INLINE_BYTES_MAX {
        return reading(move || outbox.prepare(submit)).await;
    }
    Ok(outbox.prepare(submit)?)
}

/// Queues a message for the store, at once; the future waits until it is on disk. Whoever calls this has one
/// of the seats in `submits`, so the queue has room.
pub(super) fn store(
    context: &Context,
    prepared: PreparedSubmit,
) -> impl Future<Output = Answer<Submitted>> + use<> {
    let ticket = context.outbox.submit_prepared(prepared);
    async move { Ok(shown(ticket.await?)) }
}

fn shown(submitted: outbox::Submitted) -> Submitted {
    let hint = match submitted.state {
        outbox::State::Failed | outbox::State::Expired => {
            Some("It is not sent again by itself; resend it once the reason is gone.")
        }
        outbox::State::Cancelled => Some("It was cancelled; give the message a new msgID to send it."),
        outbox::State::Uncertain => Some("It waits for a decision: resend, resolve or cancel it."),
        _ => None,
    };
    Submitted {
        msg_id: submitted.msg_id,
        state: show::state(submitted.state),
        conversation: submitted.conversation,
        seq: submitted.seq,
        duplicate: submitted.duplicate,
        hint: hint.filter(|_| submitted.duplicate).map(ToOwned::to_owned),
        status: None,
        line: None,
    }
}

/// Reads and checks a submit object by what is in force.
pub(super) fn read_submit(context: &Context, bytes: &[u8]) -> Result<outbox::Submit, Problem> {
    to_store(&context.in_force().classes, context.outbox.config().max_message_bytes, bytes)
}

/// Reads and checks a submit object with a message of at most `max` bytes.
pub(crate) fn to_store(classes: &Classes, max: u64, bytes: &[u8]) -> Result<outbox::Submit, Problem> {
    let submit: Submit = body::parse(bytes)?;
    let web = submit
        .web_message_instance()
        .map_err(|error| bad_request(error.to_string()).with_field("webMessageInstatnce"))?;
    let length = submit.message.get().len() + web.map_or(0, |web| web.get().len());
    if length as u64 > max {
        return Err(of_store(&outbox::Error::TooLarge { bytes: length as u64, max }));
    }
    let web_message_instance = web.map(|web| web.get().as_bytes().to_vec());
    let inspected = message::inspect(submit.message.get().as_bytes()).map_err(|error| {
        let field = error.field().map_or_else(|| "message".to_owned(), |field| format!("message.{field}"));
        bad_request(error.to_string()).with_field(field).with_hint(error.hint())
    })?;
    let to_group = inspected.conversation.as_deref().is_some_and(|name| name.starts_with("group:"));
    let first_error = submit.error.as_ref().map(|error| first_error(classes, error)).transpose()?;
    Ok(outbox::Submit {
        msg_id: submit.msg_id.or(inspected.msg_id).ok_or_else(no_msg_id)?,
        id: inspected.id,
        account: submit.account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
        conversation: submit.conversation.or(inspected.conversation).ok_or_else(no_conversation)?,
        message: submit.message.get().as_bytes().to_vec(),
        web_message_instance,
        online_user_only: submit.online_user_only.or(inspected.online_user_only).unwrap_or(false),
        to_group,
        fingerprint: Some(inspected.fingerprint),
        ttl: submit.ttl.map(|ttl| ttl.get()),
        not_before: submit.not_before.map(|at| WallTime(at.as_ms())),
        first_error,
    })
}

fn no_msg_id() -> Problem {
    bad_request("there is no msgID: neither `msgID` nor the message's own").with_field("msgID").with_hint(
        "The failed send's callback has it in data.msgID; `id`, from creating the message, is another.",
    )
}

fn no_conversation() -> Problem {
    bad_request("the message names no peer (`userID`) and no group (`groupID`)")
        .with_field("conversation")
        .with_hint(
            "Put `userID` or `groupID` into the message. `conversation`, such as c2c:USER, names a lane: it is \
             enough where the app or a service of yours sends (transport.kind app or http), not for tim.",
        )
}

/// What the send that failed before was answered, as the store keeps it.
fn first_error(classes: &Classes, error: &SendError) -> Result<Report, Problem> {
    if error.code == 0 {
        return Err(bad_request("`error.code` is 0, which is a success: there is nothing to resend")
            .with_field("error.code")
            .with_hint(
                "Submit only messages whose send failed; leave `error` out if its code is not known.",
            ));
    }
    let callback = V2TimValueCallback::new(error.code, error.desc.clone(), None);
    Ok(judge_callback(classes, &callback))
}
