//! sled's own failpoints: it is made to fail where its authors thought of it, and what was promised must be there afterwards.
//!
//! Owns:  every place that a store of ours passes, at its first passings and at later ones.
//! Never: is part of `cargo test --workspace`: the places are compiled in by `--features failpoints` alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use outbox::{Config, LeaseRequest, Message, Offline, Outbox, failpoints};

use support::{message, sent};

/// The places in sled 0.34.7 but for those of blobs, which no value of ours is large enough for, and of another kernel interface.
const PLACES: [&str; 15] = [
    "buffer write",
    "buffer write post",
    "file truncation",
    "segment initial free zero",
    "zero garbage segment SA",
    "snap write",
    "snap write len",
    "snap write crc",
    "snap write post",
    "snap write mv",
    "snap write mv post",
    "snap write rm old",
    "write_config bytes",
    "write_config crc",
    "write_config post",
];

/// A failure there shows nowhere: the first three are passed only where sled frees or shortens its file, which short lives do not
/// lead to; of a snapshot that cannot be removed sled says nothing.
const UNNOTICED: [&str; 4] =
    ["file truncation", "segment initial free zero", "zero garbage segment SA", "snap write rm old"];

fn config(path: &Path) -> Config {
    Config { min_free_bytes: 0, reserve_bytes: 0, ..Config::new(path) }
}

/// What was answered with yes.
#[derive(Default)]
struct Promised {
    accepted: BTreeSet<String>,
    sent: BTreeSet<String>,
    opened: bool,
    failed: bool,
}

/// A short life; ends where the store takes no more.
fn live(path: &Path, first: usize, promised: &mut Promised) {
    let Ok(outbox) = Outbox::open(config(path)) else { return };
    promised.opened = true;
    for number in first..first + 12 {
        let id = format!("m-{number}");
        let was_well = outbox.failure().is_none();
        if outbox.submit(message(&id, &id)).wait().is_ok() {
            assert!(was_well, "{id} was accepted behind a failure");
            promised.accepted.insert(id);
        }
        if number % 3 == 0 {
            let leases = outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait();
            for lease in leases.unwrap_or_default() {
                if outbox.settle(lease.id, sent("new", b"{}")).wait().is_ok() {
                    promised.sent.insert(lease.msg_id);
                }
            }
        }
    }
    outbox.close();
    promised.failed = outbox.failure().is_some();
}

#[test]
fn wherever_sled_fails_nothing_that_was_promised_is_lost() {
    let (mut runs, mut noticed) = (0, BTreeSet::new());
    for place in PLACES {
        for (passing, is_grown) in [0, 1, 4, 15].into_iter().flat_map(|at| [(at, false), (at, true)]) {
            let dir = tempfile::tempdir().unwrap();
            let spool = dir.path().join("spool");
            let mut promised = Promised::default();
            // A later start reads and writes more than the first.
            if is_grown {
                live(&spool, 0, &mut promised);
            }
            promised.opened = false;
            failpoints::set(place, 1 << passing);
            live(&spool, 100, &mut promised);
            failpoints::reset();
            if promised.failed || !promised.opened {
                noticed.insert(place);
            }
            runs += 1;
            let what = format!(
                "{place}, passing {passing}, {}",
                if is_grown { "a later life" } else { "the first" }
            );
            let outbox = Outbox::open(config(&spool)).unwrap_or_else(|error| panic!("{what}: {error}"));
            for id in &promised.accepted {
                let found = outbox.get(id).unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
                let is_sent = matches!(found, Message::Receipt(_));
                assert!(is_sent || !promised.sent.contains(id), "{what}: {id} was sent and is back");
            }
            outbox.close();
            drop(outbox);
            let check = Offline::open(&spool).unwrap().check().unwrap();
            assert!(check.is_sound(), "{what}: {check:?}");
        }
    }
    println!("{runs} runs; noticed at {noticed:?}");
    let unnoticed: BTreeSet<_> = PLACES.into_iter().filter(|place| !noticed.contains(place)).collect();
    assert!(unnoticed.iter().all(|place| UNNOTICED.contains(place)), "not one run met {unnoticed:?}");
}
