//! Measures Outbox, each figure beside a baseline that runs in the same minutes.
//!
//! Owns:  the command line: one command for each measurement.
//! Never: judges: a missed target is printed, and only a failure changes the exit code.

mod backlog;
mod bare;
mod bare_http;
mod daemon;
mod disk;
mod drain;
mod fill;
mod idle;
mod latency;
mod life;
mod options;
#[cfg(feature = "peers")]
mod peers;
mod process;
mod recovery;
mod report;
mod rounds;
mod service;
mod socket;
mod stats;
mod submit;
mod wire;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

/// Measures Outbox. Figures of one machine say little: read the ratios, whose baseline ran in the same minutes.
#[derive(Debug, Parser)]
#[command(
    name = "outbox-bench",
    version,
    after_help = "Each command prints a table and takes --json FILE. docs/performance.md says what each measures.\n\
                  Exit codes: 0 measured, whether targets were met or not; 1 failed; 2 usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Durable submits through the crate, against bare sled and a raw append
    Submit(submit::Options),
    /// Submit, lease, settle, receipt through the crate, against bare sled
    Life(life::Options),
    /// Submits through the control socket, against a bare server and the crate
    Socket(socket::Options),
    /// A backlog sent to a service that takes everything at once, against a client that only posts
    Drain(drain::Options),
    /// Few and many messages waiting: submit, drain, start, memory, questions
    Backlog(backlog::Options),
    /// Percentiles of a single submit, alone and beside a drain
    Latency(latency::Options),
    /// Bytes on the drive and bytes written for each message
    Disk(disk::Options),
    /// CPU and wake-ups while the link is down
    Idle(idle::Options),
    /// From the service's return to the first and the last message
    Recovery(recovery::Options),
}

impl Command {
    fn run(&self) -> Result<(report::Report, Option<&Path>)> {
        Ok(match self {
            Self::Submit(options) => (submit::run(options)?, options.common.json.as_deref()),
            Self::Life(options) => (life::run(options)?, options.common.json.as_deref()),
            Self::Socket(options) => (socket::run(options)?, options.common.json.as_deref()),
            Self::Drain(options) => (drain::run(options)?, options.common.json.as_deref()),
            Self::Backlog(options) => (backlog::run(options)?, options.common.json.as_deref()),
            Self::Latency(options) => (latency::run(options)?, options.common.json.as_deref()),
            Self::Disk(options) => (disk::run(options)?, options.common.json.as_deref()),
            Self::Idle(options) => (idle::run(options)?, options.common.json.as_deref()),
            Self::Recovery(options) => (recovery::run(options)?, options.common.json.as_deref()),
        })
    }
}

/// The runtime of clients, and of servers that are measured.
fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting a runtime")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cfg!(debug_assertions) {
        eprintln!(
            "outbox-bench: this is a debug build, whose figures mean nothing: use `cargo run --release`"
        );
    }
    match cli.command.run().and_then(|(report, json)| report.give(json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outbox-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
