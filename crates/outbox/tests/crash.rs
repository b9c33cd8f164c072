//! Deaths at named places: a process dies before and behind every transaction, every step of a commit and every operation on
//! the spool's files; what it leaves is opened and held against what was promised.
//!
//! Owns:  a life that passes every place, the deaths, one after the other.
//! Never: cuts the power (`power/` does), dies at a place of the daemon (the whole-system tests do).
//!
//! `OUTBOX_CRASH_SEEDS=3` lets it die at three passings of each place, not one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "power/judge.rs"]
mod judge;
#[allow(dead_code)]
#[path = "power/random.rs"]
mod random;
mod support;
#[allow(dead_code)]
#[path = "power/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Duration;

use outbox::crash::POINTS;
use outbox::{
    Batch, BatchOp, Config, Filter, GateChange, Lease, LeaseRequest, LeaseTo, Message, OnUncertain, Outbox,
    Outcome, Overrides, Payload, Replacement, Resolution,
};

use judge::{Said, judge};
use random::Random;
use support::{report, sent, usual_class};
use workload::{Marks, as_sent, attempts, cancel, config, message, payload, submit};

/// Passed in the daemon alone.
const OF_THE_DAEMON: [&str; 3] = ["attempt", "bind socket", "remove socket"];

/// Passed only behind damage that the engine does not notice; the tests of the check cut these short themselves.
const BEHIND_DAMAGE: [&str; 4] = ["rebuild", "mend", "quarantine", "write quarantine"];

/// What ends a process at a crash point.
const SIGABRT: i32 = 6;

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Not a test: what the dying process does.
#[test]
fn child() {
    let Some(root) = std::env::var_os("OUTBOX_CRASH_ROOT").map(PathBuf::from) else { return };
    let marks = Marks::open(&root.join("marks"));
    let spool = root.join("spool");
    first_life(&spool, &marks);
    // As a folder may be that lost a file: what is asked for then must end, too.
    std::fs::remove_file(spool.join("ready")).unwrap();
    second_life(&spool, &marks);
}

fn settings(spool: &Path) -> Config {
    let mut config = config(spool);
    config.policy.on_uncertain = OnUncertain::Hold;
    config
}

fn lease(outbox: &Outbox, to: LeaseTo) -> Lease {
    let request = LeaseRequest { max: 1, to, ..LeaseRequest::default() };
    outbox.lease(request).wait().unwrap().pop().unwrap()
}

/// Every kind of verb, the tidying up, a rewrite, and an attempt that is still under way at the end.
fn first_life(spool: &Path, marks: &Marks) {
    let outbox = Outbox::open(settings(spool)).unwrap();
    for number in 0..8 {
        submit(&outbox, marks, message(&format!("conv{number}"), number, 300));
    }
    submit(&outbox, marks, message("large", 0, 20_000));
    ends(&outbox, marks);
    leases(&outbox);
    by_hand(&outbox, marks);
    restored(&outbox, marks);
    outbox.compact().wait().unwrap();
    lease(&outbox, LeaseTo::Process);
    outbox.close();
}

/// Finds that attempt, and goes on.
fn second_life(spool: &Path, marks: &Marks) {
    let outbox = Outbox::open(settings(spool)).unwrap();
    submit(&outbox, marks, message("again", 0, 300));
    while attempts(&outbox, marks, 8, as_sent) > 0 {}
    outbox.close();
}

/// Attempts with every kind of end.
fn ends(outbox: &Outbox, marks: &Marks) {
    let outcome = |index: usize, msg_id: &str| match &msg_id[..5] {
        "conv0" => sent(&format!("{msg_id}-new"), &vec![b'r'; 20_000]),
        "conv1" => report(Outcome::Reject, usual_class(Outcome::Reject)),
        "conv3" => report(Outcome::MaybeReached, usual_class(Outcome::MaybeReached)),
        "conv4" => as_sent(index, msg_id),
        _ => report(Outcome::NotReached, usual_class(Outcome::NotReached)),
    };
    attempts(outbox, marks, 20, outcome);
    assert_eq!(outbox.wake_not_reached().unwrap(), 5);
    outbox.resend("conv1-00001-300".into(), Overrides::default()).wait().unwrap();
    marks.say("send", "conv3-00003-300");
    let replacement = Some(Replacement { new_msg_id: None, data: b"{}".to_vec() });
    outbox.resolve("conv3-00003-300".into(), Resolution { desc: "seen".into(), replacement }).wait().unwrap();
    marks.say("sent", "conv3-00003-300");
}

/// Leases that do not lead to an attempt.
fn leases(outbox: &Outbox) {
    let to = LeaseTo::App { duration: Duration::from_secs(60) };
    let leased = lease(outbox, to);
    outbox.extend(leased.id.clone(), Duration::from_secs(120)).wait().unwrap();
    outbox.take_back(leased.id).wait().unwrap();
    outbox.put_off(lease(outbox, LeaseTo::Process).id, Duration::from_secs(60)).wait().unwrap();
    outbox.flush(None, None).unwrap();
}

/// What a person or the configuration does.
fn by_hand(outbox: &Outbox, marks: &Marks) {
    outbox.hold("conv6-00006-300".into(), None).wait().unwrap();
    outbox.release("conv6-00006-300".into()).wait().unwrap();
    cancel(outbox, marks, "conv7-00007-300");
    cancel(outbox, marks, "large-00000-20000");
    let seqs = outbox.matching(&Filter::default(), 0).unwrap().seqs;
    for op in [BatchOp::Hold, BatchOp::Release] {
        let seqs = seqs.clone().into();
        outbox.batch(Batch { op, reason: None, seqs, filter: Filter::default() }).wait().unwrap();
    }
    outbox.pause().wait().unwrap();
    outbox.resume().wait().unwrap();
    for change in [GateChange::Pause { reason: None }, GateChange::Open] {
        outbox.set_account("default".into(), change).wait().unwrap();
    }
    outbox.reconfigure(Config { sent_max: 1_000, ..Config::clone(&outbox.config()) }).wait().unwrap();
    outbox.tick().wait().unwrap();
}

/// An entry and a receipt, as another spool would have them.
fn restored(outbox: &Outbox, marks: &Marks) {
    let Message::Entry(view) = outbox.get("conv5-00005-300").unwrap() else { panic!("it waits") };
    let Message::Receipt(mut receipt) = outbox.get("conv3-00003-300").unwrap() else { panic!("it is sent") };
    let (of_entry, of_receipt) = ("other-00000-300", "other-00001-300");
    let mut entry = view.entry;
    entry.identity.msg_id = of_entry.into();
    entry.identity.conversation = "other".into();
    marks.say("submit", of_entry);
    let kept = Payload { message: payload(of_entry), web_message_instance: None };
    outbox.restore_entry(entry, Some(kept)).wait().unwrap();
    marks.say("accepted", of_entry);
    receipt.identity.msg_id = of_receipt.into();
    receipt.identity.conversation = "other".into();
    for verb in ["submit", "send"] {
        marks.say(verb, of_receipt);
    }
    outbox.restore_receipt(receipt, Some(b"{}".to_vec())).wait().unwrap();
    for verb in ["accepted", "sent"] {
        marks.say(verb, of_receipt);
    }
}

/// Lets the process run in a folder; it may be asked to die.
fn run(root: &Path, death: Option<(&str, usize)>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--test-threads=1"]).env("OUTBOX_CRASH_ROOT", root);
    match death {
        Some((place, at)) => command.env("OUTBOX_CRASH", format!("{place} {at}")),
        None => command.env("OUTBOX_CRASH_LOG", root.join("passed")),
    };
    command.output().unwrap()
}

/// How often each place is passed.
fn passed() -> BTreeMap<String, usize> {
    let root = scratch();
    let life = run(root.path(), None);
    assert!(life.status.success(), "the life itself fails: {}", String::from_utf8_lossy(&life.stdout));
    judge_in(root.path()).unwrap();
    let mut passed = BTreeMap::new();
    for line in std::fs::read_to_string(root.path().join("passed")).unwrap().lines() {
        *passed.entry(line.to_owned()).or_default() += 1;
    }
    passed
}

fn judge_in(root: &Path) -> Result<(), String> {
    let mut said = Said::default();
    // Nothing may have been said yet.
    let marks = std::fs::read_to_string(root.join("marks")).unwrap_or_default();
    marks.lines().for_each(|mark| said.hear(mark));
    judge(&root.join("spool"), &said)
}

#[test]
fn a_death_at_any_named_place_takes_nothing_that_was_promised() {
    let seeds = std::env::var("OUTBOX_CRASH_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    let passed = passed();
    let mut deaths: Vec<(String, usize)> = Vec::new();
    for point in POINTS {
        if OF_THE_DAEMON.contains(&point) || BEHIND_DAMAGE.contains(&point) {
            continue;
        }
        for place in [format!("before {point}"), format!("after {point}")] {
            let times = *passed.get(&place).unwrap_or_else(|| panic!("{place} is never passed"));
            let mut random = Random::new(u64::from(seed_of(&place)));
            let mut at: Vec<usize> = (0..seeds).map(|_| 1 + random.below(times as u64) as usize).collect();
            at.dedup();
            deaths.extend(at.into_iter().map(|at| (place.clone(), at)));
        }
    }
    let count = deaths.len();
    let (deaths, failures) = (Mutex::new(deaths), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((place, at)) = { deaths.lock().unwrap().pop() } {
                    let root = scratch();
                    let status = run(root.path(), Some((&place, at))).status;
                    let judged = match status.signal() {
                        Some(SIGABRT) => judge_in(root.path()),
                        _ => Err(format!("it did not die there: {status}")),
                    };
                    failures.lock().unwrap().extend(judged.err().map(|why| format!("{place} {at}: {why}")));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{count} deaths at {} places, {} failed", passed.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A seed of a place's own.
fn seed_of(text: &str) -> u32 {
    text.bytes().fold(17, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}
