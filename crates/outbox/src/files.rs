//! Work on files and folders, whichever they are.
//!
//! Owns:  copies, removal of folders, files and folders that are their owner's alone, and durable.
//! Never: knows what lies in them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::crash;
use crate::drive::io_error;
use crate::error::OpenError;
use crate::limits::COPY_PART_BYTES;

/// How many files lie in a folder; none where it is not there.
pub(crate) fn files_in(folder: &Path) -> usize {
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    fs::read_dir(folder).map_or(0, |entries| entries.flatten().filter(is_file).count())
}

/// With reads and writes: what the system does instead differs from one file system to the other. What is only zeros takes
/// no room in the copy.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (open_plain(from)?, File::create(to)?);
    let mut part = vec![0; COPY_PART_BYTES];
    loop {
        match from.read(&mut part)? {
            0 => break,
            read if part[..read].iter().all(|byte| *byte == 0) => {
                to.seek_relative(i64::try_from(read).map_err(io::Error::other)?)?;
            }
            read => to.write_all(&part[..read])?,
        }
    }
    let end = to.stream_position()?;
    to.set_len(end)
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

/// Removes a folder, if it is there, with what is in it.
pub(crate) fn remove_folder(path: &Path) -> Result<(), OpenError> {
    match crash::around("remove folder", || fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Opens a file to read it. A pipe in its place would be waited for without an end.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        let no_wait = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, no_wait);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a folder, a pipe or a device lies in its place",
        ));
    }
    Ok(file)
}

/// Reads a file of ours as far as one of its kind can go: what is longer is none.
pub(crate) fn read_head(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a folder that only its owner may look into, and those that it lies in.
pub(crate) fn make_dir(path: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    crash::around("create folder", || builder.create(path)).map_err(io_error("creating", path))
}

/// Makes the names of a folder and of those that it lies in durable, as far as this user may: who made them, or a start before
/// this one, may not have come to it.
pub(crate) fn sync_names(path: &Path) -> Result<(), OpenError> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    for parent in path.ancestors().skip(1) {
        match File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| (error.kind(), error)) {
            // Nothing more can be done by who may not read it, or where the system does this to no folder.
            Ok(()) | Err((PermissionDenied | InvalidInput | Unsupported, _)) => {}
            Err((_, source)) => return Err(io_error("syncing", parent)(source)),
        }
    }
    Ok(())
}

/// Writes a file and makes its content durable.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    write_synced(path, bytes).map_err(io_error("writing", path))
}

/// The same, with the error as the system has it.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
    fn what_is_only_zeros_takes_no_room_in_a_copy() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        let mut bytes = vec![0; 5_000_000];
        bytes[0] = 1;
        bytes[3_000_000] = 1;
        fs::write(&from, &bytes).unwrap();
        copy_file(&from, &to).unwrap();
        assert!(fs::read(&to).unwrap() == bytes);
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 4_000_000);
    }
}
