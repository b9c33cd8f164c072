//! The lock of a spool: one process writes, or several look.
//!
//! Owns:  who may open a spool now, what the others are told.
//! Never: looks at anything else in the spool.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::drive::io_error;
use crate::error::OpenError;
use crate::limits::LOCK_WAIT;

/// Takes the lock, alone, with a little patience for a process that is just ending; `holder` is what others are told.
pub(crate) fn take(path: &Path, holder: &str) -> Result<File, OpenError> {
    let file_path = path.join("lock");
    if !file_path.exists() {
        // Before there is one again, which nobody holds.
        nobody_has_store(path)?;
    }
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&file_path);
    let mut file = open.map_err(io_error("opening", &file_path))?;
    match with_patience(|| file.try_lock()) {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { path: path.into(), holder: holder_of(&file) });
        }
        Err(fs::TryLockError::Error(source)) => {
            return Err(OpenError::Io { action: "locking", path: file_path, source });
        }
    }
    nobody_has_store(path)?;
    // For the person who meets the lock; nothing depends on it.
    let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
    Ok(file)
}

/// Takes the lock for a look, beside others that look; while it is held, nobody can open the spool to write.
pub(crate) fn take_to_look(path: &Path) -> Result<File, OpenError> {
    let file_path = path.join("lock");
    let lock = match File::open(&file_path) {
        // It got lost, and nobody holds what is not there. The folder's own handle keeps nobody out.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            nobody_has_store(path)?;
            File::open(path)
        }
        lock => lock,
    };
    let lock = lock.map_err(io_error("opening", &file_path))?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            Err(OpenError::InUse { path: path.into(), holder: holder_of(&lock) })
        }
        Err(fs::TryLockError::Error(source)) => {
            Err(OpenError::Io { action: "locking", path: file_path, source })
        }
    }
}

/// Refuses a store that some process has open although the lock is free: somebody removed the file of the lock. The engine keeps
/// a lock of its own on the store's file, but would be asked only after the store has been looked at, and perhaps mended. (A
/// process that closed the spool lets go of the lock at once, and of the store with its last handle.)
fn nobody_has_store(path: &Path) -> Result<(), OpenError> {
    let db = path.join("store").join("db");
    let file = match File::open(&db) {
        // There is nothing that anybody could have open, or the one who opens it says what is wrong with it.
        Err(_) => return Ok(()),
        Ok(file) => file,
    };
    match with_patience(|| file.try_lock_shared()) {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => {
            let holder = "another process (it does not hold the file `lock`: was that removed?)".to_owned();
            Err(OpenError::InUse { path: path.into(), holder })
        }
        Err(fs::TryLockError::Error(source)) => Err(OpenError::Io { action: "locking", path: db, source }),
    }
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
        drop(first);
        assert!(Spool::open(dir.path(), "me", Sizes::WITHOUT_RESERVE).is_ok());
    }
}
