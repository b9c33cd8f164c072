//! `POST /v1/messages:batch`: the same for all messages that match a filter.
//!
//! Owns:  the set of messages that matched, the guard against another number of them, adding up.
//! Never: changes a message (the store does, a bounded part in each transaction), reads a payload.
//!
//! First all that match are noted, then each of them is changed if it still matches: what matches only later was
//! not meant. Between two parts everybody else gets their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use outbox::limits::BATCH_MAX;
use outbox::{Batch, Class, Filter};
use outbox_control::types::{BatchAnswer, BatchFilter, BatchOp, BatchRequest, Problem, ProblemCode, States};

use super::Context;
use super::body::Json;
use super::messages::{entry_state, json, reading};
use super::problem::{Answer, bad_request, shutting_down};

/// `POST /v1/messages:batch`.
pub(super) async fn batch(
    State(context): State<Arc<Context>>,
    Json(body): Json<BatchRequest>,
) -> Answer<Response> {
    let filter = filter_of(&context, &body.filter)?;
    let Ok(_seat) = context.batches.acquire().await else { return Err(shutting_down()) };
    let matched = matching(&context, &filter).await?;
    if let Some(expected) = body.expect_count.filter(|expected| *expected != matched.count) {
        return Err(another_number(expected, matched.count).into());
    }
    let mut answer = BatchAnswer { matched: matched.count, ..BatchAnswer::default() };
    if !body.dry_run {
        act(&context, &body, &filter, &matched, &mut answer).await?;
    }
    Ok(json(&answer))
}

fn filter_of(context: &Context, filter: &BatchFilter) -> Answer<Filter> {
    let states = filter.state.as_ref().map(States::as_slice).unwrap_or_default();
    if filter.state.is_some() && states.is_empty() {
        let problem = bad_request("`filter.state` names no state").with_field("filter.state");
        return Err(problem.with_hint("Leave it out to act on messages in any state.").into());
    }
    let now = context.outbox.now().time;
    Ok(Filter {
        states: states.iter().map(|state| entry_state(*state)).collect::<Result<_, _>>()?,
        account: filter.account.clone(),
        conversation: filter.conversation.clone(),
        class: filter.class.as_deref().map(class_of).transpose()?,
        submitted_before: filter.older_than.map(|age| now.minus(age.get())),
    })
}

fn class_of(text: &str) -> Answer<Class> {
    text.parse().map_err(|_| {
        let names: Vec<_> = Class::ALL.into_iter().map(Class::as_str).collect();
        let problem = bad_request(format!("`filter.class` cannot be `{text}`")).with_field("filter.class");
        problem.with_hint(format!("It is one of: {}.", names.join(", "))).into()
    })
}

fn another_number(expected: u64, matched: u64) -> Problem {
    let detail = format!("{matched} messages match, not {expected}: nothing was done");
    Problem {
        title: "Another number of messages matches".to_owned(),
        matched: Some(matched),
        ..Problem::new(ProblemCode::WrongState, detail)
    }
    .with_field("expectCount")
    .with_hint("Look at them (`dryRun` counts them), and state the number anew.")
}

/// Notes all messages that match now.
async fn matching(context: &Arc<Context>, filter: &Filter) -> Answer<Seqs> {
    let mut seqs = Seqs::default();
    let mut from = Some(0);
    while let Some(at) = from {
        let (outbox, filter) = (context.outbox.clone(), filter.clone());
        let part = reading(move || outbox.matching(&filter, at)).await?;
        part.seqs.into_iter().for_each(|seq| seqs.push(seq));
        from = part.next;
    }
    Ok(seqs)
}

/// Does it to all that were noted, one part after the other.
async fn act(
    context: &Arc<Context>,
    body: &BatchRequest,
    filter: &Filter,
    matched: &Seqs,
    answer: &mut BatchAnswer,
) -> Answer<()> {
    let op = match body.op {
        BatchOp::Resend => outbox::BatchOp::Resend,
        BatchOp::Hold => outbox::BatchOp::Hold,
        BatchOp::Release => outbox::BatchOp::Release,
        BatchOp::Cancel => outbox::BatchOp::Cancel,
    };
    let mut all = matched.iter();
    loop {
        let mut seqs: VecDeque<u64> = all.by_ref().take(BATCH_MAX).collect();
        if seqs.is_empty() {
            return Ok(());
        }
        while !seqs.is_empty() {
            let part = Batch { op, reason: body.reason.clone(), seqs, filter: filter.clone() };
            let batched = context.outbox.batch(part).await?;
            answer.done += batched.done;
            answer.pending += batched.pending;
            answer.skipped += batched.skipped;
            seqs = batched.left;
        }
    }
}

/// Rising numbers, each as the distance from the one before: a byte or two for each in a long backlog.
#[derive(Debug, Default)]
struct Seqs {
    bytes: Vec<u8>,
    last: u64,
    count: u64,
}

impl Seqs {
    /// Adds a number that is greater than the last one, or the first.
    fn push(&mut self, seq: u64) {
        let mut rest = seq.saturating_sub(self.last);
        while rest >= 0x80 {
            self.bytes.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
        self.last = seq;
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let mut bytes = self.bytes.iter();
        let mut last = 0;
        std::iter::from_fn(move || {
            let mut step = 0;
            let mut shift = 0;
            loop {
                let byte = bytes.next()?;
                step |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            last += step;
            Some(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were_noted() {
        let noted = [0, 1, 2, 130, 131, 16_500, 1 << 40, u64::MAX];
        let mut seqs = Seqs::default();
        noted.into_iter().for_each(|seq| seqs.push(seq));
        assert_eq!((seqs.count, seqs.iter().collect::<Vec<_>>()), (8, noted.to_vec()));
        let mut dense = Seqs::default();
        (1..=100_000).for_each(|seq| dense.push(seq));
        assert_eq!(dense.bytes.len(), 100_000);
    }
}
