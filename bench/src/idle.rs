//! `idle`: what a daemon costs while the link is down, with nothing and with much waiting.
//!
//! Owns:  two daemons that are watched in the same windows.
//! Never: talks to them while they are watched.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use outbox_control::types::LinkState;

use crate::daemon::{Daemon, Place, Program, http_toml};
use crate::fill::Filling;
use crate::options::{self, Common};
use crate::process::{Wakes, cpu, memory, wakes, wakes_between};
use crate::report::{Cell, Report, Table, Target, Unit};
use crate::stats::{Spread, ratio};

/// Options of `idle`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("rounds", |arg| arg.default_value("1").help("Windows, one after the other")))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Messages that wait in the second daemon; the first has none
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_900_000))]
    messages: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
    /// How long they are watched
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = options::duration)]
    window: Duration,
    /// How long they are left alone before: probes become rarer, threads that were needed end
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = options::duration)]
    settle: Duration,
}

/// What the windows found of one daemon.
#[derive(Default)]
struct Found {
    /// Share of a core, in percent.
    cpu_percent: Vec<f64>,
    wakes_per_second: Vec<f64>,
    memory: Vec<f64>,
    /// Wake-ups a second of each kind of thread.
    of_threads: BTreeMap<String, Vec<f64>>,
}

/// One look at a daemon.
struct Look {
    cpu: Duration,
    wakes: Wakes,
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    // Bound and never listened to would accept; a port that was just given back refuses.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}/send", port.context("looking for a free port")?);
    let toml = http_toml(&url, 32);
    let places = [Place::new(&program, folder.fresh(), &toml)?, Place::new(&program, folder.fresh(), &toml)?];
    let mut found = [Found::default(), Found::default()];
    let [empty, full] = &places;
    runtime.block_on(async {
        let daemons = [empty.start().await?, full.start().await?];
        let [empty, full] = &daemons;
        take_down(empty, options, 1).await?;
        take_down(full, options, options.messages).await?;
        empty_again(empty).await?;
        tokio::time::sleep(options.settle).await;
        for _ in 0..options.common.rounds {
            watch(&daemons, options.window, &mut found).await?;
        }
        let [empty, full] = daemons;
        empty.stop().await?;
        full.stop().await
    })?;
    Ok(report(options, &found))
}

/// Fills a daemon and waits until it has found that nobody can be reached.
async fn take_down(daemon: &Daemon<'_>, options: &Options, messages: u64) -> Result<()> {
    Filling::new(options.payload, options.conversations).fill(daemon, messages).await?;
    for _ in 0..1000 {
        if daemon.client.status().await.context("asking outboxd for its status")?.link.state
            == LinkState::Down
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensure!(false, "outboxd does not find that the link is down");
    Ok(())
}

/// Takes the one message back that told the daemon that the link is down.
async fn empty_again(daemon: &Daemon<'_>) -> Result<()> {
    let msg_id = crate::workload::msg_id(0);
    daemon.client.cancel(&msg_id, None).await.context("cancelling a message")?;
    Ok(())
}

async fn watch(daemons: &[Daemon<'_>; 2], window: Duration, found: &mut [Found; 2]) -> Result<()> {
    let mut before = Vec::new();
    for daemon in daemons {
        before.push(look(daemon.pid())?);
    }
    tokio::time::sleep(window).await;
    for ((daemon, before), found) in daemons.iter().zip(before).zip(found) {
        let after = look(daemon.pid())?;
        let seconds = window.as_secs_f64();
        found.cpu_percent.push((after.cpu - before.cpu).as_secs_f64() / seconds * 100.0);
        let wakes = wakes_between(&before.wakes, &after.wakes);
        found.wakes_per_second.push(wakes.values().sum::<u64>() as f64 / seconds);
        for (kind, wakes) in wakes {
            found.of_threads.entry(kind).or_default().push(wakes as f64 / seconds);
        }
        found.memory.push(memory(daemon.pid())?.now as f64);
    }
    Ok(())
}

fn look(pid: u32) -> Result<Look> {
    Ok(Look { cpu: cpu(pid)?, wakes: wakes(pid)? })
}

/// Who wakes up. A kind of thread that did not is left out.
fn threads(options: &Options, [empty, full]: &[Found; 2]) -> Table {
    let mut table =
        Table::new("Wake-ups a minute of each kind of thread", &["waiting", "threads", "wake-ups"]);
    for (messages, found) in [(0, empty), (options.messages, full)] {
        for (kind, wakes) in &found.of_threads {
            let wakes = Spread::of(wakes).scaled(60.0);
            if wakes.max > 0.0 {
                let row = vec![Cell::count(messages), Cell::text(kind), Cell::Figure(wakes, Unit::Count)];
                table.push(row);
            }
        }
    }
    table
}

fn report(options: &Options, found: &[Found; 2]) -> Report {
    let headings = [
        "waiting",
        "of a core",
        "core target",
        "wake-ups a minute",
        "ratio",
        "wake-up target",
        "CPU a minute",
        "memory",
    ];
    let mut table = Table::new("Cost of waiting while the link is down", &headings);
    let [empty, full] = found;
    for (messages, found) in [(0, empty), (options.messages, full)] {
        let (cpu, wakes) = (Spread::of(&found.cpu_percent), Spread::of(&found.wakes_per_second));
        let of_empty = ratio(&found.wakes_per_second, &empty.wakes_per_second);
        table.push(vec![
            Cell::count(messages),
            Cell::Figure(cpu, Unit::Percent),
            Target::Below(0.1, Unit::Percent).verdict(cpu.median),
            Cell::Figure(wakes.scaled(60.0), Unit::Count),
            if messages == 0 { Cell::Nothing } else { Cell::Figure(of_empty, Unit::Ratio) },
            Target::Below(120.0, Unit::Count).verdict(wakes.median * 60.0),
            Cell::Figure(cpu.scaled(600.0), Unit::Milliseconds),
            Cell::Figure(Spread::of(&found.memory), Unit::Bytes),
        ]);
    }
    let mut report = Report::new("idle");
    report.set("windows", options.common.rounds);
    report.set("window", options::shown(options.window));
    report.set("settle", options::shown(options.settle));
    report.set("conversations", options.conversations);
    report.table(table);
    report.table(threads(options, found));
    report.note(
        "both daemons are watched at the same time; the baseline of the full one is the empty one. Nobody listens at \
         the service's port, and probes go on at the default delays (up to 30 s)",
    );
    report.note(
        "CPU: utime and stime, which count in 10 ms; of a core: a longer --window tells less than one such step. \
         Wake-ups: voluntary context switches of all threads",
    );
    report
}
