//! What may lie in a spool: names, of which kind each is, the mark of the format.
//!
//! Owns:  the refusal of folders that are no spools of ours, and of what could be met only late.
//! Never: knows what a file says but for the mark, locks, moves or removes anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::crash;
use crate::drive::io_error;
use crate::error::OpenError;
use crate::files::{read_head, write_synced};
use crate::seal;

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;

const FORMAT_MARK: &str = "outbox spool ";

/// As much of the mark as is read: words and a number of any length that makes sense.
const MARK_BYTES_MAX: u64 = 256;

/// The store while it is rewritten, and what it takes the place of: one that is done with, or a damaged one.
pub(crate) const STORE_NEW: &str = "store.new";
pub(crate) const STORE_OLD: &str = "store.old";
pub(crate) const STORE_DAMAGED: &str = "store.damaged";

/// What could not be read, a file each, and damaged stores as they were.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Everything that may lie in a spool, beside the seals. A directory with anything else and no format mark is not ours.
const FILES: [&str; 5] = ["format", "lock", "ready", "clean", "check"];
pub(crate) const FOLDERS: [&str; 6] = ["store", "payloads", QUARANTINE, STORE_NEW, STORE_OLD, STORE_DAMAGED];

/// What the engine has in its folder.
const ENGINE_FILES: [&str; 2] = ["store/db", "store/conf"];
const STORE: &str = "store";
const ENGINE_FOLDER: &str = "store/blobs";

/// What is neither a file nor a folder.
const LINK_OR_SO: &str = "link, a pipe or a device";

/// What says which format a spool has.
pub(crate) enum Mark {
    /// The one that this program writes.
    Known,
    /// Another one.
    Other(u32),
    /// It is not there, or no mark: the beginning of what is, in quotes.
    Unreadable(String),
}

pub(crate) fn read_mark(path: &Path) -> Result<Mark, OpenError> {
    let mark = path.join("format");
    let found = match read_head(&mark, MARK_BYTES_MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(OpenError::Io { action: "reading", path: mark, source }),
    };
    let number = found.strip_prefix(FORMAT_MARK).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    Ok(match number {
        Some(FORMAT) => Mark::Known,
        // There never was one.
        Some(0) => Mark::Unreadable(format!("{found:?}")),
        Some(number) => Mark::Other(number),
        None => Mark::Unreadable(format!("{:?}", found.chars().take(32).collect::<String>())),
    })
}

/// Refuses a spool in which something else has a name of ours or of the engine than should: a pipe would be waited for without
/// an end, what is written through a link goes wherever that leads, and a folder can only be met late.
pub(crate) fn check_plain(path: &Path) -> Result<(), OpenError> {
    let files = FILES.iter().chain(&seal::NAMES).chain(&ENGINE_FILES).map(|name| (name, "file"));
    let folders = FOLDERS.iter().chain([&ENGINE_FOLDER]).map(|name| (name, "folder"));
    for (name, wanted) in files.chain(folders) {
        let path = path.join(name);
        // What is not there, or cannot be looked at, is met by whoever needs it.
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        let found = match data.file_type() {
            kind if kind.is_file() => "file",
            kind if kind.is_dir() => "folder",
            _ => LINK_OR_SO,
        };
        if found != wanted {
            return Err(odd(path, found, wanted));
        }
    }
    [STORE, ENGINE_FOLDER].iter().try_for_each(|folder| check_within(&path.join(folder)))
}

/// The same for whatever else the engine may read in a folder of its own, whose names only it knows.
fn check_within(folder: &Path) -> Result<(), OpenError> {
    // What cannot be looked at is met by the engine.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
            return Err(odd(entry.path(), LINK_OR_SO, "file"));
        }
    }
    Ok(())
}

fn odd(path: PathBuf, found: &str, wanted: &str) -> OpenError {
    let words = format!("a {found} lies in the place of a {wanted}");
    let source = io::Error::new(io::ErrorKind::InvalidInput, words);
    OpenError::Io { action: "opening", path, source }
}

/// Refuses a directory that holds anything that is not ours, and formats that we do not know. Answers whether the mark of a
/// finished spool is damaged and must be written anew.
pub(crate) fn check_ours(path: &Path, is_ready: bool) -> Result<bool, OpenError> {
    let other = |found| OpenError::Format { path: path.into(), found, known: FORMAT };
    match read_mark(path)? {
        Mark::Known => return Ok(false),
        Mark::Other(number) => return Err(other(number.to_string())),
        Mark::Unreadable(_) if is_ready && seal::Seal::of(path).tells_format() => return Ok(true),
        Mark::Unreadable(found) if is_ready => return Err(other(found)),
        Mark::Unreadable(_) => {}
    }
    // No mark yet: new, or a power cut came while it was made. Then there are only names of ours.
    for entry in fs::read_dir(path).map_err(io_error("reading", path))? {
        let entry = entry.map_err(io_error("reading", path))?;
        let mut names = FILES.iter().chain(&FOLDERS).chain(&seal::NAMES);
        if !names.any(|name| entry.file_name() == *name) {
            return Err(OpenError::NotASpool { path: path.into() });
        }
    }
    Ok(false)
}

/// Whether the spool was finished once: by its mark, or, should that have got lost, by what is only written behind it.
/// Whoever took such a spool for one that is being made would throw away what was promised.
pub(crate) fn was_finished(path: &Path) -> bool {
    ["ready", "clean"].iter().chain(&seal::NAMES).any(|name| path.join(name).exists())
}

pub(crate) fn write_mark(path: &Path) -> Result<(), OpenError> {
    let mark = path.join("format");
    let text = format!("{FORMAT_MARK}{FORMAT}\n");
    let written = crash::around("write format", || write_synced(&mark, text.as_bytes()));
    written.map_err(io_error("writing", &mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Sizes;
    use crate::spool::Spool;

    #[test]
    fn what_is_of_another_kind_in_a_spool_is_refused_and_nothing_is_written_through_it() {
        let root = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (root.path().join("spool"), root.path().join("elsewhere"));
        drop(Spool::open(&path, "me", Sizes::WITHOUT_RESERVE).ok().unwrap());
        fs::write(&elsewhere, "mine").unwrap();
        let files = FILES.iter().chain(&seal::NAMES).chain(&ENGINE_FILES);
        for name in files.chain(&FOLDERS).chain([&ENGINE_FOLDER]) {
            let (odd, away) = (path.join(name), root.path().join("away"));
            let was_there = fs::rename(&odd, &away).is_ok();
            let make_pipe =
                || assert!(std::process::Command::new("mkfifo").arg(&odd).status().unwrap().success());
            let make_link = || std::os::unix::fs::symlink(&elsewhere, &odd).unwrap();
            let is_folder = FOLDERS.contains(name) || *name == ENGINE_FOLDER;
            let make_other = || if is_folder { fs::write(&odd, "") } else { fs::create_dir(&odd) }.unwrap();
            for make in [&make_pipe as &dyn Fn(), &make_link, &make_other] {
                make();
                let of_open = Spool::open(&path, "me", Sizes::WITHOUT_RESERVE).err().unwrap();
                for error in [of_open, Spool::look(&path).err().unwrap()] {
                    assert!(error.hint().starts_with("take away"), "{name}: {error}: {}", error.hint());
                }
                fs::remove_file(&odd).or_else(|_| fs::remove_dir(&odd)).unwrap();
            }
            if was_there {
                fs::rename(&away, &odd).unwrap();
            }
        }
        fs::create_dir_all(path.join(ENGINE_FOLDER)).unwrap();
        for name in ["store/snap.0000000000000001", "store/blobs/5"] {
            assert!(std::process::Command::new("mkfifo").arg(path.join(name)).status().unwrap().success());
            for error in [Spool::open(&path, "me", Sizes::WITHOUT_RESERVE).err(), Spool::look(&path).err()] {
                let error = error.unwrap();
                assert!(error.hint().starts_with("take away"), "{name}: {error}: {}", error.hint());
            }
            fs::remove_file(path.join(name)).unwrap();
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");
        assert!(Spool::open(&path, "me", Sizes::WITHOUT_RESERVE).is_ok());
    }
}
