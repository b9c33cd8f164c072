//! The store against a plain map: random verbs, time steps, restarts and kills, and the promises after each.
//!
//! Owns:  the generator of verbs and the property. `model/world.rs` and `model/leases.rs` carry them out,
//!        `model/check.rs` holds the promises against what the store says.
//! Never: uses anything but the public API, sleeps.
//!
//! `OUTBOX_MODEL_CASES=2000 cargo test -p outbox --test model` looks longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "model/check.rs"]
mod check;
#[path = "model/leases.rs"]
mod leases;
#[path = "support/mod.rs"]
mod support;
#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use outbox::{DedupWindow, OnFailedHead, OnUncertain, Order, Policy, RetryPolicy};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use world::World;

/// Cases of an ordinary run: about ten seconds of an unoptimised build.
const CASES: u32 = 40;

/// What a person chose.
#[derive(Clone, Copy, Debug)]
struct Choice {
    policy: Policy,
    order: Order,
}

/// How large a payload or replacement is.
#[derive(Clone, Copy, Debug)]
enum Size {
    Small,
    /// Goes to a file.
    Large,
}

/// The optional parts of a submission.
#[derive(Clone, Copy, Debug)]
struct Extras {
    alias: Option<u8>,
    not_before_ms: Option<u32>,
    ttl_s: Option<u16>,
    online_only: bool,
    /// Index of the first send's outcome.
    error: Option<usize>,
}

/// What is done to the store.
#[derive(Clone, Copy, Debug)]
enum Op {
    Submit { msg: u8, lane: u8, other_payload: bool, size: Size, extras: Extras },
    Lease { max: usize, app_s: Option<u16>, account: Option<u8> },
    Settle { which: usize, outcome: usize, class: usize, retry_after_s: Option<u8>, size: Size },
    Extend { which: usize, duration_s: u16 },
    TakeBack { which: usize },
    Hold { msg: u8 },
    Release { msg: u8 },
    Resend { msg: u8 },
    Cancel { msg: u8 },
    Resolve { msg: u8 },
    Tick,
    Flush { account: Option<u8> },
    WakeNotReached,
    Pause,
    Resume,
    PauseAccount { account: u8 },
    OpenAccount { account: u8 },
    Pass { ms: u64 },
    Jump { ms: i64 },
    Reopen { end: End, reboot_off_ms: Option<u64> },
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Kill,
}

fn choices() -> impl Strategy<Value = Choice> {
    let uncertain = prop_oneof![Just(OnUncertain::Resend), Just(OnUncertain::Hold), Just(OnUncertain::Fail)];
    let head = prop_oneof![Just(OnFailedHead::Continue), Just(OnFailedHead::Hold)];
    let order = prop_oneof![5 => Just(Order::Conversation), 1 => Just(Order::None)];
    let window_s = prop_oneof![Just(0), Just(4), Just(120)];
    let retention_s = prop_oneof![Just(0), Just(90), Just(86_400)];
    let max_attempts = prop_oneof![3 => Just(0), 1 => Just(2)];
    (uncertain, head, order, window_s, retention_s, max_attempts).prop_map(
        |(on_uncertain, on_failed_head, order, window_s, retention_s, max_attempts)| Choice {
            policy: Policy {
                retry: RetryPolicy { max_attempts, unknown_max_attempts: 2, ..RetryPolicy::default() },
                dedup_window: DedupWindow {
                    one_to_one: Duration::from_secs(window_s),
                    group: Duration::from_secs(2 * window_s),
                },
                on_uncertain,
                on_failed_head,
                failed_retention: Duration::from_secs(retention_s),
            },
            order,
        },
    )
}

fn sizes() -> impl Strategy<Value = Size> {
    prop_oneof![7 => Just(Size::Small), 1 => Just(Size::Large)]
}

fn extras() -> impl Strategy<Value = Extras> {
    let rarely = prop::option::weighted(0.15, 0..9_usize);
    (
        prop::option::weighted(0.3, 0..4_u8),
        prop::option::weighted(0.15, 1..30_000_u32),
        prop::option::weighted(0.3, 1..200_u16),
        prop::bool::weighted(0.1),
        rarely,
    )
        .prop_map(|(alias, not_before_ms, ttl_s, online_only, error)| Extras {
            alias,
            not_before_ms,
            ttl_s,
            online_only,
            error,
        })
}

fn submits() -> impl Strategy<Value = Op> {
    (0..MESSAGES, 0..4_u8, prop::bool::weighted(0.1), sizes(), extras()).prop_map(
        |(msg, lane, other_payload, size, extras)| Op::Submit { msg, lane, other_payload, size, extras },
    )
}

/// Different msgIDs in one case: few, so that repeats and conflicts happen.
const MESSAGES: u8 = 14;

fn ops() -> impl Strategy<Value = Op> {
    let accounts = || prop::option::weighted(0.3, 0..2_u8);
    let settles = (0..4_usize, 0..9_usize, 0..4_usize, prop::option::weighted(0.2, 0..60_u8), sizes())
        .prop_map(|(which, outcome, class, retry_after_s, size)| Op::Settle {
            which,
            outcome,
            class,
            retry_after_s,
            size,
        });
    let leases = (1..5_usize, prop::option::weighted(0.5, 5..100_u16), accounts())
        .prop_map(|(max, app_s, account)| Op::Lease { max, app_s, account });
    let passes = prop_oneof![4 => 1..2_000_u64, 4 => 2_000..100_000_u64, 1 => 100_000..4_000_000_u64]
        .prop_map(|ms| Op::Pass { ms });
    let ends = prop_oneof![Just(End::Close), Just(End::Kill)];
    let reopens = (ends, prop::option::weighted(0.3, 0..100_000_u64))
        .prop_map(|(end, reboot_off_ms)| Op::Reopen { end, reboot_off_ms });
    let asked = (0..MESSAGES, 0..5_u8).prop_map(|(msg, verb)| match verb {
        0 => Op::Hold { msg },
        1 => Op::Release { msg },
        2 => Op::Resend { msg },
        3 => Op::Cancel { msg },
        _ => Op::Resolve { msg },
    });
    prop_oneof![
        18 => submits(),
        16 => leases,
        18 => settles,
        2 => (0..4_usize, 1..4_000_u16).prop_map(|(which, duration_s)| Op::Extend { which, duration_s }),
        2 => (0..4_usize).prop_map(|which| Op::TakeBack { which }),
        12 => asked,
        10 => Just(Op::Tick),
        2 => accounts().prop_map(|account| Op::Flush { account }),
        1 => Just(Op::WakeNotReached),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => (0..2_u8).prop_map(|account| Op::PauseAccount { account }),
        2 => (0..2_u8).prop_map(|account| Op::OpenAccount { account }),
        10 => passes,
        1 => (-100_000_000..100_000_000_i64).prop_map(|ms| Op::Jump { ms }),
        3 => reopens,
    ]
}

#[test]
fn the_promises_hold_after_every_verb_time_step_and_restart() {
    let cases = std::env::var("OUTBOX_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let input = (choices(), prop::collection::vec(ops(), 1..90));
    let outcome = runner.run(&input, |(choice, ops)| {
        let mut world = World::new(choice);
        for op in ops {
            world.apply(op)?;
            check::all(&mut world)?;
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
