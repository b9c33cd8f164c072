//! Baselines at the disk: the same bytes without a store around them.
//!
//! Owns:  sled as such, and a log of raw writes, each synced as the store is.
//! Never: checks, orders or remembers a message.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Segments as the store has them: a group must fit into one.
const SEGMENT_BYTES: usize = outbox::limits::SEGMENT_BYTES;
/// The page cache as the store has it.
const CACHE_BYTES: u64 = outbox::limits::CACHE_BYTES;
/// Bytes of one write while a log is made.
const PIECE_BYTES: usize = 1024 * 1024;

/// sled with nothing around it but the sync that its own flush leaves out.
pub(crate) struct BareSled {
    db: sled::Db,
    file: File,
    dir: PathBuf,
}

/// Rows of one group: written where there is a value, removed where there is none.
pub(crate) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl BareSled {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let opening = || format!("opening bare sled in {}", dir.display());
        let config = sled::Config::new()
            .path(dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let db = config.open().with_context(opening)?;
        let file = File::options().read(true).write(true).open(dir.join("db")).with_context(opening)?;
        Ok(Self { db, file, dir: dir.to_owned() })
    }

    /// Applies a group and returns once it is on the drive.
    pub(crate) fn commit(&self, rows: Rows) -> Result<()> {
        let committing = || format!("committing to bare sled in {}", self.dir.display());
        let count = rows.len();
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).with_context(committing)?;
        self.db.flush().with_context(committing)?;
        self.file.sync_data().with_context(committing)?;
        // sled 0.34 collects the garbage of its epochs a little with each operation, and a batch counts as one.
        // Without about as many operations as the batch had rows it is never collected, and memory grows
        // without end. A get is the cheapest operation.
        for _ in 0..count {
            let _ = self.db.get(b"").with_context(committing)?;
        }
        Ok(())
    }
}

/// A log of fixed size that is written round and round, each write synced. Its space was written before: a file
/// that grows makes the file system write its own records with each sync, and the drive's best would not show.
pub(crate) struct RawLog {
    file: File,
    path: PathBuf,
    bytes: usize,
    at: usize,
    buffer: Vec<u8>,
}

impl RawLog {
    /// Makes a log of so many bytes and writes them all once.
    pub(crate) fn create(path: &Path, bytes: usize) -> Result<Self> {
        let making = || format!("making {}", path.display());
        let mut file = File::options().write(true).create_new(true).open(path).with_context(making)?;
        let zeros = vec![0; PIECE_BYTES];
        for _ in 0..bytes.div_ceil(PIECE_BYTES) {
            file.write_all(&zeros).with_context(making)?;
        }
        file.sync_all().with_context(making)?;
        Ok(Self { file, path: path.to_owned(), bytes, at: 0, buffer: Vec::new() })
    }

    /// Appends all parts with one write and returns once they are on the drive.
    pub(crate) fn append<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        self.buffer.clear();
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        if self.at + self.buffer.len() > self.bytes {
            self.at = 0;
        }
        let appending = || format!("appending to {}", self.path.display());
        self.file.write_all_at(&self.buffer, self.at as u64).with_context(appending)?;
        self.at += self.buffer.len();
        self.file.sync_data().with_context(appending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keep_what_they_are_given() {
        let dir = tempfile::tempdir().unwrap();
        let bare = BareSled::open(&dir.path().join("sled")).unwrap();
        bare.commit(vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), Some(b"2".to_vec()))])
            .unwrap();
        bare.commit(vec![(b"b".to_vec(), None)]).unwrap();
        assert_eq!(bare.db.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
        assert_eq!(bare.db.len(), 1);
        let path = dir.path().join("raw");
        let mut raw = RawLog::create(&path, 4).unwrap();
        raw.append([b"ab".as_slice(), b"c"]).unwrap();
        raw.append([b"d".as_slice()]).unwrap();
        assert_eq!(&std::fs::read(&path).unwrap()[..4], b"abcd");
        raw.append([b"e".as_slice()]).unwrap();
        assert_eq!(&std::fs::read(&path).unwrap()[..4], b"ebcd", "it begins again where it is full");
    }
}
