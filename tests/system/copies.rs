//! The copies that `export` and `fsck` make of a store: what is left of them, however the command ends.
//!
//! Owns:  signals at a command that is at work, kills, and what the next run clears up.
//! Never: knows what a command says of a spool.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

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

/// A pipe in the place of a file: whoever reads it waits.
struct Pipe(PathBuf);

impl Pipe {
    fn instead_of(path: PathBuf) -> Self {
        let _ = fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        Self(path)
    }

    /// Once somebody reads; that one waits until the answer is dropped.
    async fn is_read(&self) -> File {
        until("somebody reads the pipe", async || {
            let mut options = File::options();
            options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
            options.open(&self.0).ok()
        })
        .await
    }
}

fn payload_file(spool: &Path) -> PathBuf {
    fs::read_dir(spool.join("payloads")).unwrap().next().unwrap().unwrap().path()
}

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
async fn a_signal_ends_a_check_while_it_copies_and_while_it_reads() {
    let stopped = Stopped::new().await;
    for (arguments, file) in [
        (&["fsck"][..], stopped.spool().join("store/slow")),
        (&["fsck", "--repair"], stopped.spool().join("store/slow")),
        (&["export"], stopped.spool().join("store/slow")),
        (&["fsck"], payload_file(stopped.spool())),
    ] {
        let pipe = Pipe::instead_of(file);
        for signal in SIGNALS {
            let command = stopped.command(arguments).spawn().unwrap();
            let reads = pipe.is_read().await;
            assert_eq!(stopped.copies().len(), 1, "{arguments:?}");
            send(&command, signal);
            assert_eq!(code_of(command).await, code_for(signal), "{arguments:?}, {signal}");
            assert_eq!(stopped.copies(), Vec::<PathBuf>::new(), "{arguments:?}, {signal}");
            drop(reads);
        }
        fs::remove_file(&pipe.0).unwrap();
    }
}

#[tokio::test]
async fn a_signal_that_was_to_be_ignored_is_ignored() {
    let stopped = Stopped::new().await;
    let pipe = Pipe::instead_of(stopped.spool().join("store/slow"));
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" fsck \"$1\"", OUTBOXD]).arg(stopped.spool());
    stopped.prepare(&mut shell);
    let check = shell.spawn().unwrap();
    let reads = pipe.is_read().await;
    send(&check, Signal::SIGHUP);
    drop(reads);
    assert_eq!(code_of(check).await, Some(0), "as under nohup");
    assert_eq!(stopped.copies(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_copy_of_a_killed_run_goes_with_the_next_and_that_of_a_living_one_stays() {
    let stopped = Stopped::new().await;
    let slow = stopped.spool().join("store/slow");
    let pipe = Pipe::instead_of(slow.clone());
    let living = stopped.command(&["export"]).spawn().unwrap();
    let living_reads = pipe.is_read().await;
    let copy_of_the_living = stopped.copies();
    let pipe = Pipe::instead_of(slow.clone());
    let mut killed = stopped.command(&["fsck"]).spawn().unwrap();
    let killed_reads = pipe.is_read().await;
    killed.kill().await.unwrap();
    assert_eq!(stopped.copies().len(), 2, "nobody could remove it");
    drop(killed_reads);
    fs::remove_file(&slow).unwrap();
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
    drop(living_reads);
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
