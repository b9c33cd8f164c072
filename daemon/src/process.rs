//! What the process asks of the system for itself: who reads the files that it makes, what a crash leaves, how many files
//! and connections it may have open.
//!
//! Owns:  the mask of new files, the limits of core files and of open files.
//! Never: changes the mode of a file that was there before, asks for more than its user may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Open files that are asked for, where the system gives a process fewer: thousands of attempts at once, each with its
/// connection, beside those of the control socket.
const FILES: u64 = 16_384;

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

/// Lets the process have many files open, as far as its user may.
pub fn allow_many_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < FILES
    {
        // Up to the hard limit it is always permitted; without it, attempts beyond fail as not reached and say why.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, FILES.min(hard).max(soft), hard);
    }
}
