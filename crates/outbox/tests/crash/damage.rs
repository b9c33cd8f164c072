//! Lives of damaged spools: what is done to one, what becomes of it, and what may not become of it.
//!
//! Owns:  five kinds of damage, a start that finds one and mends it, and what is there behind that.
//! Never: dies. What is right it does not know: it is what becomes of a spool whose start nothing cut short.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use outbox::{Counters, Filter, Message, Offline, OpenReport, Outbox};

use crate::random::Random;
use crate::workload::{Marks, as_sent, attempts, cancel, config, message, payload, submit};

/// Does something to a spool that lies there stopped in order.
type Damage = fn(&Path, &mut Random);

/// Each with what its mending leads past at the least.
pub(crate) const KINDS: [(&str, Damage, &[&str]); 5] = [
    ("a leaf", leaf, &["mend", "write quarantine"]),
    ("a leaf that a check finds", checked_leaf, &["rebuild", "quarantine"]),
    (
        "the log",
        log,
        &[
            "make anew",
            "link payload",
            "copy seal",
            "write unsaid",
            "keep store",
            "name kept",
            "rebuild",
            "write anew",
            "say anew",
            "sync last",
        ],
    ),
    ("the file of the store", without_file, &["write db", "give room back", "note", "rebuild", "say anew"]),
    ("what lies beside", beside, &["set conf aside", "remove snapshot"]),
];

/// Beside the spool, once a start has told that something is missing.
const HEARD: &str = "heard";

/// Messages of each spool.
const MESSAGES: usize = 60;

fn submitted(number: usize) -> outbox::Submit {
    let bytes = [200, 700, 3_000][number % 3];
    message(&format!("conv{}", number % 8), number, if number % 20 == 7 { 18_000 } else { bytes })
}

/// Makes a spool, some of whose messages were sent, and some cancelled.
pub(crate) fn make(root: &Path) {
    let marks = Marks::open(&root.join("marks"));
    let outbox = Outbox::open(config(&root.join("spool"))).unwrap();
    for number in 0..MESSAGES {
        submit(&outbox, &marks, submitted(number));
    }
    attempts(&outbox, &marks, 8, as_sent);
    attempts(&outbox, &marks, 8, as_sent);
    for number in [50, 51] {
        cancel(&outbox, &marks, &submitted(number).msg_id);
    }
    outbox.close();
}

/// A start, and what a user does next: look at everything, and go on.
pub(crate) fn lead(root: &Path) {
    let hear = |report: &OpenReport, _: &Counters| {
        if says_that_some_are_missing(report) {
            fs::write(root.join(HEARD), "")?;
        }
        Ok(())
    };
    let outbox = Outbox::open_and_tell(config(&root.join("spool")), hear).unwrap();
    look_at_all(&outbox).unwrap();
    outbox.close();
}

fn says_that_some_are_missing(report: &OpenReport) -> bool {
    report.lost.is_some() || report.missing > 0 || report.is_made_anew
}

/// What cannot be read is met by the first look, set aside behind the next group, and done with before the one behind that.
fn look_at_all(outbox: &Outbox) -> outbox::Result<()> {
    for number in 0..MESSAGES {
        let _ = outbox.get(&submitted(number).msg_id);
    }
    for _ in 0..2 {
        outbox.tick().wait()?;
    }
    Ok(())
}

/// A bit of a row that the engine holds to be right.
fn leaf(spool: &Path, random: &mut Random) {
    let store = spool.join("store");
    let conf = String::from_utf8_lossy(&fs::read(store.join("conf")).unwrap()).into_owned();
    let said = conf.lines().find_map(|line| line.strip_prefix("segment_size: ")).unwrap();
    let engine = sled::Config::new().path(store).segment_size(said.parse().unwrap()).open().unwrap();
    let leaves: Vec<_> = engine.scan_prefix(b"m").map(Result::unwrap).collect();
    let (key, bytes) = &leaves[random.below(leaves.len() as u64) as usize];
    let mut damaged = bytes.to_vec();
    let at = random.below(damaged.len() as u64) as usize;
    damaged[at] ^= 1 << random.below(8);
    engine.insert(key, damaged).unwrap();
    engine.flush().unwrap();
}

/// The same, where something asks the next open to look at everything.
fn checked_leaf(spool: &Path, random: &mut Random) {
    leaf(spool, random);
    fs::write(spool.join("check"), b"check\n").unwrap();
}

/// Some bytes of the engine's log.
fn log(spool: &Path, random: &mut Random) {
    let db = spool.join("store/db");
    let mut bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = random.below(used as u64 - 16) as usize;
    bytes[at..at + 16].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(db, bytes).unwrap();
}

/// All that was in the store: what outside of it knows of that is to be told.
fn without_file(spool: &Path, _: &mut Random) {
    fs::remove_file(spool.join("store/db")).unwrap();
}

/// A bit of the engine's options, the mark of the format, and a snapshot that was never finished.
fn beside(spool: &Path, random: &mut Random) {
    let conf = spool.join("store/conf");
    let mut bytes = fs::read(&conf).unwrap();
    let at = random.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
    fs::write(conf, bytes).unwrap();
    fs::write(spool.join("format"), b"outbox spoil 1\n").unwrap();
    fs::write(spool.join("store/snap.0000000000000001.generating"), b"half").unwrap();
}

/// What is there of a spool whose damage was mended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// What is known of each message that can be asked for.
    messages: BTreeMap<String, String>,
    /// Waiting messages of each conversation, in their order.
    lanes: BTreeMap<String, Vec<String>>,
    /// Files of what cannot be read.
    quarantine: BTreeSet<String>,
}

impl Left {
    /// Opens the spool, and looks. What is missing must be said.
    pub(crate) fn of(spool: &Path) -> Result<Self, String> {
        let outbox = Outbox::open(config(spool)).map_err(|error| format!("it does not open: {error}"))?;
        look_at_all(&outbox).map_err(|error| error.to_string())?;
        let mut messages = BTreeMap::new();
        for number in 0..MESSAGES {
            let id = submitted(number).msg_id;
            if let Some(is) = what_is(&outbox, &id)? {
                messages.insert(id, is);
            }
        }
        let (report, counters) = (outbox.report().clone(), outbox.counters());
        let is_heard = spool.with_file_name(HEARD).exists();
        let is_said = is_heard || says_that_some_are_missing(&report) || counters.quarantined > 0;
        if messages.len() < MESSAGES && !is_said {
            return Err(format!(
                "{} messages are missing and nothing says so: {report:?}",
                MESSAGES - messages.len()
            ));
        }
        let lanes = lanes(&outbox)?;
        outbox.close();
        drop(outbox);
        let check = Offline::open(spool).and_then(|offline| {
            offline.check().map_err(|error| panic!("a mended spool can be read to its end: {error}"))
        });
        let check = check.map_err(|error| error.to_string())?;
        if !check.is_sound() {
            return Err(format!("it is not sound: {check:?}"));
        }
        Ok(Self { messages, lanes, quarantine: quarantine(spool)? })
    }

    /// How many messages are gone.
    pub(crate) fn missing(&self) -> usize {
        MESSAGES - self.messages.len()
    }
}

/// What is known of a message, in words.
fn what_is(outbox: &Outbox, id: &str) -> Result<Option<String>, String> {
    Ok(match outbox.get(id) {
        Err(_) => None,
        Ok(Message::Receipt(receipt)) => Some(receipt.state().as_str().to_owned()),
        Ok(Message::Entry(view)) => {
            let kept = outbox.payload(id).map_err(|error| format!("the payload of {id}: {error}"))?;
            if kept.message != payload(id) {
                return Err(format!("{id} has another payload"));
            }
            let doubt = if view.entry.delivery.unresolved.is_some() { ", may have arrived" } else { "" };
            Some(format!("{}{doubt}", view.state.as_str()))
        }
    })
}

fn lanes(outbox: &Outbox) -> Result<BTreeMap<String, Vec<String>>, String> {
    let page = outbox.list(&Filter::default(), 0, 1_000).map_err(|error| error.to_string())?;
    let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for view in page.entries {
        let identity = view.entry.identity;
        lanes.entry(identity.conversation).or_default().push(identity.msg_id);
    }
    if lanes.values().any(|ids| !ids.is_sorted()) {
        return Err(format!("not in the order of acceptance: {lanes:?}"));
    }
    Ok(lanes)
}

/// Files with rows, payloads that nothing names any more, and damaged stores; each of these can be read.
fn quarantine(spool: &Path) -> Result<BTreeSet<String>, String> {
    let (folder, mut names) = (spool.join("quarantine"), BTreeSet::new());
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    for path in files(&folder).chain(files(&folder.join("payloads"))) {
        if path.is_dir() && path != folder.join("payloads") {
            let salvaged = Offline::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let is_read = salvaged.export(|_| Ok::<(), outbox::Error>(()));
            is_read.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Copies a spool, and the rest of its folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
