//! Messages on their way: through an outage and a crash, of every kind, in every shape.
//!
//! Owns:  the promises "nothing disappears", "one live copy", "in order" and "being offline costs nothing".
//! Never: kills in a loop (`crash` does).

use std::time::Duration;

use outbox_control::client::{ListQuery, SentQuery};
use outbox_control::types::{AttemptOutcome, State};
use outboxd::service::Reply;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::harness::{Daemon, Place, QUICK, SOON, http_toml, service};
use crate::messages::{MESSAGES, Order, message, submit};

const MESSAGES_COUNT: usize = 300;
const CONVERSATIONS: usize = 7;

/// A message that no serializer would write like this: odd spacing, unknown fields, odd spellings.
fn odd_message(number: usize) -> (String, String) {
    let (msg_id, user) = (format!("m-{number:03}"), format!("user{}", number % CONVERSATIONS));
    let text = format!(
        "{{ \"msgID\" : \"{msg_id}\",\t\"userID\":\"{user}\" ,\"elemType\":1, \"x_new\" : {{\"b\":1.50,\"a\":[ ]}},\
         \"textElem\":{{\"text\":\"n\\u00b0 {number} \\/ ü 🛶\"}}, \"random\":1.0e2 }}"
    );
    (msg_id, text)
}

fn conversation(number: usize) -> String {
    format!("c2c:user{}", number % CONVERSATIONS)
}

#[tokio::test]
async fn what_was_accepted_offline_survives_a_kill_and_leaves_in_order_once_the_port_opens() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let toml = http_toml(&service, "", "[link]\nprobe_initial = \"100ms\"\nprobe_max = \"1s\"");
    let mut daemon = Daemon::start(&toml).await;
    let mut lines = String::new();
    let mut expected = Order::new();
    for number in 0..MESSAGES_COUNT {
        let (msg_id, text) = odd_message(number);
        lines.push_str(&format!("{{\"message\":{text}}}\n"));
        expected.entry(conversation(number)).or_default().push(msg_id);
    }
    let answer = daemon.post_lines(&lines).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let answers = answer.lines();
    assert_eq!(answers.len(), MESSAGES_COUNT);
    for (number, line) in answers.iter().enumerate() {
        assert_eq!(line["status"], 201, "{line}");
        assert_eq!(
            (line["line"].as_u64(), line["duplicate"].as_bool()),
            (Some(number as u64 + 1), Some(false))
        );
        assert_eq!(line["msgID"], format!("m-{number:03}"));
        assert_eq!(line["conversation"], conversation(number));
    }

    daemon.restart().await;
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, MESSAGES_COUNT as u64);
    for number in (0..MESSAGES_COUNT).step_by(37) {
        let (msg_id, text) = odd_message(number);
        let payload = daemon.get(&format!("/v1/messages/{msg_id}/payload")).await;
        assert_eq!((payload.status, payload.text()), (200, text.as_str()));
        let entry = daemon.client.message(&msg_id).await.unwrap();
        assert_eq!((entry.attempts, entry.bytes), (0, text.len() as u64), "{entry:?}");
    }

    let opened = Instant::now();
    service.restart().await.unwrap();
    service.wait_for(|seen| !seen.is_empty(), SOON).await.unwrap();
    let first = service.requests()[0].at.duration_since(opened);
    assert!(first <= Duration::from_secs(2), "the first message left {first:?} after the port had opened");
    service.wait_for_ledger(|taken| taken.len() >= MESSAGES_COUNT, SOON).await.unwrap();
    assert_eq!(service.lost(&expected), Vec::<String>::new());
    assert_eq!(service.out_of_order(&expected), Vec::<String>::new());
    assert_eq!((service.requests().len(), service.ledger().len()), (MESSAGES_COUNT, MESSAGES_COUNT));

    daemon.entry_when_all_sent(MESSAGES_COUNT as u64).await;
    for number in 0..MESSAGES_COUNT {
        let (msg_id, text) = odd_message(number);
        let receipt = daemon.client.receipt(&msg_id).await.unwrap();
        let data: Value = serde_json::from_str(receipt.data.as_ref().unwrap().get()).unwrap();
        assert_eq!(data["msgID"].as_str(), receipt.new_msg_id.as_deref());
        assert!(receipt.new_msg_id.as_ref().unwrap().starts_with("srv-"), "{receipt:?}");
        assert_eq!(
            (receipt.code, receipt.attempts, receipt.possible_duplicate),
            (0, 1, false),
            "{receipt:?}"
        );
        let entry = daemon.client.message(&msg_id).await.unwrap();
        assert_eq!((entry.state, &entry.new_msg_id), (State::Sent, &receipt.new_msg_id));
        assert!(entry.history.iter().all(|attempt| attempt.outcome == AttemptOutcome::Sent), "{entry:?}");
        let taken = service.ledger().into_iter().find(|taken| taken.msg_id == msg_id).unwrap();
        assert_eq!(String::from_utf8(taken.message).unwrap(), text);
    }
    let page = daemon.client.messages(&ListQuery::default()).await.unwrap();
    assert!(page.messages.is_empty() && page.next.is_none(), "{page:?}");
}

impl Daemon {
    /// Waits until so many messages were sent.
    pub(crate) async fn entry_when_all_sent(&self, count: u64) {
        crate::harness::until(&format!("{count} messages are sent"), || async {
            let status = self.client.status().await.ok()?;
            (status.sent_total >= count).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_goes_over_the_wire_is_what_the_contract_says() {
    let service = service(|_| Reply::Accept).await;
    let toml = http_toml(&service, "headers = { \"X-Tenant\" = \"blue\" }", QUICK);
    let daemon = Daemon::start(&toml).await;
    let body = format!(
        r#"{{"message":{},"onlineUserOnly":true,"webMessageInstance":{{ "w" : 1}},"account":"ada"}}"#,
        message("m-1", "bob")
    );
    assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    daemon.entry_in("m-1", State::Sent).await;
    let requests = service.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/send"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!((request.attempt, request.header("x-tenant")), (1, Some("blue")));
    assert_eq!(request.token.len(), 32, "128 bits in hexadecimal: {}", request.token);
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    let mut fields: Vec<&str> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected =
        ["account", "attempt", "conversation", "message", "msgID", "onlineUserOnly", "webMessageInstatnce"];
    assert_eq!(fields, expected);
    assert_eq!((&sent["account"], &sent["attempt"]), (&"ada".into(), &1.into()));
    assert_eq!((&sent["conversation"], &sent["onlineUserOnly"]), (&"c2c:bob".into(), &true.into()));
    assert_eq!(request.message().unwrap().get(), message("m-1", "bob"));
}

#[tokio::test]
async fn a_message_of_each_kind_is_delivered_as_it_is_but_those_that_no_client_can_send() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let mut accepted = Vec::new();
    for line in MESSAGES.lines() {
        let fields: Value = serde_json::from_str(line).unwrap();
        let msg_id = fields["msgID"].as_str().unwrap().to_owned();
        let answer = daemon.post("/v1/messages", format!("{{\"message\":{line}}}")).await;
        if fields["elemType"] == 9 || fields["isSelf"] == false {
            let problem = answer.problem(400, "bad_request");
            let field = problem["field"].as_str().unwrap_or_default();
            assert!(["message.elemType", "message.isSelf"].contains(&field), "{problem}");
            continue;
        }
        assert_eq!(answer.status, 201, "{}", answer.text());
        let conversation = match (&fields["groupID"], &fields["userID"]) {
            (Value::String(group), _) => format!("group:{group}"),
            (_, Value::String(user)) => format!("c2c:{user}"),
            _ => panic!("{line}"),
        };
        assert_eq!(answer.json()["conversation"], conversation);
        accepted.push((msg_id, line));
    }
    assert!(accepted.len() >= 8, "{}", accepted.len());
    for (msg_id, line) in accepted {
        daemon.entry_in(&msg_id, State::Sent).await;
        let taken = service.ledger().into_iter().find(|taken| taken.msg_id == msg_id).unwrap();
        assert_eq!(String::from_utf8(taken.message).unwrap(), line);
    }
}

#[tokio::test]
async fn a_message_that_does_not_say_who_sent_it_is_ours_and_a_received_one_is_refused() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for (msg_id, is_self) in
        [("m-none", ""), ("m-null", r#","isSelf":null"#), ("m-true", r#","isSelf":true"#)]
    {
        let body = format!(r#"{{"message":{{"msgID":"{msg_id}","userID":"u"{is_self}}}}}"#);
        let answer = daemon.post("/v1/messages", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let body = r#"{"message":{"msgID":"m-false","userID":"u","isSelf":false}}"#;
    let problem = daemon.post("/v1/messages", body).await.problem(400, "bad_request");
    assert_eq!(problem["field"], "message.isSelf");
    daemon.get("/v1/messages/m-false").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_message_in_the_shape_of_the_c_sdk_is_understood() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for (msg_id, kind, conversation) in [("c-1", 1, "c2c:peer"), ("c-2", 2, "group:peer")] {
        let body = format!(
            r#"{{"message":{{"message_msg_id":"{msg_id}","message_conv_type":{kind},"message_conv_id":"peer"}}}}"#
        );
        let answer = daemon.post("/v1/messages", body).await;
        assert_eq!((answer.status, answer.json()["conversation"].as_str()), (201, Some(conversation)));
        let entry = daemon.entry_in(msg_id, State::Sent).await;
        assert!(entry.new_msg_id.unwrap().starts_with("srv-"));
    }
    let body = r#"{"message":{"message_msg_id":"c-3","message_conv_type":3,"message_conv_id":"peer"}}"#;
    daemon.post("/v1/messages", body).await.problem(400, "bad_request");
}

#[tokio::test]
async fn an_answer_with_the_same_msg_id_leaves_one_receipt_and_no_entry() {
    let service = service(|_| Reply::AcceptSameId).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let body = r#"{"message":{"msgID":"same","id":"creation-7","userID":"bob"}}"#;
    assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    let entry = daemon.entry_in("same", State::Sent).await;
    assert_eq!((entry.new_msg_id.as_deref(), entry.id.as_deref()), (Some("same"), Some("creation-7")));
    let receipt = daemon.client.receipt("same").await.unwrap();
    assert_eq!((receipt.msg_id.as_str(), receipt.new_msg_id.as_deref()), ("same", Some("same")));
    let by_alias = daemon.client.message("creation-7").await.unwrap();
    assert_eq!((by_alias.msg_id.as_str(), by_alias.state), ("same", State::Sent));
    let query = SentQuery { new_msg_id: Some("same".into()), ..SentQuery::default() };
    let replaced = daemon.client.sent(&query).await.unwrap().sent;
    assert_eq!(replaced.iter().map(|receipt| receipt.msg_id.as_str()).collect::<Vec<_>>(), ["same"]);
    let status = daemon.client.status().await.unwrap();
    assert_eq!((status.spool.messages, status.sent_total), (0, 1));
    assert_eq!(daemon.post("/v1/messages", body).await.status, 200);
    assert_eq!(service.ledger().len(), 1);
}

#[tokio::test]
async fn receipts_are_listed_from_the_oldest_and_found_by_what_replaced_them() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for number in 0..5 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), "bob")).await;
    }
    daemon.entry_when_all_sent(5).await;
    let mut since = 0;
    let mut seen = Vec::new();
    loop {
        let query = SentQuery { since: Some(since), limit: Some(2), new_msg_id: None };
        let page = daemon.client.sent(&query).await.unwrap();
        if page.sent.is_empty() {
            break;
        }
        assert!(page.next > since, "{page:?}");
        since = page.next;
        seen.extend(page.sent);
    }
    let ids: Vec<&str> = seen.iter().map(|receipt| receipt.msg_id.as_str()).collect();
    assert_eq!(ids, ["m-0", "m-1", "m-2", "m-3", "m-4"]);
    assert!(seen.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let new_msg_id = seen[3].new_msg_id.clone();
    let query = SentQuery { new_msg_id, ..SentQuery::default() };
    let found = daemon.client.sent(&query).await.unwrap().sent;
    assert_eq!(found.iter().map(|receipt| receipt.msg_id.as_str()).collect::<Vec<_>>(), ["m-3"]);
    daemon.get("/v1/sent?newMsgID=nobody").await.json()["sent"]
        .as_array()
        .unwrap()
        .is_empty()
        .then_some(())
        .unwrap();
    daemon.get("/v1/sent/never-there").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_large_message_is_delivered_byte_for_byte_also_after_a_kill() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let text = format!(
        r#"{{"msgID":"big","userID":"bob", "customElem":{{"data":"{}"}}}}"#,
        "0123456789abcdef".repeat(60_000)
    );
    let body = format!("{{\"message\":{text}}}");
    assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    daemon.restart().await;
    assert_eq!(daemon.client.payload("big").await.unwrap(), text.as_bytes());
    service.restart().await.unwrap();
    daemon.entry_in("big", State::Sent).await;
    let ledger = service.ledger();
    assert_eq!(ledger.len(), 1);
    assert!(ledger[0].message == text.as_bytes());
    let receipt = daemon.client.receipt("big").await.unwrap();
    let data: Box<RawValue> = receipt.data.unwrap();
    assert!(data.get().len() > 900_000, "{}", data.get().len());
    assert_eq!(service.repeats(), 0);
}

#[tokio::test]
async fn the_next_start_finds_receipts_and_configuration_as_they_were() {
    let service = service(|_| Reply::Accept).await;
    let mut daemon = Daemon::start_in(Place::new(&http_toml(&service, "", QUICK))).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let before = daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(daemon.term().await, Some(0));
    assert!(!daemon.place.socket.exists(), "the socket's file goes with the daemon");
    daemon.start_again().await;
    assert_eq!(daemon.client.message("m-1").await.unwrap(), before);
    assert_eq!(daemon.client.status().await.unwrap().sent_total, 1);
}
