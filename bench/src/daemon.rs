//! A real `outboxd` as a child: where it is, how it is configured, started, stopped and killed.
//!
//! Owns:  the child and its files; none outlives its value.
//! Never: measures more than the time until it is ready.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outbox_control::Client;
use tempfile::TempDir;
use tokio::time::sleep;

/// Which daemon is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Program {
    /// outboxd to measure; without it, the one beside this program, which `cargo run` brings up to date first
    #[arg(long, value_name = "FILE")]
    outboxd: Option<PathBuf>,
}

/// Time for a daemon to become ready: long after every target, so that a missed one is still measured.
const READY_WAIT: Duration = Duration::from_secs(300);
/// Time for a daemon to stop.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// Pause between two looks at a daemon that starts or stops; starts are measured to this.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How the names of the variables begin with which cargo describes a package.
const OF_THIS_PACKAGE: [&str; 5] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
/// Bytes of the log's end in an error.
const LOG_SHOWN: usize = 2000;

impl Program {
    /// The program to start.
    pub(crate) fn find(&self) -> Result<PathBuf> {
        if let Some(path) = &self.outboxd {
            ensure!(path.is_file(), "{} is no file: --outboxd names the daemon's program", path.display());
            return Ok(path.clone());
        }
        let own = std::env::current_exe().context("asking where this program is")?;
        let folder = own.parent().context("this program is in no folder")?;
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(Path::new(&cargo), folder)?;
        }
        let path = folder.join("outboxd");
        ensure!(
            path.is_file(),
            "{} is not there: build it (`cargo build --release -p outboxd`), or name one with --outboxd",
            path.display()
        );
        Ok(path)
    }
}

/// Builds the daemon as this program was built, which `folder` tells.
fn build(cargo: &Path, folder: &Path) -> Result<()> {
    let profile = folder.file_name().and_then(|name| name.to_str()).context("reading the profile's name")?;
    let target = folder.parent().context("this program is in no target folder")?;
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "-p", "outboxd", "--bin", "outboxd", "--profile"]);
    command.arg(if profile == "debug" { "dev" } else { profile }).arg("--target-dir").arg(target);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null());
    // `cargo run` describes this package in the environment. Build scripts elsewhere (ring's) watch these names, and
    // half the workspace would be built anew each time.
    for (name, _) in std::env::vars_os() {
        if OF_THIS_PACKAGE.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    let status = command.status().context("starting cargo to build outboxd")?;
    ensure!(status.success(), "cargo could not build outboxd; --outboxd names one that is there");
    Ok(())
}

/// Configuration, spool, socket and log of a daemon. They outlive the daemons that run there.
pub(crate) struct Place {
    program: PathBuf,
    dir: PathBuf,
    /// Paths of sockets are short; the folder for spools may be deep.
    socket_dir: TempDir,
}

impl Place {
    /// Makes a place in a folder that is not there yet.
    pub(crate) fn new(program: &Path, dir: PathBuf, toml: &str) -> Result<Self> {
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let config = dir.join("outboxd.toml");
        std::fs::write(&config, toml).with_context(|| format!("writing {}", config.display()))?;
        let socket_dir = tempfile::Builder::new().prefix("outbox-bench").tempdir();
        let socket_dir = socket_dir.context("making a folder for the socket")?;
        Ok(Self { program: program.to_owned(), dir, socket_dir })
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.join("spool")
    }

    fn socket(&self) -> PathBuf {
        self.socket_dir.path().join("s")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(self.dir.join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_SHOWN);
        String::from_utf8_lossy(log.get(from..).unwrap_or_default()).into_owned()
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options().append(true).create(true).open(self.dir.join("log"));
        let log = log.context("opening the daemon's log")?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(self.dir.join("outboxd.toml"));
        command.arg("--spool").arg(self.spool()).arg("--socket").arg(self.socket());
        command.args(["--log-level", "warn", "--log-format", "text"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("starting {}", self.program.display()))
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<Daemon<'_>> {
        let begun = Instant::now();
        let (child, client) = (self.spawn()?, Client::new(self.socket()));
        let mut daemon = Daemon { place: self, child, client, ready_after: Duration::ZERO };
        loop {
            if daemon.client.ready().await.is_ok_and(|answer| answer.ready) {
                daemon.ready_after = begun.elapsed();
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait().context("looking at outboxd")? {
                bail!("outboxd ended instead of starting ({status}): {}", self.log_end());
            }
            ensure!(begun.elapsed() < READY_WAIT, "outboxd does not become ready: {}", self.log_end());
            sleep(LOOK_EVERY).await;
        }
    }
}

/// A running daemon. It is killed when the value goes.
pub(crate) struct Daemon<'a> {
    place: &'a Place,
    child: Child,
    pub(crate) client: Client,
    /// From its start until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Daemon<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("reading a process id")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("stopping outboxd")?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_WAIT {
            if let Some(status) = self.child.try_wait().context("waiting for outboxd")? {
                ensure!(status.success(), "outboxd stopped with {status}: {}", self.place.log_end());
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("outboxd does not stop: {}", self.place.log_end())
    }

    /// Kills it with no chance to do anything more.
    pub(crate) fn kill9(self) {
        // Its value goes.
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration that posts to a service, without anything that slows it: no rate, many attempts at once.
pub(crate) fn http_toml(url: &str, concurrency: usize) -> String {
    format!(
        "[delivery]\nconcurrency = {concurrency}\n[transport]\nkind = \"http\"\n[transport.http]\nurl = \"{url}\"\n\
         dedup_window = \"10m\"\n"
    )
}
