//! Tests of the verdict: every row of the contract's tables, without a socket.
//!
//! Owns:  the rows.
//! Never: repeats the table of result codes (outbox-tim tests that).

use std::collections::BTreeMap;

use super::*;

/// 2026-02-01T00:00:00Z.
const NOW_MS: i64 = 1_769_904_000_000;

const SENT: &str = r#"{"code":0,"desc":"ok","data":{ "msgID":"new", "status":2,"odd" :1.50}}"#;

fn parsed(text: &str) -> V2TimValueCallback {
    outbox_tim::callback::parse(text.as_bytes()).unwrap()
}

fn by_callback(text: &str) -> Report {
    judge_callback(&Classes::default(), &parsed(text))
}

fn coded(code: i64) -> String {
    format!(r#"{{"code":{code},"desc":"said"}}"#)
}

fn by_http(status: u16, retry_after: Option<&str>, body: impl Into<Vec<u8>>) -> Report {
    judge(status, retry_after, AnswerBody::Whole(body.into()))
}

fn judge(status: u16, retry_after: Option<&str>, body: AnswerBody) -> Report {
    let answer = HttpAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: retry_after.map(ToOwned::to_owned),
        body,
    };
    judge_http(&Classes::default(), &answer, NOW_MS)
}

fn summary(report: &Report) -> (Outcome, Class, i64) {
    (report.outcome, report.class, report.code)
}

/// A code of the built-in table with this class, after which nothing may have arrived.
fn code_of(class: Class) -> i64 {
    codes::all()
        .map(|row| row.code)
        .find(|&code| Classes::default().of(code).0 == class && !codes::may_have_arrived(code) && code != 0)
        .unwrap()
}

#[test]
fn a_proven_success_is_sent_and_keeps_the_message_byte_for_byte() {
    let report = by_callback(SENT);
    assert_eq!(summary(&report), (Outcome::Sent, Class::Ok, 0));
    let replacement = report.replacement.unwrap();
    assert_eq!(replacement.new_msg_id.as_deref(), Some("new"));
    assert_eq!(replacement.data, br#"{ "msgID":"new", "status":2,"odd" :1.50}"#);
    let same = by_callback(r#"{"code":0,"desc":"","data":{}}"#);
    assert_eq!(same.replacement.unwrap().new_msg_id, None);
}

#[test]
fn code_0_without_proof_proves_nothing_and_a_dropped_message_slows_the_account() {
    for text in [r#"{"code":0,"desc":"resend failed"}"#, r#"{"code":0,"desc":"","data":{"status":3}}"#] {
        let report = by_callback(text);
        assert_eq!(summary(&report), (Outcome::ProvesNothing, Class::Unknown, 0), "{text}");
        assert!(!report.desc.is_empty() && report.replacement.is_none());
    }
    let dropped = by_callback(r#"{"code":0,"desc":"","data":{"MsgDropReason":"MsgFreqCtrl"}}"#);
    assert_eq!(summary(&dropped), (Outcome::Limited, Class::RateLimited, 0));
    assert!(dropped.desc.contains("MsgFreqCtrl"));
}

#[test]
fn each_class_has_the_outcome_of_the_contract() {
    for (class, outcome) in [
        (Class::TransientNetwork, Outcome::NotReached),
        (Class::TransientServer, Outcome::Retry),
        (Class::RateLimited, Outcome::Limited),
        (Class::Auth, Outcome::GateShut),
        (Class::PermanentContent, Outcome::Reject),
        (Class::PermanentRecipient, Outcome::Reject),
        (Class::PermanentRequest, Outcome::Reject),
        (Class::FileUpload, Outcome::Retry),
    ] {
        let code = code_of(class);
        let report = by_callback(&coded(code));
        assert_eq!(summary(&report), (outcome, class, code));
        assert_eq!(report.desc, "said");
    }
    assert_eq!(summary(&by_callback(&coded(123_456_789))), (Outcome::Retry, Class::Unknown, 123_456_789));
}

#[test]
fn codes_after_which_a_message_may_have_arrived_are_maybe_reached() {
    for code in [9520, 9524, 6012, 6125, 6126, 6122, 6201, 6251, 2801, 60008] {
        assert_eq!(by_callback(&coded(code)).outcome, Outcome::MaybeReached, "{code}");
    }
}

#[test]
fn a_documented_wait_of_a_code_is_passed_on() {
    let (code, wait) = codes::all()
        .filter(|row| Classes::default().of(row.code).1 == Outcome::Limited)
        .find_map(|row| Some((row.code, codes::documented_wait(row.code)?)))
        .unwrap();
    assert_eq!(by_callback(&coded(code)).retry_after, Some(wait));
    assert_eq!(by_http(429, None, coded(code)).retry_after, Some(wait));
    assert_eq!(by_http(429, Some("7"), coded(code)).retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn configured_classes_win_over_the_table_and_over_may_have_arrived() {
    let classes = Classes::new(BTreeMap::from([
        (6012, Class::PermanentRequest),
        (555, Class::Auth),
        (code_of(Class::PermanentContent), Class::TransientServer),
    ]))
    .unwrap();
    let outcome = |code| judge_callback(&classes, &parsed(&coded(code))).outcome;
    assert_eq!(outcome(6012), Outcome::Reject);
    assert_eq!(outcome(555), Outcome::GateShut);
    assert_eq!(outcome(code_of(Class::PermanentContent)), Outcome::Retry);
    assert_eq!(outcome(9520), Outcome::MaybeReached);
}

#[test]
fn a_class_that_only_the_outbox_gives_cannot_be_configured() {
    for class in [Class::Ok, Class::Uncertain, Class::CrashLoop, Class::Expired, Class::Cancelled] {
        let error = Classes::new(BTreeMap::from([(1, class)])).unwrap_err();
        assert_eq!(error, NotAServiceClass { code: 1, class });
        assert!(error.to_string().contains("choose"));
    }
}

#[test]
fn every_status_has_its_row() {
    for (status, outcome, class) in [
        (200, Outcome::ProvesNothing, Class::Unknown),
        (204, Outcome::ProvesNothing, Class::Unknown),
        (301, Outcome::Reject, Class::PermanentRequest),
        (307, Outcome::Reject, Class::PermanentRequest),
        (400, Outcome::Reject, Class::PermanentRequest),
        (401, Outcome::GateShut, Class::Auth),
        (403, Outcome::Reject, Class::PermanentRequest),
        (404, Outcome::Reject, Class::PermanentRequest),
        (408, Outcome::Retry, Class::TransientServer),
        (409, Outcome::Reject, Class::PermanentRequest),
        (425, Outcome::Retry, Class::TransientServer),
        (429, Outcome::Limited, Class::RateLimited),
        (500, Outcome::Retry, Class::TransientServer),
        (502, Outcome::MaybeReached, Class::TransientServer),
        (503, Outcome::Retry, Class::TransientServer),
        (504, Outcome::MaybeReached, Class::TransientServer),
        (599, Outcome::Retry, Class::TransientServer),
        (999, Outcome::Retry, Class::Unknown),
    ] {
        let report = by_http(status, None, "<html>secret</html>");
        assert_eq!(summary(&report), (outcome, class, i64::from(status)));
        assert!(report.desc.starts_with(&format!("HTTP {status}")), "{}", report.desc);
        assert!(!report.desc.contains("secret"));
    }
    assert_eq!(by_http(503, None, "").desc, "HTTP 503 Service Unavailable");
}

#[test]
fn a_callback_gives_code_and_words_where_the_status_decides() {
    let permanent = code_of(Class::PermanentContent);
    for (status, outcome) in [
        (401, Outcome::GateShut),
        (429, Outcome::Limited),
        (408, Outcome::Retry),
        (503, Outcome::Retry),
        (502, Outcome::MaybeReached),
    ] {
        let report = by_http(status, None, coded(permanent));
        assert_eq!((report.outcome, report.code, report.desc.as_str()), (outcome, permanent, "said"));
    }
    let nothing = by_http(503, None, r#"{"code":0,"desc":"ok"}"#);
    assert_eq!((nothing.code, nothing.desc.as_str()), (503, "HTTP 503 Service Unavailable"));
}

#[test]
fn a_refusal_goes_by_the_code_of_its_callback() {
    for status in [400, 403, 404, 409, 422] {
        let server = code_of(Class::TransientServer);
        assert_eq!(by_http(status, None, coded(server)).outcome, Outcome::Retry);
        assert_eq!(by_http(status, None, coded(code_of(Class::Auth))).outcome, Outcome::GateShut);
        assert_eq!(by_http(status, None, coded(9520)).outcome, Outcome::MaybeReached);
        let zero = by_http(status, None, r#"{"code":0,"desc":"ok"}"#);
        assert_eq!(summary(&zero), (Outcome::Reject, Class::PermanentRequest, i64::from(status)));
    }
    let silent = by_http(403, None, format!(r#"{{"code":{}}}"#, code_of(Class::Auth)));
    assert_eq!(silent.desc, "HTTP 403 Forbidden");
}

#[test]
fn a_success_by_code_alone_is_no_success_under_a_refusing_status() {
    assert_eq!(by_http(403, None, SENT).outcome, Outcome::Reject);
    assert_eq!(by_http(500, None, SENT).outcome, Outcome::Retry);
}

#[test]
fn a_409_with_a_message_is_a_duplicate_and_one_without_is_not() {
    let report = by_http(409, None, r#"{"code":42,"desc":"known","data":{"message_msg_id":"old"}}"#);
    assert_eq!(summary(&report), (Outcome::Duplicate, Class::Ok, 0));
    assert_eq!(report.desc, "known");
    let replacement = report.replacement.unwrap();
    assert_eq!(replacement.new_msg_id.as_deref(), Some("old"));
    assert_eq!(replacement.data, br#"{"message_msg_id":"old"}"#);
    for data in ["null", r#"["a","b"]"#, "\"text\""] {
        let body = format!(r#"{{"code":0,"desc":"","data":{data}}}"#);
        assert_eq!(by_http(409, None, body).outcome, Outcome::Reject, "{data}");
    }
    let cut = by_http(409, None, r#"{"code":42,"data":{"msgID":"old","text":"\ud83d"}}"#);
    assert_eq!(cut.outcome, Outcome::Duplicate, "half a character hides no message");
    let empty = by_http(409, None, r#"{"code":0,"desc":"","data":{"msgID":""}}"#);
    assert_eq!((empty.outcome, empty.replacement.unwrap().new_msg_id), (Outcome::Duplicate, None));
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    let wait = |text: &str| by_http(503, Some(text), "").retry_after;
    assert_eq!(wait("120"), Some(Duration::from_secs(120)));
    assert_eq!(wait(" 0 "), Some(Duration::ZERO));
    assert_eq!(wait("99999999999999999999999"), Some(Duration::from_secs(u32::MAX.into())));
    assert_eq!(wait("Sun, 01 Feb 2026 00:01:30 GMT"), Some(Duration::from_secs(90)));
    assert_eq!(wait("Sat, 31 Jan 2026 00:00:00 GMT"), Some(Duration::ZERO));
    for garbage in ["", "soon", "-5", "1.5", "+3", "Sun, 99 Feb 2026"] {
        assert_eq!(wait(garbage), None, "{garbage}");
    }
    for status in [408, 425, 429, 500, 502, 504] {
        assert_eq!(by_http(status, Some("9"), "").retry_after, Some(Duration::from_secs(9)), "{status}");
    }
    for status in [200, 307, 400, 401] {
        assert_eq!(by_http(status, Some("9"), "").retry_after, None, "{status}");
    }
}

#[test]
fn a_lost_body_matters_only_where_the_body_decides() {
    let lost = || AnswerBody::Lost { cause: "reset".into() };
    for status in [200, 201, 400, 403, 409] {
        let report = judge(status, None, lost());
        let expected = (Outcome::MaybeReached, Class::TransientNetwork, CODE_MAYBE_REACHED);
        assert_eq!(summary(&report), expected, "{status}");
        assert!(report.desc.contains("reset"));
    }
    assert_eq!(judge(503, None, lost()).outcome, Outcome::Retry);
    assert_eq!(judge(401, None, lost()).outcome, Outcome::GateShut);
    assert_eq!(judge(200, None, AnswerBody::TooLong).outcome, Outcome::ProvesNothing);
    assert_eq!(judge(400, None, AnswerBody::TooLong).outcome, Outcome::Reject);
}

#[test]
fn a_configured_class_says_when_to_try_again_and_leaves_open_whether_it_arrived() {
    let outcome = |code: i64, class: Class| {
        let classes = Classes::new([(code, class)].into()).unwrap();
        let callback = V2TimValueCallback::new(code, "said", None);
        let report = judge_callback(&classes, &callback);
        assert_eq!(report.class, class);
        report.outcome
    };
    for class in [Class::TransientServer, Class::TransientNetwork, Class::FileUpload, Class::Unknown] {
        assert_eq!(outcome(60_008, class), Outcome::MaybeReached, "{class}");
    }
    assert_eq!(outcome(60_008, Class::PermanentRequest), Outcome::Reject);
    assert_eq!(outcome(9520, Class::Auth), Outcome::GateShut);
    assert_eq!(outcome(9520, Class::RateLimited), Outcome::Limited);
    assert_eq!(outcome(9508, Class::TransientServer), Outcome::Retry, "this one never left");
}
