//! The spool directory: its creation, its files, its store as a whole.
//!
//! Owns:  creation in an order that survives a power cut, payload files, the exchange of the store.
//! Never: says what a row means, removes a file that it did not make.
//!
//! ```text
//! format      "outbox spool 1": written first
//! lock        held by the one process that has the spool open; says which
//! store/      sled, and `anew`, `noted` until a start has said that it was made anew, and what is missing
//! store.new/, store.old/, store.damaged/: while another one takes its place
//! payloads/   payloads and replacements over 16 KiB, one file each
//! quarantine/ what could not be read, one file each; made when it is needed
//! check       there while something is mended
//! seal        last acknowledged sequence and counts, to notice a loss inside the store; seal.last: behind each group, not synced
//! clean       there while nobody has the spool open and the last one closed it in order
//! ready       written last: without it nothing in the spool was ever promised
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::anew::{self, Salvage};
use crate::crash;
use crate::damaged_files::DamagedFiles;
use crate::disk::{Disk, Sizes};
use crate::drive::{forget_cached, io_error, sync_path};
use crate::entry::{Counters, hex};
use crate::error::OpenError;
use crate::files::{files_in, make_dir, open_plain, remove_folder, sync_names, write_file, write_synced};
use crate::layout::{
    FORMAT, Mark, QUARANTINE, STORE_DAMAGED, STORE_NEW, STORE_OLD, check_ours, check_plain, read_mark,
    was_finished, write_mark,
};
use crate::limits::QUARANTINE_FILES_MAX;
use crate::lock::Lock;
use crate::seal::Seal;

/// Written last into a rewritten store: without it, it is not whole.
const WHOLE: &str = "whole";

/// An open, locked spool directory.
pub(crate) struct Spool {
    path: PathBuf,
    lock: Lock,
    /// The mark of the format can be read.
    has_mark: bool,
    pub(crate) seal: Seal,
    /// Of payloads and replacements.
    pub(crate) damaged_files: DamagedFiles,
}

/// What a fresh open found.
pub(crate) struct Opened {
    pub(crate) spool: Spool,
    pub(crate) disk: Disk,
    /// The last process closed the spool in order, or the spool is new.
    pub(crate) clean: bool,
    /// The store was damaged, and was made anew.
    pub(crate) is_made_anew: bool,
    /// The mark of its format was damaged, and was written anew.
    pub(crate) is_mark_mended: bool,
    /// The whole log was looked through.
    pub(crate) is_looked_through: bool,
}

/// What becomes of a store that another one takes the place of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It goes.
    DoneWith,
    /// It is kept.
    Damaged,
}

impl Spool {
    /// Opens the spool in `path`, or makes one if the directory is missing or empty.
    pub(crate) fn open(path: &Path, holder: &str, sizes: Sizes) -> Result<Opened, OpenError> {
        make_dir(path)?;
        let path = &path.canonicalize().map_err(io_error("opening", path))?;
        check_plain(path)?;
        check_ours(path, was_finished(path))?;
        let lock = Lock::take(path, holder)?;
        // Looked at again under the lock: another process may have finished the spool meanwhile, or brought it to another format.
        let is_ready = was_finished(path);
        let is_mark_mended = check_ours(path, is_ready)?;
        let store = path.join("store");
        if is_ready {
            if is_mark_mended {
                write_mark(path)?;
                sync_path(path)?;
            }
            finish_exchange(path)?;
            // An empty one gets lost on the way of some copies; of what was in it, each message tells when its turn comes.
            make_dir(&path.join("payloads"))?;
            let db = path.join("store").join("db");
            if !db.exists() {
                // What is left is kept, and what is missing is told, as of a store that is damaged.
                make_dir(&path.join("store"))?;
                crash::around("write db", || write_file(&db, b""))?;
            }
            if !path.join("ready").exists() {
                let check = path.join("check");
                let asked = crash::around("write check", || write_synced(&check, b"check\n"));
                asked.map_err(io_error("writing", &check))?;
                write_ready(path)?;
            }
        } else {
            start_over(path)?;
        }
        if path.join("check").exists() {
            forget_cached(&store);
        }
        let clean_mark = path.join("clean");
        let clean = is_ready && clean_mark.exists();
        let (path_of_it, damaged_files) = (path.clone(), DamagedFiles::default());
        let spool = Self { path: path_of_it, lock, has_mark: true, seal: Seal::of(path), damaged_files };
        let mut is_made_anew = false;
        let range = anew::range(&store, spool.asks_for_check());
        if is_ready && let Some(salvage) = anew::damaged(&spool, sizes.segment_bytes, range)? {
            anew::make(&spool, &salvage, sizes)?;
            is_made_anew = true;
        }
        let disk = match Disk::open(&store, sizes) {
            // It is damaged where nobody looked: beside the log, or before what the engine was about to read.
            Err(OpenError::Corrupt { .. }) if is_ready && !is_made_anew => {
                is_made_anew = true;
                spool.make_anew(sizes)?
            }
            opened => opened?,
        };
        if !is_ready {
            finish_creation(path)?;
        }
        if clean {
            let removed = crash::around("remove clean", || fs::remove_file(&clean_mark));
            removed.map_err(io_error("removing", &clean_mark))?;
        }
        sync_path(path)?;
        let is_looked_through = range.is_whole();
        Ok(Opened { spool, disk, clean: clean || !is_ready, is_made_anew, is_mark_mended, is_looked_through })
    }

    /// Makes the store anew, which nobody has open, of what can be read of it without the engine.
    pub(crate) fn make_anew(&self, sizes: Sizes) -> Result<Disk, OpenError> {
        let salvage = Salvage::of(self, sizes.segment_bytes)?;
        anew::make(self, &salvage, sizes)?;
        Disk::open(&self.store(), sizes)
    }

    /// Looks at a spool that is there, without a change to anything; while the result lives, nobody can open
    /// the spool to write.
    pub(crate) fn look(path: &Path) -> Result<Self, OpenError> {
        let path = path.canonicalize().map_err(io_error("opening", path))?;
        // Whoever may not read the folder must not hear that nothing is in it.
        fs::read_dir(&path).map_err(io_error("reading", &path))?;
        check_plain(&path)?;
        if !was_finished(&path) {
            return Err(OpenError::NoSpool { path });
        }
        let has_mark = match read_mark(&path)? {
            Mark::Known => true,
            Mark::Other(found) => {
                return Err(OpenError::Format { path, found: found.to_string(), known: FORMAT });
            }
            // A copy of the rest can be looked at all the same.
            Mark::Unreadable(_) => false,
        };
        let lock = Lock::take_to_look(&path)?;
        Ok(Self { seal: Seal::of(&path), path, lock, has_mark, damaged_files: DamagedFiles::default() })
    }

    /// Whether the mark of the format can be read.
    pub(crate) const fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// Writes the mark of the format.
    pub(crate) fn write_mark(&self) -> Result<(), OpenError> {
        write_mark(&self.path)?;
        sync_path(&self.path)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the last process closed the spool in order, and none has opened it since.
    pub(crate) fn is_clean(&self) -> bool {
        self.path.join("clean").exists()
    }

    /// Marks the spool as closed in order. Called last.
    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        crash::around("write clean", || write_synced(&self.path.join("clean"), b"clean\n"))?;
        File::open(&self.path)?.sync_all()?;
        self.lock.release()
    }

    /// What was acknowledged last, if anything that can be read says so.
    pub(crate) fn seal(&self) -> Option<Counters> {
        self.seal.read()
    }

    /// Bytes that the file system has left for this process.
    pub(crate) fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.path).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Writes a payload file and makes it durable, name included.
    pub(crate) fn write_payload(&self, name: [u8; 16], bytes: &[u8]) -> io::Result<()> {
        let dir = self.path.join("payloads");
        let part = dir.join(format!("{}.part", hex(&name)));
        crash::around("write payload", || write_synced(&part, bytes))?;
        crash::around("rename payload", || fs::rename(&part, dir.join(hex(&name))))?;
        File::open(dir)?.sync_all()
    }

    /// Writes a file of what could not be read, and makes it durable, name included.
    pub(crate) fn write_to_quarantine(&self, name: [u8; 16], bytes: &[u8]) -> Result<(), OpenError> {
        let dir = self.path.join(QUARANTINE);
        if !dir.exists() {
            make_dir(&dir)?;
            sync_path(&self.path)?;
        }
        let file = dir.join(hex(&name));
        let written = crash::around("write quarantine", || write_synced(&file, bytes));
        written.map_err(io_error("writing", &file))?;
        sync_path(&dir)
    }

    /// Keeps a payload file that cannot be read, beside its place; whether it is kept, or is not there.
    pub(crate) fn keep_payload(&self, name: [u8; 16]) -> bool {
        let (from, kept) = (self.path.join("payloads"), self.path.join(QUARANTINE).join("payloads"));
        let link = || -> Result<(), OpenError> {
            make_dir(&kept)?;
            let (from, to) = (from.join(hex(&name)), kept.join(hex(&name)));
            let linked = crash::around("write quarantine", || fs::hard_link(&from, &to));
            match linked.map_err(|error| error.kind()) {
                Ok(()) | Err(io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                Err(kind) => return Err(io_error("keeping", &from)(kind.into())),
            }
            sync_path(&kept)?;
            sync_path(&self.path.join(QUARANTINE))?;
            sync_path(&self.path)
        };
        files_in(&kept) < QUARANTINE_FILES_MAX && link().is_ok()
    }

    /// How many files there are of what could not be read.
    pub(crate) fn files_in_quarantine(&self) -> usize {
        files_in(&self.path.join(QUARANTINE))
    }

    /// Reads a payload file of at most `max` bytes.
    pub(crate) fn read_payload(&self, name: [u8; 16], max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_plain(&self.path.join("payloads").join(hex(&name)))?.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the directory of payload files is there.
    pub(crate) fn has_payloads(&self) -> bool {
        self.path.join("payloads").is_dir()
    }

    /// Removes a payload file that nothing names any more. One that stays is removed at the next open.
    pub(crate) fn remove_payload(&self, name: [u8; 16]) {
        self.damaged_files.forget(name);
        let file = self.path.join("payloads").join(hex(&name));
        let _ = crash::around("remove payload", || fs::remove_file(file));
    }

    /// The folder of the store, also where an exchange was cut short between its two renames.
    pub(crate) fn store(&self) -> PathBuf {
        let store = self.path.join("store");
        if store.exists() { store } else { self.path.join(STORE_NEW) }
    }

    /// An empty folder for a rewrite of the store.
    pub(crate) fn begin_rewrite(&self) -> Result<PathBuf, OpenError> {
        let new = self.path.join(STORE_NEW);
        remove_folder(&new)?;
        make_dir(&new)?;
        Ok(new)
    }

    /// Removes a rewrite that was given up. One that stays is removed at the next open.
    pub(crate) fn drop_rewrite(&self) {
        let _ = remove_folder(&self.path.join(STORE_NEW));
    }

    /// Makes a rewritten store, whose files are durable, ready to take the place of the old one.
    pub(crate) fn finish_rewrite(&self) -> Result<(), OpenError> {
        let new = self.path.join(STORE_NEW);
        remove_folder(&self.path.join(STORE_OLD))?;
        crash::around("write whole", || write_file(&new.join(WHOLE), b"whole\n"))?;
        sync_path(&new)?;
        // The new store's own name, too, must be there before the old one's goes.
        sync_path(&self.path)
    }

    /// Puts a finished rewrite in the place of the store. Wherever this is cut short, the next open finds one of the two whole.
    pub(crate) fn exchange_store(&self, aside: Aside) -> Result<(), OpenError> {
        let store = self.path.join("store");
        let old = if aside == Aside::Damaged { STORE_DAMAGED } else { STORE_OLD };
        let moved = crash::around("move store away", || fs::rename(&store, self.path.join(old)));
        moved.map_err(io_error("renaming", &store))?;
        sync_path(&self.path)?;
        finish_exchange(&self.path)
    }

    /// Ends an exchange that was begun; without one, there is nothing to do.
    pub(crate) fn end_exchange(&self) -> Result<(), OpenError> {
        finish_exchange(&self.path)
    }

    /// Asks the next open to check everything, whatever else says that it need not: something is being mended, or
    /// went wrong, and may be left half done. Where not even this can be written, the drive is failing; the next
    /// open meets that itself.
    pub(crate) fn ask_for_check(&self) -> io::Result<()> {
        crash::around("write check", || write_synced(&self.path.join("check"), b"check\n"))?;
        File::open(&self.path).and_then(|dir| dir.sync_all())
    }

    /// Whether a check was asked for.
    pub(crate) fn asks_for_check(&self) -> bool {
        self.path.join("check").exists()
    }

    /// Everything was checked, or mended.
    pub(crate) fn checked(&self) -> io::Result<()> {
        match crash::around("remove check", || fs::remove_file(self.path.join("check"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes payload files that `is_named` does not know: their group was never committed. Where messages are lost, one of
    /// these may be what is left of them (`may_be_lost`): then each is kept in `quarantine/`, and stays where that is full.
    pub(crate) fn sweep_payloads(
        &self,
        is_named: impl Fn([u8; 16]) -> bool,
        may_be_lost: bool,
    ) -> io::Result<u64> {
        let mut removed = 0;
        for file in fs::read_dir(self.path.join("payloads"))? {
            let file = file?;
            if !file.file_type()?.is_file() {
                // No file of ours.
                continue;
            }
            let name = file.file_name();
            let name = crate::entry::unhex(&name.to_string_lossy())
                .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            // One that was never whole has no name of a payload.
            let stays = name.is_some_and(|name| is_named(name) || (may_be_lost && !self.keep_payload(name)));
            if !stays {
                crash::around("remove payload", || fs::remove_file(file.path()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Asks for a check of a spool that could not be opened; whether nobody had.
pub(crate) fn ask_for_check_of_closed(path: &Path) -> Result<bool, OpenError> {
    let check = path.join("check");
    if check.exists() {
        return Ok(false);
    }
    crash::around("write check", || write_file(&check, b"check\n"))?;
    sync_path(path)?;
    Ok(true)
}

/// Puts a rewritten store that is whole in its place, removes what is left of a rewrite, and keeps what was damaged.
fn finish_exchange(path: &Path) -> Result<(), OpenError> {
    let (store, new) = (path.join("store"), path.join(STORE_NEW));
    let (old, damaged) = (path.join(STORE_OLD), path.join(STORE_DAMAGED));
    if !store.exists() {
        let from = if new.join(WHOLE).exists() {
            &new
        } else if old.exists() {
            &old
        } else {
            &damaged
        };
        if from.exists() {
            let moved = crash::around("move store in", || fs::rename(from, &store));
            moved.map_err(io_error("renaming", from))?;
            sync_path(path)?;
        }
    }
    if store.exists() {
        remove_folder(&old)?;
        remove_folder(&new)?;
        anew::keep(path, &damaged)?;
    }
    Ok(())
}

/// Begins a spool: nothing that lies here was ever promised.
fn start_over(path: &Path) -> Result<(), OpenError> {
    for name in [STORE_NEW, STORE_OLD] {
        remove_folder(&path.join(name))?;
    }
    for name in ["store", "payloads"] {
        let dir = path.join(name);
        remove_folder(&dir)?;
        make_dir(&dir)?;
    }
    let check = path.join("check");
    if check.exists() {
        let removed = crash::around("remove check", || fs::remove_file(&check));
        removed.map_err(io_error("removing", &check))?;
    }
    write_mark(path)?;
    sync_path(path)
}

/// Declares a spool as made: from here on its content is promised.
fn finish_creation(path: &Path) -> Result<(), OpenError> {
    sync_path(&path.join("payloads"))?;
    sync_path(path)?;
    sync_names(path)?;
    write_ready(path)
}

fn write_ready(path: &Path) -> Result<(), OpenError> {
    let ready = path.join("ready");
    let written = crash::around("write ready", || write_synced(&ready, b"ready\n"));
    written.map_err(io_error("writing", &ready))?;
    sync_path(path)
}

/// Marks a folder as a spool that is whole.
pub(crate) fn write_marks(path: &Path) -> Result<(), OpenError> {
    write_mark(path)?;
    write_ready(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), b"years of work").unwrap();
        assert!(matches!(
            Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE),
            Err(OpenError::NotASpool { .. })
        ));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        fs::write(dir.path().join("format"), "outbox spool 2\n").unwrap();
        let error = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).err().unwrap();
        assert!(matches!(&error, OpenError::Format { found, .. } if found == "2"), "{error}");
    }

    #[test]
    fn a_seal_of_another_version_keeps_the_mark_from_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        drop(Spool::open(path, "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        let counters = crate::entry::Counters::default();
        let mut seal = crate::record::encode(crate::keys::SEAL, &counters).unwrap();
        fs::write(path.join("seal"), &seal).unwrap();
        fs::remove_file(path.join("format")).unwrap();
        assert!(Spool::open(path, "me", Sizes::WITHOUT_RESERVE).ok().unwrap().is_mark_mended);
        // A later program's, whole as it is.
        seal[1] += 1;
        let sum = crate::record::checksum(crate::keys::SEAL, &seal[..8], &seal[12..]);
        seal[8..12].copy_from_slice(&sum.to_le_bytes());
        let last = [&u32::try_from(seal.len()).unwrap().to_le_bytes()[..], &seal].concat();
        fs::write(path.join("seal.last"), last).unwrap();
        fs::write(path.join("format"), "").unwrap();
        let error = Spool::open(path, "me", Sizes::WITHOUT_RESERVE).err().unwrap();
        assert!(matches!(&error, OpenError::Format { found, .. } if found == "\"\""), "{error}");
        assert_eq!(fs::read(path.join("format")).unwrap(), b"");
    }

    #[test]
    fn a_spool_that_was_never_finished_is_started_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), "").unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("store/conf"), "half").unwrap();
        let opened = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap();
        assert!(dir.path().join("ready").exists());
        opened.spool.mark_clean().unwrap();
    }

    #[test]
    fn an_old_store_whose_successor_got_lost_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        drop(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        fs::write(dir.path().join("store/mine"), "promised").unwrap();
        fs::rename(dir.path().join("store"), dir.path().join(STORE_OLD)).unwrap();
        fs::create_dir(dir.path().join(STORE_NEW)).unwrap();
        drop(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        assert!(dir.path().join("store/mine").exists());
        assert!(!dir.path().join(STORE_OLD).exists() && !dir.path().join(STORE_NEW).exists());
    }

    #[test]
    fn a_spool_whose_mark_got_lost_is_not_started_over() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap();
        opened.spool.mark_clean().unwrap();
        drop(opened);
        fs::write(dir.path().join("payloads/kept"), "promised").unwrap();
        fs::remove_file(dir.path().join("ready")).unwrap();
        let opened = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap();
        assert!(opened.spool.asks_for_check());
        assert!(dir.path().join("ready").exists() && dir.path().join("payloads/kept").exists());
    }

    #[test]
    fn of_files_without_an_end_no_more_is_read_than_there_can_be() {
        let dir = tempfile::tempdir().unwrap();
        drop(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        for name in ["seal", "seal.last", "store/conf", "format"] {
            let file =
                File::options().create(true).truncate(false).write(true).open(dir.path().join(name)).unwrap();
            file.set_len(1 << 40).unwrap();
            let opened = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE);
            match name {
                // With zeros behind it, it is none.
                "format" => assert!(matches!(opened.err().unwrap(), OpenError::Format { .. })),
                _ => assert!(opened.is_ok(), "{name}: {}", opened.err().unwrap()),
            }
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_spool_is_left_alone_and_called_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "mine").unwrap();
        let of_open = Spool::open(&path, "me", Sizes::WITHOUT_RESERVE).err().unwrap();
        for error in [of_open, Spool::look(&path).err().unwrap()] {
            assert!(error.hint().starts_with("a spool is a folder"), "{error}: {}", error.hint());
        }
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn only_files_that_nothing_names_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap().spool;
        spool.write_payload([1; 16], b"kept").unwrap();
        spool.write_payload([2; 16], b"orphan").unwrap();
        fs::write(dir.path().join("payloads/cut.part"), b"half").unwrap();
        fs::create_dir(dir.path().join("payloads/somebody's")).unwrap();
        assert_eq!(spool.sweep_payloads(|name| name == [1; 16], false).unwrap(), 2);
        assert_eq!(spool.read_payload([1; 16], 100).unwrap(), b"kept");
    }
}
