//! The storage engine: rows in sled, made durable.
//!
//! Owns:  sled (this is its only door), the order batch → flush → sync, the syncs after an open, the total and the look
//!        through all rows that is compared with it, the copy of all rows into a fresh folder, whether the file that is
//!        written still is the one that the next open finds.
//! Never: knows what a row means, is called by more than one thread to change something.
//!
//! sled's `flush` hands pages to the kernel and does not wait for the drive: what it flushed can be gone
//! after a power cut. So each commit ends with a `sync_data` of our own on the file that sled writes, and
//! nothing is applied between the two. An error of either is final until the store is opened again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::drive::{DiskError, forget_cached, io_error, panic_text, sync_path};
use crate::error::OpenError;
use crate::limits::{
    CACHE_BYTES, COPY_PART_BYTES, LOCK_WAIT, LOOK_PART_BYTES, LOOK_PART_TIME, READS_UNLOOKED_MAX,
    SCAN_TAIL_BYTES_MAX, SEGMENT_BYTES,
};
use crate::reserve::Reserve;
use crate::salvage::{self, Log, Range};
use crate::total::{Look, Looked, Share, Total, Totals};
use crate::watch::Watch;
use crate::{crash, keys};

/// The bytes of a value; cheap to clone.
pub(crate) type Bytes = sled::IVec;

/// A row.
pub(crate) type Row = (Bytes, Bytes);

/// What becomes of rows.
pub(crate) type Batch = BTreeMap<Vec<u8>, Write>;

/// What becomes of a row.
#[derive(Clone)]
pub(crate) struct Write {
    /// `None` for one that goes.
    new: Option<(Bytes, Share)>,
    old: Old,
}

/// A row's share in the total until now.
#[derive(Clone, Copy)]
enum Old {
    /// It is to be read.
    Unknown,
    /// `None` for one that was not there.
    Known(Option<Share>),
}

impl Write {
    /// The row is written, or goes.
    pub(crate) fn of(key: &[u8], new: Option<Bytes>) -> Self {
        Self { new: new.map(|new| (new.clone(), Share::of(key, &new))), old: Old::Unknown }
    }

    /// The row had this share until now, or was not there.
    pub(crate) fn in_place_of(self, old: Option<Share>) -> Self {
        Self { old: Old::Known(old), ..self }
    }

    /// The row's share from now on.
    pub(crate) fn share(&self) -> Option<Share> {
        self.new.as_ref().map(|(_, share)| *share)
    }
}

/// What a store is made with.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) segment_bytes: usize,
    /// Room to be kept for the store's file.
    pub(crate) reserve_bytes: u64,
}

impl Sizes {
    /// Those of a store that keeps no room: one to look at, or a copy.
    pub(crate) const WITHOUT_RESERVE: Self = Self { segment_bytes: SEGMENT_BYTES, reserve_bytes: 0 };
}

/// An open store.
pub(crate) struct Engine {
    /// `None` only while it is being exchanged, and for good if that failed.
    files: RwLock<Option<Files>>,
    dir: PathBuf,
    segment_bytes: usize,
    /// Bytes of rows that were written since it was opened.
    written_bytes: AtomicU64,
    /// Reads since it was last looked whether they have written.
    reads: AtomicU32,
    copy: Mutex<Option<Copy>>,
    totals: Mutex<Totals>,
    /// A flush or sync that failed, also one after a read: nothing is committed after it.
    broken: Mutex<Option<DiskError>>,
    /// A page could not be read since the store was opened.
    has_met_damage: AtomicBool,
    #[cfg(test)]
    room_for: AtomicU64,
    /// Room that is kept for the store's file.
    reserve: Reserve,
}

/// sled, and our own handle of the file that it writes.
struct Files {
    /// `None` only while it is closed.
    db: Option<sled::Db>,
    /// A flush may wait in vain. `None` only while it is closed.
    watch: Option<Watch>,
    file: File,
}

impl Drop for Files {
    fn drop(&mut self) {
        // sled panics where its last sync fails. Nothing was promised of what that sync was to bring to the drive: each
        // commit has ended with its own. It flushes while it is dropped, where nobody watches: so it has to do nothing then.
        let _ = catch_unwind(AssertUnwindSafe(|| self.flush()));
        self.watch = None;
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

/// A copy that is being made of everything.
struct Copy {
    files: Files,
    /// What comes after this key is still to be copied.
    from: Bound<Vec<u8>>,
    /// Why it cannot become one any more. It stays open until whoever makes it gives it up: to close it may take long.
    failed: Option<DiskError>,
}

impl Files {
    fn open(dir: &Path, segment_bytes: usize) -> Result<Self, OpenError> {
        remove_unfinished_snapshots(dir)?;
        // sled reads all of it.
        if std::fs::metadata(dir.join("conf")).is_ok_and(|conf| conf.len() > CONF_BYTES_MAX) {
            set_conf_aside(dir)?;
        }
        let db = match crash::around("open store", || open_with_patience(dir, segment_bytes)) {
            // sled reads `conf` first, and ends there if it cannot. It holds nothing but the options above, which are the
            // same for each store: without it sled writes it anew. What is wrong elsewhere is wrong once more.
            Err(OpenError::Corrupt { .. }) if set_conf_aside(dir)? => open_with_patience(dir, segment_bytes)?,
            opened => opened?,
        };
        db.flush().map_err(|error| not_opened("flushing", dir, error))?;
        let file_path = dir.join("db");
        let file = File::options().read(true).write(true).open(&file_path);
        let file = file.map_err(io_error("opening", &file_path))?;
        // sled never syncs `conf`, and a second power cut may come before the first commit.
        crash::before("sync store");
        sync_path(&dir.join("conf"))?;
        file.sync_all().map_err(io_error("syncing", &file_path))?;
        sync_path(dir)?;
        crash::after("sync store");
        let watched = db.clone();
        let watch = Watch::over(move || nudge(&watched)).map_err(io_error("starting a thread for", dir))?;
        Ok(Self { db: Some(db), watch: Some(watch), file })
    }

    fn db(&self) -> Result<&sled::Db, DiskError> {
        self.db.as_ref().ok_or_else(closed)
    }

    fn apply(&self, rows: &Batch) -> Result<(), DiskError> {
        self.db()?.apply_batch(batch_of(rows)).map_err(engine)
    }

    /// Lets the engine free what a batch replaced, or what was read. It frees a little at every so many calls, and a batch counts as
    /// one call however many rows it has: without as many calls more, memory grows without end. Reads of the rows
    /// themselves do more than reads of any other: the cache counts a page only once some dozen accesses have gathered,
    /// and until then keeps what it does not count.
    fn let_go<'a>(&self, mut keys: impl Iterator<Item = &'a [u8]>) -> Result<(), DiskError> {
        let db = self.db()?;
        keys.try_for_each(|key| db.get(key).map(drop)).map_err(engine)
    }

    /// Takes rows into a copy.
    fn follow(&self, rows: &Batch) -> Result<(), DiskError> {
        crash::around("apply to copy", || self.apply(rows))?;
        crash::around("let go of copy", || self.let_go(keys_of(rows)))
    }

    /// Makes durable what reads have written: the engine merges pages when it finds them nearly empty. What lies in the
    /// log before a batch and is not durable can, at a power cut, take everything with it: the batch's segments say of
    /// an earlier one, which the cut took, that it is stable.
    fn sync_reads(&self, dir: &Path) -> Result<(), DiskError> {
        let bytes = self.flush()?;
        if bytes > 0 { self.sync(dir) } else { Ok(()) }
    }

    fn look_for_file(&self, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join("db");
        let which = |data: std::fs::Metadata| (data.dev(), data.ino());
        let failed = |what: &str| {
            let what = format!("{} {what}: ", path.display());
            move |error: io::Error| DiskError::of_io(&what, &error)
        };
        let there = std::fs::metadata(&path).map(which).map_err(failed("cannot be found any more"))?;
        let written = self.file.metadata().map(which).map_err(failed("cannot be looked at"))?;
        if there == written {
            return Ok(());
        }
        Err(DiskError::new(format!("another file lies in the place of {}", path.display())))
    }

    fn flush(&self) -> Result<usize, DiskError> {
        let (db, watch) = (self.db()?, self.watch.as_ref().ok_or_else(closed)?);
        watch.during(|| db.flush()).map_err(engine)
    }

    fn sync(&self, dir: &Path) -> Result<(), DiskError> {
        self.flush()?;
        let what = || format!("sync of {}: ", dir.display());
        self.file.sync_data().map_err(|error| DiskError::of_io(&what(), &error))
    }
}

impl Engine {
    /// Opens or creates the store in `dir`, which exists, and makes its existence durable.
    pub(crate) fn open(dir: &Path, sizes: Sizes) -> Result<Self, OpenError> {
        let Sizes { segment_bytes, reserve_bytes } = sizes;
        let reserve = Reserve::of(reserve_bytes);
        reserve.make_room(dir);
        let files = Files::open(dir, segment_bytes)?;
        reserve.keep(&files.file);
        let engine = Self {
            files: RwLock::new(Some(files)),
            dir: dir.into(),
            segment_bytes,
            written_bytes: AtomicU64::new(0),
            reads: AtomicU32::new(0),
            copy: Mutex::new(None),
            totals: Mutex::default(),
            broken: Mutex::new(None),
            has_met_damage: AtomicBool::new(false),
            #[cfg(test)]
            room_for: AtomicU64::new(u64::MAX),
            reserve,
        };
        engine.learn_total().map_err(|error| error.in_open(dir))?;
        Ok(engine)
    }

    /// Reads the total that the store has, or makes one of its rows where there is none that can be read.
    fn learn_total(&self) -> Result<(), DiskError> {
        let stored = self.get(keys::TOTAL)?.and_then(|bytes| Total::of_row(&bytes).ok());
        let totals = match stored {
            Some(total) => Totals::stored(total),
            None => {
                let mut look = Look::begin();
                while self.pass(&mut look, |_, _| ())? {}
                Totals::counted(look)
            }
        };
        *self.totals() = totals;
        Ok(())
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store knows the total of its rows.
    pub(crate) fn knows_total(&self) -> bool {
        self.totals().is_stored()
    }

    /// Whether the rows are those that were committed last; `None` where the store does not know.
    pub(crate) fn adds_up(&self) -> Result<Option<bool>, DiskError> {
        if !self.knows_total() {
            return Ok(None);
        }
        self.begin_look();
        loop {
            match self.look_on(|_, _| ())? {
                Looked::Partly => {}
                looked => return Ok(Some(looked == Looked::Right)),
            }
        }
    }

    /// Begins a look through all rows. What is committed meanwhile is followed.
    pub(crate) fn begin_look(&self) {
        self.totals().look = Some(Look::begin());
    }

    /// Looks at the next rows: as many as one part has. Nothing may be committed while it does.
    pub(crate) fn look_on(&self, each: impl FnMut(&[u8], &[u8])) -> Result<Looked, DiskError> {
        let look = self.totals().look.take();
        let Some(mut look) = look else { return Ok(Looked::Interrupted) };
        if self.pass(&mut look, each)? {
            self.totals().look = Some(look);
            return Ok(Looked::Partly);
        }
        if self.totals().is_of(&look) {
            return Ok(Looked::Right);
        }
        self.meet_damage();
        Ok(Looked::Wrong)
    }

    /// Lets a look pass the next rows; whether there may be more.
    fn pass(&self, look: &mut Look, mut each: impl FnMut(&[u8], &[u8])) -> Result<bool, DiskError> {
        let (mut bytes, mut is_at_end, began) = (0, true, Instant::now());
        let from = look.from();
        self.read_through(from.as_ref().map(|key| &key[..]), |key, value| {
            bytes += key.len() + value.len();
            each(&key, &value);
            look.pass(key, &value);
            is_at_end = bytes < LOOK_PART_BYTES && began.elapsed() < LOOK_PART_TIME;
            is_at_end
        })?;
        Ok(!is_at_end)
    }

    /// The commit behind so many finds no room; so does what opens the store again then.
    #[cfg(test)]
    pub(crate) fn have_room_for(&self, commits: u64) {
        self.room_for.store(commits, Ordering::Relaxed);
    }

    /// Changes a row as damage would: the first one from a key on.
    #[cfg(test)]
    pub(crate) fn write_past_the_total(&self, from: &[u8], value: Option<&[u8]>) {
        let (key, _) = self.first(Bound::Included(from)).unwrap().unwrap();
        self.with(|files| {
            let db = files.db()?;
            match value {
                Some(value) => db.insert(key, value),
                None => db.remove(key),
            }
            .map_err(engine)?;
            files.sync(&self.dir)
        })
        .unwrap();
    }

    #[cfg(test)]
    fn use_room(&self) {
        if self.takes_the_last_room() {
            *self.broken() = Some(DiskError { is_full: true, ..DiskError::new("no room") });
        }
    }

    #[cfg(test)]
    fn use_room_to_open(&self) -> Result<(), OpenError> {
        if self.takes_the_last_room() {
            return Err(io_error("opening", &self.dir)(io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    #[cfg(test)]
    fn takes_the_last_room(&self) -> bool {
        // Once only: 0 goes on with all the room there is.
        self.room_for.fetch_sub(1, Ordering::Relaxed) == 0
    }

    /// Bytes of room that are kept for the store's file now.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.reserve.held_bytes()
    }

    fn with<T>(&self, work: impl FnOnce(&Files) -> Result<T, DiskError>) -> Result<T, DiskError> {
        match &*self.files.read().unwrap_or_else(PoisonError::into_inner) {
            Some(files) => work(files).inspect_err(|error| {
                if error.is_damage {
                    self.meet_damage();
                }
            }),
            None => Err(DiskError::new("the store could not be opened again")),
        }
    }

    /// Whether a page could not be read since the store was opened. What it held is lost to this process; the rest goes on.
    pub(crate) fn has_met_damage(&self) -> bool {
        self.has_met_damage.load(Ordering::Relaxed)
    }

    /// Something was read that is not what was written.
    pub(crate) fn meet_damage(&self) {
        self.has_met_damage.store(true, Ordering::Relaxed);
    }

    /// Reads with `work`; what reads have written is made durable now and then.
    fn read<T>(&self, work: impl FnOnce(&Files) -> Result<T, DiskError>) -> Result<T, DiskError> {
        self.with(|files| {
            let answer = work(files)?;
            if self.reads.fetch_add(1, Ordering::Relaxed) >= READS_UNLOOKED_MAX {
                self.reads.store(0, Ordering::Relaxed);
                self.sync_reads(files)?;
            }
            Ok(answer)
        })
    }

    /// An error is final: what failed to reach the drive once is never believed to be there later.
    fn sync_reads(&self, files: &Files) -> Result<(), DiskError> {
        files.sync_reads(&self.dir).inspect_err(|error| {
            self.broken().get_or_insert_with(|| error.clone());
        })
    }

    /// Why nothing is committed any more, if so.
    pub(crate) fn failure(&self) -> Option<DiskError> {
        self.broken().clone()
    }

    fn broken(&self) -> MutexGuard<'_, Option<DiskError>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self) -> MutexGuard<'_, Option<Copy>> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        self.read(|files| files.db()?.get(key).map_err(engine))
    }

    /// The first row from here on.
    pub(crate) fn first(&self, from: Bound<&[u8]>) -> Result<Option<Row>, DiskError> {
        self.read(|files| {
            files.db()?.range::<&[u8], _>((from, Bound::Unbounded)).next().transpose().map_err(engine)
        })
    }

    /// The last row between these.
    pub(crate) fn last(&self, from: &[u8], to: Bound<&[u8]>) -> Result<Option<Row>, DiskError> {
        self.read(|files| {
            let mut rows = files.db()?.range::<&[u8], _>((Bound::Included(from), to));
            rows.next_back().transpose().map_err(engine)
        })
    }

    /// Hands over the rows from here on until `each` wants no more.
    pub(crate) fn scan(
        &self,
        from: Bound<&[u8]>,
        mut each: impl FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), DiskError> {
        self.read(|files| {
            for (read, row) in files.db()?.range::<&[u8], _>((from, Bound::Unbounded)).enumerate() {
                // After a damaged page an iterator repeats its error for ever: the first one is final.
                let (key, value) = row.map_err(engine)?;
                if !each(key, value) {
                    break;
                }
                if read % READS_UNLOOKED_MAX as usize == READS_UNLOOKED_MAX as usize - 1 {
                    self.sync_reads(files)?;
                }
            }
            Ok(())
        })
    }

    /// The same for whoever goes through everything, a part at a time: what was read need not stay in memory.
    pub(crate) fn read_through(
        &self,
        from: Bound<&[u8]>,
        mut each: impl FnMut(Bytes, Bytes) -> bool,
    ) -> Result<(), DiskError> {
        let mut keys = Vec::new();
        self.scan(from, |key, value| {
            keys.push(key.clone());
            each(key, value)
        })?;
        self.with(|files| files.let_go(keys.iter().map(|key| &key[..])))
    }

    /// Whether the log cannot be read where the next open would read it, or nobody can tell.
    pub(crate) fn is_torn(&self) -> bool {
        let range = Range { since: salvage::read_from(&self.dir), bytes_max: SCAN_TAIL_BYTES_MAX };
        salvage::is_torn(&self.dir.join("db"), self.segment_bytes, range).unwrap_or(true)
    }

    /// Refuses a log that is damaged, but for a last batch that is there in part: the next start makes the store anew of it.
    fn look_through(&self) -> Result<(), OpenError> {
        if !self.is_torn() {
            return Ok(());
        }
        let db = self.dir.join("db");
        let log = Log::read(&db, self.segment_bytes, u64::MAX).map_err(io_error("reading", &db))?;
        if log.is_damaged() {
            let reason = "its log is damaged; the next start of the process makes it anew".into();
            return Err(OpenError::Corrupt { path: self.dir.clone(), reason });
        }
        Ok(())
    }

    /// Applies all rows as one batch, with the total behind it, and returns once they are on the drive.
    pub(crate) fn commit(&self, mut rows: Batch) -> Result<(), DiskError> {
        let bytes: usize =
            rows.iter().map(|(key, write)| key.len() + write.new.as_ref().map_or(0, |(v, _)| v.len())).sum();
        self.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let written = self.with(|files| {
            #[cfg(test)]
            self.use_room();
            if let Some(error) = &*self.broken() {
                return Err(error.clone());
            }
            let followed = self.follow(files, &mut rows)?;
            self.sync_reads(files)?;
            crash::around("apply", || files.apply(&rows))?;
            // Before the sync: what these reads write is durable with it, and asks for none of its own.
            crash::around("let go", || files.let_go(keys_of(&rows)))?;
            crash::around("sync", || files.sync(&self.dir))?;
            *self.totals() = followed;
            self.reserve.keep(&files.file);
            Ok(())
        });
        if let Some(copy) = &mut *self.copy()
            && copy.failed.is_none()
        {
            // What the engine has in memory behind a failure may hold these rows and the drive may not, or a part of them: what is
            // read of it is not to become durable as a copy. A copy that cannot follow is none, either.
            copy.failed = written.clone().and_then(|()| copy.files.follow(&rows)).err();
        }
        written
    }

    /// Refuses a file that the next open does not find: what is written to one that was removed or replaced goes with this process.
    /// Costs two calls of the system that touch no drive.
    pub(crate) fn look_for_file(&self) -> Result<(), DiskError> {
        match &*self.files.read().unwrap_or_else(PoisonError::into_inner) {
            Some(files) => files.look_for_file(&self.dir),
            // What keeps it closed says so itself.
            None => Ok(()),
        }
    }

    /// The totals behind these rows, of which the total's own becomes one.
    fn follow(&self, files: &Files, rows: &mut Batch) -> Result<Totals, DiskError> {
        let mut totals = self.totals().clone();
        rows.remove(keys::TOTAL);
        for (key, write) in rows.iter() {
            let old = match write.old {
                Old::Known(old) => old,
                Old::Unknown => files.db()?.get(key).map_err(engine)?.map(|old| Share::of(key, &old)),
            };
            totals.change(key, old, write.share());
        }
        let row = totals.store().map_err(|error| DiskError::new(error.to_string()))?;
        rows.insert(keys::TOTAL.to_vec(), Write::of(keys::TOTAL, Some(row.into())));
        Ok(totals)
    }

    /// Bytes of the store's main file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.with(|files| Ok(files.file.metadata().map_or(0, |data| data.len()))).unwrap_or_default()
    }

    /// Bytes of rows that were written since the store was opened: about a third of what a start has to read again.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Begins a copy of everything in `dir`, which exists and is empty.
    pub(crate) fn begin_copy(&self, dir: &Path) -> Result<(), OpenError> {
        let files = Files::open(dir, self.segment_bytes)?;
        *self.copy() = Some(Copy { files, from: Bound::Unbounded, failed: None });
        Ok(())
    }

    /// Copies a part; answers whether there is more. What is committed meanwhile goes into both.
    pub(crate) fn copy_part(&self) -> Result<bool, DiskError> {
        let mut copy = self.copy();
        let Copy { files, from, failed } = copy.as_mut().ok_or_else(closed)?;
        if let Some(error) = failed {
            return Err(error.clone());
        }
        let (mut rows, mut bytes) = (Batch::new(), 0);
        let mut more = false;
        let start = std::mem::replace(from, Bound::Unbounded);
        self.read_through(bound_of(&start), |key, value| {
            more = bytes >= COPY_PART_BYTES;
            if more {
                return false;
            }
            bytes += key.len() + value.len();
            rows.insert(key.to_vec(), Write::of(&key, Some(value)));
            true
        })?;
        *from = rows.last_key_value().map_or(start, |(key, _)| Bound::Excluded(key.clone()));
        files.follow(&rows)?;
        Ok(more)
    }

    /// Makes the copy durable and closes it, if it has followed to the last batch: each one changes the total.
    pub(crate) fn finish_copy(&self, dir: &Path) -> Result<(), DiskError> {
        let mut copy = self.copy();
        let Copy { files, failed, .. } = copy.as_ref().ok_or_else(closed)?;
        if let Some(error) = failed {
            return Err(error.clone());
        }
        if files.db()?.get(keys::TOTAL).map_err(engine)? != self.get(keys::TOTAL)? {
            return Err(DiskError::new("the copy lacks what the store has"));
        }
        crash::around("sync copy", || files.sync(dir))?;
        *copy = None;
        Ok(())
    }

    /// Gives a copy up.
    pub(crate) fn drop_copy(&self) {
        *self.copy() = None;
    }

    /// Closes the store after an error of the drive, and opens it again as it is there.
    pub(crate) fn open_anew(&self) -> Result<(), OpenError> {
        self.drop_copy();
        self.open_again(|| {
            forget_cached(&self.dir);
            self.look_through()
        })
    }

    /// Closes the store, lets `exchange` do what it wants with its folder, and opens what is there then; for good closed where
    /// either fails. What is opened reads its log, and the next start need not.
    pub(crate) fn open_again(
        &self,
        exchange: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        *files = None;
        exchange()?;
        self.reserve.make_room(&self.dir);
        if !self.dir.join("db").exists() {
            // Opening it would make an empty one.
            return Err(OpenError::Corrupt { path: self.dir.clone(), reason: "it is gone".into() });
        }
        #[cfg(test)]
        self.use_room_to_open()?;
        let opened = files.insert(Files::open(&self.dir, self.segment_bytes)?);
        self.reserve.keep(&opened.file);
        self.written_bytes.store(0, Ordering::Relaxed);
        *self.broken() = None;
        drop(files);
        self.learn_total().map_err(|error| error.in_open(&self.dir))
    }
}

fn closed() -> DiskError {
    DiskError::new("the store is closed")
}

/// Flushes beside a flush that does not end. Where a write has failed, this wakes it; otherwise both wait for the drive.
fn nudge(db: &sled::Db) {
    let db = db.clone();
    let thread = std::thread::Builder::new().name("outbox-nudge".into());
    // Its answer is that of the other one. Without a thread, the next look tries again.
    let _ = thread.spawn(move || drop(db.flush()));
}

fn keys_of(rows: &Batch) -> impl Iterator<Item = &[u8]> {
    rows.keys().map(Vec::as_slice)
}

fn batch_of(rows: &Batch) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, write) in rows {
        match &write.new {
            Some((value, _)) => batch.insert(key.as_slice(), value),
            None => batch.remove(key.as_slice()),
        }
    }
    batch
}

fn bound_of(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn engine(error: sled::Error) -> DiskError {
    match &error {
        sled::Error::Io(source) => DiskError::of_io("", &of_the_system(source)),
        sled::Error::Corruption { at, .. } => {
            let place: String = format!("{at:?}").chars().filter(char::is_ascii_digit).collect();
            let place =
                if place.is_empty() { "an unknown place".to_owned() } else { format!("byte {place}") };
            DiskError { is_damage: true, ..DiskError::new(format!("damage at {place} of its file")) }
        }
        _ => DiskError::new(error.to_string()),
    }
}

/// sled tells the second who asks of an error what a debugger would show of it; its code gives the error back.
fn of_the_system(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let code = text.strip_prefix("Os { code: ").and_then(|rest| rest.split_once(',')?.0.parse().ok());
    match code.or_else(|| error.raw_os_error()) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), text),
    }
}

/// A snapshot that was being written at a crash can keep sled from opening. Finished ones stay.
fn remove_unfinished_snapshots(dir: &Path) -> Result<(), OpenError> {
    let entries = std::fs::read_dir(dir).map_err(io_error("reading", dir))?;
    for entry in entries {
        let entry = entry.map_err(io_error("reading", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let removed = crash::around("remove snapshot", || std::fs::remove_file(entry.path()));
            removed.map_err(io_error("removing", &entry.path()))?;
        }
    }
    // Before sled makes another one under this name and renames it: a cut that takes the removal back, this start's or an earlier
    // one's, must not find the old one under the new name.
    sync_path(dir)
}

/// Bytes that sled's options can have: some hundred, ten times over.
const CONF_BYTES_MAX: u64 = 4096;

/// Takes `conf` away, but keeps it; tells whether there was one.
fn set_conf_aside(dir: &Path) -> Result<bool, OpenError> {
    let conf = dir.join("conf");
    if !conf.exists() {
        return Ok(false);
    }
    let moved = crash::around("set conf aside", || std::fs::rename(&conf, dir.join("conf.damaged")));
    moved.map_err(io_error("renaming", &conf))?;
    Ok(true)
}

/// Opens sled, waiting for a lock that its last process may still hold for a moment.
fn open_with_patience(dir: &Path, segment_bytes: usize) -> Result<sled::Db, OpenError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let started = Instant::now();
    loop {
        let config = sled::Config::new()
            .path(dir)
            .segment_size(segment_bytes)
            .cache_capacity(CACHE_BYTES)
            // No flusher thread: it would sync for ever while idle, and we flush each group ourselves.
            .flush_every_ms(None);
        // sled panics on some damage; that must end in an error that says what to do.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        return match opened {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => {
                if started.elapsed() < LOCK_WAIT {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                let source = io::Error::new(io::ErrorKind::WouldBlock, error.to_string());
                Err(OpenError::Io { action: "locking the store in", path: dir.into(), source })
            }
            Ok(Err(error)) => Err(not_opened("opening the store in", dir, error)),
            Err(panic) => Err(OpenError::Corrupt { path: dir.into(), reason: panic_text(panic.as_ref()) }),
        };
    }
}

/// What an open says: the drive's errors are not the store's.
fn not_opened(action: &'static str, dir: &Path, error: sled::Error) -> OpenError {
    match error {
        sled::Error::Io(source) => OpenError::Io { action, path: dir.into(), source: of_the_system(&source) },
        #[cfg(feature = "failpoints")]
        sled::Error::FailPoint => {
            OpenError::Io { action, path: dir.into(), source: io::Error::other("a failpoint") }
        }
        error => OpenError::Corrupt { path: dir.into(), reason: error.to_string() },
    }
}

/// Places at which sled itself can be made to fail.
#[cfg(feature = "failpoints")]
pub mod failpoints {
    /// Lets a place fail at the passings whose bits are set, the lowest first.
    pub fn set(place: &'static str, passings: u64) {
        sled::fail::set(place, passings);
    }

    /// Lets nothing fail any more.
    pub fn reset() {
        sled::fail::reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Sizes = Sizes { segment_bytes: crate::limits::SEGMENT_BYTES_BY_HAND, reserve_bytes: 0 };

    #[test]
    fn a_damaged_conf_keeps_nobody_from_the_rows() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Engine::open(dir.path(), SMALL);
        let rows = Batch::from([(b"a".to_vec(), Write::of(b"a", Some(b"1".as_slice().into())))]);
        open().unwrap().commit(rows.clone()).unwrap();
        let conf = std::fs::read(dir.path().join("conf")).unwrap();
        for damaged in [b"nonsense".to_vec(), conf[..conf.len() / 2].to_vec(), vec![0; conf.len()]] {
            std::fs::write(dir.path().join("conf"), damaged).unwrap();
            assert_eq!(open().unwrap().get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
            assert_eq!(std::fs::read(dir.path().join("conf")).unwrap(), conf);
        }
    }

    #[test]
    fn a_store_that_somebody_has_open_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let _open = Engine::open(dir.path(), SMALL).unwrap();
        match Engine::open(dir.path(), SMALL).err() {
            Some(OpenError::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::WouldBlock),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_was_moved_away_or_replaced_is_not_taken_for_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), SMALL).unwrap();
        let (db, away) = (dir.path().join("db"), dir.path().join("away"));
        assert_eq!(engine.look_for_file(), Ok(()));
        std::fs::rename(&db, &away).unwrap();
        assert!(engine.look_for_file().unwrap_err().text.contains("cannot be found any more"));
        std::fs::copy(&away, &db).unwrap();
        assert!(engine.look_for_file().unwrap_err().text.contains("another file"));
        std::fs::rename(&away, &db).unwrap();
        assert_eq!(engine.look_for_file(), Ok(()), "where it is the same again, it is the store");
    }

    #[test]
    fn a_store_that_could_not_be_written_has_no_copy_and_a_copy_that_lacks_something_is_none() {
        let root = tempfile::tempdir().unwrap();
        let (store, copy) = (root.path().join("store"), root.path().join("copy"));
        for dir in [&store, &copy] {
            std::fs::create_dir(dir).unwrap();
        }
        let engine = Engine::open(&store, SMALL).unwrap();
        let rows = |key: &[u8]| Batch::from([(key.to_vec(), Write::of(key, Some(b"1".as_slice().into())))]);
        engine.commit(rows(b"a")).unwrap();
        engine.begin_copy(&copy).unwrap();
        assert_eq!(engine.copy_part(), Ok(false));
        engine.commit(rows(b"b")).unwrap();
        assert_eq!(engine.finish_copy(&copy), Ok(()));
        engine.begin_copy(&copy).unwrap();
        engine.copy_part().unwrap();
        engine.copy().as_ref().unwrap().files.db().unwrap().remove(keys::TOTAL).unwrap();
        assert!(engine.finish_copy(&copy).unwrap_err().text.contains("lacks"));
        engine.drop_copy();
        engine.begin_copy(&copy).unwrap();
        engine.have_room_for(0);
        assert!(engine.commit(rows(b"c")).is_err());
        assert!(engine.copy_part().is_err(), "which of the two it would be a copy of, nobody knows");
    }

    #[test]
    fn nothing_is_committed_after_a_sync_that_failed_behind_a_read() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), SMALL).unwrap();
        let rows = Batch::from([(b"a".to_vec(), Write::of(b"a", Some(b"1".as_slice().into())))]);
        engine.commit(rows.clone()).unwrap();
        let failed = DiskError::new("sync: the drive is gone");
        *engine.broken() = Some(failed.clone());
        assert_eq!(engine.commit(rows.clone()), Err(failed));
        assert!(engine.get(b"a").unwrap().is_some(), "what is there can still be read");
    }
}
