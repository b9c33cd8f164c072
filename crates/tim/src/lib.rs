//! Tencent IM as data: what its messages, callbacks and result codes say.
//!
//! - [`message`] reads from a `V2TimMessage`, in camelCase or in the C SDK's snake_case, what a submit needs:
//!   its ids, its conversation, and a fingerprint that recognises the same payload again.
//! - [`model`] is a `V2TimMessage` in camelCase, field by field, with all its elements; nothing that was read is
//!   lost when it is written again.
//! - [`callback`] reads a `V2TimValueCallback` and tells whether it proves that the message was sent.
//! - [`codes`] knows the result codes: a class for each, those after which the message may have arrived, and
//!   the waits that the vendor documents.
//! - [`mend`] reads texts that were cut in the middle of a character, which JSON allows and Unicode does not.
//!
//! ```
//! use outbox_tim::{Class, Proof, callback, codes, message};
//!
//! let failed = callback::parse(br#"{"code": 6012, "desc": "request timeout"}"#)?;
//! assert_eq!(failed.proof(), Proof::Failed);
//! assert_eq!(codes::class(failed.code), Class::TransientNetwork);
//! assert!(codes::may_have_arrived(failed.code));
//!
//! let inspected = message::inspect(br#"{"msgID": "144-17-9", "userID": "lena", "elemType": 1}"#)?;
//! assert_eq!(inspected.conversation.as_deref(), Some("c2c:lena"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Owns:  the vendor's names, shapes and numbers.
//! Never: reads or writes files, sockets or clocks; decides when to try again; knows the store.

pub mod c_shape;
pub mod callback;
pub mod codes;
pub mod convert;
mod envelope;
mod fields;
mod fingerprint;
mod json;
pub mod mend;
pub mod message;
pub mod model;
pub mod rest;
pub mod usersig;

pub use callback::{CallbackError, Proof, V2TimCallback, V2TimValueCallback};
pub use codes::{Class, ResultCode};
pub use message::{Inspected, MessageError};
pub use model::{ModelError, V2TimMessage};
