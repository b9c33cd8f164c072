//! A daemon that has nothing to do does nothing: no busy timers, whatever it waits for.
//!
//! Owns:  the promise that waiting costs no battery.
//! Never: measures time of computation, which depends on the machine.

use std::path::Path;
use std::time::Duration;

use outbox_control::types::{LinkState, State};
use outboxd::service::Reply;

use crate::harness::{Daemon, ONCE, QUICK, http_toml, service};
use crate::messages::{submit, submit_with};

/// How long is counted.
const WINDOW: Duration = Duration::from_secs(2);

/// Wake-ups of all threads in that time that are fine: timers of the store and the runtime, and a few probes.
/// A timer that is due again and again makes some thousand.
const WAKE_UPS_MAX: u64 = 300;

impl Daemon {
    /// Checks that the daemon hardly wakes while nothing happens.
    async fn rests(&self, when: &str) {
        let before = self.wake_ups();
        tokio::time::sleep(WINDOW).await;
        let count = self.wake_ups() - before;
        assert!(count <= WAKE_UPS_MAX, "{when}: {count} wake-ups in {WINDOW:?}");
    }

    /// How often its threads have waited for something so far.
    fn wake_ups(&self) -> u64 {
        let tasks = std::fs::read_dir(Path::new("/proc").join(self.pid().to_string()).join("task")).unwrap();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
            .filter_map(|status| {
                let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            })
            .sum()
    }
}

#[tokio::test]
async fn it_rests_when_empty_and_when_a_deferred_message_waits_for_its_time() {
    let service = service(|_| Reply::status(503)).await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.rests("empty").await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Deferred).await;
    daemon.rests("a message is deferred").await;
}

#[tokio::test]
async fn it_rests_after_a_restart_with_nothing_due() {
    let service = service(|_| Reply::status(503)).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Deferred).await;
    daemon.restart().await;
    daemon.rests("the link is not known and nothing is due").await;
}

#[tokio::test]
async fn it_rests_while_a_first_attempt_hangs_and_others_wait() {
    let service = service(|_| Reply::Hang).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for user in ["a", "b", "c"] {
        daemon.post("/v1/messages", submit(user, user)).await;
    }
    service.wait_for(|seen| !seen.is_empty(), crate::harness::SOON).await.unwrap();
    daemon.rests("a canary is under way").await;
}

#[tokio::test]
async fn it_rests_while_everything_is_paused_or_the_app_says_that_the_network_is_down() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.client.set_link(LinkState::Down).await.unwrap();
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.rests("the app says down").await;
    daemon.client.pause().await.unwrap();
    daemon.client.set_link(LinkState::Up).await.unwrap();
    daemon.rests("paused").await;
}

#[tokio::test]
async fn it_rests_while_an_account_is_shut_or_slowed() {
    let service = service(|received| match received.msg_id.as_str() {
        "login" => Reply::status(401),
        _ => Reply::Status {
            status: 429,
            headers: vec![("Retry-After".into(), "600".into())],
            body: Vec::new(),
        },
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for msg_id in ["login", "slow"] {
        daemon.post("/v1/messages", submit_with(msg_id, "bob", &format!(r#""account":"{msg_id}""#))).await;
        daemon.entry_when(msg_id, |entry| !entry.history.is_empty()).await;
    }
    daemon.rests("two accounts may not send").await;
}

#[tokio::test]
async fn it_rests_while_an_app_waits_for_work_and_while_it_works() {
    let daemon = Daemon::start("").await;
    let lease = async {
        let none = daemon.lease(r#"{"wait":"4s","account":"nobody"}"#).await;
        assert!(none.is_empty());
    };
    tokio::join!(lease, daemon.rests("an app waits"));
    for user in ["a", "b"] {
        daemon.post("/v1/messages", submit(user, user)).await;
    }
    assert_eq!(daemon.lease(r#"{"wait":"5s","max":1}"#).await.len(), 1);
    daemon.rests("an app works").await;
}
