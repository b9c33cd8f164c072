//! The reserve: room that the file system keeps for the store's file, so that a full disk stops nothing but new messages.
//!
//! Owns:  the blocks allocated behind the file's end, how many there are, when more are asked for.
//! Never: changes what is in a file or how long it is, fails a commit: where nothing can be kept, the store goes on without.
//!
//! A file of ballast that is removed when the disk is full gives its room to whoever writes next. Blocks that belong to the
//! store's own file are nobody else's.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::fstatvfs;

use crate::crash;
use crate::limits::{OPEN_ROOM_BYTES, RESERVE_STEPS};

/// Keeps room for one file.
pub(crate) struct Reserve {
    wanted_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    /// Length of the file when it was last looked at.
    file_bytes: u64,
    /// Up to here the file has blocks.
    end: u64,
}

impl Reserve {
    /// A reserve of so many bytes; 0 keeps nothing.
    pub(crate) fn of(wanted_bytes: u64) -> Self {
        Self { wanted_bytes, held: Mutex::default() }
    }

    /// Bytes that are kept now.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = *self.held();
        held.end.saturating_sub(held.file_bytes)
    }

    /// Asks for what is missing behind the end of the file, where the file may have grown into what was kept, or been cut.
    pub(crate) fn keep(&self, file: &File) {
        if self.wanted_bytes == 0 {
            return;
        }
        let Ok(file_bytes) = file.metadata().map(|data| data.len()) else { return };
        let mut held = self.held();
        if file_bytes < held.file_bytes {
            // What lies behind the end goes with a cut.
            held.end = file_bytes;
        }
        held.file_bytes = file_bytes;
        held.end = held.end.max(file_bytes);
        let end = file_bytes + self.wanted_bytes;
        let missing = end - held.end;
        if missing > self.wanted_bytes / RESERVE_STEPS {
            let more = missing.min(free_bytes(file));
            if more > 0 && crash::around("keep room", || allocate(file, held.end, more)) {
                held.end += more;
            }
        }
    }

    /// Gives the reserve of a closed store back where it may not open without: an open writes a little beside the store's file.
    pub(crate) fn make_room(&self, dir: &Path) {
        *self.held() = Held::default();
        if File::open(dir).is_ok_and(|dir| free_bytes(&dir) < OPEN_ROOM_BYTES) {
            give_back(dir);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives back what is kept for the file of a store that is closed.
pub(crate) fn give_back(dir: &Path) {
    if let Ok(file) = File::options().write(true).open(dir.join("db")) {
        // To the length that it has: only what lies behind goes. If nothing does, whoever needs room says so.
        let _ = crash::around("give room back", || file.metadata().and_then(|data| file.set_len(data.len())));
    }
}

/// Gives a file blocks from there on, whatever its length.
#[cfg(target_os = "linux")]
fn allocate(file: &File, from: u64, bytes: u64) -> bool {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, from, bytes).is_ok()
}

/// Only Linux keeps room behind the end of a file.
#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> bool {
    false
}

fn free_bytes(file: &File) -> u64 {
    fstatvfs(file).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn room_is_kept_behind_the_end_and_follows_it() {
        const KEPT: u64 = 1 << 20;
        let mut file = tempfile::tempfile().unwrap();
        let blocks = |file: &File| file.metadata().unwrap().blocks() * 512;
        let reserve = Reserve::of(KEPT);
        file.write_all(&[7; 5_000]).unwrap();
        reserve.keep(&file);
        if reserve.held_bytes() == 0 {
            eprintln!("skipped: this file system keeps no room");
            return;
        }
        assert_eq!(reserve.held_bytes(), KEPT);
        assert_eq!(file.metadata().unwrap().len(), 5_000);
        assert!(blocks(&file) >= 5_000 + KEPT);
        file.write_all(&vec![7; 600_000]).unwrap();
        reserve.keep(&file);
        assert_eq!(reserve.held_bytes(), KEPT);
        file.set_len(5_000).unwrap();
        reserve.keep(&file);
        assert_eq!(reserve.held_bytes(), KEPT);
        assert!(blocks(&file) >= 5_000 + KEPT);
        assert_eq!(file.metadata().unwrap().len(), 5_000);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_wanted() {
        let file = tempfile::tempfile().unwrap();
        let reserve = Reserve::of(0);
        reserve.keep(&file);
        assert_eq!(reserve.held_bytes(), 0);
        assert_eq!(file.metadata().unwrap().blocks(), 0);
    }
}
