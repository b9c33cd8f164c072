//! Errors on the socket: RFC 9457 problems.
//!
//! Owns:  the codes, and the HTTP status, title and usual hint of each.
//! Never: knows which call went wrong (`detail` tells).

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::State;

/// Media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request makes no sense.
    BadRequest,
    /// Nothing has this id or path.
    NotFound,
    /// The msgID is known with another payload.
    Conflict,
    /// The entry's state does not allow it.
    WrongState,
    /// More bytes or lines than the limit.
    TooLarge,
    /// The outbox holds as much as it may.
    OutboxFull,
    /// The disk has too little room.
    DiskLow,
    /// The store cannot write.
    StoreUnhealthy,
    /// The daemon stops.
    ShuttingDown,
    /// This user may not do that.
    Denied,
    /// This method, media type or feature does not exist here.
    Unsupported,
    /// Too much at once.
    Busy,
}

/// What is not supported; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The path has no such method: 405.
    Method,
    /// The body is in a form that is not read: 415.
    MediaType,
    /// The transport or build cannot do it: 501.
    Feature,
}

/// What is too large; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// The body, or a line of it: 413.
    Body,
    /// The headers: 431.
    Headers,
}

impl ProblemCode {
    /// All codes.
    pub const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::NotFound,
        Self::Conflict,
        Self::WrongState,
        Self::TooLarge,
        Self::OutboxFull,
        Self::DiskLow,
        Self::StoreUnhealthy,
        Self::ShuttingDown,
        Self::Denied,
        Self::Unsupported,
        Self::Busy,
    ];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::WrongState => "wrong_state",
            Self::TooLarge => "too_large",
            Self::OutboxFull => "outbox_full",
            Self::DiskLow => "disk_low",
            Self::StoreUnhealthy => "store_unhealthy",
            Self::ShuttingDown => "shutting_down",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
        }
    }

    /// Its HTTP status; the usual one for the two codes that have several.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::WrongState => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::StoreUnhealthy | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutboxFull | Self::DiskLow => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// A few words for a person.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not understood",
            Self::NotFound => "Nothing has this name",
            Self::Conflict => "The msgID belongs to another message",
            Self::WrongState => "The message's state does not allow this",
            Self::TooLarge => "The request is too large",
            Self::OutboxFull => "The outbox is full",
            Self::DiskLow => "The disk is nearly full",
            Self::StoreUnhealthy => "The store cannot read or write",
            Self::ShuttingDown => "The daemon is stopping",
            Self::Denied => "This user may not do that",
            Self::Unsupported => "This is not supported",
            Self::Busy => "Too much at once",
        }
    }

    /// What usually helps.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::BadRequest => "Correct the request as the detail says.",
            Self::NotFound => "Check the spelling; receipts are kept only for a limited time.",
            Self::Conflict => "Give a changed message a new msgID.",
            Self::WrongState => "Look at the present state first; what can be done depends on it.",
            Self::TooLarge => "Send less at once, or raise the limit in the daemon's configuration.",
            Self::OutboxFull => "Keep the message and submit it later, or raise the spool's limits.",
            Self::DiskLow => "Keep the message, free some disk space, and submit it again.",
            Self::StoreUnhealthy => {
                "Whether this was taken may show only later: keep the message, and ask again under the same msgID. The daemon's \
                 log says what the disk answered."
            }
            Self::ShuttingDown => "Try again once the daemon is back.",
            Self::Denied => "Ask the administrator for a role in [control.roles].",
            Self::Unsupported => "The daemon's documentation lists what it can do.",
            Self::Busy => "Try again after the time in retryAfterMs.",
        }
    }

    /// How long to wait before the next try, in milliseconds, where nothing better is known. Only the codes
    /// whose status is 429, 503 or 507 have one.
    #[must_use]
    pub const fn retry_after_ms(self) -> Option<u64> {
        match self {
            Self::Busy => Some(1_000),
            Self::ShuttingDown => Some(5_000),
            // Nothing frees itself within seconds, and everybody who waits asks again.
            Self::StoreUnhealthy | Self::OutboxFull | Self::DiskLow => Some(30_000),
            _ => None,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An error as the socket answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[error("{title}: {detail}")]
pub struct Problem {
    /// Names the kind of problem as a URI.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind in a few words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind for programs.
    pub code: ProblemCode,
    /// What went wrong this time.
    #[serde(default)]
    pub detail: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: String,
    /// The message concerned.
    #[serde(rename = "msgID", default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// Its present state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Entries that a filter matched, where another number was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// The request's field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Number of the request's line, from 1; only in answers to many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Problem {
    /// A problem with the usual status, title, hint and delay of its code.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:outbox:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            code,
            detail: detail.into(),
            hint: code.hint().to_owned(),
            msg_id: None,
            state: None,
            retry_after_ms: code.retry_after_ms(),
            matched: None,
            field: None,
            line: None,
        }
    }

    /// An `unsupported` problem with the status of what is not supported.
    #[must_use]
    pub fn unsupported(what: Unsupported, detail: impl Into<String>) -> Self {
        let status = match what {
            Unsupported::Method => StatusCode::METHOD_NOT_ALLOWED,
            Unsupported::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Unsupported::Feature => StatusCode::NOT_IMPLEMENTED,
        };
        Self { status: status.as_u16(), ..Self::new(ProblemCode::Unsupported, detail) }
    }

    /// A `too_large` problem with the status of what is too large.
    #[must_use]
    pub fn too_large(what: TooLarge, detail: impl Into<String>) -> Self {
        let status = match what {
            TooLarge::Body => StatusCode::PAYLOAD_TOO_LARGE,
            TooLarge::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        };
        Self { status: status.as_u16(), ..Self::new(ProblemCode::TooLarge, detail) }
    }

    /// The same with another hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same about a message.
    #[must_use]
    pub fn with_msg_id(self, msg_id: impl Into<String>) -> Self {
        Self { msg_id: Some(msg_id.into()), ..self }
    }

    /// The same with the message's present state.
    #[must_use]
    pub fn with_state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
    }

    /// The same about a field of the request.
    #[must_use]
    pub fn with_field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// The same with another delay, in milliseconds.
    #[must_use]
    pub fn with_retry_after_ms(self, delay_ms: u64) -> Self {
        Self { retry_after_ms: Some(delay_ms), ..self }
    }

    /// Its HTTP status; 500 if the number is none.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The value of a `Retry-After` header: whole seconds, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_of_the_contract() {
        let statuses = ProblemCode::ALL.map(|code| (code.as_str(), code.status().as_u16()));
        let expected = [
            ("bad_request", 400),
            ("not_found", 404),
            ("conflict", 409),
            ("wrong_state", 409),
            ("too_large", 413),
            ("outbox_full", 507),
            ("disk_low", 507),
            ("store_unhealthy", 503),
            ("shutting_down", 503),
            ("denied", 403),
            ("unsupported", 501),
            ("busy", 429),
        ];
        assert_eq!(statuses, expected);
    }

    #[test]
    fn exactly_429_503_and_507_say_when_to_try_again() {
        for code in ProblemCode::ALL {
            let later = [429, 503, 507].contains(&code.status().as_u16());
            assert_eq!(Problem::new(code, "").retry_after_seconds().is_some(), later, "{code}");
        }
        assert_eq!(Problem::new(ProblemCode::Busy, "").with_retry_after_ms(1).retry_after_seconds(), Some(1));
        assert_eq!(
            Problem::new(ProblemCode::Busy, "").with_retry_after_ms(1001).retry_after_seconds(),
            Some(2)
        );
    }

    #[test]
    fn codes_with_several_statuses_take_the_one_of_what_is_wrong() {
        let status = |problem: Problem| problem.status_code().as_u16();
        assert_eq!(status(Problem::unsupported(Unsupported::Method, "")), 405);
        assert_eq!(status(Problem::unsupported(Unsupported::MediaType, "")), 415);
        assert_eq!(status(Problem::unsupported(Unsupported::Feature, "")), 501);
        assert_eq!(status(Problem::too_large(TooLarge::Body, "")), 413);
        assert_eq!(status(Problem::too_large(TooLarge::Headers, "")), 431);
    }

    #[test]
    fn a_problem_comes_back_as_it_was_written() {
        let problem = Problem::new(ProblemCode::WrongState, "it was cancelled")
            .with_msg_id("m")
            .with_state(State::Cancelled)
            .with_field("op")
            .with_hint("submit it anew");
        let text = serde_json::to_string(&problem).unwrap();
        let expected = concat!(
            r#"{"type":"urn:outbox:problem:wrong_state","title":"The message's state does not allow this","#,
            r#""status":409,"code":"wrong_state","detail":"it was cancelled","hint":"submit it anew","#,
            r#""msgID":"m","state":"cancelled","field":"op"}"#
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}
