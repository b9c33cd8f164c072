//! A line of an export: a submit object with its delivery record, or a receipt.
//!
//! Owns:  the names on such a line, and how a store's record becomes one.
//! Never: reads a line back (`unline` does), touches a spool.
//!
//! A line stays readable for as long as the format of spools is version 1: fields may be added, none is renamed.

use outbox::{Cause, Class, End, Entry, Phase, Receipt, Then, wall_of};
use outbox_control::types::{AttemptOutcome, AttemptRecord, State};
use outbox_control::{DurationText, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::server::show;

/// One message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    #[serde(rename = "msgID")]
    pub(super) msg_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) account: String,
    pub(super) conversation: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) online_user_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) web_message_instatnce: Option<Box<RawValue>>,
    /// Absent where none is kept: receipts, expired messages that were for those online alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<DurationText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Record>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<ReceiptLine>,
}

/// The delivery record of a message that is kept. What has a default may be missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) seq: u64,
    pub(super) token: String,
    pub(super) attempts: u32,
    pub(super) starts: u32,
    #[serde(default)]
    pub(super) history: Vec<AttemptRecord>,
    #[serde(default)]
    pub(super) unresolved_since: Option<Time>,
    pub(super) deadline: Time,
    #[serde(default)]
    pub(super) submitted_at: Option<Time>,
    #[serde(default)]
    pub(super) since: Option<Time>,
    #[serde(default)]
    pub(super) due: Option<Time>,
    #[serde(default)]
    pub(super) cause: Option<CauseName>,
    /// When a held one's clock stopped.
    #[serde(default)]
    pub(super) stopped_at: Option<Time>,
    #[serde(default)]
    pub(super) keep_until: Option<Time>,
    #[serde(default)]
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) last_error: Option<ErrorLine>,
    #[serde(default)]
    pub(super) possible_duplicate: bool,
    #[serde(default)]
    pub(super) cancel_requested: bool,
    /// Asked for during the attempt that is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) hold_requested: bool,
    #[serde(default)]
    pub(super) to_group: Option<bool>,
    #[serde(default)]
    pub(super) fingerprint: Option<String>,
    #[serde(default)]
    pub(super) interval_ms: u64,
    #[serde(default)]
    pub(super) deaths: u32,
    #[serde(default)]
    pub(super) tried: Option<TriedLine>,
    #[serde(default = "yes")]
    pub(super) in_lane: bool,
}

const fn yes() -> bool {
    true
}

/// Attempts that count towards limits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriedLine {
    pub(super) all: u32,
    pub(super) unknown: u32,
    pub(super) upload: u32,
}

/// The last failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorLine {
    pub(super) code: i64,
    pub(super) desc: String,
    pub(super) class: String,
    pub(super) at: Time,
}

/// A message that has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReceiptLine {
    pub(super) state: State,
    /// The event's sequence.
    pub(super) seq: u64,
    /// The order of acceptance.
    pub(super) entry_seq: u64,
    #[serde(rename = "newMsgID", default, skip_serializing_if = "Option::is_none")]
    pub(super) new_msg_id: Option<String>,
    pub(super) code: i64,
    pub(super) desc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Box<RawValue>>,
    pub(super) attempts: u32,
    #[serde(default)]
    pub(super) starts: u32,
    pub(super) submitted_at: Time,
    pub(super) ended_at: Time,
    #[serde(default)]
    pub(super) possible_duplicate: bool,
    #[serde(default)]
    pub(super) may_have_arrived: bool,
    #[serde(default)]
    pub(super) by_person: bool,
    #[serde(default)]
    pub(super) had_ended: bool,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) last_error: Option<ErrorLine>,
    #[serde(default)]
    pub(super) history: Vec<AttemptRecord>,
    #[serde(default)]
    pub(super) to_group: bool,
    pub(super) fingerprint: String,
    #[serde(default)]
    pub(super) bytes: u64,
}

/// Why a message waits until its due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum CauseName {
    Submitted,
    NotBefore,
    Backoff,
    NotReached,
    Limited,
    GateShut,
    Unresolved,
    Asked,
    TakenBack,
    Postponed,
    Paced,
    Suspect,
}

impl From<Cause> for CauseName {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Submitted => Self::Submitted,
            Cause::NotBefore => Self::NotBefore,
            Cause::Backoff => Self::Backoff,
            Cause::NotReached => Self::NotReached,
            Cause::Limited => Self::Limited,
            Cause::GateShut => Self::GateShut,
            Cause::Unresolved => Self::Unresolved,
            Cause::Asked => Self::Asked,
            Cause::TakenBack => Self::TakenBack,
            Cause::Postponed => Self::Postponed,
            Cause::Paced => Self::Paced,
            Cause::Suspect => Self::Suspect,
        }
    }
}

impl From<CauseName> for Cause {
    fn from(cause: CauseName) -> Self {
        match cause {
            CauseName::Submitted => Self::Submitted,
            CauseName::NotBefore => Self::NotBefore,
            CauseName::Backoff => Self::Backoff,
            CauseName::NotReached => Self::NotReached,
            CauseName::Limited => Self::Limited,
            CauseName::GateShut => Self::GateShut,
            CauseName::Unresolved => Self::Unresolved,
            CauseName::Asked => Self::Asked,
            CauseName::TakenBack => Self::TakenBack,
            CauseName::Postponed => Self::Postponed,
            CauseName::Paced => Self::Paced,
            CauseName::Suspect => Self::Suspect,
        }
    }
}

/// A moment of a schedule that stands on the wall clock.
fn moment(time: outbox::Timestamp) -> Time {
    show::time(wall_of(time))
}

fn raw(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    String::from_utf8(bytes).ok().and_then(|text| RawValue::from_string(text).ok())
}

fn error_line(error: &outbox::LastError) -> ErrorLine {
    let class = Class::from(error.class).as_str().to_owned();
    ErrorLine { code: error.code, desc: error.desc.clone(), class, at: show::time(error.at) }
}

fn history(attempts: &[outbox::AttemptRecord]) -> Vec<AttemptRecord> {
    let line = |attempt: &outbox::AttemptRecord| AttemptRecord {
        attempt: attempt.attempt,
        at: show::time(attempt.at),
        outcome: outcome(attempt.outcome.into()),
        code: attempt.code,
        desc: attempt.desc.clone(),
        took_ms: attempt.took_ms.unwrap_or(0),
    };
    attempts.iter().map(line).collect()
}

const fn outcome(outcome: outbox::Outcome) -> AttemptOutcome {
    show::outcome(outcome)
}

/// An entry as a line.
pub(super) fn of_entry(entry: &Entry, payload: Option<outbox::Payload>) -> Line {
    let Entry { identity, delivery, .. } = entry;
    let (message, web) = payload
        .map_or((None, None), |payload| (raw(payload.message), payload.web_message_instance.and_then(raw)));
    Line {
        msg_id: identity.msg_id.clone(),
        id: identity.id.clone(),
        account: identity.account.clone(),
        conversation: identity.conversation.clone(),
        online_user_only: identity.online_user_only,
        web_message_instatnce: web,
        message,
        ttl: Some(std::time::Duration::from_millis(entry.ttl_ms).into()),
        not_before: delivery.not_before.map(moment),
        record: Some(record(entry)),
        receipt: None,
    }
}

fn record(entry: &Entry) -> Record {
    let Entry { identity, delivery, .. } = entry;
    let plain = Record {
        state: State::Queued,
        seq: identity.seq,
        token: delivery.token.to_hex(),
        attempts: delivery.attempts,
        starts: delivery.starts,
        history: history(&entry.history),
        unresolved_since: delivery.unresolved.map(|unresolved| show::time(unresolved.at)),
        deadline: moment(delivery.deadline),
        submitted_at: Some(show::time(identity.submitted_at)),
        since: None,
        due: None,
        cause: None,
        stopped_at: None,
        keep_until: None,
        class: None,
        reason: None,
        last_error: entry.last_error.as_ref().map(error_line),
        possible_duplicate: delivery.possible_duplicate,
        cancel_requested: false,
        hold_requested: false,
        to_group: Some(identity.to_group),
        fingerprint: Some(hex(&identity.fingerprint)),
        interval_ms: delivery.interval_ms,
        deaths: delivery.deaths,
        tried: Some(TriedLine {
            all: delivery.tried.all,
            unknown: delivery.tried.unknown,
            upload: delivery.tried.upload,
        }),
        in_lane: delivery.in_lane,
    };
    match &delivery.phase {
        Phase::Waiting { due, cause, since } => Record {
            since: Some(show::time(*since)),
            due: Some(moment(*due)),
            cause: Some((*cause).into()),
            ..plain
        },
        Phase::Held { reason, since, stopped, due } => Record {
            state: State::Held,
            reason: reason.clone(),
            since: Some(show::time(*since)),
            stopped_at: Some(moment(*stopped)),
            due: Some(moment(*due)),
            ..plain
        },
        Phase::Sending { since, then, .. } => Record {
            state: State::Sending,
            since: Some(show::time(*since)),
            cancel_requested: matches!(then, Then::Cancel { .. }),
            hold_requested: matches!(then, Then::Hold { .. }),
            reason: match then {
                Then::Cancel { reason } | Then::Hold { reason } => reason.clone(),
                Then::GoOn => None,
            },
            ..plain
        },
        Phase::Uncertain { since } => {
            Record { state: State::Uncertain, since: Some(show::time(*since)), ..plain }
        }
        Phase::Failed { class, since, keep_until } => Record {
            state: State::Failed,
            class: Some(Class::from(*class).as_str().to_owned()),
            since: Some(show::time(*since)),
            keep_until: Some(moment(*keep_until)),
            ..plain
        },
        Phase::Expired { since, keep_until } => Record {
            state: State::Expired,
            since: Some(show::time(*since)),
            keep_until: Some(moment(*keep_until)),
            ..plain
        },
    }
}

/// A receipt as a line.
pub(super) fn of_receipt(receipt: &Receipt, data: Option<Vec<u8>>) -> Line {
    let identity = &receipt.identity;
    let (mut by_person, mut had_ended, mut reason, mut class) = (false, false, None, None);
    match &receipt.end {
        End::Sent { by_person: person, .. } => by_person = *person,
        End::Cancelled { reason: why, had_ended: ended } => (reason, had_ended) = (why.clone(), *ended),
        End::Failed { class: of } => class = Some(Class::from(*of).as_str().to_owned()),
        End::Expired => {}
    }
    Line {
        msg_id: identity.msg_id.clone(),
        id: identity.id.clone(),
        account: identity.account.clone(),
        conversation: identity.conversation.clone(),
        online_user_only: identity.online_user_only,
        web_message_instatnce: None,
        message: None,
        ttl: None,
        not_before: None,
        record: None,
        receipt: Some(ReceiptLine {
            state: show::state(receipt.state()),
            seq: receipt.seq,
            entry_seq: identity.seq,
            new_msg_id: receipt.new_msg_id().map(ToOwned::to_owned),
            code: receipt.code,
            desc: receipt.desc.clone(),
            data: data.and_then(raw),
            attempts: receipt.attempts,
            starts: receipt.starts,
            submitted_at: show::time(identity.submitted_at),
            ended_at: show::time(receipt.at),
            possible_duplicate: receipt.possible_duplicate,
            may_have_arrived: receipt.may_have_arrived,
            by_person,
            had_ended,
            reason,
            class,
            last_error: receipt.last_error.as_ref().map(error_line),
            history: history(&receipt.history),
            to_group: identity.to_group,
            fingerprint: hex(&identity.fingerprint),
            bytes: identity.payload_bytes,
        }),
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
