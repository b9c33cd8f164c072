//! Heads that go no further by themselves: whether their lane does, and what an event says of it.
//!
//! Owns:  failed, held, uncertain and expired heads under both choices, and their way back into the lane.
//! Never: sleeps.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox::{
    Changed, Config, Event, EventKind, OnFailedHead, OnUncertain, Outbox, Outcome, Overrides, State, Submit,
};

use crate::support::{Hand, config, entry, message};
use crate::{lease, lease_one, names, settle, submit};

type Heard = Arc<Mutex<Vec<Event>>>;

fn open(path: &Path, hand: &Arc<Hand>, choice: OnFailedHead) -> (Outbox, Heard) {
    let heard = Heard::default();
    let events = Arc::clone(&heard);
    let mut config = Config {
        observer: Some(Arc::new(move |notices| {
            events.lock().unwrap().extend(notices.events.iter().cloned());
        })),
        ..config(path, hand)
    };
    config.policy.on_failed_head = choice;
    config.policy.on_uncertain = OnUncertain::Hold;
    (Outbox::open(config).unwrap(), heard)
}

/// Brings the head `a` of a lane to a stand.
fn bring_to(state: State, outbox: &Outbox, hand: &Hand) {
    match state {
        State::Failed => drop(settle(outbox, &lease_one(outbox), Outcome::Reject)),
        State::Uncertain => drop(settle(outbox, &lease_one(outbox), Outcome::ProvesNothing)),
        State::Held => drop(outbox.hold("a".into(), Some("look".into())).wait().unwrap()),
        _ => {
            hand.pass(Duration::from_secs(60));
            outbox.tick().wait().unwrap();
        }
    }
    assert_eq!(entry(outbox, "a").state, state);
}

/// What an event of `a` says of the rest of its conversation.
fn said(outbox: &Outbox, heard: &Heard, state: State) -> Option<String> {
    // A group is announced before the next one is begun.
    outbox.tick().wait().unwrap();
    let kind = match state {
        State::Failed => EventKind::Failed,
        State::Uncertain => EventKind::Uncertain,
        State::Held => EventKind::Held,
        _ => EventKind::Expired,
    };
    let heard = heard.lock().unwrap();
    let event = heard.iter().find(|event| event.kind == kind && event.msg_id.as_deref() == Some("a"));
    let event = event.unwrap();
    if state == State::Held {
        assert_eq!(event.reason.as_deref(), Some("look"), "the person's own words stay");
        return event.desc.clone();
    }
    event.reason.clone()
}

const STANDS: [State; 4] = [State::Failed, State::Held, State::Uncertain, State::Expired];

#[test]
fn a_head_that_goes_no_further_is_passed_over_or_keeps_its_lane_and_an_event_says_which() {
    for choice in [OnFailedHead::Continue, OnFailedHead::Hold] {
        for state in STANDS {
            let root = tempfile::tempdir().unwrap();
            let hand = Hand::new();
            let (outbox, heard) = open(&root.path().join("spool"), &hand, choice);
            submit(&outbox, Submit { ttl: Some(Duration::from_secs(60)), ..message("a", "c") });
            submit(&outbox, message("b", "c"));
            bring_to(state, &outbox, &hand);
            let keeps = choice == OnFailedHead::Hold && state != State::Expired;
            let (leased, words) = if keeps {
                (vec![], "its conversation waits for it")
            } else {
                (vec!["b"], "its conversation goes on without it")
            };
            assert_eq!(names(&lease(&outbox, 10)), leased, "{choice:?}, {state:?}");
            assert_eq!(said(&outbox, &heard, state).as_deref(), Some(words), "{choice:?}, {state:?}");
        }
    }
}

#[test]
fn where_none_stands_behind_it_an_event_says_nothing_of_a_lane() {
    for state in STANDS {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, heard) = open(&root.path().join("spool"), &hand, OnFailedHead::Continue);
        submit(&outbox, Submit { ttl: Some(Duration::from_secs(60)), ..message("a", "c") });
        submit(&outbox, message("b", "another"));
        if state != State::Held {
            outbox.hold("b".into(), None).wait().unwrap();
        }
        bring_to(state, &outbox, &hand);
        assert_eq!(said(&outbox, &heard, state), None, "{state:?}");
    }
}

#[test]
fn a_held_one_further_back_is_no_head_that_was_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let (outbox, heard) = open(&root.path().join("spool"), &Hand::new(), OnFailedHead::Continue);
    for msg_id in ["first", "a"] {
        submit(&outbox, message(msg_id, "c"));
    }
    bring_to(State::Held, &outbox, &Hand::new());
    assert_eq!(said(&outbox, &heard, State::Held), None);
}

#[test]
fn a_lane_that_its_head_keeps_goes_on_by_every_decision_of_a_person() {
    for decision in ["resend", "cancel", "release", "resolve", "expiry"] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, _) = open(&root.path().join("spool"), &hand, OnFailedHead::Hold);
        submit(&outbox, Submit { ttl: Some(Duration::from_secs(60)), ..message("a", "c") });
        submit(&outbox, message("b", "c"));
        let state = if decision == "release" { State::Held } else { State::Uncertain };
        bring_to(state, &outbox, &hand);
        assert!(lease(&outbox, 10).is_empty(), "{decision}");
        match decision {
            "resend" => drop(outbox.resend("a".into(), Overrides::default()).wait().unwrap()),
            "cancel" => drop(outbox.cancel("a".into(), None).wait().unwrap()),
            "release" => drop(outbox.release("a".into()).wait().unwrap()),
            "resolve" => drop(outbox.resolve("a".into(), outbox::Resolution::default()).wait().unwrap()),
            _ => hand.pass(Duration::from_secs(60)),
        }
        let first = if matches!(decision, "resend" | "release") { "a" } else { "b" };
        let leased = lease_one(&outbox);
        assert_eq!(leased.msg_id, first, "{decision}");
        settle(&outbox, &leased, Outcome::Sent);
        assert_eq!(lease(&outbox, 10).len(), usize::from(first == "a"), "{decision}");
    }
}

#[test]
fn a_resend_puts_an_ended_message_back_at_its_old_place_with_a_new_life() {
    for state in [State::Failed, State::Expired] {
        let root = tempfile::tempdir().unwrap();
        let hand = Hand::new();
        let (outbox, _) = open(&root.path().join("spool"), &hand, OnFailedHead::Continue);
        let seq = submit(&outbox, Submit { ttl: Some(Duration::from_secs(60)), ..message("a", "c") });
        let token = entry(&outbox, "a").entry.delivery.token;
        bring_to(state, &outbox, &hand);
        hand.pass(Duration::from_secs(600));
        for msg_id in ["b", "d"] {
            submit(&outbox, message(msg_id, "c"));
        }
        let Changed::Entry(view) = outbox.resend("a".into(), Overrides::default()).wait().unwrap() else {
            panic!("{state:?}: it was not sent")
        };
        let delivery = &view.entry.delivery;
        assert_eq!((view.state, view.entry.identity.seq), (State::Queued, seq), "{state:?}");
        assert_ne!(delivery.token, token, "known not to have arrived: a new send");
        assert_eq!(delivery.deadline, outbox.now().time.plus(Duration::from_secs(60)), "{state:?}");
        assert_eq!(entry(&outbox, "b").blocked_by.as_deref(), Some("a"), "{state:?}");
        for msg_id in ["a", "b", "d"] {
            let leases = lease(&outbox, 10);
            assert_eq!(names(&leases), [msg_id], "{state:?}");
            settle(&outbox, &leases[0], Outcome::Sent);
        }
    }
}

#[test]
fn a_resend_never_shortens_a_life() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let (outbox, _) = open(&root.path().join("spool"), &hand, OnFailedHead::Continue);
    let now = outbox.now();
    let not_before = Some(now.wall_of(now.time.plus(Duration::from_secs(3_600))));
    let ttl = Some(Duration::from_secs(60));
    let first_error = Some(crate::support::report(Outcome::Reject, outbox::Class::PermanentContent));
    submit(&outbox, Submit { ttl, not_before, first_error, ..message("failed", "c") });
    submit(&outbox, Submit { ttl, ..message("waiting", "d") });
    for (msg_id, deadline) in [("failed", 3_660), ("waiting", 60)] {
        hand.pass(Duration::from_secs(1));
        outbox.resend(msg_id.into(), Overrides::default()).wait().unwrap();
        let delivery = entry(&outbox, msg_id).entry.delivery;
        assert_eq!(delivery.deadline, now.time.plus(Duration::from_secs(deadline)), "{msg_id}");
    }
    assert_eq!(names(&lease(&outbox, 10)), ["waiting"], "and overrides no notBefore");
}
