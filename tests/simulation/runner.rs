//! Many schedules: over all cores, with progress, and the seed of a failing one.
//!
//! Owns:  the tests of the simulation, and its three variables of the environment.
//! Never: takes part in a schedule.
//!
//! `OUTBOX_SIM_SCHEDULES` how many, `OUTBOX_SIM_FIRST` the first seed, `OUTBOX_SIM_SEED` one alone, with its trace.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::reached;
use crate::schedule::{Broken, Ran, run};
use crate::trace::Coverage;

/// Schedules of an ordinary run: under two minutes on two cores.
const SCHEDULES: u64 = 10_000;

/// Schedules that are run twice: enough for a difference to show, few enough to cost nothing.
const REPLAYED: u64 = 60;

/// Schedules after which each kind of thing must have happened.
const REACHES_ALL: u64 = 2_000;

/// Lines of a failing schedule's trace that are shown without being asked for.
const LINES_SHOWN: usize = 60;

/// How often a long run says how far it is.
const SAYS_SO_EVERY: Duration = Duration::from_secs(10);

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A folder in memory where there is one: nothing here is about the drive.
pub(crate) fn folder() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("outbox-simulation-");
    builder.tempdir_in(in_memory).or_else(|_| builder.tempdir()).unwrap()
}

/// Runs one schedule in a fresh place of the folder.
fn run_in(folder: &TempDir, seed: u64) -> Result<Ran, Box<Broken>> {
    let place = folder.path().join(format!("{seed}"));
    std::fs::create_dir(&place).unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| run(seed, &place)));
    std::fs::remove_dir_all(&place).unwrap();
    ended.unwrap_or_else(|panic| {
        Err(Box::new(Broken {
            what: format!("a panic: {}", text_of(panic.as_ref())),
            trace: Vec::new(),
            sum: 0,
        }))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// What many schedules have in common.
struct Progress {
    began: Instant,
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: u64,
    said: Duration,
    coverage: Coverage,
    broken: Option<(u64, Box<Broken>)>,
}

/// Runs the schedules of seeds `first` and on, until one fails.
fn run_many(first: u64, count: u64) -> State {
    let progress =
        Progress { began: Instant::now(), next: AtomicU64::new(0), state: Mutex::new(State::default()) };
    // More than cores: the store waits for its own threads now and then.
    let workers = std::thread::available_parallelism().map_or(1, usize::from) * 2;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&progress, first, count));
        }
    });
    let took = progress.began.elapsed();
    let state = progress.state.into_inner().unwrap();
    say_now(&format!("{} schedules in {took:.1?}", state.done));
    state
}

fn work(progress: &Progress, first: u64, count: u64) {
    let folder = folder();
    loop {
        let at = progress.next.fetch_add(1, Ordering::Relaxed);
        if at >= count {
            return;
        }
        let ended = run_in(&folder, first + at);
        let mut state = progress.state.lock().unwrap();
        state.done += 1;
        match ended {
            Ok(ran) => {
                for (what, times) in ran.coverage {
                    *state.coverage.entry(what).or_default() += times;
                }
            }
            Err(broken) => {
                // Of several, the first seed: the others end with it.
                progress.next.store(count, Ordering::Relaxed);
                if state.broken.as_ref().is_none_or(|(seed, _)| first + at < *seed) {
                    state.broken = Some((first + at, broken));
                }
            }
        }
        say(progress, &mut state, count);
    }
}

fn say(progress: &Progress, state: &mut State, count: u64) {
    let elapsed = progress.began.elapsed();
    if elapsed >= state.said + SAYS_SO_EVERY {
        state.said = elapsed;
        let rate = state.done as f64 / elapsed.as_secs_f64();
        say_now(&format!("{} of {count} schedules, {rate:.0} a second", state.done));
    }
}

/// To the terminal at once: what a test prints is kept back until it has failed.
fn say_now(text: &str) {
    use std::io::Write;
    // Where nobody can read it, nobody misses it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn report(seed: u64, broken: &Broken) -> ! {
    let shown = broken.trace.len().saturating_sub(LINES_SHOWN);
    panic!(
        "{}\n\nThe last lines of what happened:\n{}\n\nThe whole of it:\n  OUTBOX_SIM_SEED={seed} cargo test -p \
         outboxd --test simulation\n",
        broken.what,
        broken.trace[shown..].join("\n"),
    );
}

#[test]
fn the_promises_hold_in_every_schedule() {
    if let Some(seed) = variable("OUTBOX_SIM_SEED") {
        return replay(seed);
    }
    let count = variable("OUTBOX_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let state = run_many(variable("OUTBOX_SIM_FIRST").unwrap_or(1), count);
    if let Some((seed, broken)) = &state.broken {
        report(*seed, broken);
    }
    // Seen with --nocapture.
    for (what, times) in &state.coverage {
        eprintln!("{times:>9}  {what}");
    }
    if count >= REACHES_ALL {
        reaches_all(&state.coverage);
    }
}

/// Runs one schedule and prints everything that happened in it.
fn replay(seed: u64) {
    match run_in(&folder(), seed) {
        Ok(ran) => say_now(&format!("{}\nkept; sum {:016x}", ran.trace.join("\n"), ran.sum)),
        Err(broken) => {
            say_now(&format!("{}\nbroken; sum {:016x}", broken.trace.join("\n"), broken.sum));
            panic!("{}", broken.what);
        }
    }
}

/// A generator that no longer reaches something would let a test stand that cannot fail.
fn reaches_all(coverage: &Coverage) {
    let missing = reached::missing(coverage);
    assert!(missing.is_empty(), "no schedule reached: {missing:#?}");
}

#[test]
fn a_seed_repeats_its_schedule_exactly() {
    let folder = folder();
    let sum = |seed| match run_in(&folder, seed) {
        Ok(ran) => ran.sum,
        Err(broken) => broken.sum,
    };
    for seed in 1_000_000..1_000_000 + REPLAYED {
        assert_eq!(sum(seed), sum(seed), "seed {seed} is not the same twice");
    }
}
