//! Random and mutated input for everything that reads what others write: records, requests, messages,
//! configuration, paths.
//!
//! Owns:  the runner: how many cases, from which seed, and how one that failed is shown and run again.
//! Never: knows a property: each target has its own, and `fuzz/` runs the same ones under libFuzzer.
//!
//! What is run are the targets of `fuzz/` themselves, with a stand-in for libFuzzer's macro (`targets.rs`).
//!
//! Always the same cases unless told otherwise: `OUTBOX_FUZZ_SEED` draws others, `OUTBOX_FUZZ_CASES` is how many of
//! each target, `OUTBOX_FUZZ_INPUT` names a file that each target reads instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// What the targets call by the name of a crate is here.
extern crate self as libfuzzer_sys;

mod mutate;
#[path = "../simulation/random.rs"]
#[allow(dead_code)]
mod random;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use mutate::Corpus;
use random::Random;
use targets::config::config;
pub(crate) use targets::fuzz_target;
use targets::record::record;
use targets::request::request;
use targets::routing::routing;
use targets::tim::tim;

/// What a case may take. They take microseconds; a machine that is busy with others may let one wait.
const CASE_MAX: Duration = Duration::from_secs(10);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Checks so many cases of a target.
fn run(name: &str, cases: u64, corpus: Corpus, check: fn(&[u8])) {
    if let Some(path) = std::env::var_os("OUTBOX_FUZZ_INPUT") {
        return check(&std::fs::read(path).expect("the input"));
    }
    let seed = number("OUTBOX_FUZZ_SEED").unwrap_or(1);
    let cases = number("OUTBOX_FUZZ_CASES").unwrap_or(cases);
    println!("{name}: OUTBOX_FUZZ_SEED={seed} OUTBOX_FUZZ_CASES={cases}");
    let mut random = Random::new(seed);
    for input in corpus.seeds() {
        one(name, seed, 0, input, check);
    }
    let began = Instant::now();
    for case in 1..=cases {
        let input = corpus.draw(&mut random);
        one(name, seed, case, &input, check);
    }
    println!("{name}: {cases} cases in {:?}", began.elapsed());
}

fn one(name: &str, seed: u64, case: u64, input: &[u8], check: fn(&[u8])) {
    let began = Instant::now();
    let checked = catch_unwind(AssertUnwindSafe(|| check(input)));
    let took = began.elapsed();
    if let Err(panic) = checked {
        let path = std::env::temp_dir().join(format!("outbox-fuzz-{name}-{seed}-{case}"));
        let kept = std::fs::write(&path, input).is_ok();
        eprintln!("{name}: case {case} of OUTBOX_FUZZ_SEED={seed} failed: b\"{}\"", input.escape_ascii());
        if kept {
            eprintln!("{name}: OUTBOX_FUZZ_INPUT={} runs it alone", path.display());
        }
        resume_unwind(panic);
    }
    assert!(took < CASE_MAX, "{name}: case {case} of OUTBOX_FUZZ_SEED={seed} took {took:?}: {input:?}");
}

#[test]
fn no_bytes_are_taken_for_a_record_that_nobody_wrote() {
    run("record", 1_000_000, Corpus::new(record::seeds(), record::WORDS), targets::record::run);
}

#[test]
fn no_request_is_taken_for_what_it_does_not_say() {
    run("request", 100_000, Corpus::new(request::seeds(), request::WORDS), targets::request::run);
}

#[test]
fn no_message_changes_by_being_read_and_written() {
    run("tim", 75_000, Corpus::new(tim::seeds(), tim::WORDS), targets::tim::run);
}

#[test]
fn no_text_is_a_configuration_that_breaks_a_limit_or_shows_a_secret() {
    run("config", 20_000, Corpus::new(config::seeds(), config::WORDS), targets::config::run);
}

#[test]
fn no_path_reaches_what_its_role_may_not() {
    run("routing", 75_000, Corpus::new(routing::seeds(), routing::WORDS), targets::routing::run);
}
