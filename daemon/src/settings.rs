//! What a configuration makes of each part of the daemon: store, engine, access, classes.
//!
//! Owns:  the way from the typed configuration to the parts' own settings.
//! Never: puts anything into use: a start and a reload do, once all of it is known to be good.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use outbox::{DedupWindow, Notices};
use secrecy::ExposeSecret;

use crate::config::{Config, TimLogin, TransportKind};
use crate::engine::{EngineSettings, Quota, Quotas, Sender, Wake, connects};
use crate::server::{Access, AccessError};
use crate::transport::Transport;
use crate::transport::http::{HttpOptions, HttpSetupError, HttpTransport};
use crate::transport::tim::{TimOptions, TimSetupError, TimTransport};
use crate::transport::verdict::{Classes, NotAServiceClass};

/// Why a configuration that reads well cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The roles cannot be used.
    #[error("{0}")]
    Access(#[from] AccessError),
    /// The transport cannot be used.
    #[error("{0}")]
    Http(#[from] HttpSetupError),
    /// The transport cannot be used.
    #[error("{0}")]
    Tim(#[from] TimSetupError),
    /// A class cannot be used.
    #[error("{0}")]
    Classes(#[from] NotAServiceClass),
    /// A header cannot be used.
    #[error("transport.http.headers: `{0}` is not a valid header")]
    Header(String),
    /// The configuration chooses `http` and names no URL.
    #[error("transport.http.url is missing")]
    NoUrl,
}

impl SettingsError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Access(_) => "correct [control.roles], or add the user or group",
            _ => "correct the configuration; `outboxd check-config` shows where",
        }
    }
}

/// What the parts are given.
pub struct Settings {
    /// The store's.
    pub store: outbox::Config,
    /// Who may do what on the socket.
    pub access: Access,
    /// What result codes mean.
    pub classes: Classes,
    /// The engine's.
    pub engine: EngineSettings,
}

impl Settings {
    /// Prepares all of it; nothing is connected. `wake` hears the store, and `clock` is the time of signatures.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn of(
        config: &Config,
        wake: &Arc<Wake>,
        clock: Option<Arc<dyn outbox::Clock>>,
    ) -> Result<Self, SettingsError> {
        let access = Access::new(&config.control.roles)?;
        let classes = Classes::new(config.classes.clone())?;
        let mut store = store_config(config, wake);
        if let Some(clock) = clock {
            store.clock = clock;
        }
        let sender = sender(config, &classes, Arc::clone(&store.clock))?;
        let engine = EngineSettings {
            probe: probe(config, &sender).map(|(host, port)| connects(host, port)),
            sender,
            probe_initial: config.link.probe_initial,
            probe_max: config.link.probe_max,
            concurrency: config.delivery.concurrency,
        };
        Ok(Self { store, access, classes, engine })
    }
}

/// What the configuration says to the store. `wake` hears of its changes.
pub(crate) fn store_config(config: &Config, wake: &Arc<Wake>) -> outbox::Config {
    let (spool, retry, delivery) = (&config.spool, &config.retry, &config.delivery);
    let wake = Arc::clone(wake);
    outbox::Config {
        holder: format!("outboxd, pid {}, socket {}", std::process::id(), config.control.socket.display()),
        max_messages: spool.max_messages,
        max_bytes: spool.max_bytes,
        max_message_bytes: spool.max_message_bytes,
        min_free_bytes: spool.min_free_bytes,
        reserve_bytes: spool.reserve_bytes,
        sent_retention: spool.sent_retention,
        sent_data_max_bytes: spool.sent_data_max_bytes,
        sent_max: spool.sent_max,
        ttl: retry.ttl,
        online_only_ttl: retry.online_only_ttl,
        order: delivery.order,
        policy: outbox::Policy {
            retry: outbox::RetryPolicy {
                initial: retry.initial,
                multiplier: retry.multiplier,
                max: retry.max,
                jitter: retry.jitter,
                max_attempts: retry.max_attempts.map_or(0, std::num::NonZeroU32::get),
                unknown_max_attempts: retry.unknown_max_attempts.get(),
            },
            dedup_window: dedup_window(config),
            on_uncertain: delivery.on_uncertain,
            on_failed_head: delivery.on_failed_head,
            failed_retention: spool.failed_retention,
        },
        observer: Some(Arc::new(move |notices: &Notices| wake.observe(notices))),
        ..outbox::Config::new(&spool.path)
    }
}

/// How long the configured transport's service recognizes a repeated token.
pub(crate) const fn dedup_window(config: &Config) -> DedupWindow {
    let transport = &config.transport;
    match transport.kind {
        TransportKind::App => DedupWindow::same(transport.app.dedup_window),
        TransportKind::Http => DedupWindow::same(transport.http.dedup_window),
        TransportKind::Tim => {
            DedupWindow { one_to_one: transport.tim.dedup_window, group: transport.tim.group_dedup_window }
        }
    }
}

fn sender(
    config: &Config,
    classes: &Classes,
    clock: Arc<dyn outbox::Clock>,
) -> Result<Sender, SettingsError> {
    let transport: Arc<dyn Transport> = match config.transport.kind {
        TransportKind::App => return Ok(Sender::App { rate: config.transport.app.rate }),
        TransportKind::Http => Arc::new(http_transport(config, classes, clock)?),
        TransportKind::Tim => Arc::new(TimTransport::new(tim_options(config), classes.clone(), clock)?),
    };
    Ok(Sender::Push { transport, quotas: quotas(config) })
}

/// How many messages of each account the transport may be given.
fn quotas(config: &Config) -> Quotas {
    let of = match config.transport.kind {
        // The service says itself when it is enough.
        TransportKind::App | TransportKind::Http => HashMap::new(),
        TransportKind::Tim => {
            let quota = |(name, login): (&String, &TimLogin)| (name.clone(), Quota::smooth(login.rate));
            config.transport.tim.logins.iter().map(quota).collect()
        }
    };
    Quotas { each: None, of }
}

pub(crate) fn tim_options(config: &Config) -> TimOptions {
    let tim = &config.transport.tim;
    TimOptions { logins: tim.logins.clone(), ca_file: tim.ca_file.clone(), timeout: config.delivery.timeout }
}

fn http_transport(
    config: &Config,
    classes: &Classes,
    clock: Arc<dyn outbox::Clock>,
) -> Result<HttpTransport, SettingsError> {
    let http = &config.transport.http;
    let url = http.url.as_ref().ok_or(SettingsError::NoUrl)?.to_string();
    let mut headers = Vec::with_capacity(http.headers.len());
    for (name, value) in &http.headers {
        let bad = |_| SettingsError::Header(name.clone());
        let value = HeaderValue::from_str(value.expose_secret()).map_err(|error| bad(error.to_string()))?;
        headers
            .push((HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(error.to_string()))?, value));
    }
    let options = HttpOptions { url, headers, ca_file: http.ca_file.clone(), timeout: http.timeout };
    Ok(HttpTransport::new(options, classes.clone(), clock)?)
}

/// What to probe: the configured address, else the transport's own.
pub(crate) fn probe(config: &Config, sender: &Sender) -> Option<(String, u16)> {
    let configured = config.link.probe.as_ref().map(|probe| (probe.host.clone(), probe.port));
    configured.or_else(|| match sender {
        Sender::Push { transport, .. } => transport.probe_address(),
        Sender::App { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{FileChoice, Flags, Sources, User, load};

    #[test]
    fn each_transport_has_the_windows_of_its_own_service() {
        let environment = [("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")].into_iter().collect();
        let nothing = FileChoice::Nothing;
        let sources = Sources { file: nothing, flags: Flags::default(), environment, user: User::Other };
        let mut config = load(sources).unwrap().config;
        config.transport.http.dedup_window = Duration::from_secs(7);
        let mut windows = Vec::new();
        for kind in [TransportKind::App, TransportKind::Http, TransportKind::Tim] {
            config.transport.kind = kind;
            let window = dedup_window(&config);
            windows.push((window.of(false).as_secs(), window.of(true).as_secs()));
        }
        assert_eq!(windows, [(0, 0), (7, 7), (120, 300)]);
    }
}
