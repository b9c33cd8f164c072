//! Resend: the seed's `reSendMessage`, with or without waiting for its end.
//!
//! Owns:  this call.
//! Never: sends (the engine does, in the message's turn).

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use outbox::{AttemptRecord, Changed, EntryView, LastError, Message, Overrides, Phase, Receipt};
use outbox_control::types::{Callback, ResendRequest};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::Context;
use super::body::{Id, LongJson};
use super::messages::{json, json_with, look_up, raw, reading, shown, shown_message};
use super::peer::Peer;
use super::problem::{Answer, bad_request};
use super::query::Query;
use crate::engine::Events;

/// Shortest and longest wait for the end.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest wait for the end.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// `POST /v1/messages/{id}/resend`.
pub(super) async fn resend(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    uri: Uri,
    LongJson(body): LongJson<ResendRequest>,
) -> Answer<Response> {
    let wait = Query::read(uri.query(), &["wait"])?.duration("wait", WAIT_MIN, WAIT_MAX)?;
    let web = body
        .web_message_instance()
        .map_err(|error| bad_request(error.to_string()).with_field("webMessageInstatnce"))?;
    let overrides = Overrides {
        online_user_only: body.online_user_only,
        web_message_instance: web.map(|web| web.get().as_bytes().to_vec()),
    };
    // Listened to before the resend, so that no end of it is missed.
    let events = context.wake.listen();
    let before = match look_up(&context, id.clone()).await? {
        Message::Entry(view) => last_attempt(&view),
        Message::Receipt(_) => None,
    };
    let outbox = context.outbox.clone();
    let changed = reading(move || outbox.resend(id, overrides).wait()).await?;
    let view = match changed {
        Changed::Sent(receipt) => return Ok(json(&callback_of(&context, &receipt, None).await?)),
        Changed::Entry(view) => view,
    };
    let Some(wait) = wait else {
        return Ok(json_with(StatusCode::ACCEPTED, &shown(&context, &view).await?));
    };
    let msg_id = view.entry.identity.msg_id.clone();
    let outbox = context.outbox.clone();
    let payload = reading(move || outbox.payload(&msg_id)).await.ok().map(|payload| payload.message);
    let waiter = Waiter { context: &context, msg_id: view.entry.identity.msg_id, before, payload };
    match peer.as_long_as_there(waiter.end(events, Instant::now() + wait)).await?? {
        Ok(callback) => Ok(json(&callback)),
        Err(message) => Ok(json_with(StatusCode::ACCEPTED, &shown_message(&context, &message).await?)),
    }
}

/// Waits for the end of the next attempt of a message, or of the message.
struct Waiter<'a> {
    context: &'a Arc<Context>,
    msg_id: String,
    /// The last attempt that had ended before.
    before: Option<AttemptRecord>,
    /// The message as submitted, for the answer to a failure.
    payload: Option<Vec<u8>>,
}

impl Waiter<'_> {
    /// The callback, or the message as it is when the time is over.
    async fn end(&self, mut events: Events, until: Instant) -> Answer<Result<Callback, Message>> {
        let engine = &self.context.engine;
        loop {
            let stopping = engine.view().stopping;
            let message = look_up(self.context, self.msg_id.clone()).await?;
            if let Some(callback) = self.ended(&message).await? {
                return Ok(Ok(callback));
            }
            // A daemon that stops still hears the attempts under way, and begins no others.
            if stopping && !is_sending(&message) {
                return Ok(Err(message));
            }
            tokio::select! {
                heard = self.next_event(&mut events, until) => if !heard { return Ok(Err(message)) },
                _ = engine.wait_for(|view| view.stopping), if !stopping => {}
            }
        }
    }

    async fn ended(&self, message: &Message) -> Answer<Option<Callback>> {
        match message {
            Message::Receipt(receipt) => {
                Ok(Some(callback_of(self.context, receipt, self.payload.clone()).await?))
            }
            Message::Entry(view) => {
                let ended = view.entry.delivery.has_ended() || last_attempt(view) != self.before;
                Ok(ended.then(|| self.failure(view.entry.last_error.as_ref())))
            }
        }
    }

    /// A failed send is an answer like any other: the service's code, and the message as submitted.
    fn failure(&self, error: Option<&LastError>) -> Callback {
        let (code, desc) = error.map(|error| (error.code, error.desc.clone())).unwrap_or_default();
        Callback { code, desc, data: self.payload.clone().and_then(raw) }
    }

    /// Waits for something about this message; `false` when the time is over.
    async fn next_event(&self, events: &mut Events, until: Instant) -> bool {
        loop {
            match timeout_at(until, events.recv()).await {
                Ok(Ok(event)) if event.msg_id.as_ref() == Some(&self.msg_id) => return true,
                Ok(Ok(_)) => {}
                // Too far behind: what was missed is in the store.
                Ok(Err(RecvError::Lagged(_))) => return true,
                Ok(Err(RecvError::Closed)) | Err(_) => return false,
            }
        }
    }
}

fn is_sending(message: &Message) -> bool {
    matches!(message, Message::Entry(view) if matches!(view.entry.delivery.phase, Phase::Sending { .. }))
}

/// The last attempt that has ended.
fn last_attempt(view: &EntryView) -> Option<AttemptRecord> {
    view.entry.history.last().cloned()
}

/// A receipt as the SDK's callback; `payload` stands in where nothing replaced the message.
async fn callback_of(
    context: &Arc<Context>,
    receipt: &Receipt,
    payload: Option<Vec<u8>>,
) -> Answer<Callback> {
    let outbox = context.outbox.clone();
    let kept = receipt.clone();
    // What became of the message is true without it.
    let data = reading(move || outbox.data(&kept)).await.unwrap_or_default();
    let data = if receipt.new_msg_id().is_some() { data } else { payload };
    Ok(Callback { code: receipt.code, desc: receipt.desc.clone(), data: data.and_then(raw) })
}
