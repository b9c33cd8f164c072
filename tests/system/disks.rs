//! Disks that are full to their last byte, or read-only: what is accepted goes on, what is new is refused, nothing is lost.
//!
//! Owns:  small file systems in memory and in files, filling and clearing them.
//! Never: fills a file system that anybody else uses.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use outbox_control::types::State;
use outboxd::service::{Gate, Received, Reply, Service};
use serde_json::Value;
use tokio::process::Command;
use tokio::runtime;

use crate::harness::{Daemon, OUTBOXD, Place, http_toml, run, service, until_within};
use crate::messages::{submit, submit_with};
use crate::namespace::{Own, with_own};

/// Attempts under way when the disk becomes full.
const IN_FLIGHT: usize = 1_000;

/// How long the daemon may take for a thousand attempts on a busy machine, and to notice that there is room again.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file that takes all the room.
const FILLER: &str = "filler";

/// A small file system in memory.
struct Disk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    /// Mounts one of so many MiB, in the mounts of this thread alone.
    fn new(mib: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let size = format!("size={mib}m");
        mount(none, folder.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        Self { path: folder.path().to_owned(), _folder: folder }
    }

    fn place(&self, toml: &str) -> Place {
        place_on(&self.path, toml)
    }

    fn fill(&self) {
        fill(&self.path);
        assert_eq!(free_bytes(&self.path), 0);
    }

    /// Lets nobody change anything any more, or lets everybody again.
    fn set_read_only(&self, on: bool) {
        let none: Option<&str> = None;
        let flags = if on { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount(none, &self.path, none, MsFlags::MS_REMOUNT | flags, none).unwrap();
    }

    fn clear(&self) {
        clear(&self.path);
    }
}

/// A place whose spool lies on a file system.
fn place_on(disk: &Path, toml: &str) -> Place {
    let mut place = Place::new(toml);
    place.spool = disk.join("spool");
    // Thousands of messages have thousands of lines.
    place.log_level = "outboxd=warn,outboxd::engine=info";
    place
}

/// Takes all the room that there is on a file system, until not one more byte fits.
fn fill(disk: &Path) {
    let mut filler = File::options().append(true).create(true).open(disk.join(FILLER)).unwrap();
    loop {
        let before = filler.metadata().unwrap().len();
        let full = io::copy(&mut io::repeat(7), &mut Whole(&mut filler)).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        // A file system that finds its blocks late may have some left by then.
        filler.sync_all().unwrap();
        if filler.metadata().unwrap().len() == before {
            break;
        }
    }
}

/// Gives it back.
fn clear(disk: &Path) {
    std::fs::remove_file(disk.join(FILLER)).unwrap();
}

/// Writes on until not one more byte fits.
struct Whole<'a>(&'a mut File);

impl Write for Whole<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn free_bytes(path: &Path) -> u64 {
    let stat = nix::sys::statvfs::statvfs(path).unwrap();
    stat.blocks_available() * stat.fragment_size()
}

/// Runs a test with file systems of its own.
fn with_mounts<T: Future<Output = ()>>(name: &str, test: impl FnOnce() -> T + Send + 'static) {
    with_own(Own::Mounts, name, || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
}

impl Daemon {
    async fn submit_lines(&self, lines: impl Iterator<Item = String>) {
        let lines: Vec<String> = lines.collect();
        let answer = self.post_lines(lines.join("\n")).await;
        assert!(answer.lines().iter().all(|line| line["status"] == 201), "{:?}", answer.lines().last());
    }

    async fn status(&self) -> Value {
        self.get("/v1/status").await.json()
    }

    async fn wait_sent(&self, count: usize) {
        until_within(&format!("{count} are sent"), PATIENCE, || async {
            (self.status().await["sentTotal"] == count).then_some(())
        })
        .await;
    }
}

/// A service that answers what is called `first-...`, and keeps the rest until the gate opens.
async fn keeping(gate: &Gate) -> Service {
    let gate = gate.clone();
    service(move |received: &Received| {
        let is_kept = received.msg_id.starts_with("kept");
        if is_kept { Reply::WhenOpen(gate.clone(), Box::new(Reply::Accept)) } else { Reply::Accept }
    })
    .await
}

/// Brings a thousand attempts under way.
async fn in_flight(daemon: &Daemon, service: &Service) {
    // As many successes as widen the pace to its end, each to somebody else.
    daemon.submit_lines((0..IN_FLIGHT).map(|n| submit(&format!("first-{n}"), &format!("f{n}")))).await;
    daemon.wait_sent(IN_FLIGHT).await;
    daemon.submit_lines((0..IN_FLIGHT).map(|n| submit(&format!("kept-{n}"), &format!("k{n}")))).await;
    let kept = |requests: &[Received]| {
        requests.iter().filter(|received| received.msg_id.starts_with("kept")).count()
    };
    service.wait_for(|requests| kept(requests) == IN_FLIGHT, PATIENCE).await.unwrap();
}

fn toml(service: &Service, spool: &str) -> String {
    http_toml(
        service,
        "dedup_window = \"10m\"",
        &format!("[delivery]\nconcurrency = 1000\ntimeout = \"5m\"\n[spool]\n{spool}"),
    )
}

#[test]
fn a_full_disk_stops_new_messages_and_nothing_else() {
    with_mounts("disks::a_full_disk_stops_new_messages_and_nothing_else", || async {
        let disk = Disk::new(192);
        goes_on_without_room(&disk.path, 0).await;
    });
}

/// What a file system may count as free although no file can grow: blocks that it would need itself for that.
const EXT4_LEAVES: u64 = 64 * 1024;

/// Room that a real file system has set aside is written to without another block.
#[test]
fn a_full_ext4_stops_new_messages_and_nothing_else() {
    with_mounts("disks::a_full_ext4_stops_new_messages_and_nothing_else", || async {
        let drive = Disk::new(400);
        let Some(disk) = Ext4::new(&drive, 256) else { return };
        goes_on_without_room(&disk.path, EXT4_LEAVES).await;
        disk.unmount();
    });
}

/// Leads a daemon with a thousand attempts under way through the time in which nothing can be written any more, though so much may be
/// counted as free.
async fn goes_on_without_room(disk: &Path, left: u64) {
    let gate = Gate::shut();
    let service = keeping(&gate).await;
    let place = place_on(disk, &toml(&service, "min_free = \"8MiB\""));
    let mut daemon = Daemon::start_in(place).await;
    assert_eq!(daemon.status().await["spool"]["reservedBytes"], 32 << 20);
    in_flight(&daemon, &service).await;
    // They wait for their conversation's first, which is under way.
    daemon.post("/v1/messages", &submit("cancelled", "k1")).await;
    daemon.post("/v1/messages", &submit_with("expired", "k2", r#""ttl":"10s""#)).await;
    fill(disk);
    assert!(free_bytes(disk) <= left, "{}", free_bytes(disk));
    let refused = daemon.post("/v1/messages", &submit("new", "somebody")).await;
    let refused = refused.problem(507, "disk_low");
    assert!(left > 0 || refused["detail"].as_str().unwrap().contains("0 bytes free"), "{refused}");
    let ready = daemon.get("/v1/health/ready").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let cancelled = daemon.ask("DELETE", "/v1/messages/cancelled", &[], b"").await.json();
    assert_eq!(cancelled["outcome"], "cancelled", "{cancelled}");
    daemon.entry_in("expired", State::Expired).await;
    gate.open();
    daemon.wait_sent(2 * IN_FLIGHT).await;
    assert!(free_bytes(disk) <= left, "there was no room at any time");
    for n in 0..IN_FLIGHT {
        assert!(daemon.client.receipt(&format!("kept-{n}")).await.is_ok(), "kept-{n}");
    }
    assert_eq!(service.doubled(), Vec::<String>::new());
    // A start needs no more than there is, either.
    daemon.restart().await;
    assert!(daemon.client.receipt("kept-999").await.is_ok());
    clear(disk);
    let accepted = daemon.post("/v1/messages", &submit("new", "somebody")).await;
    assert_eq!(accepted.status, 201, "{accepted:?}");
    daemon.wait_sent(2 * IN_FLIGHT + 1).await;
    let kept = daemon.status().await["spool"]["reservedBytes"].as_u64().unwrap();
    assert!(kept >= 24 << 20, "filled up in steps: {kept}");
    daemon.leaves_it_sound().await;
}

#[test]
fn without_a_reserve_outcomes_wait_for_room_and_the_daemon_goes_on_by_itself() {
    with_mounts(
        "disks::without_a_reserve_outcomes_wait_for_room_and_the_daemon_goes_on_by_itself",
        || async {
            let disk = Disk::new(128);
            let gate = Gate::shut();
            let service = keeping(&gate).await;
            let spool = "min_free = \"0B\"\nreserve = \"0B\"";
            let mut daemon = Daemon::start_in(disk.place(&toml(&service, spool))).await;
            in_flight(&daemon, &service).await;
            let next = (0..IN_FLIGHT).map(|n| submit(&format!("next-{n}"), &format!("n{n}")));
            daemon.submit_lines(next).await;
            disk.fill();
            gate.open();
            until_within("the store to say that it has no room", PATIENCE, || async {
                let answer = daemon.post("/v1/messages", &submit("new", "somebody")).await;
                (answer.status == 503).then(|| answer.problem(503, "store_unhealthy"))
            })
            .await;
            assert_eq!(daemon.get("/v1/health/ready").await.status, 503);
            let failure = daemon.status().await["spool"]["failure"].clone();
            assert!(failure.as_str().unwrap().contains("no space left"), "{failure}");
            assert!(daemon.get("/metrics").await.text().contains("\noutbox_store_failed 1\n"));
            let is_logged = || async { daemon.log().contains("The store takes no changes.").then_some(()) };
            until_within("the log to say so", Duration::from_secs(2), is_logged).await;
            disk.clear();
            until_within("the store to go on", PATIENCE, || async {
                let answer = daemon.post("/v1/messages", &submit("newer", "somebody else")).await;
                (answer.status < 300).then_some(())
            })
            .await;
            for n in 0..IN_FLIGHT {
                // Those that were under way, and those whose lease may have been: none stays under way for ever.
                for id in [format!("kept-{n}"), format!("next-{n}")] {
                    until_within(&id, PATIENCE, || async { daemon.client.receipt(&id).await.ok() }).await;
                }
            }
            daemon.entry_in("newer", State::Sent).await;
            assert_eq!(service.doubled(), Vec::<String>::new());
            assert!(daemon.log().contains("The store takes changes again."), "{}", daemon.log());
            daemon.leaves_it_sound().await;
        },
    );
}

#[test]
fn an_app_is_not_kept_waiting_for_room_and_what_it_reported_is_recorded_once_there_is_some() {
    let name =
        "disks::an_app_is_not_kept_waiting_for_room_and_what_it_reported_is_recorded_once_there_is_some";
    with_mounts(name, || async {
        let disk = Disk::new(64);
        let spool = "[spool]\nmin_free = \"0B\"\nreserve = \"0B\"\n[transport.app]\nrate = 1000";
        let mut daemon = Daemon::start_in(disk.place(spool)).await;
        daemon.submit_lines((0..3).map(|n| submit(&format!("m-{n}"), &format!("c{n}")))).await;
        let leases = daemon.lease(r#"{"max":2,"wait":"20s"}"#).await;
        let success = r#"{"code":0,"desc":"","data":{"msgID":"new","status":2}}"#;
        let settle = |n: usize| format!("/v1/leases/{}/settle", leases[n].lease);
        disk.fill();
        // More than what is left of the part of the log that has its room already.
        let more = format!(r#""webMessageInstatnce":"{}""#, "x".repeat(15_000));
        let mut ids = (0..).map(|n| format!("more-{n}"));
        until_within("the store to say that it has no room", PATIENCE, || {
            let message = submit_with(&ids.next().unwrap(), "somebody", &more);
            let daemon = &daemon;
            async move { (daemon.post("/v1/messages", &message).await.status == 503).then_some(()) }
        })
        .await;
        let waits = daemon.post(&settle(0), success).await;
        let waits = waits.problem(503, "store_unhealthy");
        assert!(waits["hint"].as_str().unwrap().contains("Repeat"), "{waits}");
        daemon.post("/v1/leases", r#"{"max":1,"wait":"1s"}"#).await.problem(503, "store_unhealthy");
        disk.clear();
        let recorded = || async { daemon.client.receipt(&leases[0].msg_id).await.ok() };
        let receipt = until_within("what was reported is recorded", PATIENCE, recorded).await;
        assert_eq!(receipt.new_msg_id.as_deref(), Some("new"));
        for n in 0..2 {
            assert_eq!(daemon.post(&settle(n), success).await.json()["state"], "sent");
        }
        assert_eq!(daemon.status().await["sentTotal"], 2);
        daemon.leaves_it_sound().await;
    });
}

/// A real file system in a file. Where that lies on a drive with less room, what is written beyond it fails, and the kernel tells
/// so at a sync.
struct Ext4 {
    image: PathBuf,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ext4 {
    /// Nothing where the machine has no ext4, or does not let a test mount it.
    fn new(drive: &Disk, says_mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let thin = Self { image: drive.path.join("image"), path: folder.path().to_owned(), _folder: folder };
        File::create(&thin.image).unwrap().set_len(says_mib << 20).unwrap();
        let is_made =
            tool("mkfs.ext4", &["-q", "-F", "-m", "0", thin.image.to_str().unwrap()]) && thin.mount();
        if !is_made {
            println!("skipped: this machine makes or mounts no ext4 in a file");
        }
        is_made.then_some(thin)
    }

    fn mount(&self) -> bool {
        tool("mount", &["-o", "loop", self.image.to_str().unwrap(), self.path.to_str().unwrap()])
    }

    fn unmount(&self) {
        assert!(tool("umount", &[self.path.to_str().unwrap()]));
    }
}

fn tool(name: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(name).args(arguments).status().is_ok_and(|status| status.success())
}

#[test]
fn a_real_drive_that_fails_ends_acceptance_and_a_restart_finds_what_was_answered() {
    let name = "disks::a_real_drive_that_fails_ends_acceptance_and_a_restart_finds_what_was_answered";
    with_mounts(name, || async {
        const MESSAGES: usize = 200;
        let drive = Disk::new(80);
        let Some(thin) = Ext4::new(&drive, 400) else { return };
        let mut place = drive.place("[spool]\nmin_free = \"0B\"\nreserve = \"0B\"");
        place.spool = thin.path.join("spool");
        let mut daemon = Daemon::start_in(place).await;
        daemon.submit_lines((0..MESSAGES).map(|n| submit(&format!("m-{n}"), &format!("c{n}")))).await;
        drive.fill();
        let mut accepted: Vec<String> = (0..MESSAGES).map(|n| format!("m-{n}")).collect();
        for n in 0.. {
            let answer = daemon.post("/v1/messages", &submit(&format!("more-{n}"), "somebody")).await;
            if answer.status != 201 {
                answer.problem(503, "store_unhealthy");
                break;
            }
            accepted.push(format!("more-{n}"));
        }
        assert_eq!(daemon.get("/v1/health/ready").await.status, 503);
        daemon.kill9().await;
        thin.unmount();
        drive.clear();
        assert!(thin.mount(), "its journal is played back");
        daemon.start_again().await;
        for id in accepted {
            assert!(daemon.client.message(&id).await.is_ok(), "{id} was accepted");
        }
        assert_eq!(daemon.get("/v1/health/ready").await.status, 200);
        assert_eq!(daemon.post("/v1/messages", &submit("new", "somebody")).await.status, 201);
        daemon.leaves_it_sound().await;
        drop(daemon);
        thin.unmount();
    });
}

#[test]
fn a_damaged_store_without_room_for_its_successor_waits_untouched() {
    with_mounts("disks::a_damaged_store_without_room_for_its_successor_waits_untouched", || async {
        const MESSAGES: usize = 2_000;
        let disk = Disk::new(128);
        let spool = "[spool]\nmin_free = \"0B\"\nreserve = \"0B\"";
        let mut daemon = Daemon::start_in(disk.place(spool)).await;
        daemon.submit_lines((0..MESSAGES).map(|n| submit(&format!("m-{n}"), &format!("c{n}")))).await;
        daemon.kill9().await;
        let db = daemon.place.spool.join("store/db");
        let mut bytes = std::fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[used / 2] ^= 1;
        std::fs::write(&db, &bytes).unwrap();
        disk.fill();
        let refused = run(daemon.place.command(), "").await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("hint: look at the file system: space"), "{refused:?}");
        assert!(std::fs::read(&db).unwrap() == bytes, "nothing of the store was changed");
        let mut export = Command::new(OUTBOXD);
        export.args(["export", daemon.place.spool.to_str().unwrap()]);
        let exported = run(export, "").await;
        assert!(exported.out.lines().count() > MESSAGES - 200, "{} lines", exported.out.lines().count());
        disk.clear();
        daemon.start_again().await;
        let ready = daemon.get("/v1/health/ready").await;
        assert!(ready.text().contains("the store was damaged"), "{ready:?}");
        let missing = {
            let mut missing = 0;
            for n in 0..MESSAGES {
                missing += usize::from(daemon.client.message(&format!("m-{n}")).await.is_err());
            }
            missing
        };
        assert!(missing < 200, "{missing} are missing");
    });
}

#[test]
fn a_read_only_disk_is_named_and_still_looked_at() {
    with_mounts("disks::a_read_only_disk_is_named_and_still_looked_at", || async {
        let disk = Disk::new(64);
        let mut daemon = Daemon::start_in(disk.place("[spool]\nmin_free = \"1MiB\"")).await;
        assert_eq!(daemon.post("/v1/messages", &submit("kept", "somebody")).await.status, 201);
        daemon.term().await;
        disk.set_read_only(true);
        let refused = run(daemon.place.command(), "").await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.err.contains("Read-only file system") && refused.err.contains("hint: "),
            "{refused:?}"
        );
        let spool = daemon.place.spool.to_str().unwrap();
        for command in ["fsck", "export"] {
            let mut look = Command::new(OUTBOXD);
            look.args([command, spool]);
            let looked = run(look, "").await;
            assert_eq!(looked.code, Some(0), "{looked:?}");
        }
        disk.set_read_only(false);
        daemon.start_again().await;
        assert!(daemon.client.message("kept").await.is_ok());
    });
}

/// The system may let a process write no larger files, and says so by a signal that would end it.
#[tokio::test]
async fn a_file_that_may_not_grow_ends_acceptance_and_not_the_daemon() {
    let mut place = Place::new("[spool]\nreserve = \"0B\"");
    place.file_blocks = Some(20_000);
    let mut daemon = Daemon::start_in(place).await;
    let text = format!(r#""webMessageInstatnce":"{}""#, "x".repeat(15_000));
    let mut accepted = Vec::new();
    for n in 0.. {
        assert!(n < 4_000, "the file grows all the same");
        let id = format!("m-{n}");
        let answer = daemon.post("/v1/messages", &submit_with(&id, "bob", &text)).await;
        if answer.status != 201 {
            let refused = answer.problem(503, "store_unhealthy");
            assert!(refused["detail"].as_str().unwrap().contains("File too large"), "{refused}");
            break;
        }
        accepted.push(id);
    }
    assert_eq!(daemon.get("/v1/health/ready").await.status, 503);
    daemon.kill9().await;
    daemon.place.file_blocks = None;
    daemon.start_again().await;
    for id in &accepted {
        assert!(daemon.client.message(id).await.is_ok(), "{id} was accepted");
    }
    daemon.leaves_it_sound().await;
}
