//! Every request and answer of the control socket, as plain data.
//!
//! Owns:  names and optionality of fields; which fields a request may have.
//! Never: checks limits or meaning: that is the daemon's part.
//!
//! Both sides use the same types. A request refuses fields that it does not know, by name; an answer that is
//! read ignores them, so that an older client understands a newer daemon. Messages are [`RawValue`]s: they stay
//! the bytes that they came as.

mod batch;
mod entry;
mod event;
mod health;
pub mod lease;
mod problem;
mod receipt;
mod state;
mod status;
mod submit;
mod verb;

use serde_json::value::RawValue;

pub use batch::{BatchAnswer, BatchFilter, BatchOp, BatchRequest, ReloadAnswer, States};
pub use entry::{AttemptRecord, Entry, LastError, MessagePage, Why};
pub use event::{EventData, EventGap};
pub use health::{Live, Ready};
pub use lease::{ExtendAnswer, ExtendRequest, Lease, LeasePage, LeaseRequest, Settle, SettleAnswer};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode, TooLarge, Unsupported};
pub use receipt::{Receipt, SentPage};
pub use state::{AttemptOutcome, ResolvedBy, State, UnknownState, WaitsFor};
pub use status::{
    Account, AccountState, CompactAnswer, Connectivity, ConnectivityRequest, Counts, FlushAnswer,
    FlushRequest, Link, LinkState, Pace, Paused, SpoolStatus, Status, TransportStatus,
};
pub use submit::{SendError, Submit, SubmitAnswer, Submitted};
pub use verb::{
    Callback, CancelAnswer, CancelOutcome, ReasonBody, ResendAnswer, ResendRequest, ResolveRequest,
};

/// Account of a message that names none.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A request gives the web message instance under both of its spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`webMessageInstatnce` and `webMessageInstance` are two spellings of one field: give only one of them"
)]
pub struct BothSpellings;

/// The one that is given of two spellings.
fn one_spelling<'a>(
    sdk: Option<&'a RawValue>,
    corrected: Option<&'a RawValue>,
) -> Result<Option<&'a RawValue>, BothSpellings> {
    match (sdk, corrected) {
        (Some(_), Some(_)) => Err(BothSpellings),
        (one, other) => Ok(one.or(other)),
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
