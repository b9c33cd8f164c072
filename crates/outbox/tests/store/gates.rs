//! Gates: accounts that a service slowed or shut, or a person paused.
//!
//! Owns:  the delays of an account's gate, as its next wake tells them.
//! Never: sleeps.

use std::time::Duration;

use outbox::{Class, Gate, GateChange, Outbox, Outcome};

use crate::support::{Hand, config, entry, message, report};
use crate::{lease, lease_one, settle, submit};

/// How long the only account stays shut, as its next wake tells.
fn shut_for(outbox: &Outbox) -> Duration {
    let now = outbox.now().time;
    match outbox.account("default").unwrap().unwrap().gate {
        Gate::Open => Duration::ZERO,
        Gate::Limited { until, .. } => Duration::from_millis(until.since_ms(now)),
        Gate::Paused { try_at, .. } => Duration::from_millis(try_at.unwrap().since_ms(now)),
    }
}

#[test]
fn a_limited_account_waits_five_seconds_doubled_up_to_five_minutes_and_obeys_retry_after() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    let mut waits = Vec::new();
    for _ in 0..8 {
        settle(&outbox, &lease_one(&outbox), Outcome::Limited);
        assert!(lease(&outbox, 1).is_empty(), "the account is slowed");
        let wait = shut_for(&outbox);
        assert_eq!(outbox.next_wake().unwrap(), Some(outbox.now().time.plus(wait)));
        waits.push(wait.as_secs());
        hand.pass(wait);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
    let slow = outbox::Report {
        retry_after: Some(Duration::from_secs(17)),
        ..report(Outcome::Limited, Class::RateLimited)
    };
    outbox.settle(lease_one(&outbox).id, slow).wait().unwrap();
    assert_eq!(shut_for(&outbox).as_secs(), 17);
    hand.pass_ms(17_000);
    assert_eq!(entry(&outbox, "a").entry.delivery.attempts, 0, "a limit counts against nobody");
    settle(&outbox, &lease_one(&outbox), Outcome::Sent);
    assert!(outbox.account("default").unwrap().is_none(), "open, and nothing left");
}

#[test]
fn an_account_that_may_go_on_at_once_after_being_too_fast_is_slowed_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    let mut waits = Vec::new();
    for _ in 0..3 {
        let at_once = outbox::Report {
            retry_after: Some(Duration::ZERO),
            ..report(Outcome::Limited, Class::RateLimited)
        };
        outbox.settle(lease_one(&outbox).id, at_once).wait().unwrap();
        assert!(lease(&outbox, 1).is_empty(), "else it would be asked without end");
        waits.push(shut_for(&outbox).as_secs());
        hand.pass(shut_for(&outbox));
    }
    assert_eq!(waits, [5, 10, 20]);
}

#[test]
fn a_paused_account_tries_one_message_after_a_minute_doubled_up_to_a_quarter_of_an_hour() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    submit(&outbox, message("b", "d"));
    settle(&outbox, &lease(&outbox, 1)[0], Outcome::GateShut);
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert!(lease(&outbox, 10).is_empty(), "the account is shut");
        let wait = shut_for(&outbox);
        waits.push(wait.as_secs() / 60);
        hand.pass(wait);
        let tries = lease(&outbox, 10);
        assert_eq!(tries.len(), 1, "one message is tried");
        settle(&outbox, &tries[0], Outcome::GateShut);
    }
    assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
    hand.pass(shut_for(&outbox));
    settle(&outbox, &lease_one(&outbox), Outcome::Sent);
    assert_eq!(outbox.account("default").unwrap().unwrap().gate, Gate::Open);
    assert_eq!(lease(&outbox, 10).len(), 1, "the other one may go as well");
}

#[test]
fn accounts_whose_limit_is_over_stand_behind_those_that_may_not_send() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    for n in 0..12 {
        let account = format!("a{n:02}");
        submit(&outbox, outbox::Submit { account: account.clone(), ..message(&account, "c") });
    }
    for slowed in lease(&outbox, 12) {
        settle(&outbox, &slowed, Outcome::Limited);
    }
    hand.pass(Duration::from_secs(5));
    for paused in ["a03", "a11"] {
        let change = GateChange::Pause { reason: None };
        outbox.set_account(paused.into(), change).wait().unwrap();
    }
    let mut first: Vec<String> =
        outbox.accounts(2).unwrap().into_iter().map(|account| account.name).collect();
    first.sort_unstable();
    assert_eq!(first, ["a03", "a11"]);
    assert_eq!(outbox.accounts(100).unwrap().len(), 12);
}

#[test]
fn gates_of_more_accounts_than_one_look_covers_are_looked_at_again_soon() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    let pause = |n: usize| {
        outbox.set_account(format!("a{n}"), GateChange::Pause { reason: Some("kicked off line".into()) })
    };
    let all = |numbers: std::ops::Range<usize>| {
        let tickets: Vec<_> = numbers.map(pause).collect();
        assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    };
    all(0..100);
    assert_eq!(outbox.next_wake().unwrap(), None, "all were looked at, and none opens by itself");
    all(100..2_100);
    let soon = outbox.now().time.plus(Duration::from_secs(10));
    assert_eq!(outbox.next_wake().unwrap(), Some(soon), "one that opens by itself may be among the rest");
}

#[test]
fn an_account_that_a_person_paused_stays_so_over_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = config(&root.path().join("spool"), &hand);
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("a", "c"));
    let pause = GateChange::Pause { reason: Some("kicked off line".into()) };
    outbox.set_account("default".into(), pause).wait().unwrap();
    drop(outbox);
    hand.pass(Duration::from_secs(7_200));
    let outbox = Outbox::open(config).unwrap();
    assert!(lease(&outbox, 10).is_empty());
    outbox.set_account("default".into(), GateChange::Open).wait().unwrap();
    assert_eq!(lease(&outbox, 10).len(), 1);
}

#[test]
fn a_success_that_was_under_way_before_does_not_lift_a_limit_or_open_a_gate() {
    for trouble in [Outcome::Limited, Outcome::GateShut] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
        for (msg_id, conversation) in [("a", "c"), ("b", "d"), ("e", "f")] {
            submit(&outbox, message(msg_id, conversation));
        }
        let leases = lease(&outbox, 2);
        hand.pass_ms(10);
        settle(&outbox, &leases[0], trouble);
        hand.pass_ms(10);
        settle(&outbox, &leases[1], Outcome::Sent);
        assert!(lease(&outbox, 10).is_empty(), "{trouble:?} holds");
        hand.pass(shut_for(&outbox));
        settle(&outbox, &lease(&outbox, 1)[0], Outcome::Sent);
        assert_eq!(outbox.account("default").unwrap().unwrap().gate, Gate::Open, "{trouble:?}");
    }
}
