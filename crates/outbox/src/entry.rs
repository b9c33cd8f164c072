//! What is stored of a message: entry, delivery record, receipt, lane, account, counters, event.
//!
//! Owns:  the domain types, which are also the bodies of the records in their first version.
//! Never: changes state by itself (`lifecycle` decides, the verbs apply), reads a clock, does I/O.
//!
//! Fields are encoded in order: do not reorder, remove or insert one without a new record version.

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, ClockMark, Timestamp, WallTime};
pub use crate::names::{LaneKey, SendToken};
pub(crate) use crate::names::{hex, short_hash, unhex};
pub use crate::numbers::{StoredClass, StoredOutcome, StoredState};
use crate::record::Stored;
use crate::total::Total;

/// What never changes of a message from submit to receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Key: unique in a spool.
    pub msg_id: String,
    /// Creation id: look-ups accept it.
    pub id: Option<String>,
    /// Whose session sends.
    pub account: String,
    /// Which conversation it belongs to.
    pub conversation: String,
    /// Its lane.
    pub lane: LaneKey,
    /// Order of acceptance in the whole spool.
    pub seq: u64,
    /// Not to be kept by the service for users who are offline.
    pub online_user_only: bool,
    /// It goes to a group, not to one person.
    pub to_group: bool,
    /// Tells a repeat of a submit from a conflict.
    pub fingerprint: [u8; 32],
    /// Bytes of message and web instance.
    pub payload_bytes: u64,
    /// When it was accepted, for people.
    pub submitted_at: WallTime,
    /// When it was accepted, for schedules.
    pub submitted: Timestamp,
}

/// A message with its delivery record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What never changes.
    pub identity: Identity,
    /// Time to live in milliseconds, counted anew by a resend of an ended entry.
    pub ttl_ms: u64,
    /// Where the payload is kept.
    pub payload: Place,
    /// What the lifecycle works on.
    pub delivery: Delivery,
    /// The last attempt that did not succeed.
    pub last_error: Option<LastError>,
    /// The last attempts, oldest first.
    pub history: Vec<AttemptRecord>,
    /// What the holders of the latest settled leases were answered, oldest first.
    pub settled: Vec<SettledAs>,
}

/// What the holder of a lease was answered when it settled, so that a repetition gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledAs {
    /// Which start of the entry.
    pub start: u32,
    /// The state in the answer.
    pub state: StoredState,
}

/// Where the bytes of a payload or of a replacement are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// There are none (or none any more).
    Nowhere,
    /// In the store, beside the record.
    Inline,
    /// In a file of the spool with this name.
    File([u8; 16]),
}

/// The delivery record of an entry: everything that the lifecycle reads and changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it stands.
    pub phase: Phase,
    /// Whether it keeps its place in its lane, so that later ones wait.
    pub in_lane: bool,
    /// Tries that may have reached the service.
    pub attempts: u32,
    /// Leases given out.
    pub starts: u32,
    /// Deaths of the process during attempts, in a row.
    pub deaths: u32,
    /// Counts towards limits; starts at zero again with a resend of an ended entry.
    pub tried: Tried,
    /// The send token.
    pub token: SendToken,
    /// When it expires.
    pub deadline: Timestamp,
    /// Not to be tried earlier.
    pub not_before: Option<Timestamp>,
    /// The retry delay to continue from; 0 before the first.
    pub interval_ms: u64,
    /// Since when an attempt's outcome is unknown.
    pub unresolved: Option<Unresolved>,
    /// A resend may be a duplicate: the de-duplication window has passed.
    pub possible_duplicate: bool,
}

/// Attempts that count towards limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// All counted attempts.
    pub all: u32,
    /// Those that ended with an unknown code.
    pub unknown: u32,
    /// Those that ended with a failed upload.
    pub upload: u32,
}

/// An attempt may have reached the service, and nothing has proved it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// Start of the first such attempt, for people.
    pub at: WallTime,
    /// The same for schedules.
    pub since: Timestamp,
    /// In which boot.
    pub boot: BootId,
    /// Until when the service recognises a repeat.
    pub window_end: Timestamp,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// For its turn and its time.
    Waiting {
        /// Not before.
        due: Timestamp,
        /// Why then.
        cause: Cause,
        /// Since when it waits for this.
        since: WallTime,
    },
    /// Kept back until released.
    Held {
        /// By whom or why.
        reason: Option<String>,
        /// Since when, for people.
        since: WallTime,
        /// When its clock stopped.
        stopped: Timestamp,
        /// When it would have been due.
        due: Timestamp,
    },
    /// Leased.
    Sending {
        /// Number of the attempt.
        attempt: u32,
        /// Since when, for people.
        since: WallTime,
        /// The same for schedules.
        started: Timestamp,
        /// Who attempts it.
        holder: Holder,
        /// What happens after it, if the attempt does not end the entry.
        then: Then,
    },
    /// Waits for a person's decision.
    Uncertain {
        /// Since when.
        since: WallTime,
    },
    /// Ended without success; kept so that a person can resend it.
    Failed {
        /// Which kind of failure.
        class: StoredClass,
        /// Since when.
        since: WallTime,
        /// Until when it is kept.
        keep_until: Timestamp,
    },
    /// Outlived its deadline; kept so that a person can resend it.
    Expired {
        /// Since when.
        since: WallTime,
        /// Until when it is kept.
        keep_until: Timestamp,
    },
}

/// Why an entry waits until its due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It was just accepted.
    Submitted,
    /// The app asked for a later first attempt.
    NotBefore,
    /// Its last attempt failed for now.
    Backoff,
    /// Its last attempt reached nobody.
    NotReached,
    /// Its account was slowed.
    Limited,
    /// Its account's gate was shut.
    GateShut,
    /// Its last attempt's outcome is unknown.
    Unresolved,
    /// It was released or resent by a person.
    Asked,
    /// A lease was taken back before anybody had it.
    TakenBack,
    /// Its payload could not be read.
    Postponed,
    /// Its transport sends it at a pace of its own.
    Paced,
    /// The process died during its last attempts, and has not been up for long.
    Suspect,
}

/// Who attempts a leased entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// This process: the attempt ends with it.
    Process,
    /// An app, which may go on while this process is restarted.
    App {
        /// When the lease lapses.
        until: Timestamp,
        /// In which boot it was given out.
        boot: BootId,
    },
}

/// What was asked for while an attempt is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Nothing.
    GoOn,
    /// Hold it.
    Hold {
        /// Why.
        reason: Option<String>,
    },
    /// Do not retry it.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
}

/// The last attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Result code.
    pub code: i64,
    /// The service's words.
    pub desc: String,
    /// What the code means.
    pub class: StoredClass,
    /// When.
    pub at: WallTime,
}

/// One attempt in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number; 0 is the send that failed before submit. An uncounted attempt's number repeats.
    pub attempt: u32,
    /// When it began.
    pub at: WallTime,
    /// How it ended.
    pub outcome: StoredOutcome,
    /// Result code.
    pub code: i64,
    /// The service's words.
    pub desc: String,
    /// How long it took, in milliseconds; unknown for attempt 0 and for one whose process died.
    pub took_ms: Option<u64>,
}

/// The lasting record of an outcome; stands under the msgID in the entry's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What never changes.
    pub identity: Identity,
    /// Sequence of the event that announced it.
    pub seq: u64,
    /// How it ended.
    pub end: End,
    /// When, for people.
    pub at: WallTime,
    /// When, for retention.
    pub ended: Timestamp,
    /// Tries that may have reached the service.
    pub attempts: u32,
    /// Leases given out.
    pub starts: u32,
    /// A resend may have doubled it.
    pub possible_duplicate: bool,
    /// It did not end as sent, and an earlier attempt may have arrived all the same.
    pub may_have_arrived: bool,
    /// Result code of the end.
    pub code: i64,
    /// The service's words.
    pub desc: String,
    /// Bytes of the replacement.
    pub data_bytes: u64,
    /// The replacement, or where it is kept.
    pub data: Kept,
    /// The last attempt that did not succeed.
    pub last_error: Option<LastError>,
    /// The last attempts, oldest first.
    pub history: Vec<AttemptRecord>,
    /// What the holders of the latest settled leases were answered, oldest first.
    pub settled: Vec<SettledAs>,
}

/// A replacement beside its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// There is none (or none any more).
    Nowhere,
    /// Here: receipt and replacement are one record, so that neither is ever there without the other.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In a file of the spool with this name.
    File([u8; 16]),
}

impl Kept {
    /// The name of its file, if it is in one.
    pub(crate) const fn file(&self) -> Option<[u8; 16]> {
        match self {
            Self::File(name) => Some(*name),
            Self::Nowhere | Self::Inline(_) => None,
        }
    }
}

impl Place {
    /// The name of its file, if it is in one.
    pub(crate) const fn file(&self) -> Option<[u8; 16]> {
        match self {
            Self::File(name) => Some(*name),
            Self::Nowhere | Self::Inline => None,
        }
    }
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The service has it.
    Sent {
        /// Under this msgID.
        new_msg_id: String,
        /// A person saw it arrive.
        by_person: bool,
    },
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: Option<String>,
        /// It had failed or expired before.
        had_ended: bool,
    },
    /// It failed, and the time for which failed ones are kept is over.
    Failed {
        /// Which kind of failure.
        class: StoredClass,
    },
    /// It expired, and the time for which expired ones are kept is over.
    Expired,
}

/// A lane with at least one message in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) account: String,
    pub(crate) conversation: String,
    /// seq of the first entry with a place in the lane.
    pub(crate) head: u64,
    /// Which index the head stands in.
    pub(crate) slot: Slot,
    /// seq of the one under way.
    pub(crate) sending: Option<u64>,
}

/// Which index a lane's head stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Slot {
    /// None: in flight, or kept by its head.
    None,
    /// Will go as soon as there is room; in the order of this time.
    Ready(Timestamp),
    /// Next attempt at this time.
    Deferred(Timestamp),
}

/// An account that has entries or a gate that is not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Entries (not receipts) that belong to it.
    pub entries: u64,
    /// Whether it may send.
    pub gate: Gate,
}

/// Whether an account may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// It may.
    Open,
    /// It may not until somebody says so.
    Paused {
        /// Why.
        reason: String,
        /// The service's result code; `None` if a person or the app paused it.
        code: Option<i64>,
        /// Since when.
        since: WallTime,
        /// The same for schedules: an attempt that began earlier says nothing about it.
        from: Timestamp,
        /// Next try without being asked; `None` if a person or the app paused it.
        try_at: Option<Timestamp>,
        /// Delay after that try.
        try_interval_ms: u64,
    },
    /// It may again after a while.
    Limited {
        /// Since when.
        since: WallTime,
        /// Until when.
        until: Timestamp,
        /// Delay after the next limit without a stated delay.
        interval_ms: u64,
    },
}

/// Counts kept in the same transactions as what they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Next order of acceptance.
    pub next_seq: u64,
    /// Next sequence of a durable event.
    pub next_event: u64,
    /// Waiting entries, whatever for.
    pub waiting: u64,
    /// Lane heads that are due.
    pub ready: u64,
    /// Lane heads with a later attempt time.
    pub deferred: u64,
    /// Held entries.
    pub held: u64,
    /// Leased entries.
    pub sending: u64,
    /// Entries that wait for a decision.
    pub uncertain: u64,
    /// Failed entries.
    pub failed: u64,
    /// Expired entries.
    pub expired: u64,
    /// Payload bytes of all entries.
    pub payload_bytes: u64,
    /// Receipts kept.
    pub receipts: u64,
    /// Bytes of replacements kept.
    pub data_bytes: u64,
    /// Messages sent since the spool was made.
    pub sent_total: u64,
    /// Spool time of the newest success.
    pub last_sent_at: WallTime,
    /// Events below this one are no longer kept.
    pub event_floor: u64,
    /// Receipts below this event no longer have their replacement.
    pub data_floor: u64,
    /// Receipts removed by their limits.
    pub receipts_dropped: u64,
    /// Since when.
    pub receipts_dropped_since: WallTime,
    /// Replacements removed by their limit.
    pub data_dropped: u64,
    /// Since when.
    pub data_dropped_since: WallTime,
    /// Records that could not be read and were set aside.
    pub quarantined: u64,
    /// No new attempts, by a person's word.
    pub paused: bool,
    /// Where spool time stands.
    pub clock: ClockMark,
}

/// A payload beside its entry, or a pointer to its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPayload {
    pub(crate) msg_id: String,
    #[serde(with = "serde_bytes")]
    pub(crate) message: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) web_message_instance: Option<Vec<u8>>,
}

impl StoredPayload {
    /// How many bytes there are of both parts.
    pub(crate) fn bytes(&self) -> u64 {
        (self.message.len() + self.web_message_instance.as_ref().map_or(0, Vec::len)) as u64
    }

    /// Whose payload these bytes are, without a look at the rest of them.
    pub(crate) fn msg_id_of(bytes: &[u8]) -> Option<String> {
        crate::record::first_field(bytes)
    }
}

/// A durable event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    pub(crate) kind: u8,
    pub(crate) at: WallTime,
    /// For the age limit.
    pub(crate) time: Timestamp,
    pub(crate) msg_id: String,
    /// The state that the change led to.
    pub(crate) state: Option<StoredState>,
    pub(crate) code: Option<i64>,
    pub(crate) desc: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) may_have_arrived: bool,
}

impl Stored for Entry {
    const KIND: u8 = 1;
}
impl Stored for Receipt {
    const KIND: u8 = 2;
}
impl Stored for Lane {
    const KIND: u8 = 3;
}
impl Stored for Account {
    const KIND: u8 = 4;
}
impl Stored for Counters {
    const KIND: u8 = 5;
}
impl Stored for StoredPayload {
    const KIND: u8 = 6;
}
impl Stored for StoredEvent {
    const KIND: u8 = 7;
}
impl Stored for Total {
    const KIND: u8 = 8;
}

impl Delivery {
    /// The moment at which something must happen to this entry by itself, if any.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Waiting { .. } => match self.unresolved {
                Some(unresolved) if !self.possible_duplicate => {
                    Some(self.deadline.min(unresolved.window_end))
                }
                _ => Some(self.deadline),
            },
            Phase::Uncertain { .. } => Some(self.deadline),
            Phase::Held { .. } | Phase::Sending { holder: Holder::Process, .. } => None,
            Phase::Sending { holder: Holder::App { until, .. }, .. } => Some(*until),
            Phase::Failed { keep_until, .. } | Phase::Expired { keep_until, .. } => Some(*keep_until),
        }
    }

    /// Whether the entry ended without success.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Failed { .. } | Phase::Expired { .. })
    }
}

impl Counters {
    /// Entries that are kept, ended ones included.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.waiting + self.held + self.sending + self.uncertain + self.failed + self.expired
    }

    /// Messages of which something is known: entries and receipts.
    pub(crate) const fn messages(&self) -> u64 {
        self.entries() + self.receipts
    }

    /// Waiting entries behind the head of their lane.
    #[must_use]
    pub const fn blocked(&self) -> u64 {
        self.waiting.saturating_sub(self.ready + self.deferred)
    }
}
