//! The body of a request: its JSON, and whether its writing has begun.
//!
//! Owns:  the bytes on the wire, the mark between "nothing was written" and "it may have arrived".
//! Never: parses the message or writes it anew: it is embedded as it was submitted.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::transport::Attempt;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Builds the body of a request. `message` and `webMessageInstatnce` stay byte for byte.
pub(super) fn request_body(attempt: &Attempt) -> Bytes {
    let instance = attempt.web_message_instance.as_deref().unwrap_or(b"null");
    let head = format!(
        r#"{{"msgID":{},"account":{},"conversation":{},"onlineUserOnly":{},"webMessageInstatnce":"#,
        quoted(&attempt.msg_id),
        quoted(&attempt.account),
        quoted(&attempt.conversation),
        attempt.online_user_only,
    );
    let middle = format!(r#","attempt":{},"message":"#, attempt.attempt);
    let parts: [&[u8]; 5] = [head.as_bytes(), instance, middle.as_bytes(), &attempt.message, b"}"];
    Bytes::from(parts.concat())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A body that notes when the connection takes it.
///
/// The client asks a body for its bytes only once a connection stands and the head is ready to go out. A
/// body that was never asked has therefore not been sent, whatever the error says.
pub(super) struct Writing {
    bytes: Option<Bytes>,
    state: Arc<AtomicU8>,
}

/// How far a request has come.
pub(super) struct Progress(Arc<AtomicU8>);

/// The attempt is over; the connection must not send the request any more.
#[derive(Debug)]
pub(super) struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the attempt was given up before it began")
    }
}

impl std::error::Error for GivenUp {}

impl Writing {
    pub(super) fn new(bytes: Bytes) -> (Self, Progress) {
        let state = Arc::new(AtomicU8::new(WAITING));
        (Self { bytes: Some(bytes), state: Arc::clone(&state) }, Progress(state))
    }
}

impl Progress {
    /// Ends the request, and says whether its writing had begun. From then on it cannot begin: between a
    /// time-out and this call a connection might still take the body up.
    pub(super) fn give_up_has_begun(&self) -> bool {
        self.0.swap(GIVEN_UP, Ordering::AcqRel) == BEGUN
    }
}

impl Body for Writing {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        match self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(_) => Poll::Ready(Some(Err(GivenUp))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            msg_id: "a\"b".into(),
            account: "default".into(),
            conversation: "c2c:é".into(),
            attempt: 3,
            send_token: "0".repeat(32),
            online_user_only: true,
            web_message_instance: Some(b" {\"x\" : 1.0} ".to_vec()),
            message: b"{ \"text\":  \"\\u00e9\" , \"unknown\":1e2}".to_vec(),
        }
    }

    #[test]
    fn the_body_has_exactly_the_fields_of_the_contract_and_the_message_as_it_came() {
        let body = request_body(&attempt());
        let expected = concat!(
            r#"{"msgID":"a\"b","account":"default","conversation":"c2c:é","onlineUserOnly":true,"#,
            "\"webMessageInstatnce\": {\"x\" : 1.0} ,\"attempt\":3,",
            "\"message\":{ \"text\":  \"\\u00e9\" , \"unknown\":1e2}}"
        );
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn without_a_web_instance_the_field_is_null() {
        let body = request_body(&Attempt { web_message_instance: None, ..attempt() });
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(value.as_object().unwrap().contains_key("webMessageInstatnce"));
        assert!(value["webMessageInstatnce"].is_null());
    }

    #[test]
    fn a_body_that_was_given_up_is_not_sent_any_more() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (mut writing, progress) = Writing::new(Bytes::from_static(b"x"));
        assert!(!progress.give_up_has_begun());
        assert!(matches!(Pin::new(&mut writing).poll_frame(&mut context), Poll::Ready(Some(Err(GivenUp)))));
        let (mut writing, progress) = Writing::new(Bytes::from_static(b"x"));
        assert!(matches!(Pin::new(&mut writing).poll_frame(&mut context), Poll::Ready(Some(Ok(_)))));
        assert!(progress.give_up_has_begun());
    }
}
