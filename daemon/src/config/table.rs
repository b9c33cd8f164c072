//! The option table: every option once, with its section, name, default, documentation and meaning.
//!
//! Owns:  the list of options. Defaults, the check for unknown names, the generated file, the names of environment
//!        variables and `print-config` all come from it.
//! Never: reads files or the environment; compares options with each other (`finish`).

use std::num::NonZeroU32;
use std::sync::LazyLock;

use super::given::{Given, Kind};
use super::table_transport;
use super::types::{Config, LogFormat, OnFailedHead, OnUncertain, Order};
use super::units::{DURATION_MAX, DURATION_MIN, Problem};

/// Longest life of a message: 365 days.
const TTL_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);
/// Shortest life of a message.
const TTL_MIN: std::time::Duration = std::time::Duration::from_secs(1);
/// Largest message: a request may have no more.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 64 << 20;
/// Room kept for the store at most: more would be a mistake.
const RESERVE_BYTES_MAX: u64 = 1 << 40;
/// Entries and receipts at most: what can be counted on disk without fear of overflow.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// What an option is when nobody sets it.
#[derive(Clone, Copy)]
pub(crate) enum Preset {
    /// This value, written as TOML; with `*` in the key, the whole line.
    Value(&'static str),
    /// No value, or one that follows from others; the text is an example, written as TOML.
    Example(&'static str),
}

/// Whether `print-config` shows the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Plain,
    Hidden,
}

/// When a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// From a reload on.
    Reload,
    /// From the next start on: what it is about cannot change under a running daemon.
    Restart,
}

/// Puts a given value where it belongs.
pub(crate) type Set = fn(&mut Config, &Given<'_>) -> Result<(), Problem>;

/// One option. `*` in a section or key stands for a name that the user chooses.
#[derive(Clone, Copy)]
pub(crate) struct Opt {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) preset: Preset,
    pub(crate) show: Show,
    pub(crate) takes: Takes,
    pub(crate) doc: &'static str,
    pub(crate) set: Set,
}

impl Opt {
    pub(crate) const fn new(
        place: (&'static str, &'static str),
        kind: Kind,
        preset: Preset,
        doc: &'static str,
        set: Set,
    ) -> Self {
        Self {
            section: place.0,
            key: place.1,
            kind,
            preset,
            show: Show::Plain,
            takes: Takes::Reload,
            doc,
            set,
        }
    }

    /// The same as an option that only a start reads.
    pub(crate) const fn at_restart(self) -> Self {
        Self { takes: Takes::Restart, ..self }
    }

    /// The segments of its full name.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.section.split('.').chain(self.key.split('.'))
    }
}

impl std::fmt::Debug for Opt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section, self.key)
    }
}

/// Every option, in the order of the generated file.
pub(crate) static OPTIONS: LazyLock<Vec<Opt>> = LazyLock::new(|| {
    let front = [SPOOL, RETRY, CLASSES, DELIVERY, LINK].into_iter().flatten().copied();
    let back = [CONTROL, LOG].into_iter().flatten().copied();
    front.chain(table_transport::options()).chain(back).collect()
});

/// Puts a value that was read without a problem.
pub(crate) fn put<T>(slot: &mut T, value: Result<T, Problem>) -> Result<(), Problem> {
    *slot = value?;
    Ok(())
}

const SPOOL: &[Opt] = &[
    Opt::new(
        ("spool", "path"),
        Kind::Path,
        Preset::Example("\"/var/lib/outbox\""),
        "Directory of the spool. Unset: /var/lib/outbox for root, else $XDG_STATE_HOME/outbox, else ~/.local/state/outbox.",
        |c, v| put(&mut c.spool.path, v.path()),
    )
    .at_restart(),
    Opt::new(
        ("spool", "max_messages"),
        Kind::Count,
        Preset::Value("2_000_000"),
        "Messages kept at most, receipts not counted. A submit beyond it is refused; nothing is ever dropped.",
        |c, v| put(&mut c.spool.max_messages, v.count(1..=COUNT_MAX)),
    ),
    Opt::new(
        ("spool", "max_bytes"),
        Kind::Bytes,
        Preset::Value("\"4GiB\""),
        "Bytes of messages kept at most, receipts not counted. A submit beyond it is refused.",
        |c, v| put(&mut c.spool.max_bytes, v.bytes(1..=u64::MAX)),
    ),
    Opt::new(
        ("spool", "max_message_bytes"),
        Kind::Bytes,
        Preset::Value("\"1MiB\""),
        "Largest message, at most 64MiB. Where max_bytes is set below the default, the default follows it down.",
        |c, v| put(&mut c.spool.max_message_bytes, v.bytes(1..=MESSAGE_BYTES_MAX)),
    ),
    Opt::new(
        ("spool", "min_free"),
        Kind::Bytes,
        Preset::Value("\"64MiB\""),
        "Free space of the disk below which submits are refused, so that sending and cancelling still work.",
        |c, v| put(&mut c.spool.min_free_bytes, v.bytes(0..=u64::MAX)),
    ),
    Opt::new(
        ("spool", "reserve"),
        Kind::Bytes,
        Preset::Value("\"32MiB\""),
        "Disk space kept for the store, so that sending, cancelling and receipts go on when there is none left.",
        |c, v| put(&mut c.spool.reserve_bytes, v.bytes(0..=RESERVE_BYTES_MAX)),
    )
    .at_restart(),
    Opt::new(
        ("spool", "sent_retention"),
        Kind::Duration,
        Preset::Value("\"7d\""),
        "How long the receipt of a message is kept. A repeat of its msgID is recognized for as long.",
        |c, v| put(&mut c.spool.sent_retention, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("spool", "sent_data_max"),
        Kind::Bytes,
        Preset::Value("\"64MiB\""),
        "Bytes of new messages kept in receipts. Beyond it the oldest receipts lose theirs, and say so.",
        |c, v| put(&mut c.spool.sent_data_max_bytes, v.bytes(0..=u64::MAX)),
    ),
    Opt::new(
        ("spool", "sent_max"),
        Kind::Count,
        Preset::Value("1_000_000"),
        "Receipts kept at most. Beyond it the oldest go.",
        |c, v| put(&mut c.spool.sent_max, v.count(1..=COUNT_MAX)),
    ),
    Opt::new(
        ("spool", "failed_retention"),
        Kind::Duration,
        Preset::Value("\"30d\""),
        "How long a failed or expired message keeps its payload, so that a person can resend it.",
        |c, v| put(&mut c.spool.failed_retention, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
];

const RETRY: &[Opt] = &[
    Opt::new(
        ("retry", "initial"),
        Kind::Duration,
        Preset::Value("\"1s\""),
        "First delay after a failed attempt. Unset, it follows max down.",
        |c, v| put(&mut c.retry.initial, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("retry", "multiplier"),
        Kind::Number,
        Preset::Value("2.0"),
        "Growth of the delay with each attempt: above 1, at most 10.",
        |c, v| put(&mut c.retry.multiplier, multiplier(v)),
    ),
    Opt::new(
        ("retry", "max"),
        Kind::Duration,
        Preset::Value("\"5m\""),
        "Longest delay, before jitter. Unset, it follows initial up.",
        |c, v| put(&mut c.retry.max, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("retry", "jitter"),
        Kind::Number,
        Preset::Value("0.5"),
        "Share of a delay that chance takes away or adds: 0 to 1. It keeps many devices from returning at one moment.",
        |c, v| put(&mut c.retry.jitter, jitter(v)),
    ),
    Opt::new(
        ("retry", "max_attempts"),
        Kind::Count,
        Preset::Value("0"),
        "Attempts after which a message fails. 0: no limit, its age decides (ttl).",
        |c, v| put(&mut c.retry.max_attempts, v.count(0..=u32::MAX).map(NonZeroU32::new)),
    ),
    Opt::new(
        ("retry", "unknown_max_attempts"),
        Kind::Count,
        Preset::Value("5"),
        "Attempts after which a message fails whose result code is in no table.",
        |c, v| {
            put(
                &mut c.retry.unknown_max_attempts,
                v.count(1..=u32::MAX).map(|n| NonZeroU32::MIN.saturating_add(n - 1)),
            )
        },
    ),
    Opt::new(
        ("retry", "ttl"),
        Kind::Duration,
        Preset::Value("\"72h\""),
        "Life of a message that names none, from its submit on: 1s to 365d. Then it expires.",
        |c, v| put(&mut c.retry.ttl, v.duration(TTL_MIN..=TTL_MAX)),
    ),
    Opt::new(
        ("retry", "online_only_ttl"),
        Kind::Duration,
        Preset::Value("\"30s\""),
        "The same for messages to be delivered to those online only (onlineUserOnly).",
        |c, v| put(&mut c.retry.online_only_ttl, v.duration(TTL_MIN..=TTL_MAX)),
    ),
];

const CLASSES: &[Opt] = &[Opt::new(
    ("classes", "*"),
    Kind::Text,
    Preset::Example("\"80003\" = \"permanent_content\""),
    "What a result code of the service means, where that differs from the built-in table; for every transport. \
     Classes: transient_network, transient_server, rate_limited, auth, permanent_content, permanent_recipient, \
     permanent_request, file_upload, unknown. A code after which a message may have arrived stays one under a class \
     that only says when to try again.",
    |c, v| {
        let (code, class) = v.class()?;
        c.classes.insert(code, class);
        Ok(())
    },
)];

const DELIVERY: &[Opt] = &[
    Opt::new(
        ("delivery", "concurrency"),
        Kind::Count,
        Preset::Value("32"),
        "Attempts under way at once, each of another conversation: 1 to 1024.",
        |c, v| put(&mut c.delivery.concurrency, v.count(1..=1024)),
    ),
    Opt::new(
        ("delivery", "timeout"),
        Kind::Duration,
        Preset::Value("\"30s\""),
        "Longest wait for the answer to one attempt.",
        |c, v| put(&mut c.delivery.timeout, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("delivery", "order"),
        Kind::Words(Given::words::<Order>),
        Preset::Value("\"conversation\""),
        "What is kept in order: the messages of a conversation, or nothing.",
        |c, v| put(&mut c.delivery.order, v.choice()),
    ),
    Opt::new(
        ("delivery", "on_failed_head"),
        Kind::Words(Given::words::<OnFailedHead>),
        Preset::Value("\"continue\""),
        "When the first message of a conversation fails or is held: go on with the next, or wait for a person.",
        |c, v| put(&mut c.delivery.on_failed_head, v.choice()),
    ),
    Opt::new(
        ("delivery", "on_uncertain"),
        Kind::Words(Given::words::<OnUncertain>),
        Preset::Value("\"resend\""),
        "When a message may have arrived and the service can no longer recognize a repeat: send it again and say that it \
         may be a duplicate, ask a person, or give it up.",
        |c, v| put(&mut c.delivery.on_uncertain, v.choice()),
    ),
];

const LINK: &[Opt] = &[
    Opt::new(
        ("link", "watch"),
        Kind::Switch,
        Preset::Value("true"),
        "Whether to listen to the operating system's news about the network (on Linux: carriers, addresses, routes). News \
         starts a probe at once; it never says by itself that the link is up or down.",
        |c, v| put(&mut c.link.watch, v.switch()),
    )
    .at_restart(),
    Opt::new(
        ("link", "probe"),
        Kind::Address,
        Preset::Example("\"tcp://im.example.com:443\""),
        "Address that is probed while the link is down. Unset: the transport's own.",
        |c, v| put(&mut c.link.probe, v.probe().map(Some)),
    ),
    Opt::new(
        ("link", "probe_initial"),
        Kind::Duration,
        Preset::Value("\"1s\""),
        "First delay between probes. Unset, it follows probe_max down.",
        |c, v| put(&mut c.link.probe_initial, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("link", "probe_max"),
        Kind::Duration,
        Preset::Value("\"30s\""),
        "Longest delay between probes, before jitter. Unset, it follows probe_initial up.",
        |c, v| put(&mut c.link.probe_max, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
];

const CONTROL: &[Opt] = &[
    Opt::new(
        ("control", "socket"),
        Kind::Path,
        Preset::Example("\"/run/outbox/outbox.sock\""),
        "Path of the control socket, at most 107 bytes. Unset: /run/outbox/outbox.sock for root, else \
         $XDG_RUNTIME_DIR/outbox/outbox.sock, else run/outbox.sock beside the spool.",
        |c, v| put(&mut c.control.socket, v.path()),
    )
    .at_restart(),
    Opt::new(
        ("control", "mode"),
        Kind::Mode,
        Preset::Value("\"0600\""),
        "Permissions of the socket, in octal. Users and groups with a role need write permission to connect.",
        |c, v| put(&mut c.control.mode, v.mode_with(0o600)),
    )
    .at_restart(),
    Opt::new(
        ("control", "dir_mode"),
        Kind::Mode,
        Preset::Value("\"0700\""),
        "Permissions of the socket's directory if outboxd creates it. A directory that is there is never changed.",
        |c, v| put(&mut c.control.dir_mode, dir_mode(v)),
    )
    .at_restart(),
    role(
        "admin",
        "May do everything, like root and outboxd's own user. A list of \"user:NAME\" and \"group:NAME\".",
        |c, v| put(&mut c.control.roles.admin, v.principals()),
    ),
    role("operator", "May use every verb and read payloads.", |c, v| {
        put(&mut c.control.roles.operator, v.principals())
    }),
    role(
        "submit",
        "May submit, lease, report connectivity, pause and resume accounts, and read all but payloads.",
        |c, v| put(&mut c.control.roles.submit, v.principals()),
    ),
    role("read", "May read all but payloads.", |c, v| put(&mut c.control.roles.read, v.principals())),
];

const LOG: &[Opt] = &[
    Opt::new(
        ("log", "level"),
        Kind::Text,
        Preset::Value("\"info\""),
        "error, warn, info, debug, trace or off; or filter directives such as \"info,outboxd::engine=debug\".",
        |c, v| put(&mut c.log.level, v.log_level()),
    ),
    Opt::new(
        ("log", "format"),
        Kind::Words(Given::words::<LogFormat>),
        Preset::Value("\"auto\""),
        "How log lines look. auto: text on a terminal, else JSON. They go to standard error.",
        |c, v| put(&mut c.log.format, v.choice()),
    )
    .at_restart(),
];

const fn role(name: &'static str, doc: &'static str, set: Set) -> Opt {
    Opt::new(("control.roles", name), Kind::Principals, Preset::Value("[]"), doc, set)
}

fn multiplier(given: &Given<'_>) -> Result<f64, Problem> {
    let value = given.number()?;
    if value > 1.0 && value <= 10.0 {
        return Ok(value);
    }
    Err(Problem::new(format!("must be above 1 and at most 10, not {value}"))
        .hint("at 1 or below the delay would never grow; 2.0 doubles it each time"))
}

fn jitter(given: &Given<'_>) -> Result<f64, Problem> {
    let value = given.number()?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(Problem::new(format!("must lie between 0 and 1, not {value}"))
        .hint("it is a share of the delay: above 1 a delay could shrink to nothing; 0.5 means ±50 %"))
}

fn dir_mode(given: &Given<'_>) -> Result<u32, Problem> {
    let mode = given.mode_with(0o700)?;
    if mode & 0o002 != 0 {
        return Err(Problem::new("would let everybody write to the directory, and so replace the socket")
            .hint("write \"0700\", \"0750\" or \"0755\""));
    }
    Ok(mode)
}
