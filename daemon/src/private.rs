//! What the process keeps to itself: the files that it makes, and its memory when it crashes.
//!
//! Owns:  the mask of new files, the limit of core files.
//! Never: changes the mode of a file that was there before.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Closes whatever the process makes from here on to everybody else, and has a crash leave no core file: messages and
/// credentials would lie in both. The socket and its folders get their configured modes all the same.
///
/// A person who needs a core file can have one: `prlimit --core=unlimited --pid PID`.
pub fn keep_private() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        // Lowering one's own limit is always permitted.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
}
