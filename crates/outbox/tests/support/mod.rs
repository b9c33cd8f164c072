//! What the store's tests share: a clock driven by hand, copies of a spool, and reports.
//!
//! Owns:  helpers that are used by more than one test file.
//! Never: sleeps, reads the real time.

// Each test file uses its own part of this one.
#![allow(dead_code)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox::{
    BootId, Class, Clock, Config, EntryView, Message, Outbox, Outcome, Reading, Receipt, Replacement, Report,
    Submit, WallTime,
};

/// A clock that stands until it is moved.
pub(crate) struct Hand(Mutex<Reading>);

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Reading {
            wall: WallTime(1_800_000_000_000),
            since_boot_ms: 60_000,
            boot: BootId([1; 16]),
        })))
    }

    /// Real time passes.
    pub(crate) fn pass_ms(&self, ms: u64) {
        let mut reading = self.0.lock().unwrap();
        reading.since_boot_ms += ms;
        reading.wall.0 += i64::try_from(ms).unwrap();
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.pass_ms(u64::try_from(duration.as_millis()).unwrap());
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump_ms(&self, ms: i64) {
        self.0.lock().unwrap().wall.0 += ms;
    }

    /// The machine is off for a while.
    pub(crate) fn reboot(&self, off_ms: u64) {
        let mut reading = self.0.lock().unwrap();
        reading.boot.0[0] += 1;
        reading.since_boot_ms = 1_000;
        reading.wall.0 += i64::try_from(off_ms).unwrap();
    }
}

impl Clock for Hand {
    fn read(&self) -> Reading {
        *self.0.lock().unwrap()
    }
}

/// A configuration whose time stands until `hand` moves it.
pub(crate) fn config(path: &Path, hand: &Arc<Hand>) -> Config {
    let mut config = Config::new(path);
    let clock: Arc<dyn Clock> = hand.clone();
    config.clock = clock;
    config.min_free_bytes = 0;
    config.reserve_bytes = 1 << 20;
    config
}

/// What `kill -9` leaves of a spool: everything that was acknowledged, and no mark of an orderly end.
pub(crate) fn copy_as_killed(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        if name == "clean" {
            continue;
        }
        if file.file_type().unwrap().is_dir() {
            copy_as_killed(&file.path(), &to.join(name));
        } else if let Err(error) = std::fs::copy(file.path(), to.join(name)) {
            // The writer may be replacing its seal at this very moment: a kill meets that as well.
            assert!(
                error.kind() == std::io::ErrorKind::NotFound,
                "copying {}: {error}",
                file.path().display()
            );
        }
    }
}

/// Number of payload files in a spool.
pub(crate) fn payload_files(spool: &Path) -> usize {
    std::fs::read_dir(spool.join("payloads")).unwrap().count()
}

pub(crate) fn message(msg_id: &str, conversation: &str) -> Submit {
    Submit {
        msg_id: msg_id.into(),
        account: "default".into(),
        conversation: conversation.into(),
        message: format!("{{\"textElem\":{{\"text\":\"{msg_id}\"}}}}").into_bytes(),
        ..Submit::default()
    }
}

pub(crate) fn report(outcome: Outcome, class: Class) -> Report {
    Report {
        outcome,
        code: 7,
        desc: "so said the service".into(),
        class,
        retry_after: None,
        replacement: None,
    }
}

/// The class that goes with an outcome in most cases.
pub(crate) fn usual_class(outcome: Outcome) -> Class {
    match outcome {
        Outcome::Sent | Outcome::Duplicate | Outcome::ProvesNothing => Class::Ok,
        Outcome::NotReached | Outcome::MaybeReached => Class::TransientNetwork,
        Outcome::Retry => Class::TransientServer,
        Outcome::Limited => Class::RateLimited,
        Outcome::GateShut => Class::Auth,
        Outcome::Reject => Class::PermanentContent,
    }
}

pub(crate) fn sent(new_msg_id: &str, data: &[u8]) -> Report {
    Report {
        replacement: Some(Replacement { new_msg_id: Some(new_msg_id.into()), data: data.into() }),
        ..report(Outcome::Sent, Class::Ok)
    }
}

pub(crate) fn entry(outbox: &Outbox, id: &str) -> EntryView {
    match outbox.get(id).unwrap() {
        Message::Entry(view) => view,
        Message::Receipt(receipt) => panic!("{id} has ended: {receipt:?}"),
    }
}

pub(crate) fn receipt(outbox: &Outbox, id: &str) -> Receipt {
    match outbox.get(id).unwrap() {
        Message::Receipt(receipt) => receipt,
        Message::Entry(view) => panic!("{id} has not ended: {view:?}"),
    }
}
