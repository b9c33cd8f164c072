//! Tencent IM without an SDK: the real daemon against the double of the REST interface.
//!
//! Owns:  a daemon whose transport is `tim`, with its key file and the double's certificate.
//! Never: checks how a body is built from a message (`outbox-tim` does), or what the double itself allows.

mod carry;
mod drain;
mod login;
mod sample;
mod windows;

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use outbox_control::types::Entry;
use serde_json::Value;

use crate::harness::{Daemon, Place};
use crate::tim_double::{ADMIN, KEY, SDK_APP_ID, Settings, TimDouble};

/// A daemon and the double that it sends to.
struct Desk {
    double: TimDouble,
    daemon: Daemon,
    key_file: PathBuf,
}

impl Desk {
    /// Starts both; `tim` goes into `[transport.tim]`, `more` are tables.
    async fn start(tim: &str, more: &str) -> Self {
        Self::start_with(Settings::default(), tim, more).await
    }

    /// The same with other limits of the service.
    async fn start_with(settings: Settings, tim: &str, more: &str) -> Self {
        let double = TimDouble::start(settings).await;
        let place = Place::new("");
        let (key_file, ca_file) = (place.path().join("key"), place.path().join("ca.pem"));
        write_key(&key_file, KEY);
        std::fs::write(&ca_file, double.ca_pem()).unwrap();
        place.configure(&format!(
            "{more}\n[transport]\nkind = \"tim\"\n[transport.tim]\nhost = \"{}\"\nsdk_app_id = {SDK_APP_ID}\n\
             identifier = \"{ADMIN}\"\nsecret_key_file = \"{}\"\nca_file = \"{}\"\n{tim}\n",
            double.base_url(),
            key_file.display(),
            ca_file.display()
        ));
        Self { double, daemon: Daemon::start_in(place).await, key_file }
    }

    async fn submit(&self, message: &Value) -> Entry {
        let body = serde_json::json!({ "message": message }).to_string();
        let submitted = self.daemon.client.submit_json(body.into_bytes()).await.unwrap();
        self.daemon.client.message(&submitted.msg_id).await.unwrap()
    }
}

/// Writes a secret key as only its owner may read it.
fn write_key(path: &Path, key: &str) {
    use std::io::Write;
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(key.as_bytes()).unwrap();
}

/// A text message as an SDK prints it, to one person or into a group (`group:…`).
fn text(msg_id: &str, to: &str) -> Value {
    let (key, id) = match to.strip_prefix("group:") {
        Some(group) => ("groupID", group),
        None => ("userID", to),
    };
    serde_json::json!({
        "msgID": msg_id, key: id, "sender": "kiosk_07", "isSelf": true, "status": 3, "elemType": 1,
        "textElem": {"text": msg_id},
    })
}

/// The text of what was delivered.
fn words(body: &Value) -> &str {
    body["MsgBody"][0]["MsgContent"]["Text"].as_str().unwrap_or_default()
}
