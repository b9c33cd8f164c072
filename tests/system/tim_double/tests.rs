//! Tests of the double itself: good calls pass, each fault has its code, windows and rates are the documented
//! ones.
//!
//! Owns:  calls made by hand.
//! Never: starts a daemon.

use super::*;

/// A caller of the double.
struct Caller<'a> {
    double: &'a TimDouble,
    client: reqwest::Client,
}

impl<'a> Caller<'a> {
    fn new(double: &'a TimDouble) -> Self {
        // Fails only where one is installed already, which does as well.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(double.ca_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
        Self { double, client }
    }

    fn query() -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let usersig = signature::sign(ADMIN, SDK_APP_ID, KEY, now, 86_400);
        format!("sdkappid={SDK_APP_ID}&identifier={ADMIN}&usersig={usersig}&random=1&contenttype=json")
    }

    async fn post(&self, command: &str, query: &str, body: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}/v4/{command}?{query}", self.double.base_url());
        let request = self.client.post(url).header("content-type", "application/json");
        request.body(body.to_owned()).send().await
    }

    /// The reply to a call.
    async fn call(&self, command: &str, query: &str, body: &str) -> Value {
        let response = self.post(command, query, body).await.unwrap();
        assert_eq!(response.status(), 200, "errors of the application are HTTP 200");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn to_person(&self, body: &Value) -> Value {
        self.call("openim/sendmsg", &Self::query(), &body.to_string()).await
    }

    async fn to_group(&self, body: &Value) -> Value {
        self.call("group_open_http_svc/send_group_msg", &Self::query(), &body.to_string()).await
    }
}

fn person() -> Value {
    json!({"From_Account": "a", "To_Account": "b", "MsgSeq": 1, "MsgRandom": 2, "MsgBody": [text("hi")]})
}

fn group() -> Value {
    json!({"GroupId": "g", "Random": 2, "From_Account": "a", "MsgBody": [text("hi")]})
}

fn text(text: &str) -> Value {
    json!({"MsgType": "TIMTextElem", "MsgContent": {"Text": text}})
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn code(reply: &Value) -> i64 {
    let code = reply["ErrorCode"].as_i64().unwrap();
    assert_eq!(reply["ActionStatus"], if code == 0 { "OK" } else { "FAIL" }, "{reply}");
    code
}

#[tokio::test]
async fn a_good_call_is_delivered_and_answered_as_documented() {
    let double = TimDouble::start(Settings::default()).await;
    let caller = Caller::new(&double);
    let reply = caller.to_person(&person()).await;
    assert_eq!(code(&reply), 0, "{reply}");
    assert_eq!(reply["MsgKey"], format!("1_2_{}", reply["MsgTime"]));
    for seq in 1..=2 {
        let reply = caller.to_group(&with(group(), "Random", seq.into())).await;
        assert_eq!((code(&reply), &reply["MsgSeq"], &reply["MsgDropReason"]), (0, &json!(seq), &json!("")));
    }
    let delivered = double.delivered();
    assert_eq!((delivered.len(), delivered[0].person.as_deref()), (3, Some("b")));
    assert_eq!((delivered[2].group.as_deref(), &delivered[2].body["Random"]), (Some("g"), &json!(2)));
}

#[tokio::test]
async fn every_fault_of_the_address_has_its_code() {
    let double = TimDouble::start(Settings::default()).await;
    let caller = Caller::new(&double);
    let good = Caller::query();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let signed = |identifier: &str, app: u64, key: &str, time: u64, expire: u64| {
        let usersig = signature::sign(identifier, app, key, time, expire);
        format!("sdkappid={SDK_APP_ID}&identifier={ADMIN}&usersig={usersig}&random=1&contenttype=json")
    };
    for (query, expected) in [
        (good.replace("&random=1", ""), 60_002),
        (good.replace("random=1", "random=4294967296"), 60_002),
        (good.replace("contenttype=json", "contenttype=xml"), 60_002),
        (format!("{good}&more=1"), 60_002),
        (format!("{good}&random=1"), 60_002),
        (good.replace("sdkappid=1400000000&", ""), 60_012),
        (good.replace("sdkappid=1400000000", "sdkappid=x"), 60_006),
        (good.replace("sdkappid=1400000000", "sdkappid=5"), 70_020),
        (good.replace("identifier=administrator&", ""), 60_004),
        (good.replace("identifier=administrator", "identifier=lena"), 60_010),
        (signed(ADMIN, SDK_APP_ID, KEY, now - 100, 100), 70_001),
        (signed(ADMIN, SDK_APP_ID, "another", now, 100), 70_009),
        (signed("lena", SDK_APP_ID, KEY, now, 100), 70_013),
        (signed(ADMIN, 5, KEY, now, 100), 70_014),
        (good.replace("usersig=e", "usersig=a"), 70_003),
    ] {
        let reply = caller.call("openim/sendmsg", &query, &person().to_string()).await;
        assert_eq!(code(&reply), expected, "{query}: {reply}");
    }
    assert_eq!(code(&caller.call("openim/other", &good, "{}").await), 60_009);
    double.bar(ADMIN, Some(60_016));
    assert_eq!(code(&caller.to_person(&person()).await), 60_016);
    double.bar(ADMIN, None);
    assert_eq!(code(&caller.to_person(&person()).await), 0);
    assert_eq!(double.delivered().len(), 1);
}

#[tokio::test]
async fn every_fault_of_a_body_has_its_code() {
    let double = TimDouble::start(Settings::default()).await;
    let caller = Caller::new(&double);
    let part = |kind: &str, content: Value| json!([{"MsgType": kind, "MsgContent": content}]);
    let sound = |url: &str, size: Value, second: Value| {
        part(
            "TIMSoundElem",
            json!({"Url": url, "UUID": "u", "Size": size, "Second": second, "Download_Flag": 2}),
        )
    };
    let custom = json!({"MsgType": "TIMCustomElem", "MsgContent": {"Data": "d"}});
    for (name, value, expected) in [
        ("To_Account", Value::Null, 90_003),
        ("To_Account", json!(["b"]), 90_003),
        ("MsgRandom", json!("2"), 90_005),
        ("MsgRandom", json!(4_294_967_296_u64), 90_005),
        ("MsgSeq", json!(-1), 90_010),
        ("SyncOtherMachine", json!("1"), 90_031),
        ("MsgLifeTime", json!(604_801), 90_044),
        ("msgLifeTime", json!(0), 90_010),
        ("SendMsgControl", json!(["Nothing"]), 90_010),
        ("SendMsgControl", json!(["NoUnread", "NoUnread"]), 90_010),
        ("ForbidCallbackControl", json!(["ForbidBeforeSendMsgCallback", "Forbid"]), 90_010),
        ("ForbidCallbackControl", json!("ForbidBeforeSendMsgCallback"), 90_010),
        ("From_Account", json!(""), 90_008),
        ("To_Account", json!("b\u{fffd}"), 90_003),
        ("MsgBody", sound("/a", json!(1), json!(1)), 90_010),
        ("MsgBody", sound("https://h/a", json!(-1), json!(1)), 90_010),
        ("MsgBody", sound("https://h/a", json!(1), json!(1.5)), 90_010),
        ("MsgBody", sound("https://h/a", json!(1), json!("1")), 90_010),
        ("MsgBody", sound("https://h/a", json!(4_294_967_296_u64), json!(1)), 90_010),
        ("OfflinePushInfo", json!({"AndroidInfo": {"VIVOClassification": 7}}), 90_043),
        ("MsgBody", json!([]), 90_002),
        ("MsgBody", json!({}), 90_002),
        ("MsgBody", part("TIMOther", json!({})), 90_007),
        ("MsgBody", part("TIMTextElem", json!({"text": "hi"})), 90_010),
        ("MsgBody", part("TIMTextElem", json!({"Text": 5})), 90_010),
        ("MsgBody", part("TIMTextElem", json!({"Text": "x".repeat(13_000)})), 80_002),
        (
            "MsgBody",
            part(
                "TIMFileElem",
                json!({"Url": "/a", "UUID": "u", "FileSize": 1, "FileName": "f", "Download_Flag": 2}),
            ),
            90_010,
        ),
        ("MsgBody", json!([custom, custom]), 90_010),
        ("OfflinePushInfo", json!({"Titel": "t"}), 90_010),
        ("OfflinePushInfo", json!({"PushFlag": true}), 90_043),
    ] {
        let body = with(person(), name, value);
        let reply = caller.to_person(&body).await;
        assert_eq!(code(&reply), expected, "{name}: {reply}");
    }
    for (name, value, expected) in [
        ("GroupId", Value::Null, 10_015),
        ("Random", Value::Null, 10_004),
        ("MsgPriority", json!("high"), 10_004),
        ("MsgSeq", json!(1), 90_010),
        ("To_Account", (0..51).map(|number| number.to_string()).collect(), 10_004),
        ("GroupAtInfo", json!([{"GroupAtAllFlag": 1, "GroupAt_Account": "a"}]), 10_004),
        ("GroupAtInfo", json!([{"GroupAtAllFlag": 0}]), 10_004),
        ("GroupAtInfo", json!([{"GroupAtAllFlag": 0, "GroupAt_Account": ""}]), 10_004),
        ("To_Account", json!([]), 10_004),
        ("To_Account", json!([""]), 10_004),
        ("To_Account", json!(["a", null]), 10_004),
        ("ForbidCallbackControl", json!(["NoUnread"]), 10_004),
    ] {
        let reply = caller.to_group(&with(group(), name, value)).await;
        assert_eq!(code(&reply), expected, "{name}: {reply}");
    }
    let receipt = with(with(person(), "MsgLifeTime", json!(0)), "IsNeedReadReceipt", json!(1));
    assert_eq!(code(&caller.to_person(&receipt).await), 10_061);
    let both = with(with(group(), "OnlineOnlyFlag", json!(1)), "SendMsgControl", json!(["NoUnread"]));
    assert_eq!(code(&caller.to_group(&both).await), 10_004);
    assert_eq!(code(&caller.call("openim/sendmsg", &Caller::query(), "{").await), 90_001);
    assert!(double.delivered().is_empty());
}

#[tokio::test]
async fn a_repetition_is_recognised_within_its_window_only() {
    let double = TimDouble::start(Settings::default()).await;
    let caller = Caller::new(&double);
    let first = caller.to_person(&person()).await;
    double.set_ahead(Duration::from_secs(118));
    assert_eq!(caller.to_person(&person()).await, first);
    assert_eq!(code(&caller.to_person(&with(person(), "MsgSeq", json!(2))).await), 0);
    assert_eq!(code(&caller.to_person(&with(person(), "MsgBody", json!([text("other")]))).await), 0);
    assert_eq!(double.delivered().len(), 3, "another number or content is another message");
    double.set_ahead(Duration::from_secs(121));
    assert_ne!(caller.to_person(&person()).await, first);
    assert_eq!(double.delivered().len(), 4);
    let first = caller.to_group(&group()).await;
    double.set_ahead(Duration::from_secs(121 + 298));
    assert_eq!(caller.to_group(&group()).await, first);
    double.set_ahead(Duration::from_secs(121 + 301));
    assert_ne!(caller.to_group(&group()).await, first);
    assert_eq!((double.delivered().len(), double.counts().1), (6, 2));
}

#[tokio::test]
async fn beyond_a_rate_calls_are_refused_and_group_messages_dropped() {
    let settings = Settings { calls: 5, group_messages: 2, ..Settings::default() };
    let double = TimDouble::start(settings).await;
    let caller = Caller::new(&double);
    let mut reasons = Vec::new();
    for random in 0..5 {
        let reply = caller.to_group(&with(group(), "Random", random.into())).await;
        reasons.push(reply["MsgDropReason"].as_str().unwrap().to_owned());
    }
    assert_eq!(reasons, ["", "", "MsgFreqCtrl", "MsgFreqCtrl", "MsgFreqCtrl"]);
    assert_eq!(code(&caller.to_person(&person()).await), 60_011);
    assert_eq!((double.delivered().len(), double.counts().2), (2, 4));
}

#[tokio::test]
async fn the_script_decides_what_happens_to_good_calls() {
    let settings = Settings { timeout: Duration::from_millis(20), ..Settings::default() };
    let mut double = TimDouble::start(settings).await;
    let acts = [
        Act::TakeThenLose,
        Act::Drop,
        Act::Fail(20_004),
        Act::Status(502),
        Act::Slow,
        Act::Garbage,
        Act::Pass,
    ];
    let mut next = acts.into_iter();
    double.script(move |_| next.next().unwrap());
    {
        let caller = Caller::new(&double);
        let query = Caller::query();
        let body = person().to_string();
        let command = "openim/sendmsg";
        assert!(caller.post(command, &query, &body).await.is_err());
        assert_eq!(double.delivered().len(), 1, "taken, and not answered");
        assert!(caller.post(command, &query, &body).await.is_err());
        assert_eq!(code(&caller.call(command, &query, &body).await), 20_004);
        assert_eq!(caller.post(command, &query, &body).await.unwrap().status(), 502);
        assert_eq!(code(&caller.call(command, &query, &body).await), 60_008);
        let garbage = caller.post(command, &query, &body).await.unwrap().bytes().await.unwrap();
        assert!(serde_json::from_slice::<Value>(&garbage).is_err());
        assert_eq!(code(&caller.call(command, &query, &body).await), 0);
        assert_eq!((double.delivered().len(), double.counts().1), (1, 1), "the first was recognised");
    }
    double.stop().await;
    let client = Caller::new(&double);
    assert!(client.post("openim/sendmsg", &Caller::query(), "{}").await.is_err());
    double.restart().await;
    double.script(|_| Act::Pass);
    assert_eq!(code(&Caller::new(&double).to_person(&with(person(), "MsgSeq", json!(9))).await), 0);
}
