//! The daemon: store, engine and socket, started and stopped in order.
//!
//! Owns:  the order of starting and stopping, signals, what is logged of both.
//! Never: handles a message.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use outbox::{Counters, EventKind, Gate, OpenError, OpenReport, Outbox};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::failed;
use crate::config::{self, Config};
use crate::engine::{Engine, Events, Handle, Setup, Wake};
use crate::reload;
use crate::server::{self, Context, InForce, Socket, SocketError};
use crate::settings::{Settings, SettingsError};
use crate::{found, net_news};

/// How often it is looked whether damage was met, and whether the store is still there: far sooner than anybody restarts the
/// daemon, and no wake-up to speak of.
const DAMAGE_LOOKED_FOR_EVERY: Duration = Duration::from_secs(30);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool does not open.
    #[error("{0}")]
    Spool(#[from] OpenError),
    /// The socket does not open.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The configuration cannot be used.
    #[error("{0}")]
    Settings(#[from] SettingsError),
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
            Self::Settings(error) => error.hint().into(),
            Self::System { .. } => "look at the system's limits".into(),
        }
    }

    /// The exit code of the contract.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) => crate::cli::EXIT_BAD_CONFIG,
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
    context: Arc<Context>,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Each part ended as it should, and the spool is closed.
    InOrder,
    /// A part ended badly, or the store has failed, before the stop or during it. What was accepted is as safe as after a kill, and
    /// the next start checks it.
    NotInOrder,
}

/// Starts a daemon: everything is ready when this returns.
///
/// # Errors
/// [`StartError`], whose `hint` says what to do. Nothing stays behind then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_parts(config, None).await
}

/// The same for a configuration that can be read again.
///
/// # Errors
/// As [`start`].
pub async fn start_loaded(loaded: config::Loaded) -> Result<Running, StartError> {
    start_parts(loaded.config.clone(), Some(loaded)).await
}

async fn start_parts(config: Config, loaded: Option<config::Loaded>) -> Result<Running, StartError> {
    let wake = Arc::new(Wake::default());
    let Settings { store, access, classes, engine } = Settings::of(&config, &wake, None)?;
    // The spool first: its lock tells two daemons apart whatever their sockets are.
    let tell = |report: &OpenReport, counters: &Counters| {
        found::log(report, counters);
        Ok(())
    };
    let opened = tokio::task::spawn_blocking(move || Outbox::open_and_tell(store, tell)).await;
    let outbox = opened.map_err(|error| StartError::System {
        what: "opening the spool",
        source: std::io::Error::other(error),
    })??;
    log_owner(&config.spool.path);
    wake.begin_with(outbox.counters());
    let socket = Socket::open(&config.control).await?;
    let socket_path = socket.path().to_owned();
    tokio::spawn(log_events(wake.listen()));
    let (engine, handle) =
        Engine::new(Setup { outbox: outbox.clone(), settings: engine, wake: Arc::clone(&wake) });
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(log_damage(outbox.clone(), stopped.clone()));
    let mut engine_stop = stopped.clone();
    let engine = tokio::spawn(engine.run(async move {
        // The sender never goes before it has said so.
        let _ = engine_stop.wait_for(|stop| *stop).await;
    }));
    if config.link.watch {
        tokio::spawn(watch_network(handle.clone(), stopped.clone()));
    }
    let (spool, transport) = (config.spool.path.clone(), config.transport.kind);
    let in_force = InForce { config, classes, access: Arc::new(access) };
    let context = Context::new(outbox.clone(), handle, wake, in_force, loaded, stopped.clone());
    let server = tokio::spawn(server::serve(socket, Arc::clone(&context), stopped));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        spool = %spool.display(),
        socket = %socket_path.display(),
        transport = transport.as_str(),
        "Started."
    );
    Ok(Running { outbox, engine: Some(engine), server: Some(server), stop, socket: socket_path, context })
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

    /// Reads the configuration again, and logs what came of it.
    async fn reload(&self) {
        // Whatever came of it is in the log.
        let _ = reload::reload(&self.context).await;
    }

    /// Stops in order: no new leases, attempts under way get their grace, the spool is closed.
    pub async fn stop(self) -> Stopped {
        drop(self.context);
        self.stop.send_replace(true);
        let mut stopped = Stopped::InOrder;
        for (part, task) in [("engine", self.engine), ("control socket", self.server)] {
            if let Some(task) = task
                && let Err(error) = task.await
            {
                tracing::error!(part, %error, "A part of the daemon ended badly.");
                stopped = Stopped::NotInOrder;
            }
        }
        let outbox = self.outbox;
        let closed = tokio::task::spawn_blocking(move || {
            outbox.close();
            outbox.failure()
        });
        let failure = match closed.await {
            Ok(failure) => failure.map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failure {
            None => tracing::info!("Stopped."),
            Some(error) => {
                tracing::error!(error, "The spool was not closed in order.");
                stopped = Stopped::NotInOrder;
            }
        }
        stopped
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
    if let Err(error) = crate::log::init(&loaded.config.log) {
        return failed(&error.to_string(), "correct [log] in the configuration", crate::cli::EXIT_BAD_CONFIG);
    }
    crate::process::log_engine_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&error.to_string(), "look at the system's limits", crate::cli::EXIT_FAILED);
        }
    };
    let ended = runtime.block_on(run_until_signal(loaded));
    // A look-up of a host's name cannot be interrupted; the process does not wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(code) => code,
        // To the terminal, whatever the log's format; nothing else was logged yet.
        Err(error) => failed(&error.to_string(), &error.hint(), error.exit_code()),
    }
}

async fn run_until_signal(loaded: config::Loaded) -> Result<ExitCode, StartError> {
    let system = |what| move |source| StartError::System { what, source };
    // Before anything else: a signal during the start must find its handler.
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listening to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening to SIGINT"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(system("listening to SIGHUP"))?;
    // Its default ends the process without a word where a file may not grow; with a handler the write fails, and is told.
    let file_size = SignalKind::from_raw(nix::libc::SIGXFSZ);
    let _handled = signal(file_size).map_err(system("listening to SIGXFSZ"))?;
    let mut running = start_loaded(loaded).await?;
    let code = loop {
        tokio::select! {
            _ = terminate.recv() => break ExitCode::SUCCESS,
            _ = interrupt.recv() => break ExitCode::SUCCESS,
            _ = hang_up.recv() => running.reload().await,
            () = running.broken() => {
                tracing::error!("A part of the daemon ended by itself; stopping.");
                break ExitCode::from(crate::cli::EXIT_FAILED);
            }
        }
    };
    match running.stop().await {
        Stopped::InOrder => Ok(code),
        // Whoever supervises it must not take this for a daemon that has nothing more to tell.
        Stopped::NotInOrder => Ok(ExitCode::from(crate::cli::EXIT_FAILED)),
    }
}

// --- the log -----------------------------------------------------------------------------------------------

/// Says that the spool is somebody else's: what this process writes into it is this user's.
fn log_owner(spool: &Path) {
    let user = nix::unistd::geteuid().as_raw();
    let owner = std::fs::metadata(spool.join("format")).map_or(user, |mark| mark.uid());
    if owner != user {
        tracing::warn!(
            owner,
            user,
            "The spool belongs to another user, who may not be able to open it any more: run outboxd as that user."
        );
    }
}

/// A line where a part of the store cannot be read any more, and one for each damaged file; nobody waits for it, so a look now and then
/// is enough.
async fn log_damage(outbox: Outbox, mut stopped: watch::Receiver<bool>) {
    let stop = stopped.wait_for(|stop| *stop);
    tokio::pin!(stop);
    let (mut has_met_damage, mut known) = (false, BTreeSet::new());
    loop {
        let looked_for = outbox.clone();
        // On a thread that may wait for the drive. What it finds, the engine tells.
        let _ = tokio::task::spawn_blocking(move || looked_for.look_for_store()).await;
        if outbox.has_met_damage() && !has_met_damage {
            has_met_damage = true;
            tracing::error!(
                "A part of the store cannot be read; a restart makes the store anew of the rest."
            );
        }
        let damaged: BTreeSet<String> = outbox.damaged_files().into_iter().collect();
        for msg_id in damaged.difference(&known) {
            tracing::error!(msg_id, "The file of a large message or replacement cannot be read.");
        }
        known = damaged;
        tokio::select! {
            _ = &mut stop => return,
            () = tokio::time::sleep(DAMAGE_LOOKED_FOR_EVERY) => {}
        }
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
                gate = event.gate.as_ref().map(gate_word),
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

const fn gate_word(gate: &Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Limited { .. } => "limited",
        Gate::Paused { .. } => "paused",
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
