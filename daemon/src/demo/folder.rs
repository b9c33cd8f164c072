//! The demo's temporary folder.
//!
//! Owns:  its name, its permissions, its removal.
//! Never: removes a folder that it did not make.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use outbox_control::paths::check_socket_path;

/// Where folders go if the system's own place has a path too long for a socket.
const SHORT_PLACE: &str = "/tmp";

/// A folder that is removed when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Remove,
    Keep,
}

impl Folder {
    /// Makes a folder that only this user can open.
    ///
    /// # Errors
    /// With its path, if the system refuses.
    pub(super) fn create() -> Result<Self, (PathBuf, io::Error)> {
        let name = format!("outbox-demo-{:08x}", getrandom::u32().unwrap_or_else(|_| std::process::id()));
        let mut path = std::env::temp_dir().join(&name);
        if check_socket_path(&path.join("outbox.sock")).is_err() {
            path = Path::new(SHORT_PLACE).join(name);
        }
        // One that is there already belongs to somebody else: that is an error.
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path, fate: Fate::Remove }),
            Err(error) => Err((path, error)),
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The spool inside.
    pub(super) fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// The socket inside.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("outbox.sock")
    }

    /// Leaves it where it is.
    pub(super) const fn keep(&mut self) {
        self.fate = Fate::Keep;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.fate == Fate::Remove {
            // What cannot be removed is left to the system's own cleaning of temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_unless_it_is_kept() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(folder.spool(), "x").unwrap();
        drop(folder);
        assert!(!path.exists());

        let mut folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        folder.keep();
        drop(folder);
        assert!(path.exists());
        fs::remove_dir(path).unwrap();
    }
}
