//! Attempts whose outcome is unknown: three policies, and every way in which the window is over.
//!
//! Owns:  since when an attempt is unresolved, what ends that, and where it is said that one may have arrived.
//! Never: sleeps.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox::{
    Cancelled, Class, Config, DedupWindow, EntryView, Event, EventKind, Lease, OnUncertain, Outbox, Outcome,
    Overrides, Phase, State, Submit,
};

use crate::support::{Hand, config, entry, message, receipt, report};
use crate::{kill_and_open, lease, lease_one, settle, submit};

const POLICIES: [OnUncertain; 3] = [OnUncertain::Resend, OnUncertain::Hold, OnUncertain::Fail];

/// How the service's memory of the token comes to be of no use.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    NoWindow,
    WindowOver,
    WindowMadeShorter,
    NoProof,
    DeathWithoutWindow,
    RebootDuringTheAttempt,
    RebootAfterTheAttempt,
}

const WAYS: [Way; 7] = [
    Way::NoWindow,
    Way::WindowOver,
    Way::WindowMadeShorter,
    Way::NoProof,
    Way::DeathWithoutWindow,
    Way::RebootDuringTheAttempt,
    Way::RebootAfterTheAttempt,
];

fn setting(root: &Path, hand: &Arc<Hand>, policy: OnUncertain, way: Way) -> Config {
    let mut config = config(&root.join("spool"), hand);
    config.policy.on_uncertain = policy;
    if !matches!(way, Way::NoWindow | Way::DeathWithoutWindow) {
        config.policy.dedup_window =
            DedupWindow { one_to_one: Duration::from_secs(120), group: Duration::from_secs(300) };
    }
    config
}

fn events_of(outbox: &Outbox, kind: EventKind) -> Vec<Event> {
    let mut events = outbox.events(0, 100).unwrap().events;
    events.retain(|event| event.kind == kind);
    events
}

/// Lets an attempt's answer be lost in that way; returns what is open then.
fn lose(outbox: Outbox, config: &Config, root: &Path, hand: &Hand, way: Way, window: Duration) -> Outbox {
    let lost = lease_one(&outbox);
    // The time until the answer is missed belongs to the window: it begins with the attempt.
    hand.pass(Duration::from_secs(10));
    match way {
        Way::NoProof => {
            settle(&outbox, &lost, Outcome::ProvesNothing);
            return outbox;
        }
        Way::DeathWithoutWindow => return kill_and_open(outbox, config, root, "killed").0,
        Way::RebootDuringTheAttempt => {
            hand.reboot(1_000);
            return kill_and_open(outbox, config, root, "rebooted").0;
        }
        Way::NoWindow | Way::WindowOver | Way::WindowMadeShorter | Way::RebootAfterTheAttempt => {}
    }
    settle(&outbox, &lost, Outcome::MaybeReached);
    if way == Way::NoWindow {
        return outbox;
    }
    let waiting = entry(&outbox, "m");
    assert_eq!((waiting.state, waiting.entry.delivery.possible_duplicate), (State::Deferred, false));
    assert!(events_of(&outbox, EventKind::Uncertain).is_empty(), "inside the window nothing is uncertain");
    if way == Way::WindowMadeShorter {
        let mut config = config.clone();
        let window = Duration::from_secs(20);
        config.policy.dedup_window = DedupWindow { one_to_one: window, group: window };
        return kill_and_open(outbox, &config, root, "shorter").0;
    }
    if way == Way::RebootAfterTheAttempt {
        hand.reboot(1_000);
        let outbox = kill_and_open(outbox, config, root, "rebooted").0;
        assert_eq!(events_of(&outbox, EventKind::Uncertain).len(), 1, "at once, not at its next attempt");
        return outbox;
    }
    hand.pass(window - Duration::from_secs(10) - Duration::from_secs(5) - Duration::from_millis(1));
    outbox.tick().wait().unwrap();
    assert!(events_of(&outbox, EventKind::Uncertain).is_empty(), "one millisecond before its end");
    hand.pass_ms(1);
    outbox.tick().wait().unwrap();
    outbox
}

/// The message once it has been looked at for its next attempt, and that attempt if there is one.
fn looked_at(outbox: &Outbox, hand: &Hand) -> (EntryView, Option<Lease>) {
    hand.pass(Duration::from_secs(6));
    let again = lease(outbox, 1).pop();
    (entry(outbox, "m"), again)
}

#[test]
fn each_policy_decides_alike_in_whatever_way_the_window_is_over() {
    for policy in POLICIES {
        for way in WAYS {
            for to_group in [false, true] {
                let what = format!("{policy:?}, {way:?}, group: {to_group}");
                let root = tempfile::tempdir().unwrap();
                let hand = Hand::new();
                let config = setting(root.path(), &hand, policy, way);
                let window = config.policy.dedup_window.of(to_group);
                let outbox = Outbox::open(config.clone()).unwrap();
                submit(&outbox, Submit { to_group, ..message("m", "c") });
                let token = entry(&outbox, "m").entry.delivery.token;
                let outbox = lose(outbox, &config, root.path(), &hand, way, window);
                let (view, again) = looked_at(&outbox, &hand);
                assert_eq!(events_of(&outbox, EventKind::Uncertain).len(), 1, "{what}: {view:?}");
                let delivery = &view.entry.delivery;
                assert!(delivery.unresolved.is_some() && delivery.attempts == 1, "{what}: {view:?}");
                match policy {
                    OnUncertain::Resend => {
                        assert_eq!(again.unwrap().token, token, "{what}");
                        assert!(delivery.possible_duplicate, "{what}: {view:?}");
                    }
                    OnUncertain::Hold => {
                        assert_eq!((view.state, again), (State::Uncertain, None), "{what}");
                        outbox.resend("m".into(), Overrides::default()).wait().unwrap();
                        assert_eq!(lease_one(&outbox).token, token, "{what}");
                        assert!(entry(&outbox, "m").entry.delivery.possible_duplicate, "{what}");
                    }
                    OnUncertain::Fail => {
                        assert_eq!((view.state, again), (State::Failed, None), "{what}");
                        let class = Class::from(view.entry.last_error.unwrap().class);
                        assert_eq!(class, Class::Uncertain, "{what}");
                        let failed = events_of(&outbox, EventKind::Failed);
                        assert!(failed.len() == 1 && failed[0].may_have_arrived, "{what}: {failed:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn unresolved_since_is_the_start_of_the_first_lost_attempt_and_only_a_success_clears_it() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = setting(root.path(), &hand, OnUncertain::Resend, Way::WindowOver);
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, message("m", "c"));
    let first = lease_one(&outbox);
    let began = outbox.now();
    // Somebody sets the clock while the attempt is under way: its start stays what it was.
    hand.pass(Duration::from_secs(3));
    hand.jump_ms(-3_600_000);
    settle(&outbox, &first, Outcome::MaybeReached);
    let since = |outbox: &Outbox| entry(outbox, "m").entry.delivery.unresolved.unwrap();
    assert_eq!((since(&outbox).since, since(&outbox).at), (began.time, began.wall));
    assert_eq!(entry(&outbox, "m").entry.history[0].at, began.wall);
    for outcome in [Outcome::Retry, Outcome::MaybeReached, Outcome::NotReached, Outcome::Limited] {
        hand.pass(Duration::from_secs(20));
        settle(&outbox, &lease_one(&outbox), outcome);
        assert_eq!(since(&outbox).since, began.time, "{outcome:?}");
    }
    hand.pass(Duration::from_secs(20));
    settle(&outbox, &lease_one(&outbox), Outcome::Reject);
    assert_eq!(entry(&outbox, "m").state, State::Failed);
    assert_eq!(since(&outbox).since, began.time, "a later refusal proves nothing about the first attempt");
    outbox.resend("m".into(), Overrides::default()).wait().unwrap();
    let again = lease_one(&outbox);
    assert_eq!(again.token, first.token, "unresolved: the same token");
    settle(&outbox, &again, Outcome::Sent);
    assert!(!receipt(&outbox, "m").may_have_arrived);
}

#[test]
fn what_may_have_arrived_says_so_in_entry_event_and_answer_however_it_ends() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = setting(root.path(), &hand, OnUncertain::Resend, Way::WindowOver);
    let outbox = Outbox::open(config).unwrap();
    let lost = |msg_id: &str, ttl_s: u64| {
        let ttl = Some(Duration::from_secs(ttl_s));
        submit(&outbox, Submit { ttl, ..message(msg_id, msg_id) });
        settle(&outbox, &lease_one(&outbox), Outcome::MaybeReached);
    };
    lost("fails", 9_000);
    hand.pass(Duration::from_secs(2));
    settle(&outbox, &lease_one(&outbox), Outcome::Reject);
    lost("expires", 2);
    hand.pass(Duration::from_secs(2));
    outbox.tick().wait().unwrap();
    lost("cancelled", 9_000);
    assert_eq!(outbox.cancel("cancelled".into(), None).wait().unwrap(), Cancelled::Uncertain);
    for (msg_id, kind, state) in [
        ("fails", EventKind::Failed, State::Failed),
        ("expires", EventKind::Expired, State::Expired),
        ("cancelled", EventKind::Cancelled, State::Cancelled),
    ] {
        let mut events = events_of(&outbox, kind);
        events.retain(|event| event.msg_id.as_deref() == Some(msg_id));
        assert!(events.len() == 1 && events[0].may_have_arrived, "{msg_id}: {events:?}");
        if state == State::Cancelled {
            assert!(receipt(&outbox, msg_id).may_have_arrived);
            continue;
        }
        let view = entry(&outbox, msg_id);
        assert!(view.state == state && view.entry.delivery.unresolved.is_some(), "{view:?}");
        let answer = outbox.cancel(msg_id.into(), None).wait().unwrap();
        assert_eq!(answer, Cancelled::Cancelled { may_have_arrived: true }, "{msg_id}");
    }
}

#[test]
fn the_last_attempt_that_is_allowed_leaves_the_decision_to_the_policy_too() {
    for policy in POLICIES {
        let root = tempfile::tempdir().unwrap();
        let mut config = setting(root.path(), &Hand::new(), policy, Way::WindowOver);
        config.policy.retry.max_attempts = 1;
        let outbox = Outbox::open(config).unwrap();
        submit(&outbox, message("m", "c"));
        settle(&outbox, &lease_one(&outbox), Outcome::MaybeReached);
        let view = entry(&outbox, "m");
        // Nothing repeats it any more, so that it stays unknown.
        assert_eq!(events_of(&outbox, EventKind::Uncertain).len(), 1, "{policy:?}");
        let class = |view: &EntryView| Class::from(view.entry.last_error.as_ref().unwrap().class);
        match policy {
            OnUncertain::Resend => {
                assert_eq!((view.state, class(&view)), (State::Failed, Class::TransientNetwork));
            }
            OnUncertain::Hold => assert_eq!(view.state, State::Uncertain),
            OnUncertain::Fail => assert_eq!((view.state, class(&view)), (State::Failed, Class::Uncertain)),
        }
    }
}

#[test]
fn a_person_who_resends_a_held_message_after_a_reboot_is_not_asked_again() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = setting(root.path(), &hand, OnUncertain::Hold, Way::WindowOver);
    let outbox = Outbox::open(config.clone()).unwrap();
    submit(&outbox, message("m", "c"));
    settle(&outbox, &lease_one(&outbox), Outcome::MaybeReached);
    outbox.hold("m".into(), None).wait().unwrap();
    hand.reboot(1_000);
    let (outbox, _) = kill_and_open(outbox, &config, root.path(), "rebooted");
    outbox.resend("m".into(), Overrides::default()).wait().unwrap();
    lease_one(&outbox);
    let view = entry(&outbox, "m");
    assert!(matches!(view.entry.delivery.phase, Phase::Sending { .. }), "{view:?}");
    assert!(view.entry.delivery.possible_duplicate);
}

#[test]
fn a_first_send_that_may_have_arrived_is_uncertain_at_once_whatever_the_window() {
    for policy in POLICIES {
        let root = tempfile::tempdir().unwrap();
        let config = setting(root.path(), &Hand::new(), policy, Way::WindowOver);
        let outbox = Outbox::open(config).unwrap();
        let first_error = Some(report(Outcome::MaybeReached, Class::TransientNetwork));
        submit(&outbox, Submit { first_error, ..message("m", "c") });
        let view = entry(&outbox, "m");
        let expected = match policy {
            OnUncertain::Resend => State::Deferred,
            OnUncertain::Hold => State::Uncertain,
            OnUncertain::Fail => State::Failed,
        };
        assert_eq!((view.state, view.entry.delivery.attempts), (expected, 0), "{policy:?}");
        assert_eq!(view.entry.delivery.possible_duplicate, policy == OnUncertain::Resend);
        assert_eq!(events_of(&outbox, EventKind::Uncertain).len(), 1, "{policy:?}");
    }
}
