//! Problems: every error of the socket becomes one.
//!
//! Owns:  the mapping of the store's errors, unknown paths and methods.
//! Never: invents a code that the contract lacks.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Uri};
use outbox::Error;
use outbox_control::types::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode, TooLarge, Unsupported};

use super::show;

/// A problem as an answer.
pub(super) struct Refused(pub(super) Problem);

/// What a call answers.
pub(super) type Answer<T> = Result<T, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = problem.status_code();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(of_store(&error))
    }
}

/// The problem that an error of the store is.
pub(super) fn of_store(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound { id } => Problem::new(ProblemCode::NotFound, detail).with_msg_id(id.as_str()),
        Error::Conflict { msg_id, state } => Problem::new(ProblemCode::Conflict, detail)
            .with_msg_id(msg_id.as_str())
            .with_state(show::state(*state)),
        Error::WrongState { msg_id, state, .. } => Problem::new(ProblemCode::WrongState, detail)
            .with_msg_id(msg_id.as_str())
            .with_state(show::state(*state)),
        Error::BadId { field } => Problem::new(ProblemCode::BadRequest, detail).with_field(*field),
        Error::BadTtl => Problem::new(ProblemCode::BadRequest, detail).with_field("ttl"),
        Error::NoLease { .. } => Problem::new(ProblemCode::NotFound, detail)
            .with_hint("Use the text in `lease` of POST /v1/leases as it is."),
        Error::TooLarge { .. } => Problem::too_large(TooLarge::Body, detail)
            .with_field("message")
            .with_hint("Send less, or raise spool.max_message_bytes in the configuration."),
        Error::Full { .. } => Problem::new(ProblemCode::OutboxFull, detail),
        Error::DiskLow { .. } => Problem::new(ProblemCode::DiskLow, detail),
        // The engine says once that the store has failed; each of these stands for itself.
        Error::BadRecord { .. } => {
            tracing::error!(error = detail, "A record cannot be read.");
            Problem::new(ProblemCode::StoreUnhealthy, detail).with_hint(
                "Only this cannot be read, the rest goes on; `outboxd fsck` names all that cannot.",
            )
        }
        Error::Unavailable { .. } => {
            tracing::error!(error = detail, "The store could not do what was asked of it.");
            Problem::new(ProblemCode::StoreUnhealthy, detail)
        }
        Error::Unreadable { .. } => {
            tracing::error!(error = detail, "A part of the store cannot be read.");
            Problem::new(ProblemCode::StoreUnhealthy, detail)
                .with_hint("The rest can be read; the next start of outboxd makes the store anew of that.")
        }
        Error::Unhealthy { .. } => Problem::new(ProblemCode::StoreUnhealthy, detail),
        Error::Closed => Problem::new(ProblemCode::ShuttingDown, "the daemon is stopping"),
    }
}

/// A request that makes no sense.
pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::BadRequest, detail)
}

/// The client closed the connection before its answer, which nobody will read.
pub(super) fn hung_up() -> Refused {
    bad_request("the connection was closed before its answer").into()
}

/// The daemon stops.
pub(super) fn shutting_down() -> Refused {
    Refused(Problem::new(ProblemCode::ShuttingDown, "the daemon is stopping"))
}

/// One connection too many.
pub(super) fn too_many_connections(max: usize) -> Problem {
    Problem::new(ProblemCode::Busy, format!("there are {max} connections, the most there may be"))
        .with_hint("Close connections that are not used, and try again.")
}

/// The answer for paths that are not in the table.
pub(super) async fn no_such_path(uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(200).collect();
    let problem = Problem::new(ProblemCode::NotFound, format!("there is no `{path}` here"));
    Refused(problem.with_hint("Paths begin with /v1; an id in a path is percent-encoded (`/` is %2F)."))
}

/// The answer for methods that a path does not have.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("`{path}` has no method {method}");
    Refused(
        Problem::unsupported(Unsupported::Method, detail).with_hint("The header `allow` names its methods."),
    )
}
