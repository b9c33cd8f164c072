//! A spool that no daemon runs on: exported, imported, checked.
//!
//! Owns:  what survives the way into another spool, what is refused, what a look leaves as it was.
//! Never: looks into the files beyond comparing and damaging them.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use outbox_control::Time;
use outbox_control::client::SentQuery;
use outbox_control::types::{ResolveRequest, State};
use outboxd::service::Reply;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Daemon, ONCE, OUTBOXD, Run, forgetful_service, http_toml, run, service, until};
use crate::messages::{message, submit, submit_with};
use crate::unpack::{unpack, unpacked};

async fn outboxd(arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(OUTBOXD);
    command.args(arguments);
    run(command, input).await
}

async fn export(spool: &Path) -> Run {
    outboxd(&["export", spool.to_str().unwrap()], "").await
}

async fn import(spool: &Path, lines: &str) -> Run {
    outboxd(&["import", spool.to_str().unwrap()], lines).await
}

fn by_id(run: &Run) -> BTreeMap<String, Value> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    run.out.lines().map(line).map(|line| (line["msgID"].as_str().unwrap().to_owned(), line)).collect()
}

/// Every file of a folder with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                drop(found.insert(path.clone(), std::fs::read(path).unwrap()))
            }
        }
    }
    found
}

/// A stopped daemon whose spool holds a message in every state that there is.
async fn full_spool() -> Daemon {
    let service = forgetful_service(|seen| match seen.msg_id.as_str() {
        "failed" | "kept" => Reply::Callback { code: 80_001, desc: "refused".into() },
        "later" => Reply::Callback { code: 20_004, desc: "busy".into() },
        "lost" | "seen" => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let toml = http_toml(&service, "", &format!("{ONCE}[delivery]\non_uncertain = \"hold\"\n"));
    let mut daemon = Daemon::start(&toml).await;
    let large = format!(
        r#"{{"message":{{"msgID":"large","id":"made-1","groupID":"pier","elemType":1,"x":"{}"}},"webMessageInstatnce":{{"a":1}},"notBefore":"2099-01-01T00:00:00.000Z","ttl":"2h"}}"#,
        "y".repeat(40_000)
    );
    for (body, state) in [
        (submit("sent", "a"), State::Sent),
        (submit("failed", "b"), State::Failed),
        (submit("later", "c"), State::Deferred),
        (submit("lost", "d"), State::Uncertain),
        (submit("seen", "e"), State::Uncertain),
        (submit_with("short", "c", r#""ttl":"1s""#), State::Expired),
        (large, State::Deferred),
    ] {
        let submitted = daemon.client.submit_json(body.into_bytes()).await.unwrap();
        daemon.entry_in(&submitted.msg_id, state).await;
    }
    daemon.client.resolve("seen", &ResolveRequest { code: 0, desc: None, data: None }).await.unwrap();
    daemon.client.pause().await.unwrap();
    for msg_id in ["held", "gone", "waits"] {
        daemon.client.submit_json(submit(msg_id, msg_id).into_bytes()).await.unwrap();
    }
    daemon.client.hold("held", Some("wait for Lena")).await.unwrap();
    daemon.client.cancel("gone", Some("typo")).await.unwrap();
    assert_eq!(daemon.term().await, Some(0));
    daemon
}

#[tokio::test]
async fn every_state_survives_the_way_into_another_spool() {
    let daemon = full_spool().await;
    let exported = export(&daemon.place.spool).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let lines = by_id(&exported);
    assert_eq!(lines.len(), 10, "{:?}", lines.keys());
    for (msg_id, state) in [
        ("failed", "failed"),
        ("lost", "uncertain"),
        ("short", "expired"),
        ("held", "held"),
        ("waits", "queued"),
    ] {
        assert_eq!(lines[msg_id]["record"]["state"], state, "{}", lines[msg_id]);
        let text: Value = serde_json::from_str(&message(msg_id, "x")).unwrap();
        assert_eq!(lines[msg_id]["message"]["textElem"], text["textElem"]);
    }
    for (msg_id, state) in [("sent", "sent"), ("seen", "sent"), ("gone", "cancelled")] {
        assert_eq!(lines[msg_id]["receipt"]["state"], state, "{}", lines[msg_id]);
    }

    let other = daemon.place.path().join("other");
    let imported = import(&other, &exported.out).await;
    assert_eq!((imported.code, imported.out.as_str()), (Some(0), ""), "{imported:?}");
    assert!(imported.err.contains("10 taken in, 0 there already, 0 refused"), "{imported:?}");
    let mut again = by_id(&export(&other).await);
    // A held one's clock stood still on the way: what is left of its life is the same.
    let left = |line: &Value| {
        let at = |name: &str| line["record"][name].as_str().unwrap().parse::<Time>().unwrap().as_ms();
        at("deadline") - at("stoppedAt")
    };
    assert_eq!(left(&again["held"]), left(&lines["held"]));
    for name in ["deadline", "stoppedAt"] {
        again.get_mut("held").unwrap()["record"][name] = lines["held"]["record"][name].clone();
    }
    for (msg_id, line) in &lines {
        assert_eq!(&again[msg_id], line, "{msg_id} comes out as it went in");
    }
    let repeated = import(&other, &exported.out).await;
    assert!(repeated.err.contains("0 taken in, 10 there already, 0 refused"), "{repeated:?}");
    let checked = outboxd(&["fsck", other.to_str().unwrap()], "").await;
    assert_eq!((checked.code, checked.out.lines().last()), (Some(0), Some("sound")), "{checked:?}");
}

/// Messages and replacements as people and programs write them: over several lines, with numbers that no computer holds, as
/// deep as is allowed. One has a line in it that would be a message.
async fn odd_spool() -> Daemon {
    let mut daemon = Daemon::start("[transport.app]").await;
    let planted = submit("planted", "boss");
    let deep = format!("{}1{}", "[".repeat(125), "]".repeat(125));
    for (msg_id, x) in [
        ("pretty", "\n  [\r\n    1,\n    2\r  ]\n".to_owned()),
        ("large", format!("\n\"{}\"\n", "y".repeat(40_000))),
        ("carrier", format!("\n{planted}\n")),
        ("numbers", "[1e400, -1e400, 1e309, 123456789012345678901234567890]".to_owned()),
        ("deep", deep),
    ] {
        let body = format!(
            "{{\"webMessageInstatnce\":{{\n}},\"message\":{{\n\"msgID\":\"{msg_id}\",\"userID\":\"{msg_id}\",\"elemType\":1,\"x\":{x}\n}}}}"
        );
        assert_eq!(daemon.post("/v1/messages", &body).await.status, 201, "{msg_id}");
    }
    for (msg_id, x) in
        [("sent", "[\n1e400\n]".to_owned()), ("sent-large", format!("\n\"{}\"\n", "z".repeat(40_000)))]
    {
        assert_eq!(daemon.post("/v1/messages", &submit(msg_id, msg_id)).await.status, 201);
        let lease = loop {
            let lease = daemon.lease(r#"{"max":1,"wait":"5s"}"#).await.remove(0);
            if lease.msg_id == msg_id {
                break lease.lease;
            }
        };
        let said =
            format!("{{\"code\":0,\"data\":{{\n\"msgID\":\"new-{msg_id}\",\r\n\"status\":2,\"x\":{x}}}}}");
        assert_eq!(daemon.post(&format!("/v1/leases/{lease}/settle"), &said).await.json()["state"], "sent");
    }
    assert_eq!(daemon.term().await, Some(0));
    daemon
}

#[tokio::test]
async fn whatever_was_accepted_is_one_line_of_an_export_and_is_imported() {
    let daemon = odd_spool().await;
    let exported = export(&daemon.place.spool).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let ids = |exported: &str| -> Vec<String> {
        exported.lines().map(|line| line.split('"').nth(3).unwrap().to_owned()).collect()
    };
    let mut seen = ids(&exported.out);
    seen.sort();
    assert_eq!(seen, ["carrier", "deep", "large", "numbers", "pretty", "sent", "sent-large"]);
    let other = daemon.place.path().join("other");
    let imported = import(&other, &exported.out).await;
    assert!(imported.err.contains("7 taken in, 0 there already, 0 refused"), "{imported:?}");
    let again = export(&other).await;
    assert_eq!(ids(&again.out), ids(&exported.out));
    let contents = |exported: &str| -> Vec<String> {
        let parts =
            exported.lines().flat_map(|line| [r#""message":"#, r#""data":"#].map(|name| (line, name)));
        // From there to the next name of the line.
        let content = |(line, name): (&str, &str)| {
            let rest = &line[line.find(name)?..];
            Some(rest[..rest.find(r#","record":"#).or(rest.find(r#","attempts":"#))?].to_owned())
        };
        parts.filter_map(content).collect()
    };
    assert_eq!(contents(&exported.out).len(), 7);
    assert_eq!(contents(&again.out), contents(&exported.out));
}

#[tokio::test]
async fn what_was_asked_for_during_an_attempt_is_done_in_the_other_spool() {
    let mut daemon = Daemon::start("[transport.app]").await;
    for msg_id in ["held", "cancelled"] {
        assert_eq!(daemon.post("/v1/messages", &submit(msg_id, msg_id)).await.status, 201);
    }
    assert_eq!(daemon.lease(r#"{"max":2,"wait":"5s"}"#).await.len(), 2);
    daemon.client.hold("held", Some("wait for Lena")).await.unwrap();
    daemon.client.cancel("cancelled", Some("typo")).await.unwrap();
    daemon.kill9().await;
    let exported = export(&daemon.place.spool).await;
    let lines = by_id(&exported);
    assert_eq!(lines["held"]["record"]["state"], "sending", "{exported:?}");
    let place = crate::harness::Place::new("[transport.app]");
    assert_eq!(import(&place.spool, &exported.out).await.code, Some(0));
    let daemon = Daemon::start_in(place).await;
    let held = daemon.entry_in("held", State::Held).await;
    assert_eq!(held.reason.as_deref(), Some("wait for Lena"));
    let cancelled = daemon.get("/v1/messages/cancelled").await.json();
    assert_eq!(
        (&cancelled["state"], &cancelled["reason"]),
        (&json!("cancelled"), &json!("typo")),
        "{cancelled}"
    );
}

#[tokio::test]
async fn an_imported_spool_is_sent_by_the_next_daemon_with_the_same_tokens_and_in_order() {
    let mut source = Daemon::start("").await;
    let lines: String =
        (0..40).map(|n| submit(&format!("m-{n:02}"), &format!("u{}", n % 3)) + "\n").collect();
    source.post_lines(&lines).await;
    source.term().await;
    let exported = export(&source.place.spool).await;
    let tokens: BTreeMap<_, _> = by_id(&exported)
        .into_iter()
        .map(|(msg_id, line)| (msg_id, line["record"]["token"].as_str().unwrap().to_owned()))
        .collect();

    let service = service(|_| Reply::Accept).await;
    let place = crate::harness::Place::new(&http_toml(&service, "", ""));
    assert_eq!(import(&place.spool, &exported.out).await.code, Some(0));
    let daemon = Daemon::start_in(place).await;
    daemon.entry_when_all_sent(40).await;
    let mut last = BTreeMap::new();
    for request in service.requests() {
        assert_eq!(request.header("idempotency-key"), Some(tokens[&request.msg_id].as_str()));
        let user = request.msg_id[2..].parse::<u32>().unwrap() % 3;
        assert!(last.insert(user, request.msg_id.clone()) < Some(request.msg_id.clone()), "in order");
    }
}

#[tokio::test]
async fn what_still_goes_has_its_place_whatever_its_line_says_of_that() {
    let mut daemon = Daemon::start("[transport.app]").await;
    assert_eq!(daemon.post("/v1/messages", &submit("waits", "bob")).await.status, 201);
    assert_eq!(daemon.post("/v1/messages", &submit_with("ends", "eve", r#""ttl":"1s""#)).await.status, 201);
    daemon.entry_in("ends", State::Expired).await;
    assert_eq!(daemon.post("/v1/messages", &submit("behind it", "eve")).await.status, 201);
    daemon.term().await;
    let exported = export(&daemon.place.spool).await;
    let turned = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let in_lane = &mut line["record"]["inLane"];
        *in_lane = json!(!in_lane.as_bool().unwrap());
        line.to_string()
    };
    let lines: Vec<String> = exported.out.lines().map(turned).collect();
    assert_eq!(lines.len(), 3);
    let place = crate::harness::Place::new("[transport.app]");
    assert_eq!(import(&place.spool, &lines.join("\n")).await.code, Some(0));
    let daemon = Daemon::start_in(place).await;
    for _ in 0..2 {
        assert_eq!(daemon.lease(r#"{"max":1,"wait":"5s"}"#).await.len(), 1, "both can be sent");
    }
}

/// Leases and sends all that can be sent; answers their msgIDs in the order in which they went.
async fn send_all(daemon: &Daemon) -> Vec<String> {
    let mut sent = Vec::new();
    loop {
        let leases = daemon.lease(r#"{"max":8,"wait":"0s"}"#).await;
        if leases.is_empty() {
            return sent;
        }
        for lease in leases {
            let success = format!(r#"{{"code":0,"data":{{"msgID":"new-{}","status":2}}}}"#, lease.msg_id);
            let settled = daemon.post(&format!("/v1/leases/{}/settle", lease.lease), &success).await;
            assert_eq!(settled.json()["state"], "sent");
            sent.push(lease.msg_id);
        }
    }
}

/// What is done to a line.
type Change = fn(&mut Value);

#[tokio::test]
async fn a_line_with_what_no_submit_could_have_is_refused() {
    let daemon = full_spool().await;
    let exported = export(&daemon.place.spool).await;
    let of = |name: &str| {
        let line = exported.out.lines().find(|line| line.contains(&format!(r#""{name}":"#))).unwrap();
        serde_json::from_str::<Value>(line).unwrap()
    };
    let changes: [(&str, Change); 5] = [
        ("record", |line| line["message"] = json!(5)),
        ("record", |line| line["message"] = json!([1])),
        ("record", |line| line["id"] = json!("x".repeat(201))),
        ("receipt", |line| line["id"] = json!("a\u{0}b")),
        ("receipt", |line| line["receipt"]["newMsgID"] = json!("a\nb")),
    ];
    for (name, change) in changes {
        let mut line = of(name);
        change(&mut line);
        let place = crate::harness::Place::new("");
        let imported = import(&place.spool, &line.to_string()).await;
        assert_eq!(imported.code, Some(1), "{line}: {imported:?}");
        assert!(imported.err.contains("line 1 is refused"), "{imported:?}");
    }
}

#[tokio::test]
async fn what_is_imported_beside_others_stays_in_its_order() {
    const APP: &str = "[transport.app]\nrate = 1000";
    let mut from = Daemon::start(APP).await;
    for id in ["a1", "a2", "a3", "a4"] {
        assert_eq!(from.post("/v1/messages", &submit(id, "friend")).await.status, 201);
    }
    from.term().await;
    let exported = export(&from.place.spool).await;
    let mut to = Daemon::start(APP).await;
    for id in ["b1", "b2", "b3"] {
        assert_eq!(to.post("/v1/messages", &submit(id, id)).await.status, 201);
    }
    to.client.hold("b1", None).await.unwrap();
    to.client.hold("b3", None).await.unwrap();
    // The second place is free then; the first and the third are not.
    assert_eq!(send_all(&to).await, ["b2"]);
    to.term().await;
    let lines: Vec<&str> = exported.out.lines().collect();
    assert_eq!(import(&to.place.spool, &lines[..2].join("\n")).await.code, Some(0));
    to.start_again().await;
    to.client.cancel("b1", None).await.unwrap();
    to.client.cancel("b3", None).await.unwrap();
    to.term().await;
    // An import that was interrupted is repeated, and finds more places free.
    assert_eq!(import(&to.place.spool, &exported.out).await.code, Some(0));
    to.start_again().await;
    assert_eq!(send_all(&to).await, ["a1", "a2", "a3", "a4"]);
    to.leaves_it_sound().await;
}

#[tokio::test]
async fn what_has_ended_without_a_message_keeps_a_place_of_its_own_in_an_import() {
    let mut spools = Vec::new();
    for name in ["a", "b"] {
        let mut daemon = Daemon::start("[transport.app]").await;
        for n in 0..3 {
            let online = submit_with(&format!("{name}-{n}"), "u", r#""onlineUserOnly":true,"ttl":"1s""#);
            assert_eq!(daemon.post("/v1/messages", &online).await.status, 201);
        }
        for n in 0..3 {
            daemon.entry_in(&format!("{name}-{n}"), State::Expired).await;
        }
        daemon.term().await;
        spools.push(daemon);
    }
    let exported = export(&spools[0].place.spool).await;
    let mut to = spools.remove(1);
    assert_eq!(import(&to.place.spool, &exported.out).await.code, Some(0));
    to.start_again().await;
    let listed = to.client.messages(&outbox_control::client::ListQuery::default()).await.unwrap();
    assert_eq!(listed.messages.len(), 6, "{listed:?}");
    to.leaves_it_sound().await;
}

#[tokio::test]
async fn numbers_at_the_end_of_all_numbers_are_not_taken_over() {
    let daemon = full_spool().await;
    let exported = export(&daemon.place.spool).await;
    for number in [u64::MAX, u64::MAX - 1, 1 << 60] {
        let huge = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            for of in ["record", "receipt"] {
                if let Some(of) = line.get_mut(of) {
                    of["seq"] = json!(number);
                }
            }
            line.to_string()
        };
        let lines: Vec<String> = exported.out.lines().map(huge).collect();
        let place = crate::harness::Place::new("");
        let imported = import(&place.spool, &lines.join("\n")).await;
        assert!(imported.err.contains("10 taken in, 0 there already, 0 refused"), "{imported:?}");
        let mut other = Daemon::start_in(place).await;
        let spool = other.place.spool.to_str().unwrap().to_owned();
        let submitted = other.client.submit_json(submit("behind them", "b").into_bytes()).await.unwrap();
        assert!(submitted.seq < 100, "{submitted:?}");
        let sent = other.client.sent(&SentQuery::default()).await.unwrap();
        assert_eq!(sent.sent.len(), 2, "each can be found: {sent:?}");
        other.term().await;
        let checked = outboxd(&["fsck", &spool], "").await;
        assert_eq!((checked.code, checked.out.lines().last()), (Some(0), Some("sound")), "{checked:?}");
    }
}

#[tokio::test]
async fn words_of_a_line_are_kept_as_long_as_words_may_be() {
    const WORDS: &str = "é";
    let daemon = full_spool().await;
    let exported = export(&daemon.place.spool).await;
    let long = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for of in ["record", "receipt"] {
            let Some(of) = line.get_mut(of) else { continue };
            for field in ["desc", "reason"] {
                if of[field].is_string() {
                    of[field] = json!(WORDS.repeat(100_000));
                }
            }
            if of["lastError"].is_object() {
                of["lastError"]["desc"] = json!(WORDS.repeat(100_000));
            }
            for attempt in of["history"].as_array_mut().into_iter().flatten() {
                attempt["desc"] = json!(WORDS.repeat(100_000));
            }
        }
        line.to_string()
    };
    let lines: Vec<String> = exported.out.lines().map(long).collect();
    let longer = lines.join("\n").matches(WORDS).count() / 100_000;
    assert!(longer >= 8, "{longer} long words in {}", exported.out);
    let other = daemon.place.path().join("other");
    let imported = import(&other, &lines.join("\n")).await;
    assert!(imported.err.contains("10 taken in, 0 there already, 0 refused"), "{imported:?}");
    let again = export(&other).await;
    assert_eq!(again.out.matches(WORDS).count(), longer * 128, "256 bytes each");
}

#[tokio::test]
async fn an_attempt_that_was_under_way_may_have_arrived() {
    let service = forgetful_service(|_| Reply::Hang).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.client.submit_json(submit("m", "lena").into_bytes()).await.unwrap();
    daemon.entry_in("m", State::Sending).await;
    daemon.kill9().await;
    let exported = export(&daemon.place.spool).await;
    assert_eq!(by_id(&exported)["m"]["record"]["state"], "sending", "{exported:?}");
    let other = daemon.place.path().join("other");
    assert_eq!(import(&other, &exported.out).await.code, Some(0));
    let moved = by_id(&export(&other).await).remove("m").unwrap();
    let record = &moved["record"];
    assert_eq!((&record["attempts"], &record["possibleDuplicate"]), (&json!(1), &json!(true)), "{moved}");
    assert!(record["unresolvedSince"].is_string(), "{moved}");
}

#[tokio::test]
async fn lines_without_a_record_are_submits_and_a_bad_line_spoils_only_itself() {
    let place = crate::harness::Place::new("");
    let lines = [
        submit("a", "lena"),
        "not json".to_owned(),
        String::new(),
        r#"{"msgID":"b","account":"d","conversation":"c","record":{"state":"sent"}}"#.to_owned(),
        r#"{"message":{"msgID":"tips","groupID":"g","elemType":9}}"#.to_owned(),
        submit("c", "lena"),
    ];
    let imported = import(&place.spool, &lines.join("\n")).await;
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.err.contains("2 taken in, 0 there already, 3 refused"), "{imported:?}");
    for number in [2, 4, 5] {
        assert!(imported.err.contains(&format!("line {number} is refused: ")), "{imported:?}");
    }
    assert_eq!(by_id(&export(&place.spool).await).into_keys().collect::<Vec<_>>(), ["a", "c"]);
}

#[tokio::test]
async fn a_spool_in_use_is_refused_and_a_folder_that_is_none_as_well() {
    let daemon = Daemon::start("").await;
    for command in ["export", "import", "fsck"] {
        let refused = outboxd(&[command, daemon.place.spool.to_str().unwrap()], "").await;
        assert_eq!(refused.code, Some(1), "{command}: {refused:?}");
        assert!(refused.err.contains("in use by outboxd") && refused.err.contains("hint:"), "{refused:?}");
    }
    let folder = daemon.place.path().to_str().unwrap();
    let empty = format!("{folder}/empty");
    std::fs::create_dir(&empty).unwrap();
    for command in [&["export"][..], &["fsck"], &["fsck", "--repair"]] {
        for none in [folder, &empty] {
            let refused = outboxd(&[command, &[none]].concat(), "").await;
            assert_eq!(refused.code, Some(2), "{command:?}: {refused:?}");
            let said = format!("there is no spool in {none}\n  hint: name the folder of a spool");
            assert!(refused.err.contains(&said), "{command:?}: {refused:?}");
        }
        assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "nothing is made");
        let missing = outboxd(&[command, &[&format!("{folder}/nowhere")]].concat(), "").await;
        assert_eq!(missing.code, Some(1), "{command:?}: {missing:?}");
        assert!(
            missing.err.contains("nowhere failed: No such file") && missing.err.contains("the path"),
            "{missing:?}"
        );
        assert!(!Path::new(&format!("{folder}/nowhere")).exists());
    }
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let mut daemon = full_spool().await;
    let before = files(&daemon.place.spool);
    assert_eq!(export(&daemon.place.spool).await.code, Some(0));
    assert_eq!(outboxd(&["fsck", daemon.place.spool.to_str().unwrap()], "").await.code, Some(0));
    assert!(files(&daemon.place.spool) == before, "no byte of the spool has changed");
    daemon.start_again().await;
    daemon.kill9().await;
    let before = files(&daemon.place.spool);
    assert_eq!(export(&daemon.place.spool).await.code, Some(0));
    assert!(files(&daemon.place.spool) == before, "also after a stop that was not in order");
}

#[tokio::test]
async fn damage_is_told_and_never_a_panic() {
    let daemon = full_spool().await;
    let spool = &daemon.place.spool;
    let db = spool.join("store/db");
    let whole = std::fs::read(&db).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut noticed = 0;
    for part in 1..=24 {
        let mut damaged = whole.clone();
        damaged[used * part / 25] ^= 0x10;
        std::fs::write(&db, &damaged).unwrap();
        let checked = outboxd(&["fsck", "--json", spool.to_str().unwrap()], "").await;
        let exported = export(spool).await;
        for run in [&checked, &exported] {
            assert!(matches!(run.code, Some(0 | 1)) && !run.err.contains("panicked"), "{run:?}");
        }
        noticed += usize::from(checked.code == Some(1));
        for line in by_id(&exported).values() {
            assert!(line.get("record").is_some() || line.get("receipt").is_some());
        }
    }
    assert!(noticed > 0, "not one of 24 damages was noticed");
    std::fs::write(&db, &whole).unwrap();
    assert_eq!(export(spool).await.code, Some(0));
}

#[tokio::test]
async fn damage_under_what_goes_next_is_a_failure_that_shows_and_a_restart_ends() {
    const MESSAGES: usize = 4_000;
    let mut daemon = Daemon::start("[transport.app]\nrate = 1000").await;
    let more = format!(r#""webMessageInstatnce":"{}""#, "x".repeat(2_500));
    for part in 0..8 {
        let lines = (part * MESSAGES / 8..(part + 1) * MESSAGES / 8)
            .map(|n| submit_with(&format!("m-{n}"), &format!("c{}", n % 400), &more));
        let answer = daemon.post_lines(lines.collect::<Vec<_>>().join("\n")).await;
        assert!(answer.lines().iter().all(|line| line["status"] == 201));
    }
    // No start comes between: what has been read once may be in memory, and is not met.
    let db = daemon.place.spool.join("store/db");
    let mut file = std::fs::File::options().read(true).write(true).open(&db).unwrap();
    let used = std::fs::read(&db).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    file.seek(SeekFrom::Start(used as u64 / 10)).unwrap();
    file.write_all(&vec![0; used * 8 / 10]).unwrap();
    let refused = until("a lease meets it", || async {
        let answer = daemon.post("/v1/leases", r#"{"max":256,"wait":"0s"}"#).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    let refused = refused.problem(503, "store_unhealthy");
    assert!(refused["detail"].as_str().unwrap().contains("cannot be read"), "{refused}");
    // Nothing would go any more: nothing is accepted, and it shows.
    daemon.post("/v1/messages", &submit("new", "somebody")).await.problem(503, "store_unhealthy");
    assert_eq!(daemon.get("/v1/health/ready").await.status, 503);
    let failure = daemon.get("/v1/status").await.json()["spool"]["failure"].clone();
    assert!(failure.as_str().is_some_and(|text| text.contains("the next start")), "{failure}");
    daemon.restart().await;
    assert_eq!(daemon.get("/v1/health/ready").await.status, 200);
    assert!(!daemon.lease(r#"{"max":8,"wait":"5s"}"#).await.is_empty());
    daemon.leaves_it_sound().await;
}

#[tokio::test]
async fn a_repair_sets_aside_what_cannot_be_read_and_the_rest_goes_on() {
    let mut daemon = full_spool().await;
    let spool = daemon.place.spool.to_str().unwrap().to_owned();
    let payloads = daemon.place.spool.join("payloads");
    for file in std::fs::read_dir(&payloads).unwrap() {
        std::fs::write(file.unwrap().path(), b"rubbish").unwrap();
    }
    let checked = outboxd(&["fsck", &spool], "").await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("1 messages have lost their payload: large"), "{checked:?}");
    let exported = export(&daemon.place.spool).await;
    assert_eq!(exported.code, Some(1), "{exported:?}");
    assert_eq!(by_id(&exported).len(), 10, "what can be read is there all the same");
    let repaired = outboxd(&["fsck", "--repair", &spool], "").await;
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let said = "1 payloads and replacements could not be read and were set aside";
    assert!(repaired.out.contains(said) && repaired.out.contains("sound"), "{repaired:?}");
    let kept = std::fs::read_dir(daemon.place.spool.join("quarantine/payloads")).unwrap().next();
    assert_eq!(std::fs::read(kept.unwrap().unwrap().path()).unwrap(), b"rubbish");
    daemon.start_again().await;
    assert!(daemon.client.message("large").await.is_err());
    assert_eq!(daemon.client.message("held").await.unwrap().state, State::Held);
    let ready = daemon.get("/v1/health/ready").await;
    assert!(ready.text().contains("1 records could not be read and were set aside"), "{ready:?}");
    assert!(daemon.get("/metrics").await.text().contains("\noutbox_quarantined_total 1\n"));
    assert_eq!(status_of(&daemon).await["spool"]["quarantined"], 1);
    assert!(daemon.log().contains("Records could not be read and were set aside"), "{}", daemon.log());
}

#[tokio::test]
async fn a_damaged_file_is_told_without_a_restart_and_set_aside_when_its_turn_comes() {
    let service = service(|_| Reply::Accept).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", "")).await;
    daemon.client.pause().await.unwrap();
    let text = "y".repeat(40_000);
    let large = format!(r#"{{"message":{{"msgID":"large","groupID":"pier","elemType":1,"x":"{text}"}}}}"#);
    daemon.client.submit_json(large.into_bytes()).await.unwrap();
    let file = std::fs::read_dir(daemon.place.spool.join("payloads")).unwrap().next();
    let file = file.unwrap().unwrap().path();
    std::fs::write(file, b"rubbish").unwrap();
    let refused = daemon.get("/v1/messages/large/payload").await.problem(503, "store_unhealthy");
    assert!(refused["hint"].as_str().unwrap().contains("Only this cannot be read"), "{refused}");
    let ready = daemon.get("/v1/health/ready").await;
    let said = "1 files of large messages or replacements cannot be read";
    assert!(ready.status == 200 && ready.text().contains(said), "{ready:?}");
    assert_eq!(status_of(&daemon).await["spool"]["damagedFiles"], 1);
    assert!(daemon.get("/metrics").await.text().contains("\noutbox_damaged_files 1\n"));
    assert_eq!(daemon.client.message("large").await.unwrap().state, State::Queued, "its time may come");
    daemon.client.resume().await.unwrap();
    until("the message to be set aside", || async {
        (status_of(&daemon).await["spool"]["quarantined"] == 1).then_some(())
    })
    .await;
    assert_eq!(status_of(&daemon).await["spool"]["damagedFiles"], 0);
    let ready = daemon.get("/v1/health/ready").await;
    assert!(ready.text().contains("1 records could not be read and were set aside"), "{ready:?}");
    assert!(daemon.log().contains("could not be read and was set aside"), "{}", daemon.log());
    let spool = daemon.place.spool.to_str().unwrap().to_owned();
    daemon.term().await;
    let checked = outboxd(&["fsck", &spool], "").await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

async fn status_of(daemon: &Daemon) -> Value {
    daemon.get("/v1/status").await.json()
}

#[tokio::test]
async fn a_damaged_mark_is_written_anew_where_the_seal_knows_the_format() {
    let mut daemon = full_spool().await;
    daemon.kill9().await;
    let spool = daemon.place.spool.to_str().unwrap().to_owned();
    let whole = by_id(&export(&daemon.place.spool).await);
    for mark in
        [Some(b"outbox spoil 1\n".as_slice()), Some(b"outbox spool 0\n"), Some(b"\xff\xfe"), Some(b""), None]
    {
        let path = daemon.place.spool.join("format");
        match mark {
            Some(mark) => std::fs::write(&path, mark).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let exported = export(&daemon.place.spool).await;
        assert_eq!((exported.code, by_id(&exported)), (Some(0), whole.clone()));
        let checked = outboxd(&["fsck", &spool], "").await;
        assert!(checked.code == Some(1) && checked.out.contains("`format`"), "{checked:?}");
        daemon.start_again().await;
        assert!(daemon.log().contains("`format` was damaged and was written anew"), "{}", daemon.log());
        assert_eq!(std::fs::read(&path).unwrap(), b"outbox spool 1\n");
        daemon.kill9().await;
        assert_eq!(by_id(&export(&daemon.place.spool).await), whole);
    }
    // Without a seal nothing says that this program may change anything.
    for seal in ["seal", "seal.last", "format"] {
        std::fs::remove_file(daemon.place.spool.join(seal)).unwrap();
    }
    let before = files(&daemon.place.spool);
    let refused = run(daemon.place.command(), "").await;
    assert!(refused.code == Some(1) && refused.err.contains("fsck --repair"), "{refused:?}");
    assert!(files(&daemon.place.spool) == before, "it is left untouched");
    assert_eq!(by_id(&export(&daemon.place.spool).await), whole);
    let repaired = outboxd(&["fsck", "--repair", &spool], "").await;
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    daemon.start_again().await;
    daemon.kill9().await;
    // The same where the store is damaged, too.
    overwrite_some(&daemon.place.spool);
    std::fs::write(daemon.place.spool.join("format"), "").unwrap();
    let repaired = outboxd(&["fsck", "--repair", &spool], "").await;
    assert!(repaired.code == Some(0) && repaired.out.contains("was made anew"), "{repaired:?}");
    std::fs::write(daemon.place.spool.join("format"), "outbox spool 2\n").unwrap();
    let before = files(&daemon.place.spool);
    for command in [
        vec!["fsck", &spool],
        vec!["fsck", "--repair", &spool],
        vec!["export", &spool],
        vec!["import", &spool],
    ] {
        let refused = outboxd(&command, "").await;
        assert!(refused.code == Some(1) && refused.err.contains("format 2"), "{refused:?}");
        assert!(refused.err.contains("write `outbox spool 1` into it"), "{refused:?}");
    }
    assert!(run(daemon.place.command(), "").await.err.contains("format 2"));
    assert!(files(&daemon.place.spool) == before, "a newer format is left untouched");
}

#[tokio::test]
async fn the_export_of_a_spool_of_format_1_is_what_it_was() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/spool-v1");
    let dir = tempfile::tempdir().unwrap();
    unpack(&fixture.join("spool"), dir.path());
    let exported = export(dir.path()).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert_eq!(exported.out.as_bytes(), unpacked(&fixture.join("export.ndjson.gz")));
}

/// Overwrites a little in the middle of what is used of a stopped spool's store.
fn overwrite_some(spool: &Path) {
    let db = spool.join("store/db");
    let mut bytes = std::fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2..used / 2 + 16].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&db, bytes).unwrap();
}

#[tokio::test]
async fn what_stands_behind_damage_is_there_after_the_next_start() {
    const MESSAGES: usize = 300;
    let mut daemon = Daemon::start("").await;
    for part in 0..6 {
        let lines =
            (0..MESSAGES / 6).map(|n| submit(&format!("m-{part}-{n}"), &format!("u{}", n % 7)) + "\n");
        assert_eq!(daemon.post_lines(lines.collect::<String>()).await.lines().len(), MESSAGES / 6);
    }
    daemon.term().await;
    let spool = daemon.place.spool.clone();
    overwrite_some(&spool);
    let fsck = || {
        let mut fsck = Command::new(OUTBOXD);
        fsck.arg("fsck").arg(&spool);
        run(fsck, "")
    };
    let checked = fsck().await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("the store is damaged; this is what can be read of it"), "{checked:?}");
    let exported = export(&spool).await;
    assert_eq!(exported.code, Some(1), "{}", exported.err);
    assert!(exported.err.contains("the store is damaged"), "{}", exported.err);
    let saved = by_id(&exported);
    let checked = outboxd(&["fsck", "--json", spool.to_str().unwrap()], "").await;
    let checked: Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!(checked["entries"], saved.len(), "what a start would make of it: {checked}");
    assert_eq!((&checked["missing"], &checked["lost"]), (&json!(MESSAGES - saved.len()), &Value::Null));
    assert!(saved.len() + 20 > MESSAGES, "a message of the log is lost, and the rows in it: {}", saved.len());
    daemon.start_again().await;
    // Where the damage met payloads, the export says that these messages have none, and a start sets them aside.
    let (whole, without): (Vec<_>, Vec<_>) =
        saved.iter().partition(|(_, line)| line.get("message").is_some());
    assert!(whole.len() + 60 > MESSAGES, "a node of payloads at the most is lost: {}", whole.len());
    for (id, _) in whole {
        let entry = daemon.client.message(id).await.unwrap();
        assert!(matches!(entry.state, State::Queued | State::Blocked | State::Deferred), "{entry:?}");
    }
    for (id, _) in &without {
        assert!(daemon.client.message(id).await.is_err(), "{id} has nothing that could be sent");
    }
    let status = daemon.client.status().await.unwrap().spool;
    assert!(status.quarantined >= without.len() as u64, "{} messages without payload", without.len());
    let degraded = daemon.get("/v1/health/ready").await.json()["degraded"].to_string();
    let missing = MESSAGES - (saved.len() - without.len());
    let is_counted = degraded.contains(&format!("{missing} messages and receipts cannot be read any more"));
    assert!(is_counted == (missing > 0), "{missing} are missing: {degraded}");
    assert_eq!((status.damaged, status.missing), (true, missing as u64));
    let answer = daemon.get("/metrics").await;
    let metrics = answer.text();
    assert!(metrics.contains("\noutbox_store_damaged 1\n"), "{metrics}");
    assert!(metrics.contains(&format!("\noutbox_missing {missing}\n")), "{metrics}");
    let kept = "the damaged one is kept in ";
    let at = degraded.find(kept).unwrap_or_else(|| panic!("{degraded}")) + kept.len();
    let kept = PathBuf::from(degraded[at..].split('"').next().unwrap());
    assert!(daemon.log().contains("The store was damaged, and was made anew"), "{}", daemon.log());
    daemon.term().await;
    let again = export(&kept).await;
    assert_eq!(by_id(&again).len(), saved.len(), "as before the engine opened it");
    let checked = fsck().await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
