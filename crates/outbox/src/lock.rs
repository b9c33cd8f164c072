//! The lock of a spool: one process writes, or several look.
//!
//! Owns:  who may open a spool now, what the others are told.
//! Never: looks at anything else in the spool.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::crash;
use crate::drive::io_error;
use crate::error::OpenError;
use crate::limits::LOCK_WAIT;

/// A lock that is held as long as this lives.
pub(crate) struct Lock {
    /// `lock`, unless somebody removed it, and the spool's own folder, which cannot be removed without the spool.
    handles: Vec<File>,
}

impl Lock {
    /// Takes it alone, with a little patience for a process that is just ending; `holder` is what others are told.
    pub(crate) fn take(path: &Path, holder: &str) -> Result<Self, OpenError> {
        let file_path = path.join("lock");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let opened = crash::around("create lock", || options.open(&file_path));
        let mut file = opened.map_err(io_error("opening", &file_path))?;
        locked(path, &file_path, with_patience(|| file.try_lock()), || holder_of(&file))?;
        let folder = File::open(path).map_err(io_error("opening", path))?;
        locked(path, path, with_patience(|| folder.try_lock()), holder_without_file)?;
        // For the person who meets the lock; nothing depends on it.
        let _ =
            crash::around("write lock", || file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())));
        Ok(Self { handles: vec![file, folder] })
    }

    /// Takes it beside others that look; while it is held, nobody can open the spool to write.
    pub(crate) fn take_to_look(path: &Path) -> Result<Self, OpenError> {
        let file_path = path.join("lock");
        let mut handles = Vec::new();
        match File::open(&file_path) {
            Ok(file) => {
                locked(path, &file_path, file.try_lock_shared(), || holder_of(&file))?;
                handles.push(file);
            }
            // It got lost, or a copy of the spool has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("opening", &file_path)(error)),
        }
        let folder = File::open(path).map_err(io_error("opening", path))?;
        locked(path, path, folder.try_lock_shared(), holder_without_file)?;
        handles.push(folder);
        Ok(Self { handles })
    }

    /// Lets go of it before its end.
    pub(crate) fn release(&self) -> io::Result<()> {
        self.handles.iter().try_for_each(File::unlock)
    }
}

/// What taking a lock on a part of the spool came to.
fn locked(
    spool: &Path,
    part: &Path,
    come: Result<(), fs::TryLockError>,
    holder: impl FnOnce() -> String,
) -> Result<(), OpenError> {
    match come {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: spool.into(), holder: holder() }),
        Err(fs::TryLockError::Error(source)) => {
            Err(OpenError::Io { action: "locking", path: part.into(), source })
        }
    }
}

fn holder_without_file() -> String {
    "another process (it does not hold the file `lock`: was that removed?)".to_owned()
}

/// Asks for a lock until it is free or [`LOCK_WAIT`] is over.
fn with_patience(lock: impl Fn() -> Result<(), fs::TryLockError>) -> Result<(), fs::TryLockError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let started = Instant::now();
    loop {
        match lock() {
            Err(fs::TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => std::thread::sleep(PAUSE),
            come => return come,
        }
    }
}

/// What the process that has a lock wrote about itself.
fn holder_of(lock: &File) -> String {
    let mut text = String::new();
    // For the person who meets the lock; without it the rest of the sentence is true as well.
    let _ = lock.take(1024).read_to_string(&mut text);
    let text = text.trim();
    if text.is_empty() { "another process".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Sizes;
    use crate::spool::Spool;

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
    fn a_store_that_somebody_has_open_is_left_alone_although_the_lock_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Spool::open(dir.path(), "outboxd, pid 17", Sizes::WITHOUT_RESERVE).ok().unwrap();
        fs::remove_file(dir.path().join("lock")).unwrap();
        let of_open = Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).err().unwrap();
        let of_look = Spool::look(dir.path()).err().unwrap();
        for error in [of_open, of_look] {
            assert!(
                matches!(&error, OpenError::InUse { holder, .. } if holder.contains("`lock`")),
                "{error}"
            );
        }
        fs::remove_file(dir.path().join("lock")).unwrap();
        // As for a moment of each exchange of the store.
        fs::rename(dir.path().join("store"), dir.path().join("store.old")).unwrap();
        assert!(
            Spool::look(dir.path()).is_err()
                && Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).is_err()
        );
        drop(first);
        assert!(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).is_ok());
    }
}
