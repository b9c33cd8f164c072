//! Kills: what a process that died during attempts leaves, and what the next one makes of it.
//!
//! Owns:  crash loops, leases over a kill, lost and orphaned payload files.
//! Never: sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox::{Class, Committer, Error, LeaseRequest, LeaseTo, Outbox, Outcome, Place, State, Submit};

use crate::support::{Hand, config, entry, message, payload_files, receipt};
use crate::{kill_and_open, lease, lease_one, settle, submit};

#[test]
fn a_message_that_takes_the_process_down_three_times_is_set_apart_and_another_is_not() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    let mut outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("poison", "c"));
    submit(&outbox, message("healthy", "d"));
    for death in 1..=2 {
        assert_eq!(lease(&outbox, 10).len(), 2, "death {death}");
        (outbox, config) = kill_and_open(outbox, &config, root.path(), &format!("death-{death}"));
        assert_eq!(outbox.report().interrupted, 2);
        hand.pass(Duration::from_secs(600));
    }
    // Both are suspects now, and each goes alone: the healthy one proves itself, in whatever order.
    let mut quarantined = 0;
    for turn in 0..2 {
        let alone = lease(&outbox, 10);
        assert_eq!(alone.len(), 1, "nothing beside a suspect");
        assert!(lease(&outbox, 10).is_empty(), "and nothing after it");
        if alone[0].msg_id == "healthy" {
            assert_eq!(settle(&outbox, &alone[0], Outcome::Sent), State::Sent);
            continue;
        }
        (outbox, config) = kill_and_open(outbox, &config, root.path(), &format!("third-{turn}"));
        quarantined += 1;
        hand.pass(Duration::from_secs(600));
    }
    assert_eq!(quarantined, 1);
    let poison = entry(&outbox, "poison");
    assert_eq!((poison.state, poison.entry.delivery.attempts), (State::Failed, 3));
    let error = poison.entry.last_error.unwrap();
    assert_eq!((error.code, Class::from(error.class)), (-30_004, Class::CrashLoop));
    assert_eq!(receipt(&outbox, "healthy").state(), State::Sent);
}

#[test]
fn an_answered_attempt_a_close_or_a_reboot_between_deaths_makes_no_crash_loop() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    let mut outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("a", "c"));
    let deaths = |outbox: &Outbox| entry(outbox, "a").entry.delivery.deaths;
    for death in 0..2 {
        lease_one(&outbox);
        (outbox, config) = kill_and_open(outbox, &config, root.path(), &format!("death-{death}"));
        hand.pass(Duration::from_secs(600));
    }
    assert_eq!(deaths(&outbox), 2);
    settle(&outbox, &lease_one(&outbox), Outcome::Retry);
    assert_eq!(deaths(&outbox), 0);
    hand.pass(Duration::from_secs(600));
    lease_one(&outbox);
    drop(outbox);
    outbox = Outbox::open(config.clone()).unwrap();
    assert_eq!((outbox.report().interrupted, deaths(&outbox)), (1, 0), "a stop in order is no death");
    hand.pass(Duration::from_secs(600));
    lease_one(&outbox);
    hand.reboot(1_000);
    (outbox, _) = kill_and_open(outbox, &config, root.path(), "rebooted");
    assert_eq!(deaths(&outbox), 0, "the machine went down, not the process");
    assert_eq!(entry(&outbox, "a").entry.delivery.attempts, 5);
}

#[test]
fn an_apps_lease_outlives_a_kill_and_not_a_reboot() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = config(&root.path().join("spool"), &hand);
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("a", "c"));
    submit(&outbox, message("b", "d"));
    let to = LeaseTo::App { duration: Duration::from_secs(60) };
    let leases = outbox.lease(LeaseRequest { max: 2, to, ..LeaseRequest::default() }).wait().unwrap();
    let (outbox, config) = kill_and_open(outbox, &config, root.path(), "killed");
    assert_eq!(outbox.counters().sending, 2);
    assert_eq!(settle(&outbox, &leases[0], Outcome::Sent), State::Sent);
    hand.reboot(1_000);
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "rebooted");
    let view = entry(&outbox, &leases[1].msg_id);
    assert_ne!(view.state, State::Sending);
    assert_eq!(view.entry.delivery.attempts, 1);
}

#[test]
fn an_orphaned_payload_file_is_removed_at_the_next_open() {
    let root = tempfile::tempdir().unwrap();
    let config = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, Submit { message: vec![b'.'; 20_000], ..message("a", "c") });
    assert!(matches!(entry(&outbox, "a").entry.payload, Place::File(_)));
    drop(outbox);
    std::fs::write(config.path.join("payloads").join("00".repeat(16)), b"nobody's").unwrap();
    let outbox = Outbox::open(config.clone()).unwrap();
    assert_eq!((outbox.report().orphans, payload_files(&config.path)), (1, 1));
    assert_eq!(outbox.payload("a").unwrap().message.len(), 20_000);
}

#[test]
fn a_payload_that_is_lost_sets_its_message_aside_and_the_lane_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let config = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, Submit { message: vec![b'.'; 20_000], ..message("a", "c") });
    submit(&outbox, message("b", "c"));
    for file in std::fs::read_dir(config.path.join("payloads")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(lease_one(&outbox).msg_id, "b");
    let counters = outbox.counters();
    assert_eq!((counters.quarantined, counters.entries()), (1, 1));
    assert_eq!(counters.payload_bytes, entry(&outbox, "b").entry.identity.payload_bytes);
    assert!(matches!(outbox.get("a"), Err(Error::NotFound { .. })));
}

#[test]
fn a_wall_clock_that_is_set_after_a_reboot_moves_no_time_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = config(&root.path().join("spool"), &hand);
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, Submit { ttl: Some(Duration::from_secs(45)), ..message("a", "c") });
    hand.reboot(15_000);
    let (outbox, config) = kill_and_open(outbox, &config, root.path(), "rebooted");
    hand.jump_ms(40_000);
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "killed");
    outbox.tick().wait().unwrap();
    assert_eq!(entry(&outbox, "a").state, State::Queued, "15 of its 45 seconds have passed");
}

#[test]
fn committed_by_hand_nothing_happens_before_it_and_a_drop_is_a_kill() {
    let root = tempfile::tempdir().unwrap();
    let queued = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&queued);
    let mut config = config(&root.path().join("spool"), &Hand::new());
    config.committer = Committer::ByHand {
        queued: Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }),
    };
    let outbox = Outbox::open(config.clone()).unwrap();
    let before = queued.load(Ordering::Relaxed);
    let tickets = [outbox.submit(message("a", "c")), outbox.submit(message("b", "c"))];
    assert_eq!(queued.load(Ordering::Relaxed) - before, 2);
    assert!(outbox.get("a").is_err(), "nobody has committed");
    assert!(outbox.commit(), "both, as one group");
    assert!(!outbox.commit());
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(outbox.submit(message("c", "c")).wait().unwrap().seq, 3, "whoever waits commits");
    let lost = outbox.submit(message("lost", "c"));
    drop((outbox, lost));
    let outbox = Outbox::open(config.clone()).unwrap();
    assert!(!outbox.report().clean);
    assert!(outbox.get("c").is_ok() && outbox.get("lost").is_err());
    let ticket = outbox.submit(message("d", "c"));
    outbox.close();
    assert_eq!(ticket.wait().unwrap().seq, 4, "a close carries out what is queued");
    assert!(matches!(outbox.submit(message("e", "c")).wait(), Err(Error::Closed)));
    drop(outbox);
    assert!(Outbox::open(config).unwrap().report().clean);
}
