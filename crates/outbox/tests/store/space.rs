//! Space: what a drain leaves behind is given back, and nothing else changes by that.
//!
//! Owns:  tests of the rewrite of the store, also cut short at each of its steps.
//! Never: measures time.

use std::fs;
use std::path::Path;

use outbox::{Error, EventPage, Filter, Outbox, Page, SentPage, Submit};

use crate::support::{self, Hand};

/// A clock that stands still: what readers see does not change by itself.
fn config(path: &Path) -> outbox::Config {
    support::config(path, &Hand::new())
}

/// Makes the next open check all records.
fn ask_for_check(path: &Path) {
    fs::write(path.join("check"), "check\n").unwrap();
}

/// What readers see of everything.
fn seen(outbox: &Outbox) -> (Page, SentPage, EventPage, outbox::Counters) {
    (
        outbox.list(&Filter::default(), 0, 1000).unwrap(),
        outbox.sent(0, 1000).unwrap(),
        outbox.events(0, 1000).unwrap(),
        outbox.counters(),
    )
}

fn message(msg_id: &str, conversation: &str, bytes: usize) -> Submit {
    Submit {
        msg_id: msg_id.into(),
        account: "default".into(),
        conversation: conversation.into(),
        message: vec![b'.'; bytes],
        ..Submit::default()
    }
}

/// A spool that held many messages, of which some are left.
fn drained(path: &Path) -> Outbox {
    let outbox = Outbox::open(config(path)).unwrap();
    for round in 0..10 {
        let many = (0..200).map(|n| message(&format!("m{round}-{n}"), &format!("c{}", n % 7), 8_000));
        assert!(outbox.submit_many(many).iter().all(Result::is_ok));
        for n in 0..200 {
            outbox.cancel(format!("m{round}-{n}"), None).wait().unwrap();
        }
    }
    for n in 0..30 {
        // Some with a payload file, which no rewrite touches.
        outbox.submit(message(&format!("left-{n}"), "kept", 600 * n)).wait().unwrap();
    }
    outbox
}

#[test]
fn a_rewrite_gives_back_what_was_drained_and_keeps_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = drained(dir.path());
    let before = seen(&outbox);
    let compacted = outbox.compact().wait().unwrap();
    assert!(compacted.bytes_before > 2 * compacted.bytes_after, "{compacted:?}");
    assert_eq!(seen(&outbox), before);
    assert_eq!(outbox.payload("left-29").unwrap().message.len(), 29 * 600);
    // It goes on, and what comes after is durable as ever.
    outbox.submit(message("after", "kept", 10)).wait().unwrap();
    let before = seen(&outbox);
    outbox.close();
    drop(outbox);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().clean && !outbox.report().rebuilt);
    assert_eq!(seen(&outbox), before);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("store.")), "{names:?}");
}

#[test]
fn what_happens_during_a_rewrite_is_in_the_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = drained(dir.path());
    let rewrite = outbox.compact();
    // These go into the store that is being copied, before, at and behind the place that the copy has reached.
    let late: Vec<_> =
        (0..300).map(|n| outbox.submit(message(&format!("late-{n}"), "late", 3_000))).collect();
    let gone: Vec<_> = (0..30).map(|n| outbox.cancel(format!("left-{n}"), None)).collect();
    rewrite.wait().unwrap();
    for ticket in late {
        ticket.wait().unwrap();
    }
    for ticket in gone {
        ticket.wait().unwrap();
    }
    let before = seen(&outbox);
    assert_eq!(before.3.waiting, 300);
    outbox.close();
    drop(outbox);
    ask_for_check(dir.path());
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().checked && !outbox.report().rebuilt);
    assert_eq!(seen(&outbox), before);
}

#[test]
fn a_rewrite_that_was_cut_short_at_any_step_leaves_one_whole_store() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = drained(dir.path());
    let before = seen(&outbox);
    outbox.close();
    drop(outbox);
    let path = |name: &str| dir.path().join(name);
    let opens = |what: &str| {
        let outbox = Outbox::open(config(dir.path())).unwrap();
        let seen = seen(&outbox);
        assert_eq!((&seen.0, &seen.1, &seen.2), (&before.0, &before.1, &before.2), "{what}");
        drop(outbox);
        assert!(
            path("store").exists() && !path("store.new").exists() && !path("store.old").exists(),
            "{what}"
        );
    };
    let copy = |from: &str, to: &str| {
        fs::create_dir(path(to)).unwrap();
        for file in fs::read_dir(path(from)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                fs::copy(file.path(), path(to).join(file.file_name())).unwrap();
            }
        }
    };
    fs::create_dir(path("store.new")).unwrap();
    fs::write(path("store.new/db"), "half").unwrap();
    opens("amid the copy");
    copy("store", "store.new");
    fs::write(path("store.new/whole"), "whole\n").unwrap();
    opens("before the first renaming: the old one counts, for it may have gone on");
    copy("store", "store.new");
    fs::write(path("store.new/whole"), "whole\n").unwrap();
    fs::rename(path("store"), path("store.old")).unwrap();
    opens("between the renamings");
    copy("store", "store.old");
    opens("after both");
}

#[test]
fn a_rewrite_that_may_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = drained(dir.path());
    outbox.reconfigure(outbox::Config { min_free_bytes: u64::MAX / 2, ..config(dir.path()) }).wait().unwrap();
    assert!(matches!(outbox.compact().wait(), Err(Error::DiskLow { .. })));
    assert!(!dir.path().join("store.new").exists());
}
