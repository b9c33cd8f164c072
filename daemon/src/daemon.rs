//! The daemon: store, engine and socket, started and stopped in order.
//!
//! Owns:  the order of starting and stopping, signals, what is logged of both.
//! Never: handles a message.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use outbox::{DedupWindow, EventKind, Notices, OpenError, Outbox};
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{self, Config, TimLogin, TransportKind};
use crate::engine::{Engine, Events, Handle, Quota, Quotas, Sender, Setup, Wake, connects};
use crate::net_news;
use crate::server::{self, Access, AccessError, Context, Socket, SocketError};
use crate::transport::Transport;
use crate::transport::http::{HttpOptions, HttpSetupError, HttpTransport};
use crate::transport::tim::{TimOptions, TimSetupError, TimTransport};
use crate::transport::verdict::{Classes, NotAServiceClass};

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool does not open.
    #[error("{0}")]
    Spool(#[from] OpenError),
    /// The socket does not open.
    #[error("{0}")]
    Socket(#[from] SocketError),
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
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl StartError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Spool(error) => error.hint(),
            Self::Socket(error) => error.hint(),
            Self::Access(_) => "correct [control.roles], or add the user or group".into(),
            Self::Http(_) | Self::Tim(_) | Self::Classes(_) | Self::Header(_) | Self::NoUrl => {
                "correct the configuration; `outboxd check-config` shows where".into()
            }
            Self::System { .. } => "look at the system's limits".into(),
        }
    }

    /// The exit code of the contract.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Access(_)
            | Self::Http(_)
            | Self::Tim(_)
            | Self::Classes(_)
            | Self::Header(_)
            | Self::NoUrl => crate::cli::EXIT_BAD_CONFIG,
            _ => crate::cli::EXIT_FAILED,
        }
    }
}

/// A running daemon.
pub struct Running {
    outbox: Outbox,
    /// `None` once it has ended and was waited for.
    engine: Option<JoinHandle<()>>,
    server: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    socket: PathBuf,
}

/// Starts a daemon: everything is ready when this returns.
///
/// # Errors
/// [`StartError`], whose `hint` says what to do. Nothing stays behind then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let access = Arc::new(Access::new(&config.control.roles)?);
    let classes = Classes::new(config.classes.clone())?;
    let wake = Arc::new(Wake::default());
    let store_config = store_config(&config, &wake);
    let clock = Arc::clone(&store_config.clock);
    let sender = sender(&config, &classes, clock)?;
    // The spool first: its lock tells two daemons apart whatever their sockets are.
    let opened = tokio::task::spawn_blocking(move || Outbox::open(store_config)).await;
    let outbox = opened.map_err(|error| StartError::System {
        what: "opening the spool",
        source: std::io::Error::other(error),
    })??;
    log_report(&outbox);
    wake.begin_with(outbox.counters());
    let socket = Socket::open(&config.control).await?;
    let socket_path = socket.path().to_owned();
    tokio::spawn(log_events(wake.listen()));
    let (engine, handle) = Engine::new(Setup {
        outbox: outbox.clone(),
        probe: probe(&config, &sender).map(|(host, port)| connects(host, port)),
        sender,
        probe_initial: config.link.probe_initial,
        probe_max: config.link.probe_max,
        concurrency: config.delivery.concurrency,
        wake: Arc::clone(&wake),
    });
    let (stop, stopped) = watch::channel(false);
    let mut engine_stop = stopped.clone();
    let engine = tokio::spawn(engine.run(async move {
        // The sender never goes before it has said so.
        let _ = engine_stop.wait_for(|stop| *stop).await;
    }));
    if config.link.watch {
        tokio::spawn(watch_network(handle.clone(), stopped.clone()));
    }
    let context = Context::new(outbox.clone(), handle, wake, Arc::clone(&config), classes);
    let server = tokio::spawn(server::serve(socket, context, access, stopped));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        spool = %config.spool.path.display(),
        socket = %socket_path.display(),
        transport = config.transport.kind.as_str(),
        "Started."
    );
    Ok(Running { outbox, engine: Some(engine), server: Some(server), stop, socket: socket_path })
}

/// Passes on the system's news of the network until the daemon stops.
async fn watch_network(engine: Handle, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = net_news::watch(engine) => {}
        // The sender never goes before it has said so.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

impl Running {
    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Stops in order: no new leases, attempts under way get their grace, the spool is closed.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for (part, task) in [("engine", self.engine), ("control socket", self.server)] {
            if let Some(task) = task
                && let Err(error) = task.await
            {
                tracing::error!(part, %error, "A part of the daemon ended badly.");
            }
        }
        let outbox = self.outbox;
        let closed = tokio::task::spawn_blocking(move || {
            outbox.close();
            outbox.failure()
        });
        match closed.await {
            Ok(None) => tracing::info!("Stopped."),
            Ok(Some(error)) => tracing::error!(%error, "The spool was not closed in order."),
            Err(error) => tracing::error!(%error, "The spool was not closed in order."),
        }
    }

    /// Waits until the engine or the socket ends by itself, which only a defect makes them do.
    async fn broken(&mut self) {
        let ended = tokio::select! {
            ended = wait_for(&mut self.engine) => ended,
            ended = wait_for(&mut self.server) => ended,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "A part of the daemon ended badly.");
        }
    }
}

/// Waits for a task and forgets it: it must not be waited for twice.
async fn wait_for(task: &mut Option<JoinHandle<()>>) -> Result<(), tokio::task::JoinError> {
    let ended = match task.as_mut() {
        Some(task) => task.await,
        None => std::future::pending().await,
    };
    *task = None;
    ended
}

/// Runs the daemon until a signal stops it.
#[must_use]
pub fn run(loaded: config::Loaded) -> ExitCode {
    let config = loaded.config;
    if let Err(error) = crate::log::init(&config.log) {
        return failed(&error.to_string(), "correct [log] in the configuration", crate::cli::EXIT_BAD_CONFIG);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&error.to_string(), "look at the system's limits", crate::cli::EXIT_FAILED);
        }
    };
    let ended = runtime.block_on(run_until_signal(config));
    // A look-up of a host's name cannot be interrupted; the process does not wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(code) => code,
        Err(error) => failed(&error.to_string(), &error.hint(), error.exit_code()),
    }
}

fn failed(what: &str, hint: &str, code: u8) -> ExitCode {
    use std::io::Write;
    // To the terminal in plain words, whatever the log's format; nothing else was logged yet.
    let _ = writeln!(std::io::stderr(), "outboxd: {what}\n  hint: {hint}");
    ExitCode::from(code)
}

async fn run_until_signal(config: Config) -> Result<ExitCode, StartError> {
    let system = |what| move |source| StartError::System { what, source };
    // Before anything else: a signal during the start must find its handler.
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listening to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening to SIGINT"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(system("listening to SIGHUP"))?;
    let mut running = start(config).await?;
    let code = loop {
        tokio::select! {
            _ = terminate.recv() => break ExitCode::SUCCESS,
            _ = interrupt.recv() => break ExitCode::SUCCESS,
            _ = hang_up.recv() => {
                tracing::warn!("The configuration is read at the start only; restart to change it.");
            }
            () = running.broken() => {
                tracing::error!("A part of the daemon ended by itself; stopping.");
                break ExitCode::from(crate::cli::EXIT_FAILED);
            }
        }
    };
    running.stop().await;
    Ok(code)
}

// --- from the configuration ------------------------------------------------------------------------------

pub(crate) fn store_config(config: &Config, wake: &Arc<Wake>) -> outbox::Config {
    let (spool, retry, delivery) = (&config.spool, &config.retry, &config.delivery);
    let wake = Arc::clone(wake);
    outbox::Config {
        holder: format!("outboxd, pid {}, socket {}", std::process::id(), config.control.socket.display()),
        max_messages: spool.max_messages,
        max_bytes: spool.max_bytes,
        max_message_bytes: spool.max_message_bytes,
        min_free_bytes: spool.min_free_bytes,
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
const fn dedup_window(config: &Config) -> DedupWindow {
    let transport = &config.transport;
    match transport.kind {
        TransportKind::App => DedupWindow::same(transport.app.dedup_window),
        TransportKind::Http => DedupWindow::same(transport.http.dedup_window),
        TransportKind::Tim => {
            DedupWindow { one_to_one: transport.tim.dedup_window, group: transport.tim.group_dedup_window }
        }
    }
}

fn sender(config: &Config, classes: &Classes, clock: Arc<dyn outbox::Clock>) -> Result<Sender, StartError> {
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

fn tim_options(config: &Config) -> TimOptions {
    let tim = &config.transport.tim;
    TimOptions { logins: tim.logins.clone(), ca_file: tim.ca_file.clone(), timeout: config.delivery.timeout }
}

fn http_transport(
    config: &Config,
    classes: &Classes,
    clock: Arc<dyn outbox::Clock>,
) -> Result<HttpTransport, StartError> {
    let http = &config.transport.http;
    let url = http.url.as_ref().ok_or(StartError::NoUrl)?.to_string();
    let mut headers = Vec::with_capacity(http.headers.len());
    for (name, value) in &http.headers {
        let bad = |_| StartError::Header(name.clone());
        let value = HeaderValue::from_str(value.expose_secret()).map_err(|error| bad(error.to_string()))?;
        headers
            .push((HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(error.to_string()))?, value));
    }
    let options = HttpOptions { url, headers, ca_file: http.ca_file.clone(), timeout: http.timeout };
    Ok(HttpTransport::new(options, classes.clone(), clock)?)
}

/// What to probe: the configured address, else the transport's own.
fn probe(config: &Config, sender: &Sender) -> Option<(String, u16)> {
    let configured = config.link.probe.as_ref().map(|probe| (probe.host.clone(), probe.port));
    configured.or_else(|| match sender {
        Sender::Push { transport, .. } => transport.probe_address(),
        Sender::App { .. } => None,
    })
}

// --- the log -----------------------------------------------------------------------------------------------

fn log_report(outbox: &Outbox) {
    let report = outbox.report();
    let counters = outbox.counters();
    tracing::info!(
        waiting = counters.waiting,
        failed = counters.failed,
        receipts = counters.receipts,
        clean = report.clean,
        interrupted = report.interrupted,
        "The spool is open."
    );
    if report.rebuilt {
        tracing::warn!("The spool's indices disagreed with its records and were made anew.");
    }
    if report.quarantined > 0 {
        tracing::error!(count = report.quarantined, "Records could not be read and were set aside.");
    }
    if let Some(lost) = report.lost {
        tracing::error!(
            from_seq = lost.from_seq,
            to_seq = lost.to_seq,
            "Acknowledged messages are missing from the store."
        );
    }
}

/// One line for each change of an entry, without its payload.
async fn log_events(mut events: Events) {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "Events came faster than the log.");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let what = sentence(event.kind);
        let msg_id = event.msg_id.as_deref().unwrap_or_default();
        let account = event.account.as_deref().unwrap_or_default();
        match event.kind {
            EventKind::Submitted | EventKind::Sending => {
                tracing::debug!(msg_id, account, seq = event.seq, "{what}");
            }
            EventKind::Quarantined => {
                tracing::error!(msg_id, seq = event.seq, reason = event.reason, "{what}");
            }
            EventKind::Failed | EventKind::Uncertain | EventKind::Account => tracing::warn!(
                msg_id,
                account,
                seq = event.seq,
                code = event.code,
                desc = event.desc,
                reason = event.reason,
                "{what}"
            ),
            _ => tracing::info!(
                msg_id,
                account,
                seq = event.seq,
                code = event.code,
                new_msg_id = event.new_msg_id,
                reason = event.reason,
                "{what}"
            ),
        }
    }
}

/// An event as a sentence.
const fn sentence(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Submitted => "Submitted.",
        EventKind::Deferred => "Deferred.",
        EventKind::Sending => "Sending.",
        EventKind::Sent => "Sent.",
        EventKind::Failed => "Failed.",
        EventKind::Expired => "Expired.",
        EventKind::Cancelled => "Cancelled.",
        EventKind::Held => "Held.",
        EventKind::Released => "Released.",
        EventKind::Uncertain => "Uncertain: it may have arrived.",
        EventKind::Quarantined => "A record could not be read and was set aside.",
        EventKind::Account => "An account's gate changed.",
    }
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
