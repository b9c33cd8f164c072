//! The looker: a thread that reads all rows now and then while the store is open, a little at a time.
//!
//! Owns:  when it looks, and how fast.
//! Never: changes anything but the request for a check: what it finds is for the next start to mend.
//!
//! What nobody reads may rot for months, and a part of the engine's file may be gone without a trace. Whatever is found so is told
//! at once (`Outbox::has_met_damage`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::limits::{LOOK_EVERY, LOOK_PAUSE};
use crate::shared::Shared;
use crate::total::Looked;

/// The thread, until it is stopped.
pub(crate) struct Looker {
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Looker {
    /// One that never looks.
    pub(crate) const fn idle() -> Self {
        Self { running: Mutex::new(None) }
    }

    /// Begins at once, or, where the open has looked at everything, in a day.
    pub(crate) fn start(shared: &Arc<Shared>, is_looked_through: bool) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("outbox-looker".into());
        let thread = thread.spawn(move || run(&shared, &stopped, is_looked_through))?;
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

fn run(shared: &Shared, stopped: &Receiver<()>, is_looked_through: bool) {
    let mut wait = if is_looked_through { LOOK_EVERY } else { LOOK_PAUSE };
    let mut is_begun = false;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        if !is_begun {
            shared.disk.engine.begin_look();
        }
        let looked = look(shared);
        is_begun = looked == Some(Looked::Partly);
        wait = if is_begun || looked == Some(Looked::Interrupted) { LOOK_PAUSE } else { LOOK_EVERY };
    }
}

/// Looks at a part; `None` where it cannot be read.
fn look(shared: &Shared) -> Option<Looked> {
    let engine = &shared.disk.engine;
    // A store that has failed may be well again.
    let Ok(_nobody_commits) = shared.view() else { return Some(Looked::Interrupted) };
    // The engine panics on some damage, and a drive has other words for it: each part that cannot be read is one.
    let looked = catch_unwind(AssertUnwindSafe(|| engine.look_on().ok())).ok().flatten();
    if (looked.is_none() || looked == Some(Looked::Wrong)) && engine.failure().is_none() {
        engine.meet_damage();
        // Where it cannot be written, the writer tries again.
        let _ = shared.spool.ask_for_check();
    }
    looked
}

/// Looks through everything, without a pause.
#[cfg(test)]
pub(crate) fn look_through(shared: &Shared) -> Option<Looked> {
    shared.disk.engine.begin_look();
    loop {
        let looked = look(shared);
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
        while look(outbox.shared()) == Some(Looked::Partly) {
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
