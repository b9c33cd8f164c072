//! Ids that look like paths, and paths that play tricks: an id is text, and reaches nothing but its message.
//!
//! Owns:  ids of every odd kind through every call that has one in its path, and paths that no id makes.
//! Never: tests what the calls do beyond finding their message.

use std::path::{Path, PathBuf};

use crate::harness::{Daemon, Place};

/// Percent-encodes everything that is no letter or digit.
fn encoded(id: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    id.bytes().map(byte).collect()
}

fn odd_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        ".",
        "..",
        "../..",
        "../../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a/payload",
        "payload",
        "why",
        "a%2Fb",
        "%2e%2e",
        "%2E%2E%2F",
        "%00",
        "%25",
        "a b",
        " ",
        "+",
        "a+b",
        "a?b=c",
        "a#b",
        "a;b",
        "a:batch",
        "..\\..",
        "{id}",
        "*",
        "~",
        "-",
        "\"quoted\"",
        "'; --",
        "<script>",
        "é",
        "e\u{301}",
        "🚢",
        "\u{202e}rtl",
        "\u{feff}",
        "null",
        "0",
        "C:\\x",
        "con",
    ]
    .map(str::to_owned)
    .into();
    ids.push("x".repeat(200));
    ids.push("é".repeat(100));
    ids.push("/".repeat(200));
    ids
}

/// Everything below a folder, but for what lies in the spool.
fn files_outside_the_spool(place: &Place) -> Vec<PathBuf> {
    fn collect(folder: &Path, spool: &Path, found: &mut Vec<PathBuf>) {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path == spool {
                continue;
            }
            if path.is_dir() {
                collect(&path, spool, found);
            }
            found.push(path);
        }
    }
    let mut found = Vec::new();
    collect(place.path(), &place.spool, &mut found);
    found.sort();
    found
}

#[tokio::test]
async fn any_text_is_an_id_and_finds_its_own_message_through_every_call() {
    let daemon = Daemon::start("").await;
    let files = files_outside_the_spool(&daemon.place);
    // Long enough that each payload is a file.
    let long = "x".repeat(20_000);
    for id in odd_ids() {
        let message =
            serde_json::json!({"userID": "bob", "elemType": 1, "textElem": {"text": format!("{id} {long}")}});
        let submit = serde_json::json!({"msgID": id, "account": id, "conversation": id, "message": message});
        let answer = daemon.post("/v1/messages", submit.to_string()).await;
        assert_eq!((answer.status, answer.json()["msgID"].as_str()), (201, Some(id.as_str())), "{answer:?}");
        let at = format!("/v1/messages/{}", encoded(&id));
        assert_eq!(daemon.get(&at).await.json()["msgID"], id);
        assert!(daemon.get(&format!("{at}/payload")).await.text().contains(&long), "{id}");
        for call in ["/hold", "/release"] {
            assert_eq!(daemon.post(&format!("{at}{call}"), "").await.json()["msgID"], id, "{call}");
        }
        assert_eq!(daemon.get(&format!("{at}/why")).await.status, 200, "{id}");
        daemon.get(&format!("/v1/sent/{}", encoded(&id))).await.problem(404, "not_found");
        for (name, value) in [("account", &id), ("conversation", &id)] {
            let page = daemon.get(&format!("/v1/messages?{name}={}", encoded(value))).await.json();
            let listed = page["messages"].as_array().unwrap();
            assert_eq!(
                listed.iter().map(|entry| entry["msgID"].as_str().unwrap()).collect::<Vec<_>>(),
                [&id]
            );
        }
        let account = format!("/v1/accounts/{}", encoded(&id));
        assert_eq!(daemon.post(&format!("{account}/pause"), r#"{"reason":"x"}"#).await.json()["account"], id);
        assert_eq!(daemon.post(&format!("{account}/resume"), "").await.status, 200, "{id}");
    }
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, odd_ids().len() as u64);
    for id in odd_ids() {
        let answer = daemon.ask("DELETE", &format!("/v1/messages/{}", encoded(&id)), &[], b"").await;
        assert_eq!(answer.json()["outcome"], "cancelled", "{id}");
        assert_eq!(daemon.get(&format!("/v1/sent/{}", encoded(&id))).await.json()["msgID"], id);
    }
    assert_eq!(files_outside_the_spool(&daemon.place), files, "no id is ever a path");
}

#[tokio::test]
async fn a_path_that_plays_tricks_finds_nothing_and_says_so() {
    let daemon = Daemon::start("").await;
    let long = "a".repeat(16_000);
    let encoded_long = "%41".repeat(5_000);
    for target in [
        "/v1/messages/../status",
        "/v1/../v1/status",
        "/v1/./status",
        "/v1/messages/%2e%2e/status",
        "/v1/messages/..%2fstatus",
        "/v1/messages/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/%6dessages/a",
        "/v1%2fstatus",
        "/v1/status/",
        "/v1/status%00",
        "/v1/status;x=1",
        "//v1/status",
        "/v1//status",
        "/V1/status",
        "/v1/messages/%252e%252e",
        "/v1/messages/a/pay%6coad",
        "/v1/messages/a/payload/",
        "/v1/messages/a/payload/b",
        "/v1/messages/%00",
        "/v1/messages/a%00b",
        "/v1/messages/%0d%0aX:%20y",
        "/v1/messages/%7f",
        "/v1/messages/%",
        "/v1/messages/%zz",
        "/v1/messages/%e9",
        "/v1/messages/%c0%ae%c0%ae",
        "/v1/messages/%ed%a0%80",
        "/v1/messages/%f4%90%80%80",
        "/v1/messages/{id}",
        "/v1/messages/*",
        "/v1/sent/%00",
        "/v1/sent/..%2f",
        "/v1/metrics",
        "/metrics/..",
        &format!("/v1/messages/{long}"),
        &format!("/v1/messages/{encoded_long}"),
        &format!("/v1/messages/{}", "a/".repeat(5_000)),
        &format!("/v1/{}", "../".repeat(5_000)),
    ] {
        let answer = daemon.get(target).await;
        let shown: String = target.chars().take(60).collect();
        assert!(matches!(answer.status, 400 | 404), "{shown}: {answer:?}");
        let code = if answer.status == 400 { "bad_request" } else { "not_found" };
        answer.problem(answer.status, code);
        assert!(answer.headers.iter().all(|(name, _)| name != "X"), "{shown}");
    }
    daemon.serves_others().await;
}

#[tokio::test]
async fn a_name_that_no_message_can_have_is_refused_wherever_it_stands() {
    let daemon = Daemon::start("").await;
    let long = "x".repeat(201);
    for name in ["%00", "a%00b", "%0a", "%1b%5b31m", "%7f", "%c2%85", &long] {
        for call in ["pause", "resume"] {
            let answer = daemon.post(&format!("/v1/accounts/{name}/{call}"), "").await;
            answer.problem(400, "bad_request");
        }
        for call in ["settle", "extend"] {
            let body = if call == "settle" { r#"{"code":0}"# } else { r#"{"for":"10s"}"# };
            daemon.post(&format!("/v1/leases/{name}/{call}"), body).await.problem(404, "not_found");
        }
    }
    assert!(daemon.client.status().await.unwrap().accounts.is_empty(), "nothing was made");
}
