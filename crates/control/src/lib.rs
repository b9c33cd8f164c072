//! The control socket of the Outbox daemon: the types of every request and answer, and a client.
//!
//! Owns:  field names, codes and text forms of the socket's API; where the socket is by default.
//! Never: opens a spool, reads a clock, decides anything about a message.
//!
//! An app in Rust submits a failed message like this:
//!
//! ```no_run
//! use outbox_control::{Client, types::Submit};
//!
//! # async fn run(message: Box<serde_json::value::RawValue>) -> Result<(), outbox_control::ClientError> {
//! let client = Client::new("/run/outbox/outbox.sock");
//! let submitted = client.submit(&Submit::new(message)).await?;
//! println!("{} is on disk as number {}", submitted.msg_id, submitted.seq);
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod duration;
pub mod limits;
pub mod paths;
#[cfg(feature = "openapi")]
mod schema;
pub mod time;
pub mod types;

pub use client::{Client, ClientError};
pub use duration::{DurationError, DurationText, parse_duration, parse_duration_within};
pub use time::{Time, TimeError};
