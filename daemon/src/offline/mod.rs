//! `outboxd export`, `import` and `fsck`: a spool that no daemon runs on.
//!
//! Owns:  these commands, their words and exit codes.
//! Never: starts an engine or a socket, changes a spool that it only looks at.

mod export;
mod fsck;
mod import;
mod line;
mod owner;
mod room;
mod unline;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use outbox::{Counters, OpenError, OpenReport, Outbox};

use crate::cli::{EXIT_FAILED, EXIT_USAGE};
use crate::config::Config;
use crate::engine::Wake;
use crate::found;
use room::Room;

/// What to do with a spool.
#[derive(Debug)]
pub enum Command {
    /// Print every message, one a line.
    Export {
        /// The spool.
        spool: PathBuf,
    },
    /// Take in messages, one a line.
    Import {
        /// The configuration; its spool is the one to take them.
        config: Box<Config>,
    },
    /// Look at every record.
    Check {
        /// The spool.
        spool: PathBuf,
        /// Print JSON.
        json: bool,
    },
    /// Set aside what cannot be read and make anew what is derived.
    Repair {
        /// The configuration; its spool is the one to repair.
        config: Box<Config>,
        /// Print JSON.
        json: bool,
    },
}

/// Carries a command out.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    // The storage engine panics on some damage: that becomes an error below, not words of a program that broke.
    std::panic::set_hook(Box::new(|_| {}));
    match catch_unwind(AssertUnwindSafe(|| carry_out(command))) {
        Ok(Ok(Verdict::Good)) => ExitCode::SUCCESS,
        Ok(Ok(Verdict::Bad)) => ExitCode::from(EXIT_FAILED),
        Ok(Err(failure)) => failure.tell(),
        Err(_) => Failure::Engine.tell(),
    }
}

fn carry_out(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Export { spool } => export::run(&spool, &Room::make()?, io::stdout().lock()),
        Command::Import { config } => {
            owner::act_as_owner(&config.spool.path)?;
            import::run(&config, io::stdin().lock())
        }
        Command::Check { spool, json } => fsck::check(&spool, &Room::make()?, json, io::stdout().lock()),
        Command::Repair { config, json } => {
            owner::act_as_owner(&config.spool.path)?;
            fsck::repair(&config, &Room::make()?, json, io::stdout().lock())
        }
    }
}

/// How a command that came to its end found things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Store(#[from] outbox::Error),
    #[error("the store is damaged in a way that the storage engine cannot read")]
    Engine,
    #[error("going on as user {owner}, who owns the spool, failed: {source}")]
    Owner { owner: u32, source: io::Error },
    #[error("creating {path} failed: {source}")]
    Room { path: PathBuf, source: io::Error },
    #[error("listening to signals: {0}")]
    Signals(io::Error),
    #[error("reading standard input: {0}")]
    Read(io::Error),
    #[error("writing standard output: {0}")]
    Write(io::Error),
    #[error("what was found in the spool could not be said on standard error: {0}")]
    Say(io::Error),
}

impl Failure {
    fn tell(&self) -> ExitCode {
        let hint = match self {
            // A reader that has seen enough (`| head`) is no failure.
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Open(OpenError::InUse { .. }) => {
                "stop the daemon first, or ask it with outboxctl".to_owned()
            }
            Self::Open(error) => error.hint(),
            Self::Store(_) => "`outboxd fsck` tells what is wrong with the spool".to_owned(),
            Self::Engine => "keep a copy of the spool; what was printed so far could be read".to_owned(),
            Self::Room { .. } => {
                "a copy of the store is looked at, which needs a folder for temporary files: name one in TMPDIR".to_owned()
            }
            Self::Owner { .. } => "run it as that user".to_owned(),
            Self::Signals(_) => "look at the system's limits".to_owned(),
            Self::Read(_) | Self::Write(_) | Self::Say(_) => "look at the file or the pipe".to_owned(),
        };
        // The exit code says it too, if standard error is closed.
        let _ = writeln!(io::stderr().lock(), "outboxd: {self}\n  hint: {hint}");
        ExitCode::from(match self {
            Self::Open(OpenError::NotASpool { .. } | OpenError::NoSpool { .. }) => EXIT_USAGE,
            _ => EXIT_FAILED,
        })
    }
}

/// Opens a spool as the daemon does. What that finds is said at once, or the open fails and leaves it to the next: behind that the
/// spool forgets it.
fn open(config: &Config) -> Result<Outbox, Failure> {
    let store = crate::settings::store_config(config, &Arc::new(Wake::default()));
    let mut unsaid = None;
    let say = |report: &OpenReport, _: &Counters| {
        let mark = report.is_mark_mended.then(|| found::MARK_MENDED.to_owned());
        // Beside what the command itself says.
        let mut out = io::stderr().lock();
        let said = found::words(report)
            .into_iter()
            .chain(mark)
            .try_for_each(|line| writeln!(out, "outboxd: {line}"));
        said.map_err(|error| unsaid.insert(error).kind().into())
    };
    Outbox::open_and_tell(store, say).map_err(|error| unsaid.map_or(Failure::Open(error), Failure::Say))
}
