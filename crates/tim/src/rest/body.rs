//! The bodies of the two calls.
//!
//! Owns:  their names and types, and what is left out because it says nothing.
//! Never: knows either shape of a V2TimMessage, refuses anything.

use serde::Serialize;

use super::outgoing::{Outgoing, To};
use super::parts::Part;
use super::{Call, CallOptions, Command};
use crate::model::AT_ALL_TAG;

/// What begins the topic's own part of its id; before it stands the id of its community.
const TOPIC_MARK: &str = "@TOPIC#";

/// Body of `sendmsg`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMsg {
    /// 1: the sender's own devices see what was sent in their name, as they do after an SDK's send.
    sync_other_machine: u8,
    #[serde(rename = "From_Account", skip_serializing_if = "Option::is_none")]
    from_account: Option<String>,
    #[serde(rename = "To_Account")]
    to_account: String,
    /// In seconds; 0: for those who are online only. Absent: the service's own, 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_life_time: Option<u32>,
    msg_seq: u32,
    msg_random: u32,
    /// Which of the app's webhooks are not called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forbid_callback_control: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    send_msg_control: Vec<&'static str>,
    msg_body: Vec<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_custom_data: Option<String>,
    #[serde(skip_serializing_if = "is_no")]
    support_message_extension: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline_push_info: Option<OfflinePush>,
    /// Not of what is for those who are online only.
    #[serde(skip_serializing_if = "is_no")]
    is_need_read_receipt: u8,
}

/// Body of `send_group_msg`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendGroupMsg {
    group_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
    random: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_priority: Option<&'static str>,
    #[serde(rename = "From_Account", skip_serializing_if = "Option::is_none")]
    from_account: Option<String>,
    #[serde(rename = "To_Account", skip_serializing_if = "Vec::is_empty")]
    to_account: Vec<String>,
    msg_body: Vec<Part>,
    /// Which of the app's webhooks are not called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forbid_callback_control: Vec<&'static str>,
    #[serde(skip_serializing_if = "is_no")]
    online_only_flag: u8,
    /// Not together with `OnlineOnlyFlag`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    send_msg_control: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_custom_data: Option<String>,
    #[serde(skip_serializing_if = "is_no")]
    support_message_extension: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline_push_info: Option<OfflinePush>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_at_info: Vec<At>,
}

/// One who is mentioned.
#[derive(Serialize)]
struct At {
    #[serde(rename = "GroupAtAllFlag")]
    all: u8,
    #[serde(rename = "GroupAt_Account", skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// How the push to those who are offline looks. What says nothing is left out.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfflinePush {
    /// 1: none.
    #[serde(skip_serializing_if = "is_no")]
    pub(super) push_flag: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) desc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ext: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(super) android_info: AndroidInfo,
    #[serde(skip_serializing_if = "is_nothing")]
    pub(super) apns_info: ApnsInfo,
}

/// For the push services of Android's makers.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct AndroidInfo {
    #[serde(rename = "Sound", skip_serializing_if = "Option::is_none")]
    pub(super) sound: Option<String>,
    #[serde(rename = "OPPOChannelID", skip_serializing_if = "Option::is_none")]
    pub(super) oppo_channel_id: Option<String>,
    #[serde(rename = "GoogleChannelID", skip_serializing_if = "Option::is_none")]
    pub(super) google_channel_id: Option<String>,
    #[serde(rename = "XiaoMiChannelID", skip_serializing_if = "Option::is_none")]
    pub(super) xiaomi_channel_id: Option<String>,
    #[serde(rename = "VIVOClassification", skip_serializing_if = "Option::is_none")]
    pub(super) vivo_classification: Option<i64>,
    #[serde(rename = "HuaWeiCategory", skip_serializing_if = "Option::is_none")]
    pub(super) huawei_category: Option<String>,
}

/// For Apple's push service.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ApnsInfo {
    /// Before the title for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sound: Option<String>,
    /// 1: it does not count.
    #[serde(skip_serializing_if = "is_no")]
    pub(super) badge_mode: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_no(flag: &u8) -> bool {
    *flag == 0
}

fn is_nothing<T: Default + PartialEq>(info: &T) -> bool {
    *info == T::default()
}

/// Writes the call of a message.
pub(super) fn call(outgoing: Outgoing, options: &CallOptions) -> Call {
    let control = control(&outgoing);
    let without_hooks = without_hooks(&outgoing);
    let push = Some(outgoing.push).filter(|push| !is_nothing(push));
    let extension = u8::from(outgoing.supports_extension);
    match outgoing.to {
        To::Person(to_account) => {
            let body = SendMsg {
                sync_other_machine: 1,
                from_account: outgoing.sender,
                to_account,
                msg_life_time: options.online_user_only.then_some(0),
                msg_seq: options.seq,
                msg_random: options.random,
                forbid_callback_control: without_hooks,
                send_msg_control: control,
                msg_body: outgoing.parts,
                cloud_custom_data: outgoing.cloud_custom_data,
                support_message_extension: extension,
                offline_push_info: push,
                is_need_read_receipt: u8::from(outgoing.needs_read_receipt && !options.online_user_only),
            };
            Call { command: Command::SendMsg, group: None, body: written(&body) }
        }
        To::Group { id, members } => {
            let (group_id, topic_id) = match id.split_once(TOPIC_MARK) {
                Some((community, _)) if !community.is_empty() => (community.to_owned(), Some(id)),
                _ => (id, None),
            };
            let body = SendGroupMsg {
                group_id: group_id.clone(),
                topic_id,
                random: options.random,
                msg_priority: outgoing.priority,
                from_account: outgoing.sender,
                to_account: members,
                msg_body: outgoing.parts,
                forbid_callback_control: without_hooks,
                online_only_flag: u8::from(options.online_user_only),
                send_msg_control: if options.online_user_only { Vec::new() } else { control },
                cloud_custom_data: outgoing.cloud_custom_data,
                support_message_extension: extension,
                offline_push_info: push,
                group_at_info: outgoing.at.into_iter().map(mentioned).collect(),
            };
            Call { command: Command::SendGroupMsg, group: Some(group_id), body: written(&body) }
        }
    }
}

fn control(outgoing: &Outgoing) -> Vec<&'static str> {
    words([(outgoing.is_not_unread, "NoUnread"), (outgoing.is_not_last, "NoLastMsg")])
}

fn without_hooks(outgoing: &Outgoing) -> Vec<&'static str> {
    words([
        (outgoing.is_without_pre_hook, "ForbidBeforeSendMsgCallback"),
        (outgoing.is_without_post_hook, "ForbidAfterSendMsgCallback"),
    ])
}

fn words(flags: [(bool, &'static str); 2]) -> Vec<&'static str> {
    flags.into_iter().filter_map(|(is_set, word)| is_set.then_some(word)).collect()
}

fn mentioned(user: String) -> At {
    if user == AT_ALL_TAG { At { all: 1, account: None } } else { At { all: 0, account: Some(user) } }
}

/// Texts and numbers always have a JSON form.
fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
