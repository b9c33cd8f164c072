//! What the process asks of the system for itself: who reads the files that it makes, what a crash leaves, how many files
//! and connections it may have open; and how a panic is told.
//!
//! Owns:  the mask of new files, the limits of core files and of open files, the hook of panics.
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

/// How many files the process may have open now.
pub(crate) fn files_max() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(FILES, |(soft, _)| soft)
}

/// Has panics of the storage engine told as lines of the log: on some damage it panics, and its caller makes an error of that.
/// All others are told as usual.
pub fn log_engine_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|place| is_of_engine(place.file())) {
            let what = panic.payload_as_str().unwrap_or("no words");
            tracing::warn!(what, "The storage engine gave up on something that it had read.");
        } else {
            usual(panic);
        }
    }));
}

/// Whether a source file is one of the storage engine's.
fn is_of_engine(file: &str) -> bool {
    file.split(['/', '\\']).any(|part| part.starts_with("sled-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engines_panics_are_its_own() {
        assert!(is_of_engine("/home/me/.cargo/registry/src/index.crates.io-1949/sled-0.34.7/src/tree.rs"));
        assert!(!is_of_engine("daemon/src/engine/mod.rs"));
        assert!(!is_of_engine("/home/me/toboggans/unsled-1/src/lib.rs"));
    }
}
