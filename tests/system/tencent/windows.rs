//! Lost answers: one message inside the service's window, and a stated policy after it.
//!
//! Owns:  answers that get lost, the double's clock, the three policies, as seen at the double and at the socket.
//! Never: waits for the vendor's two minutes: the configured window is shorter, the double's clock is set ahead.

use std::time::Duration;

use outbox_control::types::{AttemptOutcome, Entry, ResolveRequest, State, WaitsFor};

use super::{Desk, text};
use crate::harness::QUICK;
use crate::tim_double::Act;

/// Past the vendor's window for a group, and for one person.
const PAST_EVERY_WINDOW: Duration = Duration::from_secs(301);

/// Takes the first message and loses its answer; what comes after that is broken off before it is taken.
fn lose_the_first_answer(desk: &Desk) {
    let mut calls = 0;
    desk.double.script(move |_| {
        calls += 1;
        if calls == 1 { Act::TakeThenLose } else { Act::Drop }
    });
}

/// A daemon whose window ends after a second, so that a message becomes uncertain; `to` is its receiver.
async fn uncertain(policy: &str, to: &str) -> (Desk, Entry) {
    let more = format!("{QUICK}[delivery]\non_uncertain = \"{policy}\"\n");
    let desk = Desk::start("dedup_window = \"2s\"\ngroup_dedup_window = \"2s\"", &more).await;
    lose_the_first_answer(&desk);
    desk.submit(&text("lost", to)).await;
    let is_decided =
        |entry: &Entry| entry.possible_duplicate || matches!(entry.state, State::Uncertain | State::Failed);
    let entry = desk.daemon.entry_when("lost", is_decided).await;
    assert!(entry.attempts >= 2, "the same token is repeated while the window lasts: {entry:?}");
    desk.double.set_ahead(PAST_EVERY_WINDOW);
    desk.double.script(|_| Act::Pass);
    (desk, entry)
}

#[tokio::test]
async fn a_repetition_inside_the_window_is_one_message_to_its_reader() {
    for (to, number) in [("lena", "MsgRandom"), ("group:pier_crew", "Random")] {
        let desk = Desk::start("", QUICK).await;
        let mut calls = 0;
        desk.double.script(move |_| {
            calls += 1;
            if calls <= 2 { Act::TakeThenLose } else { Act::Pass }
        });
        desk.submit(&text("lost", to)).await;
        let entry = desk.daemon.entry_in("lost", State::Sent).await;
        let outcomes: Vec<_> = entry.history.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(
            outcomes,
            [AttemptOutcome::MaybeReached, AttemptOutcome::MaybeReached, AttemptOutcome::Sent]
        );
        assert!(!entry.possible_duplicate, "{entry:?}");
        let (calls, recognised, _) = desk.double.counts();
        assert_eq!((desk.double.delivered().len(), calls, recognised), (1, 3, 2), "{to}");
        assert!(desk.double.delivered()[0].body[number].is_u64());
    }
}

#[tokio::test]
async fn the_same_holds_for_an_attempt_that_the_daemon_did_not_survive() {
    let mut desk = Desk::start("", QUICK).await;
    desk.double.script(|_| Act::TakeThenSlow);
    desk.submit(&text("lost", "lena")).await;
    desk.double.wait_for(1, crate::harness::SOON).await;
    desk.daemon.kill9().await;
    desk.double.script(|_| Act::Pass);
    desk.daemon.start_again().await;
    let entry = desk.daemon.entry_in("lost", State::Sent).await;
    assert_eq!((entry.attempts, entry.possible_duplicate), (2, false), "{entry:?}");
    assert_eq!((desk.double.delivered().len(), desk.double.counts().1), (1, 1));
}

#[tokio::test]
async fn after_the_window_it_is_sent_again_and_the_receipt_says_that_it_may_be_a_duplicate() {
    for to in ["lena", "group:pier_crew"] {
        let (desk, _) = uncertain("resend", to).await;
        let entry = desk.daemon.entry_in("lost", State::Sent).await;
        assert!(entry.possible_duplicate, "{entry:?}");
        assert!(desk.daemon.client.receipt("lost").await.unwrap().possible_duplicate);
        let delivered = desk.double.delivered();
        assert_eq!(delivered.len(), 2, "the double no longer knew it");
        assert_eq!(delivered[0].body, delivered[1].body, "the same numbers, the same content");
    }
}

#[tokio::test]
async fn after_the_window_it_waits_for_a_person_where_that_is_the_policy() {
    let (desk, entry) = uncertain("hold", "lena").await;
    assert_eq!(entry.state, State::Uncertain, "{entry:?}");
    let why = desk.daemon.client.why("lost").await.unwrap();
    assert_eq!(why.waits_for, Some(WaitsFor::Decision), "{why:?}");
    let closed = desk
        .daemon
        .client
        .resolve("lost", &ResolveRequest { code: 0, desc: None, data: None })
        .await
        .unwrap();
    assert_eq!(closed.state, State::Sent);
    assert_eq!(desk.double.delivered().len(), 1, "nothing was sent again");
}

#[tokio::test]
async fn after_the_window_it_fails_where_once_at_most_is_the_policy() {
    let (desk, entry) = uncertain("fail", "lena").await;
    let class = entry.last_error.as_ref().map(|error| error.class.as_str());
    assert_eq!((entry.state, class), (State::Failed, Some("uncertain")), "{entry:?}");
    assert!(entry.may_have_arrived, "{entry:?}");
    assert_eq!(desk.double.delivered().len(), 1, "nothing was sent again");
}
