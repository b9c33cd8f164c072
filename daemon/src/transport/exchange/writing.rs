//! The body of a request, and whether its writing has begun.
//!
//! Owns:  the mark between "nothing was written" and "it may have arrived".
//! Never: knows what the bytes say.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// A body that notes when the connection takes it.
///
/// The client asks a body for its bytes only once a connection stands and the head is ready to go out. A
/// body that was never asked has therefore not been sent, whatever the error says.
pub(in crate::transport) struct Writing {
    bytes: Option<Bytes>,
    state: Arc<AtomicU8>,
}

/// How far a request has come.
pub(in crate::transport) struct Progress(Arc<AtomicU8>);

/// The attempt is over; the connection must not send the request any more.
#[derive(Debug)]
pub(in crate::transport) struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the attempt was given up before it began")
    }
}

impl std::error::Error for GivenUp {}

impl Writing {
    pub(in crate::transport) fn new(bytes: Bytes) -> (Self, Progress) {
        let state = Arc::new(AtomicU8::new(WAITING));
        (Self { bytes: Some(bytes), state: Arc::clone(&state) }, Progress(state))
    }
}

impl Progress {
    /// Ends the request, and says whether its writing had begun. From then on it cannot begin: between a
    /// time-out and this call a connection might still take the body up.
    pub(in crate::transport) fn give_up_has_begun(&self) -> bool {
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
