//! A network that goes and returns: what it costs meanwhile, and how soon the first message leaves.
//!
//! Owns:  the promise "being offline costs nothing" over a cable that is pulled.
//! Never: touches the machine's own network: everything happens in networks made for one test.

use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use outbox_control::client::ListQuery;
use outbox_control::types::{LinkState, State};
use outboxd::service::{Reply, Service};
use tokio::time::Instant;

use crate::cable::{Cable, End, with_cable};
use crate::harness::{Daemon, SOON, http_toml, until, until_within};
use crate::messages::submit;

/// Messages that wait while the network is away.
const WAITING: usize = 10_000;

/// How long the cost of being offline is measured; the variable makes it longer, for the whole minute of the promise.
const MEASURED: Duration = Duration::from_secs(10);
const MEASURED_SECONDS: &str = "OUTBOX_OFFLINE_SECONDS";

/// Computing that a minute of being offline may cost.
const PER_MINUTE_MAX: Duration = Duration::from_millis(100);

/// How soon the first message leaves after the network's return.
const FIRST_MAX: Duration = Duration::from_millis(200);

/// The same where other tests keep the machine busy.
const FIRST_MAX_BUSY: Duration = Duration::from_secs(2);

/// Short delays between attempts.
const RETRY_SOON: &str = "[retry]\ninitial = \"20ms\"\nmax = \"100ms\"";

/// How long a cable flaps.
const FLAPPING: Duration = Duration::from_secs(3);

impl Daemon {
    async fn wait_link(&self, state: LinkState) {
        until(&format!("the link is {}", state.as_str()), || async {
            let status = self.client.status().await.ok()?;
            (status.link.state == state).then_some(())
        })
        .await;
    }

    /// Submits that many messages, to a hundred people.
    async fn submit_many(&self, prefix: &str, count: usize) {
        let line = |n| submit(&format!("{prefix}-{n}"), &format!("user{}", n % 100)) + "\n";
        let lines: String = (0..count).map(line).collect();
        let answer = self.post_lines(lines).await;
        assert_eq!(answer.lines().iter().filter(|line| line["status"] == 201).count(), count);
    }

    /// Time of computing that it has used so far.
    fn computed(&self) -> Duration {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        clock_getcpuclockid(pid).unwrap().now().unwrap().into()
    }

    /// Lines that a person would see in the log, without those for debugging.
    fn lines_logged(&self) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| !line.contains("DEBUG")).map(ToOwned::to_owned).collect()
    }

    /// Lines of the log with these words, so far.
    fn logged(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    /// Probes that ended so far.
    fn probes(&self) -> usize {
        self.logged("Probed.")
    }

    /// Pulls an end of the cable and waits until the daemon has heard of it. The system tells the loss of a carrier up
    /// to a second late; what is sent until then is under way like any other attempt.
    async fn cut(&self, cable: &Cable, end: End) {
        let before = self.logged("news=Dark");
        cable.pull(end);
        until("the daemon hears of the loss", || async { (self.logged("news=Dark") > before).then_some(()) })
            .await;
    }
}

/// A daemon whose first message has gone over the cable.
async fn connected(service: &Service, more: &str) -> Daemon {
    let daemon = Daemon::start(&http_toml(service, "", more)).await;
    daemon.post("/v1/messages", submit("first", "ada")).await;
    daemon.entry_in("first", State::Sent).await;
    daemon
}

/// Plugs the cable in and waits for the next request; how long that took.
async fn first_after_return(cable: &Cable, end: End, service: &Service) -> Duration {
    let before = service.requests().len();
    let plugged = cable.plug(end);
    service.wait_for(|seen| seen.len() > before, SOON).await.unwrap();
    service.requests()[before].at.duration_since(plugged)
}

#[test]
fn a_pulled_cable_costs_no_attempt_hardly_any_computing_and_a_few_lines_of_log() {
    let name = "link_news::a_pulled_cable_costs_no_attempt_hardly_any_computing_and_a_few_lines_of_log";
    with_cable(name, |cable| async move {
        let service = cable.service(|_| Reply::Accept).await;
        let daemon = connected(&service, "").await;
        let logged = daemon.lines_logged().len();
        daemon.cut(&cable, End::Far).await;
        daemon.submit_many("m", WAITING).await;
        daemon.wait_link(LinkState::Down).await;
        // What the submits left to be written is not the cost of being offline.
        let rested = || async {
            let (before, begin) = (daemon.computed(), Instant::now());
            tokio::time::sleep(Duration::from_millis(300)).await;
            let busy = (daemon.computed() - before).as_secs_f64() / begin.elapsed().as_secs_f64();
            (busy < 0.01).then_some(())
        };
        until_within("the daemon rests", SOON, rested).await;

        let seconds = std::env::var(MEASURED_SECONDS).ok().and_then(|text| text.parse().ok());
        let measured = seconds.map_or(MEASURED, Duration::from_secs);
        let (before, probes) = (daemon.computed(), daemon.probes());
        tokio::time::sleep(measured).await;
        let computed = daemon.computed() - before;
        let probes = daemon.probes() - probes;
        println!("{WAITING} messages offline for {measured:?}: {computed:?} of computing, {probes} probes");
        let most = PER_MINUTE_MAX.mul_f64(measured.as_secs_f64() / 60.0);
        assert!(computed <= most, "{computed:?} in {measured:?}");

        let lines = daemon.lines_logged().split_off(logged);
        assert!(lines.len() <= 5, "{lines:#?}");
        assert_eq!(service.requests().len(), 1);
        let page = daemon.client.messages(&ListQuery::default()).await.unwrap();
        assert!(page.messages.iter().all(|entry| (entry.attempts, entry.starts) == (0, 0)), "{page:#?}");
        let first = first_after_return(&cable, End::Far, &service).await;
        println!("the first of them left {first:?} after the cable's return");
        assert!(first <= FIRST_MAX_BUSY, "{first:?}");
    });
}

#[test]
fn the_first_message_leaves_within_moments_of_the_networks_return() {
    let name = "link_news::the_first_message_leaves_within_moments_of_the_networks_return";
    with_cable(name, |cable| async move {
        let service = cable.service(|_| Reply::Accept).await;
        // Probes alone would find it out much later.
        let daemon = connected(&service, "[link]\nprobe_initial = \"20s\"\nprobe_max = \"20s\"").await;
        let mut fastest = Duration::MAX;
        for round in 0..3 {
            let end = if round % 2 == 0 { End::Far } else { End::Near };
            let msg_id = format!("m-{round}");
            daemon.cut(&cable, end).await;
            daemon.post("/v1/messages", submit(&msg_id, "ada")).await;
            daemon.wait_link(LinkState::Down).await;
            let first = first_after_return(&cable, end, &service).await;
            println!("{end:?}: {first:?}");
            assert!(first <= FIRST_MAX_BUSY, "{first:?} after the return of {end:?}");
            fastest = fastest.min(first);
            assert_eq!(daemon.entry_in(&msg_id, State::Sent).await.attempts, 1);
        }
        assert!(fastest <= FIRST_MAX, "{fastest:?} at best");
    });
}

#[test]
fn a_probe_that_began_in_the_void_does_not_delay_the_first_message() {
    let name = "link_news::a_probe_that_began_in_the_void_does_not_delay_the_first_message";
    with_cable(name, |cable| async move {
        let service = cable.service(|_| Reply::Accept).await;
        let daemon = connected(&service, "[link]\nprobe_initial = \"20s\"\nprobe_max = \"20s\"").await;
        cable.put_a_router_between();
        let mut fastest = Duration::MAX;
        for round in 0..3 {
            // The near end keeps its route, so that the probe's first packet goes nowhere.
            daemon.cut(&cable, End::Far).await;
            let probes = daemon.probes();
            daemon.post("/v1/messages", submit(&format!("m-{round}"), "ada")).await;
            daemon.entry_in(&format!("m-{round}"), State::Queued).await;
            assert_eq!(daemon.probes(), probes, "the probe is under way");
            let first = first_after_return(&cable, End::Far, &service).await;
            assert!(first <= FIRST_MAX_BUSY, "{first:?}");
            fastest = fastest.min(first);
            daemon.entry_in(&format!("m-{round}"), State::Sent).await;
        }
        assert!(fastest <= FIRST_MAX, "{fastest:?} at best");
    });
}

#[test]
fn attempts_that_hang_since_before_the_outage_keep_no_other_message_waiting() {
    let name = "link_news::attempts_that_hang_since_before_the_outage_keep_no_other_message_waiting";
    with_cable(name, |cable| async move {
        let hang = |received: &outboxd::service::Received| {
            if received.msg_id.starts_with("hang") { Reply::Hang } else { Reply::Accept }
        };
        let service = cable.service(hang).await;
        // They would hang for much longer than the test may take.
        let daemon = connected(&service, "[delivery]\nconcurrency = 2\ntimeout = \"10m\"").await;
        for msg_id in ["hang-1", "hang-2"] {
            daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
            daemon.entry_in(msg_id, State::Sending).await;
        }
        service.wait_for(|seen| seen.len() == 3, SOON).await.unwrap();
        cable.pull(End::Near);
        for msg_id in ["m-1", "m-2", "m-3"] {
            daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        }
        daemon.wait_link(LinkState::Down).await;
        cable.plug(End::Near);
        for msg_id in ["m-1", "m-2", "m-3"] {
            assert_eq!(daemon.entry_in(msg_id, State::Sent).await.attempts, 1);
        }
        assert_eq!(daemon.client.message("hang-1").await.unwrap().state, State::Sending);
    });
}

#[test]
fn a_cable_that_flaps_starts_a_few_probes() {
    with_cable("link_news::a_cable_that_flaps_starts_a_few_probes", |cable| async move {
        let mut service = cable.service(|_| Reply::Accept).await;
        let daemon = connected(&service, "").await;
        // Each time that the cable is in, a probe is refused at once.
        service.stop().await;
        daemon.cut(&cable, End::Near).await;
        daemon.post("/v1/messages", submit("m-1", "ada")).await;
        daemon.wait_link(LinkState::Down).await;
        let (before, begin) = (daemon.probes(), Instant::now());
        while begin.elapsed() < FLAPPING {
            cable.plug(End::Near);
            tokio::time::sleep(Duration::from_millis(50)).await;
            cable.pull(End::Near);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let flapped = begin.elapsed();
        let probes = daemon.probes() - before;
        println!("{probes} probes in {flapped:?} of flapping");
        // The allowance, three quick probes after each that it had, and the backoff.
        let most = (8 + flapped.as_secs() as usize / 5) * 4 + 5;
        assert!(probes <= most, "{probes} probes in {flapped:?}");
        // The flapping stopped none for good.
        cable.plug(End::Near);
        until("a probe is answered", || async { (daemon.probes() > before).then_some(()) }).await;
        assert_eq!(daemon.client.message("m-1").await.unwrap().attempts, 0);
    });
}

#[test]
fn without_watching_the_network_is_found_by_probes() {
    let name = "link_news::without_watching_the_network_is_found_by_probes";
    with_cable(name, |cable| async move {
        let service = cable.service(|_| Reply::Accept).await;
        let toml = "[link]\nwatch = false\nprobe_initial = \"50ms\"\nprobe_max = \"200ms\"\n";
        // The first attempt hangs on the connection that was there, and only its end tells.
        let daemon =
            connected(&service, &format!("{toml}[delivery]\ntimeout = \"300ms\"\n{RETRY_SOON}")).await;
        cable.pull(End::Near);
        daemon.post("/v1/messages", submit("m-1", "ada")).await;
        daemon.wait_link(LinkState::Down).await;
        let first = first_after_return(&cable, End::Near, &service).await;
        assert!(first <= FIRST_MAX_BUSY, "{first:?}");
        daemon.entry_in("m-1", State::Sent).await;
        assert!(!daemon.log().contains("network changed"), "nothing was heard");
    });
}
