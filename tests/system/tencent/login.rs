//! Trouble of the account: it pauses, nothing is lost or counted, and the cure lets everything flow.
//!
//! Owns:  an expired UserSig, a wrong key, an account that may not call, an account without a section; what the
//!        service refuses of a single message.
//! Never: counts an attempt for what is not the message's fault.

use std::time::Duration;

use outbox_control::types::{AccountState, AttemptOutcome, State, WaitsFor};
use serde_json::json;

use super::{Desk, text, write_key};
use crate::harness::{ONCE, QUICK, SOON};
use crate::tim_double::{ADMIN, Act, KEY};

/// More than a UserSig's life.
const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Submits three messages that find the account in trouble, checks what everybody is told, cures it and sees
/// everything arrive in order.
async fn pauses_and_flows(desk: &Desk, code: i64, name: &str, cure: impl Fn(&Desk)) {
    for number in 1..=3 {
        desk.submit(&text(&format!("m-{number}"), "lena")).await;
    }
    let entry = desk.daemon.entry_when("m-1", |entry| entry.last_error.is_some()).await;
    assert_eq!((entry.state, entry.attempts), (State::Queued, 0), "{entry:?}");
    let error = entry.last_error.unwrap();
    assert_eq!((error.code, error.class.as_str()), (code, "auth"));
    assert_eq!(error.name.as_deref(), Some(name));

    let status = desk.daemon.client.status().await.unwrap();
    let account = &status.accounts[0];
    assert_eq!((account.state, account.code), (AccountState::Paused, Some(code)), "{account:?}");
    assert!(account.hint.as_ref().unwrap().ends_with("`outboxctl account resume default`"), "{account:?}");
    let why = desk.daemon.client.why("m-1").await.unwrap();
    assert_eq!(why.waits_for, Some(WaitsFor::Account), "{why:?}");
    for line in [desk.daemon.ctl(&["why", "m-1"]).await, desk.daemon.ctl(&["show", "m-1"]).await] {
        assert!(line.out.contains("outboxctl account resume default"), "{line:?}");
    }
    assert!(desk.daemon.ctl(&["show", "m-1"]).await.out.contains(name));
    assert_eq!((status.counts.failed, desk.double.delivered().len()), (0, 0));

    cure(desk);
    let resumed = desk.daemon.ctl(&["account", "resume", "default"]).await;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    desk.daemon.entry_when_all_sent(3).await;
    let order: Vec<_> =
        desk.double.delivered().iter().map(|one| super::words(&one.body).to_owned()).collect();
    assert_eq!(order, ["m-1", "m-2", "m-3"]);
    let first = desk.daemon.client.message("m-1").await.unwrap();
    assert_eq!(first.attempts, 1, "only the attempt that was answered counts: {first:?}");
}

#[tokio::test]
async fn an_expired_usersig_pauses_the_account() {
    let desk = Desk::start("", QUICK).await;
    desk.double.set_ahead(TWO_DAYS);
    pauses_and_flows(&desk, 70_001, "ERR_SVR_ACCOUNT_USERSIG_EXPIRED", |desk| {
        desk.double.set_ahead(Duration::ZERO);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_pauses_the_account_and_a_corrected_file_needs_no_restart() {
    let desk = Desk::start("", QUICK).await;
    desk.double.set_key(ADMIN, "the application's new key");
    pauses_and_flows(&desk, 70_009, "ERR_SVR_ACCOUNT_USERSIG_MISMATCH_PUBLICKEY", |desk| {
        write_key(&desk.key_file, "the application's new key");
    })
    .await;
    let log = desk.daemon.log();
    assert!(
        !log.contains(KEY) && !log.contains("new key") && !log.contains("usersig="),
        "no secret is logged"
    );
}

#[tokio::test]
async fn an_account_that_was_kicked_off_pauses() {
    let desk = Desk::start("", QUICK).await;
    desk.double.bar(ADMIN, Some(6208));
    pauses_and_flows(&desk, 6208, "ERR_LOGIN_KICKED_OFF_BY_OTHER", |desk| desk.double.bar(ADMIN, None)).await;
}

#[tokio::test]
async fn a_message_of_an_account_without_a_section_waits_and_says_so() {
    let desk = Desk::start("", QUICK).await;
    let body = json!({"message": text("m-1", "lena"), "account": "other"}).to_string();
    desk.daemon.client.submit_json(body.into_bytes()).await.unwrap();
    let entry = desk.daemon.entry_when("m-1", |entry| entry.last_error.is_some()).await;
    assert_eq!((entry.state, entry.attempts), (State::Queued, 0), "{entry:?}");
    let why = desk.daemon.client.why("m-1").await.unwrap();
    assert!(why.detail.contains("transport.tim.accounts.NAME"), "{why:?}");
    desk.submit(&text("m-2", "lena")).await;
    desk.daemon.entry_in("m-2", State::Sent).await;
}

#[tokio::test]
async fn what_the_service_says_of_one_message_concerns_that_message_alone() {
    let desk = Desk::start("", ONCE).await;
    let codes = [("bad", 80_001), ("muted", 10_017), ("later", 20_004), ("lost", 60_008), ("odd", 424_242)];
    desk.double.script(move |body| {
        let code = codes.iter().find(|(msg_id, _)| super::words(body) == *msg_id).map(|(_, code)| *code);
        code.map_or(Act::Pass, Act::Fail)
    });
    for (msg_id, _) in codes {
        desk.submit(&text(msg_id, &format!("user-{msg_id}"))).await;
    }
    desk.submit(&text("good", "lena")).await;
    desk.daemon.entry_in("good", State::Sent).await;
    for (msg_id, state, outcome) in [
        ("bad", State::Failed, AttemptOutcome::Reject),
        ("muted", State::Failed, AttemptOutcome::Reject),
        ("later", State::Deferred, AttemptOutcome::Retry),
        ("lost", State::Deferred, AttemptOutcome::MaybeReached),
        ("odd", State::Deferred, AttemptOutcome::Retry),
    ] {
        let entry = desk.daemon.entry_in(msg_id, state).await;
        let attempts: Vec<_> = entry.history.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!((attempts, entry.attempts), (vec![outcome], 1), "{entry:?}");
    }
    let bad = desk.daemon.ctl(&["why", "bad"]).await;
    assert!(bad.out.contains("content safety"), "{bad:?}");
}

#[tokio::test]
async fn a_message_that_the_group_dropped_is_sent_again_and_counts_nothing() {
    // The double drops what is too fast; one message a second is little enough to wait for.
    let desk = Desk::start("", QUICK).await;
    desk.double.script(|_| Act::Dropped);
    desk.submit(&text("m-1", "group:pier_crew")).await;
    let entry = desk.daemon.entry_when("m-1", |entry| !entry.history.is_empty()).await;
    assert_eq!(entry.attempts, 0, "{entry:?}");
    assert_eq!(entry.history[0].outcome, AttemptOutcome::Limited);
    let status = desk.daemon.client.status().await.unwrap();
    assert_eq!(status.accounts[0].state, AccountState::Limited);
    desk.double.script(|_| Act::Pass);
    desk.double.wait_for(1, SOON).await;
    let entry = desk.daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(entry.attempts, 1);
}
