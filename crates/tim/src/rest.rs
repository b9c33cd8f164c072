//! The REST calls that send a message, as data: what to post for a message, and what the reply says.
//!
//! Owns:  the two calls (one person, a group), which messages they can carry, the mapping of both shapes.
//! Never: connects, signs (`usersig`), judges what a result code means for a retry (`codes`).
//!
//! ```
//! use outbox_tim::rest::{self, CallOptions, Command};
//!
//! let message = br#"{"userID": "lena", "sender": "bot", "elemType": 1, "textElem": {"text": "hi"}}"#;
//! let call = rest::call(message, &CallOptions { online_user_only: false, random: 7, seq: 1 })?;
//! assert_eq!(call.command, Command::SendMsg);
//! assert_eq!(
//!     String::from_utf8_lossy(&call.body),
//!     concat!(
//!         r#"{"SyncOtherMachine":1,"From_Account":"bot","To_Account":"lena","MsgSeq":1,"MsgRandom":7,"#,
//!         r#""MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}]}"#
//!     )
//! );
//! # Ok::<(), rest::CannotCarry>(())
//! ```
//!
//! A message goes to those whom it names and to nobody else: what cannot be read of its receiver, its sender or its
//! list of members is a [`CannotCarry`], never left out. What else of a message is not as REST has it goes out as
//! near to it as can be: counts rounded and not below 0, unreadable at-names and sizes of a picture left out, half
//! of a character as U+FFFD.
//!
//! Source: the vendor's REST documentation of 2023 and, where it is newer, of 2026.

mod body;
mod outgoing;
mod parts;
mod refusal;
mod reply;

pub use refusal::CannotCarry;
pub use reply::Reply;

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// To one person.
    SendMsg,
    /// To a group, or to some of its members.
    SendGroupMsg,
}

impl Command {
    /// The path of its address, without a slash at the start.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::SendMsg => "v4/openim/sendmsg",
            Self::SendGroupMsg => "v4/group_open_http_svc/send_group_msg",
        }
    }
}

/// What a call says besides the message. The same for each attempt, so that the service recognises a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOptions {
    /// Not to be kept for those who are offline.
    pub online_user_only: bool,
    /// `MsgRandom`, in groups `Random`: with the content, and to one person `seq`, it names the message for
    /// the service: 120 s long to one person, 5 minutes in a group.
    pub random: u32,
    /// `MsgSeq`: sorts the messages of one second in a conversation with one person. Groups have none.
    pub seq: u32,
}

/// What to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where to.
    pub command: Command,
    /// The group, if it is one: the service limits messages into each.
    pub group: Option<String>,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// Makes the call for a message in camelCase or in the C SDK's snake_case. The receiver is the one that
/// [`crate::message::inspect`] tells, by the same rule. Equal messages and options make equal bytes.
///
/// # Errors
/// [`CannotCarry`] says what REST has no way to send, and who can.
pub fn call(message: &[u8], options: &CallOptions) -> Result<Call, CannotCarry> {
    let outgoing = outgoing::read(message)?;
    Ok(body::call(outgoing, options))
}

#[cfg(test)]
mod tests;
