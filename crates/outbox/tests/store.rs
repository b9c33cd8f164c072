//! The store from outside: sharing, limits, order, settles; gates, kills, time and doubt in files of their own.
//!
//! Owns:  one test for each promise that the model does not reach.
//! Never: sleeps, looks into the spool's rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "store/batches.rs"]
mod batches;
#[path = "store/events.rs"]
mod events;
#[path = "store/files.rs"]
mod files;
#[path = "store/gates.rs"]
mod gates;
#[path = "store/heads.rs"]
mod heads;
#[path = "store/kills.rs"]
mod kills;
#[path = "store/late.rs"]
mod late;
#[path = "store/space.rs"]
mod space;
#[path = "support/mod.rs"]
mod support;
#[path = "store/time.rs"]
mod time;
#[path = "store/uncertain.rs"]
mod uncertain;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox::{
    Class, Config, DedupWindow, Error, Filter, Lease, LeaseRequest, LeaseTo, Message, OnFailedHead,
    OpenError, Order, Outbox, Outcome, Overrides, Room, State, Submit,
};
use support::{
    Hand, config, copy_as_killed, entry, message, payload_files, receipt, report, sent, usual_class,
};

fn lease(outbox: &Outbox, max: usize) -> Vec<Lease> {
    outbox.tick().wait().unwrap();
    outbox.lease(LeaseRequest { max, ..LeaseRequest::default() }).wait().unwrap()
}

fn lease_one(outbox: &Outbox) -> Lease {
    let mut leases = lease(outbox, 1);
    assert_eq!(leases.len(), 1, "one message is due");
    leases.remove(0)
}

fn submit(outbox: &Outbox, submit: Submit) -> u64 {
    outbox.submit(submit).wait().unwrap().seq
}

fn settle(outbox: &Outbox, lease: &Lease, outcome: Outcome) -> State {
    let report = report(outcome, usual_class(outcome));
    outbox.settle(lease.id.clone(), report).wait().unwrap().state
}

fn names(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.msg_id.as_str()).collect()
}

fn list_all(outbox: &Outbox) -> Vec<outbox::EntryView> {
    let (mut from, mut all) = (0, Vec::new());
    loop {
        let page = outbox.list(&Filter::default(), from, 1_000).unwrap();
        all.extend(page.entries);
        match page.next {
            Some(next) => from = next,
            None => return all,
        }
    }
}

/// Opens what a kill leaves of an open spool, beside it.
fn kill_and_open(outbox: Outbox, config: &Config, root: &Path, name: &str) -> (Outbox, Config) {
    let path = root.join(name);
    copy_as_killed(&config.path, &path);
    drop(outbox);
    let config = Config { path, ..config.clone() };
    (Outbox::open(config.clone()).unwrap(), config)
}

// --- durability and sharing ---------------------------------------------------------------------------

#[test]
fn what_many_threads_submit_at_once_is_all_there_after_a_kill() {
    const THREADS: usize = 64;
    const EACH: usize = 20;
    let root = tempfile::tempdir().unwrap();
    let config = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(config.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let outbox = outbox.clone();
            scope.spawn(move || {
                for n in 0..EACH {
                    let submit = message(&format!("m{thread}-{n}"), &format!("c{}", thread % 7));
                    assert!(!outbox.submit(submit).wait().unwrap().duplicate);
                }
            });
        }
    });
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "killed");
    assert!(!outbox.report().clean && !outbox.report().rebuilt);
    let all = list_all(&outbox);
    let seqs: BTreeSet<u64> = all.iter().map(|view| view.entry.identity.seq).collect();
    assert_eq!((all.len(), seqs.len()), (THREADS * EACH, THREADS * EACH));
    // What one thread submitted stands in its order.
    for thread in 0..THREADS {
        let of = |n: usize| entry(&outbox, &format!("m{thread}-{n}")).entry.identity.seq;
        assert!((1..EACH).all(|n| of(n - 1) < of(n)));
    }
    assert_eq!(lease(&outbox, 256).len(), 7, "one head for each conversation");
}

#[test]
fn concurrent_submits_of_one_message_accept_it_once() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    let same = (0..50).map(|_| message("m", "c"));
    let answers: Vec<_> = outbox.submit_many(same).into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert_eq!(outbox.counters().entries(), 1);
}

#[test]
fn a_second_open_says_who_has_the_spool_and_a_close_lets_go_of_it() {
    let root = tempfile::tempdir().unwrap();
    let first = Config { holder: "the first".into(), ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(first.clone()).unwrap();
    match Outbox::open(Config { holder: "the second".into(), ..first.clone() }).err().unwrap() {
        OpenError::InUse { holder, .. } => assert_eq!(holder, "the first"),
        other => panic!("{other}"),
    }
    drop(outbox);
    assert!(Outbox::open(first).unwrap().report().clean);
}

#[test]
fn a_closed_outbox_refuses_verbs() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    outbox.close();
    assert_eq!(outbox.submit(message("m", "c")).wait(), Err(Error::Closed));
}

#[cfg(unix)]
#[test]
fn a_new_spool_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("spool");
    let outbox = Outbox::open(config(&path, &Hand::new())).unwrap();
    submit(&outbox, Submit { message: vec![b'.'; 20_000], ..message("m", "c") });
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("store")), mode(&path.join("payloads"))), (0o700, 0o700, 0o700));
    for file in std::fs::read_dir(path.join("payloads")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_repeat_of_a_large_submit_leaves_no_second_file() {
    let root = tempfile::tempdir().unwrap();
    let config = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(config.clone()).unwrap();
    let large = Submit { message: vec![b'.'; 20_000], ..message("m", "c") };
    submit(&outbox, large.clone());
    assert!(outbox.submit(large.clone()).wait().unwrap().duplicate);
    let conflict = Submit { message: vec![b'!'; 20_000], ..large };
    assert!(matches!(outbox.submit(conflict).wait(), Err(Error::Conflict { .. })));
    assert_eq!(payload_files(&config.path), 1);
    let data = vec![b'd'; 30_000];
    outbox.settle(lease_one(&outbox).id, sent("n", &data)).wait().unwrap();
    assert_eq!(outbox.data(&receipt(&outbox, "m")).unwrap(), Some(data));
    assert_eq!(payload_files(&config.path), 1, "the replacement's; the original's is gone");
}

// --- limits -------------------------------------------------------------------------------------------

#[test]
fn a_full_outbox_refuses_new_messages_and_still_recognises_known_ones() {
    let root = tempfile::tempdir().unwrap();
    let config = Config {
        max_messages: 2,
        max_message_bytes: 100,
        ..config(&root.path().join("spool"), &Hand::new())
    };
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, message("a", "c"));
    submit(&outbox, message("b", "c"));
    assert!(matches!(outbox.submit(message("c", "c")).wait(), Err(Error::Full { .. })));
    assert!(outbox.submit(message("a", "c")).wait().unwrap().duplicate);
    let large = Submit { message: vec![b'.'; 101], ..message("d", "c") };
    assert_eq!(outbox.submit(large).wait(), Err(Error::TooLarge { bytes: 101, max: 100 }));
    settle(&outbox, &lease_one(&outbox), Outcome::Sent);
    submit(&outbox, message("c", "c"));
}

#[test]
fn bytes_are_limited_too_and_given_back() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { max_bytes: 100, ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(config).unwrap();
    let of = |msg_id: &str, bytes: usize| Submit { message: vec![b'.'; bytes], ..message(msg_id, "c") };
    submit(&outbox, of("a", 60));
    assert!(matches!(outbox.submit(of("b", 41)).wait(), Err(Error::Full { .. })));
    submit(&outbox, of("b", 40));
    outbox.cancel("a".into(), None).wait().unwrap();
    submit(&outbox, of("c", 60));
}

#[test]
fn a_low_disk_refuses_messages_and_still_lets_them_end() {
    let root = tempfile::tempdir().unwrap();
    let plenty = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(plenty.clone()).unwrap();
    submit(&outbox, message("a", "c"));
    submit(&outbox, message("b", "d"));
    drop(outbox);
    let outbox = Outbox::open(Config { min_free_bytes: u64::MAX, ..plenty }).unwrap();
    assert!(matches!(outbox.submit(message("e", "c")).wait(), Err(Error::DiskLow { .. })));
    let large = Submit { message: vec![b'.'; 20_000], ..message("f", "c") };
    assert!(matches!(outbox.submit(large).wait(), Err(Error::DiskLow { .. })));
    assert_eq!(settle(&outbox, &lease_one(&outbox), Outcome::Sent), State::Sent);
    let left = list_all(&outbox).remove(0).entry.identity.msg_id;
    outbox.cancel(left, None).wait().unwrap();
    assert_eq!(outbox.counters().entries(), 0);
}

/// Sends messages `m0` and on, with replacements of ten bytes each.
fn send(outbox: &Outbox, numbers: std::ops::Range<usize>) {
    for n in numbers {
        submit(outbox, message(&format!("m{n}"), "c"));
        let lease = lease_one(outbox);
        outbox.settle(lease.id, sent(&format!("n{n}"), b"0123456789")).wait().unwrap();
    }
}

#[test]
fn past_sent_data_max_the_oldest_receipts_lose_their_replacement() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { sent_data_max_bytes: 30, ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(config).unwrap();
    send(&outbox, 0..5);
    let kept = |n: usize| outbox.data(&receipt(&outbox, &format!("m{n}"))).unwrap().is_some();
    assert_eq!([0, 1, 2, 3, 4].map(kept), [false, false, true, true, true]);
    let counters = outbox.counters();
    assert_eq!((counters.data_bytes, counters.data_dropped, counters.receipts), (30, 2, 5));
    assert_eq!(receipt(&outbox, "m0").new_msg_id(), Some("n0"), "the receipt itself stays");
}

#[test]
fn what_is_not_to_be_kept_is_not_kept_by_the_answer_that_brought_it() {
    let root = tempfile::tempdir().unwrap();
    let of = |name: &str| config(&root.path().join(name), &Hand::new());
    let outbox = Outbox::open(Config { sent_data_max_bytes: 0, ..of("data") }).unwrap();
    send(&outbox, 0..3);
    assert_eq!(outbox.data(&receipt(&outbox, "m2")).unwrap(), None);
    let counters = outbox.counters();
    assert_eq!((counters.data_bytes, counters.data_dropped, counters.receipts), (0, 3, 3));
    let outbox = Outbox::open(Config { sent_max: 0, ..of("receipts") }).unwrap();
    send(&outbox, 0..3);
    assert!(matches!(outbox.get("m2"), Err(Error::NotFound { .. })));
    let counters = outbox.counters();
    assert_eq!((counters.data_bytes, counters.receipts_dropped, counters.receipts), (0, 3, 0));
}

#[test]
fn past_sent_max_the_oldest_receipts_go_with_everything_that_led_to_them() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { sent_max: 3, ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, Submit { id: Some("alias".into()), ..message("m", "c") });
    outbox.settle(lease_one(&outbox).id, sent("n", b"0123456789")).wait().unwrap();
    assert_eq!(outbox.replaced_by("n").unwrap().len(), 1);
    send(&outbox, 0..4);
    for gone in ["m", "alias", "m0"] {
        assert!(matches!(outbox.get(gone), Err(Error::NotFound { .. })), "{gone}");
    }
    assert!(outbox.replaced_by("n").unwrap().is_empty());
    let counters = outbox.counters();
    assert_eq!((counters.receipts, counters.receipts_dropped, counters.data_bytes), (3, 2, 30));
    let page = outbox.sent(0, 10).unwrap();
    let left: Vec<_> = page.receipts.iter().map(|receipt| receipt.identity.msg_id.as_str()).collect();
    assert_eq!(left, ["m1", "m2", "m3"]);
}

#[test]
fn receipts_go_when_they_are_old_enough_and_a_tick_says_when() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let day = Duration::from_secs(86_400);
    let config = Config { sent_retention: day, ..config(&root.path().join("spool"), &hand) };
    let outbox = Outbox::open(config).unwrap();
    send(&outbox, 0..6);
    let next = outbox.tick().wait().unwrap().next.unwrap();
    assert_eq!(next, outbox.now().time.plus(day));
    hand.pass(day);
    for _ in 0..6 {
        outbox.tick().wait().unwrap();
    }
    assert_eq!(outbox.counters().receipts, 0);
    assert!(matches!(outbox.get("m0"), Err(Error::NotFound { .. })));
    assert_eq!(outbox.counters().sent_total, 6);
    submit(&outbox, message("m0", "c"));
}

// --- order --------------------------------------------------------------------------------------------

#[test]
fn without_an_order_messages_of_one_conversation_do_not_wait_for_one_another() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { order: Order::None, ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(config).unwrap();
    for msg_id in ["a", "b", "c"] {
        submit(&outbox, message(msg_id, "same"));
    }
    assert_eq!(lease(&outbox, 10).len(), 3);
}

#[test]
fn a_failed_head_lets_its_lane_go_on_by_default() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, message("a", "c"));
    submit(&outbox, message("b", "c"));
    assert_eq!(settle(&outbox, &lease_one(&outbox), Outcome::Reject), State::Failed);
    assert_eq!(lease_one(&outbox).msg_id, "b");
    // Brought back while its successor is under way, it stands before it and waits.
    outbox.resend("a".into(), Overrides::default()).wait().unwrap();
    let view = entry(&outbox, "a");
    assert_eq!((view.state, view.blocked_by.as_deref()), (State::Blocked, Some("b")));
}

#[test]
fn under_hold_a_failed_head_keeps_its_lane_until_a_person_decides() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(&root.path().join("spool"), &Hand::new());
    config.policy.on_failed_head = OnFailedHead::Hold;
    let outbox = Outbox::open(config).unwrap();
    for msg_id in ["a", "b", "c"] {
        submit(&outbox, message(msg_id, "same"));
    }
    submit(&outbox, message("other", "another"));
    let mut first = lease(&outbox, 10);
    first.sort_by_key(|lease| lease.seq);
    assert_eq!(names(&first), ["a", "other"]);
    settle(&outbox, &first[0], Outcome::Reject);
    let view = entry(&outbox, "b");
    assert_eq!((view.state, view.blocked_by.as_deref()), (State::Blocked, Some("a")));
    assert!(lease(&outbox, 10).is_empty());
    outbox.cancel("a".into(), None).wait().unwrap();
    assert_eq!(lease_one(&outbox).msg_id, "b");
    outbox.hold("c".into(), None).wait().unwrap();
}

#[test]
fn every_account_with_something_due_gets_its_turn_however_many_there_are() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    // More accounts than one call looks at, and only the last of them by name has something due.
    let many = (0..2_100).map(|n| Submit { account: format!("a{n:04}"), ..message(&format!("m{n}"), "c") });
    assert!(outbox.submit_many(many).iter().all(Result::is_ok));
    let held: Vec<_> = (0..2_100).map(|n| outbox.hold(format!("m{n}"), None)).collect();
    assert!(held.into_iter().all(|ticket| ticket.wait().is_ok()));
    submit(&outbox, Submit { account: "z".into(), ..message("last", "c") });
    assert_eq!(names(&lease(&outbox, 256)), ["last"]);
}

#[test]
fn a_big_account_starves_no_small_one_when_they_are_leased_one_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    // The big one came first, with a thousand conversations; the small ones have one each.
    let of = |account: &str, n: usize| Submit {
        account: account.into(),
        ..message(&format!("{account}-{n}"), &format!("c{n}"))
    };
    assert!(outbox.submit_many((0..1_000).map(|n| of("big", n))).iter().all(Result::is_ok));
    let small = ["x", "y", "z"];
    for account in small {
        for n in 0..10 {
            submit(&outbox, Submit { conversation: "c".into(), ..of(account, n) });
        }
    }
    let mut last = BTreeMap::new();
    for turn in 0..100 {
        hand.pass_ms(1);
        let next = lease_one(&outbox);
        settle(&outbox, &next, Outcome::Sent);
        last.insert(next.account, turn);
    }
    // Four accounts take turns, by chance: thirty messages of the small ones are gone after some forty.
    let waiting = list_all(&outbox);
    assert!(waiting.iter().all(|view| view.entry.identity.account == "big"), "{last:?}");
}

#[test]
fn accounts_take_turns_evenly_whatever_they_are_called() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    let all = (0..8 * 200).map(|n| Submit {
        account: format!("account {}", n % 8),
        ..message(&format!("m-{n}"), &format!("c{}", n % 80))
    });
    assert!(outbox.submit_many(all).iter().all(Result::is_ok));
    let mut turns = BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        hand.pass_ms(1);
        let next = lease_one(&outbox);
        settle(&outbox, &next, Outcome::Sent);
        *turns.entry(next.account).or_default() += 1;
    }
    assert!(turns.len() == 8 && turns.values().all(|turns| (25..=80).contains(turns)), "{turns:?}");
}

#[test]
fn a_long_conversation_lets_a_short_one_pass_that_came_later() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    assert!(
        outbox
            .submit_many((0..1_000).map(|n| message(&format!("long-{n}"), "long")))
            .iter()
            .all(Result::is_ok)
    );
    hand.pass_ms(10);
    submit(&outbox, message("short", "short"));
    let mut sent = Vec::new();
    for _ in 0..3 {
        hand.pass_ms(1);
        let next = lease_one(&outbox);
        settle(&outbox, &next, Outcome::Sent);
        sent.push(next.msg_id);
    }
    assert_eq!(sent, ["long-0", "short", "long-1"]);
}

#[test]
fn an_account_gets_no_more_leases_than_its_rate_leaves_room_for_and_the_others_get_theirs() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    let of = |account: &str, n: u32| Submit {
        account: account.into(),
        ..message(&format!("{account}{n}"), &format!("c{n}"))
    };
    let all = ["a", "b", "c"].into_iter().flat_map(|account| (0..12).map(move |n| of(account, n)));
    assert!(outbox.submit_many(all.collect::<Vec<_>>()).iter().all(Result::is_ok));
    let room = Room { each: 10, of: [("a".to_owned(), 3), ("b".to_owned(), 0)].into() };
    outbox.tick().wait().unwrap();
    let leases = outbox.lease(LeaseRequest { max: 256, room, ..LeaseRequest::default() }).wait().unwrap();
    let count = |account: &str| leases.iter().filter(|lease| lease.account == account).count();
    assert_eq!((count("a"), count("b"), count("c")), (3, 0, 10));
}

#[test]
fn a_group_and_a_person_have_windows_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    config.policy.dedup_window =
        DedupWindow { one_to_one: Duration::from_secs(120), group: Duration::from_secs(300) };
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, message("one", "c2c:lena"));
    submit(&outbox, Submit { to_group: true, ..message("all", "group:pier") });
    for lease in lease(&outbox, 2) {
        assert_eq!(settle(&outbox, &lease, Outcome::MaybeReached), State::Deferred);
    }
    let doubtful = |id: &str| entry(&outbox, id).entry.delivery.possible_duplicate;
    for (seconds, one, all) in [(114, false, false), (2, true, false), (178, true, false), (2, true, true)] {
        hand.pass(Duration::from_secs(seconds));
        outbox.tick().wait().unwrap();
        assert_eq!((doubtful("one"), doubtful("all")), (one, all), "after {seconds} s more");
    }
}

// --- leases and settles -------------------------------------------------------------------------------

#[test]
fn a_repeated_settle_is_answered_as_the_first_was_even_after_the_message_was_brought_back() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, message("a", "c"));
    let first = lease_one(&outbox);
    assert_eq!(settle(&outbox, &first, Outcome::Reject), State::Failed);
    outbox.resend("a".into(), Overrides::default()).wait().unwrap();
    assert_eq!(settle(&outbox, &first, Outcome::Reject), State::Failed);
    assert_eq!(entry(&outbox, "a").state, State::Queued, "the repetition changed nothing");
    let second = lease_one(&outbox);
    assert_eq!(settle(&outbox, &first, Outcome::Reject), State::Failed);
    assert_eq!(entry(&outbox, "a").entry.history.len(), 1);
    assert_eq!(settle(&outbox, &second, Outcome::Sent), State::Sent);
}

#[test]
fn a_success_after_the_lapse_closes_even_a_cancelled_message() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    let to = LeaseTo::App { duration: Duration::from_secs(60) };
    let app = outbox.lease(LeaseRequest { max: 1, to, ..LeaseRequest::default() }).wait().unwrap().remove(0);
    hand.pass(Duration::from_secs(61));
    outbox.tick().wait().unwrap();
    assert_eq!(entry(&outbox, "a").entry.delivery.attempts, 1, "a lapse may have reached the service");
    outbox.cancel("a".into(), None).wait().unwrap();
    let cancelled = receipt(&outbox, "a");
    assert!(cancelled.may_have_arrived && cancelled.state() == State::Cancelled);
    assert_eq!(settle(&outbox, &app, Outcome::Retry), State::Cancelled, "there is nothing more to do");
    outbox.settle(app.id, sent("n", b"there")).wait().unwrap();
    let sent = receipt(&outbox, "a");
    assert_eq!((sent.state(), sent.new_msg_id(), sent.may_have_arrived), (State::Sent, Some("n"), false));
    assert_eq!(outbox.sent(0, 10).unwrap().receipts, [sent]);
    assert_eq!(outbox.counters().receipts, 1);
}

#[test]
fn the_first_sends_unknown_outcome_uses_up_no_attempt() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(&root.path().join("spool"), &Hand::new());
    config.policy.retry.max_attempts = 1;
    let outbox = Outbox::open(config).unwrap();
    let lost = Some(report(Outcome::MaybeReached, Class::TransientNetwork));
    submit(&outbox, Submit { first_error: lost, ..message("a", "c") });
    let view = entry(&outbox, "a");
    assert_eq!((view.state, view.entry.delivery.attempts), (State::Deferred, 0));
    assert!(view.entry.delivery.possible_duplicate, "no token covered that send");
}

#[test]
fn a_flush_does_not_override_not_before() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    let now = outbox.now();
    let later = Some(now.wall_of(now.time.plus_ms(60_000)));
    submit(&outbox, Submit { not_before: later, ..message("a", "c") });
    submit(&outbox, message("b", "d"));
    settle(&outbox, &lease_one(&outbox), Outcome::Retry);
    assert_eq!(outbox.flush(None, None), Ok(1), "only the one that backs off");
    assert_eq!(names(&lease(&outbox, 10)), ["b"]);
}

#[test]
fn a_state_that_is_asked_for_twice_is_listed_once() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, message("a", "c"));
    outbox.hold("a".into(), None).wait().unwrap();
    let filter = Filter { states: vec![State::Held, State::Held], ..Filter::default() };
    assert_eq!(outbox.list(&filter, 0, 10).unwrap().entries.len(), 1);
}

#[test]
fn a_failure_that_is_kept_for_no_time_becomes_its_receipt_at_the_next_tick() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    config.policy.failed_retention = Duration::ZERO;
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, Submit { ttl: Some(Duration::from_secs(2)), ..message("a", "c") });
    hand.pass(Duration::from_secs(2));
    // The moment of expiry and the end of the retention are the same key of the timers.
    outbox.tick().wait().unwrap();
    assert_eq!(receipt(&outbox, "a").state(), State::Expired);
    assert_eq!(outbox.counters().entries(), 0);
}

#[test]
fn a_ticket_can_be_awaited_without_a_runtime() {
    struct Wake(std::thread::Thread);
    impl std::task::Wake for Wake {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    let mut future = outbox.submit(message("a", "c")).into_future();
    let waker = Arc::new(Wake(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let answer = loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    };
    assert!(!answer.unwrap().duplicate);
    assert!(matches!(outbox.get("a").unwrap(), Message::Entry(_)));
}
