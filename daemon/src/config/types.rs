//! The typed configuration that the daemon runs on.
//!
//! Owns:  plain data, with every default already in place and every bound already kept.
//! Never: parses, reads files or the environment.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use outbox::Class;
pub use outbox::{OnFailedHead, OnUncertain, Order};
use secrecy::SecretString;

use super::files::SecretFile;
use super::tim::TimLogin;

/// Everything that can be configured. Secrets in it do not print.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[spool]`: where messages are kept, and how many.
    pub spool: SpoolConfig,
    /// `[retry]`: when to try again, and when to give up.
    pub retry: RetryConfig,
    /// `[classes]`: result codes whose class differs from the built-in table.
    pub classes: BTreeMap<i64, Class>,
    /// `[delivery]`: how messages leave.
    pub delivery: DeliveryConfig,
    /// `[link]`: how connectivity is found out.
    pub link: LinkConfig,
    /// `[transport]`: who sends.
    pub transport: TransportConfig,
    /// `[control]`: the control socket.
    pub control: ControlConfig,
    /// `[log]`: what is logged, and how.
    pub log: LogConfig,
}

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Directory of the spool.
    pub path: PathBuf,
    /// Entries kept at most; receipts do not count.
    pub max_messages: u64,
    /// Bytes of entries kept at most; receipts do not count.
    pub max_bytes: u64,
    /// Bytes of one message at most; never above [`Self::max_bytes`].
    pub max_message_bytes: u64,
    /// Free bytes of the disk below which submits are refused.
    pub min_free_bytes: u64,
    /// Room kept for the store.
    pub reserve_bytes: u64,
    /// How long a receipt is kept.
    pub sent_retention: Duration,
    /// Bytes of replacements kept in receipts.
    pub sent_data_max_bytes: u64,
    /// Receipts kept at most.
    pub sent_max: u64,
    /// How long failed and expired entries keep their payload.
    pub failed_retention: Duration,
}

/// `[retry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// First delay; never above [`Self::max`].
    pub initial: Duration,
    /// Growth of the delay with each attempt: above 1, at most 10.
    pub multiplier: f64,
    /// Longest delay, before jitter.
    pub max: Duration,
    /// Share of a delay that chance takes or adds: 0 to 1.
    pub jitter: f64,
    /// Counted attempts after which an entry fails; `None`: only its age decides.
    pub max_attempts: Option<NonZeroU32>,
    /// Counted attempts after which an entry with an unknown code fails.
    pub unknown_max_attempts: NonZeroU32,
    /// Life of a message: 1 s to 365 d.
    pub ttl: Duration,
    /// Life of an `onlineUserOnly` message: 1 s to 365 d.
    pub online_only_ttl: Duration,
}

/// `[delivery]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Attempts under way at once: 1 to 1024.
    pub concurrency: usize,
    /// Longest wait for one attempt's answer.
    pub timeout: Duration,
    /// What is kept in order.
    pub order: Order,
    /// What a lane does when its head fails.
    pub on_failed_head: OnFailedHead,
    /// What becomes of an entry that may have arrived.
    pub on_uncertain: OnUncertain,
}

/// `[link]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Whether the operating system's news about the network is listened to.
    pub watch: bool,
    /// What is probed; `None`: the transport's own address.
    pub probe: Option<ProbeTarget>,
    /// First delay between probes; never above [`Self::probe_max`].
    pub probe_initial: Duration,
    /// Longest delay between probes, before jitter.
    pub probe_max: Duration,
}

/// An address whose answer shows that the network is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

/// `[transport]`. The tables of the transports that are not chosen are checked and kept too.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Who sends.
    pub kind: TransportKind,
    /// `[transport.app]`.
    pub app: AppConfig,
    /// `[transport.http]`.
    pub http: HttpConfig,
    /// `[transport.tim]`.
    pub tim: TimConfig,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// The app asks for work with leases.
    App,
    /// The daemon posts to an HTTP service.
    Http,
    /// The daemon sends through the REST interface of Tencent IM.
    Tim,
}

impl TransportKind {
    /// Its name in the configuration, in `status` and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Http => "http",
            Self::Tim => "tim",
        }
    }
}

/// `[transport.app]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// Leases a second for each account.
    pub rate: u32,
    /// How long the app's service recognizes a repeated send token; zero: not at all.
    pub dedup_window: Duration,
}

/// `[transport.http]`.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where attempts are posted; always there when the transport is [`TransportKind::Http`].
    pub url: Option<http::Uri>,
    /// Further headers, by name in lower case. Each is a valid header.
    pub headers: BTreeMap<String, SecretString>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for one attempt's answer; [`DeliveryConfig::timeout`] unless set.
    pub timeout: Duration,
    /// How long the service recognizes a repeated send token; zero: not at all.
    pub dedup_window: Duration,
}

/// `[transport.tim]`: Tencent IM over its REST interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimConfig {
    /// The account `default`.
    pub default: TimAccount,
    /// `[transport.tim.accounts.NAME]`: further accounts.
    pub accounts: BTreeMap<String, TimAccount>,
    /// All accounts that can send, by name; filled when the transport is [`TransportKind::Tim`].
    pub logins: BTreeMap<String, TimLogin>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long the service recognizes a repeated message to one person.
    pub dedup_window: Duration,
    /// How long it does in a group.
    pub group_dedup_window: Duration,
}

/// One account of Tencent IM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimAccount {
    /// The REST interface's scheme and authority; excludes [`Self::region`].
    pub host: Option<String>,
    /// Region whose host is used.
    pub region: Option<String>,
    /// Application number.
    pub sdk_app_id: Option<u64>,
    /// The user that signs.
    pub identifier: Option<String>,
    /// File with the key that signatures are made with; only its owner can read it.
    pub secret_key_file: Option<SecretFile>,
    /// Calls a second; `None` in a further account: that of `[transport.tim]`.
    pub rate: Option<u32>,
    /// Messages a second into one group; `None` in a further account: that of `[transport.tim]`.
    pub group_rate: Option<u32>,
}

/// `[control]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Path of the socket, at most 107 bytes.
    pub socket: PathBuf,
    /// Permissions of the socket.
    pub mode: u32,
    /// Permissions of the socket's directory, if the daemon creates it.
    pub dir_mode: u32,
    /// `[control.roles]`: who may do what.
    pub roles: RolesConfig,
}

/// `[control.roles]`: users and groups besides root and the daemon's own user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesConfig {
    /// Everything.
    pub admin: Vec<Principal>,
    /// Every verb, and payloads.
    pub operator: Vec<Principal>,
    /// Submit, leases, connectivity, account pause and resume.
    pub submit: Vec<Principal>,
    /// Everything but payloads, reading only.
    pub read: Vec<Principal>,
}

/// A user or a group by name. Names are resolved when the socket opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// `user:NAME`.
    User(String),
    /// `group:NAME`.
    Group(String),
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level (`error` to `trace`, `off`) or filter directives; known to be valid.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A closed set of words that an option may have.
pub(crate) trait Choice: Copy + 'static {
    /// The words, in the order in which they are explained.
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for Order {
    const WORDS: &'static [(&'static str, Self)] =
        &[("conversation", Self::Conversation), ("none", Self::None)];
}

impl Choice for OnFailedHead {
    const WORDS: &'static [(&'static str, Self)] = &[("continue", Self::Continue), ("hold", Self::Hold)];
}

impl Choice for OnUncertain {
    const WORDS: &'static [(&'static str, Self)] =
        &[("resend", Self::Resend), ("hold", Self::Hold), ("fail", Self::Fail)];
}

impl Choice for TransportKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("app", Self::App), ("http", Self::Http), ("tim", Self::Tim)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}

impl Config {
    /// Makes a configuration that holds no default yet: the option table fills every field.
    pub(super) fn blank(spool: PathBuf, socket: PathBuf) -> Self {
        let zero = Duration::ZERO;
        Self {
            spool: SpoolConfig {
                path: spool,
                max_messages: 0,
                max_bytes: 0,
                max_message_bytes: 0,
                min_free_bytes: 0,
                reserve_bytes: 0,
                sent_retention: zero,
                sent_data_max_bytes: 0,
                sent_max: 0,
                failed_retention: zero,
            },
            retry: RetryConfig {
                initial: zero,
                multiplier: 0.0,
                max: zero,
                jitter: 0.0,
                max_attempts: None,
                unknown_max_attempts: NonZeroU32::MIN,
                ttl: zero,
                online_only_ttl: zero,
            },
            classes: BTreeMap::new(),
            delivery: DeliveryConfig {
                concurrency: 1,
                timeout: zero,
                order: Order::Conversation,
                on_failed_head: OnFailedHead::Continue,
                on_uncertain: OnUncertain::Resend,
            },
            link: LinkConfig { watch: false, probe: None, probe_initial: zero, probe_max: zero },
            transport: TransportConfig {
                kind: TransportKind::App,
                app: AppConfig { rate: 1, dedup_window: zero },
                http: HttpConfig {
                    url: None,
                    headers: BTreeMap::new(),
                    ca_file: None,
                    timeout: zero,
                    dedup_window: zero,
                },
                tim: TimConfig::default(),
            },
            control: ControlConfig { socket, mode: 0, dir_mode: 0, roles: RolesConfig::default() },
            log: LogConfig { level: String::new(), format: LogFormat::Auto },
        }
    }
}
