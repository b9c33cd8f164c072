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

use std::collections::HashSet;
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
use workload::{HARM, Marks, NO_REWRITE, NO_ROOM, RECOVERY, TROUBLE, WORKLOADS};

/// Images of all workloads and models that are opened if nobody asks for more.
const IMAGES: usize = 420;

/// The file whose syncs make a group durable.
const STORE_FILE: &str = "folder/spool/store/db";

/// The spool, in a folder that is not there before.
const SPOOL: &str = "folder/spool";

/// Not a test: what the watched process does.
#[test]
fn child() {
    let Ok(name) = std::env::var("OUTBOX_CUT_WORKLOAD") else { return };
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let marks = Marks::open(&path("OUTBOX_CUT_MARKS"));
    println!("{}", recorder::READY);
    std::io::stdin().lock().lines().next().unwrap().unwrap();
    workload::run(&name, &path("OUTBOX_CUT_ROOT").join(SPOOL), &marks);
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

/// What was found in images. Two moments can leave the same one: it is opened twice, for more was promised at the later.
#[derive(Default)]
struct Found {
    images: usize,
    distinct: HashSet<blake3::Hash>,
    failures: Failures,
}

impl Found {
    fn all(found: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for Self { images, distinct, failures } in found {
            all.images += images;
            all.distinct.extend(distinct);
            all.failures.extend(failures);
        }
        all
    }

    /// Prints how many there were.
    fn tell(&self, what: &str) {
        let Self { images, distinct, failures } = self;
        println!("{what}: {images} images, {} distinct, {} failed", distinct.len(), failures.len());
    }

    #[track_caller]
    fn must_be_sound(self) {
        must_be_none(&self.failures);
    }
}

#[track_caller]
fn must_be_none(failures: &Failures) {
    let some = failures[..failures.len().min(5)].join("\n");
    assert!(failures.is_empty(), "{} failed, such as\n{some}", failures.len());
}

/// Opens images of a trace; `before` was said in an earlier life of the spool.
fn cut(name: &str, trace: &Trace, before: &[String], model: Model, count: usize, seed: u64) -> Found {
    let mut random = Random::new(seed);
    let moments = moments(trace, count, &mut random);
    cut_at(name, trace, before, model, moments, random)
}

/// The same at these moments, one behind the other.
fn cut_at(
    name: &str,
    trace: &Trace,
    before: &[String],
    model: Model,
    moments: Vec<usize>,
    mut random: Random,
) -> Found {
    let mut drive = Drive::new(trace, model);
    let (mut said, mut heard) = (Said::default(), 0);
    before.iter().for_each(|mark| said.hear(mark));
    let mut found = Found { images: moments.len(), ..Found::default() };
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
        found.distinct.insert(drive.image(&mut Random::new(image_seed)).write(root.path()));
        // A program that plays the cut opens the image in the same boot, a machine in another one.
        let boot = image_seed.is_multiple_of(2).then_some(BootId([2; 16]));
        if let Err(reason) = judge(&root.path().join(SPOOL), &said, boot) {
            found.failures.push(format!(
                "{name}, {}, moment {moment} of {}, seed {image_seed}: {reason}",
                model.name,
                trace.ops.len()
            ));
        }
    }
    found
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
    // Each has moments of its own: where nothing is lost, all models leave the same.
    let jobs = (1_000..).zip(jobs).collect();
    let all = Found::all(in_parallel(jobs, |(seed, (name, trace, model))| {
        let found = cut(name, trace, &[], model, each, seed);
        found.tell(&format!("{name}, {}", model.name));
        found
    }));
    all.tell("all workloads and models");
    all.must_be_sound();
}

#[test]
fn without_our_sync_most_cuts_take_what_was_promised() {
    let each = images().div_ceil(4 * WORKLOADS.len() * MODELS.len());
    let mut traces = Vec::new();
    for (name, _) in WORKLOADS {
        let Some(trace) = watch_from_nothing(name) else { return };
        traces.push((name, trace.without_syncs_of(STORE_FILE)));
    }
    let jobs = traces.iter().flat_map(|(name, trace)| MODELS.map(|model| (*name, trace, model)));
    let jobs = (2_000..).zip(jobs).collect();
    let all = Found::all(in_parallel(jobs, |(seed, (name, trace, model))| {
        let found = cut(name, trace, &[], model, each, seed);
        found.tell(&format!("without our sync, {name}, {}", model.name));
        found
    }));
    all.tell("without our sync");
    let (count, failed) = (all.images, all.failures.len());
    // More than half of many; of a few, chance takes some: of a hundred, three deviations are fifteen.
    let must_fail = if count >= 1_000 { count / 2 } else { count / 3 };
    assert!(failed > must_fail, "only {failed} of {count} images lost anything: this test could not fail");
}

/// The marks of a trace before a moment.
fn said_until(trace: &Trace, moment: usize) -> Vec<String> {
    let marks = trace.ops[..moment].iter();
    marks.filter_map(|op| if let Op::Mark(mark) = op { Some(mark.clone()) } else { None }).collect()
}

/// Cuts of each recovery.
const AGAIN: usize = 8;

/// Cuts a workload so many times, watches each recovery, and cuts that; `None` where nothing can be watched.
fn cut_again(name: &str, firsts: usize, seed: u64) -> Option<Found> {
    let trace = watch_from_nothing(name)?;
    let mut random = Random::new(seed);
    let mut found = Vec::new();
    for moment in moments(&trace, firsts, &mut random) {
        let model = MODELS[random.below(MODELS.len() as u64) as usize];
        let mut drive = Drive::new(&trace, model);
        drive.go_on_to(moment);
        let root = scratch();
        drive.image(&mut random).write(root.path());
        let before = said_until(&trace, moment);
        let recovery = watch(RECOVERY, root.path(), None)?;
        let name = format!("recovery of {name} behind moment {moment}");
        found.push(cut(&name, &recovery, &before, model, AGAIN, random.next()));
    }
    Some(Found::all(found))
}

#[test]
fn a_second_cut_during_the_recovery_takes_nothing_either() {
    let firsts = images().div_ceil(4 * AGAIN * WORKLOADS.len());
    let jobs = (3..).zip(WORKLOADS).collect();
    let found = in_parallel(jobs, |(seed, (name, _))| {
        let found = cut_again(name, firsts, seed)?;
        found.tell(&format!("a second cut during the recovery of {name}"));
        Some(found)
    });
    let all = Found::all(found.into_iter().flatten());
    all.tell("a second cut during the recovery");
    all.must_be_sound();
}

/// The engine writes its snapshot to a file of another name first, which a second start makes under the same name.
#[test]
fn a_snapshot_that_was_cut_short_does_not_come_back_under_the_name_of_the_next_one() {
    const CUTS: usize = 24;
    let is_named = |op: &Op| matches!(op, Op::Rename { from, .. } if from.extension().is_some_and(|it| it == "generating"));
    let Some(trace) = watch_from_nothing("restarts") else { return };
    let first = trace.ops.iter().position(is_named).expect("a snapshot");
    let model = MODELS[0];
    let mut drive = Drive::new(&trace, model);
    // All of it was written, and nothing of that is certain.
    drive.go_on_to(first - 1);
    let (mut found, mut random) = (Vec::new(), Random::new(5));
    // Half of the images have it.
    for _ in 0..40 {
        if found.len() == 4 {
            break;
        }
        let root = scratch();
        let image = drive.image(&mut random);
        if !image.files.keys().any(|path| path.extension().is_some_and(|it| it == "generating")) {
            continue;
        }
        image.write(root.path());
        let Some(recovery) = watch(RECOVERY, root.path(), None) else { return };
        let named = recovery.ops.iter().position(is_named).expect("a snapshot again");
        let moments = vec![named + 1; CUTS];
        let before = said_until(&trace, first);
        found.push(cut_at("a snapshot", &recovery, &before, model, moments, Random::new(random.next())));
    }
    assert_eq!(found.len(), 4, "the snapshot's first name is in few images");
    let all = Found::all(found);
    all.tell("a snapshot that was cut short");
    all.must_be_sound();
}

/// The marks of a trace.
fn marks(trace: &Trace) -> impl Iterator<Item = &str> {
    trace.ops.iter().filter_map(|op| if let Op::Mark(mark) = op { Some(mark.as_str()) } else { None })
}

/// What became of a life in which the drive failed.
struct Trouble {
    failures: Failures,
    /// The store was unhealthy and then well.
    went_on: bool,
    rewrite: Rewrite,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rewrite {
    Done,
    /// Given up, and changes went on.
    GivenUp,
    /// Never begun, or ended by the end of everything.
    Ended,
}

/// What there is before a life in which the drive fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A stopped spool whose store is damaged: the start makes it anew.
    Damage,
}

/// Lets one operation fail, or it and all behind it; judges what the process left, and what a cut behind it leaves. `None` if
/// there were not so many operations.
fn fail(before: Before, fault: Fault) -> Option<Trouble> {
    let root = scratch();
    let mut said = Said::default();
    if before == Before::Damage {
        let made = watch(HARM, root.path(), None)?;
        marks(&made).for_each(|mark| said.hear(mark));
    }
    let workload = if fault.error == nix::Error::ENOSPC { NO_ROOM } else { TROUBLE };
    let trace = watch(workload, root.path(), Some(fault))?;
    if trace.failed == 0 {
        return None;
    }
    marks(&trace).for_each(|mark| said.hear(mark));
    let went_on =
        marks(&trace).skip_while(|mark| !mark.starts_with("unhealthy")).any(|mark| mark.starts_with("well"));
    let was_given_up =
        |mark: &str| mark.strip_prefix("refused ").is_some_and(|why| why.starts_with(NO_REWRITE));
    let mut behind = marks(&trace).skip_while(|mark| !was_given_up(mark));
    let rewrite = match (marks(&trace).any(|mark| mark.starts_with("rewritten")), behind.next()) {
        (true, _) => Rewrite::Done,
        (false, Some(_)) if behind.any(|mark| mark.starts_with("accepted")) => Rewrite::GivenUp,
        (false, _) => Rewrite::Ended,
    };
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
        let reason = judge(&root.path().join(SPOOL), &said, None).err()?;
        Some(format!("{before:?} before, {fault:?}, {which}: {reason}"))
    });
    Some(Trouble { failures: judged.collect(), went_on, rewrite })
}

#[test]
fn an_error_of_the_drive_ends_acceptance_and_a_restart_finds_all_that_was_promised() {
    // Each operation in turn, or every so many, beginning with the first.
    let step = if images() > IMAGES { 1 } else { 9 };
    let mut jobs = Vec::new();
    for kind in [Kind::Sync, Kind::Write, Kind::Other] {
        for for_good in [false, true] {
            for before in [Before::Nothing, Before::Damage] {
                jobs.push((before, kind, for_good, nix::Error::EIO));
            }
        }
    }
    // No room for a moment: the store opens itself again. For good, it would wait for ever.
    jobs.push((Before::Nothing, Kind::Write, false, nix::Error::ENOSPC));
    let all = in_parallel(jobs, |(before, kind, for_good, error)| {
        let (mut count, mut went_on, mut given_up, mut done, mut failures) = (0, 0, 0, 0, Failures::new());
        // Ends with the first operation that is not there.
        while let Some(trouble) = fail(before, Fault { kind, from: count * step, for_good, error }) {
            count += 1;
            went_on += usize::from(trouble.went_on);
            given_up += usize::from(trouble.rewrite == Rewrite::GivenUp);
            done += usize::from(trouble.rewrite == Rewrite::Done);
            failures.extend(trouble.failures);
        }
        let how = if for_good { "from then on" } else { "once" };
        println!(
            "{before:?} before, {kind:?}, {error:?}, {how}: {count} runs, {went_on} went on by themselves; \
             {done} rewrites done, {given_up} given up without harm"
        );
        assert_eq!(went_on > 0, count > 0 && error == nix::Error::ENOSPC, "only room comes back by itself");
        (done, given_up, failures)
    });
    assert!(all.iter().any(|(done, ..)| *done > 0), "the drive never failed behind a rewrite");
    assert!(all.iter().any(|(_, given_up, _)| *given_up > 0), "the drive never failed under a copy alone");
    let failures: Vec<String> = all.into_iter().flat_map(|(.., failures)| failures).collect();
    must_be_none(&failures);
}
