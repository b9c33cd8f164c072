//! Transports: how an attempt reaches the messaging service, and what its answer means.
//!
//! Owns:  the seam between the engine and a service ([`Transport`]), and what an attempt is given.
//! Never: chooses what is attempted or when (the engine), records an outcome (the store).
//!
//! Only transports that push are behind the trait. With `transport.kind = "app"` the app asks for work and
//! reports over the control socket; there is nothing that the engine could call.

mod exchange;
pub mod http;
pub mod tim;
pub mod verdict;

pub use exchange::ClientError;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use outbox::{Report, SendToken};

/// One numbered try of one message.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The original's msgID.
    pub msg_id: String,
    /// The account that sends.
    pub account: String,
    /// The conversation.
    pub conversation: String,
    /// The attempt's number, from 1; it repeats after an attempt that did not count.
    pub attempt: u32,
    /// The message's order of acceptance.
    pub seq: u64,
    /// The send token, the same on every automatic attempt.
    pub send_token: SendToken,
    /// Whether only recipients that are online get it.
    pub online_user_only: bool,
    /// `webMessageInstatnce` as it was submitted: JSON text.
    pub web_message_instance: Option<Vec<u8>>,
    /// The message as it was submitted: JSON text, passed on byte for byte.
    pub message: Vec<u8>,
}

impl fmt::Debug for Attempt {
    /// Leaves the payload out: attempts stand in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("msg_id", &self.msg_id)
            .field("account", &self.account)
            .field("conversation", &self.conversation)
            .field("attempt", &self.attempt)
            .field("message_bytes", &self.message.len())
            .finish_non_exhaustive()
    }
}

/// When an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Now; it is counted as made.
    Now,
    /// After so long it may be asked for again.
    After(Duration),
}

/// A way to a messaging service that the engine can call.
pub trait Transport: Send + Sync {
    /// Its name in the configuration and in `status`.
    fn kind(&self) -> &'static str;

    /// Whether an attempt may be made now. A transport with a pace of its own, beyond that of its accounts,
    /// says when to ask again; nothing is under way meanwhile.
    fn turn(&self, attempt: &Attempt) -> Turn {
        let _ = attempt;
        Turn::Now
    }

    /// Makes one attempt. Always ends within the transport's own time-out, and never fails: every ending has
    /// an outcome. Dropping the future gives the attempt up; it may then have reached the service.
    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Report>;

    /// The network changed: no further attempt may use a connection of before, which may lead nowhere.
    fn forget_connections(&self) {}

    /// Host and port whose reachability tells whether an attempt makes sense, if there is one.
    fn probe_address(&self) -> Option<(String, u16)>;
}
