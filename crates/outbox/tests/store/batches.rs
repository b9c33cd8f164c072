//! The same verb for many entries, and another configuration for an open store.
//!
//! Owns:  what a batch does in one transaction, and what a reconfigured store goes by.
//! Never: filters by everything that can be filtered by (the whole-system tests do).

use std::collections::VecDeque;

use outbox::limits::BATCH_MAX;
use outbox::{Batch, BatchOp, Batched, Config, Error, Filter, Outbox, Outcome, State};

use crate::support::{Hand, config, message};
use crate::{lease, lease_one, settle, submit};

fn open(root: &tempfile::TempDir) -> Outbox {
    Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap()
}

fn all(outbox: &Outbox) -> VecDeque<u64> {
    let matching = outbox.matching(&Filter::default(), 0).unwrap();
    assert_eq!(matching.next, None);
    matching.seqs.into()
}

fn batch(outbox: &Outbox, op: BatchOp, seqs: VecDeque<u64>, filter: Filter) -> Batched {
    outbox.batch(Batch { op, reason: None, seqs, filter }).wait().unwrap()
}

/// Does it in as many transactions as it takes; done, pending, skipped.
fn whole(outbox: &Outbox, op: BatchOp) -> [u64; 3] {
    let mut seqs = all(outbox);
    let mut sum = [0; 3];
    while !seqs.is_empty() {
        let part = batch(outbox, op, seqs, Filter::default());
        sum = [sum[0] + part.done, sum[1] + part.pending, sum[2] + part.skipped];
        seqs = part.left;
    }
    sum
}

#[test]
fn a_batch_keeps_every_lane_in_order_and_every_count_right() {
    let root = tempfile::tempdir().unwrap();
    let outbox = open(&root);
    let count = 3 * BATCH_MAX as u64;
    for number in 0..count {
        submit(&outbox, message(&format!("m{number}"), if number % 2 == 0 { "even" } else { "odd" }));
    }
    for (op, held, waiting) in
        [(BatchOp::Hold, count, 0), (BatchOp::Release, 0, count), (BatchOp::Resend, 0, count)]
    {
        assert_eq!(whole(&outbox, op), [count, 0, 0], "{op:?}");
        let counters = outbox.counters();
        assert_eq!((counters.held, counters.waiting), (held, waiting), "{op:?}");
    }
    assert_eq!(outbox.counters().ready, 2, "one head for each lane");
    for pair in [["m0", "m1"], ["m2", "m3"]] {
        let leases = lease(&outbox, 2);
        let mut msg_ids: Vec<&str> = leases.iter().map(|lease| lease.msg_id.as_str()).collect();
        msg_ids.sort_unstable();
        assert_eq!(msg_ids, pair, "the oldest of each lane goes first");
        for lease in &leases {
            settle(&outbox, lease, Outcome::Reject);
        }
    }
    assert_eq!(whole(&outbox, BatchOp::Cancel), [count, 0, 0]);
    let counters = outbox.counters();
    assert_eq!((counters.entries(), counters.ready, counters.payload_bytes), (0, 0, 0));
    outbox.close();
    drop(outbox);
    let again = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    assert!(!again.report().rebuilt, "what is derived agrees with the records");
}

#[test]
fn one_transaction_is_bounded_by_entries_and_by_bytes() {
    let root = tempfile::tempdir().unwrap();
    let outbox = open(&root);
    for number in 0..BATCH_MAX + 5 {
        submit(&outbox, message(&format!("m{number}"), "a"));
    }
    let part = batch(&outbox, BatchOp::Hold, all(&outbox), Filter::default());
    assert_eq!((part.done, part.left.len()), (BATCH_MAX as u64, 5));
    whole(&outbox, BatchOp::Cancel);
    // An entry that comes back is written with its payload.
    for number in 0..BATCH_MAX {
        let mut long = message(&format!("l{number}"), "a");
        long.message = format!("{{\"text\":\"{}\"}}", "x".repeat(15_000)).into_bytes();
        submit(&outbox, long);
        let lease = lease_one(&outbox);
        settle(&outbox, &lease, Outcome::Reject);
    }
    let part = batch(&outbox, BatchOp::Resend, all(&outbox), Filter::default());
    assert!(part.done > 0 && !part.left.is_empty(), "{} done, {} left", part.done, part.left.len());
    assert_eq!(part.done as usize + part.left.len(), BATCH_MAX);
}

#[test]
fn what_has_moved_on_is_skipped_and_what_is_under_way_is_pending() {
    let root = tempfile::tempdir().unwrap();
    let outbox = open(&root);
    for (msg_id, lane) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
        submit(&outbox, message(msg_id, lane));
    }
    let queued = Filter { states: vec![State::Queued, State::Sending], ..Filter::default() };
    let mut seqs = all(&outbox);
    outbox.cancel("b".into(), None).wait().unwrap();
    outbox.hold("c".into(), None).wait().unwrap();
    lease_one(&outbox);
    seqs.push_back(1_000_000);
    let part = batch(&outbox, BatchOp::Cancel, seqs, queued);
    assert_eq!((part.done, part.pending, part.skipped), (1, 1, 3));
}

#[test]
fn another_configuration_counts_from_the_answer_on_and_keeps_the_spool() {
    let root = tempfile::tempdir().unwrap();
    let outbox = open(&root);
    submit(&outbox, message("a", "1"));
    let before = outbox.config();
    let elsewhere = Config { max_messages: 1, ..config(&root.path().join("elsewhere"), &Hand::new()) };
    outbox.reconfigure(elsewhere).wait().unwrap();
    let refused = outbox.submit(message("b", "1")).wait();
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert_eq!((&outbox.config().path, outbox.config().max_messages), (&before.path, 1));
    outbox.reconfigure(Config::clone(&before)).wait().unwrap();
    submit(&outbox, message("b", "1"));
    assert!(!root.path().join("elsewhere").exists());
}
