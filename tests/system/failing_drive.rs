//! Drives that fail under the real daemon: a sync or a write of the spool is answered with EIO, as the kernel would.
//!
//! Owns:  which system calls fail, and from when on.
//! Never: tries each write and sync in turn (the store's own test of power cuts does).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;
use outboxd::service::{Gate, Received, Reply};

use crate::harness::{Daemon, QUICK, SOON, http_toml, service, until, until_within};
use crate::messages::submit;
use crate::tracer::{Call, Watch, descriptor, seize, watch};

/// Attempts under way when the drive fails.
const IN_FLIGHT: usize = 40;

/// How long a daemon may take that is stopped at each of its system calls.
const PATIENCE: Duration = Duration::from_secs(60);

/// What fails.
#[derive(Clone, Copy)]
enum Fault {
    /// The next sync; all later ones succeed.
    OneSync,
    /// Each sync and each write from now on.
    EverySyncAndWrite,
}

/// The drive under a daemon's spool.
struct Drive {
    /// Syncs that are still to fail, and writes.
    syncs: AtomicUsize,
    writes: AtomicUsize,
    failed: AtomicUsize,
}

struct Watcher {
    spool: PathBuf,
    drive: Arc<Drive>,
}

impl Watch for Watcher {
    fn enters(&mut self, thread: Pid, call: Call) -> Option<Errno> {
        let left = match call.number {
            libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync_file_range => &self.drive.syncs,
            libc::SYS_write | libc::SYS_pwrite64 => &self.drive.writes,
            _ => return None,
        };
        let is_ours = || descriptor(thread, call.args[0]).starts_with(&self.spool);
        let less = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        if left.load(Ordering::SeqCst) == 0 || !is_ours() {
            return None;
        }
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok()?;
        self.drive.failed.fetch_add(1, Ordering::SeqCst);
        Some(Errno::EIO)
    }

    fn leaves(&mut self, _: Pid, _: Call, _: Option<i64>) {}
}

impl Drive {
    /// Puts itself under a running daemon, until that ends; nothing where one process may not watch another.
    fn under(daemon: &Daemon) -> Option<(Arc<Self>, JoinHandle<()>)> {
        let drive = Arc::new(Self {
            syncs: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        });
        // Links on the way to the folder are not in what the kernel tells.
        let spool = daemon.place.spool.canonicalize().unwrap();
        let mut watcher = Watcher { spool, drive: Arc::clone(&drive) };
        let process = Pid::from_raw(daemon.pid().try_into().unwrap());
        let (tell, is_held) = mpsc::channel();
        let tracer = std::thread::spawn(move || {
            let seized = seize(process);
            tell.send(seized).unwrap();
            if seized.is_ok() {
                watch(process, &mut watcher);
            }
        });
        match is_held.recv_timeout(SOON).unwrap() {
            Ok(()) => Some((drive, tracer)),
            Err(error) => {
                println!("skipped: this machine does not let one process watch another: {error}");
                None
            }
        }
    }

    fn fail(&self, fault: Fault) {
        let (syncs, writes) = match fault {
            Fault::OneSync => (1, 0),
            Fault::EverySyncAndWrite => (usize::MAX, usize::MAX),
        };
        self.writes.store(writes, Ordering::SeqCst);
        self.syncs.store(syncs, Ordering::SeqCst);
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }
}

impl Daemon {
    /// Holds everything that tells of a failed store against what it is to say.
    async fn has_failed(&self) {
        assert_eq!(self.get("/v1/health/ready").await.status, 503);
        assert_eq!(self.get("/v1/health/live").await.status, 200, "it lives, and can be asked");
        let failure = self.get("/v1/status").await.json()["spool"]["failure"].clone();
        assert!(
            failure.as_str().is_some_and(|text| text.ends_with("changes: Input/output error (os error 5)")),
            "{failure}"
        );
        assert!(self.get("/metrics").await.text().contains("\noutbox_store_failed 1\n"));
        let is_logged = || async { self.log().contains("The store takes no changes.").then_some(()) };
        until("the log says so", is_logged).await;
    }
}

#[tokio::test]
async fn one_sync_that_fails_ends_acceptance_at_once_and_a_restart_recovers() {
    let mut daemon = Daemon::start("[transport.app]").await;
    let Some((drive, tracer)) = Drive::under(&daemon) else { return };
    assert_eq!(daemon.post("/v1/messages", &submit("kept", "u1")).await.status, 201);
    assert_eq!(daemon.post("/v1/messages", &submit("leased", "u2")).await.status, 201);
    let leases = daemon.lease(r#"{"max":2,"wait":"20s"}"#).await;
    drive.fail(Fault::OneSync);
    daemon.post("/v1/messages", &submit("refused", "u3")).await.problem(503, "store_unhealthy");
    assert_eq!(drive.failed(), 1);
    // Every sync would succeed now, and is believed no more.
    daemon.post("/v1/messages", &submit("later", "u4")).await.problem(503, "store_unhealthy");
    daemon.ask("DELETE", "/v1/messages/kept", &[], b"").await.problem(503, "store_unhealthy");
    let settle = format!("/v1/leases/{}/settle", leases[0].lease);
    let success = r#"{"code":0,"desc":"","data":{"msgID":"new","status":2}}"#;
    daemon.post(&settle, success).await.problem(503, "store_unhealthy");
    daemon.has_failed().await;
    // What the store shows now may not be on the drive: nobody is told any of it.
    daemon.get("/v1/messages/kept").await.problem(503, "store_unhealthy");
    daemon.restart().await;
    tracer.join().unwrap();
    for id in ["kept", "leased"] {
        assert!(daemon.client.message(id).await.is_ok(), "{id} was accepted");
    }
    assert_eq!(daemon.get("/v1/health/ready").await.status, 200);
    assert_eq!(daemon.post("/v1/messages", &submit("later", "u4")).await.status, 201);
    assert_eq!(daemon.post(&settle, success).await.json()["state"], "sent");
    daemon.leaves_it_sound().await;
}

#[tokio::test]
async fn a_drive_that_fails_under_attempts_loses_and_doubles_nothing_behind_a_restart() {
    let gate = Gate::shut();
    let opened = gate.clone();
    let is_kept = |received: &Received| received.msg_id.starts_with("kept");
    let service = service(move |received: &Received| {
        if is_kept(received) {
            Reply::WhenOpen(opened.clone(), Box::new(Reply::Accept))
        } else {
            Reply::Accept
        }
    })
    .await;
    let more = format!("{QUICK}\n[delivery]\nconcurrency = {IN_FLIGHT}");
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", &more)).await;
    let Some((drive, tracer)) = Drive::under(&daemon) else { return };
    // As many successes as widen the pace to its end.
    for what in ["first", "kept"] {
        for n in 0..IN_FLIGHT {
            let message = submit(&format!("{what}-{n}"), &format!("{what}-{n}"));
            assert_eq!(daemon.post("/v1/messages", &message).await.status, 201);
        }
        let seen = |requests: &[Received]| requests.iter().filter(|one| one.msg_id.starts_with(what)).count();
        service.wait_for(|requests| seen(requests) == IN_FLIGHT, PATIENCE).await.unwrap();
    }
    drive.fail(Fault::EverySyncAndWrite);
    gate.open();
    until_within("the failure shows", PATIENCE, || async {
        (daemon.get("/v1/health/ready").await.status == 503).then_some(())
    })
    .await;
    daemon.post("/v1/messages", &submit("new", "somebody")).await.problem(503, "store_unhealthy");
    daemon.has_failed().await;
    assert!(drive.failed() > 0);
    daemon.restart().await;
    tracer.join().unwrap();
    for n in 0..IN_FLIGHT {
        let id = format!("kept-{n}");
        until_within(&id, PATIENCE, || async { daemon.client.receipt(&id).await.ok() }).await;
    }
    assert_eq!(service.doubled(), Vec::<String>::new());
    assert_eq!(daemon.get("/v1/health/ready").await.status, 200);
    daemon.leaves_it_sound().await;
}
