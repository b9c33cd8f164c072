//! What the store says, in the words of the socket.
//!
//! Owns:  the conversion of the store's types to those of the API.
//! Never: reads the store.

use outbox::{Class, End, EntryView, Gate, Identity, Moment, Phase, Receipt, Timestamp, WallTime};
use outbox_control::Time;
use outbox_control::types;
use outbox_control::types::{AttemptOutcome, ResolvedBy};

use super::explain::{Whose, explain};
use crate::config::TransportKind;
use crate::engine::View;

/// A moment for people.
pub(crate) fn time(wall: WallTime) -> Time {
    Time::from_ms(wall.0)
}

/// A moment of the schedule for people.
pub(super) fn scheduled(now: Moment, at: Timestamp) -> Time {
    time(now.wall_of(at))
}

/// A state.
pub(crate) const fn state(state: outbox::State) -> types::State {
    match state {
        outbox::State::Queued => types::State::Queued,
        outbox::State::Deferred => types::State::Deferred,
        outbox::State::Blocked => types::State::Blocked,
        outbox::State::Held => types::State::Held,
        outbox::State::Sending => types::State::Sending,
        outbox::State::Uncertain => types::State::Uncertain,
        outbox::State::Failed => types::State::Failed,
        outbox::State::Expired => types::State::Expired,
        outbox::State::Cancelled => types::State::Cancelled,
        outbox::State::Sent => types::State::Sent,
    }
}

/// A state of the API as the store's.
pub(super) const fn state_of(state: types::State) -> outbox::State {
    match state {
        types::State::Queued => outbox::State::Queued,
        types::State::Deferred => outbox::State::Deferred,
        types::State::Blocked => outbox::State::Blocked,
        types::State::Held => outbox::State::Held,
        types::State::Sending => outbox::State::Sending,
        types::State::Uncertain => outbox::State::Uncertain,
        types::State::Failed => outbox::State::Failed,
        types::State::Expired => outbox::State::Expired,
        types::State::Cancelled => outbox::State::Cancelled,
        types::State::Sent => outbox::State::Sent,
    }
}

/// An outcome.
pub(crate) const fn outcome(outcome: outbox::Outcome) -> AttemptOutcome {
    match outcome {
        outbox::Outcome::Sent => AttemptOutcome::Sent,
        outbox::Outcome::Duplicate => AttemptOutcome::Duplicate,
        outbox::Outcome::NotReached => AttemptOutcome::NotReached,
        // To a reader the difference is in the state that follows.
        outbox::Outcome::MaybeReached | outbox::Outcome::ProvesNothing => AttemptOutcome::MaybeReached,
        outbox::Outcome::Retry => AttemptOutcome::Retry,
        outbox::Outcome::Limited => AttemptOutcome::Limited,
        outbox::Outcome::GateShut => AttemptOutcome::GateShut,
        outbox::Outcome::Reject => AttemptOutcome::Reject,
    }
}

/// A failure, with its code in words.
pub(super) fn last_error(error: &outbox::LastError, whose: Whose<'_>) -> types::LastError {
    let class = Class::from(error.class);
    let words = explain(error.code, class, whose);
    types::LastError {
        code: error.code,
        desc: error.desc.clone(),
        class: class.as_str().to_owned(),
        at: time(error.at),
        name: words.name,
        meaning: words.meaning,
        cure: Some(words.cure),
    }
}

fn history(attempts: &[outbox::AttemptRecord]) -> Vec<types::AttemptRecord> {
    let show = |attempt: &outbox::AttemptRecord| types::AttemptRecord {
        attempt: attempt.attempt,
        at: time(attempt.at),
        outcome: outcome(attempt.outcome.into()),
        code: attempt.code,
        desc: attempt.desc.clone(),
        took_ms: attempt.took_ms.unwrap_or(0),
    };
    attempts.iter().map(show).collect()
}

/// What an entry and a receipt have in common.
fn base(identity: &Identity, state: types::State) -> types::Entry {
    types::Entry {
        msg_id: identity.msg_id.clone(),
        id: identity.id.clone(),
        account: identity.account.clone(),
        conversation: identity.conversation.clone(),
        seq: identity.seq,
        state,
        online_user_only: identity.online_user_only,
        attempts: 0,
        starts: 0,
        blocked_by: None,
        submitted_at: time(identity.submitted_at),
        not_before: None,
        next_attempt_at: None,
        expires_at: None,
        bytes: identity.payload_bytes,
        last_error: None,
        history: Vec::new(),
        new_msg_id: None,
        sent_at: None,
        possible_duplicate: false,
        unresolved_since: None,
        cancel_requested: false,
        may_have_arrived: false,
        resolved_by: None,
        reason: None,
    }
}

/// An entry. `next_attempt_at` is what the engine knows of it.
pub(super) fn entry(
    view: &EntryView,
    now: Moment,
    next_attempt_at: Option<Time>,
    transport: TransportKind,
) -> types::Entry {
    let outbox::Entry { identity, delivery, .. } = &view.entry;
    let whose = Whose { account: &identity.account, transport };
    let has_deadline =
        !matches!(delivery.phase, Phase::Held { .. } | Phase::Failed { .. } | Phase::Expired { .. });
    types::Entry {
        attempts: delivery.attempts,
        starts: delivery.starts,
        blocked_by: view.blocked_by.clone(),
        not_before: delivery.not_before.map(|at| scheduled(now, at)),
        next_attempt_at,
        expires_at: has_deadline.then(|| scheduled(now, delivery.deadline)),
        last_error: view.entry.last_error.as_ref().map(|error| last_error(error, whose)),
        history: history(&view.entry.history),
        possible_duplicate: delivery.possible_duplicate,
        unresolved_since: delivery.unresolved.map(|unresolved| time(unresolved.at)),
        cancel_requested: matches!(delivery.phase, Phase::Sending { then: outbox::Then::Cancel { .. }, .. }),
        may_have_arrived: delivery.has_ended() && delivery.unresolved.is_some(),
        reason: match &delivery.phase {
            Phase::Held { reason, .. } => reason.clone(),
            _ => None,
        },
        ..base(identity, state(view.state))
    }
}

/// An entry that has become a receipt.
pub(super) fn ended(receipt: &Receipt, transport: TransportKind) -> types::Entry {
    let whose = Whose { account: &receipt.identity.account, transport };
    types::Entry {
        attempts: receipt.attempts,
        starts: receipt.starts,
        last_error: receipt.last_error.as_ref().map(|error| last_error(error, whose)),
        history: history(&receipt.history),
        new_msg_id: receipt.new_msg_id().map(ToOwned::to_owned),
        sent_at: sent_at(receipt),
        possible_duplicate: receipt.possible_duplicate,
        may_have_arrived: receipt.may_have_arrived,
        resolved_by: resolved_by(receipt),
        reason: reason(receipt),
        ..base(&receipt.identity, state(receipt.state()))
    }
}

/// Why a receipt comes without its replacement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It does not, or there is none, or it is not for this client.
    No,
    /// It was given up.
    Dropped,
    /// Its file cannot be read.
    Damaged,
}

/// A receipt, with its replacement if the client may have it and it is still kept.
pub(super) fn receipt(
    receipt: &Receipt,
    data: Option<Box<serde_json::value::RawValue>>,
    missing: Missing,
) -> types::Receipt {
    types::Receipt {
        seq: receipt.seq,
        msg_id: receipt.identity.msg_id.clone(),
        new_msg_id: receipt.new_msg_id().map(ToOwned::to_owned),
        state: state(receipt.state()),
        account: Some(receipt.identity.account.clone()),
        conversation: Some(receipt.identity.conversation.clone()),
        code: receipt.code,
        desc: receipt.desc.clone(),
        data,
        data_dropped: missing == Missing::Dropped,
        data_damaged: missing == Missing::Damaged,
        attempts: receipt.attempts,
        submitted_at: time(receipt.identity.submitted_at),
        sent_at: sent_at(receipt),
        ended_at: Some(time(receipt.at)),
        possible_duplicate: receipt.possible_duplicate,
        may_have_arrived: receipt.may_have_arrived,
        resolved_by: resolved_by(receipt),
        reason: reason(receipt),
    }
}

fn sent_at(receipt: &Receipt) -> Option<Time> {
    matches!(receipt.end, End::Sent { .. }).then(|| time(receipt.at))
}

fn resolved_by(receipt: &Receipt) -> Option<ResolvedBy> {
    matches!(receipt.end, End::Sent { by_person: true, .. }).then_some(ResolvedBy::Person)
}

fn reason(receipt: &Receipt) -> Option<String> {
    match &receipt.end {
        End::Cancelled { reason, .. } => reason.clone(),
        _ => None,
    }
}

/// An account.
pub(super) fn account(
    account: &outbox::Account,
    now: Moment,
    started_at: WallTime,
    transport: TransportKind,
) -> types::Account {
    let open = types::Account {
        account: account.name.clone(),
        state: types::AccountState::Open,
        since: time(started_at),
        reason: None,
        code: None,
        hint: None,
        until: None,
    };
    match &account.gate {
        Gate::Limited { since, until, .. } if *until > now.time => types::Account {
            state: types::AccountState::Limited,
            since: time(*since),
            until: Some(scheduled(now, *until)),
            ..open
        },
        Gate::Paused { reason, code, since, .. } => types::Account {
            state: types::AccountState::Paused,
            since: time(*since),
            reason: Some(reason.clone()),
            code: *code,
            hint: Some(gate_cure(*code, Whose { account: &account.name, transport })),
            ..open
        },
        Gate::Open | Gate::Limited { .. } => open,
    }
}

/// What opens a paused account again.
pub(super) fn gate_cure(code: Option<i64>, whose: Whose<'_>) -> String {
    match code {
        Some(code) => explain(code, Class::Auth, whose).cure,
        None => format!("once its session is fine: `outboxctl account resume {}`", whose.account),
    }
}

/// A gate as it was when it changed.
pub(super) const fn gate(gate: &Gate) -> types::AccountState {
    match gate {
        Gate::Open => types::AccountState::Open,
        Gate::Limited { .. } => types::AccountState::Limited,
        Gate::Paused { .. } => types::AccountState::Paused,
    }
}

/// The link.
pub(super) fn link(view: &View) -> types::Link {
    types::Link {
        state: match view.link {
            crate::engine::LinkState::Up => types::LinkState::Up,
            crate::engine::LinkState::Down => types::LinkState::Down,
            crate::engine::LinkState::Unknown => types::LinkState::Unknown,
        },
        since: time(view.link_since),
        source: view.link_source.as_str().to_owned(),
    }
}
