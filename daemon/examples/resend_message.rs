//! The flow of the SDK's page on `reSendMessage`, with the outbox in the place of the app's own retries:
//! create, send, hand the failed message over, resend, read the new message.
//!
//! ```sh
//! cargo run -p outboxd --example resend_message                  # with a daemon and a service of its own
//! cargo run -p outboxd --example resend_message -- SOCKET        # with the daemon on that socket
//! ```
//!
//! The SDK's sample passes the creation `id` to `reSendMessage`. The msgID is another name: it does not exist
//! before `sendMessage` was called, and the failed callback has it in `data.msgID`.

use std::time::Duration;

use anyhow::{Context, bail};
use outbox_control::Client;
use outbox_control::types::{ResendAnswer, ResendRequest, SendError, Submit};
use outbox_tim::V2TimValueCallback;
use outbox_tim::model::{
    ElemType, MessageStatus, NumberText, V2TimMessage, V2TimMsgCreateInfoResult, V2TimTextElem,
};
use serde_json::value::to_raw_value;

/// What the app shows in the place of the failed message.
#[derive(Debug)]
pub(crate) struct Resent {
    /// The row to remove.
    pub(crate) original: String,
    /// The row that replaces it.
    pub(crate) new: V2TimMessage,
}

/// The flow itself. Everything after step 2 is the same with a real SDK.
///
/// # Errors
/// The daemon cannot be reached, or the message was not sent within the wait.
pub(crate) async fn flow(outbox: &Client) -> anyhow::Result<Resent> {
    // 1. Create. There is an `id` now, and no msgID.
    let mut sdk = SdkWithoutNetwork::default();
    let created = sdk.create_text_message("Gate 4 is open again");
    let id = created.id.context("createTextMessage gives an id")?;

    // 2. Send. It fails; the answer has both names.
    let failed = sdk.send_message(&id, "ferry_desk")?;
    let message = failed.data.context("a failed send has the message as data")?;
    let original =
        V2TimMessage::parse(message.get().as_bytes())?.msg_id.context("sendMessage gave it a msgID")?;

    // 3. Hand over. When this answers, the message is on disk.
    let error = SendError { code: failed.code, desc: failed.desc };
    let submitted = outbox.submit(&Submit { error: Some(error), ..Submit::new(message) }).await?;
    assert_eq!(submitted.msg_id, original, "the outbox keys it by msgID");
    assert_eq!(outbox.message(&id).await?.msg_id, original, "and knows it by its creation id, too");

    // 4. Resend: the SDK's reSendMessage(msgID, onlineUserOnly, webMessageInstatnce). The daemon would do it
    //    by itself as soon as the service is there; an app asks where a person pressed a button.
    let request = ResendRequest { online_user_only: Some(false), ..ResendRequest::default() };
    let callback = match outbox.resend_and_wait(&original, &request, Duration::from_secs(30)).await? {
        ResendAnswer::Callback(callback) => callback,
        ResendAnswer::Entry(entry) => bail!("{original} is still {}", entry.state.as_str()),
    };
    if callback.code != 0 {
        bail!("{original} was not sent: {} {}", callback.code, callback.desc);
    }

    // 5. Read the new message. The outbox has removed the original in the same step that recorded this one;
    //    the app does so with its own row.
    let new = callback.data.context("a proven success has the new message")?;
    let new = V2TimMessage::parse(new.get().as_bytes())?;
    Ok(Resent { original, new })
}

/// As much of an SDK as the flow needs: one that is logged in and has lost its network.
#[derive(Default)]
struct SdkWithoutNetwork {
    created: Vec<(String, V2TimMessage)>,
}

impl SdkWithoutNetwork {
    fn create_text_message(&mut self, text: &str) -> V2TimMsgCreateInfoResult {
        let id = format!("88314592345102{}aQ3fZxLm90", self.created.len());
        let message = V2TimMessage {
            id: Some(id.clone()),
            elem_type: Some(ElemType::Text),
            text_elem: Some(Box::new(V2TimTextElem {
                text: Some(text.to_owned()),
                ..V2TimTextElem::default()
            })),
            is_self: Some(true),
            ..V2TimMessage::default()
        };
        self.created.push((id.clone(), message.clone()));
        V2TimMsgCreateInfoResult {
            id: Some(id),
            message_info: Some(Box::new(message)),
            ..V2TimMsgCreateInfoResult::default()
        }
    }

    /// Answers as the native SDK does without a network: 9508, and the message with its msgID and status 3.
    fn send_message(&mut self, id: &str, receiver: &str) -> anyhow::Result<V2TimValueCallback> {
        let at = self.created.iter().position(|(created, _)| created == id).context("id not exist")?;
        let (_, mut message) = self.created.swap_remove(at);
        let (time, random) = (1_731_500_001, 2_911_436_684_i64);
        message.msg_id = Some(format!("144115225971632901-{time}-{random}"));
        message.timestamp = Some(time);
        message.random = Some(random);
        message.seq = Some(NumberText(31_877));
        message.sender = Some("kiosk_07".to_owned());
        message.user_id = Some(receiver.to_owned());
        message.status = Some(MessageStatus::Failed);
        Ok(V2TimValueCallback::new(9508, "network is not connected", Some(to_raw_value(&message)?)))
    }
}

/// Runs the flow against the daemon of a socket, or against one of its own whose service comes back.
#[cfg(not(test))]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let resent = match std::env::args().nth(1) {
        Some(socket) => flow(&Client::new(socket)).await?,
        None => with_own_daemon().await?,
    };
    println!("sent:     {}", resent.new.msg_id.as_deref().unwrap_or_default());
    println!("replaces: {}", resent.original);
    println!("{}", resent.new.to_json());
    Ok(())
}

#[cfg(not(test))]
async fn with_own_daemon() -> anyhow::Result<Resent> {
    use outboxd::config::{Config, TransportKind};
    use outboxd::service::{Reply, Service};

    let service = Service::start(|_| Reply::Accept).await?;
    let folder = std::env::temp_dir().join(format!("outbox-example-{}", std::process::id()));
    let mut config = Config::defaults(folder.join("spool"), folder.join("run/outbox.sock"));
    config.transport.kind = TransportKind::Http;
    config.transport.http.url = Some(service.url().parse()?);
    let daemon = outboxd::daemon::start(config).await?;
    let resent = flow(&Client::new(daemon.socket())).await;
    daemon.stop().await;
    std::fs::remove_dir_all(&folder)?;
    resent
}
