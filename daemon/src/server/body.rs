//! Bodies and paths of requests, read within limits and parsed with errors that name the field.
//!
//! Owns:  reading, parsing, and the words of these errors.
//! Never: knows what a field means.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use outbox_control::types::{Problem, TooLarge};
use serde::de::DeserializeOwned;

use super::Context;
use super::problem::{Refused, bad_request};

/// Bytes that a body may have beside a message: field names, ids and an error's words.
const BODY_BESIDE_MESSAGE: usize = 64 * 1024;

/// Time for a whole body (not of many lines): a megabyte over a local socket takes milliseconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `max` bytes.
pub(super) async fn read(body: Body, max: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("the body has more than {max} bytes, the limit of this call");
        Problem::too_large(TooLarge::Body, detail)
    };
    let read = Limited::new(body, max).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => Ok(bytes.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(bad_request(format!("the body was not complete within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

/// Parses JSON; nothing at all is `{}`. The error names the field and what is wrong with it.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    if !bytes.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        return Err(bad_request("the body is not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

/// Looks a second time, with the path of what is being read, which the usual case does not pay for.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    if error.is_syntax() || error.is_eof() {
        return bad_request(format!("the body is not JSON: {error}"));
    }
    if path == "." {
        return bad_request(error.to_string());
    }
    bad_request(format!("`{path}`: {error}")).with_field(path)
}

/// A small JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let bytes = read(request.into_body(), BODY_BESIDE_MESSAGE).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// A JSON body that may carry something as long as a message.
pub(super) struct LongJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Context>> for LongJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Refused> {
        let bytes = read(request.into_body(), long_max(context)).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// Bytes of a body with a message in it.
pub(super) fn long_max(context: &Context) -> usize {
    let max = usize::try_from(context.config.spool.max_message_bytes).unwrap_or(usize::MAX);
    max.saturating_add(BODY_BESIDE_MESSAGE)
}

/// An id in the path, percent-decoded.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(bad_request("the id in the path is not percent-encoded UTF-8").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbox_control::types::{LeaseRequest, Submit};

    fn problem<T: DeserializeOwned>(text: &str) -> Problem {
        match parse::<T>(text.as_bytes()) {
            Ok(_) => panic!("`{text}` was read"),
            Err(problem) => problem,
        }
    }

    #[test]
    fn errors_name_the_field() {
        let wrong_type = problem::<Submit>(r#"{"msgID": 5, "message": {}}"#);
        assert_eq!(wrong_type.field.as_deref(), Some("msgID"));
        assert!(wrong_type.detail.contains("expected a string"), "{}", wrong_type.detail);
        let unknown = problem::<Submit>(r#"{"message": {}, "msgid": "a"}"#);
        assert!(unknown.detail.contains("`msgid`"), "{}", unknown.detail);
        let missing = problem::<Submit>("");
        assert!(missing.detail.contains("`message`"), "{}", missing.detail);
        let bad = problem::<LeaseRequest>(r#"{"wait": "5 parsecs"}"#);
        assert_eq!(bad.field.as_deref(), Some("wait"));
    }

    #[test]
    fn what_is_not_json_or_no_object_is_said() {
        assert!(problem::<Submit>("{").detail.contains("not JSON"));
        assert!(problem::<Submit>("[1]").detail.contains("not a JSON object"));
        assert!(problem::<Submit>("\u{0}").detail.contains("not JSON"));
    }
}
