//! The spool directory: whose it is, which format, and what lies in it.
//!
//! Owns:  creation in an order that survives a power cut, the format mark, the lock, payload files; copies of damaged stores,
//!        and when the store is made anew of one.
//! Never: says what a row means, removes a file that it did not make.
//!
//! ```text
//! format      "outbox spool 1": written first
//! lock        held by the one process that has the spool open; says which
//! store/      sled
//! payloads/   payloads and replacements over 16 KiB, one file each
//! quarantine/ what could not be read, one file each; made when it is needed
//! seal        last acknowledged sequence and counts, to notice a loss inside the store
//! clean       there while nobody has the spool open and the last one closed it in order
//! ready       written last: without it nothing in the spool was ever promised
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::crash;
use crate::disk::{Disk, Sizes, forget_cached, io_error, sync_path};
use crate::entry::{Counters, hex};
use crate::error::OpenError;
use crate::limits::{COPY_PART_BYTES, KEPT_SPOOLS_MAX, LOCK_WAIT, SCAN_BYTES_MAX, SCAN_TAIL_BYTES_MAX};
use crate::salvage::{self, Log, Range};
use crate::{keys, record, verify};

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;

const FORMAT_MARK: &str = "outbox spool ";

/// The store while it is rewritten, and what it takes the place of.
const STORE_NEW: &str = "store.new";
const STORE_OLD: &str = "store.old";

/// What could not be read, a file each, and damaged stores as they were.
const QUARANTINE: &str = "quarantine";

/// How the name of such a store begins, and how that of one ends that is not whole yet.
const KEPT: &str = "spool-";
const PART: &str = "part";

/// In such a store: the spool's own was made anew of it.
const MADE_ANEW: &str = "anew";

/// Written last into a rewritten store: without it, it is not whole.
const WHOLE: &str = "whole";

/// Everything that may lie in a spool. A directory with anything else and no format mark is not ours.
const NAMES: [&str; 12] = [
    "format", "lock", "ready", "seal", "seal.new", "store", "payloads", "clean", "check", QUARANTINE,
    STORE_NEW, STORE_OLD,
];

/// An open, locked spool directory.
pub(crate) struct Spool {
    path: PathBuf,
    /// Held, not read: the lock ends with the handle.
    lock: File,
    /// The mark of the format can be read.
    has_mark: bool,
}

/// What a fresh open found.
pub(crate) struct Opened {
    pub(crate) spool: Spool,
    pub(crate) disk: Disk,
    /// The last process closed the spool in order.
    pub(crate) clean: bool,
    /// Where a damaged store was kept as it was.
    pub(crate) kept: Option<Kept>,
}

/// A damaged store that is kept as it was.
pub(crate) struct Kept {
    path: PathBuf,
    /// The spool's own store was made anew of it.
    is_made_anew: bool,
}

impl Kept {
    /// Where it lies; nowhere any more if nothing is missing: a power cut leaves what looks like damage where nothing was
    /// promised yet.
    pub(crate) fn unless(self, nothing_is_missing: bool) -> Option<PathBuf> {
        if nothing_is_missing && !self.is_made_anew {
            // One that stays is in nobody's way.
            let _ = remove_folder(&self.path);
            return None;
        }
        Some(self.path)
    }
}

impl Spool {
    /// Opens the spool in `path`, or makes one if the directory is missing or empty.
    pub(crate) fn open(path: &Path, holder: &str, sizes: Sizes) -> Result<Opened, OpenError> {
        make_dir(path)?;
        let path = &path.canonicalize().map_err(io_error("opening", path))?;
        check_ours(path, was_finished(path))?;
        let lock = take_lock(path, holder)?;
        // Looked at again under the lock: another process may have finished the spool meanwhile.
        let is_ready = was_finished(path);
        let store = path.join("store");
        if is_ready {
            finish_exchange(path)?;
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
        let kept = if is_ready { keep_damaged(path, sizes.segment_bytes) } else { None };
        let clean_mark = path.join("clean");
        let clean = is_ready && clean_mark.exists();
        let spool = Self { path: path.clone(), lock, has_mark: true };
        let (disk, kept) = match Disk::open(&store, sizes) {
            Err(error @ OpenError::Corrupt { .. }) if is_ready => {
                spool.open_unopenable(kept, sizes, error)?
            }
            opened => (opened?, kept),
        };
        if !is_ready {
            finish_creation(path)?;
        }
        if clean {
            let removed = crash::around("remove clean", || fs::remove_file(&clean_mark));
            removed.map_err(io_error("removing", &clean_mark))?;
        }
        sync_path(path)?;
        Ok(Opened { spool, disk, clean: clean || !is_ready, kept })
    }

    /// Looks at a spool that is there, without a change to anything; while the result lives, nobody can open
    /// the spool to write.
    pub(crate) fn look(path: &Path) -> Result<Self, OpenError> {
        let path = path.canonicalize().map_err(io_error("opening", path))?;
        // Whoever may not read the folder must not hear that nothing is in it.
        fs::read_dir(&path).map_err(io_error("reading", &path))?;
        if !was_finished(&path) {
            return Err(OpenError::NotASpool { path });
        }
        let has_mark = match read_mark(&path)? {
            Mark::Known => true,
            Mark::Other(found) => {
                return Err(OpenError::Format { path, found: found.to_string(), known: FORMAT });
            }
            // A copy of the rest can be looked at all the same.
            Mark::Unreadable(_) => false,
        };
        let file_path = path.join("lock");
        let lock = match File::open(&file_path) {
            // It got lost, and nobody holds what is not there. The folder's own handle keeps nobody out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(&path),
            lock => lock,
        };
        let lock = lock.map_err(io_error("opening", &file_path))?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { path, lock, has_mark }),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path, holder: holder_of(&lock) }),
            Err(fs::TryLockError::Error(source)) => {
                Err(OpenError::Io { action: "locking", path: file_path, source })
            }
        }
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

    /// Marks the spool as closed in order. Called last.
    pub(crate) fn mark_clean(&self) -> io::Result<()> {
        crash::around("write clean", || write_synced(&self.path.join("clean"), b"clean\n"))?;
        File::open(&self.path)?.sync_all()?;
        self.lock.unlock()
    }

    /// Replaces the seal.
    pub(crate) fn write_seal(&self, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.path.join("seal.new");
        crash::around("write seal", || write_synced(&fresh, bytes))?;
        crash::around("rename seal", || fs::rename(&fresh, self.path.join("seal")))?;
        File::open(&self.path)?.sync_all()
    }

    /// The seal, if there is one that can be read.
    pub(crate) fn seal(&self) -> Option<Counters> {
        let bytes = fs::read(self.path.join("seal")).ok()?;
        record::decode(keys::SEAL, &bytes).ok()
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

    /// How many files there are of what could not be read.
    pub(crate) fn files_in_quarantine(&self) -> usize {
        let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        let entries = fs::read_dir(self.path.join(QUARANTINE));
        entries.map_or(0, |entries| entries.flatten().filter(is_file).count())
    }

    /// Reads a payload file of at most `max` bytes.
    pub(crate) fn read_payload(&self, name: [u8; 16], max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path.join("payloads").join(hex(&name)))?.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the directory of payload files is there.
    pub(crate) fn has_payloads(&self) -> bool {
        self.path.join("payloads").is_dir()
    }

    /// Removes a payload file that nothing names any more. One that stays is removed at the next open.
    pub(crate) fn remove_payload(&self, name: [u8; 16]) {
        let file = self.path.join("payloads").join(hex(&name));
        let _ = crash::around("remove payload", || fs::remove_file(file));
    }

    /// The folder of the store, also where a rewrite was cut short between its two renames.
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

    /// Puts the rewritten store, which is durable, in the place of the old one. Wherever this is cut short, the next
    /// open finds one of the two whole.
    pub(crate) fn exchange_store(&self) -> Result<(), OpenError> {
        let (store, new, old) =
            (self.path.join("store"), self.path.join(STORE_NEW), self.path.join(STORE_OLD));
        remove_folder(&old)?;
        let whole = new.join(WHOLE);
        let written = crash::around("write whole", || write_synced(&whole, b"whole\n"));
        written.map_err(io_error("writing", &whole))?;
        sync_path(&new)?;
        // The new store's own name, too, must be there before the old one's goes.
        sync_path(&self.path)?;
        let moved = crash::around("move store away", || fs::rename(&store, &old));
        moved.map_err(io_error("renaming", &store))?;
        sync_path(&self.path)?;
        finish_exchange(&self.path)
    }

    /// Opens a store that the engine cannot open: made anew of what can be read of it.
    fn open_unopenable(
        &self,
        kept: Option<Kept>,
        sizes: Sizes,
        error: OpenError,
    ) -> Result<(Disk, Option<Kept>), OpenError> {
        let Some(kept) = kept.or_else(|| keep(&self.path, b"it does not open")) else { return Err(error) };
        if !self.read_beside(Some(&kept.path), sizes) {
            return Err(error);
        }
        Ok((self.open_what_was_read(sizes)?, Some(Kept { is_made_anew: true, ..kept })))
    }

    /// Makes the store anew of what can be read of a damaged one, `kept` before the engine opened it, or of what the engine left of
    /// it. Where that cannot be done, for lack of room, it stays as it is.
    pub(crate) fn make_anew(&self, left: Disk, kept: Option<&Path>, sizes: Sizes) -> Result<Disk, OpenError> {
        if !self.read_beside(kept, sizes) {
            return Ok(left);
        }
        drop(left);
        self.open_what_was_read(sizes)
    }

    /// Reads a damaged store into a fresh one beside the spool's own; tells whether that could be done.
    fn read_beside(&self, kept: Option<&Path>, sizes: Sizes) -> bool {
        let spool = kept.unwrap_or(&self.path);
        let is_read = crash::around("make anew", || self.read_log(spool, sizes)).is_ok()
            && kept.is_none_or(|kept| mark_as_made_anew(kept).is_ok())
            && self.ask_for_check().is_ok();
        if !is_read {
            self.drop_rewrite();
        }
        is_read
    }

    fn open_what_was_read(&self, sizes: Sizes) -> Result<Disk, OpenError> {
        self.exchange_store()?;
        Disk::open(&self.path.join("store"), sizes)
    }

    /// Reads a log into a fresh store.
    fn read_log(&self, spool: &Path, sizes: Sizes) -> Result<(), OpenError> {
        let db = spool.join("store/db");
        let log = Log::read(&db, sizes.segment_bytes).map_err(io_error("reading", &db))?;
        // If the end of the log is lost, any row may be an old one.
        let counters =
            log.value(keys::COUNTERS).and_then(|bytes| record::decode(keys::COUNTERS, &bytes).ok());
        let end_is_lost = match (self.seal(), counters) {
            (Some(seal), Some(counters)) => verify::is_behind(&seal, &counters),
            _ => true,
        };
        let new = self.begin_rewrite()?;
        let sizes = Sizes { reserve_bytes: 0, ..sizes };
        Disk::of_rows(&new, sizes, &log, end_is_lost).map(drop)
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

    /// Removes payload files that `is_named` does not know: their group was never committed.
    pub(crate) fn sweep_payloads(&self, is_named: impl Fn([u8; 16]) -> bool) -> io::Result<u64> {
        let mut removed = 0;
        for file in fs::read_dir(self.path.join("payloads"))? {
            let file = file?;
            let name = file.file_name();
            let known = crate::entry::unhex(&name.to_string_lossy())
                .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
                .is_some_and(&is_named);
            if !known {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Keeps a damaged store as it is, before the engine opens it and writes over what stands behind a message that it cannot read.
/// What is kept is a spool by itself.
fn keep_damaged(path: &Path, segment_bytes: usize) -> Option<Kept> {
    let quarantine = path.join(QUARANTINE);
    remove_parts(&quarantine);
    if let Some(kept) = kept_by_an_open_that_was_cut_short(path, &quarantine) {
        let is_made_anew = kept.join(MADE_ANEW).exists();
        return Some(Kept { path: kept, is_made_anew });
    }
    let store = path.join("store");
    let db = store.join("db");
    let bytes = fs::metadata(&db).ok()?.len();
    let range = if bytes <= SCAN_BYTES_MAX || path.join("check").exists() {
        Range::WHOLE
    } else {
        // What the engine does not read it does not cut off.
        Range { since: salvage::read_from(&store), bytes_max: SCAN_TAIL_BYTES_MAX }
    };
    let damages = salvage::damages(&db, segment_bytes, range).ok().filter(|damages| !damages.is_empty())?;
    let positions: Vec<u8> = damages.iter().flat_map(|position| position.to_be_bytes()).collect();
    // It may open without a copy as well; then what is lost is only said.
    keep(path, &positions)
}

/// Keeps the store as it is, under a name that follows from what is wrong with it and from what it should hold; `None` where there
/// is no room for that.
fn keep(path: &Path, wrong: &[u8]) -> Option<Kept> {
    let quarantine = path.join(QUARANTINE);
    let bytes = fs::metadata(path.join("store/db")).ok()?.len();
    let seal = fs::read(path.join("seal")).unwrap_or_default();
    let name = hex(&blake3::hash(&[wrong, &seal].concat()).as_bytes()[..4]);
    let kept = quarantine.join(format!("{KEPT}{name}"));
    let is_kept = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(KEPT);
    let known = fs::read_dir(&quarantine).map_or(0, |entries| entries.flatten().filter(is_kept).count());
    if known >= KEPT_SPOOLS_MAX || kept.exists() || free_bytes_of(path) < bytes.saturating_mul(2) {
        return None;
    }
    copy_spool(path, &kept).ok()?;
    Some(Kept { path: kept, is_made_anew: false })
}

/// Removes copies that were cut short.
fn remove_parts(quarantine: &Path) {
    for entry in fs::read_dir(quarantine).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == PART) {
            // One that stays is tried again at the next open.
            let _ = remove_folder(&entry.path());
        }
    }
}

/// A store that was kept and not taken over since: it has the spool's seal still.
fn kept_by_an_open_that_was_cut_short(path: &Path, quarantine: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(quarantine).ok()?.flatten();
    let seal = fs::read(path.join("seal")).ok()?;
    let mut kept = entries.map(|entry| entry.path()).filter(|kept| kept.extension().is_none());
    kept.find(|kept| fs::read(kept.join("seal")).is_ok_and(|found| found == seal))
}

/// From here on the spool's store may be one that was made anew.
fn mark_as_made_anew(kept: &Path) -> Result<(), OpenError> {
    let mark = kept.join(MADE_ANEW);
    let marked = crash::around("mark copy", || write_synced(&mark, b"made anew\n"));
    marked.map_err(io_error("writing", &mark))?;
    sync_path(kept)
}

/// What was kept has been taken over: it is not looked for any more.
pub(crate) fn is_taken_over(kept: &Path) -> Result<(), OpenError> {
    let seal = kept.join("seal");
    match crash::around("take over", || fs::remove_file(&seal)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", &seal)(error)),
        _ => sync_path(kept),
    }
}

/// Makes a spool of a copy of the store and links to the payload files.
fn copy_spool(path: &Path, kept: &Path) -> Result<(), OpenError> {
    let part = kept.with_extension(PART);
    make_dir(&part.join("store/blobs"))?;
    make_dir(&part.join("payloads"))?;
    crash::around("copy store", || copy_files(&path.join("store"), &part.join("store")))?;
    for file in fs::read_dir(path.join("payloads")).into_iter().flatten().flatten() {
        // A payload that cannot be linked is told as missing by whoever looks.
        let _ = fs::hard_link(file.path(), part.join("payloads").join(file.file_name()));
    }
    if let Ok(seal) = fs::read(path.join("seal")) {
        let copy = part.join("seal");
        write_synced(&copy, &seal).map_err(io_error("writing", &copy))?;
    }
    write_mark(&part)?;
    write_ready(&part)?;
    for synced in ["store/db", "store", "payloads", ""] {
        sync_path(&part.join(synced))?;
    }
    let renamed = crash::around("rename copy", || fs::rename(&part, kept));
    renamed.map_err(io_error("renaming", &part))?;
    sync_path(&path.join(QUARANTINE))?;
    sync_path(path)
}

/// With reads and writes: what the system does instead differs from one file system to the other.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut part = vec![0; COPY_PART_BYTES];
    loop {
        match from.read(&mut part)? {
            0 => return Ok(()),
            read => to.write_all(&part[..read])?,
        }
    }
}

/// Copies what lies in a folder into another one that is there.
pub(crate) fn copy_files(source: &Path, target: &Path) -> Result<(), OpenError> {
    for file in fs::read_dir(source).map_err(io_error("reading", source))? {
        let from = file.map_err(io_error("reading", source))?.path();
        let Some(name) = from.file_name() else { continue };
        let to = target.join(name);
        if from.is_dir() {
            fs::create_dir_all(&to).map_err(io_error("creating", &to))?;
            copy_files(&from, &to)?;
        } else {
            copy_file(&from, &to).map_err(io_error("copying", &from))?;
        }
    }
    Ok(())
}

fn free_bytes_of(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Puts a rewritten store that is whole in its place, and removes what is left of a rewrite.
fn finish_exchange(path: &Path) -> Result<(), OpenError> {
    let (store, new) = (path.join("store"), path.join(STORE_NEW));
    if !store.exists() {
        let old = path.join(STORE_OLD);
        let from = if new.join(WHOLE).exists() { new.clone() } else { old };
        if from.exists() {
            let moved = crash::around("move store in", || fs::rename(&from, &store));
            moved.map_err(io_error("renaming", &from))?;
            sync_path(path)?;
        }
    }
    if store.exists() {
        remove_folder(&path.join(STORE_OLD))?;
        remove_folder(&new)?;
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<(), OpenError> {
    match crash::around("remove folder", || fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", path)(error)),
        _ => Ok(()),
    }
}

fn make_dir(path: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    crash::around("create folder", || builder.create(path)).map_err(io_error("creating", path))
}

/// What says which format a spool has.
enum Mark {
    /// The one that this program writes.
    Known,
    /// Another one.
    Other(u32),
    /// It is not there, or no mark: the beginning of what is, in quotes.
    Unreadable(String),
}

fn read_mark(path: &Path) -> Result<Mark, OpenError> {
    let mark = path.join("format");
    let found = match fs::read(&mark) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(OpenError::Io { action: "reading", path: mark, source }),
    };
    let number = found.strip_prefix(FORMAT_MARK).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    Ok(match number {
        Some(FORMAT) => Mark::Known,
        Some(number) => Mark::Other(number),
        None => Mark::Unreadable(format!("{:?}", found.chars().take(32).collect::<String>())),
    })
}

/// Refuses a directory that holds anything that is not ours, and formats that we do not know.
fn check_ours(path: &Path, is_ready: bool) -> Result<(), OpenError> {
    let found = match read_mark(path)? {
        Mark::Known => return Ok(()),
        Mark::Other(number) => Some(number.to_string()),
        Mark::Unreadable(found) => is_ready.then_some(found),
    };
    if let Some(found) = found {
        return Err(OpenError::Format { path: path.into(), found, known: FORMAT });
    }
    // No mark yet: new, or a power cut came while it was made. Then there are only names of ours.
    for entry in fs::read_dir(path).map_err(io_error("reading", path))? {
        let entry = entry.map_err(io_error("reading", path))?;
        if !NAMES.iter().any(|name| entry.file_name() == *name) {
            return Err(OpenError::NotASpool { path: path.into() });
        }
    }
    Ok(())
}

/// Takes the lock, with a little patience for a process that is just ending.
fn take_lock(path: &Path, holder: &str) -> Result<File, OpenError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let file_path = path.join("lock");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&file_path);
    let mut file = open.map_err(io_error("opening", &file_path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.into(), holder: holder_of(&file) });
            }
            Err(fs::TryLockError::Error(source)) => {
                return Err(OpenError::Io { action: "locking", path: file_path, source });
            }
        }
    }
    // For the person who meets the lock; nothing depends on it.
    let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
    Ok(file)
}

/// What the process that has a lock wrote about itself.
fn holder_of(lock: &File) -> String {
    let mut text = String::new();
    // For the person who meets the lock; without it the rest of the sentence is true as well.
    let _ = lock.take(1024).read_to_string(&mut text);
    let text = text.trim();
    if text.is_empty() { "another process".to_owned() } else { text.to_owned() }
}

/// Whether the spool was finished once: by its mark, or, should that have got lost, by what is only written behind it.
/// Whoever took such a spool for one that is being made would throw away what was promised.
fn was_finished(path: &Path) -> bool {
    ["ready", "seal", "seal.new", "clean"].iter().any(|name| path.join(name).exists())
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
        fs::remove_file(&check).map_err(io_error("removing", &check))?;
    }
    write_mark(path)?;
    sync_path(path)
}

fn write_mark(path: &Path) -> Result<(), OpenError> {
    let mark = path.join("format");
    let text = format!("{FORMAT_MARK}{FORMAT}\n");
    let written = crash::around("write format", || write_synced(&mark, text.as_bytes()));
    written.map_err(io_error("writing", &mark))
}

/// Declares a spool as made: from here on its content is promised.
fn finish_creation(path: &Path) -> Result<(), OpenError> {
    sync_path(&path.join("payloads"))?;
    sync_path(path)?;
    write_ready(path)?;
    match path.parent() {
        Some(parent) => sync_path(parent),
        None => Ok(()),
    }
}

fn write_ready(path: &Path) -> Result<(), OpenError> {
    let ready = path.join("ready");
    let written = crash::around("write ready", || write_synced(&ready, b"ready\n"));
    written.map_err(io_error("writing", &ready))?;
    sync_path(path)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
    fn a_newer_format_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        drop(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        fs::write(dir.path().join("format"), "outbox spool 2\n").unwrap();
        let error = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).err().unwrap();
        assert!(matches!(&error, OpenError::Format { found, .. } if found == "2"), "{error}");
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
    fn a_second_open_learns_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Spool::open(dir.path(), "outboxd, pid 17", Sizes::WITHOUT_RESERVE).ok().unwrap();
        match Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).err().unwrap() {
            OpenError::InUse { holder, .. } => assert_eq!(holder, "outboxd, pid 17"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_files_that_nothing_names_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).ok().unwrap().spool;
        spool.write_payload([1; 16], b"kept").unwrap();
        spool.write_payload([2; 16], b"orphan").unwrap();
        fs::write(dir.path().join("payloads/cut.part"), b"half").unwrap();
        assert_eq!(spool.sweep_payloads(|name| name == [1; 16]).unwrap(), 2);
        assert_eq!(spool.read_payload([1; 16], 100).unwrap(), b"kept");
    }
}
