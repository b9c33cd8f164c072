//! `recovery`: from the moment that the service is back to the first and the last message.
//!
//! Owns:  outages of the service, noticed by the daemon itself or told to it.
//! Never: touches the machine's network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use outbox_control::types::LinkState;
use tokio::runtime::Runtime;

use crate::bare_http::BareClient;
use crate::daemon::{Daemon, Place, Program, http_toml};
use crate::fill::{Filling, until_sent};
use crate::options::{self, Common};
use crate::report::{Cell, Report, Table, Unit};
use crate::rounds::{Contender, compete, ms};
use crate::service::{Arrivals, Service};
use crate::stats::Spread;

/// Options of `recovery`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("rounds", |arg| arg.default_value("3")))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Messages that wait when the service comes back
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    messages: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
    /// How long the service is away once the daemon knows it
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = options::duration)]
    outage: Duration,
    /// Longest delay between probes (link.probe_max)
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = options::duration)]
    probe_max: Duration,
    /// Requests under way at once, on both sides
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
}

/// Time for all messages to come.
const WAIT: Duration = Duration::from_secs(600);

/// How the daemon hears that the service is back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// Its own probes find it.
    Probe,
    /// The app says so.
    App,
}

/// Milliseconds from the service's return, one for each round.
#[derive(Default)]
struct Times {
    first: Vec<f64>,
    last: Vec<f64>,
}

impl Times {
    /// Notes a round; answers the milliseconds to the last message.
    fn note(&mut self, back: Instant, arrivals: Arrivals) -> f64 {
        self.first.push(ms(arrivals.first - back));
        let last = ms(arrivals.last - back);
        self.last.push(last);
        last
    }
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    let mut service = Service::start()?;
    let mut toml = http_toml(&service.url(), usize::from(options.concurrency));
    toml.push_str(&format!("[link]\nprobe_max = \"{}\"\n", options::shown(options.probe_max)));
    let place = Place::new(&program, folder.fresh(), &toml)?;
    let daemon = runtime.block_on(place.start())?;
    let client = BareClient::new(service.url())?;
    let mut filling = Filling::new(options.payload, options.conversations);
    let payload = Arc::new(filling.payload.clone());
    let mut times: [Times; 3] = Default::default();
    let [probed, told, bare] = &mut times;
    let shared = std::cell::RefCell::new((&mut service, &mut filling));
    let outage = |times: &mut Times, news| {
        let (service, filling) = &mut *shared.borrow_mut();
        let (back, arrivals) = go_through(options, &runtime, &daemon, service, filling, news)?;
        Ok(times.note(back, arrivals))
    };
    compete(
        options.common.rounds,
        &mut [
            Contender::new("outboxd by its probes", || outage(&mut *probed, News::Probe)),
            Contender::new("outboxd by the app's word", || outage(&mut *told, News::App)),
            Contender::new("the bare client", || {
                let (service, _) = &mut *shared.borrow_mut();
                service.stop();
                let back = service.restart()?;
                service.expect(options.messages);
                let concurrency = usize::from(options.concurrency);
                let posts = client.post_all(options.messages, concurrency, options.conversations, &payload);
                runtime.block_on(posts)?;
                Ok(bare.note(back, runtime.block_on(service.arrivals(WAIT))?))
            }),
        ],
    )?;
    runtime.block_on(daemon.stop())?;
    Ok(report(options, &times))
}

/// One outage: the service goes, messages gather, the daemon finds the link down, the service comes back.
fn go_through(
    options: &Options,
    runtime: &Runtime,
    daemon: &Daemon<'_>,
    service: &mut Service,
    filling: &mut Filling,
    news: News,
) -> Result<(Instant, Arrivals)> {
    service.stop();
    runtime.block_on(async {
        filling.fill(daemon, options.messages).await?;
        until_down(daemon).await?;
        tokio::time::sleep(options.outage).await;
        Ok::<_, anyhow::Error>(())
    })?;
    service.expect(options.messages);
    let back = service.restart()?;
    runtime.block_on(async {
        if news == News::App {
            daemon.client.set_link(LinkState::Up).await.context("telling outboxd that the network is up")?;
        }
        let arrivals = service.arrivals(WAIT).await?;
        until_sent(&daemon.client, filling.next, WAIT).await?;
        Ok((back, arrivals))
    })
}

async fn until_down(daemon: &Daemon<'_>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < WAIT {
        if daemon.client.status().await.context("asking outboxd for its status")?.link.state
            == LinkState::Down
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("outboxd does not find that the service is away")
}

fn report(options: &Options, times: &[Times; 3]) -> Report {
    let headings = ["who", "to the first", "to the last", "first to last", "ratio of first to last"];
    let mut table = Table::new("After the service's return", &headings);
    let [_, _, bare] = times;
    let between = |times: &Times| -> Vec<f64> {
        times.first.iter().zip(&times.last).map(|(first, last)| last - first).collect()
    };
    let of_bare = between(bare);
    for (who, times) in
        ["outboxd, by its probes", "outboxd, told by the app", "bare client"].iter().zip(times)
    {
        let spans = between(times);
        let ratio = crate::stats::ratio(&spans, &of_bare);
        let figure = |values: &[f64]| Cell::Figure(Spread::of(values), Unit::Milliseconds);
        let mut row = vec![Cell::text(*who), figure(&times.first), figure(&times.last), figure(&spans)];
        row.push(if std::ptr::eq(times, bare) { Cell::Nothing } else { Cell::Figure(ratio, Unit::Ratio) });
        table.push(row);
    }
    let mut report = Report::new("recovery");
    report.set("rounds", options.common.rounds);
    report.set("messages", options.messages);
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    report.set("outage", options::shown(options.outage));
    report.set("probeMax", options::shown(options.probe_max));
    report.set("concurrency", options.concurrency);
    report.table(table);
    report.note(
        "by its probes: the loopback brings no news of the network, so the next probe must find the service: its \
         delay doubles from 1 s with the outage, up to probeMax, give or take half. Told: PUT /v1/connectivity up at that moment",
    );
    report.note("bare client: posts the same bodies at the same concurrency from that moment on; it has no disk, no order, no ramp");
    report
}
