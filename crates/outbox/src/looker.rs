//! The looker: a thread that reads all rows now and then while the store is open, a little at a time.
//!
//! Owns:  when it looks, and how fast, at rows and at the files that they speak of.
//! Never: changes anything but the request for a check: what it finds is for the next start to mend.
//!
//! What nobody reads may rot for months, and a part of the engine's file may be gone without a trace. Whatever is found so is told
//! at once (`Outbox::has_met_damage`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::entry::{Entry, Receipt};
use crate::leaf::Leaf;
use crate::limits::{LOOK_EVERY, LOOK_PART_BYTES, LOOK_PAUSE};
use crate::shared::Shared;
use crate::spool::Spool;
use crate::total::Looked;
use crate::tx::{Record, decode_message, load_message};
use crate::{keys, view};

/// The thread, until it is stopped.
pub(crate) struct Looker {
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Looker {
    /// One that never looks.
    pub(crate) const fn idle() -> Self {
        Self { running: Mutex::new(None) }
    }

    /// Begins at once, and then once a day.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("outbox-looker".into());
        let thread = thread.spawn(move || run(&shared, &stopped))?;
        Ok(Self { running: Mutex::new(Some((stop, thread))) })
    }

    /// Waits for the part that is being looked at, no longer.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, stopped: &Receiver<()>) {
    let (mut looking, mut wait) = (Looking::default(), LOOK_PAUSE);
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = looking.go_on(shared);
    }
}

/// How far a look has come.
#[derive(Default)]
struct Looking {
    is_begun: bool,
    /// What is to be looked at before it goes on.
    files: VecDeque<OfFile>,
}

impl Looking {
    /// Looks at a part; answers when the next one is due.
    fn go_on(&mut self, shared: &Shared) -> Duration {
        let mut is_interrupted = false;
        if !self.files.is_empty() {
            look_at_files(shared, &mut self.files);
        } else if shared.view().is_ok() {
            if !self.is_begun {
                shared.disk.engine.begin_look();
            }
            let looked = look(shared, &mut self.files);
            self.is_begun = looked == Some(Looked::Partly);
            is_interrupted = looked == Some(Looked::Interrupted);
        }
        // A store that has failed may be well again.
        let goes_on = self.is_begun || is_interrupted || !self.files.is_empty() || shared.failure().is_some();
        if goes_on { LOOK_PAUSE } else { LOOK_EVERY }
    }
}

/// A message with a payload or a replacement in a file.
enum OfFile {
    Entry(Box<Entry>),
    Receipt(Box<Receipt>),
}

/// Looks at a part; `None` where it cannot be read. Whose files are to be looked at comes to those.
fn look(shared: &Shared, files: &mut VecDeque<OfFile>) -> Option<Looked> {
    let engine = &shared.disk.engine;
    let Ok(_nobody_commits) = shared.view() else { return Some(Looked::Interrupted) };
    let mut each = |own_key: &[u8], bytes: &[u8]| {
        if own_key.starts_with(&keys::messages())
            && let Ok(leaf) = Leaf::read(own_key, bytes)
        {
            files.extend(leaf.rows_from(0).filter_map(|(key, record)| of_file(key, record)));
        }
    };
    // The engine panics on some damage, and a drive has other words for it: each part that cannot be read is one.
    let looked = catch_unwind(AssertUnwindSafe(|| engine.look_on(&mut each).ok())).ok().flatten();
    if (looked.is_none() || looked == Some(Looked::Wrong)) && engine.failure().is_none() {
        engine.meet_damage();
        // Where it cannot be written, the writer tries again.
        let _ = shared.spool.ask_for_check();
    }
    looked
}

fn of_file(key: &[u8], record: &[u8]) -> Option<OfFile> {
    match decode_message(key, record).ok()? {
        Record::Entry(entry) if entry.payload.file().is_some() => Some(OfFile::Entry(entry.into())),
        Record::Receipt(receipt) if receipt.data.file().is_some() => Some(OfFile::Receipt(receipt.into())),
        _ => None,
    }
}

/// Looks at some of the files. One that seems damaged is looked at again as long as nobody commits: what nothing names any more may
/// be gone.
fn look_at_files(shared: &Shared, files: &mut VecDeque<OfFile>) {
    let mut bytes = 0;
    while bytes < LOOK_PART_BYTES as u64
        && let Some(file) = files.pop_front()
    {
        bytes += file.bytes();
        if file.is_whole(&shared.spool) {
            continue;
        }
        let Ok(counters) = shared.view() else {
            files.push_front(file);
            return;
        };
        // Whoever meets damage remembers it.
        match (load_message(&shared.disk, file.msg_id()), &file) {
            (Ok(Some(Record::Entry(now))), OfFile::Entry(then)) if now.payload == then.payload => {
                drop(view::payload_of(&shared.disk, &shared.spool, &now));
            }
            // One that was given up is no longer promised.
            (Ok(Some(Record::Receipt(now))), OfFile::Receipt(then))
                if now.data == then.data && now.seq >= counters.data_floor =>
            {
                drop(view::data_of(&shared.disk, &shared.spool, &now));
            }
            _ => {}
        }
    }
}

impl OfFile {
    fn msg_id(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.identity.msg_id,
            Self::Receipt(receipt) => &receipt.identity.msg_id,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.identity.payload_bytes,
            Self::Receipt(receipt) => receipt.data_bytes,
        }
    }

    fn is_whole(&self, spool: &Spool) -> bool {
        let name = match self {
            Self::Entry(entry) => entry.payload.file(),
            Self::Receipt(receipt) => receipt.data.file(),
        };
        name.is_none_or(|name| view::is_whole_file(spool, name, self.bytes()))
    }
}

/// Looks through everything, without a pause.
#[cfg(test)]
pub(crate) fn look_through(shared: &Shared) -> Option<Looked> {
    shared.disk.engine.begin_look();
    let mut files = VecDeque::new();
    loop {
        let looked = look(shared, &mut files);
        while !files.is_empty() {
            look_at_files(shared, &mut files);
        }
        if looked != Some(Looked::Partly) {
            return looked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Outbox, Submit};

    const MESSAGES: usize = 3_000;

    /// More than the engine keeps in memory.
    const MANY: usize = 30_000;

    fn filled(path: &std::path::Path, messages: usize) -> Outbox {
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(path) }).unwrap();
        let submit = |number: usize| Submit {
            msg_id: format!("m-{number:04}"),
            account: "default".into(),
            conversation: format!("to {}", number % 90),
            message: format!("{number:04}").repeat(200).into_bytes(),
            ..Submit::default()
        };
        assert!(outbox.submit_many((0..messages).map(submit)).iter().all(Result::is_ok));
        outbox
    }

    #[test]
    fn a_store_that_is_whole_is_found_so_and_changes_meanwhile_make_no_difference() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), MESSAGES);
        assert_eq!(look_through(outbox.shared()), Some(Looked::Right));
        outbox.shared().disk.engine.begin_look();
        let mut parts = 0;
        while look(outbox.shared(), &mut VecDeque::new()) == Some(Looked::Partly) {
            // Some of them stand before what was looked at, some behind.
            for number in 0..40 {
                let id = format!("m-{:04}", (parts * 40 + number) * 61 % MESSAGES);
                outbox.hold(id, None).wait().unwrap();
            }
            parts += 1;
        }
        assert!(parts > 3, "{parts} parts");
        assert!(!outbox.has_met_damage());
        outbox.commit();
        assert_eq!(look_through(outbox.shared()), Some(Looked::Right));
    }

    #[test]
    fn rows_that_are_older_than_they_should_be_are_told_and_left_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), MESSAGES);
        outbox.shared().disk.engine.write_past_the_total(b"m", None);
        assert_eq!(look_through(outbox.shared()), Some(Looked::Wrong));
        assert!(outbox.has_met_damage());
        drop(outbox);
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let report = outbox.report();
        assert!(report.is_made_anew && report.checked && report.missing > 0, "{report:?}");
        assert_eq!(report.missing, MESSAGES as u64 - outbox.counters().entries());
        assert!(!outbox.has_met_damage());
        assert_eq!(look_through(outbox.shared()), Some(Looked::Right));
    }

    #[test]
    fn damage_that_nobody_reads_is_found() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), MANY);
        outbox.close();
        drop(outbox);
        let outbox = Outbox::open(Config { min_free_bytes: 0, ..Config::new(dir.path()) }).unwrap();
        let db = std::fs::File::options().write(true).open(dir.path().join("store/db")).unwrap();
        let bytes = db.metadata().unwrap().len();
        for at in (0..bytes).step_by(20_000) {
            db.write_all_at(&[0x55; 64], at).unwrap();
        }
        assert!(!outbox.has_met_damage());
        assert_eq!(look_through(outbox.shared()), None);
        assert!(outbox.has_met_damage() && dir.path().join("check").exists());
    }

    #[test]
    fn a_look_that_was_interrupted_begins_again_and_not_in_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), MESSAGES);
        let mut looking = Looking::default();
        assert_eq!(looking.go_on(outbox.shared()), LOOK_PAUSE, "there is more");
        outbox.compact().wait().unwrap();
        assert_eq!(looking.go_on(outbox.shared()), LOOK_PAUSE, "what it had begun is gone");
        let mut parts = 0;
        while looking.go_on(outbox.shared()) == LOOK_PAUSE {
            parts += 1;
        }
        assert!(parts > 3, "{parts} parts behind that");
    }

    #[test]
    fn a_damaged_file_that_nobody_reads_is_found_and_forgotten_with_its_message() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), 3);
        let ids = ["whole", "damaged", "gone"];
        for id in ids {
            let submit = Submit {
                msg_id: id.into(),
                account: "default".into(),
                conversation: id.into(),
                message: vec![b'x'; 20_000],
                ..Submit::default()
            };
            outbox.submit(submit).wait().unwrap();
        }
        let file_of = |id: &str| {
            let crate::Message::Entry(view) = outbox.get(id).unwrap() else { panic!("{id}") };
            let name = view.entry.payload.file().unwrap();
            dir.path().join("payloads").join(crate::entry::hex(&name))
        };
        assert_eq!(look_through(outbox.shared()), Some(Looked::Right));
        assert_eq!(outbox.damaged_files(), Vec::<String>::new());
        let mut bytes = std::fs::read(file_of("damaged")).unwrap();
        bytes[10_000] ^= 1;
        std::fs::write(file_of("damaged"), bytes).unwrap();
        std::fs::remove_file(file_of("gone")).unwrap();
        assert_eq!(look_through(outbox.shared()), Some(Looked::Right));
        let mut found = outbox.damaged_files();
        found.sort();
        assert_eq!(found, ["damaged", "gone"]);
        assert!(!outbox.has_met_damage(), "the store itself is whole");
        outbox.cancel("gone".into(), None).wait().unwrap();
        assert_eq!(outbox.damaged_files(), ["damaged"]);
        assert_eq!(outbox.set_aside_unreadable().unwrap(), 1);
        assert_eq!(outbox.damaged_files(), Vec::<String>::new());
        assert_eq!(outbox.counters().quarantined, 1);
    }

    #[test]
    fn a_read_that_fails_is_told_whatever_the_drive_calls_it() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = filled(dir.path(), MESSAGES);
        let engine = &outbox.shared().disk.engine;
        let source = std::io::ErrorKind::Other.into();
        let gone = crate::OpenError::Io { action: "reading", path: dir.path().into(), source };
        assert!(engine.open_again(|| Err(gone)).is_err());
        assert_eq!(look_through(outbox.shared()), None);
        assert!(outbox.has_met_damage() && dir.path().join("check").exists());
    }
}
