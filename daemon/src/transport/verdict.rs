//! The verdict: what a service's answer means, as a report for the store.
//!
//! Owns:  the mapping of callbacks, result codes and HTTP answers to outcome, class, code and delay.
//! Never: does I/O, reads a clock, counts attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use outbox::{CODE_MAYBE_REACHED, CODE_NOT_REACHED, Class, Outcome, Replacement, Report};
use outbox_tim::{Proof, V2TimValueCallback, callback, codes, mend};
use serde::Deserialize;

/// Bytes of an answer's body that are read: several times the largest message that services take.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What result codes mean: the built-in table, with the configuration's `[classes]` in front of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    overrides: BTreeMap<i64, Class>,
}

/// A class that only the outbox itself gives was configured for a service's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "code {code} cannot be `{class}`: choose transient_network, transient_server, rate_limited, auth, \
     permanent_content, permanent_recipient, permanent_request, file_upload or unknown"
)]
pub struct NotAServiceClass {
    /// The code.
    pub code: i64,
    /// The class that was asked for.
    pub class: Class,
}

impl Classes {
    /// Puts overrides in front of the built-in table. One that says when to try again leaves it open whether
    /// the message has arrived; one that says that it never will be sent, or that the account is the reason,
    /// also says that it has not.
    ///
    /// # Errors
    ///
    /// Refuses `ok` (only a proof is a success) and the classes that only the outbox gives.
    pub fn new(overrides: BTreeMap<i64, Class>) -> Result<Self, NotAServiceClass> {
        match overrides.iter().find(|(_, class)| !is_of_services(**class)) {
            Some((&code, &class)) => Err(NotAServiceClass { code, class }),
            None => Ok(Self { overrides }),
        }
    }

    /// The class of a code, and the outcome of an attempt that ended with it.
    fn of(&self, code: i64) -> (Class, Outcome) {
        let built_in = || codes::class(code).as_str().parse().unwrap_or(Class::Unknown);
        let class = self.overrides.get(&code).copied().unwrap_or_else(built_in);
        match outcome_of(class) {
            Outcome::NotReached | Outcome::Retry if codes::may_have_arrived(code) => {
                (class, Outcome::MaybeReached)
            }
            outcome => (class, outcome),
        }
    }
}

/// The outcome of an attempt that ended with a code of this class.
const fn outcome_of(class: Class) -> Outcome {
    match class {
        Class::TransientNetwork => Outcome::NotReached,
        Class::RateLimited => Outcome::Limited,
        Class::Auth => Outcome::GateShut,
        Class::PermanentContent | Class::PermanentRecipient | Class::PermanentRequest => Outcome::Reject,
        Class::TransientServer
        | Class::FileUpload
        | Class::Unknown
        // No code of a service has one of these: see `Classes::new`.
        | Class::Ok
        | Class::Uncertain
        | Class::CrashLoop
        | Class::Expired
        | Class::Cancelled => Outcome::Retry,
    }
}

const fn is_of_services(class: Class) -> bool {
    !matches!(class, Class::Ok | Class::Uncertain | Class::CrashLoop | Class::Expired | Class::Cancelled)
}

/// Judges a callback: the answer of a service that knows no HTTP, or the body of one that does.
#[must_use]
pub fn judge_callback(classes: &Classes, callback: &V2TimValueCallback) -> Report {
    match callback.proof() {
        Proof::Sent { new_msg_id } => Report {
            outcome: Outcome::Sent,
            code: callback.code,
            desc: callback.desc.clone(),
            class: Class::Ok,
            retry_after: None,
            replacement: Some(Replacement { new_msg_id, data: data_bytes(callback) }),
        },
        Proof::ProvesNothing { reason } => {
            report(Outcome::ProvesNothing, Class::Unknown, callback.code, reason.to_string())
        }
        Proof::Dropped { reason } => {
            report(Outcome::Limited, Class::RateLimited, callback.code, reason.to_string())
        }
        Proof::Failed => {
            let (class, outcome) = classes.of(callback.code);
            let mut report = report(outcome, class, callback.code, callback.desc.clone());
            if matches!(outcome, Outcome::Limited | Outcome::Retry) {
                report.retry_after = codes::documented_wait(callback.code);
            }
            report
        }
    }
}

/// An answer over HTTP, as far as it came.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The text of `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// All of it.
    Whole(Vec<u8>),
    /// More than [`ANSWER_BYTES_MAX`]; not read to its end.
    TooLong,
    /// It broke off, or the time was over.
    Lost {
        /// What happened, in words.
        cause: String,
    },
}

impl HttpAnswer {
    fn callback(&self) -> Option<V2TimValueCallback> {
        match &self.body {
            AnswerBody::Whole(bytes) => callback::parse(bytes).ok(),
            AnswerBody::TooLong | AnswerBody::Lost { .. } => None,
        }
    }

    /// "HTTP 503 Service Unavailable".
    fn words(&self) -> String {
        match self.status.canonical_reason() {
            Some(reason) => format!("HTTP {} {reason}", self.status.as_u16()),
            None => format!("HTTP {}", self.status.as_u16()),
        }
    }

    /// A report whose outcome the status decides; code and words are the callback's, if it has any.
    fn by_status(&self, callback: Option<&V2TimValueCallback>, outcome: Outcome, class: Class) -> Report {
        let failure = callback.filter(|callback| callback.code != 0);
        let code = failure.map_or_else(|| i64::from(self.status.as_u16()), |callback| callback.code);
        let desc = failure.map(|callback| callback.desc.clone()).filter(|desc| !desc.is_empty());
        report(outcome, class, code, desc.unwrap_or_else(|| self.words()))
    }
}

/// Judges an answer over HTTP. `now_ms` is the wall clock in milliseconds since 1970, for a `Retry-After`
/// that is a date.
#[must_use]
pub fn judge_http(classes: &Classes, answer: &HttpAnswer, now_ms: i64) -> Report {
    judge_answer(classes, answer, answer.callback().as_ref(), now_ms)
}

/// Judges an answer over HTTP whose body was read already: `callback` is what it says, if it says anything.
#[must_use]
pub fn judge_answer(
    classes: &Classes,
    answer: &HttpAnswer,
    callback: Option<&V2TimValueCallback>,
    now_ms: i64,
) -> Report {
    let mut report = match answer.status.as_u16() {
        200..=299 => judge_success(classes, answer, callback),
        401 => answer.by_status(callback, Outcome::GateShut, Class::Auth),
        429 => {
            let mut limited = answer.by_status(callback, Outcome::Limited, Class::RateLimited);
            limited.retry_after = callback.and_then(|callback| codes::documented_wait(callback.code));
            limited
        }
        502 | 504 => answer.by_status(callback, Outcome::MaybeReached, Class::TransientServer),
        408 | 425 | 500..=599 => answer.by_status(callback, Outcome::Retry, Class::TransientServer),
        300..=399 => {
            let mut rejected = answer.by_status(None, Outcome::Reject, Class::PermanentRequest);
            rejected
                .desc
                .push_str(": not followed (only 307 and 308 to the same origin are, at most 5 times)");
            rejected
        }
        400..=499 => judge_refusal(classes, answer, callback),
        // A status outside the table, which no service should send.
        _ => answer.by_status(callback, Outcome::Retry, Class::Unknown),
    };
    if matches!(report.outcome, Outcome::Retry | Outcome::Limited | Outcome::MaybeReached)
        && let Some(wait) = answer.retry_after.as_ref().and_then(|text| retry_after(text, now_ms))
    {
        report.retry_after = Some(wait);
    }
    report
}

/// The row of 2xx.
fn judge_success(classes: &Classes, answer: &HttpAnswer, callback: Option<&V2TimValueCallback>) -> Report {
    if let Some(callback) = callback {
        return judge_callback(classes, callback);
    }
    let code = i64::from(answer.status.as_u16());
    match &answer.body {
        AnswerBody::Lost { cause } => {
            maybe_reached(format!("{}, but the body was lost: {cause}", answer.words()))
        }
        AnswerBody::Whole(_) => {
            let desc = format!("{}, but the body is no answer of this service", answer.words());
            report(Outcome::ProvesNothing, Class::Unknown, code, desc)
        }
        AnswerBody::TooLong => {
            let desc = format!("{}, but the body has over 4 MiB", answer.words());
            report(Outcome::ProvesNothing, Class::Unknown, code, desc)
        }
    }
}

/// The rows of 409, 403 and the other 4xx: the body decides.
fn judge_refusal(classes: &Classes, answer: &HttpAnswer, callback: Option<&V2TimValueCallback>) -> Report {
    if let AnswerBody::Lost { cause } = &answer.body {
        // The body might have said "duplicate", or a code that passes: a rejection would be a guess.
        return maybe_reached(format!("{}, but the body was lost: {cause}", answer.words()));
    }
    if answer.status == StatusCode::CONFLICT
        && let Some(duplicate) = callback.and_then(judge_duplicate)
    {
        return duplicate;
    }
    match callback {
        Some(callback) if callback.code != 0 => {
            let mut report = judge_callback(classes, callback);
            if report.desc.is_empty() {
                report.desc = answer.words();
            }
            report
        }
        _ => answer.by_status(None, Outcome::Reject, Class::PermanentRequest),
    }
}

/// "I already have it": as good as sent, whatever the code. `None` without a message in `data`.
fn judge_duplicate(callback: &V2TimValueCallback) -> Option<Report> {
    #[derive(Deserialize)]
    struct Ids {
        #[serde(rename = "msgID")]
        camel_case: Option<serde_json::Value>,
        #[serde(rename = "message_msg_id")]
        snake_case: Option<serde_json::Value>,
    }
    let data = callback.data.as_ref()?.get();
    // An array could be read as the struct, too.
    if !data.starts_with('{') {
        return None;
    }
    let ids: Ids = mend::parse(data.as_bytes()).ok()?;
    let new_msg_id = [ids.camel_case, ids.snake_case]
        .into_iter()
        .flatten()
        .find_map(|id| id.as_str().filter(|id| !id.is_empty()).map(str::to_owned));
    Some(Report {
        outcome: Outcome::Duplicate,
        // Not the callback's: to the app a receipt with any other code would be a failed send.
        code: 0,
        desc: callback.desc.clone(),
        class: Class::Ok,
        retry_after: None,
        replacement: Some(Replacement { new_msg_id, data: data.as_bytes().to_vec() }),
    })
}

/// The report of an attempt of which nothing was written to the service.
#[must_use]
pub fn not_reached(desc: String) -> Report {
    report(Outcome::NotReached, Class::TransientNetwork, CODE_NOT_REACHED, desc)
}

/// The report of an attempt whose answer was lost.
#[must_use]
pub fn maybe_reached(desc: String) -> Report {
    report(Outcome::MaybeReached, Class::TransientNetwork, CODE_MAYBE_REACHED, desc)
}

/// Reads `Retry-After`: seconds, or a date (one that has passed is 0). `None` for anything else.
fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is as long as it gets; the store shortens it anyway.
        return Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date_ms = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let wait_ms = i64::try_from(date_ms).ok()?.saturating_sub(now_ms).max(0);
    Some(Duration::from_millis(wait_ms.unsigned_abs()))
}

fn data_bytes(callback: &V2TimValueCallback) -> Vec<u8> {
    callback.data.as_ref().map(|data| data.get().as_bytes().to_vec()).unwrap_or_default()
}

const fn report(outcome: Outcome, class: Class, code: i64, desc: String) -> Report {
    Report { outcome, code, desc, class, retry_after: None, replacement: None }
}

#[cfg(test)]
mod tests;
