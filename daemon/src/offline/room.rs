//! Where the copies of a store lie while a command looks at it.
//!
//! Owns:  that folder and its removal: at the end, at a signal, and by the next run behind one that was killed; the exit code of
//!        a signal.
//! Never: removes a folder whose process may be alive, or that is not known to be ours.
//!
//! A signal does not wait for the work: the storage engine cannot be interrupted while it reads a log. The folder goes from under
//! it, nobody hears any more what the work comes to, and a second signal does not even wait for the removal.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::Uid;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::cli::EXIT_SIGNAL;

/// What the folders' names begin with; a random number follows.
const NAME: &str = "outbox-copy-";

/// The file in a folder that its process holds locked, once it has this name.
const LOCK: &str = "lock";

/// How often a removal is tried: a thread that is at work may make a file or two in the folder until it finds it gone.
const REMOVALS_MAX: usize = 100;

/// A folder for copies that goes with its owner, or with the process at a signal.
pub(super) struct Room {
    path: PathBuf,
    /// Held by whoever ends the process, for ever.
    end: Arc<Mutex<()>>,
    /// Held, not read: it tells other runs that this one is alive. Without it they leave the folder alone.
    _lock: Option<File>,
}

impl Room {
    /// Makes a folder in the system's place for temporary files, after those of runs that were killed are gone from there.
    pub(super) fn make() -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        sweep(&place);
        let path = place.join(format!("{NAME}{:016x}", random()));
        let end = Arc::<Mutex<()>>::default();
        // Before there is something to remove: a signal must find its handler.
        end_at_signal(path.clone(), Arc::clone(&end)).map_err(Failure::Signals)?;
        // One that is there already belongs to somebody else: that is an error.
        let created = {
            let _nobody_removes = end.lock().unwrap_or_else(PoisonError::into_inner);
            DirBuilder::new().mode(0o700).create(&path)
        };
        created.map_err(|source| Failure::Room { path: path.clone(), source })?;
        let lock = lock(&path).ok();
        Ok(Self { path, end, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Where a signal has come first, this waits for the end of the process.
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        remove(&self.path);
        // A signal that comes now is too late to change what is told of the work.
        std::mem::forget(end);
    }
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| std::process::id().into())
}

/// Locks a folder as one that is in use. The file gets its name once it is locked: whoever finds it unlocked knows that its
/// process is gone.
fn lock(folder: &Path) -> io::Result<File> {
    let unlocked = folder.join("lock.new");
    let lock = File::create(&unlocked)?;
    lock.try_lock()?;
    fs::rename(unlocked, folder.join(LOCK))?;
    Ok(lock)
}

/// Removes the folders of runs that were killed. What cannot be removed is left to the system's own cleaning.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().to_string_lossy().starts_with(NAME);
        let is_ours = |data: fs::Metadata| data.is_dir() && data.uid() == Uid::effective().as_raw();
        if !is_named_so || !entry.metadata().is_ok_and(is_ours) {
            continue;
        }
        if let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            remove(&entry.path());
        }
    }
}

/// Removes a folder in which somebody may still be at work. Its lock goes last: what an interrupted removal leaves is known by that.
fn remove(folder: &Path) {
    for _ in 0..REMOVALS_MAX {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() != LOCK {
                // What stays is met again.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
        if fs::remove_dir_all(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return;
        }
    }
}

/// Has a signal that would end the process remove the folder first.
fn end_at_signal(folder: PathBuf, end: Arc<Mutex<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = Signals::listen(&runtime)?;
    let wait = move || {
        let code = runtime.block_on(signals.code());
        let removal = std::thread::Builder::new().name("outbox-removal".into()).spawn(move || {
            let _nobody_else_ends = end.lock().unwrap_or_else(PoisonError::into_inner);
            remove(&folder);
            std::process::exit(code);
        });
        if removal.is_ok() {
            // The second one.
            std::process::exit(runtime.block_on(signals.code()));
        }
        std::process::exit(code);
    };
    std::thread::Builder::new().name("outbox-signals".into()).spawn(wait).map(drop)
}

/// The signals that end the process.
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Those that whoever started the process wants ignored (`nohup`, a script's background) stay so.
    fn listen(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        let ignored = ignored();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The exit code of the next one.
    async fn code(&mut self) -> i32 {
        let kind = tokio::select! {
            () = next(&mut self.terminate) => SignalKind::terminate(),
            () = next(&mut self.interrupt) => SignalKind::interrupt(),
            () = next(&mut self.hang_up) => SignalKind::hangup(),
        };
        EXIT_SIGNAL + kind.as_raw_value()
    }
}

async fn next(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}

/// The signals that the process ignores, a bit each; none where the system does not tell.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
