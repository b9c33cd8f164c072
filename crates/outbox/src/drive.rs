//! The drive, as far as every file of ours meets it: what its errors mean, and what is done to make something durable.
//!
//! Owns:  which error may pass, what is said of one.
//! Never: knows which file it is.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::OpenError;

/// A failure of the storage engine, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct DiskError {
    pub(crate) text: String,
    /// There was no room. That passes: the store can be opened again once there is.
    pub(crate) is_full: bool,
    /// What was read is not what was written.
    pub(crate) is_damage: bool,
}

impl DiskError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_full: false, is_damage: false }
    }

    pub(crate) fn of_io(what: &str, error: &io::Error) -> Self {
        // sled says it in the words of a debugger.
        let is_full = is_full(error);
        let text =
            if is_full { format!("{what}no space left on the device") } else { format!("{what}{error}") };
        Self { is_full, ..Self::new(text) }
    }

    pub(crate) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        Self::new(format!("the storage engine panicked: {}", panic_text(panic)))
    }
}

/// The same, where it is a part of something else that failed.
impl From<OpenError> for DiskError {
    fn from(error: OpenError) -> Self {
        let is_full = matches!(&error, OpenError::Io { source, .. } if is_full(source));
        Self { is_full, ..Self::new(error.to_string()) }
    }
}

impl DiskError {
    /// The same as an error of an open.
    pub(crate) fn in_open(self, path: &Path) -> OpenError {
        if self.is_full {
            let source = io::ErrorKind::StorageFull.into();
            return OpenError::Io { action: "writing the store in", path: path.into(), source };
        }
        OpenError::Corrupt { path: path.into(), reason: self.text }
    }
}

/// Whether an error says that there is no room, or none left for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that this process, or the system, has no files or memory left, whatever the drive has.
pub(crate) fn is_of_process(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| short.iter().any(|short| short.raw_os_error() == code))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "the storage engine panicked".to_owned())
}

/// Lets the system forget what it has in memory of the store's file: after a write that failed it may show what never reached
/// the drive. A hint; where it is not taken, the store's own check of its log is what is left.
pub(crate) fn forget_cached(dir: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = File::open(dir.join("db")) {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = dir;
}

/// Makes a file's content, or a directory's entries, durable.
pub(crate) fn sync_path(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("syncing", path))
}

/// Turns an I/O error into an [`OpenError`] that names action and path.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io { action, path: path.into(), source }
}
