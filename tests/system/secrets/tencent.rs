//! Tencent IM as transport: neither the key, nor a signature made with it, nor a message shows.
//!
//! Owns:  a daemon that sends to the double, with everything that can go wrong between them.
//! Never: knows what a signature is made of.

use outbox_control::types::{LinkState, State, Status};
use serde_json::{Value, json};

use super::{
    OUTBOXD, PAYLOADS, QUICK, SECRETS, end_and_search, free_of_all, has_signature, look_at_everything,
    write_secret,
};
use crate::harness::{Daemon, Place, run, until};
use crate::tim_double::{ADMIN, Act, KEY, SDK_APP_ID, Settings, TimDouble};

/// What becomes of the message with this word as its id.
const FATES: [(&str, Act); 8] = [
    ("good", Act::Pass),
    ("refused", Act::Fail(80_001)),
    ("lost", Act::TakeThenLose),
    ("cut", Act::Drop),
    ("later", Act::Fail(20_004)),
    ("odd", Act::Fail(424_242)),
    ("gateway", Act::Status(502)),
    ("garbage", Act::Garbage),
];

/// A submit object with the words in each part of a message that the service is given.
fn planted(id: &str) -> String {
    let to = if id == "large" { "groupID" } else { "userID" };
    let padding = if id == "large" { "x".repeat(8_000) } else { String::new() };
    let message = json!({
        "msgID": id, to: format!("to-{id}"), "sender": ADMIN, "isSelf": true, "status": 3, "elemType": 1,
        "textElem": {"text": format!("{id} {} {padding}", PAYLOADS[0])}, "cloudCustomData": PAYLOADS[1],
        "offlinePushInfo": {"title": PAYLOADS[1], "desc": PAYLOADS[2], "ext": PAYLOADS[0]},
    });
    json!({"message": message, "webMessageInstatnce": {"text": PAYLOADS[2]}}).to_string()
}

/// Lets the double do with each message what its first word says.
fn follow_the_fates(double: &TimDouble) {
    double.script(|body: &Value| {
        let text = body["MsgBody"][0]["MsgContent"]["Text"].as_str().unwrap_or_default();
        assert!(text.contains(PAYLOADS[0]), "the words are sent: {body}");
        let fate = FATES.iter().find(|(id, _)| text.starts_with(id));
        fate.map_or(Act::Pass, |(_, act)| *act)
    });
}

/// Lets the account try until that is what stops it; attempts that are under way may still be refused for what was before.
async fn trouble_is(daemon: &Daemon, wanted: impl Fn(&Status) -> bool) {
    until("the trouble is there", || async {
        if wanted(&daemon.client.status().await.unwrap()) {
            return Some(());
        }
        daemon.client.resume_account("default").await.unwrap();
        None
    })
    .await;
}

#[tokio::test]
async fn neither_the_key_nor_a_signature_nor_a_message_of_tencent_im_shows_anywhere() {
    let double = TimDouble::start(Settings::default()).await;
    follow_the_fates(&double);
    let mut place = Place::new("");
    let (key_file, ca_file) = (place.path().join("key"), place.path().join("ca.pem"));
    write_secret(&key_file, KEY);
    std::fs::write(&ca_file, double.ca_pem()).unwrap();
    place.log_level = "trace";
    place.configure(&format!(
        "{QUICK}[transport]\nkind = \"tim\"\n[transport.tim]\nhost = \"{}\"\nsdk_app_id = {SDK_APP_ID}\n\
         identifier = \"{ADMIN}\"\nsecret_key_file = \"{}\"\nca_file = \"{}\"\n",
        double.base_url(),
        key_file.display(),
        ca_file.display()
    ));
    let mut daemon = Daemon::start_in(place).await;
    let mut ids: Vec<String> = FATES.iter().map(|(id, _)| (*id).to_owned()).collect();
    ids.push("large".to_owned());
    for id in &ids {
        assert_eq!(daemon.post("/v1/messages", planted(id)).await.status, 201, "{id}");
    }
    for id in &ids {
        daemon.entry_when(id, |entry| !entry.history.is_empty() || entry.state == State::Sent).await;
    }
    look_at_everything(&daemon, &ids).await;
    // The account is refused, then its key, then nobody is there.
    double.bar(ADMIN, Some(70_001));
    assert_eq!(daemon.post("/v1/messages", planted("barred")).await.status, 201);
    trouble_is(&daemon, |status| status.accounts[0].code == Some(70_001)).await;
    write_secret(&key_file, SECRETS[6]);
    trouble_is(&daemon, |status| status.accounts[0].code == Some(70_009)).await;
    drop(double);
    trouble_is(&daemon, |status| status.link.state == LinkState::Down).await;
    ids.push("barred".to_owned());
    look_at_everything(&daemon, &ids).await;
    let mut print = tokio::process::Command::new(OUTBOXD);
    print.args(["print-config", "--config"]).arg(daemon.place.config_path());
    free_of_all(&run(print, "").await.out, "outboxd print-config");
    end_and_search(&mut daemon, &[&key_file, &ca_file]).await;
    assert!(daemon.log().contains("TRACE"), "the log has everything");
    assert!(has_signature(&format!("usersig={}&x", "eJw".repeat(30))), "it would be seen");
}
