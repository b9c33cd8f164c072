//! Deaths at named places: a process dies before and behind every transaction, every step of a commit and every operation on
//! the spool's files; what it leaves is opened and held against what was promised.
//!
//! Owns:  the deaths, one after the other, and which places there must be.
//! Never: cuts the power (`power/` does), dies at a place of the daemon (the whole-system tests do).
//!
//! `OUTBOX_CRASH_SEEDS=3` leads three lives past each place, and each ends there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "crash/damage.rs"]
mod damage;
#[path = "power/judge.rs"]
mod judge;
#[path = "crash/life.rs"]
mod life;
#[allow(dead_code)]
#[path = "power/random.rs"]
mod random;
mod support;
#[allow(dead_code)]
#[path = "power/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use outbox::crash::POINTS;

use damage::{KINDS, Left};
use judge::{Said, judge};
use random::Random;

/// Passed in the daemon alone.
const OF_THE_DAEMON: [&str; 8] = [
    "attempt",
    "create socket folder",
    "create socket lock",
    "write socket lock",
    "remove dead socket",
    "bind socket",
    "chmod socket",
    "remove socket",
];

/// What ends a process at a crash point.
const SIGABRT: i32 = 6;

/// How many flips of the log are tried until one leads past all that its mending can lead past.
const FLIPS_MAX: u64 = 300;

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn seeds() -> u64 {
    std::env::var("OUTBOX_CRASH_SEEDS").map_or(1, |seeds| seeds.parse().unwrap())
}

/// What a process does in a folder.
#[derive(Clone, Copy)]
enum Life {
    Whole { seed: u64 },
    OfDamage,
}

/// Not a test: what the dying process does.
#[test]
fn child() {
    let Some(root) = std::env::var_os("OUTBOX_CRASH_ROOT") else { return };
    match std::env::var("OUTBOX_CRASH_SEED") {
        Ok(seed) => life::lead(Path::new(&root), seed.parse().unwrap()),
        Err(_) => damage::lead(Path::new(&root)),
    }
}

/// Lets the process run in a folder; it may be asked to die.
fn run(root: &Path, life: Life, death: Option<(&str, usize)>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--test-threads=1"]).env("OUTBOX_CRASH_ROOT", root);
    if let Life::Whole { seed } = life {
        command.env("OUTBOX_CRASH_SEED", seed.to_string());
    }
    match death {
        Some((place, at)) => command.env("OUTBOX_CRASH", format!("{place} {at}")),
        None => command.env("OUTBOX_CRASH_LOG", root.join("passed")),
    };
    command.output().unwrap()
}

/// How often each place is passed by a life that nothing ends.
type Passed = BTreeMap<String, usize>;

fn passed(root: &Path, life: Life) -> Passed {
    let output = run(root, life, None);
    assert!(output.status.success(), "the life itself fails: {}", String::from_utf8_lossy(&output.stdout));
    let mut passed = Passed::new();
    for line in std::fs::read_to_string(root.join("passed")).unwrap().lines() {
        *passed.entry(line.to_owned()).or_default() += 1;
    }
    passed
}

/// A death, and what it ends.
struct Death<'a, S> {
    place: String,
    at: usize,
    life: Life,
    stage: &'a S,
}

/// One death at each place, at some passing of it.
fn deaths<'a, S>(passed: &Passed, life: Life, stage: &'a S, random: &mut Random) -> Vec<Death<'a, S>> {
    let death = |(place, times): (&String, &usize)| Death {
        place: place.clone(),
        at: 1 + random.below(*times as u64) as usize,
        life,
        stage,
    };
    passed.iter().map(death).collect()
}

/// Lets them die in folders that are made for it, and has judged what they leave.
fn die<S: Sync>(
    what: &str,
    deaths: Vec<Death<'_, S>>,
    make: impl Fn(&S, &Path) + Sync,
    judged: impl Fn(&S, &Path) -> Result<(), String> + Sync,
) {
    let count = deaths.len();
    let (deaths, failures) = (Mutex::new(deaths), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(Death { place, at, life, stage }) = { deaths.lock().unwrap().pop() } {
                    let root = scratch();
                    make(stage, root.path());
                    let status = run(root.path(), life, Some((&place, at))).status;
                    let judged = match status.signal() {
                        Some(SIGABRT) => judged(stage, root.path()),
                        _ => Err(format!("it did not die there: {status}")),
                    };
                    failures.lock().unwrap().extend(judged.err().map(|why| format!("{place} {at}: {why}")));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{what}: {count} deaths, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn judge_in(root: &Path) -> Result<(), String> {
    let mut said = Said::default();
    // Nothing may have been said yet.
    let marks = std::fs::read_to_string(root.join("marks")).unwrap_or_default();
    marks.lines().for_each(|mark| said.hear(mark));
    judge(&root.join("spool"), &said, None)
}

#[test]
fn a_death_at_any_named_place_takes_nothing_that_was_promised() {
    let mut all = Vec::new();
    for seed in 0..seeds() {
        let (root, life) = (scratch(), Life::Whole { seed });
        let passed = passed(root.path(), life);
        judge_in(root.path()).unwrap();
        let behind_damage = |point: &&str| KINDS.iter().any(|(.., points)| points.contains(point));
        for point in POINTS.iter().filter(|point| !OF_THE_DAEMON.contains(point) && !behind_damage(point)) {
            for place in [format!("before {point}"), format!("after {point}")] {
                assert!(passed.contains_key(&place), "{place} is never passed");
            }
        }
        all.extend(deaths(&passed, life, &(), &mut Random::new(seed)));
    }
    die("whole lives", all, |(), _| {}, |(), root| judge_in(root));
}

/// A damaged spool, and what is left of it where nothing cuts its mending short.
struct Damaged {
    root: tempfile::TempDir,
    left: Left,
    passed: Passed,
}

/// Damages a spool, so that its mending leads past these places.
fn damaged(made: &Path, damage: fn(&Path, &mut Random), points: &[&str], random: &mut Random) -> Damaged {
    for _ in 0..FLIPS_MAX {
        let (root, undisturbed) = (scratch(), scratch());
        damage::copy(made, root.path());
        damage(&root.path().join("spool"), random);
        damage::copy(root.path(), undisturbed.path());
        let passed = passed(undisturbed.path(), Life::OfDamage);
        if points.iter().all(|point| passed.contains_key(&format!("after {point}"))) {
            let left = Left::of(&undisturbed.path().join("spool")).unwrap();
            return Damaged { root, left, passed };
        }
    }
    panic!("nothing leads past {points:?}");
}

#[test]
fn a_death_while_damage_is_mended_takes_no_more_than_the_damage() {
    let made = scratch();
    damage::make(made.path());
    for (what, damage, points) in KINDS {
        let all: Vec<Damaged> =
            (0..seeds()).map(|seed| damaged(made.path(), damage, points, &mut Random::new(seed))).collect();
        let missing: Vec<usize> = all.iter().map(|damaged| damaged.left.missing()).collect();
        println!("{what}: {missing:?} messages are missing behind it");
        let deaths = all.iter().zip(0..).flat_map(|(damaged, seed)| {
            deaths(&damaged.passed, Life::OfDamage, damaged, &mut Random::new(seed))
        });
        let judged = |damaged: &Damaged, root: &Path| match Left::of(&root.join("spool"))? {
            left if left == damaged.left => Ok(()),
            left => Err(format!("instead of\n{:?}\nthere is\n{left:?}", damaged.left)),
        };
        die(what, deaths.collect(), |damaged, root| damage::copy(damaged.root.path(), root), judged);
    }
}
