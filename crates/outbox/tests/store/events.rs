//! Durable events: what is read again of them, from where, after what.
//!
//! Owns:  sequence, gap, and what each event says once its entry has become a receipt.
//! Never: looks at live events (the model does).

use outbox::{Config, EventKind, Outbox, Outcome, State};

use crate::support::{Hand, config, copy_as_killed, message, sent};
use crate::{lease_one, send, settle, submit};

fn kinds(outbox: &Outbox, since: u64) -> Vec<(u64, EventKind, String)> {
    let page = outbox.events(since, 100).unwrap();
    assert!(!page.more);
    page.events
        .into_iter()
        .map(|event| (event.seq.unwrap(), event.kind, event.msg_id.unwrap_or_default()))
        .collect()
}

/// One message of each ending, in this order.
fn endings(outbox: &Outbox) {
    submit(outbox, message("s", "a"));
    outbox.settle(lease_one(outbox).id, sent("n", b"{}")).wait().unwrap();
    submit(outbox, message("f", "b"));
    assert_eq!(settle(outbox, &lease_one(outbox), Outcome::Reject), State::Failed);
    submit(outbox, message("u", "c"));
    settle(outbox, &lease_one(outbox), Outcome::ProvesNothing);
    submit(outbox, message("c", "d"));
    outbox.cancel("c".into(), Some("changed my mind".into())).wait().unwrap();
}

#[test]
fn every_ending_is_read_again_in_order_and_filled_up_from_its_record() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    endings(&outbox);
    let events = outbox.events(0, 100).unwrap().events;
    let [first, second, third, last] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!((first.kind, first.new_msg_id.as_deref()), (EventKind::Sent, Some("n")));
    assert_eq!((first.state, first.conversation.as_deref()), (Some(State::Sent), Some("a")));
    assert_eq!(
        (second.kind, second.code, second.account.as_deref()),
        (EventKind::Failed, Some(7), Some("default"))
    );
    assert_eq!((third.kind, third.msg_id.as_deref()), (EventKind::Uncertain, Some("u")));
    assert_eq!((last.kind, last.reason.as_deref()), (EventKind::Cancelled, Some("changed my mind")));
    let page = outbox.events(0, 2).unwrap();
    assert_eq!((page.events.len(), page.next, page.more), (2, second.seq.unwrap(), true));
    assert_eq!(kinds(&outbox, page.next).len(), 2);
    assert_eq!(kinds(&outbox, last.seq.unwrap()), []);
    assert_eq!(kinds(&outbox, u64::MAX), []);
}

#[test]
fn events_are_the_same_after_a_kill() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let config = config(&root.path().join("spool"), &hand);
    let outbox = Outbox::open(config.clone()).unwrap();
    endings(&outbox);
    let before = outbox.events(0, 100).unwrap();
    let copy = root.path().join("copy");
    copy_as_killed(&config.path, &copy);
    let again = Outbox::open(Config { path: copy, ..config }).unwrap();
    assert_eq!(again.events(0, 100).unwrap(), before);
}

#[test]
fn what_is_no_longer_kept_is_a_gap() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { sent_max: 3, ..config(&root.path().join("spool"), &Hand::new()) };
    let outbox = Outbox::open(config).unwrap();
    send(&outbox, 0..6);
    let kept = outbox.events(0, 100).unwrap();
    assert_eq!(kept.gap, None, "from the oldest kept, nothing is missing");
    let oldest = kept.events.first().unwrap().seq.unwrap();
    assert_eq!((oldest, kept.events.len()), (4, 3));
    let page = outbox.events(1, 100).unwrap();
    assert_eq!((page.gap, page.events), (Some((2, 3)), kept.events));
    assert_eq!(outbox.events(oldest - 1, 100).unwrap().gap, None);
}

#[test]
fn a_lower_limit_of_receipts_is_met_without_a_wait() {
    let root = tempfile::tempdir().unwrap();
    let config = config(&root.path().join("spool"), &Hand::new());
    let outbox = Outbox::open(config.clone()).unwrap();
    send(&outbox, 0..40);
    outbox.reconfigure(Config { sent_max: 3, ..config }).wait().unwrap();
    let now = outbox.now().time;
    let mut ticks = 0;
    loop {
        let next = outbox.tick().wait().unwrap().next;
        if next.is_none_or(|next| next > now) {
            break;
        }
        ticks += 1;
        assert!(ticks < 40, "there is an end to it");
    }
    assert_eq!(outbox.counters().receipts, 3);
}
