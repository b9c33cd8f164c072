//! Power cuts: a real process on the real store is watched, and what a cut at any moment could leave is opened.
//!
//! Owns:  the runs over workloads, models, moments and seeds; the control without our syncs; the second cut.
//! Never: needs anything but Linux and the right to watch one's own child.
//!
//! `OUTBOX_CUT_IMAGES=20000` opens so many in all; a failing image is kept and named with workload, model, moment and seed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod image;
mod judge;
mod random;
mod recorder;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod tracer;
mod workload;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use outbox::BootId;

use image::{Drive, MODELS, Model};
use judge::{Said, judge};
use random::Random;
use recorder::{Fault, Kind};
use trace::{Op, Trace, Tree};
use workload::{Marks, NO_ROOM, RECOVERY, TROUBLE, WORKLOADS};

/// Images of all workloads and models that are opened if nobody asks for more.
const IMAGES: usize = 420;

/// The file whose syncs make a group durable.
const STORE_FILE: &str = "spool/store/db";

/// Not a test: what the watched process does.
#[test]
fn child() {
    let Ok(name) = std::env::var("OUTBOX_CUT_WORKLOAD") else { return };
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let marks = Marks::open(&path("OUTBOX_CUT_MARKS"));
    println!("{}", recorder::READY);
    std::io::stdin().lock().lines().next().unwrap().unwrap();
    workload::run(&name, &path("OUTBOX_CUT_ROOT").join("spool"), &marks);
}

/// A folder in memory where the system has one: images are many, and need no drive.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Watches a workload on what lies in a folder.
fn watch(name: &str, root: &Path, fault: Option<Fault>) -> Option<Trace> {
    let beside = scratch();
    let (root, marks) = (root.canonicalize().unwrap(), beside.path().canonicalize().unwrap().join("marks"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env("OUTBOX_CUT_WORKLOAD", name).env("OUTBOX_CUT_ROOT", &root).env("OUTBOX_CUT_MARKS", &marks);
    recorder::record(&root, &marks, &mut command, fault)
}

fn watch_from_nothing(name: &str) -> Option<Trace> {
    watch(name, scratch().path(), None)
}

fn images() -> usize {
    std::env::var("OUTBOX_CUT_IMAGES").map_or(IMAGES, |images| images.parse().unwrap())
}

/// Moments of a trace: many behind a promise, many around a sync, the others anywhere.
fn moments(trace: &Trace, count: usize, random: &mut Random) -> Vec<usize> {
    let all = |wanted: fn(&Op) -> bool| -> Vec<usize> {
        (0..trace.ops.len()).filter(|index| wanted(&trace.ops[*index])).collect()
    };
    let promises = all(|op| matches!(op, Op::Mark(_)));
    let syncs = all(|op| matches!(op, Op::Sync { .. } | Op::SyncDir { .. }));
    let mut moments: Vec<usize> = (0..count)
        .map(|_| {
            let one_of = |from: &[usize], random: &mut Random| from[random.below(from.len() as u64) as usize];
            match random.below(10) {
                0..3 if !promises.is_empty() => one_of(&promises, random) + 1,
                3..6 if !syncs.is_empty() => one_of(&syncs, random) + random.below(2) as usize,
                _ => random.below(trace.ops.len() as u64 + 1) as usize,
            }
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// Images that failed, each in words.
type Failures = Vec<String>;

/// Opens images of a trace; `before` was said in an earlier life of the spool.
fn cut(name: &str, trace: &Trace, before: &[String], model: Model, count: usize, seed: u64) -> Failures {
    let mut random = Random::new(seed);
    let moments = moments(trace, count, &mut random);
    let mut drive = Drive::new(trace, model);
    let (mut said, mut heard) = (Said::default(), 0);
    before.iter().for_each(|mark| said.hear(mark));
    let mut failures = Failures::new();
    for moment in moments {
        drive.go_on_to(moment);
        for op in &trace.ops[heard..moment] {
            if let Op::Mark(mark) = op {
                said.hear(mark);
            }
        }
        heard = moment;
        let image_seed = random.next();
        let root = scratch();
        drive.image(&mut Random::new(image_seed)).write(root.path());
        // A program that plays the cut opens the image in the same boot, a machine in another one.
        let boot = image_seed.is_multiple_of(2).then_some(BootId([2; 16]));
        if let Err(reason) = judge(&root.path().join("spool"), &said, boot) {
            failures.push(format!(
                "{name}, {}, moment {moment} of {}, seed {image_seed}: {reason}",
                model.name,
                trace.ops.len()
            ));
        }
    }
    failures
}

/// Shares jobs out to as many threads as there are processors.
fn in_parallel<T: Send, A: Send>(jobs: Vec<T>, work: impl Fn(T) -> A + Sync) -> Vec<A> {
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = { jobs.lock().unwrap().pop() } {
                    let answer = work(job);
                    done.lock().unwrap().push(answer);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn a_power_cut_at_any_moment_takes_nothing_that_was_promised() {
    let each = images().div_ceil(WORKLOADS.len() * MODELS.len());
    let mut jobs = Vec::new();
    let mut traces = Vec::new();
    for (name, _) in WORKLOADS {
        let Some(trace) = watch_from_nothing(name) else { return };
        traces.push((name, trace));
    }
    for (name, trace) in &traces {
        jobs.extend(MODELS.map(|model| (*name, trace, model)));
    }
    let all = in_parallel(jobs, |(name, trace, model)| {
        let failures = cut(name, trace, &[], model, each, 1);
        println!("{name}, {}: {each} images, {} failed", model.name, failures.len());
        failures
    });
    let failures: Vec<String> = all.into_iter().flatten().collect();
    assert!(
        failures.is_empty(),
        "{} images failed, such as\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
}

#[test]
fn without_our_sync_most_cuts_take_what_was_promised() {
    let each = images().div_ceil(4 * WORKLOADS.len() * MODELS.len());
    let mut traces = Vec::new();
    for (name, _) in WORKLOADS {
        let Some(trace) = watch_from_nothing(name) else { return };
        traces.push((name, trace.without_syncs_of(STORE_FILE)));
    }
    let jobs = traces.iter().flat_map(|(name, trace)| MODELS.map(|model| (*name, trace, model))).collect();
    let failed: usize = in_parallel(jobs, |(name, trace, model)| {
        let failed = cut(name, trace, &[], model, each, 2).len();
        println!("without our sync, {name}, {}: {each} images, {failed} failed", model.name);
        failed
    })
    .iter()
    .sum();
    let count = each * WORKLOADS.len() * MODELS.len();
    println!("without our sync: {count} images, {failed} failed");
    // More than half of many; of a few, chance takes some.
    assert!(failed * 3 > count, "only {failed} of {count} images lost anything: this test could not fail");
}

/// Cuts of each recovery.
const AGAIN: usize = 10;

#[test]
fn a_second_cut_during_the_recovery_takes_nothing_either() {
    let firsts = images().div_ceil(40);
    let Some(trace) = watch_from_nothing("lives") else { return };
    let mut random = Random::new(3);
    let (mut failures, mut count) = (Failures::new(), 0);
    for moment in moments(&trace, firsts, &mut random) {
        let model = MODELS[random.below(MODELS.len() as u64) as usize];
        let mut drive = Drive::new(&trace, model);
        drive.go_on_to(moment);
        let root = scratch();
        drive.image(&mut random).write(root.path());
        let before: Vec<String> = trace.ops[..moment]
            .iter()
            .filter_map(|op| if let Op::Mark(mark) = op { Some(mark.clone()) } else { None })
            .collect();
        let Some(recovery) = watch(RECOVERY, root.path(), None) else { return };
        let name = format!("recovery behind moment {moment}");
        failures.extend(cut(&name, &recovery, &before, model, AGAIN, random.next()));
        count += AGAIN;
    }
    println!("a second cut during the recovery: {count} images, {} failed", failures.len());
    assert!(
        failures.is_empty(),
        "{} images failed, such as\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
}

/// The marks of a trace.
fn marks(trace: &Trace) -> impl Iterator<Item = &str> {
    trace.ops.iter().filter_map(|op| if let Op::Mark(mark) = op { Some(mark.as_str()) } else { None })
}

/// Lets one operation fail, or it and all behind it; judges what the process left, and what a cut behind it leaves, and tells
/// whether the store went on by itself. `None` if there were not so many operations.
fn fail(fault: Fault) -> Option<(Failures, bool)> {
    let root = scratch();
    let workload = if fault.error == nix::Error::ENOSPC { NO_ROOM } else { TROUBLE };
    let trace = watch(workload, root.path(), Some(fault))?;
    if trace.failed == 0 {
        return None;
    }
    let mut said = Said::default();
    marks(&trace).for_each(|mark| said.hear(mark));
    let went_on =
        marks(&trace).skip_while(|mark| !mark.starts_with("unhealthy")).any(|mark| mark.starts_with("well"));
    let mut random = Random::new(fault.from as u64);
    let mut left = vec![("left behind", Tree::read(root.path()))];
    for model in MODELS {
        let mut drive = Drive::new(&trace, model);
        drive.go_on_to(trace.ops.len());
        left.extend((0..2).map(|_| (model.name, drive.image(&mut random))));
    }
    let judged = left.into_iter().filter_map(|(which, tree)| {
        let root = scratch();
        tree.write(root.path());
        let reason = judge(&root.path().join("spool"), &said, None).err()?;
        Some(format!("{fault:?}, {which}: {reason}"))
    });
    Some((judged.collect(), went_on))
}

#[test]
fn an_error_of_the_drive_ends_acceptance_and_a_restart_finds_all_that_was_promised() {
    // Each operation in turn, or every so many, beginning with the first.
    let step = if images() > IMAGES { 1 } else { 9 };
    let mut jobs = Vec::new();
    for kind in [Kind::Sync, Kind::Write, Kind::Other] {
        for for_good in [false, true] {
            jobs.push((kind, for_good, nix::Error::EIO));
        }
    }
    // No room for a moment: the store opens itself again. For good, it would wait for ever.
    jobs.push((Kind::Write, false, nix::Error::ENOSPC));
    let all = in_parallel(jobs, |(kind, for_good, error)| {
        let (mut count, mut went_on, mut failures) = (0, 0, Failures::new());
        // Ends with the first operation that is not there.
        while let Some((failed, did)) = fail(Fault { kind, from: count * step, for_good, error }) {
            count += 1;
            went_on += usize::from(did);
            failures.extend(failed);
        }
        let how = if for_good { "from then on" } else { "once" };
        println!("{kind:?}, {error:?}, {how}: {count} runs, {went_on} went on by themselves");
        assert_eq!(went_on > 0, count > 0 && error == nix::Error::ENOSPC, "only room comes back by itself");
        (count, failures)
    });
    let failures: Vec<String> = all.into_iter().flat_map(|(_, failures)| failures).collect();
    assert!(
        failures.is_empty(),
        "{} failed, such as\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
}
