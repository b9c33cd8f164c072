//! The daemon as a whole: status, link, accounts, flush and pause.
//!
//! Owns:  these types.
//! Never: anything about a single message.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Time;

/// The answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Time,
    /// Whether no new attempts are made.
    pub paused: bool,
    /// Connectivity.
    pub link: Link,
    /// How fast messages leave.
    #[serde(default)]
    pub pace: Pace,
    /// The transport in use.
    pub transport: TransportStatus,
    /// At most 100 accounts, those that are not open first.
    pub accounts: Vec<Account>,
    /// Entries by state.
    pub counts: Counts,
    /// Messages sent since the spool was made.
    pub sent_total: u64,
    /// Age of the oldest entry that waits, in milliseconds; `null` if none does.
    pub oldest_waiting_ms: Option<u64>,
    /// The store.
    pub spool: SpoolStatus,
    /// When a message was last sent; `null` if never, or if that got lost with a damaged store.
    pub last_sent_at: Option<Time>,
}

/// Connectivity as the daemon sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    /// Up, down, or not known.
    pub state: LinkState,
    /// Since when.
    pub since: Time,
    /// Who says so, such as `probe`, `app`, `system`, `attempt`.
    #[serde(default)]
    pub source: String,
}

/// How fast messages leave, and when those that wait will be gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Pace {
    /// Attempts that may be under way at once: one after an outage, more with success, fewer after trouble. `null`
    /// where the app paces itself.
    pub window: Option<u64>,
    /// Attempts that are under way.
    pub in_flight: u64,
    /// Messages that were sent, or refused for good, in a second: lately, smoothed. `null` if too few were.
    pub per_second: Option<f64>,
    /// An estimate of when nothing will wait any more, in milliseconds: what is queued, deferred, blocked and
    /// sending, at that rate; 0 if nothing does. `null` while it is not known: too few were sent lately, the link is
    /// not up, or everything is paused.
    pub backlog_gone_in_ms: Option<u64>,
}

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// An attempt was answered.
    Up,
    /// Nothing is reached.
    Down,
    /// Nothing is known yet.
    Unknown,
}

impl LinkState {
    /// The name in API, command line and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// The transport, and what it tells about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransportStatus {
    /// `app`, `http` or `tim`.
    pub kind: String,
    /// Further fields, which differ by kind. Never a secret.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An account, and whether it may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// Its name.
    pub account: String,
    /// Whether it may send.
    pub state: AccountState,
    /// Since when.
    pub since: Time,
    /// Why it is paused.
    #[serde(default)]
    pub reason: Option<String>,
    /// The service's result code, if it was the service that paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When a limited one may send again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// Whether an account may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// It may.
    Open,
    /// It may not, until somebody says that its session is fine.
    Paused,
    /// The service asked for a slower pace.
    Limited,
}

impl AccountState {
    /// The name in API, command line and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Limited => "limited",
        }
    }
}

/// Entries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Counts {
    /// Due, and go as soon as there is room.
    pub queued: u64,
    /// Wait for their next attempt's time.
    pub deferred: u64,
    /// Wait behind the head of their lane.
    pub blocked: u64,
    /// Kept back until released.
    pub held: u64,
    /// An attempt is under way.
    pub sending: u64,
    /// Nobody knows whether they arrived.
    pub uncertain: u64,
    /// Given up.
    pub failed: u64,
    /// Outlived their deadline.
    pub expired: u64,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SpoolStatus {
    /// Its directory.
    pub path: String,
    /// Bytes of the entries.
    pub bytes: u64,
    /// Entries.
    pub messages: u64,
    /// At most this many bytes.
    pub limit_bytes: u64,
    /// At most this many entries.
    pub limit_messages: u64,
    /// Free bytes of its file system; absent if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Bytes beside them that the file system keeps for the store.
    #[serde(default)]
    pub reserved_bytes: u64,
    /// Version of its format.
    pub format: u32,
    /// Receipts kept.
    #[serde(default)]
    pub receipts: u64,
    /// When the oldest event that is kept happened; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts_since: Option<Time>,
    /// Receipts that went because of a limit.
    #[serde(default)]
    pub receipts_dropped: u64,
    /// When the first of them went; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts_dropped_since: Option<Time>,
    /// Receipts that lost their `data` because of a limit.
    #[serde(default)]
    pub data_dropped: u64,
    /// When the first of them did; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dropped_since: Option<Time>,
    /// Bytes of the store's main file.
    #[serde(default)]
    pub store_bytes: u64,
    /// Damaged records that were put aside.
    #[serde(default)]
    pub quarantined: u64,
    /// A part of the store could not be read: at the start, which has made it anew of the rest, or since.
    #[serde(default)]
    pub damaged: bool,
    /// Messages and receipts that the start found missing.
    #[serde(default)]
    pub missing: u64,
    /// Files of large messages and replacements that were met and cannot be read, a thousand at the most.
    #[serde(default)]
    pub damaged_files: u64,
    /// Why the store takes no changes, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The body of a flush. Empty means: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FlushRequest {
    /// Only this conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Only this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The answer to a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlushAnswer {
    /// Entries that became due.
    pub due: u64,
}

/// The answer to a compact: the store's main file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompactAnswer {
    /// Before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// The answer to pause and resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paused {
    /// Whether no new attempts are made from now on.
    pub paused: bool,
}

/// The app's word about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConnectivityRequest {
    /// What it says.
    pub state: LinkState,
}

/// The answer to the app's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Connectivity {
    /// The link as the daemon sees it now.
    pub link: Link,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_as_it_was_written() {
        let text = concat!(
            r#"{"version":"0.1.0","pid":7,"startedAt":"2026-11-23T08:00:00.000Z","paused":false,"#,
            r#""link":{"state":"up","since":"2026-11-23T08:00:00.000Z","source":"attempt"},"#,
            r#""pace":{"window":8,"inFlight":2,"perSecond":12.5,"backlogGoneInMs":null},"#,
            r#""transport":{"kind":"http","url":"https://example.com/send"},"#,
            r#""accounts":[{"account":"default","state":"limited","since":"2026-11-23T08:00:00.000Z","reason":null,"until":"2026-11-23T08:00:05.000Z"}],"#,
            r#""counts":{"queued":1,"deferred":2,"blocked":3,"held":4,"sending":5,"uncertain":6,"failed":7,"expired":8},"#,
            r#""sentTotal":9,"oldestWaitingMs":null,"spool":{"path":"/s","bytes":1,"messages":2,"limitBytes":3,"#,
            r#""limitMessages":4,"freeBytes":5,"reservedBytes":6,"format":1,"receipts":6,"receiptsDropped":0,"dataDropped":0,"storeBytes":7,"quarantined":0,"damaged":true,"missing":2,"damagedFiles":3},"lastSentAt":null}"#
        );
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), text);
    }

    #[test]
    fn connectivity_takes_three_words_and_no_other_field() {
        for state in [LinkState::Up, LinkState::Down, LinkState::Unknown] {
            let text = format!(r#"{{"state":"{}"}}"#, state.as_str());
            assert_eq!(
                serde_json::from_str::<ConnectivityRequest>(&text).unwrap(),
                ConnectivityRequest { state }
            );
        }
        assert!(serde_json::from_str::<ConnectivityRequest>(r#"{"state":"off"}"#).is_err());
        let error = serde_json::from_str::<FlushRequest>(r#"{"lane":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("`lane`"), "{error}");
    }
}
