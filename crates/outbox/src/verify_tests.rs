//! Damage from outside: rows removed, changed and flipped, and what an open makes of it.
//!
//! Owns:  tests of `verify` and `quarantine`, through sled's rows and the public verbs.
//! Never: sleeps.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::clock::{BootId, Clock, Reading, WallTime};
use crate::disk::Writes;
use crate::list::Filter;
use crate::outcome::{Class, Outcome, Replacement, Report};
use crate::verbs::{GateChange, LeaseRequest, LeaseTo, Overrides, Submit};
use crate::view::{EntryView, Message};
use crate::{Config, OpenReport, Outbox};

struct Hand(Mutex<Reading>);

impl Clock for Hand {
    fn read(&self) -> Reading {
        *self.0.lock().unwrap()
    }
}

fn config(path: &Path) -> Config {
    let reading = Reading { wall: WallTime(1_800_000_000_000), since_boot_ms: 5_000, boot: BootId([1; 16]) };
    Config { clock: Arc::new(Hand(Mutex::new(reading))), min_free_bytes: 0, ..Config::new(path) }
}

fn submit(outbox: &Outbox, msg_id: &str, conversation: &str, bytes: usize) {
    let submit = Submit {
        msg_id: msg_id.into(),
        account: format!("account of {conversation}"),
        conversation: conversation.into(),
        message: vec![b'.'; bytes],
        ..Submit::default()
    };
    outbox.submit(submit).wait().unwrap();
}

fn lease(outbox: &Outbox, max: usize) -> Vec<crate::verbs::Lease> {
    let to = LeaseTo::App { duration: Duration::from_secs(60) };
    outbox.lease(LeaseRequest { max, to, ..LeaseRequest::default() }).wait().unwrap()
}

fn settle(outbox: &Outbox, lease: &crate::verbs::Lease, outcome: Outcome) {
    let replacement = (outcome == Outcome::Sent)
        .then(|| Replacement { new_msg_id: Some("new".into()), data: vec![b'd'; 20_000] });
    let class = Class::Unknown;
    let report = Report { outcome, code: 1, desc: "why".into(), class, retry_after: None, replacement };
    outbox.settle(lease.id.clone(), report).wait().unwrap();
}

/// A closed spool with something of everything.
fn full_spool(path: &Path) {
    let outbox = Outbox::open(config(path)).unwrap();
    for (msg_id, outcome) in
        [("sent", Outcome::Sent), ("failed", Outcome::Reject), ("retried", Outcome::Retry)]
    {
        submit(&outbox, msg_id, msg_id, 20_000);
        settle(&outbox, &lease(&outbox, 1)[0], outcome);
    }
    submit(&outbox, "under way", "busy", 100);
    lease(&outbox, 1);
    submit(&outbox, "behind it", "busy", 100);
    submit(&outbox, "due", "idle", 100);
    submit(&outbox, "behind that", "idle", 17_000);
    submit(&outbox, "kept", "quiet", 100);
    outbox.hold("kept".into(), None).wait().unwrap();
    submit(&outbox, "gone", "quiet", 100);
    outbox.cancel("gone".into(), None).wait().unwrap();
    outbox.set_account("shut".into(), GateChange::Pause { reason: None }).wait().unwrap();
}

#[derive(Debug, PartialEq)]
struct Seen {
    counters: Counters,
    entries: Vec<EntryView>,
    payloads: usize,
    receipts: Vec<Message>,
    accounts: Vec<Account>,
    wake: Option<Timestamp>,
}

/// Everything that a reader can see.
fn look(outbox: &Outbox) -> Seen {
    let entries = outbox.list(&Filter::default(), 0, 100).unwrap().entries;
    let mut accounts = outbox.accounts(100).unwrap();
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    Seen {
        counters: outbox.counters(),
        payloads: entries
            .iter()
            .map(|view| outbox.payload(&view.entry.identity.msg_id).unwrap().message.len())
            .sum(),
        entries,
        receipts: ["sent", "gone"].map(|id| outbox.get(id).unwrap()).into(),
        accounts,
        wake: outbox.next_wake().unwrap(),
    }
}

/// Changes rows of a closed spool, and makes it look like one whose machine may have stopped.
fn damage(path: &Path, change: impl FnOnce(&Disk) -> Writes) {
    let disk = Disk::open(&path.join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    let writes = change(&disk);
    assert!(!writes.is_empty(), "there was nothing to damage");
    disk.commit(&writes).unwrap();
    drop(disk);
    std::fs::remove_file(path.join("clean")).unwrap();
    std::fs::write(path.join("check"), "check\n").unwrap();
}

/// Makes a spool look like one that was closed in order: nothing is checked at the next open.
fn look_orderly(path: &Path) {
    std::fs::write(path.join("clean"), "clean\n").unwrap();
    std::fs::remove_file(path.join("check")).unwrap();
}

fn rows(disk: &Disk, prefix: &[u8]) -> Vec<(Vec<u8>, Bytes)> {
    let (mut walk, mut rows) = (disk.walk(prefix).unwrap(), Vec::new());
    while let Some(row) = walk.step().unwrap() {
        rows.push(row);
    }
    rows
}

fn removed(disk: &Disk, prefix: u8) -> Writes {
    without(rows(disk, &[prefix]))
}

fn without(rows: Vec<(Vec<u8>, Bytes)>) -> Writes {
    rows.into_iter().map(|(key, _)| (key, None)).collect()
}

type RowsOfKind<'a> = &'a dyn Fn(&Disk) -> Vec<(Vec<u8>, Bytes)>;

/// The lanes' own rows.
fn lanes(disk: &Disk) -> Vec<(Vec<u8>, Bytes)> {
    let mut lanes = rows(disk, b"l");
    lanes.retain(|(key, _)| matches!(keys::lane_row(key), Some(keys::LaneRow::Lane(_))));
    lanes
}

/// The rows of their entries.
fn entries_of_lanes(disk: &Disk) -> Vec<(Vec<u8>, Bytes)> {
    let mut entries = rows(disk, b"l");
    entries.retain(|(key, _)| matches!(keys::lane_row(key), Some(keys::LaneRow::Entry(..))));
    entries
}

fn assert_mended(change: impl FnOnce(&Disk) -> Writes) {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().clean && !outbox.report().rebuilt);
    let before = look(&outbox);
    assert_eq!((before.entries.len(), before.receipts.len(), before.counters.sending), (7, 2, 1));
    drop(outbox);
    damage(dir.path(), change);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(!outbox.report().clean && outbox.report().rebuilt, "the damage was noticed");
    assert_eq!((outbox.report().orphans, outbox.report().quarantined), (0, 0));
    assert_eq!(look(&outbox), before);
    drop(outbox);
    std::fs::write(dir.path().join("check"), "check\n").unwrap();
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().checked && !outbox.report().rebuilt, "it stays mended");
    assert_eq!(look(&outbox), before);
}

#[test]
fn lost_rows_of_any_derived_kind_are_made_anew() {
    let kind = |prefix: u8| move |disk: &Disk| rows(disk, &[prefix]);
    let kinds: [RowsOfKind<'_>; 7] =
        [&kind(b's'), &kind(b'l'), &lanes, &entries_of_lanes, &kind(b'w'), &kind(b'd'), &kind(b'x')];
    for rows in kinds {
        assert_mended(|disk| without(rows(disk)));
        // One of them, too, and one too many.
        assert_mended(|disk| without(rows(disk)).into_iter().take(1).collect());
        assert_mended(|disk| {
            let (mut key, value) = rows(disk).remove(0);
            let last = key.last_mut().unwrap();
            *last ^= 0x80;
            Writes::from([(key, Some(value))])
        });
    }
}

#[test]
fn lost_names_of_files_are_made_anew_before_orphans_are_swept() {
    assert_mended(|disk| removed(disk, b'b'));
}

#[test]
fn a_lost_name_of_a_replacement_alone_is_made_anew() {
    assert_mended(|disk| {
        let messages = rows(disk, &keys::messages());
        let name_of = |(key, bytes): &(Vec<u8>, Bytes)| match decode_message(key, bytes) {
            Ok(Record::Receipt(Receipt { data: Kept::File(name), .. })) => Some(name),
            _ => None,
        };
        Writes::from([(keys::file(messages.iter().find_map(name_of).unwrap()), None)])
    });
}

#[test]
fn each_message_of_an_old_leaf_may_have_been_attempted_since() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let engine =
        crate::engine::Engine::open(&dir.path().join("store"), crate::engine::Sizes::WITHOUT_RESERVE)
            .unwrap();
    let mut phases = Vec::new();
    engine
        .read_through(std::ops::Bound::Unbounded, |own_key, bytes| {
            let doubted = doubt(&own_key, bytes.to_vec());
            let Ok(leaf) = Leaf::read(&own_key, &doubted) else { return true };
            for (key, record) in leaf.rows_from(0) {
                if let Ok(Record::Entry(entry)) = decode_message(key, record) {
                    assert!(entry.delivery.unresolved.is_some(), "{entry:?}");
                    phases.push(entry.delivery.has_ended());
                }
            }
            true
        })
        .unwrap();
    // One that has failed may have been resent.
    assert_eq!((phases.len(), phases.iter().filter(|has_ended| **has_ended).count()), (7, 1));
}

#[test]
fn a_payload_in_a_file_whose_row_is_lost_is_found_by_its_entry() {
    for of in [b'p', b'f'] {
        assert_mended(|disk| {
            let is_of_file = |(key, bytes): &(Vec<u8>, Bytes)| {
                decode::<StoredPayload>(key, bytes).unwrap().message.is_empty()
            };
            let of_files = rows(disk, &[of]).into_iter().filter(is_of_file);
            of_files.map(|(key, _)| (key, None)).collect()
        });
    }
}

#[test]
fn a_payloads_row_that_stands_where_an_older_state_had_it_is_put_back() {
    assert_mended(|disk| {
        let moved = rows(disk, b"p").into_iter().flat_map(|(key, bytes)| {
            let payload = decode::<StoredPayload>(&key, &bytes).unwrap();
            let other = keys::payload(Ended::Yes, keys::tail_number(&key));
            let record = encode(&other, &payload).unwrap();
            [(key, None), (other, Some(record.into()))]
        });
        moved.collect()
    });
}

#[test]
fn an_older_state_of_a_payloads_row_goes_and_nothing_is_there_twice() {
    for (from, to) in [(b'f', b'p'), (b'p', b'f')] {
        assert_mended(|disk| {
            let (mut key, value) = rows(disk, &[from]).remove(0);
            key[0] = to;
            Writes::from([(key, Some(value))])
        });
    }
}

#[test]
fn a_file_whose_message_is_lost_is_kept_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(dir.path())).unwrap();
    submit(&outbox, "large", "a", 20_000);
    submit(&outbox, "small", "b", 20);
    drop(outbox);
    let file = std::fs::read_dir(dir.path().join("payloads")).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    std::fs::write(dir.path().join("payloads/cut.part"), b"half of one").unwrap();
    damage(dir.path(), |disk| {
        let mut messages = rows(disk, b"m");
        messages.retain(|(key, _)| key.ends_with(b"large"));
        let names = rows(disk, b"b");
        assert_eq!((messages.len(), names.len()), (1, 1));
        without([messages, names].concat())
    });
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert_eq!((outbox.report().missing, outbox.report().orphans), (1, 2));
    assert!(!file.path().exists());
    let kept = dir.path().join("quarantine/payloads");
    assert_eq!(std::fs::read(kept.join(file.file_name())).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1, "half of one is nobody's message");
}

#[test]
fn wrong_counts_are_counted_anew() {
    type Change = fn(&mut Counters);
    let changes: [Change; 5] = [
        |counters| counters.waiting += 1,
        |counters| counters.ready -= 1,
        |counters| counters.payload_bytes -= 7,
        |counters| counters.receipts = 0,
        |counters| counters.next_seq = 1,
    ];
    for change in changes {
        assert_mended(|disk| {
            let mut counters: Counters = load(disk, keys::COUNTERS).unwrap().unwrap();
            change(&mut counters);
            let bytes = crate::record::encode(keys::COUNTERS, &counters).unwrap();
            Writes::from([(keys::COUNTERS.to_vec(), Some(bytes.into()))])
        });
    }
}

#[test]
fn a_lane_that_tells_another_head_or_nobody_under_way_is_made_anew() {
    let change = |change: fn(&mut Lane)| {
        move |disk: &Disk| {
            let mut writes = Writes::new();
            for (key, bytes) in lanes(disk) {
                let mut lane: Lane = decode(&key, &bytes).unwrap();
                if lane.conversation == "busy" {
                    change(&mut lane);
                    let bytes = crate::record::encode(&key, &lane).unwrap();
                    writes.insert(key, Some(bytes.into()));
                }
            }
            writes
        }
    };
    assert_mended(change(|lane| lane.sending = None));
    assert_mended(change(|lane| lane.head += 1));
}

#[test]
fn a_due_lane_that_no_index_knows_is_made_anew_even_if_the_counts_agree() {
    assert_mended(|disk| {
        let mut counters: Counters = load(disk, keys::COUNTERS).unwrap().unwrap();
        let mut writes = removed(disk, b'w');
        counters.ready -= writes.len() as u64;
        for (key, bytes) in lanes(disk) {
            let mut lane: Lane = decode(&key, &bytes).unwrap();
            if let Slot::Ready(_) = lane.slot {
                lane.slot = Slot::None;
                let bytes = crate::record::encode(&key, &lane).unwrap();
                writes.insert(key, Some(bytes.into()));
            }
        }
        let bytes = crate::record::encode(keys::COUNTERS, &counters).unwrap();
        writes.insert(keys::COUNTERS.to_vec(), Some(bytes.into()));
        writes
    });
}

#[test]
fn lost_counters_are_made_from_the_seal_and_the_records() {
    for flipped in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        let outbox = Outbox::open(config(dir.path())).unwrap();
        let before = look(&outbox);
        drop(outbox);
        damage(dir.path(), |disk| {
            let mut bytes = disk.get(keys::COUNTERS).unwrap().unwrap().to_vec();
            bytes[20] ^= 1;
            Writes::from([(keys::COUNTERS.to_vec(), flipped.then(|| bytes.into()))])
        });
        // Even where the last end looks orderly.
        look_orderly(dir.path());
        let outbox = Outbox::open(config(dir.path())).unwrap();
        assert!(outbox.report().rebuilt);
        let after = look(&outbox);
        assert_eq!(after.entries, before.entries);
        let same = |counters: &Counters| {
            (
                counters.next_seq,
                counters.next_event,
                counters.entries(),
                counters.receipts,
                counters.sent_total,
            )
        };
        assert_eq!(same(&after.counters), same(&before.counters));
    }
}

fn flip(disk: &Disk, key: Vec<u8>) -> Writes {
    let mut bytes = disk.get(&key).unwrap().unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Writes::from([(key, Some(bytes.into()))])
}

#[test]
fn one_unreadable_record_is_set_aside_and_the_rest_goes_on() {
    for msg_id in ["due", "under way", "kept", "failed", "sent", "behind it"] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        damage(dir.path(), |disk| flip(disk, keys::message(msg_id)));
        let outbox = Outbox::open(config(dir.path())).unwrap();
        assert!(outbox.report().rebuilt);
        assert_eq!(outbox.report().quarantined, 1, "{msg_id}");
        assert!(matches!(outbox.get(msg_id), Err(Error::NotFound { .. })));
        let counters = outbox.counters();
        assert_eq!(counters.entries() + counters.receipts, 8);
        let entries = outbox.list(&Filter::default(), 0, 100).unwrap().entries;
        assert_eq!(entries.len() as u64, counters.entries());
        let next = if msg_id == "due" { "behind that" } else { "due" };
        let leased = lease(&outbox, 10);
        assert!(leased.iter().any(|lease| lease.msg_id == next), "{next} after {msg_id}");
        drop(outbox);
        std::fs::write(dir.path().join("check"), "check\n").unwrap();
        let outbox = Outbox::open(config(dir.path())).unwrap();
        assert!(outbox.report().checked);
        assert_eq!((outbox.report().rebuilt, outbox.report().quarantined), (false, 1), "once and for all");
    }
}

#[test]
fn a_record_of_another_version_is_set_aside_as_it_is_and_the_rest_goes_on() {
    for msg_id in ["due", "sent"] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        let before = Outbox::open(config(dir.path())).unwrap().counters();
        let mut foreign = Vec::new();
        damage(dir.path(), |disk| {
            let key = keys::message(msg_id);
            foreign = disk.get(&key).unwrap().unwrap().to_vec();
            foreign[1] = 2;
            let mut sum = crc32fast::Hasher::new();
            [&key[..], &foreign[..8], &foreign[12..]].iter().for_each(|part| sum.update(part));
            foreign[8..12].copy_from_slice(&sum.finalize().to_le_bytes());
            Writes::from([(key, Some(foreign.as_slice().into()))])
        });
        let check = crate::Offline::open(dir.path()).unwrap().check().unwrap();
        assert!(check.bad_records == 1 && check.bad_keys[0].contains(msg_id), "{check:?}");
        let outbox = Outbox::open(config(dir.path())).unwrap();
        let (report, counters) = (outbox.report(), outbox.counters());
        assert_eq!((report.quarantined, report.missing, report.is_made_anew), (1, 1, false));
        assert_eq!(counters.messages() + 1, before.messages());
        let kept = std::fs::read_dir(dir.path().join("quarantine")).unwrap().flatten();
        let is_kept =
            |file: std::fs::DirEntry| std::fs::read(file.path()).is_ok_and(|kept| kept.ends_with(&foreign));
        assert!(kept.into_iter().any(is_kept), "{msg_id}");
        let events = outbox.events(0, 100).unwrap().events;
        let told = events.iter().any(|event| {
            event.msg_id.as_deref() == Some(msg_id)
                && event.reason.as_deref().is_some_and(|reason| reason.contains("version 2"))
        });
        assert!(told, "{events:?}");
    }
}

#[test]
fn a_record_that_turns_bad_in_between_is_set_aside_when_its_turn_comes() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    damage(dir.path(), |disk| flip(disk, keys::message("due")));
    // The last end looks orderly, so nothing is checked at the open.
    look_orderly(dir.path());
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert_eq!((outbox.report().rebuilt, outbox.report().quarantined), (false, 0));
    assert!(matches!(outbox.get("due"), Err(Error::BadRecord { .. })));
    assert!(outbox.flush(None, None).is_ok());
    let leased = lease(&outbox, 10);
    assert!(leased.iter().any(|lease| lease.msg_id == "behind that"));
    let counters = outbox.counters();
    let entries = outbox.list(&Filter::default(), 0, 100).unwrap().entries;
    assert_eq!((counters.quarantined, counters.entries()), (1, 6));
    assert_eq!(entries.len(), 6);
    let bytes: u64 = entries.iter().map(|view| view.entry.identity.payload_bytes).sum();
    assert_eq!(counters.payload_bytes, bytes);
}

#[test]
fn an_unreadable_account_is_set_aside_and_its_messages_stay() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    damage(dir.path(), |disk| {
        let mut writes = flip(disk, keys::account("account of idle"));
        writes.extend(without(lanes(disk)));
        writes
    });
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert_eq!((outbox.report().rebuilt, outbox.report().quarantined), (true, 1));
    assert_eq!(outbox.account("account of idle").unwrap().unwrap().entries, 2);
    assert!(lease(&outbox, 10).iter().any(|lease| lease.msg_id == "due"));
}

#[test]
fn a_rebuild_keeps_a_lane_whose_later_message_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(dir.path())).unwrap();
    submit(&outbox, "a", "lane", 10);
    submit(&outbox, "b", "lane", 10);
    settle(&outbox, &lease(&outbox, 1)[0], Outcome::Reject);
    assert_eq!(lease(&outbox, 1)[0].msg_id, "b");
    outbox.resend("a".into(), Overrides::default()).wait().unwrap();
    drop(outbox);
    damage(dir.path(), |disk| without(lanes(disk)));
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().rebuilt);
    assert!(lease(&outbox, 10).is_empty(), "two of one lane would be under way");
}

#[test]
fn a_loss_inside_the_store_is_named_by_its_range() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    damage(dir.path(), |disk| {
        let mut counters: Counters = load(disk, keys::COUNTERS).unwrap().unwrap();
        let last = rows(disk, b"m").into_iter().find_map(|(key, bytes)| match decode_message(&key, &bytes) {
            Ok(Record::Receipt(receipt)) if receipt.identity.seq + 1 == counters.next_seq => Some(key),
            _ => None,
        });
        counters.next_seq -= 1;
        let bytes = crate::record::encode(keys::COUNTERS, &counters).unwrap();
        Writes::from([(last.unwrap(), None), (keys::COUNTERS.to_vec(), Some(bytes.into()))])
    });
    let outbox = Outbox::open(config(dir.path())).unwrap();
    let last = outbox.counters().next_seq - 1;
    let lost = outbox.report().lost.unwrap();
    assert_eq!((lost.from_seq, lost.next_seq, lost.next_event - lost.from_event), (last, last + 1, 0));
    assert_eq!(lost.to_string(), format!("messages {last} to {last} in the order of acceptance"));
}

#[test]
fn a_store_that_has_lost_everything_says_so() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let Counters { next_seq: next, next_event, .. } = Outbox::open(config(dir.path())).unwrap().counters();
    let all = Some(Lost { from_seq: 1, next_seq: next, from_event: 1, next_event });
    {
        let disk = Disk::open(&dir.path().join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
        let gone = disk
            .raw_rows(b"")
            .into_iter()
            .map(|(key, _)| (key.clone(), crate::engine::Write::of(&key, None)))
            .collect();
        disk.engine.commit(gone).unwrap();
    }
    assert_eq!(crate::Offline::open(dir.path()).unwrap().check().unwrap().lost, all);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert_eq!(outbox.report().lost, all);
    assert_eq!(outbox.counters().next_seq, next, "no order of acceptance is given twice");
}

#[test]
fn a_spool_in_which_nothing_ever_happened_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    drop(Outbox::open(config(dir.path())).unwrap());
    let check = crate::Offline::open(dir.path()).unwrap().check().unwrap();
    assert!(check.is_sound(), "{check:?}");
}

#[test]
fn lanes_that_turn_bad_in_between_are_made_anew_when_their_turn_comes() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let count = std::cell::Cell::new(0);
    damage(dir.path(), |disk| {
        let keys: Vec<Vec<u8>> = lanes(disk).into_iter().map(|(key, _)| key).collect();
        count.set(keys.len());
        keys.into_iter().flat_map(|key| flip(disk, key)).collect()
    });
    look_orderly(dir.path());
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(count.get() > 1, "there was something to damage");
    // A stray row in the due index costs a look each; then the heads go out.
    let mut leased = Vec::new();
    for _ in 0..count.get() + 1 {
        leased.extend(lease(&outbox, 10).into_iter().map(|lease| lease.msg_id));
    }
    assert!(leased.contains(&"due".to_owned()), "{leased:?}");
    outbox.tick().wait().unwrap();
    submit(&outbox, "one more", "c", 10);
    drop(outbox);
    std::fs::remove_file(dir.path().join("clean")).unwrap();
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(matches!(outbox.get("one more"), Ok(Message::Entry(_))));
}

#[test]
fn everything_is_checked_after_a_stop_of_the_machine_and_not_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let killed = |boot: u8| {
        std::fs::remove_file(dir.path().join("clean")).unwrap();
        let reading =
            Reading { wall: WallTime(1_800_000_000_000), since_boot_ms: 6_000, boot: BootId([boot; 16]) };
        let clock = Arc::new(Hand(Mutex::new(reading)));
        Outbox::open(Config { clock, ..config(dir.path()) }).unwrap().report().clone()
    };
    let report = killed(1);
    assert!(!report.clean && !report.checked && !report.rebuilt);
    let report = killed(2);
    assert!(!report.clean && report.checked && !report.rebuilt);
    assert!(!killed(2).checked, "once for each boot");
}

#[test]
fn counters_behind_the_newest_message_or_event_are_noticed_after_a_kill_too() {
    for change in
        [(|counters| counters.next_seq = 3) as fn(&mut Counters), |counters| counters.next_event = 2]
    {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        damage(dir.path(), |disk| {
            let mut counters: Counters = load(disk, keys::COUNTERS).unwrap().unwrap();
            change(&mut counters);
            let bytes = crate::record::encode(keys::COUNTERS, &counters).unwrap();
            Writes::from([(keys::COUNTERS.to_vec(), Some(bytes.into()))])
        });
        std::fs::remove_file(dir.path().join("check")).unwrap();
        let report = Outbox::open(config(dir.path())).unwrap().report().clone();
        assert!(!report.checked && report.rebuilt);
    }
}

/// Flips a bit in every leaf of a kind of a closed spool; answers how many there are.
fn flip_leaves(path: &Path, kind: u8) -> u64 {
    let disk = Disk::open(&path.join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    let leaves = disk.raw_rows(&[kind]);
    let mut writes = Vec::new();
    for (own_key, bytes) in &leaves {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        writes.push((own_key.clone(), bytes));
    }
    disk.write_raw(writes);
    leaves.len() as u64
}

#[test]
fn damaged_leaves_are_set_aside_and_made_anew_without_a_restart() {
    for kind in [b's', b'l', b'w', b'x', b'd'] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        let before = look(&Outbox::open(config(dir.path())).unwrap());
        let damaged = flip_leaves(dir.path(), kind);
        assert!(damaged > 0, "there was something to damage");
        let outbox = Outbox::open(config(dir.path())).unwrap();
        assert!(outbox.report().clean);
        // Each of these meets the damage of one kind or another; the second of them finds all mended.
        for _ in 0..2 {
            outbox.matching(&Filter { states: vec![crate::State::Held], ..Filter::default() }, 0).unwrap();
            outbox.tick().wait().unwrap();
            submit(&outbox, "behind that as well", "idle", 10);
            outbox.cancel("behind that as well".into(), None).wait().unwrap();
            outbox.hold("due".into(), None).wait().unwrap();
            outbox.release("due".into()).wait().unwrap();
        }
        let counters = outbox.counters();
        assert_eq!(counters.quarantined, damaged, "{}", char::from(kind));
        assert_eq!(counters.entries(), before.counters.entries());
        let entries = outbox.list(&Filter::default(), 0, 100).unwrap().entries;
        assert_eq!(entries.len(), before.entries.len());
        assert!(lease(&outbox, 10).iter().any(|lease| lease.msg_id == "due"), "{}", char::from(kind));
        drop(outbox);
        let disk = Disk::open(&dir.path().join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
        let kept = std::fs::read_dir(dir.path().join("quarantine")).unwrap();
        assert_eq!(kept.count() as u64, damaged, "what could not be read is kept");
        assert_eq!(disk.raw_rows(b"z"), [], "in files alone");
        let counters: Counters = load(&disk, keys::COUNTERS).unwrap().unwrap();
        assert!(agrees(&disk, &counters).unwrap(), "{}", char::from(kind));
    }
}

#[test]
fn a_damaged_leaf_of_records_loses_these_alone_and_says_whose_they_were() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let before = look(&Outbox::open(config(dir.path())).unwrap());
    let disk = Disk::open(&dir.path().join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    let leaves = disk.raw_rows(b"m");
    assert!(leaves.len() > 1, "{}", leaves.len());
    let (own_key, bytes) = &leaves[1];
    let lost: Vec<String> = crate::leaf::Leaf::read(own_key, bytes)
        .unwrap()
        .rows_from(0)
        .map(|(key, _)| String::from_utf8(key[1..].to_vec()).unwrap())
        .collect();
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    disk.write_raw(vec![(own_key.clone(), bytes)]);
    drop(disk);
    let check = crate::Offline::open(dir.path()).unwrap().check().unwrap();
    assert_eq!(check.bad_records, 1, "fsck counts the leaf");
    let outbox = Outbox::open(config(dir.path())).unwrap();
    outbox.tick().wait().unwrap();
    // The first of these meets the damage, if nothing before did.
    for msg_id in &lost {
        assert!(matches!(outbox.get(msg_id), Err(Error::NotFound { .. })), "{msg_id}");
    }
    outbox.tick().wait().unwrap();
    let entries = outbox.list(&Filter::default(), 0, 100).unwrap().entries;
    let is_kept = |view: &&EntryView| !lost.contains(&view.entry.identity.msg_id);
    assert_eq!(entries.len(), before.entries.iter().filter(is_kept).count());
    assert_eq!(outbox.counters().entries(), entries.len() as u64);
    let events = outbox.events(0, 100).unwrap().events;
    let named: Vec<_> =
        events.into_iter().filter(|event| event.kind == crate::EventKind::Quarantined).collect();
    for view in before.entries.iter().filter(|view| !is_kept(view)) {
        let msg_id = Some(view.entry.identity.msg_id.clone());
        assert!(named.iter().any(|event| event.msg_id == msg_id), "{msg_id:?} is not named: {named:?}");
    }
    drop(outbox);
    std::fs::write(dir.path().join("check"), "check\n").unwrap();
    assert!(!Outbox::open(config(dir.path())).unwrap().report().rebuilt, "once and for all");
}

/// Whether what is derived agrees with the records of a closed spool.
fn is_right(path: &Path) -> bool {
    let disk = Disk::open(&path.join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    let counters: Counters = load(&disk, keys::COUNTERS).unwrap().unwrap();
    agrees(&disk, &counters).unwrap()
}

/// Flips a bit in the first leaf of a kind of a closed spool.
fn flip_leaf(path: &Path, kind: u8) {
    let disk = Disk::open(&path.join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    disk.write_raw(vec![flipped(disk.raw_rows(&[kind]).swap_remove(0))]);
}

fn flipped((own_key, bytes): (Vec<u8>, Bytes)) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    (own_key, bytes)
}

#[test]
fn a_check_that_meets_a_damaged_leaf_makes_everything_anew_once() {
    for kind in [b'm', b's', b'l', b'w', b'x', b'd', b'e'] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        flip_leaf(dir.path(), kind);
        std::fs::write(dir.path().join("check"), "check\n").unwrap();
        let outbox = Outbox::open(config(dir.path())).unwrap();
        // An event is no derived row: that one cannot be read is met by whoever reads it.
        assert!(outbox.report().checked && (outbox.report().rebuilt || kind == b'e'), "{}", char::from(kind));
        outbox.events(0, 100).unwrap();
        outbox.tick().wait().unwrap();
        outbox.tick().wait().unwrap();
        assert!(outbox.counters().quarantined > 0, "{}", char::from(kind));
        drop(outbox);
        assert!(is_right(dir.path()), "{}", char::from(kind));
    }
}

#[test]
fn what_had_no_room_to_be_made_anew_is_made_anew_once_there_is_room() {
    // Groups of a mending: it is said, a leaf is set aside, all is made anew, and what was set aside moves out of the store.
    for commits in (0..5).chain(9..14) {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        flip_leaf(dir.path(), b'm');
        let outbox = Outbox::open(config(dir.path())).unwrap();
        let ids =
            ["sent", "failed", "retried", "under way", "behind it", "due", "behind that", "kept", "gone"];
        assert!(ids.iter().any(|id| outbox.get(id).is_err()), "somebody meets it");
        outbox.disk().engine.have_room_for(commits);
        // This finds no room itself, or what mends behind it.
        let _ = outbox.tick().wait();
        // An outcome waits for room.
        outbox.resolve("nobody".into(), crate::Resolution::default()).wait().unwrap_err();
        assert_eq!(outbox.failure(), None, "{commits}");
        let listed = outbox.list(&Filter::default(), 0, 100).unwrap().entries.len();
        assert_eq!(outbox.counters().entries(), listed as u64, "{commits}");
        drop(outbox);
        assert!(is_right(dir.path()), "{commits}");
    }
}

#[test]
fn damaged_events_are_missing_from_a_list_and_everything_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let before = Outbox::open(config(dir.path())).unwrap().events(0, 100).unwrap();
    assert!(before.events.len() > 2);
    assert_eq!(flip_leaves(dir.path(), b'e'), 1);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    outbox.cancel("due".into(), None).wait().unwrap();
    let kinds = |events: &[crate::Event]| -> Vec<_> {
        events.iter().map(|event| (event.seq.unwrap(), event.kind.as_str())).collect()
    };
    let is_kept = |event: &crate::Event| matches!(event.kind.as_str(), "sent" | "cancelled");
    let mut expected: Vec<crate::Event> = before.events.into_iter().filter(is_kept).collect();
    let after = outbox.events(0, 100).unwrap().events;
    // Those of receipts follow from the receipts: without them, these would never be given up.
    assert_eq!(after[..expected.len()], expected);
    let next = before.next + 1;
    let mut expected = kinds(&std::mem::take(&mut expected));
    expected.extend([(next, "quarantined"), (next + 1, "cancelled")]);
    assert_eq!(kinds(&after), expected);
    assert_eq!(outbox.counters().quarantined, 1);
}

#[test]
fn a_spool_whose_records_stand_alone_is_refused_and_not_taken_for_damaged() {
    let dir = tempfile::tempdir().unwrap();
    drop(Outbox::open(config(dir.path())).unwrap());
    let store = dir.path().join("store");
    let disk = Disk::open(&store, crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    let key = keys::message("of an earlier build");
    let bytes = crate::record::encode(&key, &Counters::default()).unwrap();
    disk.write_raw(vec![(key.clone(), bytes.clone())]);
    drop(disk);
    let error = Outbox::open(config(dir.path())).err().unwrap();
    assert!(matches!(&error, crate::OpenError::Format { .. }), "{error}");
    assert!(crate::Offline::open(dir.path()).is_err());
    assert!(dir.path().join("clean").exists(), "nothing was changed");
    let engine = crate::engine::Engine::open(&store, crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    assert_eq!(engine.get(&key).unwrap().as_deref(), Some(bytes.as_slice()));
}

#[test]
fn a_damaged_store_is_taken_over_also_where_the_start_that_kept_it_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    {
        let outbox = Outbox::open(config(dir.path())).unwrap();
        for number in 0..200 {
            submit(&outbox, &format!("m-{number}"), &format!("to {}", number % 9), 300);
        }
    }
    let db = dir.path().join("store/db");
    let mut bytes = std::fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    std::fs::write(&db, bytes).unwrap();
    // It is made anew, and nobody has said so.
    let sizes = crate::engine::Sizes::WITHOUT_RESERVE;
    drop(crate::spool::Spool::open(dir.path(), "dying", sizes).ok().unwrap());
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().kept.is_some());
    let left = outbox.counters().entries();
    assert!(left > 190, "{left} of 200");
    // What comes now is not mistaken for what was there.
    submit(&outbox, "behind that", "somebody", 100);
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());
    let outbox = Outbox::open(config(killed.path())).unwrap();
    assert_eq!((outbox.report().kept.as_ref(), outbox.counters().entries()), (None, left + 1));
}

#[test]
fn what_is_kept_of_a_damaged_store_gets_its_name_wherever_that_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let damaged = tempfile::tempdir().unwrap();
    copy(dir.path(), damaged.path());
    let quarantine = dir.path().join("quarantine");
    // Before its store was moved there, and behind that.
    std::fs::create_dir_all(quarantine.join("spool-1.part")).unwrap();
    copy(damaged.path(), &quarantine.join("spool-2.part"));
    std::fs::write(quarantine.join("spool-2.part/unsaid"), b"").unwrap();
    let reported = || {
        let is_unsaid = dir.path().join("store/anew").exists();
        let report = Outbox::open(config(dir.path())).unwrap().report().clone();
        assert_eq!(report.is_made_anew, is_unsaid, "also where it is not kept");
        report.kept
    };
    std::fs::write(dir.path().join("store/anew"), b"").unwrap();
    assert_eq!(reported(), Some(quarantine.join("spool-2")));
    assert_eq!(reported(), None, "said once");
    assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 1);
    // And before any of it, three times over.
    for expected in [Some("spool-3"), Some("spool-4"), None] {
        std::fs::write(dir.path().join("store/anew"), b"").unwrap();
        copy(&damaged.path().join("store"), &dir.path().join("store.damaged"));
        assert_eq!(reported(), expected.map(|name| quarantine.join(name)));
        assert!(!dir.path().join("store.damaged").exists() && !dir.path().join("store/anew").exists());
    }
}

/// What a kill leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to)
        } else {
            drop(std::fs::copy(file.path(), to))
        }
    }
}

#[test]
fn what_came_last_is_sealed_once_nothing_more_comes() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(dir.path())).unwrap();
    submit(&outbox, "alone", "somebody", 100);
    let began = std::time::Instant::now();
    let seal = loop {
        let bytes = std::fs::read(dir.path().join("seal")).unwrap_or_default();
        match crate::record::decode::<Counters>(keys::SEAL, &bytes) {
            Ok(seal) if seal.next_seq > 1 => break seal,
            _ => std::thread::yield_now(),
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "nobody seals it");
    };
    assert_eq!(seal, outbox.counters());
}

#[test]
fn a_last_group_that_the_seal_knows_is_saved_as_far_as_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = |path: &Path| Config { min_free_bytes: 0, ..Config::new(path) };
    let before = Outbox::open(config(dir.path())).unwrap();
    let submits = (0..200).map(|number| Submit {
        msg_id: format!("last-{number}"),
        account: "default".into(),
        conversation: format!("to {number}"),
        message: vec![b'.'; 900],
        ..Submit::default()
    });
    assert!(before.submit_many(submits).iter().all(Result::is_ok));
    before.close();
    drop(before);
    std::fs::remove_file(dir.path().join("clean")).unwrap();
    let bytes = std::fs::read(dir.path().join("store/db")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut made_anew = 0;
    for place in 1..40 {
        let damaged = tempfile::tempdir().unwrap();
        copy(dir.path(), damaged.path());
        let mut bytes = bytes.clone();
        let at = used - place * 5_000;
        bytes[at..at + 6].iter_mut().for_each(|byte| *byte = !*byte);
        std::fs::write(damaged.path().join("store/db"), bytes).unwrap();
        let outbox = Outbox::open(config(damaged.path())).unwrap();
        let there = (0..200).filter(|number| outbox.get(&format!("last-{number}")).is_ok()).count();
        made_anew += usize::from(outbox.report().is_made_anew);
        assert!(there == 200 || outbox.report().is_made_anew, "{there} of 200 are there, behind {at}");
        // One node holds at most sixteen leaves of eight messages.
        assert!(there >= 200 - 128, "{there} of 200 are there, behind {at}");
    }
    // What the engine tidied up behind the group it does again.
    assert!(made_anew > 20, "{made_anew} of 39");
}

#[test]
fn an_open_that_ends_before_it_has_told_leaves_the_word_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let seal = crate::seal::Seal::of(dir.path());
    let known = seal.read().unwrap();
    let (next_seq, next_event, waiting) = (known.next_seq + 100, known.next_event + 9, known.waiting + 7);
    let beyond = Counters { next_seq, next_event, waiting, ..known };
    seal.write_last(&crate::record::encode(keys::SEAL, &beyond).unwrap()).unwrap();
    // It makes the store anew, and is killed in the middle of a group.
    let sizes = crate::engine::Sizes { segment_bytes: crate::limits::SEGMENT_BYTES, reserve_bytes: 0 };
    let opened = crate::spool::Spool::open(dir.path(), "dying", sizes).ok().unwrap();
    let (opened, _) = crate::anew::whole(opened, sizes).ok().unwrap();
    assert!(opened.is_made_anew);
    let key = keys::set_aside(b"of no end");
    let row = crate::engine::Write::of(&key, Some(vec![1; 9_000].into()));
    opened.disk.engine.commit([(key, row)].into()).unwrap();
    drop(opened);
    let db = dir.path().join("store/db");
    let mut bytes = std::fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used - 3_000..].fill(0);
    std::fs::write(&db, bytes).unwrap();
    assert_eq!(seal.read(), Some(beyond));
    let outbox = Outbox::open(config(dir.path())).unwrap();
    let lost = outbox.report().lost.unwrap();
    assert_eq!((lost.next_seq, lost.next_event), (beyond.next_seq, beyond.next_event));
    assert_eq!(outbox.report().missing, 7);
    let kept = std::fs::read_dir(dir.path().join("quarantine")).unwrap().flatten();
    let kept: Vec<PathBuf> = kept.map(|kept| kept.path()).filter(|kept| kept.is_dir()).collect();
    assert_eq!(outbox.report().kept.as_ref(), kept.first());
    assert_eq!(kept.len(), 1, "it was made anew once");
    drop(outbox);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert_eq!(outbox.report().lost, None, "it was told");
}

#[test]
fn a_store_that_has_lost_the_total_of_its_rows_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let store = dir.path().join("store");
    let engine = crate::engine::Engine::open(&store, crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
    engine.write_past_the_total(keys::TOTAL, None);
    drop(engine);
    assert!(crate::Offline::open(dir.path()).unwrap().check().unwrap().damaged);
    let outbox = Outbox::open(config(dir.path())).unwrap();
    let report = outbox.report();
    assert!(report.is_made_anew && report.lost.is_none() && report.missing == 0, "{report:?}");
    drop(outbox);
    assert!(!Outbox::open(config(dir.path())).unwrap().report().is_made_anew, "it knows it again");
}

#[test]
fn a_store_without_its_file_is_damaged_once_and_not_refused_also_with_a_snapshot() {
    let full = tempfile::tempdir().unwrap();
    full_spool(full.path());
    drop(Outbox::open(config(full.path())).unwrap());
    assert!(crate::salvage::read_from(&full.path().join("store")) > 0, "there is a snapshot");
    let messages = Outbox::open(config(full.path())).unwrap().counters().messages();
    for gone in [&["store/db"][..], &["store"], &["store/db", "seal", "seal.last"]] {
        let dir = tempfile::tempdir().unwrap();
        copy(full.path(), dir.path());
        for name in gone {
            let path = dir.path().join(name);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
        let payloads = std::fs::read_dir(dir.path().join("payloads")).unwrap().count();
        let check = crate::Offline::open(dir.path()).unwrap().check().unwrap();
        assert!(check.damaged && check.entries == 0, "{gone:?}: {check:?}");
        let outbox = Outbox::open(config(dir.path())).unwrap();
        let report = outbox.report();
        let is_counted = !gone.contains(&"seal");
        assert!(report.is_made_anew && report.lost.is_some() == is_counted, "{gone:?}: {report:?}");
        assert_eq!(report.missing, if is_counted { messages } else { 0 }, "{gone:?}");
        let kept = report.kept.as_ref().unwrap().join("payloads");
        assert_eq!(std::fs::read_dir(kept).unwrap().count(), payloads, "{gone:?}");
        drop(outbox);
        let report = Outbox::open(config(dir.path())).unwrap().report().clone();
        assert!(!report.is_made_anew && report.lost.is_none(), "{gone:?}, once more: {report:?}");
    }
}

/// What an open finds in a spool that the one before did not let go of.
fn left_to_the_next(path: &Path) -> (OpenReport, OpenReport) {
    let killed = tempfile::tempdir().unwrap();
    let mut told = None;
    let tell = |report: &OpenReport, _: &Counters| {
        told = Some(report.clone());
        copy(path, killed.path());
        Ok(())
    };
    drop(Outbox::open_and_tell(config(path), tell).unwrap());
    let next = Outbox::open(config(killed.path())).unwrap().report().clone();
    let last = Outbox::open(config(path)).unwrap().report().clone();
    assert_eq!((last.lost, last.missing, last.is_made_anew), (None, 0, false), "it was told");
    (told.unwrap(), next)
}

#[test]
fn what_is_missing_is_told_until_somebody_has_heard_it() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    let seal = crate::seal::Seal::of(dir.path());
    let known = seal.read().unwrap();
    let beyond = Counters { next_seq: known.next_seq + 100, waiting: known.waiting + 7, ..known };
    seal.write_last(&crate::record::encode(keys::SEAL, &beyond).unwrap()).unwrap();
    let (told, next) = left_to_the_next(dir.path());
    assert!(told.is_made_anew && told.lost.is_some() && told.missing == 7, "{told:?}");
    assert_eq!((next.is_made_anew, next.lost, next.missing), (true, told.lost, 7));
    assert_eq!(next.kept.unwrap().file_name(), told.kept.unwrap().file_name());
}

#[test]
fn messages_without_a_record_are_told_until_somebody_has_heard_it() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    damage(dir.path(), |disk| removed(disk, b'm'));
    let (told, next) = left_to_the_next(dir.path());
    assert!(told.rebuilt && !told.is_made_anew && told.missing > 0, "{told:?}");
    assert_eq!((next.is_made_anew, next.missing), (false, told.missing));
}

#[test]
fn what_an_unreadable_leaf_takes_along_is_told_until_somebody_has_heard_it() {
    // One that is met by the look at what comes last, and one that is met where the attempt under way is ended.
    for kind in [b'p', b'm'] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        let outbox = Outbox::open(config(dir.path())).unwrap();
        assert_eq!(outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait().unwrap().len(), 1);
        drop(outbox);
        let disk = Disk::open(&dir.path().join("store"), crate::engine::Sizes::WITHOUT_RESERVE).unwrap();
        disk.write_raw(disk.raw_rows(&[kind]).into_iter().map(flipped).collect());
        drop(disk);
        // It was killed, in the same boot: nothing asks for a look at everything.
        std::fs::remove_file(dir.path().join("clean")).unwrap();
        let kind = char::from(kind);
        let (told, next) = left_to_the_next(dir.path());
        assert!(!told.checked && !told.is_made_anew && told.missing > 0, "{kind}: {told:?}");
        assert_eq!((next.is_made_anew, next.missing), (false, told.missing), "{kind}");
    }
}

#[test]
fn what_an_open_that_is_killed_would_give_up_is_not_called_missing() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    full_spool(dir.path());
    let kept = |path| Outbox::open(config(path)).unwrap();
    let cancelled = kept(dir.path()).cancel("under way".into(), None).wait().unwrap();
    assert_eq!(cancelled, crate::Cancelled::Pending);
    damage(dir.path(), |disk| without(lanes(disk)));
    let tight = |path: &Path| {
        let clock = Arc::new(Hand(Mutex::new(Reading {
            wall: WallTime(1_800_000_900_000),
            since_boot_ms: 5_000,
            boot: BootId([2; 16]),
        })));
        Config { sent_max: 1, clock, ..config(path) }
    };
    let tell = |report: &OpenReport, _: &Counters| {
        assert!(report.rebuilt && report.missing == 0, "{report:?}");
        copy(dir.path(), killed.path());
        Ok(())
    };
    let outbox = Outbox::open_and_tell(tight(dir.path()), tell).unwrap();
    assert!(matches!(outbox.get("under way"), Ok(Message::Receipt(_))), "the open has ended it");
    assert_eq!(outbox.counters().receipts_dropped, 0);
    outbox.tick().wait().unwrap();
    assert_eq!(outbox.counters().receipts_dropped, 2);
    assert_eq!(Outbox::open(tight(killed.path())).unwrap().report().missing, 0);
}

#[test]
fn what_nobody_could_be_told_is_left_to_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    full_spool(dir.path());
    damage(dir.path(), |disk| removed(disk, b'm'));
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = Outbox::open_and_tell(config(dir.path()), |_, _| Err(full())).err().unwrap();
    assert!(error.to_string().contains("telling what was found"), "{error}");
    assert!(!dir.path().join("clean").exists(), "the open came to no end");
    let outbox = Outbox::open(config(dir.path())).unwrap();
    assert!(outbox.report().missing > 0 && !outbox.report().clean, "{:?}", outbox.report());
}

#[test]
fn numbers_that_were_given_to_what_is_missing_are_not_given_again() {
    for is_next_start in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        full_spool(dir.path());
        let seal = crate::seal::Seal::of(dir.path());
        let known = seal.read().unwrap();
        let (next_seq, next_event) = (known.next_seq + 100, known.next_event + 9);
        let beyond = Counters { next_seq, next_event, paused: true, ..known };
        seal.write_last(&crate::record::encode(keys::SEAL, &beyond).unwrap()).unwrap();
        let mut outbox = Outbox::open(config(dir.path())).unwrap();
        assert!(outbox.report().lost.is_some());
        if is_next_start {
            drop(outbox);
            outbox = Outbox::open(config(dir.path())).unwrap();
            assert_eq!(outbox.report().lost, None);
        }
        assert!(outbox.counters().paused, "the pause was acknowledged");
        submit(&outbox, "new", "a", 20);
        let Ok(Message::Entry(view)) = outbox.get("new") else { panic!("it waits") };
        assert!(view.entry.identity.seq >= next_seq, "{}", view.entry.identity.seq);
        outbox.cancel("new".into(), None).wait().unwrap();
        let events = outbox.events(next_event - 1, 10).unwrap().events;
        let ids: Vec<_> = events.iter().map(|event| event.msg_id.as_deref()).collect();
        assert_eq!(ids, [Some("new")], "who follows the events hears of it");
    }
}
