//! Deaths where `crash_points.rs` does not lead: in a start over a spool in trouble, in an app's calls, in an import. Each
//! program is the real one, and what became of every message is asked from outside: the socket, `fsck`.
//!
//! Owns:  a spool with something of everything, what is done to it, the deaths, one after the other.
//! Never: knows what is right: it is what becomes of the same spool where nothing dies.
//!
//! `OUTBOX_CRASH_SEEDS=3` makes three spools and lets all die over each.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use outbox_control::client::ClientError;
use outbox_control::types::{Lease, LeaseRequest, ResolveRequest, Settle, State};
use tokio::process::Command;
use tokio::time::timeout;

use crate::crash_points::{SIGABRT, raw, seeds};
use crate::harness::{Daemon, OUTBOXD, Place, SOON, run};
use crate::messages::{submit, submit_with};

/// Places that only these lives lead past.
pub(crate) const PLACES: [&str; 21] = [
    "extend",
    "resolve",
    "restore entry",
    "restore receipt",
    "recover",
    "sweep",
    "write check",
    "set conf aside",
    "remove snapshot",
    "write db",
    "make anew",
    "give room back",
    "sync last",
    "link payload",
    "copy seal",
    "write unsaid",
    "keep store",
    "name kept",
    "write anew",
    "note",
    "say anew",
];

/// Does something to a spool whose daemon was killed.
type Harm = fn(&Path);

/// Each with what a start leads past then, at the least.
const STAGES: [(&str, Harm, &[&str]); 3] = [
    ("killed", |_| (), &["recover", "sweep"]),
    (
        "a damaged log",
        damage_log,
        &[
            "write check",
            "make anew",
            "link payload",
            "copy seal",
            "write unsaid",
            "keep store",
            "name kept",
            "write anew",
            "say anew",
            "sync last",
        ],
    ),
    ("what lies beside", harm_beside, &["set conf aside", "remove snapshot"]),
];

const TOML: &str = "[delivery]\non_uncertain = \"hold\"\n[transport.app]\nrate = 1000";

const CONVERSATIONS: usize = 8;
const MESSAGES: usize = 24;

fn msg_id(number: usize) -> String {
    format!("m-{number:02}")
}

/// One that is too large for a row of the store.
fn large() -> String {
    "x".repeat(20_000)
}

fn damage_log(spool: &Path) {
    let db = spool.join("store/db");
    let mut bytes = std::fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    std::fs::write(&db, bytes).unwrap();
}

fn harm_beside(spool: &Path) {
    let store = spool.join("store");
    let conf = store.join("conf");
    let mut bytes = std::fs::read(&conf).unwrap();
    bytes[0] ^= 1;
    std::fs::write(conf, bytes).unwrap();
    std::fs::write(store.join("snap.0000000000000001.generating"), b"rubbish").unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A spool with something of everything, as a killed daemon left it.
struct Base {
    daemon: Daemon,
    /// Attempts under way.
    leases: Vec<Lease>,
    /// It waits for a person's word.
    uncertain: String,
}

impl Base {
    async fn new() -> Self {
        let mut daemon = Daemon::start(TOML).await;
        for number in 0..MESSAGES {
            let user = format!("u{}", number % CONVERSATIONS);
            let message = if number % 10 == 3 {
                submit_with(&msg_id(number), &user, &format!(r#""webMessageInstatnce":"{}""#, large()))
            } else {
                submit(&msg_id(number), &user)
            };
            assert_eq!(daemon.post("/v1/messages", &message).await.status, 201);
        }
        let request = LeaseRequest {
            max: CONVERSATIONS as u32,
            lasts: outbox_control::DurationText::from(Duration::from_secs(600)),
            ..LeaseRequest::default()
        };
        let mut leases = daemon.client.lease(&request).await.unwrap().leases;
        assert_eq!(leases.len(), CONVERSATIONS);
        for (number, lease) in leases.drain(..3).enumerate() {
            let text = if number == 0 { large() } else { "hello".to_owned() };
            let data = format!(r#"{{"msgID":"new-{number}","status":2,"payload":{{"text":"{text}"}}}}"#);
            let success = Settle {
                code: 0,
                desc: String::new(),
                data: Some(raw(&data)),
                not_reached: false,
                retry_after: None,
            };
            assert_eq!(daemon.client.settle(&lease.lease, &success).await.unwrap().state, State::Sent);
        }
        let doubtful = leases.remove(0);
        let nothing_proven =
            Settle { code: 0, desc: String::new(), data: None, not_reached: false, retry_after: None };
        let settled = daemon.client.settle(&doubtful.lease, &nothing_proven).await.unwrap();
        assert_eq!(settled.state, State::Uncertain);
        daemon.client.cancel(&msg_id(MESSAGES - 1), None).await.unwrap();
        daemon.client.hold(&msg_id(MESSAGES - 2), None).await.unwrap();
        daemon.kill9().await;
        Self { daemon, leases, uncertain: doubtful.msg_id }
    }

    /// Another folder with such a spool, and with something done to it.
    fn place(&self, harm: Harm) -> Place {
        let place = Place::new(TOML);
        copy(&self.daemon.place.spool, &place.spool);
        harm(&place.spool);
        place
    }
}

/// What is told of each message.
type Told = BTreeMap<String, Option<(State, u32, bool, Option<String>)>>;

async fn told(daemon: &Daemon) -> Told {
    let mut told = Told::new();
    for id in (0..MESSAGES).map(msg_id) {
        let entry = match daemon.client.message(&id).await {
            Ok(entry) => {
                // A delay may have passed by now.
                let state = if entry.state == State::Deferred { State::Queued } else { entry.state };
                Some((state, entry.attempts, entry.possible_duplicate, entry.new_msg_id))
            }
            Err(ClientError::Problem(problem)) if problem.status == 404 => None,
            Err(error) => panic!("{id}: {error}"),
        };
        told.insert(id, entry);
    }
    told
}

/// What a start makes of a spool, and the places that it leads past.
async fn undisturbed(mut place: Place) -> (Told, BTreeSet<String>) {
    let passed = place.path().join("passed");
    place.variables = vec![("OUTBOX_CRASH_LOG", passed.display().to_string())];
    let mut daemon = Daemon::start_in(place).await;
    let told = told(&daemon).await;
    let lines = std::fs::read_to_string(passed).unwrap();
    daemon.term().await;
    (told, lines.lines().map(ToOwned::to_owned).collect())
}

/// Two deaths at each of some places.
fn places<'a>(points: impl IntoIterator<Item = &'a &'a str>) -> Vec<String> {
    points.into_iter().flat_map(|point| [format!("before {point}"), format!("after {point}")]).collect()
}

/// Ends a start at a place.
async fn die_in_start(place: &mut Place, at: &str) {
    place.variables = vec![("OUTBOX_CRASH", format!("{at} 1"))];
    let mut child = place.spawn();
    let ended = timeout(SOON, child.wait()).await.unwrap_or_else(|_| panic!("{at}: it lives")).unwrap();
    place.variables.clear();
    is_death(at, ended);
}

fn is_death(at: &str, ended: ExitStatus) {
    assert_eq!(ended.signal(), Some(SIGABRT), "{at}: it did not die there: {ended}");
}

#[tokio::test]
async fn a_start_that_dies_over_a_spool_in_trouble_leaves_the_next_one_as_much_as_it_found() {
    let (mut deaths, mut passed) = (0, BTreeSet::new());
    for _ in 0..seeds() {
        let base = Base::new().await;
        for (stage, harm, leads_past) in STAGES {
            let (expected, places_passed) = undisturbed(base.place(harm)).await;
            assert!(expected.values().all(Option::is_some), "{stage}: all are there: {expected:?}");
            for at in places(leads_past) {
                assert!(places_passed.contains(&at), "{stage}: {at} is not passed");
            }
            for at in places_passed.iter().filter(|at| places(&PLACES).contains(at)) {
                let mut place = base.place(harm);
                die_in_start(&mut place, at).await;
                let mut daemon = Daemon::start_in(place).await;
                assert_eq!(told(&daemon).await, expected, "{stage}: {at}");
                let checked = daemon.fsck().await;
                assert_eq!(checked.code, Some(0), "{at}: {checked:?}");
                deaths += 1;
                passed.insert(at.clone());
            }
        }
    }
    println!("{deaths} deaths of starts at {} places, 0 failed", passed.len());
}

#[tokio::test]
async fn what_a_start_finds_missing_is_in_the_log_wherever_it_dies() {
    let base = Base::new().await;
    let lose = |spool: &Path| std::fs::remove_file(spool.join("store/db")).unwrap();
    let (left, places_passed) = undisturbed(base.place(lose)).await;
    assert!(left.values().all(Option::is_none), "{left:?}");
    assert!(
        places(&["write db", "note", "say anew"]).iter().all(|at| places_passed.contains(at)),
        "{places_passed:?}"
    );
    for at in &places_passed {
        let mut place = base.place(lose);
        die_in_start(&mut place, at).await;
        let daemon = Daemon::start_in(place).await;
        for said in ["What was acknowledged is missing from the store", "cannot be read any more"] {
            assert!(daemon.log().contains(said), "{at}: {said}: {}", daemon.log());
        }
    }
    println!("{} deaths of starts, each with what is missing in the log", places_passed.len());
}

#[tokio::test]
async fn an_import_into_a_spool_in_trouble_says_what_it_found() {
    let base = Base::new().await;
    let lose = |spool: &Path| {
        std::fs::remove_file(spool.join("store/db")).unwrap();
        std::fs::remove_file(spool.join("format")).unwrap();
    };
    let place = base.place(lose);
    let mut import = Command::new(OUTBOXD);
    import.arg("import").arg(&place.spool);
    let imported = run(import, "").await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    for said in ["missing from the store: ", "cannot be read any more", "kept in ", "`format` was damaged"] {
        assert!(imported.err.contains(said), "{said}: {imported:?}");
    }
}

#[tokio::test]
async fn a_call_of_an_app_that_the_daemon_dies_in_has_happened_whole_or_not_at_all() {
    for _ in 0..seeds() {
        let base = Base::new().await;
        for at in places(&["extend", "resolve"]) {
            let mut place = base.place(|_| ());
            place.variables = vec![("OUTBOX_CRASH", format!("{at} 1"))];
            let mut daemon = Daemon::start_in(place).await;
            let before = told(&daemon).await;
            let resolved = ResolveRequest { code: 0, desc: None, data: None };
            let (lease, client) = (&base.leases[0].lease, daemon.client.clone());
            let is_answered = if at.ends_with("extend") {
                client.extend(lease, Duration::from_secs(300)).await.is_ok()
            } else {
                client.resolve(&base.uncertain, &resolved).await.is_ok()
            };
            assert!(!is_answered, "{at}: it lives");
            daemon.place.variables.clear();
            daemon.start_again().await;
            let mut expected = before;
            if at == "after resolve" {
                let resolved = expected.get_mut(&base.uncertain).unwrap().as_mut().unwrap();
                (resolved.0, resolved.3) = (State::Sent, Some(base.uncertain.clone()));
            }
            assert_eq!(told(&daemon).await, expected, "{at}");
            // And it can be gone on with.
            client.extend(lease, Duration::from_secs(300)).await.unwrap();
            if at != "after resolve" {
                client.resolve(&base.uncertain, &resolved).await.unwrap();
            }
            assert_eq!(client.message(&base.uncertain).await.unwrap().state, State::Sent, "{at}");
            let checked = daemon.fsck().await;
            assert_eq!(checked.code, Some(0), "{at}: {checked:?}");
        }
    }
}

#[tokio::test]
async fn an_import_that_dies_is_completed_by_a_repeat() {
    for _ in 0..seeds() {
        let base = Base::new().await;
        let program = |verb: &str, spool: &Path| {
            let mut command = Command::new(OUTBOXD);
            command.arg(verb).arg(spool);
            command
        };
        let exported = run(program("export", &base.daemon.place.spool), "").await;
        assert_eq!(exported.code, Some(0), "{exported:?}");
        let whole = Place::new(TOML);
        assert_eq!(run(program("import", &whole.spool), &exported.out).await.code, Some(0));
        let expected = told(&Daemon::start_in(whole).await).await;
        assert!(expected.values().all(Option::is_some), "{expected:?}");
        for at in places(&["restore entry", "restore receipt"]) {
            let place = Place::new(TOML);
            let mut dies = program("import", &place.spool);
            dies.env("OUTBOX_CRASH", format!("{at} 2"));
            let died = run(dies, &exported.out).await;
            assert_eq!(died.code, None, "{at}: {died:?}");
            let repeated = run(program("import", &place.spool), &exported.out).await;
            assert_eq!(repeated.code, Some(0), "{at}: {repeated:?}");
            let mut daemon = Daemon::start_in(place).await;
            assert_eq!(told(&daemon).await, expected, "{at}");
            let checked = daemon.fsck().await;
            assert_eq!(checked.code, Some(0), "{at}: {checked:?}");
        }
    }
}
