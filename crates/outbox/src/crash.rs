//! Crash points: places at which a test lets the process die, as a kill would at this very moment.
//!
//! Owns:  the list of them; which one it is to be, and at which passing.
//! Never: is part of a build without the feature `crash-points`: nothing is left of the calls then.
//!
//! `OUTBOX_CRASH="before settle 3"` ends the process at the third passing of that place. `OUTBOX_CRASH_LOG` names a file that
//! gets a line for each passing. `OUTBOX_CRASH_PIPE` names a pipe that is read there, to its end, instead of a death.

/// Everything that a kill may come before, and behind.
pub const POINTS: [&str; 78] = [
    // Verbs: carried out and not committed; durable and not answered.
    "submit",
    "lease",
    "settle",
    "extend",
    "take back",
    "put off",
    "hold",
    "release",
    "resend",
    "cancel",
    "resolve",
    "restore entry",
    "restore receipt",
    "tick",
    "wake",
    "pause",
    "resume",
    "reconfigure",
    "batch",
    "set account",
    "flush",
    "recover",
    "rebuild",
    // A group on its way to the drive.
    "apply",
    "let go",
    "sync",
    // The same of a copy that is being made.
    "apply to copy",
    "let go of copy",
    "sync copy",
    "mend",
    "quarantine",
    // Files of the spool.
    "create folder",
    "remove folder",
    "create lock",
    "write lock",
    "write format",
    "write ready",
    "write check",
    "remove check",
    "write clean",
    "remove clean",
    "write seal",
    "rename seal",
    "create last",
    "write last",
    "sync last",
    "write payload",
    "rename payload",
    "remove payload",
    "remove snapshot",
    "open store",
    "set conf aside",
    "sync store",
    "keep room",
    "give room back",
    "write db",
    "write whole",
    "move store away",
    "move store in",
    "sweep",
    "make anew",
    "link payload",
    "copy seal",
    "write unsaid",
    "keep store",
    "name kept",
    "write anew",
    "note",
    "say anew",
    "write quarantine",
    // The daemon.
    "attempt",
    "create socket folder",
    "create socket lock",
    "write socket lock",
    "remove dead socket",
    "bind socket",
    "chmod socket",
    "remove socket",
];

/// What comes next may be what a kill comes before.
#[inline]
pub fn before(what: &'static str) {
    #[cfg(feature = "crash-points")]
    pass::by("before", what);
    #[cfg(not(feature = "crash-points"))]
    let _ = what;
}

/// What is done now may be what a kill comes behind.
#[inline]
pub fn after(what: &'static str) {
    #[cfg(feature = "crash-points")]
    pass::by("after", what);
    #[cfg(not(feature = "crash-points"))]
    let _ = what;
}

/// Both, around something.
#[inline]
pub fn around<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    before(what);
    let answer = work();
    after(what);
    answer
}

#[cfg(feature = "crash-points")]
mod pass {
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What the environment asks for.
    #[derive(Default)]
    struct Asked {
        point: Option<(String, usize)>,
        log: Option<File>,
        pipe: Option<PathBuf>,
        passed: AtomicUsize,
    }

    /// Somebody passes a place.
    pub(super) fn by(side: &str, what: &'static str) {
        static ASKED: OnceLock<Asked> = OnceLock::new();
        debug_assert!(super::POINTS.contains(&what), "{what} is not in the list of crash points");
        let asked = ASKED.get_or_init(read);
        if asked.point.is_none() && asked.log.is_none() {
            return;
        }
        let place = format!("{side} {what}");
        if let Some(mut log) = asked.log.as_ref() {
            // A test that misses a line says that the place was never passed.
            let _ = log.write_all(format!("{place}\n").as_bytes());
        }
        if let Some((point, at)) = &asked.point
            && *point == place
            && asked.passed.fetch_add(1, Ordering::SeqCst) + 1 == *at
        {
            let Some(pipe) = &asked.pipe else { std::process::abort() };
            // A test that nobody waits for notices.
            let _ = std::fs::read(pipe);
        }
    }

    fn read() -> Asked {
        let point = std::env::var("OUTBOX_CRASH").ok().and_then(|text| {
            let (place, at) = text.rsplit_once(' ')?;
            Some((place.to_owned(), at.parse().ok()?))
        });
        let log = std::env::var_os("OUTBOX_CRASH_LOG")
            .and_then(|path| File::options().append(true).create(true).open(path).ok());
        let pipe = std::env::var_os("OUTBOX_CRASH_PIPE").map(PathBuf::from);
        Asked { point, log, pipe, passed: AtomicUsize::new(0) }
    }
}
