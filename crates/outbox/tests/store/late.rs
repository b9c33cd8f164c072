//! Answers that come after their lease is over: heard in every state, and never against a newer attempt.
//!
//! Owns:  late successes, late failures, repetitions.
//! Never: sleeps.

use std::sync::Arc;
use std::time::Duration;

use outbox::limits::SETTLED_MAX;
use outbox::{
    Class, Config, Error, EventKind, Lease, LeaseRequest, LeaseTo, OnUncertain, Outbox, Outcome, Overrides,
    Resolution, State, Submit,
};

use crate::support::{Hand, config, entry, message, receipt, report, sent};
use crate::{lease_one, settle, submit};

const FOR: Duration = Duration::from_secs(60);

fn app_lease(outbox: &Outbox) -> Lease {
    outbox.tick().wait().unwrap();
    let request = LeaseRequest { max: 1, to: LeaseTo::App { duration: FOR }, ..LeaseRequest::default() };
    let mut leases = outbox.lease(request).wait().unwrap();
    assert_eq!(leases.len(), 1, "one message is due");
    leases.remove(0)
}

fn lapse(outbox: &Outbox, hand: &Hand) {
    hand.pass(FOR);
    outbox.tick().wait().unwrap();
}

/// Each state in which the answer of a lapsed lease can find its message.
const STATES: [State; 9] = [
    State::Deferred,
    State::Sending,
    State::Held,
    State::Uncertain,
    State::Failed,
    State::Expired,
    State::Cancelled,
    State::Sent,
    State::Blocked,
];

/// A message in that state whose first lease has lapsed.
fn lapsed_in(state: State, hand: &Arc<Hand>, config: Config) -> (Outbox, Lease) {
    let mut config = config;
    config.policy.on_uncertain =
        if state == State::Uncertain { OnUncertain::Hold } else { OnUncertain::Resend };
    let outbox = Outbox::open(config).unwrap();
    let ttl = (state == State::Expired).then(|| Duration::from_secs(30));
    submit(&outbox, Submit { ttl, ..message("m", "c") });
    let lease = app_lease(&outbox);
    lapse(&outbox, hand);
    match state {
        State::Held => drop(outbox.hold("m".into(), None).wait().unwrap()),
        State::Cancelled => drop(outbox.cancel("m".into(), None).wait().unwrap()),
        State::Sending | State::Failed | State::Sent => {
            hand.pass(Duration::from_secs(2));
            let newer = lease_one(&outbox);
            match state {
                State::Failed => drop(settle(&outbox, &newer, Outcome::Reject)),
                State::Sent => drop(settle(&outbox, &newer, Outcome::Sent)),
                _ => {}
            }
        }
        State::Blocked => {
            outbox.hold("m".into(), None).wait().unwrap();
            submit(&outbox, message("later", "c"));
            app_lease(&outbox);
            outbox.release("m".into()).wait().unwrap();
        }
        _ => {}
    }
    let is = match outbox.get("m").unwrap() {
        outbox::Message::Entry(view) => view.state,
        outbox::Message::Receipt(receipt) => receipt.state(),
    };
    assert_eq!(is, state);
    (outbox, lease)
}

#[test]
fn a_late_success_closes_the_message_as_sent_from_every_state() {
    for state in STATES {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, lease) = lapsed_in(state, &hand, config(&root.path().join("spool"), &hand));
        let first = (state == State::Sent).then(|| receipt(&outbox, "m"));
        for _ in 0..2 {
            let settled = outbox.settle(lease.id.clone(), sent("late", b"{}")).wait().unwrap();
            assert_eq!(settled.state, State::Sent, "from {state:?}");
        }
        let after = receipt(&outbox, "m");
        if let Some(first) = first {
            assert_eq!((after.seq, &after.end), (first.seq, &first.end), "what was sent is not sent again");
            continue;
        }
        assert_eq!((after.new_msg_id(), after.may_have_arrived), (Some("late"), false), "from {state:?}");
        let last = after.history.last().unwrap();
        assert_eq!(Outcome::from(last.outcome), Outcome::Sent, "from {state:?}: {after:?}");
        assert_eq!(outbox.data(&after).unwrap(), Some(b"{}".to_vec()));
        let events = outbox.events(0, 100).unwrap().events;
        let announced = events.iter().filter(|event| event.kind == EventKind::Sent).count();
        assert_eq!(announced, 1, "from {state:?}");
        assert_eq!(outbox.counters().sent_total, 1, "from {state:?}");
        assert!(outbox.tick().wait().is_ok());
    }
}

#[test]
fn two_successes_with_two_replacements_are_a_duplicate_and_with_one_they_are_not() {
    for (newer, late, is_duplicate) in [("one", "two", true), ("one", "one", false), ("m", "two", false)] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
        submit(&outbox, message("m", "c"));
        let first = app_lease(&outbox);
        // What its holder then takes back.
        assert_eq!(settle(&outbox, &first, Outcome::NotReached), State::Deferred);
        let second = app_lease_after(&outbox, &hand);
        outbox.settle(second.id.clone(), sent(newer, b"{}")).wait().unwrap();
        assert!(!receipt(&outbox, "m").possible_duplicate, "nothing speaks for it yet");
        for _ in 0..2 {
            outbox.settle(first.id.clone(), sent(late, b"{}")).wait().unwrap();
            // A repetition tells nothing new.
            outbox.settle(second.id.clone(), sent("three", b"{}")).wait().unwrap();
        }
        let after = receipt(&outbox, "m");
        assert_eq!((after.new_msg_id(), after.possible_duplicate), (Some(newer), is_duplicate), "{late}");
        assert_eq!(after.history.len(), if is_duplicate { 3 } else { 2 }, "{after:?}");
        assert_eq!(outbox.counters().sent_total, 1);
    }
}

#[test]
fn what_a_person_saw_arrive_is_no_second_attempt() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, lease) = lapsed_in(State::Uncertain, &hand, config(&root.path().join("spool"), &hand));
    let replacement = sent("seen", b"{}").replacement;
    outbox.resolve("m".into(), Resolution { replacement, ..Resolution::default() }).wait().unwrap();
    outbox.settle(lease.id, sent("reported", b"{}")).wait().unwrap();
    let after = receipt(&outbox, "m");
    assert_eq!((after.new_msg_id(), after.possible_duplicate), (Some("seen"), false), "{after:?}");
}

#[test]
fn a_late_failure_is_recorded_unless_a_newer_attempt_has_begun() {
    for state in STATES {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, lease) = lapsed_in(state, &hand, config(&root.path().join("spool"), &hand));
        let newer_has_begun = matches!(state, State::Sending | State::Failed | State::Sent);
        let say = || {
            let busy = report(Outcome::Retry, Class::TransientServer);
            outbox.settle(lease.id.clone(), busy).wait()
        };
        if newer_has_begun {
            for _ in 0..2 {
                match say() {
                    Err(Error::WrongState { state: present, .. }) => assert_eq!(present, state),
                    other => panic!("in {state:?}: {other:?}"),
                }
            }
            continue;
        }
        let answers = [say().unwrap(), say().unwrap()];
        assert_eq!(answers.map(|answer| answer.state), [state, state]);
        assert_eq!(answers.map(|answer| answer.is_news), [true, false], "in {state:?}");
        let history = match outbox.get("m").unwrap() {
            outbox::Message::Entry(view) => view.entry.history,
            outbox::Message::Receipt(receipt) => receipt.history,
        };
        let outcomes: Vec<Outcome> = history.iter().map(|attempt| Outcome::from(attempt.outcome)).collect();
        assert_eq!(outcomes, [Outcome::MaybeReached, Outcome::Retry], "recorded once, in {state:?}");
        assert!(history.iter().all(|attempt| attempt.attempt == 1), "{history:?}");
    }
}

#[test]
fn a_late_refusal_fails_what_waits_or_is_uncertain_and_still_may_have_arrived() {
    for state in [State::Deferred, State::Uncertain] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, lease) = lapsed_in(state, &hand, config(&root.path().join("spool"), &hand));
        assert_eq!(settle(&outbox, &lease, Outcome::Reject), State::Failed);
        let view = entry(&outbox, "m");
        assert!(view.state == State::Failed && view.entry.delivery.unresolved.is_some(), "{view:?}");
        assert_eq!(view.entry.delivery.attempts, 1, "the attempt was counted when it lapsed");
    }
}

#[test]
fn a_repetition_of_a_settle_is_answered_as_the_first_while_the_next_attempt_is_under_way() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("m", "c"));
    let first = app_lease(&outbox);
    assert_eq!(settle(&outbox, &first, Outcome::Retry), State::Deferred);
    hand.pass(Duration::from_secs(2));
    let second = app_lease(&outbox);
    assert_eq!(settle(&outbox, &first, Outcome::Retry), State::Deferred);
    assert_eq!(entry(&outbox, "m").state, State::Sending, "the newer attempt goes on");
    assert_eq!(settle(&outbox, &second, Outcome::Sent), State::Sent);
    assert_eq!(receipt(&outbox, "m").history.len(), 2);
}

#[test]
fn the_latest_settles_are_remembered_and_each_repetition_is_answered_as_the_first_was() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("m", "c"));
    let leases: Vec<Lease> = (0..=SETTLED_MAX)
        .map(|_| {
            hand.pass(Duration::from_secs(600));
            let lease = app_lease(&outbox);
            assert_eq!(settle(&outbox, &lease, Outcome::Retry), State::Deferred);
            lease
        })
        .collect();
    let before = entry(&outbox, "m").entry;
    for lease in &leases[1..] {
        let again =
            outbox.settle(lease.id.clone(), report(Outcome::Reject, Class::PermanentContent)).wait().unwrap();
        assert_eq!((again.state, again.is_news), (State::Deferred, false));
    }
    let forgotten =
        outbox.settle(leases[0].id.clone(), report(Outcome::Retry, Class::TransientServer)).wait();
    assert!(matches!(forgotten, Err(Error::WrongState { .. })), "{forgotten:?}");
    assert_eq!(entry(&outbox, "m").entry, before, "a repetition changes nothing");
    settle(&outbox, &app_lease_after(&outbox, &hand), Outcome::Sent);
    let again = outbox.settle(leases[3].id.clone(), report(Outcome::Retry, Class::TransientServer)).wait();
    assert_eq!(again.unwrap().state, State::Deferred, "also once it is a receipt");
}

fn app_lease_after(outbox: &Outbox, hand: &Hand) -> Lease {
    hand.pass(Duration::from_secs(600));
    app_lease(outbox)
}

#[test]
fn a_late_answer_is_recorded_under_the_number_of_its_own_attempt() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("m", "c"));
    let first = app_lease(&outbox);
    lapse(&outbox, &hand);
    let second = app_lease_after(&outbox, &hand);
    assert_eq!(settle(&outbox, &second, Outcome::Reject), State::Failed);
    let settled = outbox.settle(first.id.clone(), sent("late", b"{}")).wait().unwrap();
    assert!(settled.is_late && settled.state == State::Sent, "{settled:?}");
    let numbers: Vec<u32> = receipt(&outbox, "m").history.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 1]);
}

#[test]
fn what_was_announced_of_a_message_is_read_the_same_after_its_end_was_corrected() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, lease) = lapsed_in(State::Cancelled, &hand, config(&root.path().join("spool"), &hand));
    let cancelled = || {
        let events = outbox.events(0, 100).unwrap().events;
        events.into_iter().find(|event| event.kind == EventKind::Cancelled).unwrap()
    };
    let before = cancelled();
    assert_eq!((before.code, before.state), (Some(-30_003), Some(State::Cancelled)));
    settle(&outbox, &lease, Outcome::Sent);
    assert_eq!(cancelled(), before);
}

#[test]
fn a_message_that_was_sent_after_all_says_no_end_that_it_did_not_come_to() {
    for state in [State::Expired, State::Cancelled] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, lease) = lapsed_in(state, &hand, config(&root.path().join("spool"), &hand));
        settle(&outbox, &lease, Outcome::Sent);
        let error = receipt(&outbox, "m").last_error.map(|error| error.code);
        assert!(!matches!(error, Some(-30_002 | -30_003)), "{error:?} from {state:?}");
    }
}

#[test]
fn a_success_of_an_older_lease_corrects_a_receipt_and_is_remembered() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    config.policy.failed_retention = Duration::ZERO;
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, message("m", "c"));
    let first = app_lease(&outbox);
    lapse(&outbox, &hand);
    hand.pass(Duration::from_secs(2));
    settle(&outbox, &lease_one(&outbox), Outcome::Reject);
    outbox.tick().wait().unwrap();
    assert_eq!(receipt(&outbox, "m").state(), State::Failed, "no longer kept as an entry");
    assert_eq!(settle(&outbox, &first, Outcome::Sent), State::Sent);
    assert_eq!(settle(&outbox, &first, Outcome::Retry), State::Sent, "what its holder was answered before");
}

#[test]
fn a_success_of_a_lease_that_was_reported_as_failed_is_believed() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, message("m", "c"));
    let lease = app_lease(&outbox);
    assert_eq!(settle(&outbox, &lease, Outcome::Reject), State::Failed);
    assert_eq!(settle(&outbox, &lease, Outcome::Sent), State::Sent);
    outbox.resend("m".into(), Overrides::default()).wait().unwrap();
    assert_eq!(receipt(&outbox, "m").state(), State::Sent);
}
