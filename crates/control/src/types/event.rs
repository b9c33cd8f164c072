//! Events: what happened, as the stream of server-sent events tells it.
//!
//! Owns:  the data of an event and of a gap.
//! Never: frames them (the client's and the server's part).

use serde::{Deserialize, Serialize};

use super::State;
use crate::time::Time;

/// The data of an event. Its durable sequence, if it has one, is the `id` beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// What happened, also the event's name: `submitted`, `deferred`, `sending`, `sent`, `failed`, `expired`,
    /// `cancelled`, `held`, `released`, `uncertain`, `link`, `account`, `quarantined`. There may be more.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    pub at: Time,
    /// The message.
    #[serde(rename = "msgID", default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// Its account, or the account that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The message's state after the event; for `link` the link's, for `account` the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The result code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// The service's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The new message that replaced the original.
    #[serde(rename = "newMsgID", default, skip_serializing_if = "Option::is_none")]
    pub new_msg_id: Option<String>,
    /// A person's reason, the account's, or what told the link's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It did not end as sent, and may have arrived all the same.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub may_have_arrived: bool,
}

impl EventData {
    /// The message's state after the event, where it is one.
    #[must_use]
    pub fn message_state(&self) -> Option<State> {
        self.state.as_deref().and_then(|state| state.parse().ok())
    }
}

/// The data of a `gap`: events that were asked for and are not kept. Whoever meets one looks at the list and at the receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventGap {
    /// The first sequence that is missing.
    pub from: u64,
    /// The last.
    pub to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_names_of_the_contract_and_leaves_out_what_it_does_not_know() {
        let sent = EventData {
            kind: "sent".into(),
            at: Time::from_ms(0),
            msg_id: Some("m".into()),
            account: Some("default".into()),
            conversation: Some("c2c:lena".into()),
            state: Some("sent".into()),
            code: Some(0),
            desc: None,
            new_msg_id: Some("n".into()),
            reason: None,
            may_have_arrived: false,
        };
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(
            text,
            r#"{"type":"sent","at":"1970-01-01T00:00:00.000Z","msgID":"m","account":"default","conversation":"c2c:lena","state":"sent","code":0,"newMsgID":"n"}"#
        );
        let newer = text.replace("{\"type\"", "{\"later\":1,\"type\"");
        assert_eq!(serde_json::from_str::<EventData>(&newer).unwrap(), sent);
        assert_eq!(sent.message_state(), Some(State::Sent));
    }
}
