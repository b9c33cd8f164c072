//! Starting, killing and watching the real daemon.
//!
//! Owns:  processes and their folders, waiting with deadlines.
//! Never: knows what a call answers.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outbox_control::Client;
use outbox_control::types::{Entry, State};
use outboxd::service::{Dedup, Received, Reply, Service};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const OUTBOXD: &str = env!("CARGO_BIN_EXE_outboxd");
pub(crate) const OUTBOXCTL: &str = env!("CARGO_BIN_EXE_outboxctl");

/// How long a test waits for something that should happen at once, on a machine that is busy with others.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Longest pause between two looks at a condition.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// Asks until the answer is there, with growing pauses; fails the test when the time is over.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_within(what, SOON, look).await
}

/// The same with another deadline.
pub(crate) async fn until_within<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "within {within:?} not: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// A folder with a configuration, a spool and a socket. It outlives the daemons that run in it.
pub(crate) struct Place {
    dir: TempDir,
    config: PathBuf,
    pub(crate) spool: PathBuf,
    pub(crate) socket: PathBuf,
    /// What a daemon here logs.
    pub(crate) log_level: &'static str,
    /// What a daemon here finds in its environment besides the test's.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// How large a file a daemon here may write, in blocks as `ulimit -f` counts them.
    pub(crate) file_blocks: Option<u32>,
}

impl Place {
    /// A fresh folder; `toml` is the whole configuration but for spool and socket, which flags name.
    pub(crate) fn new(toml: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("outbox-").tempdir().expect("a folder");
        // Other users must reach the socket's own directory, whose mode is what counts.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let config = dir.path().join("outboxd.toml");
        std::fs::write(&config, toml).expect("the configuration");
        let (spool, socket) = (dir.path().join("spool"), dir.path().join("run/outbox.sock"));
        Self { dir, config, spool, socket, log_level: "debug", variables: Vec::new(), file_blocks: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.path().join("log")
    }

    /// The file with the configuration.
    pub(crate) fn config_path(&self) -> &Path {
        &self.config
    }

    /// Writes another configuration for the next start.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(&self.config, toml).expect("the configuration");
    }

    /// The command line of a daemon in this folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.file_blocks {
            Some(blocks) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -f {blocks} && exec \"$0\" \"$@\""), OUTBOXD]);
                shell
            }
            None => Command::new(OUTBOXD),
        };
        command.arg("run").arg("--config").arg(&self.config).arg("--spool").arg(&self.spool);
        command.arg("--socket").arg(&self.socket);
        command.args(["--log-level", self.log_level, "--log-format", "text"]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts a daemon here, whatever becomes of it.
    pub(crate) fn spawn(&self) -> Child {
        let log = std::fs::File::options().append(true).create(true).open(self.log_path());
        let log = log.expect("the log");
        let mut command = self.command();
        // It prints nothing; if it did, it would be seen here.
        command.stdout(log.try_clone().expect("the log")).stderr(log);
        command.spawn().expect("outboxd starts")
    }
}

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    pub(crate) place: Place,
    pub(crate) client: Client,
    child: Child,
}

impl Daemon {
    /// Starts a daemon in a fresh folder and waits until it answers.
    pub(crate) async fn start(toml: &str) -> Self {
        Self::start_in(Place::new(toml)).await
    }

    /// Starts a daemon in a folder and waits until it answers.
    pub(crate) async fn start_in(place: Place) -> Self {
        let child = place.spawn();
        let client = Client::new(&place.socket);
        let mut daemon = Self { place, client, child };
        daemon.wait_ready().await;
        daemon
    }

    async fn wait_ready(&mut self) {
        let deadline = Instant::now() + SOON;
        while self.client.ready().await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("outboxd ended instead of starting: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "outboxd does not answer\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a running daemon")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.log_path()).unwrap_or_default()
    }

    /// Kills the daemon with no chance to do anything more.
    pub(crate) async fn kill9(&mut self) {
        self.child.kill().await.expect("SIGKILL");
    }

    /// Asks the daemon to stop, without waiting for it.
    pub(crate) fn send_term(&self) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("SIGTERM");
    }

    /// Waits for the end of a daemon that was asked to stop; returns its exit code.
    pub(crate) async fn wait_end(&mut self) -> Option<i32> {
        let ended = timeout(SOON, self.child.wait()).await.expect("outboxd stops in time");
        ended.expect("its exit code").code()
    }

    /// Stops the daemon in order; returns its exit code.
    pub(crate) async fn term(&mut self) -> Option<i32> {
        self.send_term();
        self.wait_end().await
    }

    /// Starts a daemon that was stopped or killed again in its folder.
    pub(crate) async fn start_again(&mut self) {
        self.child = self.place.spawn();
        self.wait_ready().await;
    }

    /// Kills the daemon and has its spool looked at.
    pub(crate) async fn fsck(&mut self) -> Run {
        self.kill9().await;
        let mut fsck = Command::new(OUTBOXD);
        fsck.arg("fsck").arg(&self.place.spool);
        run(fsck, "").await
    }

    /// The same, and nothing may be wrong with it.
    pub(crate) async fn leaves_it_sound(&mut self) {
        let checked = self.fsck().await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }

    /// Kills the daemon and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.kill9().await;
        self.start_again().await;
    }

    /// The message's entry, once it satisfies the condition.
    pub(crate) async fn entry_when(&self, msg_id: &str, when: impl Fn(&Entry) -> bool) -> Entry {
        let what = format!("{msg_id} is as wanted");
        let deadline = Instant::now() + SOON;
        let mut pause = Duration::from_millis(5);
        loop {
            let entry = self.client.message(msg_id).await.expect(msg_id);
            if when(&entry) {
                return entry;
            }
            assert!(Instant::now() < deadline, "not in time: {what}: {entry:#?}");
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    /// The message's entry, once it is in a state.
    pub(crate) async fn entry_in(&self, msg_id: &str, state: State) -> Entry {
        self.entry_when(msg_id, |entry| entry.state == state).await
    }

    /// Runs `outboxctl` against this daemon.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Run {
        self.ctl_with(arguments, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn ctl_with(&self, arguments: &[&str], input: &str) -> Run {
        let mut command = Command::new(OUTBOXCTL);
        command.arg("--socket").arg(&self.place.socket).args(arguments);
        run(command, input).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of outboxd in {}\n{}---", self.place.path().display(), self.log());
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program to its end.
pub(crate) async fn run(mut command: Command, input: &str) -> Run {
    use tokio::io::AsyncWriteExt;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("its standard input");
    // A program that reads nothing closes it; that is its right.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let Output { status, stdout, stderr } =
        timeout(SOON, child.wait_with_output()).await.expect("the program ends in time").expect("its output");
    Run {
        code: status.code(),
        out: String::from_utf8(stdout).expect("text"),
        err: String::from_utf8(stderr).expect("text"),
    }
}

/// A loopback address that no other test uses, so that a port stays free while its service is down.
pub(crate) fn own_addr() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [_, _, _, process] = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, process, high, low.max(1)), 0))
}

/// Starts a service that recognizes send tokens, on an address of its own.
pub(crate) async fn service(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Service {
    Service::start_with(own_addr(), Dedup::ByToken, script).await.expect("a service")
}

/// Starts a service that takes every request as a new message.
pub(crate) async fn forgetful_service(
    script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> Service {
    Service::start_with(own_addr(), Dedup::Off, script).await.expect("a service")
}

/// A configuration whose transport is the service; `http` goes into `[transport.http]`, `more` are tables.
pub(crate) fn http_toml(service: &Service, http: &str, more: &str) -> String {
    let url = service.url();
    format!("{more}\n[transport]\nkind = \"http\"\n[transport.http]\nurl = \"{url}\"\n{http}\n")
}

/// Short delays, so that a test sees several attempts.
pub(crate) const QUICK: &str = r#"
[retry]
initial = "20ms"
max = "100ms"
[link]
probe_initial = "20ms"
probe_max = "100ms"
"#;

/// Delays so long that nothing is tried twice during a test.
pub(crate) const ONCE: &str = r#"
[retry]
initial = "10m"
max = "10m"
jitter = 0.0
[link]
probe_initial = "20ms"
probe_max = "100ms"
"#;
