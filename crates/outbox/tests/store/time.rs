//! Time: clocks that jump, machines that sleep, reboots with a clock that went back.
//!
//! Owns:  the promise that nothing expires early, is sent in a burst, or waits for ever because of that.
//! Never: sleeps.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox::{Class, Config, Gate, Lease, LeaseRequest, LeaseTo, Outbox, Outcome, State, Submit};

use crate::support::{Hand, config, entry, message, report};
use crate::{kill_and_open, lease, settle, submit};

/// Waiting messages: many, so that a burst would show.
const MANY: usize = 400;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn everyone(outbox: &Outbox) -> Vec<Lease> {
    let mut all = Vec::new();
    loop {
        let leases = lease(outbox, 256);
        if leases.is_empty() {
            return all;
        }
        all.extend(leases);
    }
}

/// Messages that have all failed once and wait five minutes at least, with an hour to live.
fn backlog(root: &Path, hand: &Arc<Hand>) -> (Outbox, Config) {
    let mut config = config(&root.join("spool"), hand);
    config.policy.retry.initial = Duration::from_secs(600);
    config.policy.retry.max = Duration::from_secs(600);
    let outbox = Outbox::open(config.clone()).unwrap();
    let ttl = Some(HOUR);
    let many = (0..MANY).map(|n| Submit { ttl, ..message(&format!("m{n}"), &format!("c{n}")) });
    assert!(outbox.submit_many(many).iter().all(Result::is_ok));
    let busy = || report(Outcome::Retry, Class::TransientServer);
    let tickets: Vec<_> =
        everyone(&outbox).into_iter().map(|lease| outbox.settle(lease.id, busy())).collect();
    assert_eq!(tickets.len(), MANY);
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    assert_eq!(counts(&outbox), (MANY, 0, 0));
    (outbox, config)
}

/// Deferred, due and expired ones, once everything that is due by itself has happened.
fn counts(outbox: &Outbox) -> (usize, usize, usize) {
    let now = outbox.now().time;
    while outbox.tick().wait().unwrap().next.is_some_and(|next| next <= now) {}
    let counters = outbox.counters();
    let of = |count: u64| usize::try_from(count).unwrap();
    (of(counters.deferred), of(counters.ready), of(counters.expired))
}

/// From here on real time passes: everything becomes due within its quarter of an hour, and expires to the
/// millisecond an hour after its submit, of which `spent` has gone.
fn goes_on_as_if_nothing_had_happened(outbox: &Outbox, hand: &Hand, spent: Duration) {
    hand.pass(Duration::from_secs(900) - spent);
    assert_eq!(counts(outbox), (0, MANY, 0), "nothing waits for ever");
    hand.pass(HOUR - Duration::from_secs(900) - Duration::from_millis(1));
    assert_eq!(counts(outbox), (0, MANY, 0), "nothing expires early");
    hand.pass_ms(1);
    assert_eq!(counts(outbox), (0, 0, MANY), "and nothing late");
}

#[test]
fn a_wall_clock_that_jumps_makes_nothing_due_and_nothing_expire() {
    for jump_ms in [-3_600_000, 86_400_000, -400 * 86_400_000] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, _) = backlog(root.path(), &hand);
        let wake = outbox.next_wake().unwrap();
        hand.jump_ms(jump_ms);
        assert_eq!(counts(&outbox), (MANY, 0, 0), "after a jump of {jump_ms} ms");
        assert!(everyone(&outbox).is_empty() && outbox.next_wake().unwrap() == wake);
        let view = entry(&outbox, "m7");
        let left_ms = view.entry.delivery.deadline.since_ms(outbox.now().time);
        assert_eq!(outbox.now().wall_of(view.entry.delivery.deadline).0 - outbox.now().wall.0, 3_600_000);
        assert_eq!(left_ms, 3_600_000, "people see the same hour on the new clock");
        goes_on_as_if_nothing_had_happened(&outbox, &hand, Duration::ZERO);
    }
}

#[test]
fn a_wall_clock_that_jumped_between_two_processes_of_one_boot_moves_nothing_either() {
    for jump_ms in [-3_600_000, 86_400_000] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, config) = backlog(root.path(), &hand);
        hand.jump_ms(jump_ms);
        hand.pass(Duration::from_secs(100));
        let (outbox, _) = kill_and_open(outbox, &config, root.path(), "killed");
        assert_eq!(counts(&outbox), (MANY, 0, 0), "after a jump of {jump_ms} ms");
        goes_on_as_if_nothing_had_happened(&outbox, &hand, Duration::from_secs(100));
    }
}

#[test]
fn a_reboot_with_a_clock_that_went_back_counts_nothing_twice_and_keeps_nothing_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, config) = backlog(root.path(), &hand);
    let before = outbox.now().time;
    hand.jump_ms(-86_400_000);
    hand.reboot(5_000);
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "rebooted");
    assert_eq!(outbox.now().time, before, "how long it was off is not known: time stood still");
    assert_eq!(counts(&outbox), (MANY, 0, 0));
    goes_on_as_if_nothing_had_happened(&outbox, &hand, Duration::ZERO);
}

#[test]
fn the_time_for_which_a_machine_was_off_counts() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, config) = backlog(root.path(), &hand);
    hand.reboot(100_000);
    let (outbox, config) = kill_and_open(outbox, &config, root.path(), "rebooted");
    assert_eq!(counts(&outbox), (MANY, 0, 0));
    hand.reboot(u64::try_from(HOUR.as_millis()).unwrap());
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "off-for-an-hour");
    assert_eq!(counts(&outbox), (0, 0, MANY));
}

#[test]
fn a_machine_that_slept_finds_due_what_became_due_and_expired_what_outlived_its_time() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, _) = backlog(root.path(), &hand);
    submit(&outbox, Submit { ttl: Some(Duration::from_secs(60)), ..message("short", "short") });
    let to = LeaseTo::App { duration: Duration::from_secs(30) };
    let app = outbox.lease(LeaseRequest { max: 1, to, ..LeaseRequest::default() }).wait().unwrap().remove(0);
    // The boot clock runs on while the machine sleeps; to the process no time has passed.
    hand.pass(Duration::from_secs(45));
    outbox.tick().wait().unwrap();
    let lapsed = entry(&outbox, &app.msg_id);
    assert!(lapsed.state == State::Deferred && lapsed.entry.delivery.attempts == 1, "{lapsed:?}");
    hand.pass(Duration::from_secs(855));
    assert_eq!(counts(&outbox), (0, MANY, 1));
    assert_eq!(lease(&outbox, 8).len(), 8, "as many as were asked for, however many are due");
}

#[test]
fn the_schedule_of_retries_goes_on_over_kills_and_reboots() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    config.policy.retry.jitter = 0.0;
    let mut outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("m", "c"));
    let mut waits = Vec::new();
    for round in 0..11 {
        settle(&outbox, &crate::lease_one(&outbox), Outcome::Retry);
        let due = outbox.next_wake().unwrap().unwrap();
        if round % 3 == 2 {
            hand.reboot(0);
        }
        let name = format!("round-{round}");
        (outbox, config) = kill_and_open(outbox, &config, root.path(), &name);
        assert_eq!(outbox.next_wake().unwrap(), Some(due), "the time of the next attempt is on disk");
        let wait_ms = due.since_ms(outbox.now().time);
        assert!(lease(&outbox, 1).is_empty());
        waits.push(wait_ms / 1000);
        hand.pass_ms(wait_ms);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[test]
fn gates_open_after_their_time_whatever_the_wall_clock_does_and_over_a_reboot() {
    for jump_ms in [-86_400_000, 86_400_000] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let config = config(&root.path().join("spool"), &hand);
        let outbox = Outbox::open(config.clone()).unwrap();
        for account in ["slow", "shut"] {
            submit(&outbox, Submit { account: account.into(), ..message(account, account) });
        }
        for lease in lease(&outbox, 2) {
            let trouble = if lease.account == "slow" { Outcome::Limited } else { Outcome::GateShut };
            settle(&outbox, &lease, trouble);
        }
        hand.jump_ms(jump_ms);
        assert!(lease(&outbox, 2).is_empty(), "shut for 5 s and for a minute");
        let mut outbox = outbox;
        if jump_ms < 0 {
            hand.reboot(0);
            outbox = kill_and_open(outbox, &config, root.path(), "rebooted").0;
            assert!(lease(&outbox, 2).is_empty(), "and over a reboot");
        }
        hand.pass(Duration::from_secs(5));
        assert_eq!(crate::names(&lease(&outbox, 2)), ["slow"]);
        hand.pass(Duration::from_secs(55));
        assert_eq!(crate::names(&lease(&outbox, 2)), ["shut"], "one try a minute after");
        let account = outbox.account("shut").unwrap().unwrap();
        assert!(matches!(account.gate, Gate::Paused { .. }), "{account:?}");
    }
}

#[test]
fn a_message_for_later_goes_at_its_time_though_the_clock_was_set_back_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    let now = outbox.now();
    let not_before = Some(now.wall_of(now.time.plus(HOUR)));
    submit(&outbox, Submit { not_before, ttl: Some(DAY), ..message("m", "c") });
    assert_eq!(entry(&outbox, "m").entry.delivery.deadline, now.time.plus(HOUR + DAY));
    hand.jump_ms(-3_600_000);
    hand.pass(HOUR - Duration::from_millis(1));
    assert!(lease(&outbox, 1).is_empty());
    hand.pass_ms(1);
    assert_eq!(lease(&outbox, 1).len(), 1);
}
