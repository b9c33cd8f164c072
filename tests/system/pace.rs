//! The pace: how a service that returns is loaded, how one that fails again is spared, and what is told of it.
//!
//! Owns:  the promise that a backlog does not fall on a service that has just come back.
//! Never: measures how fast anything is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_control::types::{LinkState, Pace, State};
use outboxd::service::{Gate, Reply, Service};
use tokio::time::Instant;

use crate::harness::{Daemon, ONCE, QUICK, SOON, http_toml, own_addr, service, until};
use crate::messages::submit;

impl Daemon {
    async fn pace(&self) -> Pace {
        self.client.status().await.unwrap().pace
    }

    /// Submits that many messages, each to somebody else.
    async fn submit_to_many(&self, count: usize) {
        let lines: String =
            (0..count).map(|n| submit(&format!("m-{n}"), &format!("user{n}")) + "\n").collect();
        assert_eq!(self.post_lines(lines).await.lines().len(), count);
    }
}

/// A service that keeps each request until it is let go.
struct Kept {
    gates: Arc<Mutex<VecDeque<Gate>>>,
    fails: Arc<AtomicBool>,
    service: Service,
}

impl Kept {
    async fn start() -> Self {
        let (gates, fails) = (Arc::<Mutex<VecDeque<Gate>>>::default(), Arc::<AtomicBool>::default());
        let (kept, failing) = (Arc::clone(&gates), Arc::clone(&fails));
        let script = move |_: &outboxd::service::Received| {
            let gate = Gate::shut();
            kept.lock().unwrap().push_back(gate.clone());
            let answer = if failing.load(Ordering::SeqCst) { Reply::status(503) } else { Reply::Accept };
            Reply::WhenOpen(gate, Box::new(answer))
        };
        Self { gates, fails, service: service(script).await }
    }

    /// Waits until so many requests are here at once.
    async fn holds(&self, count: usize) {
        until(&format!("{count} requests at once"), || async {
            (self.gates.lock().unwrap().len() >= count).then_some(())
        })
        .await;
        assert_eq!(self.gates.lock().unwrap().len(), count, "no more than that");
    }

    /// Lets all go that are here.
    fn let_go(&self) {
        self.gates.lock().unwrap().drain(..).for_each(|gate| gate.open());
    }
}

#[tokio::test]
async fn a_service_that_returns_gets_one_request_then_more_with_each_success_and_fewer_when_it_fails_again() {
    let mut kept = Kept::start().await;
    kept.service.stop().await;
    // News of the machine's own network would be a reason for another canary.
    let deaf = format!("{QUICK}watch = false");
    let daemon = Daemon::start(&http_toml(&kept.service, "", &deaf)).await;
    daemon.submit_to_many(400).await;
    for round in 0..2 {
        kept.gates.lock().unwrap().clear();
        kept.fails.store(false, Ordering::SeqCst);
        kept.service.restart().await.unwrap();
        for count in [1, 2, 4] {
            kept.holds(count).await;
            kept.let_go();
        }
        // In the second round it is remembered that the first one met trouble.
        kept.holds(if round == 0 { 8 } else { 5 }).await;
        assert_eq!(daemon.client.status().await.unwrap().link.state, LinkState::Up);
        kept.fails.store(true, Ordering::SeqCst);
        kept.let_go();
        // Those still succeed; the next ones are as many again, and fail.
        until("the next requests are here", || async {
            (kept.gates.lock().unwrap().len() > 5).then_some(())
        })
        .await;
        let window = daemon.pace().await.window.unwrap();
        kept.let_go();
        until("the window is narrower", || async {
            (daemon.pace().await.window.unwrap() < window).then_some(())
        })
        .await;
        kept.service.stop().await;
        until("the link is down", || async {
            let down = daemon.client.status().await.ok()?.link.state == LinkState::Down;
            kept.let_go();
            down.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_that_returns_without_any_news_gets_its_first_message_within_one_delay_of_the_probe() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let toml = "[link]\nprobe_initial = \"50ms\"\nprobe_max = \"1s\"";
    let daemon = Daemon::start(&http_toml(&service, "", toml)).await;
    daemon.submit_to_many(3).await;
    // Until the delays have grown to their longest.
    until("seven probes have failed", || async {
        let probes = daemon.log().lines().filter(|line| line.contains("Probed.")).count();
        (probes >= 7).then_some(())
    })
    .await;
    let returned = Instant::now();
    service.restart().await.unwrap();
    service.wait_for(|seen| !seen.is_empty(), SOON).await.unwrap();
    let first = service.requests()[0].at.duration_since(returned);
    assert!(first <= Duration::from_millis(1_500 + 500), "{first:?}");
}

#[tokio::test]
async fn status_tells_the_pace_and_when_the_backlog_will_be_gone_or_that_it_is_not_known() {
    let slow =
        |_: &outboxd::service::Received| Reply::Delayed(Duration::from_millis(50), Box::new(Reply::Accept));
    let mut service = Service::start_at(own_addr(), slow).await.unwrap();
    service.stop().await;
    let toml = http_toml(&service, "", &format!("{QUICK}\n[delivery]\nconcurrency = 2"));
    let daemon = Daemon::start(&toml).await;
    assert_eq!(
        daemon.pace().await,
        Pace { window: Some(1), in_flight: 0, per_second: None, backlog_gone_in_ms: Some(0) },
        "nothing waits"
    );
    daemon.submit_to_many(400).await;
    assert_eq!((daemon.pace().await.per_second, daemon.pace().await.backlog_gone_in_ms), (None, None));
    service.restart().await.unwrap();
    let told = until("the pace is known", || async {
        let pace = daemon.pace().await;
        pace.backlog_gone_in_ms.map(|_| pace)
    })
    .await;
    // Two at once, each 50 ms at the least: forty a second at the most.
    let rate = told.per_second.unwrap();
    assert!((0.5..=45.0).contains(&rate), "{told:?}");
    assert!(told.window == Some(2) && told.in_flight <= 2, "{told:?}");
    assert!((1_000..=800_000).contains(&told.backlog_gone_in_ms.unwrap()), "{told:?}");
    let screen = daemon.ctl(&["status"]).await;
    assert!(screen.out.contains("a second") && screen.out.contains("all gone in about"), "{screen:?}");
    let json = daemon.get("/v1/status").await.json();
    assert!(json["pace"]["perSecond"].is_f64() && json["pace"]["backlogGoneInMs"].is_u64(), "{json}");
    daemon.client.pause().await.unwrap();
    assert_eq!(daemon.pace().await.backlog_gone_in_ms, None, "paused");
}

#[tokio::test]
async fn what_waits_for_a_time_of_its_own_has_no_estimate() {
    let service = service(|request| match request.msg_id.as_str() {
        "later" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("later", "ada")).await;
    daemon.submit_to_many(40).await;
    let pace = until("only what is deferred is left, and the pace is known", || async {
        let status = daemon.client.status().await.unwrap();
        (status.spool.messages == 1 && status.pace.per_second.is_some()).then_some(status.pace)
    })
    .await;
    assert_eq!(daemon.entry_in("later", State::Deferred).await.attempts, 1);
    assert_eq!(pace.backlog_gone_in_ms, None, "{pace:?}");
}

#[tokio::test]
async fn an_app_paces_itself_and_its_sends_are_counted_all_the_same() {
    let daemon = Daemon::start("").await;
    daemon.submit_to_many(3).await;
    assert_eq!(daemon.lease(r#"{"max":2,"wait":"5s"}"#).await.len(), 2);
    let pace = daemon.pace().await;
    assert_eq!((pace.window, pace.in_flight, pace.backlog_gone_in_ms), (None, 2, None));
}
