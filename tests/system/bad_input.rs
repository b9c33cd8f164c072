//! Input that makes no sense: every piece gets a clear answer, and the daemon goes on.
//!
//! Owns:  the table of bad requests and what each must be answered.
//! Never: lets a daemon end unnoticed: each test asks for its status at the end.

use crate::harness::Daemon;
use crate::messages::{message, submit, submit_with};
use crate::wire::{connect, read_answer};
use tokio::io::AsyncWriteExt;

async fn goes_on(daemon: &Daemon) {
    assert_eq!(daemon.get("/v1/status").await.status, 200);
    assert_eq!(daemon.post("/v1/messages", submit("still-alive", "u")).await.status, 201);
}

#[tokio::test]
async fn a_submit_that_makes_no_sense_is_refused_by_name() {
    let daemon = Daemon::start("").await;
    let long = "x".repeat(201);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let with = |more: &str| submit_with("m", "u", more);
    // The body, and a word that the answer must have.
    let rows: Vec<(String, &str)> = vec![
        ("{".into(), "JSON"),
        ("nonsense".into(), "JSON"),
        ("[]".into(), "object"),
        ("\"text\"".into(), "object"),
        ("{} {}".into(), "message"),
        ("".into(), "message"),
        ("{}".into(), "message"),
        (r#"{"message":null}"#.into(), "object"),
        (r#"{"message":[1]}"#.into(), "object"),
        (r#"{"message":"{}"}"#.into(), "object"),
        (r#"{"message":{"userID":"u"}}"#.into(), "msgID"),
        (r#"{"message":{"msgID":"","userID":"u"}}"#.into(), "msgID"),
        (r#"{"message":{"msgID":"m"}}"#.into(), "conversation"),
        (r#"{"message":{"msgID":7,"userID":"u"}}"#.into(), "msgID"),
        (r#"{"message":{"msgID":"m","userID":["u"]}}"#.into(), "userID"),
        (r#"{"message":{"msgID":"m","userID":"u","elemType":"text"}}"#.into(), "elemType"),
        (with(r#""msgID":"""#), "msgID"),
        (with(r#""msgID":5"#), "msgID"),
        (with(&format!(r#""msgID":"{long}""#)), "msgID"),
        (with(r#""msgID":"a\u0000b""#), "msgID"),
        (with(r#""msgID":"a\nb""#), "msgID"),
        (with(r#""msgID":"a\u007fb""#), "msgID"),
        (with(r#""msgID":"\ud800""#), "JSON"),
        (r#"{"message":{"msgID":"m","userID":"u\u0000"}}"#.into(), "conversation"),
        (r#"{"message":{"msgID":"m","userID":"u","id":"\u0001"}}"#.into(), "id"),
        (format!(r#"{{"message":{0},"message":{0}}}"#, message("m", "u")), "message"),
        (with(r#""error":{"code":99999999999999999999}"#), "error.code"),
        (with(&format!(r#""account":"{long}""#)), "account"),
        (with(r#""account":"""#), "account"),
        (with(r#""conversation":"""#), "conversation"),
        (with(r#""conversation":"a\tb""#), "conversation"),
        (with(r#""onlineUserOnly":"yes""#), "onlineUserOnly"),
        (with(r#""ttl":"soon""#), "ttl"),
        (with(r#""ttl":30"#), "ttl"),
        (with(r#""ttl":"999ms""#), "ttl"),
        (with(r#""ttl":"366d""#), "ttl"),
        (with(r#""notBefore":"tomorrow""#), "notBefore"),
        (with(r#""error":{"code":0}"#), "error"),
        (with(r#""error":{"desc":"x"}"#), "code"),
        (with(r#""error":{"code":"6012"}"#), "error"),
        (with(r#""msgid":"m""#), "msgid"),
        (with(r#""webMessageInstatnce":1,"webMessageInstance":2"#), "webMessageInst"),
        (format!(r#"{{"message":{{"msgID":"m","userID":"u","x":{deep}}}}}"#), "nested"),
        (format!(r#"{{"message":{}"#, message("m", "u")), "JSON"),
    ];
    for (body, word) in rows {
        let answer = daemon.post("/v1/messages", &body).await;
        let problem = answer.problem(400, "bad_request");
        let said = format!("{} {}", problem["detail"], problem["field"]);
        let shown: String = body.chars().take(200).collect();
        assert!(said.contains(word), "{shown} → {problem}");
    }
    let invalid_utf8 = b"{\"message\":{\"msgID\":\"m\xff\xfe\",\"userID\":\"u\"}}";
    daemon.post("/v1/messages", invalid_utf8).await.problem(400, "bad_request");
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 0);
    goes_on(&daemon).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit_by_name() {
    let daemon = Daemon::start("[spool]\nmax_message_bytes = \"100KiB\"").await;
    // A message of so many bytes.
    let of = |bytes: usize| {
        let (front, back) = (r#"{"msgID":"m","userID":"u","text":""#, r#""}"#);
        let text = "x".repeat(bytes - front.len() - back.len());
        format!(r#"{{"message":{front}{text}{back}}}"#)
    };
    for bytes in [100 * 1024 + 1, 110 * 1024, 2 * 1024 * 1024] {
        let problem = daemon.post("/v1/messages", of(bytes)).await.problem(413, "too_large");
        let said = format!("{} {}", problem["detail"], problem["hint"]);
        assert!(said.contains("max_message_bytes") || said.contains("limit"), "{problem}");
    }
    assert_eq!(daemon.post("/v1/messages", of(100 * 1024)).await.status, 201);
    let headers = "y".repeat(17 * 1024);
    daemon.ask("GET", "/v1/status", &[("X-Big", headers.as_str())], b"").await.problem(431, "too_large");
    let many = vec![("X-Small", "y"); 3000];
    daemon.ask("GET", "/v1/status", &many, b"").await.problem(431, "too_large");
    let some = vec![("X-Small", "y"); 300];
    assert_eq!(daemon.ask("GET", "/v1/status", &some, b"").await.status, 200);
    goes_on(&daemon).await;
}

#[tokio::test]
async fn paths_methods_and_parameters_that_do_not_exist_are_refused_by_name() {
    let daemon = Daemon::start("").await;
    daemon.post("/v1/messages", submit("m", "u")).await;
    // Method, target, status, code, a word of the answer.
    let rows = [
        ("GET", "/", 404, "not_found", "/"),
        ("GET", "/v2/status", 404, "not_found", "/v2/status"),
        ("GET", "/v1/messages/", 404, "not_found", ""),
        ("GET", "/v1/messages/nobody", 404, "not_found", "nobody"),
        ("GET", "/v1/messages/nobody/why", 404, "not_found", "nobody"),
        ("GET", "/v1/messages/nobody/payload", 404, "not_found", "nobody"),
        ("POST", "/v1/messages/nobody/resend", 404, "not_found", "nobody"),
        ("POST", "/v1/messages/nobody/hold", 404, "not_found", "nobody"),
        ("DELETE", "/v1/messages/nobody", 404, "not_found", "nobody"),
        ("GET", "/v1/sent/m", 404, "not_found", "m"),
        ("PUT", "/v1/messages", 405, "unsupported", "PUT"),
        ("DELETE", "/v1/status", 405, "unsupported", "DELETE"),
        ("GET", "/v1/pause", 405, "unsupported", "GET"),
        ("PATCH", "/v1/messages/m", 405, "unsupported", "PATCH"),
        ("GET", "/v1/messages?cursor=%21", 400, "bad_request", "cursor"),
        ("GET", "/v1/messages?cursor=", 400, "bad_request", "cursor"),
        ("GET", "/v1/messages?limit=0", 400, "bad_request", "limit"),
        ("GET", "/v1/messages?limit=1001", 400, "bad_request", "limit"),
        ("GET", "/v1/messages?limit=-1", 400, "bad_request", "limit"),
        ("GET", "/v1/messages?limit=99999999999999999999", 400, "bad_request", "limit"),
        ("GET", "/v1/messages?limit=1&limit=2", 400, "bad_request", "limit"),
        ("GET", "/v1/messages?state=sent", 400, "bad_request", "state"),
        ("GET", "/v1/messages?state=cancelled", 400, "bad_request", "state"),
        ("GET", "/v1/messages?state=lost", 400, "bad_request", "lost"),
        ("GET", "/v1/messages?colour=red", 400, "bad_request", "colour"),
        ("GET", "/v1/messages/m?x=1", 400, "bad_request", "x"),
        ("GET", "/v1/status?x=1", 400, "bad_request", "x"),
        ("GET", "/v1/sent?limit=0", 400, "bad_request", "limit"),
        ("GET", "/v1/sent?since=-1", 400, "bad_request", "since"),
        ("POST", "/v1/messages/m/resend?wait=500ms", 400, "bad_request", "wait"),
        ("POST", "/v1/messages/m/resend?wait=6m", 400, "bad_request", "wait"),
        ("POST", "/v1/messages/m/resend?wait=soon", 400, "bad_request", "wait"),
        ("GET", "/v1/messages/%ff%fe", 400, "bad_request", "UTF-8"),
    ];
    for (method, target, status, code, word) in rows {
        let answer = daemon.ask(method, target, &[], b"").await;
        let problem = answer.problem(status, code);
        let said = format!("{} {}", problem["detail"], problem["field"]);
        assert!(said.contains(word), "{method} {target} → {problem}");
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {target}");
        }
    }
    goes_on(&daemon).await;
}

#[tokio::test]
async fn bodies_of_verbs_that_make_no_sense_are_refused_by_name() {
    let daemon = Daemon::start("").await;
    daemon.post("/v1/messages", submit("m", "u")).await;
    let rows = [
        ("POST", "/v1/messages/m/hold", r#"{"why":"x"}"#, "why"),
        ("POST", "/v1/messages/m/hold", r#"{"reason":5}"#, "reason"),
        ("POST", "/v1/messages/m/resend", r#"{"onlineUserOnly":1}"#, "onlineUserOnly"),
        (
            "POST",
            "/v1/messages/m/resend",
            r#"{"webMessageInstatnce":1,"webMessageInstance":1}"#,
            "webMessageInst",
        ),
        ("POST", "/v1/messages/m/resolve", r#"{"code":1}"#, "code"),
        ("POST", "/v1/messages/m/resolve", r#"{}"#, "code"),
        ("POST", "/v1/leases", r#"{"max":0}"#, "max"),
        ("POST", "/v1/leases", r#"{"max":257}"#, "max"),
        ("POST", "/v1/leases", r#"{"max":"many"}"#, "max"),
        ("POST", "/v1/leases", r#"{"wait":"61s"}"#, "wait"),
        ("POST", "/v1/leases", r#"{"for":"4s","wait":"0s"}"#, "for"),
        ("POST", "/v1/leases", r#"{"for":"11m","wait":"0s"}"#, "for"),
        ("POST", "/v1/leases", r#"{"mx":1}"#, "mx"),
        ("POST", "/v1/leases", r#"{"account":"","wait":"0s"}"#, "account"),
        ("PUT", "/v1/connectivity", r#"{"state":"sideways"}"#, "state"),
        ("PUT", "/v1/connectivity", r#"{}"#, "state"),
        ("POST", "/v1/flush", r#"{"user":"u"}"#, "user"),
        ("POST", "/v1/accounts/default/pause", r#"{"because":"x"}"#, "because"),
    ];
    for (method, target, body, word) in rows {
        let problem = daemon.ask(method, target, &[], body.as_bytes()).await.problem(400, "bad_request");
        let said = format!("{} {}", problem["detail"], problem["field"]);
        assert!(said.contains(word), "{target} {body} → {problem}");
    }
    daemon.post("/v1/leases/nonsense/settle", r#"{"code":0}"#).await.problem(404, "not_found");
    goes_on(&daemon).await;
}

#[tokio::test]
async fn requests_from_web_pages_and_for_other_hosts_are_denied() {
    let daemon = Daemon::start("").await;
    for (name, value) in [
        ("Origin", "http://localhost"),
        ("Origin", "null"),
        ("Referer", "http://localhost/"),
        ("Host", "evil.example"),
        ("Host", "127.0.0.1"),
        ("Host", "localhost.evil.example"),
    ] {
        daemon.ask("GET", "/v1/status", &[(name, value)], b"").await.problem(403, "denied");
        let body = submit("m", "u");
        daemon.ask("POST", "/v1/messages", &[(name, value)], body.as_bytes()).await.problem(403, "denied");
    }
    for host in ["", "localhost", "localhost:8080", "outbox", "unix", "d:1"] {
        assert_eq!(daemon.ask("GET", "/v1/status", &[("Host", host)], b"").await.status, 200, "{host}");
    }
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 0);
    goes_on(&daemon).await;
}

#[tokio::test]
async fn any_content_type_but_that_of_lines_is_read_as_json() {
    let daemon = Daemon::start("").await;
    for (number, kind) in
        ["text/plain", "application/x-www-form-urlencoded", "nonsense"].into_iter().enumerate()
    {
        let body = submit(&format!("m-{number}"), "u");
        let answer = daemon.ask("POST", "/v1/messages", &[("Content-Type", kind)], body.as_bytes()).await;
        assert_eq!(answer.status, 201, "{kind}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn rubbish_on_the_socket_ends_its_connection_and_nothing_else() {
    let daemon = Daemon::start("").await;
    for rubbish in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = connect(&daemon.place.socket).await;
        let _ = stream.write_all(rubbish).await;
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    goes_on(&daemon).await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_gets_an_answer_and_the_others_go_on() {
    let daemon = Daemon::start("").await;
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(connect(&daemon.place.socket).await);
    }
    let mut one_more = connect(&daemon.place.socket).await;
    let problem = read_answer(&mut one_more).await.problem(429, "busy");
    assert!(problem["detail"].as_str().unwrap().contains("256"), "{problem}");
    let first = open.first_mut().unwrap();
    first.write_all(b"GET /v1/status HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(first).await.status, 200);
    drop(open);
    crate::harness::until("there is room again", || async { daemon.client.status().await.ok() }).await;
    goes_on(&daemon).await;
}
