//! Acting on all messages that match: one call, however many they are.
//!
//! Owns:  what must be said before all are acted on, and the question.
//! Never: lists messages, repeats a batch.

use outbox_control::types::{BatchAnswer, BatchFilter, BatchRequest, State, States};

use super::args::{self, Filter};
use super::exit::{CtlError, Exit};
use super::session::Session;
use super::{note, render};

/// Carries out `outboxctl batch`.
pub(super) async fn batch(session: &mut Session, args: args::Batch) -> Result<(), CtlError> {
    let mut filter = filter_of(args.filter, &[]);
    (filter.class, filter.older_than) = (args.class, args.older_than);
    if filter == BatchFilter::default() && !args.all && !args.dry_run {
        return Err(CtlError::Usage(
            "this would act on all messages: add --all, or choose with --state, --conversation, --account, \
             --class or --older-than"
                .to_owned(),
        ));
    }
    let request = BatchRequest {
        op: args.op.into(),
        filter,
        dry_run: args.dry_run,
        expect_count: args.expect_count,
        reason: args.reason,
    };
    act(session, request, args.yes).await
}

/// The filter of a batch; `usual_states` are meant where no state is given.
pub(super) fn filter_of(filter: Filter, usual_states: &[State]) -> BatchFilter {
    let states = if filter.states.is_empty() { usual_states.to_vec() } else { filter.states };
    let state = (!states.is_empty()).then_some(States::Any(states));
    BatchFilter {
        state,
        conversation: filter.conversation,
        account: filter.account,
        ..BatchFilter::default()
    }
}

/// Carries out a verb with `--all`.
pub(super) async fn all(session: &mut Session, request: BatchRequest, yes: bool) -> Result<Exit, CtlError> {
    match act(session, request, yes).await {
        Ok(()) => Ok(Exit::Done),
        Err(CtlError::Client(error)) => session.report("--all", &error),
        Err(error) => Err(error),
    }
}

/// Acts, after a person on a terminal has seen how many messages that means.
pub(super) async fn act(session: &mut Session, request: BatchRequest, yes: bool) -> Result<(), CtlError> {
    // Where nobody can be asked, `--all` or a filter is the word itself.
    if session.input.is_terminal() && !yes && !request.dry_run {
        let count = BatchRequest { dry_run: true, ..request.clone() };
        let matched = session.client.batch(&count).await?.matched;
        note(&render::count_of(request.op, matched));
        if matched == 0 {
            return Ok(());
        }
        if !session.confirm("Go on?")? {
            note("Nothing was done.");
            return Ok(());
        }
    }
    let answer = session.client.batch(&request).await?;
    let text = |answer: &BatchAnswer| match request.dry_run {
        true => render::count_of(request.op, answer.matched),
        false => render::batched(request.op, answer),
    };
    Ok(session.output.answer(&answer, text)?)
}
