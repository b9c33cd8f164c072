//! Spools of every released format: what an earlier program wrote must be read for ever.
//!
//! Owns:  `tests/fixtures/spool-v1`, the files of a spool as the first version left it when it stopped, each packed by itself.
//! Never: writes a fixture anew: one that does not open any more is a defect of the program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;
#[path = "../../../tests/fixtures/unpack.rs"]
mod unpack;

use std::path::{Path, PathBuf};
use std::time::Duration;

use outbox::{Message, Offline, OnUncertain, Outbox, State};

use support::{Hand, config, receipt};
use unpack::unpack;

/// When the fixture's process had stopped: 2026-11-26 17:52:10 UTC.
const STOPPED_MS: i64 = 1_795_715_530_000;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/spool-v1/spool")
}

/// The clock of a machine that was started anew since.
fn later() -> std::sync::Arc<Hand> {
    let hand = Hand::new();
    hand.jump_ms(STOPPED_MS - 1_800_000_000_000);
    hand.reboot(0);
    hand
}

fn state(outbox: &Outbox, id: &str) -> State {
    match outbox.get(id).unwrap() {
        Message::Entry(view) => view.state,
        Message::Receipt(receipt) => receipt.state(),
    }
}

#[test]
fn a_spool_of_format_1_has_everything_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    unpack(&fixture(), dir.path());
    let check = Offline::open(dir.path()).unwrap().check().unwrap();
    assert!(check.is_sound() && check.clean, "{check:?}");
    assert_eq!((check.entries, check.receipts), (10, 3));
    let hand = later();
    let mut settings = config(dir.path(), &hand);
    settings.policy.on_uncertain = OnUncertain::Hold;
    let outbox = Outbox::open(settings).unwrap();
    let report = outbox.report();
    assert!(
        report.clean && !report.rebuilt && report.lost.is_none() && report.quarantined == 0,
        "{report:?}"
    );
    for (id, expected) in [
        ("sent", State::Sent),
        ("sent-large", State::Sent),
        ("cancelled", State::Cancelled),
        ("failed", State::Failed),
        ("expired", State::Expired),
        ("deferred", State::Deferred),
        ("held", State::Held),
        ("uncertain", State::Uncertain),
        // Its app's lease ended with the machine.
        ("sending", State::Uncertain),
        ("waiting-1", State::Queued),
        ("waiting-2", State::Blocked),
        ("large", State::Blocked),
        ("second", State::Queued),
    ] {
        assert_eq!(state(&outbox, id), expected, "{id}");
    }
    let large = outbox.payload("large").unwrap().message;
    assert!(large.len() > 20_000 && large.ends_with(b"zz\"}}"), "{} bytes", large.len());
    let sent = receipt(&outbox, "creation-sent");
    assert_eq!(sent.new_msg_id(), Some("new-sent"));
    assert_eq!(outbox.data(&sent).unwrap().unwrap(), br#"{"msgID": "new-sent", "status": 2}"#);
    assert!(outbox.data(&receipt(&outbox, "sent-large")).unwrap().unwrap().len() > 20_000);
    assert!(matches!(
        outbox.account("other").unwrap().unwrap().gate,
        outbox::Gate::Paused { reason, .. } if reason == "logged out"
    ));
    // Six that the fixture has, and that of the attempt that nobody will tell the end of.
    assert_eq!(outbox.events(0, 100).unwrap().events.len(), 7);
    // Three days later nothing waits any more.
    hand.pass(Duration::from_secs(3 * 24 * 3600));
    outbox.tick().wait().unwrap();
    assert_eq!(state(&outbox, "waiting-1"), State::Expired);
    outbox.close();
    assert!(Offline::open(dir.path()).unwrap().check().unwrap().is_sound());
}
