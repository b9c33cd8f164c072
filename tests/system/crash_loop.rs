//! A message that takes the daemon down, and healthy ones beside it while the daemon is killed at random.
//!
//! Owns:  quarantine after three deaths, attempts with nothing beside them, and that no healthy message suffers.
//! Never: repeats what the store's own tests of deaths cover: here processes really die.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_control::types::{AttemptOutcome, Entry, ResendRequest, State};
use outboxd::service::{Received, Reply};
use tokio::time::Instant;

use crate::harness::{Daemon, QUICK, SOON, http_toml, service, until, until_within};
use crate::messages::{Order, submit};

const POISON: &str = "poison";

fn is_poison(request: &Received) -> bool {
    request.msg_id == POISON
}

/// Healthy messages in conversations of their own, and two in the poison's, behind it.
fn healthy() -> (String, Vec<String>) {
    let mut ids: Vec<String> = (0..24).map(|number| format!("m-{number:02}")).collect();
    let mut body: String = ids.iter().map(|id| submit(id, &format!("user{}", &id[3..])) + "\n").collect();
    for behind in ["behind-1", "behind-2"] {
        body.push_str(&(submit(behind, "bob") + "\n"));
        ids.push(behind.to_owned());
    }
    (body, ids)
}

#[tokio::test]
async fn a_message_that_takes_the_daemon_down_three_times_is_quarantined_and_the_others_are_served() {
    // The service sees the poison, and at that moment the daemon dies.
    let service = service(|received| match is_poison(received) {
        true => Reply::Hang,
        false => Reply::Delayed(Duration::from_millis(20), Box::new(Reply::Accept)),
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit(POISON, "bob")).await;
    let (body, ids) = healthy();
    daemon.post_lines(body).await;
    for death in 1..=3 {
        let poisons = |seen: &[Received]| seen.iter().filter(|request| is_poison(request)).count();
        service.wait_for(|seen| poisons(seen) >= death, SOON).await.unwrap();
        daemon.restart().await;
    }
    let entry = daemon.entry_in(POISON, State::Failed).await;
    let error = entry.last_error.as_ref().unwrap();
    assert_eq!((error.code, error.class.as_str()), (-30_004, "crash_loop"), "{entry:?}");
    assert_eq!((entry.attempts, entry.starts, entry.may_have_arrived), (3, 3, true), "{entry:?}");
    assert!(entry.history.iter().all(|attempt| attempt.outcome == AttemptOutcome::MaybeReached));
    let event = daemon.heard("failed", POISON).await;
    assert_eq!((event["code"].as_i64(), &event["mayHaveArrived"]), (Some(-30_004), &true.into()), "{event}");
    for msg_id in &ids {
        daemon.entry_in(msg_id, State::Sent).await;
    }
    assert_eq!(service.doubled(), Vec::<String>::new());
    assert_eq!(service.requests().iter().filter(|request| is_poison(request)).count(), 3);
}

/// How long the service takes for a healthy message, and for the poison once it answers it.
const HEALTHY: Duration = Duration::from_millis(50);
const ALONE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn one_that_took_the_daemon_down_twice_is_tried_alone_and_an_answer_clears_it() {
    let answers = Arc::new(AtomicBool::new(false));
    let answered = Arc::clone(&answers);
    let service = service(move |received| match (is_poison(received), answered.load(Ordering::SeqCst)) {
        (true, false) => Reply::Hang,
        (true, true) => Reply::Delayed(ALONE, Box::new(Reply::status(503))),
        (false, _) => Reply::Delayed(HEALTHY, Box::new(Reply::Accept)),
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit(POISON, "bob")).await;
    for death in 1..=2 {
        service.wait_for(|seen| seen.len() >= death, SOON).await.unwrap();
        answers.store(death == 2, Ordering::SeqCst);
        daemon.restart().await;
    }
    until("it is said why it waits", || async {
        let why = daemon.client.why(POISON).await.ok()?;
        why.detail.contains("died during its last 2 attempts").then_some(())
    })
    .await;
    let (body, ids) = healthy();
    daemon.post_lines(body).await;
    let again = |seen: &[Received]| seen.iter().filter(|request| is_poison(request)).count() >= 4;
    service.wait_for(again, SOON).await.unwrap();
    let requests = service.requests();
    let alone = requests.iter().find(|request| is_poison(request) && request.attempt == 3).unwrap();
    for other in requests[2..].iter().filter(|request| !is_poison(request)) {
        let (before, after) = (other.at + HEALTHY <= alone.at, other.at >= alone.at + ALONE);
        assert!(before || after, "{} was under way beside it", other.msg_id);
    }
    // The answer cleared it: one more death does not quarantine it.
    daemon.restart().await;
    let entry = daemon.entry_when(POISON, |entry| entry.attempts >= 5).await;
    assert_ne!(entry.state, State::Failed, "{entry:?}");
    for msg_id in ids.iter().filter(|msg_id| !msg_id.starts_with("behind")) {
        daemon.entry_in(msg_id, State::Sent).await;
    }
}

#[tokio::test]
async fn a_quarantined_message_can_be_resent_and_its_deaths_are_forgotten() {
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = Arc::clone(&hangs);
    let service = service(move |_| match hanging.load(Ordering::SeqCst) {
        true => Reply::Hang,
        false => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit(POISON, "bob")).await;
    for death in 1..=3 {
        service.wait_for(|seen| seen.len() >= death, SOON).await.unwrap();
        daemon.restart().await;
    }
    daemon.entry_in(POISON, State::Failed).await;
    daemon.client.resend(POISON, &ResendRequest::default()).await.unwrap();
    service.wait_for(|seen| seen.len() >= 4, SOON).await.unwrap();
    daemon.restart().await;
    hangs.store(false, Ordering::SeqCst);
    let entry = daemon.entry_in(POISON, State::Sent).await;
    assert!(entry.starts >= 5, "the fourth death was the first of a new life: {entry:?}");
    let tokens: HashSet<String> = service.requests().into_iter().map(|request| request.token).collect();
    assert_eq!(tokens.len(), 1, "it may have arrived: the same token for all of them");
}

/// A number between two others that the last one leads to: the same in every run.
pub(crate) fn next_number(last: &mut u64, low: u64, high: u64) -> u64 {
    *last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    low + (*last >> 33) % (high - low)
}

/// How long the service takes for a message that meets kills.
const SLOW: Duration = Duration::from_millis(200);
/// Messages that wait at most while the daemon is killed: enough for every attempt that may be under way.
const BACKLOG: u64 = 200;

#[tokio::test]
async fn thirty_kills_at_random_moments_quarantine_nothing() {
    // Slow enough that most kills meet attempts, and that messages meet several kills.
    let service = service(|_| Reply::Delayed(SLOW, Box::new(Reply::Accept))).await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let submitter = tokio::spawn(submit_until(daemon.client.clone(), 40, Arc::clone(&stop)));
    let mut seed = 20_261;
    for _ in 0..30 {
        a_moment(next_number(&mut seed, 50, 700)).await;
        daemon.restart().await;
    }
    stop.store(true, Ordering::SeqCst);
    let accepted = submitter.await.unwrap();
    until_within("everything has ended", SOON * 2, || async {
        (daemon.client.status().await.unwrap().spool.messages == 0).then_some(())
    })
    .await;
    let (mut interrupted, mut suspects) = (0, 0);
    for msg_id in accepted.values().flatten() {
        let entry: Entry = daemon.client.message(msg_id).await.unwrap();
        assert_eq!(entry.state, State::Sent, "{entry:?}");
        interrupted += usize::from(entry.attempts > 1);
        suspects += usize::from(entry.attempts > 2);
    }
    println!("{interrupted} of {} met a kill, {suspects} met two", accepted.values().flatten().count());
    assert!(interrupted > 0 && suspects > 0, "too few kills met an attempt: this proves nothing");
    assert_eq!((service.lost(&accepted), service.doubled()), (Vec::new(), Vec::new()));
}

/// Asks without growing pauses: a daemon that lives for a moment is not to spend it unasked.
async fn often<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + SOON * 2;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "the daemon answers as wanted between its deaths");
        a_moment(1).await;
    }
}

/// Lets so many milliseconds pass, whatever happens in them.
pub(crate) async fn a_moment(millis: u64) {
    let moment = Instant::now() + Duration::from_millis(millis);
    until("a moment of no meaning", || async { (Instant::now() >= moment).then_some(()) }).await;
}

/// Submits one message after the other until it is told to stop, through all deaths; returns what was
/// accepted, in order.
pub(crate) async fn submit_until(
    client: outbox_control::Client,
    conversations: usize,
    stop: Arc<AtomicBool>,
) -> Order {
    let mut accepted = Order::new();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let (msg_id, user) = (format!("m-{number:05}"), format!("user{}", number % conversations));
        let message = crate::messages::typed(&msg_id, &user);
        // An answer that was lost may have been a yes: a repeat finds out.
        often(|| async { client.submit(&message).await.ok() }).await;
        accepted.entry(format!("c2c:{user}")).or_default().push(msg_id);
        number += 1;
        if number % 20 == 0 {
            often(|| async {
                let waiting = client.status().await.ok()?.spool.messages;
                (waiting < BACKLOG || stop.load(Ordering::SeqCst)).then_some(())
            })
            .await;
        }
    }
    accepted
}
