//! Clients that mean no good, or are broken beyond sense: the daemon stays small, quick and truthful.
//!
//! Owns:  what these tests share: many answers on one connection, the memory of a daemon.
//! Never: repeats what `bad_input` and `connection` say of clients that only err.

mod crowd;
mod deaf;
mod framing;
mod limits;
mod paths;
mod roles;
mod service;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::harness::{Daemon, SOON, until};
use crate::wire::{Answer, connect, parse_all};

/// Bytes in a MiB.
const MIB: u64 = 1024 * 1024;

impl Daemon {
    /// Writes everything on one connection, says that there is no more, and reads all answers.
    async fn talk(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut stream = connect(&self.place.socket).await;
        // A server may answer before it has read all, and close.
        let _ = stream.write_all(bytes.as_ref()).await;
        let _ = stream.shutdown().await;
        let mut answers = Vec::new();
        // What came before a reset still counts.
        let _ = timeout(SOON, stream.read_to_end(&mut answers)).await.expect("an end, not silence");
        parse_all(&answers)
    }

    /// Has the kernel measure the peak of the daemon's memory from here on; answers what it has now, in bytes.
    fn begin_peak(&self) -> u64 {
        // Where this is not permitted the peak is that of the whole life, and the growth is told too small.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
        self.peak_bytes()
    }

    /// The most memory that the daemon had since then.
    fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Fails if the peak has grown by more; prints by how much it has.
    #[track_caller]
    fn check_growth(&self, before: u64, bound: u64, what: &str) {
        let growth = self.peak_bytes().saturating_sub(before);
        println!(
            "{what}: {} MiB before, {} MiB more at the peak, {} allowed",
            before / MIB,
            growth / MIB,
            bound / MIB
        );
        assert!(growth < bound, "{what}: {} MiB more at the peak, {} allowed", growth / MIB, bound / MIB);
    }

    /// Connections that the daemon has accepted and not closed.
    fn connections(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/unix").unwrap();
        let socket = self.place.socket.to_str().unwrap();
        // The sixth word is the state, 03 for one that is connected; the last one is the path.
        let is_open = |line: &&str| line.ends_with(socket) && line.split_whitespace().nth(5) == Some("03");
        table.lines().filter(is_open).count()
    }

    /// Waits until nobody is connected any more.
    async fn all_are_gone(&self) {
        until("all are gone", || async { (self.connections() == 0).then_some(()) }).await;
    }

    /// Everybody else is served as ever.
    async fn serves_others(&self) {
        assert_eq!(self.get("/v1/status").await.status, 200);
    }
}

/// Lets this process have as many connections as these tests open side by side.
fn allow_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536).max(soft), hard);
    }
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}
