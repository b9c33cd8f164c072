//! Tests of the Tencent transport against the built-in service, over real sockets.
//!
//! Owns:  what a request looks like from the wire, and what each kind of answer comes to.
//! Never: checks signatures, names and limits as the vendor does (the whole-system tests' double does).

use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use outbox::{CODE_MAYBE_REACHED, SendToken, SystemClock};
use serde_json::{Value, json};

use super::*;
use crate::config::SecretFile;
use crate::service::{Received, Reply as Answer, Service};

/// Longer than any machine needs for what these tests wait for.
const LONG: Duration = Duration::from_secs(30);

/// A folder with a key, and the transport of the account `default`.
fn transport(url: &str, timeout: Duration) -> (tempfile::TempDir, TimTransport) {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600).open(&path).unwrap().write_all(b"key").unwrap();
    let login = TimLogin {
        base_url: url.trim_end_matches("/send").to_owned(),
        sdk_app_id: 1_400_000_000,
        identifier: "administrator".into(),
        secret_key: SecretFile::unchecked(path),
        rate: 200,
        group_rate: 40,
    };
    let options = TimOptions { logins: [("default".to_owned(), login)].into(), ca_file: None, timeout };
    let transport = TimTransport::new(options, Classes::default(), Arc::new(SystemClock::new())).unwrap();
    (folder, transport)
}

fn attempt(message: &Value) -> Attempt {
    Attempt {
        msg_id: "m1".into(),
        account: "default".into(),
        conversation: "c2c:lena".into(),
        attempt: 1,
        seq: 0x1_0000_0007,
        send_token: SendToken([0xde, 0xad, 0xbe, 0xef, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        online_user_only: false,
        web_message_instance: None,
        message: message.to_string().into_bytes(),
    }
}

fn to_lena() -> Value {
    json!({"msgID": "m1", "userID": "lena", "sender": "kiosk", "elemType": 1, "textElem": {"text": "hi"}})
}

fn to_pier() -> Value {
    json!({"msgID": "m1", "groupID": "pier", "sender": "kiosk", "elemType": 1, "textElem": {"text": "hi"}})
}

async fn against(reply: Answer, message: &Value) -> (Report, Vec<Received>) {
    let service = Service::start(move |_| reply.clone()).await.unwrap();
    let (_folder, transport) = transport(&service.url(), LONG);
    let report = transport.attempt(attempt(message)).await;
    (report, service.requests())
}

fn ok(more: &Value) -> Answer {
    let mut body = json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Answer::json(200, body.to_string())
}

fn summary(report: &Report) -> (Outcome, Class, i64) {
    (report.outcome, report.class, report.code)
}

#[tokio::test]
async fn a_message_to_one_person_is_one_call_with_the_numbers_that_follow_from_its_entry() {
    let answer = ok(&json!({"MsgTime": 1_700_000_000, "MsgKey": "7_3735928559_1700000000"}));
    let (report, requests) = against(answer, &to_lena()).await;
    assert_eq!(summary(&report), (Outcome::Sent, Class::Ok, 0));
    let replacement = report.replacement.unwrap();
    assert_eq!(replacement.new_msg_id.as_deref(), Some("7_3735928559_1700000000"));
    let data: Value = serde_json::from_slice(&replacement.data).unwrap();
    assert_eq!((&data["status"], &data["timestamp"]), (&json!(2), &json!(1_700_000_000)));
    let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert!(
        request
            .target
            .starts_with("/v4/openim/sendmsg?sdkappid=1400000000&identifier=administrator&usersig=")
    );
    assert!(request.target.ends_with("&random=3735928559&contenttype=json"), "{}", request.target);
    assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["To_Account"], &body["From_Account"]), (&json!("lena"), &json!("kiosk")));
    assert_eq!((&body["MsgSeq"], &body["MsgRandom"]), (&json!(7), &json!(3_735_928_559_u32)));
}

#[tokio::test]
async fn a_message_to_a_group_goes_to_the_groups_call() {
    let (report, requests) = against(ok(&json!({"MsgTime": 1_700_000_000, "MsgSeq": 12})), &to_pier()).await;
    assert_eq!(report.outcome, Outcome::Sent);
    assert!(requests[0].target.starts_with("/v4/group_open_http_svc/send_group_msg?"));
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!((&body["GroupId"], &body["Random"]), (&json!("pier"), &json!(3_735_928_559_u32)));
}

#[tokio::test]
async fn every_attempt_of_a_message_is_the_same_to_the_service() {
    let service = Service::start(|_| Answer::LoseBeforeAccept).await.unwrap();
    let (_folder, transport) = transport(&service.url(), LONG);
    for number in 1..=2 {
        let report = transport.attempt(Attempt { attempt: number, ..attempt(&to_lena()) }).await;
        assert_eq!((report.outcome, report.code), (Outcome::MaybeReached, CODE_MAYBE_REACHED));
    }
    let requests = service.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
}

#[tokio::test]
async fn the_services_code_decides() {
    let fail = |code: i64| {
        let body = json!({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": "words"});
        Answer::json(200, body.to_string())
    };
    for (code, outcome, class) in [
        (70_001, Outcome::GateShut, Class::Auth),
        (60_011, Outcome::Limited, Class::RateLimited),
        (20_004, Outcome::Retry, Class::TransientServer),
        (60_008, Outcome::MaybeReached, Class::TransientServer),
        (90_001, Outcome::Reject, Class::PermanentRequest),
        (80_001, Outcome::Reject, Class::PermanentContent),
        (99_999, Outcome::Retry, Class::Unknown),
    ] {
        let (report, _) = against(fail(code), &to_lena()).await;
        assert_eq!(summary(&report), (outcome, class, code));
        assert_eq!(report.desc, "words");
    }
}

#[tokio::test]
async fn an_answer_that_proves_nothing_is_no_success() {
    for reply in [ok(&json!({})), Answer::json(200, "{}"), Answer::json(200, "<html>"), Answer::status(200)] {
        let (report, _) = against(reply, &to_lena()).await;
        assert_eq!(report.outcome, Outcome::ProvesNothing, "{report:?}");
    }
    let dropped = ok(&json!({"MsgTime": 1, "MsgSeq": 2, "MsgDropReason": "MsgFreqCtrl"}));
    let (report, _) = against(dropped, &to_pier()).await;
    assert_eq!((report.outcome, report.desc.as_str()), (Outcome::Limited, "MsgFreqCtrl"));
}

#[tokio::test]
async fn what_happens_below_the_interface_is_told_apart() {
    let (report, _) = against(Answer::status(502), &to_lena()).await;
    assert_eq!(report.outcome, Outcome::MaybeReached);
    let (report, _) = against(Answer::status(503), &to_lena()).await;
    assert_eq!(report.outcome, Outcome::Retry);
    let (report, requests) = against(Answer::redirect(307, "/elsewhere"), &to_lena()).await;
    assert_eq!(summary(&report), (Outcome::GateShut, Class::Auth, 307), "no message is to blame");
    assert_eq!(requests.len(), 1, "a signature is not carried elsewhere");
    for (status, outcome) in [(404, Outcome::GateShut), (407, Outcome::GateShut), (413, Outcome::Reject)] {
        let (report, _) = against(Answer::status(status), &to_lena()).await;
        assert_eq!((report.outcome, report.code), (outcome, i64::from(status)));
    }
    let mut service = Service::start(|_| Answer::Accept).await.unwrap();
    service.stop().await;
    let (_folder, transport) = transport(&service.url(), LONG);
    let report = transport.attempt(attempt(&to_lena())).await;
    assert_eq!(report.outcome, Outcome::NotReached);
    assert!(!report.desc.contains("usersig"), "{}", report.desc);
}

#[tokio::test]
async fn what_rest_cannot_carry_is_rejected_without_a_call_and_says_who_can() {
    let local = json!({"msgID": "m1", "userID": "lena", "elemType": 3, "imageElem": {"path": "/a.jpg"}});
    let (report, requests) = against(ok(&json!({})), &local).await;
    assert_eq!(summary(&report), (Outcome::Reject, Class::PermanentContent, CODE_CANNOT_CARRY));
    assert!(report.desc.contains("\"app\""), "{}", report.desc);
    assert!(requests.is_empty());
}

#[tokio::test]
async fn an_account_that_nobody_configured_waits_for_its_configuration() {
    let service = Service::start(|_| Answer::Accept).await.unwrap();
    let (folder, transport) = transport(&service.url(), LONG);
    let report = transport.attempt(Attempt { account: "bot".into(), ..attempt(&to_lena()) }).await;
    assert_eq!(summary(&report), (Outcome::GateShut, Class::Auth, CODE_NOT_REACHED));
    assert!(report.desc.contains("[transport.tim.accounts.NAME]"), "{}", report.desc);
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let report = transport.attempt(attempt(&to_lena())).await;
    assert_eq!(report.outcome, Outcome::GateShut);
    assert!(report.desc.contains("secret_key_file"), "{}", report.desc);
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn after_a_refused_signature_the_next_attempt_reads_the_key_again() {
    let refusals = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&refusals);
    let service = Service::start(move |_| {
        let first = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let code = if first { 70_009 } else { 0 };
        let status = if first { "FAIL" } else { "OK" };
        Answer::json(
            200,
            json!({"ActionStatus": status, "ErrorCode": code, "MsgTime": 1, "MsgKey": "k"}).to_string(),
        )
    })
    .await
    .unwrap();
    let (folder, transport) = transport(&service.url(), LONG);
    assert_eq!(transport.attempt(attempt(&to_lena())).await.outcome, Outcome::GateShut);
    std::fs::write(folder.path().join("key"), "another key").unwrap();
    assert_eq!(transport.attempt(attempt(&to_lena())).await.outcome, Outcome::Sent);
    let targets: Vec<_> = service.requests().into_iter().map(|request| request.target).collect();
    assert_ne!(targets[0], targets[1], "signed with the other key");
}

#[tokio::test]
async fn a_message_for_a_busy_group_has_no_turn_and_one_for_a_person_always_has() {
    let (_folder, transport) = transport("http://127.0.0.1:1/send", LONG);
    let to_pier = attempt(&to_pier());
    let turns: Vec<_> = (0..3).map(|_| transport.turn(&to_pier)).collect();
    assert_eq!(turns[0], Turn::Now);
    assert!(matches!(turns[1], Turn::After(wait) if wait <= Duration::from_millis(27)), "{turns:?}");
    for _ in 0..100 {
        assert_eq!(transport.turn(&attempt(&to_lena())), Turn::Now);
    }
    let stranger = Attempt { account: "nobody".into(), ..to_pier };
    assert_eq!(transport.turn(&stranger), Turn::Now, "the attempt itself says what is wrong");
}
