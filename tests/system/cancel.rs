//! Cancel at every point of an attempt: the answer is held against what the service received.
//!
//! Owns:  the four truths of a cancel, with both kinds of transport.
//! Never: believes an answer that the service's own ledger does not bear out.

use std::collections::{BTreeMap, HashMap};

use outbox_control::types::CancelOutcome::{Cancelled, Pending, TooLate, Uncertain};
use outbox_control::types::{CancelAnswer, CancelOutcome, Lease, Settle, State};
use outboxd::service::{Gate, Received, Reply, Service};
use serde_json::json;

use crate::harness::{Daemon, ONCE, SOON, http_toml, service};
use crate::messages::{submit, submit_with};

/// When a message is cancelled.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Nothing of it has left.
    Before,
    /// The service has its request and has not answered.
    During,
    /// Its attempt led to this state.
    After(State),
}

/// A message, what the service does with it, and what must be true of its cancel.
struct Case {
    name: &'static str,
    when: When,
    reply: Reply,
    answer: CancelOutcome,
    ends: State,
    may_have_arrived: bool,
    /// How often the service took it.
    taken: usize,
}

fn case(
    name: &'static str,
    when: When,
    reply: Reply,
    answer: CancelOutcome,
    ends: State,
    may_have_arrived: bool,
    taken: usize,
) -> Case {
    Case { name, when, reply, answer, ends, may_have_arrived, taken }
}

fn cases() -> Vec<Case> {
    use State::{Cancelled as IsCancelled, Deferred, Failed, Queued, Sent};
    use When::{After, Before, During};
    let code = |code: i64| Reply::Callback { code, desc: "said".into() };
    let no_proof = || Reply::json(200, r#"{"code":0,"desc":"","data":null}"#);
    vec![
        case("before", Before, Reply::Accept, Cancelled, IsCancelled, false, 0),
        case("during-accepted", During, Reply::Accept, Pending, Sent, false, 1),
        case("during-same-id", During, Reply::AcceptSameId, Pending, Sent, false, 1),
        case("during-refused", During, code(80_001), Pending, IsCancelled, false, 0),
        case("during-busy", During, Reply::status(503), Pending, IsCancelled, false, 0),
        case("during-limited", During, Reply::status(429), Pending, IsCancelled, false, 0),
        case("during-login", During, Reply::status(401), Pending, IsCancelled, false, 0),
        case("during-answer-lost", During, Reply::AcceptThenLose, Pending, IsCancelled, true, 1),
        case("during-half-an-answer", During, Reply::HalfBody, Pending, IsCancelled, true, 1),
        case("during-request-lost", During, Reply::LoseBeforeAccept, Pending, IsCancelled, true, 0),
        case("during-no-proof", During, no_proof(), Pending, IsCancelled, true, 0),
        case("after-accepted", After(Sent), Reply::Accept, TooLate, Sent, false, 1),
        case("after-busy", After(Deferred), Reply::status(503), Cancelled, IsCancelled, false, 0),
        case("after-limited", After(Queued), Reply::status(429), Cancelled, IsCancelled, false, 0),
        case("after-login", After(Queued), Reply::status(401), Cancelled, IsCancelled, false, 0),
        case("after-refused", After(Failed), code(80_001), Cancelled, IsCancelled, false, 0),
        case("after-answer-lost", After(Deferred), Reply::AcceptThenLose, Uncertain, IsCancelled, true, 1),
        case("after-request-lost", After(Deferred), Reply::LoseBeforeAccept, Uncertain, IsCancelled, true, 0),
        case("after-no-proof", After(Deferred), no_proof(), Uncertain, IsCancelled, true, 0),
    ]
}

async fn cancel(daemon: &Daemon, msg_id: &str) -> CancelAnswer {
    daemon.client.cancel(msg_id, Some("enough")).await.unwrap()
}

fn taken(service: &Service, msg_id: &str) -> usize {
    service.ledger().iter().filter(|taken| taken.msg_id == msg_id).count()
}

fn requests(service: &Service, msg_id: &str) -> usize {
    service.requests().iter().filter(|request| request.msg_id == msg_id).count()
}

/// Submits the message and cancels it at its moment; returns the answer.
async fn cancel_at(daemon: &Daemon, service: &Service, case: &Case, gate: &Gate) -> CancelAnswer {
    if matches!(case.when, When::Before) {
        daemon.client.pause().await.unwrap();
    }
    let body = submit_with(case.name, case.name, &format!(r#""account":"{}""#, case.name));
    assert_eq!(daemon.post("/v1/messages", body).await.status, 201, "{}", case.name);
    match case.when {
        When::Before => {
            let answer = cancel(daemon, case.name).await;
            daemon.client.resume().await.unwrap();
            answer
        }
        When::During => {
            let arrived = |seen: &[Received]| seen.iter().any(|request| request.msg_id == case.name);
            service.wait_for(arrived, SOON).await.unwrap();
            let answer = cancel(daemon, case.name).await;
            let entry = daemon.client.message(case.name).await.unwrap();
            assert!(entry.state == State::Sending && entry.cancel_requested, "{}: {entry:?}", case.name);
            gate.open();
            answer
        }
        When::After(state) => {
            gate.open();
            daemon.entry_when(case.name, |entry| entry.state == state && !entry.history.is_empty()).await;
            cancel(daemon, case.name).await
        }
    }
}

/// The end of the message, and what a second cancel says of it.
async fn check_end(daemon: &Daemon, service: &Service, case: &Case) {
    let name = case.name;
    let entry = daemon.entry_in(name, case.ends).await;
    assert_eq!(entry.may_have_arrived, case.may_have_arrived, "{name}: {entry:?}");
    assert_eq!(taken(service, name), case.taken, "{name}");
    let again = cancel(daemon, name).await;
    let expected = match (case.ends, case.may_have_arrived) {
        (State::Sent, _) => TooLate,
        (_, true) => Uncertain,
        (_, false) => Cancelled,
    };
    assert_eq!((again.outcome, again.may_have_arrived), (expected, case.may_have_arrived), "{name}");
    assert_eq!(again.data.is_some(), expected == TooLate, "{name}: {again:?}");
    let event = daemon.heard(case.ends.as_str(), name).await;
    if case.ends == State::Cancelled {
        assert_eq!((entry.reason.as_deref(), &event["reason"]), (Some("enough"), &json!("enough")), "{name}");
        assert_eq!(event["mayHaveArrived"] == true, case.may_have_arrived, "{name}: {event}");
        let error = entry.last_error.unwrap();
        assert_eq!((error.code, error.class.as_str()), (-30_003, "cancelled"), "{name}");
    }
}

#[tokio::test]
async fn a_cancel_tells_the_truth_at_every_point_of_an_attempt() {
    let cases = cases();
    let gates: HashMap<&str, Gate> = cases.iter().map(|case| (case.name, Gate::shut())).collect();
    let replies: HashMap<String, Reply> = cases
        .iter()
        .map(|case| {
            let reply = Reply::WhenOpen(gates[case.name].clone(), Box::new(case.reply.clone()));
            (case.name.to_owned(), reply)
        })
        .collect();
    let service =
        service(move |received| replies.get(&received.msg_id).cloned().unwrap_or(Reply::Accept)).await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", ONCE)).await;
    for case in &cases {
        let answer = cancel_at(&daemon, &service, case, &gates[case.name]).await;
        assert_eq!(answer.outcome, case.answer, "{}", case.name);
        check_end(&daemon, &service, case).await;
    }
    // Everything that could bring a cancelled message back.
    for case in &cases {
        daemon.client.resume_account(case.name).await.unwrap();
    }
    daemon.post("/v1/flush", "").await;
    daemon.post("/v1/messages", submit("last", "last")).await;
    daemon.entry_in("last", State::Sent).await;
    for case in &cases {
        let asked = usize::from(!matches!(case.when, When::Before));
        assert_eq!(requests(&service, case.name), asked, "{}", case.name);
    }
}

#[tokio::test]
async fn a_pending_cancel_is_on_disk_and_what_a_kill_interrupts_may_have_arrived() {
    let gate = Gate::shut();
    let shut = gate.clone();
    // It takes the message, and its answer finds nobody.
    let service = service(move |received| match received.msg_id.as_str() {
        "m-1" => Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept)),
        _ => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.post("/v1/messages", submit("behind", "bob")).await;
    service.wait_for(|seen| seen.len() == 1, SOON).await.unwrap();
    assert_eq!(cancel(&daemon, "m-1").await.outcome, Pending);
    assert_eq!(cancel(&daemon, "m-1").await.outcome, Pending, "asked again, it is the same");
    daemon.kill9().await;
    gate.open();
    daemon.start_again().await;
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, entry.may_have_arrived), (State::Cancelled, true), "{entry:?}");
    let again = cancel(&daemon, "m-1").await;
    assert_eq!((again.outcome, again.may_have_arrived), (Uncertain, true));
    daemon.entry_in("behind", State::Sent).await;
    assert_eq!(requests(&service, "m-1"), 1, "it is not sent again");
}

#[tokio::test]
async fn what_never_left_is_cancelled_wherever_it_waits() {
    let service = service(|received| match received.msg_id.as_str() {
        "head" => Reply::status(503),
        "offline" => Reply::Callback { code: 9508, desc: "no network".into() },
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("head", "bob")).await;
    daemon.entry_in("head", State::Deferred).await;
    daemon.post("/v1/messages", submit("blocked", "bob")).await;
    daemon.post("/v1/messages", submit_with("later", "eve", r#""notBefore":"2099-01-01T00:00:00Z""#)).await;
    daemon.post("/v1/messages", submit("offline", "ada")).await;
    daemon.entry_in("offline", State::Deferred).await;
    daemon.client.pause_account("paused", None).await.unwrap();
    daemon.post("/v1/messages", submit_with("paused", "joe", r#""account":"paused""#)).await;
    daemon.client.hold("blocked", None).await.unwrap();
    for msg_id in ["blocked", "later", "offline", "paused"] {
        let answer = cancel(&daemon, msg_id).await;
        assert_eq!((answer.outcome, answer.may_have_arrived), (Cancelled, false), "{msg_id}");
        assert_eq!(taken(&service, msg_id), 0, "{msg_id}");
    }
}

/// One point of a lease at which a message is cancelled; what the app does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    BeforeTheLease,
    ThenSent,
    ThenFailed,
    ThenNotReached,
    ThenKilledAndSent,
    ThenLapsed,
    AfterTheLapse,
    AfterTheLapseThenSent,
    AfterTheSuccess,
}

const POINTS: [Point; 9] = [
    Point::BeforeTheLease,
    Point::ThenSent,
    Point::ThenFailed,
    Point::ThenNotReached,
    Point::ThenKilledAndSent,
    Point::ThenLapsed,
    Point::AfterTheLapse,
    Point::AfterTheLapseThenSent,
    Point::AfterTheSuccess,
];

async fn settle(daemon: &Daemon, lease: &Lease, body: &str) -> State {
    let settle: Settle = serde_json::from_str(body).unwrap();
    daemon.client.settle(&lease.lease, &settle).await.unwrap().state
}

const SENT: &str = r#"{"code":0,"data":{"msgID":"n","status":2}}"#;

/// Leases everything, by msgID; all leases last five seconds.
async fn lease_all(daemon: &Daemon, count: usize) -> BTreeMap<String, Lease> {
    let mut leases = BTreeMap::new();
    while leases.len() < count {
        let more = daemon.lease(r#"{"wait":"20s","for":"5s","max":16}"#).await;
        assert!(!more.is_empty(), "{leases:?}");
        leases.extend(more.into_iter().map(|lease| (lease.msg_id.clone(), lease)));
    }
    leases
}

#[tokio::test]
async fn a_cancel_tells_the_truth_at_every_point_of_a_lease() {
    let toml = "[transport.app]\nrate = 1000\n[retry]\ninitial = \"10m\"\nmax = \"10m\"";
    let mut daemon = Daemon::start(toml).await;
    let name = |point: Point| format!("{point:?}");
    daemon.post("/v1/messages", submit(&name(Point::BeforeTheLease), "first")).await;
    assert_eq!(cancel(&daemon, &name(Point::BeforeTheLease)).await.outcome, Cancelled);
    for point in &POINTS[1..] {
        daemon.post("/v1/messages", submit(&name(*point), &name(*point))).await;
    }
    let leases = lease_all(&daemon, POINTS.len() - 1).await;
    let lease = |point: Point| &leases[&name(point)];
    assert_eq!(settle(&daemon, lease(Point::AfterTheSuccess), SENT).await, State::Sent);
    for point in [Point::ThenSent, Point::ThenFailed, Point::ThenNotReached, Point::ThenKilledAndSent] {
        assert_eq!(cancel(&daemon, &name(point)).await.outcome, Pending, "{point:?}");
    }
    assert_eq!(cancel(&daemon, &name(Point::ThenLapsed)).await.outcome, Pending);
    assert_eq!(settle(&daemon, lease(Point::ThenSent), SENT).await, State::Sent);
    assert_eq!(settle(&daemon, lease(Point::ThenFailed), r#"{"code":80003}"#).await, State::Cancelled);
    let offline = r#"{"code":9508,"notReached":true}"#;
    assert_eq!(settle(&daemon, lease(Point::ThenNotReached), offline).await, State::Cancelled);
    daemon.restart().await;
    assert_eq!(settle(&daemon, lease(Point::ThenKilledAndSent), SENT).await, State::Sent);
    for point in [Point::AfterTheLapse, Point::AfterTheLapseThenSent] {
        daemon.entry_when(&name(point), |entry| entry.attempts == 1).await;
        assert_eq!(cancel(&daemon, &name(point)).await.outcome, Uncertain, "{point:?}");
    }
    daemon.entry_in(&name(Point::ThenLapsed), State::Cancelled).await;
    assert_eq!(settle(&daemon, lease(Point::AfterTheLapseThenSent), SENT).await, State::Sent);
    for point in POINTS {
        let (outcome, may_have_arrived) = match point {
            Point::BeforeTheLease | Point::ThenFailed | Point::ThenNotReached => (Cancelled, false),
            Point::ThenLapsed | Point::AfterTheLapse => (Uncertain, true),
            _ => (TooLate, false),
        };
        let again = cancel(&daemon, &name(point)).await;
        assert_eq!((again.outcome, again.may_have_arrived), (outcome, may_have_arrived), "{point:?}");
        assert_eq!(again.data.is_some(), outcome == TooLate, "{point:?}");
    }
    assert!(daemon.lease(r#"{"wait":"0s"}"#).await.is_empty(), "nothing of all this is given out again");
}
