//! Deaths of the daemon at named places: before and behind each verb that the socket leads to, each attempt, each operation on
//! a file. What became of every message is asked from outside: the service, the socket, `fsck`.
//!
//! Owns:  a life that leads past all of them, the deaths, one after the other.
//! Never: dies in a start over a spool in trouble, or in an import (`crash_starts.rs` does).
//!
//! `OUTBOX_CRASH_SEEDS=3` leads three lives past each place, and each ends there.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outbox::crash::POINTS;
use outbox_control::client::ClientError;
use outbox_control::types::{
    BatchFilter, BatchOp, BatchRequest, FlushRequest, ProblemCode, ResendRequest, State,
};
use outbox_control::{Client, types::CancelOutcome};
use outboxd::service::{Received, Reply, Service};
use tokio::process::Child;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::crash_starts::PLACES;
use crate::harness::{Daemon, Place, QUICK, SOON, http_toml, service};
use crate::messages::{Order, typed};

/// Places that nothing from outside leads past for certain: a lease that nobody hears of, a rate that is met between two looks at
/// it, damage that is met in an open store. The store's own test dies there.
const IN_THE_STORE_ALONE: [&str; 5] = ["take back", "put off", "rebuild", "mend", "write quarantine"];

/// How many of them die at the same time: each has a daemon and a service.
const AT_ONCE: usize = 2;

const CONVERSATIONS: usize = 4;
const MESSAGES: usize = 16;
/// What ends a process at a crash point.
pub(crate) const SIGABRT: i32 = 6;

/// Lives past each place.
pub(crate) fn seeds() -> u64 {
    std::env::var("OUTBOX_CRASH_SEEDS").map_or(1, |seeds| seeds.parse().unwrap())
}

/// Takes every message, and now and then loses the answer, or refuses for a while; the seed says when.
fn moody(seed: u64) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    move |received| match (received.n + seed) % 7 {
        2 => Reply::AcceptThenLose,
        4 => Reply::status(503),
        _ => Reply::Accept,
    }
}

fn msg_id(number: usize) -> String {
    format!("m-{number:03}")
}

fn user(number: usize) -> String {
    format!("u{}", number % CONVERSATIONS)
}

/// Everything that is asked of the daemon; ends with the first call that gets no answer.
async fn life(client: &Client) -> Result<CancelOutcome, ClientError> {
    client.pause().await?;
    for number in 0..MESSAGES {
        let mut message = typed(&msg_id(number), &user(number));
        if number == 5 {
            // Too large for a row of the store.
            message.web_message_instance = Some(raw(&format!("\"{}\"", "x".repeat(20_000))));
        }
        client.submit(&message).await?;
    }
    client.submit(&typed("cancelled", "nobody")).await?;
    let cancelled = client.cancel("cancelled", None).await?.outcome;
    client.submit(&typed("held", "somebody")).await?;
    if_it_waits(client.hold("held", None).await)?;
    if_it_waits(client.release("held", None).await)?;
    client.pause_account("default", None).await?;
    client.resume_account("default").await?;
    let held = BatchRequest {
        op: BatchOp::Release,
        filter: BatchFilter::default(),
        reason: None,
        dry_run: false,
        expect_count: None,
    };
    client.batch(&held).await?;
    client.resume().await?;
    client.flush(&FlushRequest::default()).await?;
    if_it_waits(client.resend("held", &ResendRequest::default()).await)?;
    client.reload().await?;
    while client.status().await?.spool.messages > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.compact().await?;
    Ok(cancelled)
}

/// In a second life it may have been sent already.
fn if_it_waits<T>(answer: Result<T, ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(ClientError::Problem(problem)) if problem.code == ProblemCode::WrongState => Ok(()),
        answer => answer.map(drop),
    }
}

pub(crate) fn raw(text: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(text.to_owned()).unwrap()
}

async fn wait_ready(client: &Client) {
    while client.ready().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn send_signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id() {
        // It may be dead already.
        let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
    }
}

/// Starts a daemon, leads the life, stops it; answers how it ended.
async fn live(place: &Place) -> std::process::ExitStatus {
    let mut child = place.spawn();
    let client = Client::new(&place.socket);
    let lived = async {
        wait_ready(&client).await;
        life(&client).await
    };
    tokio::select! {
        ended = child.wait() => return ended.unwrap(),
        // Without an answer the daemon is about to be dead; with all of them it is asked to stop.
        _ = timeout(SOON, lived) => {}
    }
    send_signal(&child, Signal::SIGTERM);
    timeout(SOON, child.wait()).await.expect("it ends").unwrap()
}

/// What was before the life that ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// An empty folder.
    Nothing,
    /// A daemon that stopped in order.
    Stop,
    /// A daemon that was killed.
    Kill,
}

impl Before {
    /// What leads past a place.
    fn of(point: &str) -> Self {
        match point {
            "remove clean" => Self::Stop,
            "remove dead socket" => Self::Kill,
            _ => Self::Nothing,
        }
    }
}

struct World {
    service: Service,
    place: Place,
}

impl World {
    async fn new(seed: u64) -> Self {
        let service = service(moody(seed)).await;
        let place = Place::new(&http_toml(&service, "dedup_window = \"10m\"", QUICK));
        Self { service, place }
    }

    /// A daemon that dies somewhere, another that finds what it left: what is wrong then. `false` where it did not come by so
    /// often.
    async fn die(mut self, at: &str, before: Before) -> Result<bool, String> {
        if before != Before::Nothing {
            let mut child = self.place.spawn();
            wait_ready(&Client::new(&self.place.socket)).await;
            send_signal(&child, if before == Before::Stop { Signal::SIGTERM } else { Signal::SIGKILL });
            timeout(SOON, child.wait()).await.expect("it ends").unwrap();
        }
        self.place.variables = vec![("OUTBOX_CRASH", at.to_owned())];
        let ended = live(&self.place).await;
        if ended.success() {
            return Ok(false);
        }
        if ended.signal() != Some(SIGABRT) {
            return Err(format!("{at}: it did not die there: {ended}"));
        }
        self.place.variables.clear();
        let mut daemon = Daemon::start_in(self.place).await;
        let cancelled =
            life(&daemon.client).await.map_err(|error| format!("{at}: the next life: {error}"))?;
        let verdict = verdict(&daemon, &self.service, cancelled).await;
        verdict.map_err(|why| format!("{at}: {why}"))?;
        let checked = daemon.fsck().await;
        if checked.code == Some(0) { Ok(true) } else { Err(format!("{at}: {}", checked.out)) }
    }
}

/// A death at a passing of a place, or at an earlier one where a life does not come by so often: how many passings there are
/// differs from life to life.
async fn die_at(seed: u64, place: &str, mut passing: usize, before: Before) -> Result<(), String> {
    loop {
        let at = format!("{place} {passing}");
        if World::new(seed).await.die(&at, before).await? {
            return Ok(());
        }
        if passing == 1 {
            return Err(format!("{at}: no life came by"));
        }
        passing /= 2;
    }
}

/// What is wrong, as the service and the socket tell it.
async fn verdict(daemon: &Daemon, service: &Service, cancelled: CancelOutcome) -> Result<(), String> {
    let mut expected = Order::new();
    for number in 0..MESSAGES {
        expected.entry(format!("c2c:{}", user(number))).or_default().push(msg_id(number));
    }
    expected.entry("c2c:somebody".into()).or_default().push("held".into());
    for (what, found) in [
        ("lost", service.lost(&expected)),
        ("doubled", service.doubled()),
        ("out of order", service.out_of_order(&expected)),
    ] {
        if !found.is_empty() {
            return Err(format!("{what}: {found:?}"));
        }
    }
    for id in expected.values().flatten() {
        let entry = daemon.client.message(id).await.map_err(|error| format!("{id}: {error}"))?;
        if entry.state != State::Sent || entry.possible_duplicate {
            return Err(format!("{id}: {entry:?}"));
        }
    }
    let arrived = service.ledger().iter().any(|taken| taken.msg_id == "cancelled");
    match (cancelled, arrived) {
        (CancelOutcome::Cancelled, false) | (CancelOutcome::TooLate, true) => Ok(()),
        // It was under way, or may have arrived before: either may be.
        (CancelOutcome::Pending | CancelOutcome::Uncertain, _) => Ok(()),
        other => Err(format!("a cancel's answer, and whether it arrived: {other:?}")),
    }
}

#[tokio::test]
async fn a_death_of_the_daemon_at_any_named_place_loses_and_doubles_nothing() {
    let mut first = World::new(0).await;
    let passed_path = first.place.path().join("passed");
    first.place.variables = vec![("OUTBOX_CRASH_LOG", passed_path.display().to_string())];
    let ended = live(&first.place).await;
    assert!(ended.success(), "the life itself fails: {ended}");
    let mut passed: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(passed_path).unwrap().lines() {
        *passed.entry(line.to_owned()).or_default() += 1;
    }
    let mut deaths = Vec::new();
    let is_elsewhere = |point| PLACES.contains(point) || IN_THE_STORE_ALONE.contains(point);
    for point in POINTS.iter().filter(|point| !is_elsewhere(point)) {
        for place in [format!("before {point}"), format!("after {point}")] {
            let before = Before::of(point);
            let times = match passed.get(&place) {
                Some(times) => *times,
                None if before != Before::Nothing => 1,
                None => panic!("{place} is never passed"),
            };
            for seed in 0..seeds() {
                // The first passing, one in the middle, one near the end.
                let passing = [1, times.div_ceil(2), times - times / 5][seed as usize % 3];
                deaths.push((seed, place.clone(), passing, before));
            }
        }
    }
    let count = deaths.len();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for (seed, place, passing, before) in deaths {
        let turn = Arc::clone(&room).acquire_owned().await.unwrap();
        running.spawn(async move {
            let verdict = die_at(seed, &place, passing, before).await;
            drop(turn);
            verdict
        });
    }
    let failures: Vec<String> = running.join_all().await.into_iter().filter_map(Result::err).collect();
    println!("{count} deaths of the daemon, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
