//! An embedded, crash-safe outbox: failed messages wait on disk, keyed by msgID, until they are resent.
//!
//! Owns:  the spool: what is accepted, in which order it goes, what became of it.
//! Never: opens a socket, sets up a log, needs an async runtime, knows a messaging service.
//!
//! [`Outbox`] is the store and its verbs. Each verb is one transaction and durable when its answer is
//! there: `submit` accepts a failed message, `lease` gives out the right to attempt the ones that are due,
//! `settle` records how an attempt ended, and a success turns the original into its receipt in place. The
//! daemon `outboxd` is built on this crate; an app that wants no daemon uses it alone. It needs no async
//! runtime: a [`Ticket`] can be waited for or awaited.
//!
//! ```no_run
//! use outbox::{Config, LeaseRequest, Outbox, Submit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let outbox = Outbox::open(Config::new("/var/lib/my-app/outbox"))?;
//! outbox
//!     .submit(Submit {
//!         msg_id: "144115-1731500001-29".into(),
//!         account: "default".into(),
//!         conversation: "c2c:ferry_desk".into(),
//!         message: br#"{"textElem":{"text":"Gate 4 is open"}}"#.to_vec(),
//!         ..Submit::default()
//!     })
//!     .wait()?;
//! let due = outbox.lease(LeaseRequest { max: 8, ..LeaseRequest::default() }).wait()?;
//! # let _ = due; Ok(()) }
//! ```
//!
//! Where to read on: `lifecycle` is the whole life of an entry as one function, `keys` the layout of the
//! store, `writer` how a group becomes durable.

mod anew;
mod at_hand;
mod chance;
mod clock;
mod config;
#[doc(hidden)]
pub mod crash;
mod damaged_files;
mod disk;
mod drive;
mod engine;
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use engine::failpoints;
mod entry;
mod error;
mod events;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod keys;
mod lanes;
mod layout;
mod leaf;
mod leaves;
mod lifecycle;
pub mod limits;
mod list;
mod lock;
mod looker;
mod mend;
mod merges;
mod names;
mod notice;
mod numbers;
mod offline;
mod open;
mod outbox;
mod outcome;
mod quarantine;
mod queue;
mod record;
mod reserve;
mod retry;
mod rewrite;
mod salvage;
mod seal;
mod segment;
mod shared;
mod spool;
mod state;
mod stuck;
mod total;
mod tx;
mod unsaid;
mod verbs;
mod verify;
mod view;
mod watch;
mod writer;

pub use chance::{Chance, SystemChance, roll};
pub use clock::{BootId, Clock, ClockMark, Moment, Reading, SpoolClock, SystemClock, Timestamp, WallTime};
pub use config::{Committer, Config, Observer, Order};
pub use entry::{
    Account, AttemptRecord, Cause, Counters, Delivery, End, Entry, Gate, Holder, Identity, Kept, LaneKey,
    LastError, Phase, Place, Receipt, SendToken, SettledAs, StoredClass, StoredOutcome, StoredState, Then,
    Tried, Unresolved,
};
pub use error::{Error, OpenError, Result};
pub use events::EventPage;
pub use lifecycle::{DedupWindow, OnFailedHead, OnUncertain, Policy};
pub use list::{Filter, Matching, Page};
pub use notice::{Event, EventKind, Notices};
pub use offline::{Check, Exported, Offline, wall_of};
pub use open::OpenReport;
pub use outbox::{Outbox, PreparedSubmit, SpoolStatus};
pub use outcome::*;
pub use queue::Ticket;
pub use record::RecordError;
pub use retry::{Delay, RetryPolicy, jittered};
pub use rewrite::Compacted;
pub use state::State;
pub use verbs::{
    Batch, BatchOp, Batched, Cancelled, Changed, GateChange, Lease, LeaseId, LeaseRequest, LeaseTo,
    Overrides, Resolution, Restored, Room, Settled, Submit, Submitted, Ticked,
};
pub use verify::Lost;
pub use view::{EntryView, Message, Payload, SentPage};
