//! The app as transport: leases, settles, extensions.
//!
//! Owns:  these calls and their limits.
//! Never: chooses what is leased (the engine and the store do).

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use outbox::{LeaseId, Report};
use outbox_control::Time;
use outbox_control::types::{
    DEFAULT_ACCOUNT, ExtendAnswer, ExtendRequest, Lease, LeasePage, LeaseRequest, Problem, ProblemCode,
    Settle, SettleAnswer, Unsupported,
};
use outbox_tim::V2TimValueCallback;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::body::{self, Id, Json};
use super::messages::{RECORDING_MAX, json, raw, recording};
use super::peer::Peer;
use super::problem::{Answer, bad_request, shutting_down};
use super::{Context, show};
use crate::config::TransportKind;
use crate::engine::{Command, LeaseAsk};
use crate::transport::verdict::{ANSWER_BYTES_MAX, judge_callback, not_reached};

/// Longest wait for work.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Shortest lease.
const LASTS_MIN: Duration = Duration::from_secs(5);
/// Longest lease that one call gives.
const LASTS_MAX: Duration = Duration::from_secs(600);

/// `POST /v1/leases`.
pub(super) async fn lease(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Json(body): Json<LeaseRequest>,
) -> Answer<Response> {
    only_for_apps(&context)?;
    check(&body)?;
    let (reply, answer) = oneshot::channel();
    let ask = LeaseAsk {
        account: body.account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
        max: usize::try_from(body.max).unwrap_or(1),
        lasts: body.lasts.get(),
        wait_until: Instant::now() + body.wait.get(),
        reply,
    };
    let engine = context.engine.clone();
    let give_back = move |answer: outbox::Result<Vec<outbox::Lease>>| {
        let ids = answer.into_iter().flatten().map(|lease| lease.id).collect();
        let engine = engine.clone();
        tokio::spawn(async move { engine.send(Command::TakeBack(ids)).await });
    };
    let mut answer = Awaited { answer, give_back };
    if !context.engine.send(Command::Lease(ask)).await {
        return Err(shutting_down());
    }
    // What is given out must be on the disk first. Where that has no room, the engine takes back what nobody waits for.
    let answer = peer.as_long_as_there(timeout(body.wait.get() + RECORDING_MAX, answer.come())).await?;
    let Ok(answer) = answer else {
        let detail = "the disk has not taken what was to be given out; nothing was";
        return Err(Problem::new(ProblemCode::StoreUnhealthy, detail)
            .with_hint("`failure` in the status says what it waits for, such as room. Ask again then.")
            .into());
    };
    let leases = answer.map_err(|_| shutting_down())??;
    let ids = leases.iter().map(|lease| lease.id.clone()).collect();
    let leases = leases.into_iter().filter_map(shown).collect();
    peer.note_leases(ids);
    Ok(json(&LeasePage { leases }))
}

/// An answer that may come. One that has come when nobody takes it any more is given back: the client is gone, or has another
/// answer.
struct Awaited<T, B: FnMut(T)> {
    answer: oneshot::Receiver<T>,
    give_back: B,
}

impl<T, B: FnMut(T)> Awaited<T, B> {
    async fn come(&mut self) -> Result<T, oneshot::error::RecvError> {
        (&mut self.answer).await
    }
}

impl<T, B: FnMut(T)> Drop for Awaited<T, B> {
    fn drop(&mut self) {
        // From here on whoever answers finds nobody.
        self.answer.close();
        if let Ok(answer) = self.answer.try_recv() {
            (self.give_back)(answer);
        }
    }
}

fn check(body: &LeaseRequest) -> Result<(), Problem> {
    let wrong =
        |field: &str, limits: &str| Err(bad_request(format!("`{field}` must be {limits}")).with_field(field));
    if !(1..=256).contains(&body.max) {
        return wrong("max", "1 to 256");
    }
    // One that no message can have would wait for ever.
    if body.account.as_ref().is_some_and(|account| !(1..=200).contains(&account.len())) {
        return wrong("account", "1 to 200 bytes");
    }
    if body.wait.get() > WAIT_MAX {
        return wrong("wait", "0 to 60 s");
    }
    if !(LASTS_MIN..=LASTS_MAX).contains(&body.lasts.get()) {
        return wrong("for", "5 s to 10 min");
    }
    Ok(())
}

fn only_for_apps(context: &Context) -> Result<(), Problem> {
    if context.in_force().config.transport.kind == TransportKind::App {
        return Ok(());
    }
    let detail = "this daemon sends by itself and gives out no leases";
    Err(Problem::unsupported(Unsupported::Feature, detail)
        .with_hint("Set transport.kind = \"app\" to let an app send."))
}

fn shown(lease: outbox::Lease) -> Option<Lease> {
    Some(Lease {
        lease: lease.id.to_string(),
        msg_id: lease.msg_id,
        attempt: lease.attempt,
        send_token: lease.token.to_hex(),
        account: lease.account,
        conversation: lease.conversation,
        online_user_only: lease.online_user_only,
        web_message_instatnce: lease.web_message_instance.and_then(raw),
        // It was JSON when it was submitted.
        message: raw(lease.message)?,
        deadline: lease.deadline.map_or(Time::from_ms(0), show::time),
    })
}

/// `POST /v1/leases/{lease}/settle`.
pub(super) async fn settle(
    State(context): State<Arc<Context>>,
    Id(lease): Id,
    request: Request,
) -> Answer<Response> {
    let lease: LeaseId = lease.parse()?;
    let mut share = context.share();
    let bytes = body::read(request.into_body(), ANSWER_BYTES_MAX, &mut share).await?;
    let report = report_of(&context, &bytes)?;
    // It may wait for room now, beside many others.
    drop((bytes, share));
    let outcome = report.outcome;
    let outbox = context.outbox.clone();
    let settled = recording(move || outbox.settle(lease, report)).await?;
    // A late failure tells of a network that was; a success is good news whenever it comes.
    let is_success = matches!(outcome, outbox::Outcome::Sent | outbox::Outcome::Duplicate);
    if settled.is_news && (is_success || !settled.is_late) {
        context.engine.send(Command::Evidence(outcome)).await;
    }
    Ok(json(&SettleAnswer { state: show::state(settled.state) }))
}

/// What the app reports, in the store's words.
fn report_of(context: &Context, bytes: &[u8]) -> Result<Report, Problem> {
    let body: Settle = body::parse(bytes)?;
    let retry_after = body.retry_after.map(|wait| wait.get());
    if body.not_reached {
        if body.code == 0 {
            return Err(
                bad_request("`notReached` and `code` 0 contradict each other").with_field("notReached")
            );
        }
        let desc = if body.desc.is_empty() { "the app reached nobody".to_owned() } else { body.desc };
        return Ok(Report { code: body.code, retry_after, ..not_reached(desc) });
    }
    let callback = V2TimValueCallback::new(body.code, body.desc, body.data);
    let judged = judge_callback(&context.in_force().classes, &callback);
    Ok(Report { retry_after: retry_after.or(judged.retry_after), ..judged })
}

/// `POST /v1/leases/{lease}/extend`.
pub(super) async fn extend(
    State(context): State<Arc<Context>>,
    Id(lease): Id,
    Json(body): Json<ExtendRequest>,
) -> Answer<Response> {
    let lease: LeaseId = lease.parse()?;
    if !(LASTS_MIN..=LASTS_MAX).contains(&body.lasts.get()) {
        return Err(bad_request("`for` must be 5 s to 10 min").with_field("for").into());
    }
    let deadline = context.outbox.extend(lease, body.lasts.get()).await?;
    Ok(json(&ExtendAnswer { deadline: show::time(deadline) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_given_to_somebody_who_is_gone_is_given_back_once() {
        let mut back = Vec::new();
        for (is_answered, is_taken) in [(true, true), (true, false), (false, false)] {
            let (reply, answer) = oneshot::channel();
            let mut awaited = Awaited { answer, give_back: |answer| back.push((answer, is_taken)) };
            let mut reply = Some(reply);
            if is_answered {
                reply.take().unwrap().send("leases").unwrap();
            }
            if is_taken {
                assert_eq!(awaited.come().await, Ok("leases"));
            }
            drop(awaited);
            assert!(reply.is_none_or(|reply| reply.send("leases").is_err()), "nobody takes it any more");
        }
        assert_eq!(back, [("leases", false)]);
    }
}
