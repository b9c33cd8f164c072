//! The app as transport: what is handed out in a lease and what the app reports stays between the two.
//!
//! Owns:  leases and settles of every kind with planted words, in order and in every disorder.
//! Never: judges what becomes of a message.

use outbox_control::types::State;
use serde_json::{Value, json};

use super::{PAYLOADS, QUICK, end_and_search, free_of, free_of_all, look_at_everything, planted};
use crate::harness::{Daemon, Place};
use crate::wire::connect;

/// The app's own words about a result, which are no part of a message.
const DESC: &str = "plaice-in-a-description";

/// What the app reports of the message with this word in its id.
fn report(id: &str) -> Value {
    let data = |text: String| json!({"msgID": format!("{id}-new"), "status": 2, "elemType": 1, "textElem": {"text": text}});
    let small = data(PAYLOADS[0].to_owned());
    match id.split('-').next().unwrap_or_default() {
        "good" if id.ends_with("large") => {
            json!({"code": 0, "desc": DESC, "data": data(format!("{} {}", PAYLOADS[1], "x".repeat(30_000)))})
        }
        "good" => json!({"code": 0, "desc": DESC, "data": small}),
        "refused" => json!({"code": 80_001, "desc": DESC, "data": small}),
        "later" => json!({"code": 80_003, "desc": DESC, "data": small, "retryAfter": "5m"}),
        "lost" => json!({"code": 6012, "desc": DESC}),
        "unproven" => {
            json!({"code": 0, "desc": DESC, "data": {"status": 1, "textElem": {"text": PAYLOADS[0]}}})
        }
        "unknown" => json!({"code": 424_242, "desc": DESC, "data": PAYLOADS[0]}),
        "limited" => json!({"code": 6015, "desc": DESC, "data": [PAYLOADS[0]]}),
        "unreached" => json!({"code": 9508, "desc": DESC, "notReached": true}),
        _ => json!({"code": 6014, "desc": DESC}),
    }
}

const IDS: [&str; 10] = [
    "good-small",
    "refused",
    "good-large",
    "later",
    "lost",
    "unproven",
    "unknown",
    "limited",
    "unreached",
    "login",
];

/// Settles of every kind of nonsense around the words; what they are answered shows none.
async fn settle_nonsense(daemon: &Daemon, lease: &str) {
    let report = report("good-small").to_string();
    let target = format!("/v1/leases/{lease}/settle");
    for body in [
        report[..report.len() - 1].to_owned(),
        report.replace("\"data\"", "\"date\""),
        report.replace("\"code\":0", &format!("\"code\":\"{}\"", PAYLOADS[0])),
        report.replace("\"code\":0", "\"code\":0,\"notReached\":true"),
        report.replace("\"code\":0", &format!("\"code\":0,\"retryAfter\":\"{}\"", PAYLOADS[0])),
        format!("[{report}]"),
        report.repeat(2),
    ] {
        let answer = daemon.post(&target, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    for target in [format!("/v1/leases/{}/settle", PAYLOADS[0]), format!("{target}/{}", PAYLOADS[0])] {
        let answer = daemon.post(&target, &report).await;
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.text());
    }
    for (call, body) in
        [("leases", json!({"account": 1, "x": PAYLOADS[0]})), ("leases", json!({"wait": DESC}))]
    {
        let answer = daemon.post(&format!("/v1/{call}"), body.to_string()).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let mut stream = connect(&daemon.place.socket).await;
    let half = format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 99999\r\n\r\n{report}");
    tokio::io::AsyncWriteExt::write_all(&mut stream, half.as_bytes()).await.unwrap();
}

/// The app's own words are shown with the message and logged with its end; nothing that is counted has them.
async fn no_description_is_counted(daemon: &Daemon) {
    for target in ["/metrics", "/v1/health/ready", "/v1/health/live"] {
        free_of(&[DESC], daemon.get(target).await.text(), target);
    }
}

#[tokio::test]
async fn what_an_app_is_handed_and_what_it_reports_shows_nowhere_but_in_the_message() {
    let mut place =
        Place::new(&format!("{QUICK}[transport.app]\nrate = 1000\n[delivery]\non_uncertain = \"hold\"\n"));
    place.log_level = "trace";
    let mut daemon = Daemon::start_in(place).await;
    let ids = IDS.map(str::to_owned);
    for id in &ids {
        let body = planted(id).replacen('{', &format!("{{\"account\":\"{id}\","), 1);
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201, "{id}");
        let leases = daemon.lease(&format!(r#"{{"account":"{id}","wait":"20s","for":"60s"}}"#)).await;
        let [lease] = leases.as_slice() else { panic!("{id}: {leases:?}") };
        assert!(lease.message.get().contains("plaice"), "it is handed out: {lease:?}");
        if id == IDS[0] {
            settle_nonsense(&daemon, &lease.lease).await;
        }
        // The same report again is answered as the first one was; another one comes too late.
        let target = format!("/v1/leases/{}/settle", lease.lease);
        for body in [report(id), report(id), report("refused"), report("unreached")] {
            let answer = daemon.post(&target, body.to_string()).await;
            assert!(matches!(answer.status, 200 | 409), "{id}: {}", answer.text());
            free_of_all(answer.text(), &target);
        }
        daemon.ask("PUT", "/v1/connectivity", &[], br#"{"state":"up"}"#).await;
    }
    let refused = daemon.get("/v1/messages/refused").await;
    assert!(refused.text().contains(DESC), "whoever asks for the message is told: {}", refused.text());
    let resolved =
        json!({"code": 0, "desc": DESC, "data": {"msgID": "n", "textElem": {"text": PAYLOADS[0]}}});
    let answer = daemon.post("/v1/messages/unproven/resolve", resolved.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    look_at_everything(&daemon, &ids).await;
    no_description_is_counted(&daemon).await;
    // A lease that is under way while the daemon dies, and one for a client that is gone.
    assert_eq!(daemon.post("/v1/messages", planted("under-way")).await.status, 201);
    assert_eq!(daemon.lease(r#"{"wait":"20s"}"#).await.len(), 1);
    let mut gone = connect(&daemon.place.socket).await;
    let ask = b"POST /v1/leases HTTP/1.1\r\nHost: d\r\nContent-Length: 14\r\n\r\n{\"wait\":\"60s\"}";
    tokio::io::AsyncWriteExt::write_all(&mut gone, ask).await.unwrap();
    drop(gone);
    assert_eq!(daemon.post("/v1/messages", planted("large")).await.status, 201);
    daemon.restart().await;
    daemon.entry_when("under-way", |entry| entry.state == State::Sending).await;
    look_at_everything(&daemon, &ids).await;
    no_description_is_counted(&daemon).await;
    end_and_search(&mut daemon, &[]).await;
}
