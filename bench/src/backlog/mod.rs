//! `backlog`: what a daemon costs with few and with many messages waiting.
//!
//! Owns:  backlogs of several sizes, kept side by side and visited in turns.
//! Never: runs two daemons at once.

mod case;
mod tables;

use anyhow::{Result, ensure};
use clap::Args;

use crate::daemon::Program;
use crate::options::Common;
use crate::report::Report;
use crate::service::Service;
use case::{Case, Setting};

/// Options of `backlog`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("rounds", |arg| arg.default_value("2")))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Messages that wait. The promise is about 1000000, which takes minutes and gigabytes
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000], value_parser = clap::value_parser!(u64).range(1..=1_900_000))]
    messages: Vec<u64>,
    /// Conversations that they belong to: each backlog is made for each number
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 1], value_parser = clap::value_parser!(u64).range(1..))]
    conversations: Vec<u64>,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Messages that are submitted and sent in each round beside the backlog, whatever its size
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(8..=50_000))]
    drain: u64,
    /// Requests under way at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    ensure!(!options.messages.is_empty(), "--messages names no size");
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    let service = Service::start()?;
    let setting = Setting {
        program: &program,
        service: &service,
        drain: options.drain,
        payload: options.payload,
        concurrency: usize::from(options.concurrency),
    };
    let mut report = Report::new("backlog");
    report.set("rounds", options.common.rounds);
    report.set("payload", options.payload);
    report.set("drain", options.drain);
    report.set("concurrency", options.concurrency);
    for conversations in &options.conversations {
        let mut cases = Vec::new();
        for size in &options.messages {
            cases.push(runtime.block_on(Case::fill(&setting, folder.fresh(), *size, *conversations))?);
        }
        for round in 0..options.common.rounds as usize {
            for turn in 0..cases.len() {
                let at = (round + turn) % cases.len();
                if let Some(case) = cases.get_mut(at) {
                    runtime.block_on(case.visit(&setting))?;
                }
            }
        }
        for table in tables::tables(*conversations, &cases) {
            report.table(table);
        }
    }
    for note in tables::NOTES {
        report.note(note);
    }
    Ok(report)
}
