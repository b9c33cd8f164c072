//! The copies that `export` and `fsck` make of a store: what is left of them, however the command ends.
//!
//! Owns:  signals at a command that is at work, kills, and what the next run clears up.
//! Never: knows what a command says of a spool.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::{Daemon, OUTBOXD, SOON, until};
use crate::messages::{submit, submit_with};

/// A stopped daemon with a spool, and a folder for temporary files.
struct Stopped {
    daemon: Daemon,
    temporary: PathBuf,
}

impl Stopped {
    /// One with more than a pipe holds, a part of it in a payload file.
    async fn new() -> Self {
        let mut daemon = Daemon::start("").await;
        let padding = format!(r#""webMessageInstatnce":{{"x":"{}"}}"#, "y".repeat(40_000));
        for number in 0..8 {
            let body = submit_with(&format!("large-{number}"), "lena", &padding);
            daemon.client.submit_json(body.into_bytes()).await.unwrap();
        }
        daemon.client.submit_json(submit("small", "till").into_bytes()).await.unwrap();
        assert_eq!(daemon.term().await, Some(0));
        let temporary = daemon.place.path().join("temporary");
        fs::create_dir(&temporary).unwrap();
        Self { daemon, temporary }
    }

    fn spool(&self) -> &Path {
        &self.daemon.place.spool
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(OUTBOXD);
        command.args(arguments).arg(self.spool());
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.env("TMPDIR", &self.temporary).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
    }

    /// What lies in the folder for temporary files.
    fn copies(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.temporary).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// A pipe that a command reads at a named place: it waits there.
struct Pipe(PathBuf);

impl Pipe {
    /// Has a command come to a place of its way and wait.
    fn at(stopped: &Stopped, command: &mut Command, place: &str) -> Self {
        static PIPES: AtomicUsize = AtomicUsize::new(0);
        let number = PIPES.fetch_add(1, Ordering::Relaxed);
        let path = stopped.daemon.place.path().join(format!("pipe-{number}"));
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        command.env("OUTBOX_CRASH", format!("{place} 1")).env("OUTBOX_CRASH_PIPE", &path);
        Self(path)
    }

    /// Once it is there; it waits until the answer is dropped.
    async fn is_read(&self) -> File {
        until("the command is there", async || {
            let mut options = File::options();
            options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
            options.open(&self.0).ok()
        })
        .await
    }
}

/// On the way of a command that looks at a spool: its copy is whole, open, and about to be read.
const PLACES: [&str; 3] = ["before open store", "after open store", "after sync store"];

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

async fn code_of(mut child: Child) -> Option<i32> {
    timeout(SOON, child.wait()).await.expect("the command ends").unwrap().code()
}

const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

fn code_for(signal: Signal) -> Option<i32> {
    Some(128 + signal as i32)
}

#[tokio::test]
async fn a_signal_ends_an_export_that_nobody_reads_and_its_copy_goes() {
    let stopped = Stopped::new().await;
    for signal in SIGNALS {
        let mut export = stopped.command(&["export"]).spawn().unwrap();
        export.stdout.as_mut().unwrap().read_u8().await.unwrap();
        assert_eq!(stopped.copies().len(), 1, "it reads a copy");
        send(&export, signal);
        assert_eq!(code_of(export).await, code_for(signal), "{signal}");
        assert_eq!(stopped.copies(), Vec::<PathBuf>::new(), "{signal}");
    }
}

#[tokio::test]
async fn a_signal_ends_a_command_wherever_it_is_at_work() {
    let stopped = Stopped::new().await;
    for place in PLACES {
        for arguments in [&["fsck"][..], &["fsck", "--repair"], &["export"]] {
            for signal in SIGNALS {
                let mut command = stopped.command(arguments);
                let pipe = Pipe::at(&stopped, &mut command, place);
                let command = command.spawn().unwrap();
                let waits = pipe.is_read().await;
                assert_eq!(stopped.copies().len(), 1, "{arguments:?}");
                send(&command, signal);
                assert_eq!(code_of(command).await, code_for(signal), "{arguments:?}, {place}, {signal}");
                assert_eq!(stopped.copies(), Vec::<PathBuf>::new(), "{arguments:?}, {place}, {signal}");
                drop(waits);
            }
        }
    }
}

#[tokio::test]
async fn a_signal_that_was_to_be_ignored_is_ignored() {
    let stopped = Stopped::new().await;
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" fsck \"$1\"", OUTBOXD]).arg(stopped.spool());
    stopped.prepare(&mut shell);
    let pipe = Pipe::at(&stopped, &mut shell, PLACES[0]);
    let check = shell.spawn().unwrap();
    let waits = pipe.is_read().await;
    send(&check, Signal::SIGHUP);
    drop(waits);
    assert_eq!(code_of(check).await, Some(0), "as under nohup");
    assert_eq!(stopped.copies(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_copy_of_a_killed_run_goes_with_the_next_and_that_of_a_living_one_stays() {
    let stopped = Stopped::new().await;
    let mut living = stopped.command(&["export"]);
    let pipe = Pipe::at(&stopped, &mut living, PLACES[0]);
    let living = living.spawn().unwrap();
    let living_waits = pipe.is_read().await;
    let copy_of_the_living = stopped.copies();
    let mut killed = stopped.command(&["fsck"]);
    let pipe = Pipe::at(&stopped, &mut killed, PLACES[0]);
    let mut killed = killed.spawn().unwrap();
    let killed_waits = pipe.is_read().await;
    killed.kill().await.unwrap();
    assert_eq!(stopped.copies().len(), 2, "nobody could remove it");
    drop(killed_waits);
    // What is not known to be ours stays.
    let others = stopped.temporary.join("outbox-copy-of-mine");
    fs::create_dir(&others).unwrap();

    assert_eq!(code_of(stopped.command(&["fsck"]).spawn().unwrap()).await, Some(0));
    let mut left = stopped.copies();
    left.retain(|path| *path != others);
    assert_eq!(left, copy_of_the_living);
    assert!(others.exists());
    send(&living, Signal::SIGTERM);
    assert_eq!(code_of(living).await, code_for(Signal::SIGTERM));
    assert_eq!(stopped.copies(), [others]);
    drop(living_waits);
}

#[tokio::test]
async fn a_command_without_a_folder_for_temporary_files_says_so() {
    let stopped = Stopped::new().await;
    fs::remove_dir(&stopped.temporary).unwrap();
    for arguments in [&["export"][..], &["fsck"]] {
        let output = stopped.command(arguments).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let cause = io::Error::from_raw_os_error(nix::libc::ENOENT).to_string();
        assert!(said.contains("temporary/outbox-copy-") && said.contains(&cause), "{said}");
        assert!(said.contains("TMPDIR"), "{said}");
    }
}
