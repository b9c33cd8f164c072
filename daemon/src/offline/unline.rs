//! A line of an export, read back into the store's records.
//!
//! Owns:  what may be missing on a line, and what is taken in its place.
//! Never: touches a spool.

use outbox::{
    AttemptRecord, Class, Delivery, End, Entry, Identity, Kept, LastError, Outcome, Payload, Phase, Place,
    Receipt, SendToken, Then, Timestamp, Tried, Unresolved, WallTime,
};
use outbox_control::Time;
use outbox_control::types::{self, AttemptOutcome, State};
use outbox_tim::message;

use super::line::{ErrorLine, Line, ReceiptLine, Record};

/// What is wrong with a line, in words.
type Wrong = String;

/// Milliseconds of the wall clock in the place of spool time: the store moves them to its own.
fn moment(time: Time) -> Timestamp {
    Timestamp(time.as_ms().max(0).unsigned_abs())
}

const fn wall(time: Time) -> WallTime {
    WallTime(time.as_ms())
}

fn bytes_of<const N: usize>(field: &str, text: &str) -> Result<[u8; N], Wrong> {
    let wrong = || format!("`{field}` must be {} hexadecimal digits", N * 2);
    if text.len() != N * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(index * 2..index * 2 + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn class_of(text: &str) -> Result<Class, Wrong> {
    text.parse().map_err(|error: outbox::UnknownClass| error.to_string())
}

fn last_error(error: ErrorLine) -> Result<LastError, Wrong> {
    let class = class_of(&error.class)?.into();
    Ok(LastError { code: error.code, desc: error.desc, class, at: wall(error.at) })
}

fn history(attempts: Vec<types::AttemptRecord>) -> Vec<AttemptRecord> {
    let back = |attempt: types::AttemptRecord| AttemptRecord {
        attempt: attempt.attempt,
        at: wall(attempt.at),
        outcome: outcome(attempt.outcome).into(),
        code: attempt.code,
        desc: attempt.desc,
        took_ms: Some(attempt.took_ms),
    };
    attempts.into_iter().map(back).collect()
}

const fn outcome(outcome: AttemptOutcome) -> Outcome {
    match outcome {
        AttemptOutcome::Sent => Outcome::Sent,
        AttemptOutcome::Duplicate => Outcome::Duplicate,
        AttemptOutcome::NotReached => Outcome::NotReached,
        AttemptOutcome::MaybeReached => Outcome::MaybeReached,
        AttemptOutcome::Retry => Outcome::Retry,
        AttemptOutcome::Limited => Outcome::Limited,
        AttemptOutcome::GateShut => Outcome::GateShut,
        AttemptOutcome::Reject => Outcome::Reject,
    }
}

/// Reads the line of a message that is kept.
pub(super) fn entry(line: Line, record: Record) -> Result<(Entry, Option<Payload>), Wrong> {
    let payload = line.message.as_ref().map(|message| Payload {
        message: message.get().as_bytes().to_vec(),
        web_message_instance: line.web_message_instatnce.as_ref().map(|web| web.get().as_bytes().to_vec()),
    });
    // Whoever sends it must find in it what a submit would have looked for.
    let inspected = line.message.as_ref().map(|message| message::inspect(message.get().as_bytes()));
    let inspected = inspected.transpose().map_err(|error| error.to_string())?;
    let fingerprint = match (&record.fingerprint, inspected) {
        (Some(digits), _) => bytes_of::<32>("record.fingerprint", digits)?,
        (None, Some(inspected)) => inspected.fingerprint,
        (None, None) => return Err("a line without `message` needs `record.fingerprint`".into()),
    };
    let submitted = record.submitted_at.unwrap_or(record.deadline);
    let identity = Identity {
        to_group: record.to_group.unwrap_or_else(|| line.conversation.starts_with("group:")),
        msg_id: line.msg_id,
        id: line.id,
        lane: outbox::LaneKey::of(&line.account, &line.conversation),
        account: line.account,
        conversation: line.conversation,
        seq: record.seq,
        online_user_only: line.online_user_only,
        fingerprint,
        payload_bytes: 0,
        submitted_at: wall(submitted),
        submitted: moment(submitted),
    };
    let life_ms = moment(record.deadline).since_ms(moment(submitted));
    let ttl_ms = line.ttl.map_or(life_ms, |ttl| u64::try_from(ttl.get().as_millis()).unwrap_or(u64::MAX));
    let delivery = delivery(&record, line.not_before, submitted)?;
    let entry = Entry {
        identity,
        ttl_ms,
        payload: Place::Nowhere,
        delivery,
        last_error: record.last_error.map(last_error).transpose()?,
        history: history(record.history),
        settled: Vec::new(),
    };
    Ok((entry, payload))
}

fn delivery(record: &Record, not_before: Option<Time>, submitted: Time) -> Result<Delivery, Wrong> {
    let tried = record.tried.map_or_else(
        || Tried { all: record.attempts, ..Tried::default() },
        |tried| Tried { all: tried.all, unknown: tried.unknown, upload: tried.upload },
    );
    let unresolved = record.unresolved_since.map(|since| Unresolved {
        at: wall(since),
        since: moment(since),
        boot: outbox::BootId::default(),
        window_end: moment(since),
    });
    Ok(Delivery {
        phase: phase(record, submitted)?,
        in_lane: record.in_lane,
        attempts: record.attempts,
        starts: record.starts,
        deaths: record.deaths,
        tried,
        token: SendToken(bytes_of::<16>("record.token", &record.token)?),
        deadline: moment(record.deadline),
        not_before: not_before.map(moment),
        interval_ms: record.interval_ms,
        unresolved,
        possible_duplicate: record.possible_duplicate,
    })
}

fn phase(record: &Record, submitted: Time) -> Result<Phase, Wrong> {
    let since_time = record.since.unwrap_or(submitted);
    let since = wall(since_time);
    let due = moment(record.due.unwrap_or(since_time));
    Ok(match record.state {
        State::Queued | State::Deferred | State::Blocked => {
            Phase::Waiting { due, cause: record.cause.map_or(outbox::Cause::Submitted, Into::into), since }
        }
        State::Held => Phase::Held {
            reason: record.reason.clone(),
            since,
            stopped: moment(record.stopped_at.unwrap_or(since_time)),
            due,
        },
        State::Sending => Phase::Sending {
            attempt: record.attempts.saturating_add(1),
            since,
            started: moment(since_time),
            holder: outbox::Holder::Process,
            then: match (record.cancel_requested, record.hold_requested) {
                (true, _) => Then::Cancel { reason: record.reason.clone() },
                (false, true) => Then::Hold { reason: record.reason.clone() },
                (false, false) => Then::GoOn,
            },
        },
        State::Uncertain => Phase::Uncertain { since },
        State::Failed => Phase::Failed {
            class: class_of(record.class.as_deref().unwrap_or("unknown"))?.into(),
            since,
            keep_until: moment(record.keep_until.unwrap_or(record.deadline)),
        },
        State::Expired => {
            Phase::Expired { since, keep_until: moment(record.keep_until.unwrap_or(record.deadline)) }
        }
        State::Sent | State::Cancelled => {
            return Err(format!("a message that is {} has a `receipt`, not a `record`", record.state));
        }
    })
}

/// Reads the line of a message that has ended.
pub(super) fn receipt(line: Line, of: ReceiptLine) -> Result<(Receipt, Option<Vec<u8>>), Wrong> {
    let end = match of.state {
        State::Sent => End::Sent {
            new_msg_id: of.new_msg_id.unwrap_or_else(|| line.msg_id.clone()),
            by_person: of.by_person,
        },
        State::Cancelled => End::Cancelled { reason: of.reason, had_ended: of.had_ended },
        State::Failed => End::Failed { class: class_of(of.class.as_deref().unwrap_or("unknown"))?.into() },
        State::Expired => End::Expired,
        other => return Err(format!("a message that is {other} has a `record`, not a `receipt`")),
    };
    let identity = Identity {
        lane: outbox::LaneKey::of(&line.account, &line.conversation),
        msg_id: line.msg_id,
        id: line.id,
        account: line.account,
        conversation: line.conversation,
        seq: of.entry_seq,
        online_user_only: line.online_user_only,
        to_group: of.to_group,
        fingerprint: bytes_of::<32>("receipt.fingerprint", &of.fingerprint)?,
        payload_bytes: of.bytes,
        submitted_at: wall(of.submitted_at),
        submitted: moment(of.submitted_at),
    };
    let receipt = Receipt {
        identity,
        seq: of.seq,
        end,
        at: wall(of.ended_at),
        ended: moment(of.ended_at),
        attempts: of.attempts,
        starts: of.starts,
        possible_duplicate: of.possible_duplicate,
        may_have_arrived: of.may_have_arrived,
        code: of.code,
        desc: of.desc,
        data_bytes: 0,
        data: Kept::Nowhere,
        last_error: of.last_error.map(last_error).transpose()?,
        history: history(of.history),
        settled: Vec::new(),
    };
    Ok((receipt, of.data.map(|data| data.get().as_bytes().to_vec())))
}
