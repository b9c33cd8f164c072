//! What an embedder can set.
//!
//! Owns:  the configuration and its defaults.
//! Never: reads files or the environment.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::chance::{Chance, SystemChance};
use crate::clock::{Clock, SystemClock};
use crate::lifecycle::Policy;
use crate::limits::RESERVE_BYTES;
use crate::notice::Notices;

/// Called on the writer's thread after each group is durable; must return quickly.
pub type Observer = Arc<dyn Fn(&Notices) + Send + Sync>;

/// Configuration of an outbox.
#[derive(Clone)]
pub struct Config {
    /// The spool directory.
    pub path: PathBuf,
    /// Who opens it: shown to a second process that finds it in use.
    pub holder: String,
    /// Entries at the most; receipts do not count.
    pub max_messages: u64,
    /// Payload bytes of all entries at the most; receipts do not count.
    pub max_bytes: u64,
    /// Bytes of one message at the most.
    pub max_message_bytes: u64,
    /// Free bytes of the file system below which new messages are refused.
    pub min_free_bytes: u64,
    /// Room kept for the store, so that what is accepted goes on with a full disk.
    pub reserve_bytes: u64,
    /// How long receipts are kept.
    pub sent_retention: Duration,
    /// Bytes of replacements kept beside receipts.
    pub sent_data_max_bytes: u64,
    /// Receipts kept at the most.
    pub sent_max: u64,
    /// Time to live of a message that states none.
    pub ttl: Duration,
    /// The same for messages with `onlineUserOnly`.
    pub online_only_ttl: Duration,
    /// Whether messages of one conversation wait for one another.
    pub order: Order,
    /// Retries, uncertainty, failed heads.
    pub policy: Policy,
    /// Hears what happened, once it is durable.
    pub observer: Option<Observer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub chance: Arc<dyn Chance>,
    /// Who commits.
    pub committer: Committer,
}

/// Who commits what has gathered.
#[derive(Clone, Default)]
pub enum Committer {
    /// A thread of the store's own.
    #[default]
    Thread,
    /// Whoever calls [`crate::Outbox::commit`], or waits for a ticket: for simulations, which must be the same
    /// each time. The store is made for small groups then, and dropping it without closing it leaves what a
    /// kill would: verbs that were not committed are lost, and the spool is not marked as closed.
    ByHand {
        /// Called whenever a verb was queued.
        queued: Arc<dyn Fn() + Send + Sync>,
    },
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::ByHand { .. } => "ByHand",
        })
    }
}

/// Whether messages of one conversation wait for one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One at a time, in the order of acceptance.
    #[default]
    Conversation,
    /// Each for itself.
    None,
}

impl Config {
    /// This configuration with everything from `new` that can change while the outbox is open: all but the
    /// path, the holder, the reserve, the observer, the clock, chance and who commits.
    pub(crate) fn changed_to(&self, new: Self) -> Self {
        Self {
            path: self.path.clone(),
            holder: self.holder.clone(),
            reserve_bytes: self.reserve_bytes,
            observer: self.observer.clone(),
            clock: Arc::clone(&self.clock),
            chance: Arc::clone(&self.chance),
            committer: self.committer.clone(),
            ..new
        }
    }

    /// The defaults for a spool in `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            path: path.into(),
            holder: format!("process {}", std::process::id()),
            max_messages: 2_000_000,
            max_bytes: 4096 * MIB,
            max_message_bytes: MIB,
            min_free_bytes: 64 * MIB,
            reserve_bytes: RESERVE_BYTES,
            sent_retention: 7 * DAY,
            sent_data_max_bytes: 64 * MIB,
            sent_max: 1_000_000,
            ttl: 3 * DAY,
            online_only_ttl: Duration::from_secs(30),
            order: Order::default(),
            policy: Policy::default(),
            observer: None,
            clock: Arc::new(SystemClock::new()),
            chance: Arc::new(SystemChance),
            committer: Committer::default(),
        }
    }
}
