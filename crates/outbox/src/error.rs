//! Errors of the store.
//!
//! Owns:  the error enums of opening a spool and of its verbs, each with a hint for a person.
//! Never: logs.

use std::io;
use std::path::PathBuf;

use crate::record::RecordError;
use crate::state::State;

/// Why a spool does not open. Nothing in it was changed, but for what the storage engine may have written to a damaged store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool {path} is in use by {holder}")]
    InUse {
        /// The spool.
        path: PathBuf,
        /// What the other process wrote about itself.
        holder: String,
    },
    /// The directory holds something else.
    #[error("{path} is not empty and not a spool")]
    NotASpool {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to look at: the directory is empty or holds something else, or making a spool there was cut short.
    #[error("there is no spool in {path}")]
    NoSpool {
        /// The directory.
        path: PathBuf,
    },
    /// A spool of a format that this program does not know.
    #[error("the spool {path} has format {found}; this program reads format {known}")]
    Format {
        /// The spool.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The newest known format.
        known: u32,
    },
    /// The system refused something.
    #[error("{action} {path} failed: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store inside the spool cannot be read.
    #[error("the store in {path} cannot be opened: {reason}")]
    Corrupt {
        /// The spool.
        path: PathBuf,
        /// What the storage engine said.
        reason: String,
    },
}

impl OpenError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::InUse { .. } => "stop the other process, or give this one a spool of its own".into(),
            Self::NotASpool { path } => {
                format!("choose an empty or new directory; nothing in {} was touched", path.display())
            }
            Self::NoSpool { .. } => {
                "name the folder of a spool, in which `format` and `store` lie; `outboxd print-config` shows \
                                     the one of the daemon as `spool.path`"
                    .into()
            }
            // In quotes: that is no mark of any version.
            Self::Format { path, found, known } if found.starts_with('"') => format!(
                "nothing was changed; if the file {} was damaged, `outboxd fsck --repair {}` writes it anew, as does \
                 `outbox spool {known}` written into it by hand",
                path.join("format").display(),
                path.display()
            ),
            // A number, as a mark has; what the store says of itself has more words.
            Self::Format { path, found, known } if found.parse::<u32>().is_ok() => format!(
                "use the version of the program that wrote it; nothing was changed. If there never was a later one here, the \
                 file {} was damaged: write `outbox spool {known}` into it",
                path.join("format").display()
            ),
            Self::Format { .. } => "use the version of the program that wrote it; nothing was changed".into(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "the process needs to own the spool directory and everything in it, and to be allowed to write there".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "look at the path: it leads to nothing".into()
            }
            Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) =>
            {
                "a spool is a folder: something else lies at this path, or at one above it".into()
            }
            // Ours: the system's own has a number.
            Self::Io { source, .. }
                if source.kind() == io::ErrorKind::InvalidInput && source.raw_os_error().is_none() =>
            {
                "take away what lies there and put the file or folder itself into its place, if there is one; the spool is as it \
                 was"
                    .into()
            }
            Self::Io { .. } => "look at the file system: space, mount options, health".into(),
            Self::Corrupt { path, .. } => format!(
                "`outboxd export SPOOL` saves what can be read; copy {} before anything else is tried on it: a start may \
                 write to it",
                path.display()
            ),
        }
    }
}

/// Why a verb was not carried out. Nothing was changed, except where a variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No entry and no receipt has this id.
    #[error("no message has the id `{id}`")]
    NotFound {
        /// The id that was looked up.
        id: String,
    },
    /// The msgID is taken by a message with another payload.
    #[error("`{msg_id}` was submitted before with another payload or conversation")]
    Conflict {
        /// The msgID.
        msg_id: String,
        /// The state of the one that is there.
        state: State,
    },
    /// The verb does not apply in the present state.
    #[error("`{msg_id}` is {state}: {why}")]
    WrongState {
        /// The msgID.
        msg_id: String,
        /// Its state.
        state: State,
        /// Why the verb does not apply.
        why: &'static str,
    },
    /// An id is empty, too long, or has control characters.
    #[error("`{field}` must be 1 to {max} bytes of text without control characters", max = crate::limits::ID_BYTES_MAX)]
    BadId {
        /// Which one.
        field: &'static str,
    },
    /// A time to live outside its limits.
    #[error("`ttl` must be 1 s to 365 d")]
    BadTtl,
    /// The text is no lease of this spool.
    #[error("`{lease}` is not a lease of this outbox")]
    NoLease {
        /// The text.
        lease: String,
    },
    /// A payload over the limit.
    #[error("the message has {bytes} bytes; the limit is {max}")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The limit (`spool.max_message_bytes`).
        max: u64,
    },
    /// The configured number or bytes of messages are reached.
    #[error("the outbox is full: {what}")]
    Full {
        /// Which limit.
        what: String,
    },
    /// The file system has less room than must stay free.
    #[error("the disk has {free_bytes} bytes free, of {min_bytes} that must be")]
    DiskLow {
        /// Free bytes.
        free_bytes: u64,
        /// `spool.min_free`; for a rewrite of the store, what its copy may take, too.
        min_bytes: u64,
    },
    /// A record does not read.
    #[error("the record under `{key}` cannot be read: {reason}")]
    BadRecord {
        /// Its key, readable.
        key: String,
        /// Why.
        reason: RecordError,
    },
    /// The drive refused something: the store takes nothing more until it is opened again, which it is by itself where only
    /// room was missing. What this verb asked for may or may not be on disk.
    #[error("the store has failed and takes no more changes: {reason}")]
    Unhealthy {
        /// The first failure.
        reason: String,
    },
    /// What is asked for lies where the store cannot be read. The next open makes it anew of the rest.
    #[error("a part of the store cannot be read: {reason}")]
    Unreadable {
        /// Where, in the words of the storage engine.
        reason: String,
    },
    /// Something beside the store did not work this time, such as a payload file.
    #[error("{what}")]
    Unavailable {
        /// What, and why.
        what: String,
    },
    /// The outbox was closed.
    #[error("the outbox is closed")]
    Closed,
}

/// What the outbox answers.
pub type Result<T> = std::result::Result<T, Error>;
