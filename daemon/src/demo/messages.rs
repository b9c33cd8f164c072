//! The demo's messages: failed V2TimMessages as an app would hand them over.
//!
//! Owns:  people, groups and words of the demo; the camelCase shape of its messages.
//! Never: submits anything, decides what happens to a message.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::random::Random;

/// How many conversations there are.
pub(super) const CONVERSATIONS_COUNT: usize = 12;

/// Where the demo's messages go: the field that names the peer or the group, and its value.
const CONVERSATIONS: [(Place, &str); CONVERSATIONS_COUNT] = [
    (Place::Peer, "mira_lindqvist"),
    (Place::Peer, "tomás.ortega"),
    (Place::Peer, "night_desk"),
    (Place::Peer, "user_20418"),
    (Place::Peer, "wei-zhang"),
    (Place::Peer, "courier/17"),
    (Place::Peer, "aunt_olga"),
    (Place::Peer, "helpdesk_bot"),
    (Place::Group, "weekend_hikers"),
    (Place::Group, "@TGS#2LQ7RTEAE"),
    (Place::Group, "depot-shift-b"),
    (Place::Group, "family"),
];

const TEXTS: [&str; 16] = [
    "Running ten minutes late, start without me.",
    "The blue crates are on the second shelf.",
    "Did the delivery arrive?",
    "Train is standing in a tunnel, no signal for a while",
    "好的，明天见。",
    "Grüße aus Köln!",
    "ok 👍",
    "Can somebody bring the spare key?",
    "Meeting moved to 14:30, room 2.\nPlease tell the others.",
    "I left the \"good\" umbrella at your place.",
    "¿Quién trae el pan?",
    "Order 4471 is packed.",
    "Lost you there - call me back when you can.",
    "Thanks!",
    "Сейчас буду.",
    "The camera at gate 3 shows nothing since noon.",
];

const IMAGES: [&str; 5] = ["IMG_2201.HEIC", "receipt.jpg", "Screenshot 14.02.png", "shelf-2.jpg", "夕日.jpg"];
const BUSINESS: [&str; 3] = ["order_link", "typing_summary", "shift_swap"];

/// The first message's time of creation, in seconds: fixed, so that a seed gives the same bytes every day.
const FIRST_AT_S: u64 = 1_731_500_000;

/// `elemType` of the SDK.
const ELEM_TEXT: u8 = 1;
const ELEM_CUSTOM: u8 = 2;
const ELEM_IMAGE: u8 = 3;
const ELEM_SOUND: u8 = 4;

#[derive(Clone, Copy)]
enum Place {
    Peer,
    Group,
}

/// A message to be handed over.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) msg_id: String,
    /// The lane that the daemon puts it into.
    pub(super) conversation: String,
    /// The message itself; what arrives must be these bytes.
    pub(super) json: Box<RawValue>,
}

/// Makes that many messages in the order in which they are handed over; msgIDs are all different.
///
/// # Errors
/// Never in practice: values made here can be written as JSON.
pub(super) fn messages(random: &mut Random, count: u32) -> serde_json::Result<Vec<Message>> {
    let mut at_s = FIRST_AT_S;
    let mut round = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..count {
        at_s += 1 + random.below(4) as u64;
        if round.is_empty() {
            // In rounds: a conversation with many more than the others would be all that there is to see at the end.
            round.extend(CONVERSATIONS);
            random.shuffle(&mut round);
        }
        if let Some(to) = round.pop() {
            messages.push(message(random, to, at_s)?);
        }
    }
    Ok(messages)
}

fn message(random: &mut Random, to: (Place, &str), at_s: u64) -> serde_json::Result<Message> {
    let number = random.bits() >> 32;
    let msg_id = format!("144115233874815002-{at_s}-{number}");
    let (group, user, conversation) = match to {
        (Place::Group, name) => (Some(name), None, format!("group:{name}")),
        (Place::Peer, name) => (None, Some(name), format!("c2c:{name}")),
    };
    let mut fields = base(&msg_id, at_s, number);
    fields.insert("groupID".into(), group.into());
    fields.insert("userID".into(), user.into());
    if group.is_some() && random.below(4) == 0 {
        fields.insert("groupAtUserList".into(), json!(["night_desk"]));
    }
    let (elem_type, name, element) = element(random);
    fields.insert("elemType".into(), elem_type.into());
    fields.insert(name.into(), element);
    Ok(Message { msg_id, conversation, json: to_raw_value(&Value::Object(fields))? })
}

/// What every message of the SDK has: it was sent from here, and it failed (status 3).
fn base(msg_id: &str, at_s: u64, number: u64) -> Map<String, Value> {
    let fields = json!({
        "msgID": msg_id,
        "id": format!("{at_s}{number}tmp"),
        "timestamp": at_s,
        "progress": 100,
        "sender": "demo_phone",
        "nickName": "Demo phone",
        "friendRemark": "",
        "faceUrl": "https://static.example.com/face/demo.png",
        "nameCard": "",
        "status": 3,
        "localCustomData": "",
        "localCustomInt": 0,
        "cloudCustomData": "",
        "isSelf": true,
        "isRead": true,
        "isPeerRead": false,
        "needReadReceipt": false,
        "priority": 0,
        "groupAtUserList": [],
        "seq": "0",
        "random": number,
        "isExcludedFromUnreadCount": false,
        "isExcludedFromLastMessage": false,
        "isSupportMessageExtension": false,
        "messageFromWeb": null,
        "hasRiskContent": false,
        "revokerInfo": null,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The message's element: its type, its field, its value. Six of ten are texts.
fn element(random: &mut Random) -> (u8, &'static str, Value) {
    match random.below(10) {
        0 | 1 => {
            let path = format!("/data/user/0/com.example.chat/cache/{}", random.pick(&IMAGES));
            (ELEM_IMAGE, "imageElem", json!({ "path": path, "imageList": [] }))
        }
        2 => {
            let data = json!({ "businessID": random.pick(&BUSINESS), "ref": random.below(10_000) });
            let element =
                json!({ "data": data.to_string(), "desc": "", "extension": "v1", "nextElem": null });
            (ELEM_CUSTOM, "customElem", element)
        }
        3 => {
            let seconds = 1 + random.below(30);
            let path = format!("/sdcard/chat/voice/v_{}.m4a", random.below(1000));
            let element =
                json!({ "path": path, "UUID": null, "dataSize": seconds * 8_192, "duration": seconds });
            (ELEM_SOUND, "soundElem", element)
        }
        _ => (ELEM_TEXT, "textElem", json!({ "text": random.pick(&TEXTS) })),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_message_is_accepted_and_read_as_it_was_meant() {
        for message in messages(&mut Random::new(11), 500).unwrap() {
            let inspected = outbox_tim::message::inspect(message.json.get().as_bytes()).unwrap();
            assert_eq!(inspected.msg_id.as_ref(), Some(&message.msg_id));
            assert_eq!(inspected.conversation, Some(message.conversation));
        }
    }

    #[test]
    fn msg_ids_are_different_and_all_conversations_and_elements_occur() {
        let messages = messages(&mut Random::new(12), 200).unwrap();
        let distinct = |values: Vec<String>| values.into_iter().collect::<HashSet<_>>().len();
        assert_eq!(distinct(messages.iter().map(|message| message.msg_id.clone()).collect()), 200);
        assert_eq!(distinct(messages.iter().map(|message| message.conversation.clone()).collect()), 12);
        for name in ["textElem", "imageElem", "customElem", "soundElem", "night_desk\"]"] {
            assert!(messages.iter().any(|message| message.json.get().contains(name)), "{name}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_bytes() {
        let bytes = |seed| {
            let messages = messages(&mut Random::new(seed), 40).unwrap();
            messages.iter().map(|message| message.json.get().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(bytes(5), bytes(5));
        assert_ne!(bytes(5), bytes(6));
    }
}
