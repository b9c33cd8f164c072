//! The option table, continued: the options of the transports.
//!
//! Owns:  the options of `[transport]` and its sub-tables.
//! Never: reads files or the environment, except where a value says to (`Given::secret_header`).

use std::time::Duration;

use super::given::{Given, Kind};
use super::table::{Opt, Preset, Set, Show, put};
use super::tim::REGIONS;
use super::types::{Config, TimAccount, TransportKind};
use super::units::{DURATION_MAX, DURATION_MIN, Problem};

/// Section of the first Tencent account.
const TIM: &str = "transport.tim";
/// Section of a further one.
const TIM_ACCOUNT: &str = "transport.tim.accounts.*";

/// All options of the transports. The keys of a further Tencent account are those of the first.
pub(crate) fn options() -> impl Iterator<Item = Opt> {
    let first = TIM_KEYS.iter().chain(TIM_COMMON).copied();
    let further = TIM_KEYS.iter().map(|opt| Opt {
        section: TIM_ACCOUNT,
        preset: Preset::Example(match opt.preset {
            Preset::Value(text) | Preset::Example(text) => text,
        }),
        ..*opt
    });
    COMMON.iter().copied().chain(first).chain(further)
}

const COMMON: &[Opt] = &[
    Opt::new(
        ("transport", "kind"),
        Kind::Words(Given::words::<TransportKind>),
        Preset::Value("\"app\""),
        "Who sends. app: the app asks for work on the control socket and reports. http: outboxd posts to a service. tim: \
         outboxd sends through the REST interface of Tencent IM.",
        |c, v| put(&mut c.transport.kind, v.choice()),
    )
    .at_restart(),
    Opt::new(
        ("transport.app", "rate"),
        Kind::Count,
        Preset::Value("5"),
        "Leases a second for each account.",
        |c, v| put(&mut c.transport.app.rate, v.count(1..=10_000)),
    ),
    Opt::new(
        ("transport.app", "dedup_window"),
        Kind::Duration,
        Preset::Value("\"0s\""),
        "How long the app's service recognizes a repeated send token. 0s: not at all.",
        |c, v| put(&mut c.transport.app.dedup_window, v.duration_or_zero(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("transport.http", "url"),
        Kind::Address,
        Preset::Example("\"https://im.example.com/send\""),
        "Where messages are posted. Required by kind = \"http\". print-config shows it: secrets belong into headers.",
        |c, v| put(&mut c.transport.http.url, v.url().map(Some)),
    ),
    Opt {
        show: Show::Hidden,
        ..Opt::new(
            ("transport.http", "headers.*"),
            Kind::Text,
            Preset::Value("headers = {}"),
            "Further headers of each request: { \"X-Tenant\" = \"blue\", \"Authorization\" = { file = \"/etc/outbox/token\" } }. \
             Whoever can read this file can read a value that stands here; one in a file of its own must be readable by its \
             owner only. In the environment: OUTBOXD_TRANSPORT__HTTP__HEADERS__AUTHORIZATION, with _ for each -.",
            |c, v| {
                let (name, value) = v.secret_header()?;
                c.transport.http.headers.insert(name, value);
                Ok(())
            },
        )
    },
    Opt::new(
        ("transport.http", "ca_file"),
        Kind::Path,
        Preset::Example("\"/etc/outbox/ca.pem\""),
        "Certificates (PEM) to trust besides those of the system.",
        |c, v| put(&mut c.transport.http.ca_file, v.readable_file().map(Some)),
    ),
    Opt::new(
        ("transport.http", "timeout"),
        Kind::Duration,
        Preset::Example("\"30s\""),
        "Longest wait for the answer to one attempt. Unset: that of [delivery].",
        |c, v| put(&mut c.transport.http.timeout, v.duration(DURATION_MIN..=DURATION_MAX)),
    ),
    Opt::new(
        ("transport.http", "dedup_window"),
        Kind::Duration,
        Preset::Value("\"0s\""),
        "How long the service recognizes a repeated Idempotency-Key. 0s: not at all. Set what yours keeps.",
        |c, v| put(&mut c.transport.http.dedup_window, v.duration_or_zero(DURATION_MIN..=DURATION_MAX)),
    ),
];

const TIM_KEYS: &[Opt] = &[
    tim(
        "host",
        Kind::Text,
        Preset::Example("\"adminapisgp.im.qcloud.com\""),
        "Host of the REST interface, with a port if need be, or its URL; or name a region.",
        |c, v| put(&mut account(c, v)?.host, v.base_url().map(Some)),
    ),
    tim(
        "region",
        Kind::Words(tim_regions),
        Preset::Example("\"singapore\""),
        "Region whose host is used.",
        |c, v| put(&mut account(c, v)?.region, v.one_of(&tim_regions()).map(Some)),
    ),
    tim(
        "sdk_app_id",
        Kind::Count,
        Preset::Example("1400000000"),
        "Number of the application (SDKAppID).",
        |c, v| put(&mut account(c, v)?.sdk_app_id, v.count(1..=u64::from(u32::MAX)).map(Some)),
    ),
    tim(
        "identifier",
        Kind::Text,
        Preset::Example("\"administrator\""),
        "User in whose name requests are signed: an administrator of the application. Messages keep their own sender.",
        |c, v| put(&mut account(c, v)?.identifier, v.name().map(Some)),
    ),
    tim(
        "secret_key_file",
        Kind::Path,
        Preset::Example("\"/etc/outbox/tim.key\""),
        "File with the application's secret key, readable by its owner only. It is read whenever a signature is made: a \
         corrected file needs no restart.",
        |c, v| put(&mut account(c, v)?.secret_key_file, v.secret_file().map(Some)),
    ),
    tim("rate", Kind::Count, Preset::Value("200"), "Calls a second.", |c, v| {
        put(&mut account(c, v)?.rate, v.count(1..=10_000).map(Some))
    }),
    tim("group_rate", Kind::Count, Preset::Value("40"), "Messages a second into one group.", |c, v| {
        put(&mut account(c, v)?.group_rate, v.count(1..=10_000).map(Some))
    }),
];

/// What all accounts have in common.
const TIM_COMMON: &[Opt] = &[
    tim(
        "ca_file",
        Kind::Path,
        Preset::Example("\"/etc/outbox/ca.pem\""),
        "Certificates (PEM) to trust besides those of the system.",
        |c, v| put(&mut c.transport.tim.ca_file, v.readable_file().map(Some)),
    ),
    tim(
        "dedup_window",
        Kind::Duration,
        Preset::Value("\"120s\""),
        "How long the service recognizes a repeated message to one person. Not above what it documents, 120s.",
        |c, v| put(&mut c.transport.tim.dedup_window, v.duration_or_zero(DURATION_MIN..=WINDOW_MAX)),
    ),
    tim(
        "group_dedup_window",
        Kind::Duration,
        Preset::Value("\"5m\""),
        "How long it does so in a group. Not above what it documents, 5m.",
        |c, v| {
            put(&mut c.transport.tim.group_dedup_window, v.duration_or_zero(DURATION_MIN..=GROUP_WINDOW_MAX))
        },
    ),
];

/// How long the service documents that it recognizes a repetition to one person. A repetition after that is a
/// second message to its reader, so nothing longer can be configured.
const WINDOW_MAX: Duration = Duration::from_secs(120);
/// The same for groups.
const GROUP_WINDOW_MAX: Duration = Duration::from_secs(300);

/// Regions with a REST host.
fn tim_regions() -> Vec<&'static str> {
    REGIONS.iter().map(|(name, _)| *name).collect()
}

const fn tim(key: &'static str, kind: Kind, preset: Preset, doc: &'static str, set: Set) -> Opt {
    Opt::new((TIM, key), kind, preset, doc, set)
}

/// The account that an option belongs to: the one in its section's name, or the first.
fn account<'c>(config: &'c mut Config, given: &Given<'_>) -> Result<&'c mut TimAccount, Problem> {
    match given.name {
        None => Ok(&mut config.transport.tim.default),
        Some(_) => {
            let name = given.account_name()?;
            Ok(config.transport.tim.accounts.entry(name).or_default())
        }
    }
}
