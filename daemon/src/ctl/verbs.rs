//! Acting on several messages: resend, hold, release, cancel; one after the other, or all as one batch.
//!
//! Owns:  going on after a refusal; the exit code of many.
//! Never: chooses the messages.

use std::time::Duration;

use outbox_control::types::{BatchOp, BatchRequest, CancelOutcome, ResendAnswer, ResendRequest, State};
use outbox_control::{Client, ClientError};

use super::args::{Reasoned, Resend};
use super::exit::{CtlError, Exit};
use super::session::Session;
use super::{batch, ids, render};

/// What may still be sent, and so can be held.
const HOLDABLE: &[State] = &[State::Queued, State::Deferred, State::Blocked, State::Sending];

/// What to do with each message.
enum Verb {
    Resend { request: ResendRequest, wait: Option<Duration> },
    Hold { reason: Option<String> },
    Release { reason: Option<String> },
    Cancel { reason: Option<String> },
}

impl Verb {
    const fn name(&self) -> &'static str {
        match self {
            Self::Resend { .. } => "resend",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::Cancel { .. } => "cancel",
        }
    }

    /// The batch that does this to many at once; none does what is different for each, or waits.
    fn batch_op(&self) -> Option<BatchOp> {
        match self {
            Self::Resend { wait: None, request } if request.online_user_only.is_none() => {
                Some(BatchOp::Resend)
            }
            Self::Resend { .. } => None,
            Self::Hold { .. } => Some(BatchOp::Hold),
            Self::Release { .. } => Some(BatchOp::Release),
            Self::Cancel { .. } => Some(BatchOp::Cancel),
        }
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::Resend { .. } => None,
            Self::Hold { reason } | Self::Release { reason } | Self::Cancel { reason } => reason.clone(),
        }
    }

    /// The states that `--all` means without `--state`; none means every state.
    const fn usual_states(&self) -> &'static [State] {
        match self {
            Self::Resend { .. } | Self::Cancel { .. } => &[],
            Self::Hold { .. } => HOLDABLE,
            Self::Release { .. } => &[State::Held],
        }
    }
}

pub(super) async fn resend(session: &mut Session, args: Resend) -> Result<Exit, CtlError> {
    let online_user_only = args.online_user_only.then_some(true);
    let request = ResendRequest { online_user_only, ..ResendRequest::default() };
    each(session, args.selection, Verb::Resend { request, wait: args.wait }).await
}

pub(super) async fn hold(session: &mut Session, args: Reasoned) -> Result<Exit, CtlError> {
    each(session, args.selection, Verb::Hold { reason: args.reason }).await
}

pub(super) async fn release(session: &mut Session, args: Reasoned) -> Result<Exit, CtlError> {
    each(session, args.selection, Verb::Release { reason: args.reason }).await
}

pub(super) async fn cancel(session: &mut Session, args: Reasoned) -> Result<Exit, CtlError> {
    each(session, args.selection, Verb::Cancel { reason: args.reason }).await
}

async fn each(
    session: &mut Session,
    selection: super::args::Selection,
    verb: Verb,
) -> Result<Exit, CtlError> {
    if let (true, Some(op)) = (selection.all, verb.batch_op()) {
        let filter = batch::filter_of(selection.filter, verb.usual_states());
        let (dry_run, expect_count, reason) = (false, None, verb.reason());
        let request = BatchRequest { op, filter, dry_run, expect_count, reason };
        return batch::all(session, request, selection.yes).await;
    }
    let ids = ids::selected(session, selection, verb.name(), verb.usual_states()).await?;
    let mut exit = Exit::Done;
    for id in ids {
        match one(session, &verb, &id).await {
            Ok(ended) => exit = exit.or(ended),
            Err(CtlError::Client(error)) => {
                exit = exit.or(session.report(&id, &error)?);
                // A daemon that is gone, or does not answer, is so for the other messages too.
                if !matches!(error, ClientError::Problem(_)) {
                    break;
                }
            }
            Err(other) => return Err(other),
        }
        session.output.flush()?;
    }
    Ok(exit)
}

async fn one(session: &mut Session, verb: &Verb, id: &str) -> Result<Exit, CtlError> {
    let Session { client, output, style, .. } = session;
    let entry = match verb {
        Verb::Resend { request, wait } => {
            let answer = call_resend(client, id, request, *wait).await?;
            return show_resend(session, id, answer, wait.is_some());
        }
        Verb::Cancel { reason } => {
            let answer = client.cancel(id, reason.as_deref()).await?;
            output.answer(&answer, |answer| render::cancelled(style, id, answer))?;
            let too_late = answer.outcome == CancelOutcome::TooLate;
            return Ok(if too_late { Exit::WrongState } else { Exit::Done });
        }
        Verb::Hold { reason } => client.hold(id, reason.as_deref()).await?,
        Verb::Release { reason } => client.release(id, reason.as_deref()).await?,
    };
    output.answer(&entry, |entry| render::entry_line(style, entry))?;
    Ok(Exit::Done)
}

async fn call_resend(
    client: &Client,
    id: &str,
    request: &ResendRequest,
    wait: Option<Duration>,
) -> Result<ResendAnswer, ClientError> {
    match wait {
        Some(wait) => client.resend_and_wait(id, request, wait).await,
        None => client.resend(id, request).await,
    }
}

fn show_resend(
    session: &mut Session,
    id: &str,
    answer: ResendAnswer,
    waited: bool,
) -> Result<Exit, CtlError> {
    let Session { output, style, .. } = session;
    match answer {
        ResendAnswer::Callback(callback) => {
            output.answer(&callback, |callback| render::callback_line(style, id, callback))?;
            Ok(if callback.code == 0 { Exit::Done } else { Exit::Failed })
        }
        ResendAnswer::Entry(entry) => {
            output.answer(&*entry, |entry| render::entry_line(style, entry))?;
            // Who waits wants to know whether it was sent, and it was not yet.
            Ok(if waited { Exit::TryLater } else { Exit::Done })
        }
    }
}
