//! Bodies and paths of requests, read within limits and parsed with errors that name the field.
//!
//! Owns:  reading, parsing, and the words of these errors.
//! Never: knows what a field means, but for those that hold words for people.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use outbox::Outbox;
use outbox_control::types::{Problem, TooLarge};
use outbox_tim::mend;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Context;
use super::problem::{Refused, bad_request};
use super::room::{Room, Share, no_room};

/// Bytes that a body may have beside a message: field names, ids and an error's words.
const BODY_BESIDE_MESSAGE: usize = 64 * 1024;

/// Time for a whole body (not of many lines): a megabyte over a local socket takes milliseconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `max` bytes, which count in its share of the room.
pub(super) async fn read(body: Body, max: usize, share: &mut Share) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("the body has more than {max} bytes, the limit of this call");
        Problem::too_large(TooLarge::Body, detail)
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let read = async {
        let (mut body, mut bytes) = (body, Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| bad_request(format!("the body broke off: {error}")))?;
            let data = frame.into_data().unwrap_or_default();
            if bytes.len() + data.len() > max {
                return Err(too_large());
            }
            if !share.fits(bytes.len() + data.len()) {
                return Err(no_room());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(read) => read,
        Err(_) => Err(bad_request(format!("the body was not complete within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

/// Words for people, which may have halves of characters; `error` is a whole callback, of which only code and
/// words are read. Messages and data are kept as they are, and everything else is an id or has a form of its own.
#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    desc: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Parses JSON; nothing at all is `{}`. The error names the field and what is wrong with it.
///
/// Half of a character (see [`mend`]) is read as U+FFFD in words for people, stays as it is in raw values, and
/// is an error in everything else.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // The parser would not look at texts that nobody reads.
    if let Err(error) = std::str::from_utf8(bytes) {
        let detail = format!("the body is not JSON: after {} bytes it is not UTF-8", error.valid_up_to());
        return Err(bad_request(detail));
    }
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    if !bytes.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        return Err(bad_request("the body is not a JSON object"));
    }
    serde_json::from_slice(bytes).or_else(|error| match with_words_mended(bytes) {
        Some(copy) => serde_json::from_slice(&copy).map_err(|error| blame::<T>(&copy, &error)),
        None => Err(blame::<T>(bytes, &error)),
    })
}

/// A copy of a body in which all words for people are whole; `None` if they are so already.
fn with_words_mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let words: Words<'_> = serde_json::from_slice(bytes).ok()?;
    let mut copy = bytes.to_vec();
    let mut is_mended = false;
    for word in [words.desc, words.reason, words.error].into_iter().flatten() {
        let place = mend::place(bytes, word.get().as_bytes())?;
        is_mended |= mend::mend(copy.get_mut(place)?);
    }
    is_mended.then_some(copy)
}

/// Says what is wrong with a body: half of a character, if nothing else is.
fn blame<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let Some(whole) = mend::mended(bytes) else { return explain::<T>(bytes, error) };
    match serde_json::from_slice::<T>(&whole) {
        Err(error) => explain::<T>(&whole, &error),
        Ok(_) => {
            let path = path_to_error::<T>(bytes);
            let detail = format!(
                "`{path}` has half of a character, a JSON escape from \\ud800 to \\udfff without its other half"
            );
            bad_request(detail).with_field(path).with_hint(
                "Only a message, its data and words for people may have one; cut between characters.",
            )
        }
    }
}

/// Looks a second time, with the path of what is being read, which the usual case does not pay for.
fn path_to_error<T: DeserializeOwned>(bytes: &[u8]) -> String {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    }
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let path = path_to_error::<T>(bytes);
    if error.is_syntax() || error.is_eof() {
        return bad_request(format!("the body is not JSON: {error}"));
    }
    if path == "." {
        return bad_request(error.to_string());
    }
    bad_request(format!("`{path}`: {error}")).with_field(path)
}

/// Reads a body that has no message in it.
async fn read_short(body: Body) -> Result<Vec<u8>, Problem> {
    // It needs no more than what always has room.
    let mut share = Room::default().share(BODY_BESIDE_MESSAGE);
    read(body, BODY_BESIDE_MESSAGE, &mut share).await
}

/// A small JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let bytes = read_short(request.into_body()).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// A JSON body that may carry something as long as a message.
pub(super) struct LongJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Context>> for LongJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Refused> {
        let max = long_max(&context.outbox);
        let bytes = read(request.into_body(), max, &mut context.share()).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// Bytes of a body with a message in it.
pub(super) fn long_max(outbox: &Outbox) -> usize {
    let max = usize::try_from(outbox.config().max_message_bytes).unwrap_or(usize::MAX);
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
    use outbox_control::types::{LeaseRequest, ReasonBody, ResolveRequest, Settle, Submit};

    #[tokio::test(start_paused = true)]
    async fn a_body_has_thirty_seconds_in_all_however_slowly_it_comes() {
        use futures_util::stream;
        let began = tokio::time::Instant::now();
        let silent = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let dribble = Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(vec![b' ']), ()))
        }));
        for body in [silent, dribble] {
            let mut share = Room::default().share(1_000_000);
            let problem = super::read(body, 1_000_000, &mut share).await.unwrap_err();
            assert!(problem.detail.contains("30 s"), "{problem:?}");
        }
        assert_eq!(began.elapsed().as_secs(), 60, "thirty for each");
    }

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

    #[test]
    fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
        for body in [
            &b"{\"message\":{\"msgID\":\"m\xff\"}}"[..],
            b"{\"message\":{},\"error\":{\"code\":1,\"data\":{\"nobody reads this\":\"\xff\"}}}",
            b"{\"message\":{\"text\":\"\xed\xa0\x80\"}}",
            b"\xff",
        ] {
            let problem = parse::<Submit>(body).unwrap_err();
            assert!(problem.detail.contains("UTF-8"), "{problem:?}");
        }
    }

    fn read<T: DeserializeOwned>(text: &str) -> T {
        parse(text.as_bytes()).unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
    }

    #[test]
    fn half_a_character_in_words_for_people_is_a_replacement_character() {
        let message = r#"{ "text" : "\ud83d" }"#;
        let submit: Submit = read(&format!(
            r#"{{"msgID":"m","error":{{"code":1,"desc":"\ud83d","\ude00":"\ud83d","data":["\ude00"]}},"message":{message},"webMessageInstatnce":"\ude00"}}"#
        ));
        assert_eq!(submit.error.unwrap().desc, "\u{fffd}");
        assert_eq!(submit.message.get(), message);
        assert_eq!(submit.web_message_instatnce.unwrap().get(), r#""\ude00""#);
        let settle: Settle = read(r#"{"code":0,"data":{"msgID":"\ud83d"},"desc":"a\uD83D\ud83d\ude00"}"#);
        assert_eq!(settle.desc, "a\u{fffd}😀");
        assert_eq!(settle.data.unwrap().get(), r#"{"msgID":"\ud83d"}"#);
        let resolve: ResolveRequest = read(r#"{"desc":"\ude00","code":0,"data":{"a":"\ude00"}}"#);
        assert_eq!(resolve.desc.as_deref(), Some("\u{fffd}"));
        assert_eq!(resolve.data.unwrap().get(), r#"{"a":"\ude00"}"#);
        assert_eq!(read::<ReasonBody>(r#"{"reason":"\ud83d"}"#).reason.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn half_a_character_in_anything_else_is_refused_by_name() {
        for (text, field) in [
            (r#"{"message":{},"msgID":"a\ud83d"}"#, "msgID"),
            (r#"{"message":{},"account":"\ude00"}"#, "account"),
            (r#"{"message":{},"conversation":"\ud83d","error":{"code":1,"desc":"\ud83d"}}"#, "conversation"),
        ] {
            let problem = problem::<Submit>(text);
            assert_eq!(problem.field.as_deref(), Some(field), "{problem:?}");
            assert!(problem.detail.contains("half of a character"), "{problem:?}");
            assert!(problem.detail.contains("JSON"), "{problem:?}");
        }
        let name = problem::<Submit>(r#"{"message":{},"\ud83d":1}"#);
        assert!(name.detail.contains("unknown field"), "{name:?}");
        let form = problem::<Submit>(r#"{"message":{},"ttl":"\ud83d"}"#);
        assert_eq!(form.field.as_deref(), Some("ttl"), "{form:?}");
    }

    #[test]
    fn what_is_wrong_beside_half_a_character_is_said() {
        let unknown =
            problem::<Submit>(r#"{"message":{"a":"\ud83d"},"error":{"code":1,"desc":"\ud83d"},"msgid":"a"}"#);
        assert!(unknown.detail.contains("`msgid`"), "{unknown:?}");
        let wrong_type = problem::<Settle>(r#"{"desc":"\ud83d","code":"0"}"#);
        assert_eq!(wrong_type.field.as_deref(), Some("code"));
        let twice = problem::<Settle>(r#"{"code":0,"desc":"\ud83d","desc":"b"}"#);
        assert!(twice.detail.contains("desc"), "{twice:?}");
        let before = problem::<Submit>(r#"{"msgID":"\x","account":"\ud83d"}"#);
        assert!(before.detail.contains("not JSON") && !before.detail.contains("half"), "{before:?}");
        let broken = problem::<Settle>(r#"{"code":0,"desc":"\ud83d""#);
        assert!(broken.detail.contains("not JSON"), "{broken:?}");
    }
}
