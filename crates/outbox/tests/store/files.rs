//! Payload files that cannot be read or written for a while.
//!
//! Owns:  the promise that this loses nothing.
//! Never: sleeps.

use std::time::Duration;

use outbox::{Message, Offline, Outbox, Outcome, Replacement, Report, State};

use crate::support::{Hand, config, entry, message, report};
use crate::{lease, lease_one, submit};

fn large(msg_id: &str) -> outbox::Submit {
    outbox::Submit { message: vec![b'x'; 20_000], ..message(msg_id, "c") }
}

#[test]
fn a_file_that_cannot_be_read_now_is_told_until_it_can() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, large("large"));
    let files = std::fs::read_dir(root.path().join("spool/payloads")).unwrap();
    let file = files.map(|file| file.unwrap().path()).next().unwrap();
    let away = root.path().join("away");
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(matches!(outbox.payload("large"), Err(outbox::Error::Unavailable { .. })));
    assert_eq!(outbox.damaged_files(), ["large"]);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    outbox.payload("large").unwrap();
    assert_eq!(outbox.damaged_files(), Vec::<String>::new());
}

#[test]
fn a_pipe_in_the_place_of_a_payload_keeps_nobody_waiting() {
    let root = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(config(&root.path().join("spool"), &Hand::new())).unwrap();
    submit(&outbox, outbox::Submit { conversation: "of its own".into(), ..large("large") });
    submit(&outbox, message("small", "c"));
    let files = std::fs::read_dir(root.path().join("spool/payloads")).unwrap();
    let file = files.map(|file| file.unwrap().path()).next().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert!(matches!(outbox.payload("large"), Err(outbox::Error::Unavailable { .. })));
    assert_eq!(lease_one(&outbox).msg_id, "small");
    assert_eq!(outbox.damaged_files(), ["large"]);
    outbox.close();
    drop(outbox);
    let check = Offline::open(&root.path().join("spool")).unwrap().check().unwrap();
    assert_eq!((check.entries, check.bad_payloads), (2, 1));
}

#[test]
fn a_payload_that_cannot_be_read_now_is_tried_later_and_not_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, large("a"));
    let payloads = root.path().join("spool/payloads");
    std::fs::rename(&payloads, root.path().join("away")).unwrap();
    assert!(lease(&outbox, 1).is_empty());
    let waiting = entry(&outbox, "a");
    assert_eq!((waiting.state, waiting.entry.delivery.attempts), (State::Deferred, 0));
    assert!(waiting.entry.last_error.unwrap().desc.contains("cannot be read"));
    std::fs::rename(root.path().join("away"), &payloads).unwrap();
    hand.pass(Duration::from_secs(2));
    assert_eq!(lease_one(&outbox).message.len(), 20_000);
    assert_eq!(outbox.counters().quarantined, 0);
}

#[test]
fn a_payload_whose_file_is_gone_is_set_aside_and_the_rest_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, large("a"));
    submit(&outbox, message("b", "c"));
    for file in std::fs::read_dir(root.path().join("spool/payloads")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(lease_one(&outbox).msg_id, "b");
    assert_eq!(outbox.counters().quarantined, 1);
}

#[test]
fn a_message_with_a_damaged_payload_leaves_a_sound_spool_and_its_bytes_behind() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let spool = root.path().join("spool");
    let outbox = Outbox::open(config(&spool, &hand)).unwrap();
    submit(&outbox, large("a"));
    submit(&outbox, message("b", "c"));
    let file = the_file_in(&spool.join("payloads"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[9_000..9_016].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(lease_one(&outbox).msg_id, "b");
    assert_eq!(outbox.counters().quarantined, 1);
    outbox.close();
    drop(outbox);
    let check = Offline::open(&spool).unwrap().check().unwrap();
    assert!(check.is_sound() && check.entries == 1, "{check:?}");
    assert_eq!(std::fs::read_dir(spool.join("payloads")).unwrap().count(), 0);
    let kept = the_file_in(&spool.join("quarantine").join("payloads"));
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
}

#[test]
fn files_that_have_changed_places_are_nobodys() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let spool = root.path().join("spool");
    let outbox = Outbox::open(config(&spool, &hand)).unwrap();
    for id in ["a", "b"] {
        let message = id.repeat(20_000).into_bytes();
        submit(&outbox, outbox::Submit { message, ..message_to(id) });
    }
    for id in ["c", "d"] {
        submit(&outbox, message_to(id));
    }
    let swap = |files: Vec<std::path::PathBuf>| {
        let [one, two] = files.as_slice() else { panic!("{files:?}") };
        let (first, second) = (std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
        std::fs::write(one, second).unwrap();
        std::fs::write(two, first).unwrap();
    };
    let files = || std::fs::read_dir(spool.join("payloads")).unwrap().map(|file| file.unwrap().path());
    swap(files().collect());
    for id in ["a", "b"] {
        assert!(matches!(outbox.payload(id), Err(outbox::Error::BadRecord { .. })), "{id}");
    }
    let before: Vec<_> = files().collect();
    for lease in lease(&outbox, 2) {
        assert!(["c", "d"].contains(&lease.msg_id.as_str()));
        let replacement = Some(Replacement { new_msg_id: None, data: lease.msg_id.repeat(20_000).into() });
        let sent = Report { replacement, ..report(Outcome::Sent, outbox::Class::Ok) };
        outbox.settle(lease.id, sent).wait().unwrap();
    }
    swap(files().filter(|file| !before.contains(file)).collect());
    for id in ["c", "d"] {
        let Message::Receipt(receipt) = outbox.get(id).unwrap() else { panic!("{id}") };
        assert!(matches!(outbox.data(&receipt), Err(outbox::Error::BadRecord { .. })), "{id}");
    }
}

/// To a conversation of its own.
fn message_to(msg_id: &str) -> outbox::Submit {
    message(msg_id, msg_id)
}

fn the_file_in(folder: &std::path::Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn a_spool_whose_folder_of_payloads_got_lost_opens_and_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let spool = root.path().join("spool");
    let open = || Outbox::open(config(&spool, &hand)).unwrap();
    submit(&open(), message("b", "d"));
    std::fs::remove_dir(spool.join("payloads")).unwrap();
    assert!(!open().report().checked, "it was empty");
    submit(&open(), large("a"));
    std::fs::remove_dir_all(spool.join("payloads")).unwrap();
    let outbox = open();
    assert_eq!(lease_one(&outbox).msg_id, "b");
    assert_eq!(outbox.counters().quarantined, 1);
}

#[test]
fn a_proven_success_is_recorded_even_if_its_replacement_cannot_be_written() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    let lease = lease_one(&outbox);
    std::fs::rename(root.path().join("spool/payloads"), root.path().join("away")).unwrap();
    let replacement = Some(Replacement { new_msg_id: Some("n".into()), data: vec![b'y'; 20_000] });
    let sent = Report { replacement, ..report(Outcome::Sent, outbox::Class::Ok) };
    assert_eq!(outbox.settle(lease.id, sent).wait().unwrap().state, State::Sent);
    let Message::Receipt(receipt) = outbox.get("a").unwrap() else { panic!("no receipt") };
    assert_eq!((receipt.new_msg_id(), receipt.data_bytes), (Some("n"), 20_000));
    assert_eq!(outbox.data(&receipt).unwrap(), None);
    assert_eq!(outbox.counters().data_bytes, 0);
    std::fs::rename(root.path().join("away"), root.path().join("spool/payloads")).unwrap();
}

#[test]
fn a_cancel_that_is_repeated_tells_the_same_truth() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let mut config = config(&root.path().join("spool"), &hand);
    config.policy.on_uncertain = outbox::OnUncertain::Fail;
    let outbox = Outbox::open(config).unwrap();
    submit(&outbox, message("a", "c"));
    crate::settle(&outbox, &lease_one(&outbox), Outcome::MaybeReached);
    assert_eq!(entry(&outbox, "a").state, State::Failed);
    let first = outbox.cancel("a".into(), None).wait().unwrap();
    assert_eq!(first, outbox::Cancelled::Cancelled { may_have_arrived: true });
    assert_eq!(outbox.cancel("a".into(), None).wait().unwrap(), first);
}

#[test]
fn only_the_first_word_on_an_attempt_is_news() {
    let root = tempfile::tempdir().unwrap();
    let hand = Hand::new();
    let outbox = Outbox::open(config(&root.path().join("spool"), &hand)).unwrap();
    submit(&outbox, message("a", "c"));
    let lease = lease_one(&outbox);
    let say = || {
        let offline = report(Outcome::NotReached, outbox::Class::TransientNetwork);
        outbox.settle(lease.id.clone(), offline).wait().unwrap().is_news
    };
    assert_eq!([say(), say()], [true, false]);
}
