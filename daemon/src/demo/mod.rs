//! `outboxd demo`: the real daemon against an unreliable service, through an outage, with a verdict.
//!
//! Owns:  the demo's folder, daemon and service from start to end; its exit code.
//! Never: touches a spool that it did not make, listens beyond loopback, talks to the daemon other than over
//!        its socket.
//!
//! ```text
//! messages ─▶ script ─▶ story ─▶ verdict
//! (what)      (faults)  (the run) (ledger against receipts)
//! ```

mod folder;
mod messages;
mod random;
mod screen;
mod script;
mod story;
#[cfg(test)]
mod tests;
mod verdict;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use outbox_control::{Client, ClientError};
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::cli::{DemoArgs, EXIT_FAILED};
use crate::config::{Config, TransportKind};
use crate::daemon::{self, Running, StartError};
use crate::service::Dedup;

use folder::Folder;
use messages::Message;
use random::Random;
use screen::{Screen, Tone};
use script::{Plan, Script};
use story::Story;

/// The whole run may take so long, and longer runs [`LIMIT_PER_MESSAGE`] more for each message beyond
/// [`LIMIT_COVERS`]: a slow disk syncs a hundred times a second.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_COVERS: u32 = 2_000;
const LIMIT_PER_MESSAGE: Duration = Duration::from_millis(10);
/// Longest wait for the daemon to stop: its own grace for attempts is 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long the service remembers a token: longer than any run, so that no repeat falls outside.
const DEDUP_WINDOW: Duration = Duration::from_secs(1200);
/// The answers within one conversation take so long altogether at the most: long enough to see the bar move.
const ANSWERS_LANE_MAX: Duration = Duration::from_secs(6);
/// The conversations as a divisor.
const LANES: u32 = messages::CONVERSATIONS_COUNT as u32;

/// How fast the run goes, and whether the service remembers.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// How long the service stays down after the last message was accepted.
    outage: Duration,
    /// The longest that an answer takes.
    answer_max: Duration,
    /// Whether the service recognizes a repeated token.
    dedup: Dedup,
}

impl Setting {
    /// Slow enough to read along.
    const TO_WATCH: Self = Self {
        outage: Duration::from_secs(3),
        answer_max: Duration::from_millis(250),
        dedup: Dedup::ByToken,
    };
}

/// Why the demo could not be carried out; what it found out about the daemon is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the system gives no port on loopback: {0}")]
    Port(std::io::Error),
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot make the messages: {0}")]
    Messages(#[from] serde_json::Error),
    #[error("cannot make the service's address: {0}")]
    Address(#[from] http::uri::InvalidUri),
    #[error("the daemon does not start: {source}\n  hint: {}", source.hint())]
    Start { source: StartError },
    #[error("the service cannot listen on its own port: {0}")]
    Service(std::io::Error),
    #[error("{what}: {source}")]
    Call { what: &'static str, source: ClientError },
    #[error("message {msg_id} was not accepted: {why}")]
    NotAccepted { msg_id: String, why: String },
    #[error("{what}: not within the limit of {limit_s} s for the whole run")]
    TooSlow { what: &'static str, limit_s: u64 },
}

/// How a run came to its end.
enum End {
    /// Everything was as it must be.
    Passed,
    /// The verdict found something.
    Found,
    /// A person stopped it.
    Interrupted,
}

/// Runs the demo: exit code 0 only if nothing was lost, doubled or reordered.
#[must_use]
pub fn run(args: DemoArgs) -> ExitCode {
    let screen = Screen::of_process(args.no_color);
    let interrupted = || {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(DemoError::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    };
    run_with(&args, Setting::TO_WATCH, screen, interrupted)
}

/// Runs it in a given setting. `interrupted` is called before anything is made, and ends the run when it is ready.
fn run_with<I: Future<Output = ()>>(
    args: &DemoArgs,
    setting: Setting,
    mut screen: Screen,
    interrupted: impl FnOnce() -> Result<I, DemoError>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen.text(&format!("The demo cannot start: {error}"));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let ended = runtime.block_on(async {
        let interrupted = interrupted()?;
        demo(args, setting, &mut screen, interrupted).await
    });
    // The service's connections and the like have no more to say.
    runtime.shutdown_background();
    match ended {
        Ok(End::Passed) => ExitCode::SUCCESS,
        Ok(End::Found | End::Interrupted) => ExitCode::from(EXIT_FAILED),
        Err(error) => {
            screen.end_progress();
            screen.text(&format!("\nThe demo could not be carried out: {error}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

async fn demo(
    args: &DemoArgs,
    setting: Setting,
    screen: &mut Screen,
    interrupted: impl Future<Output = ()>,
) -> Result<End, DemoError> {
    let seed = args.seed.unwrap_or_else(random::fresh_seed);
    let mut folder = Folder::create().map_err(|(path, source)| DemoError::Folder { path, source })?;
    let mut random = Random::new(seed);
    let messages = messages::messages(&mut random, args.messages)?;
    let answer_max = setting.answer_max.min(ANSWERS_LANE_MAX / args.messages.div_ceil(LANES).max(1));
    let plan = Plan::draw(&mut random, &messages, answer_max);
    screen.text(&headline(args, seed, plan.refused().len(), &folder));
    let (port, address) = reserve_port().map_err(DemoError::Port)?;
    let running =
        daemon::start(config(&folder, address)?).await.map_err(|source| DemoError::Start { source })?;
    let told = tokio::select! {
        told = tell(setting, screen, &messages, plan, address, &running) => told,
        () = interrupted => Ok(End::Interrupted),
    };
    screen.end_progress();
    if matches!(told, Ok(End::Interrupted)) {
        screen.text("\nInterrupted; stopping.");
    }
    if tokio::time::timeout(STOP_LIMIT, running.stop()).await.is_err() {
        screen.text(&format!("The daemon did not stop within {} s.", STOP_LIMIT.as_secs()));
    }
    drop(port);
    if args.keep || matches!(told, Ok(End::Found) | Err(_)) {
        folder.keep();
        screen.text(&how_to_look(&folder));
    }
    told
}

async fn tell(
    setting: Setting,
    screen: &mut Screen,
    messages: &[Message],
    plan: Plan,
    address: SocketAddr,
    running: &Running,
) -> Result<End, DemoError> {
    let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    let limit = LIMIT + LIMIT_PER_MESSAGE * count.saturating_sub(LIMIT_COVERS);
    let refused = plan.refused();
    let mut story = Story {
        client: Client::new(running.socket()),
        screen,
        messages,
        script: Arc::new(Script::new(plan)),
        address,
        setting,
        deadline: Instant::now() + limit,
        limit,
    };
    let verdict = story.tell(&refused).await?;
    let (took, incidents) = (story.screen.elapsed(), story.script.incidents());
    screen.end_progress();
    screen.text(&format!("\n{}\n", verdict.table(&incidents, took)));
    let complaints = verdict.complaints();
    if complaints.is_empty() {
        let fine = screen.paint(Tone::Good, "PASSED");
        screen
            .text(&format!("{fine}: nothing was lost, doubled or reordered; only the refused ones failed."));
        return Ok(End::Passed);
    }
    let bad = screen.paint(Tone::Bad, "FAILED");
    screen.text(&format!("{bad}:\n  {}", complaints.join("\n  ")));
    Ok(End::Found)
}

/// Keeps a port of loopback for the service without listening: whoever connects is refused, nobody else gets
/// the port meanwhile, and the kernel does not take it for the daemon's own end of a probe.
fn reserve_port() -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// The daemon's defaults, with delays short enough for a demo.
fn config(folder: &Folder, address: SocketAddr) -> Result<Config, DemoError> {
    let mut config = Config::defaults(folder.spool(), folder.socket());
    let url: Uri = format!("http://{address}/send").parse()?;
    config.transport.kind = TransportKind::Http;
    config.transport.http.url = Some(url);
    config.transport.http.timeout = Duration::from_secs(5);
    config.transport.http.dedup_window = DEDUP_WINDOW;
    config.retry.initial = Duration::from_millis(200);
    config.retry.max = Duration::from_secs(1);
    config.link.probe_initial = Duration::from_millis(200);
    config.link.probe_max = Duration::from_millis(600);
    // The demo's network is loopback: what the machine's own network does must not disturb it.
    config.link.watch = false;
    config.log.level = "off".to_owned();
    Ok(config)
}

fn headline(args: &DemoArgs, seed: u64, refused: usize, folder: &Folder) -> String {
    let count = args.messages;
    let refused = ["none", "one"].get(refused).copied().unwrap_or("two");
    let messages = if count == 1 { "message" } else { "messages" };
    format!(
        "Outbox demo: {count} {messages}, {LANES} conversations, one outage\n\n\
         \x20 1. A messaging service on this machine is down. The daemon accepts everything.\n\
         \x20 2. The service comes up, answers some with 503, takes some without answering,\n\
         \x20    and refuses {refused} for their content.\n\
         \x20 3. What arrived is compared with what was accepted.\n\n\
         \x20 folder  {}\n\
         \x20 seed    {seed}  (--seed {seed} repeats messages and faults)\n",
        folder.path().display()
    )
}

fn how_to_look(folder: &Folder) -> String {
    format!(
        "\nThe folder is kept. To look into it (without a transport, nothing is sent):\n\
         \x20 cd {}\n\
         \x20 outboxd --spool \"$PWD/spool\" --socket \"$PWD/outbox.sock\" &\n\
         \x20 outboxctl --socket outbox.sock status\n\
         \x20 outboxctl --socket outbox.sock list --state failed\n\
         \x20 outboxctl --socket outbox.sock sent\n\
         When done: kill %1, and remove the folder.",
        folder.path().display()
    )
}
