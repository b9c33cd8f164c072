//! The form of the two bodies, as strictly as the vendor's documentation has it.
//!
//! Owns:  every name with its type and its range, what is required, what excludes what.
//! Never: knows where a body came from.

use serde_json::{Map, Value};

use super::Refusal;

/// Bytes of a message's content: 12 KB in the newer documents.
const CONTENT_BYTES_MAX: usize = 12 * 1024;
/// Members of a targeted message.
const TARGETS_MAX: usize = 50;
/// Users that a message may mention.
const AT_MAX: usize = 30;

type Checked = Result<(), Refusal>;

/// One field: its name, whether it must be there, the code of its refusal, and its check.
struct Field(&'static str, Need, i64, fn(&Value) -> bool);

#[derive(PartialEq)]
enum Need {
    Must,
    May,
}
use Need::{May, Must};

fn text(value: &Value) -> bool {
    value.is_string()
}

/// A name says something, and is no other's name with a part replaced.
fn name(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty() && !text.contains('\u{fffd}'))
}

/// A format as `mp4`: no media type, no path.
fn format(value: &Value) -> bool {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    value.as_str().is_some_and(|text| (1..=8).contains(&text.len()) && is_plain(text))
}

fn u32_number(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| u32::try_from(number).is_ok())
}

/// Bytes, pixels, seconds: whole, not below 0, 32 bits.
fn count(value: &Value) -> bool {
    u32_number(value)
}

fn flag(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number <= 1)
}

fn number(value: &Value) -> bool {
    value.is_number()
}

fn list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
}

fn object(value: &Value) -> bool {
    value.is_object()
}

fn names(value: &Value) -> bool {
    list(value) && value.as_array().is_some_and(|items| items.iter().all(name))
}

fn url(value: &Value) -> bool {
    let scheme = value.as_str().and_then(|text| text.split_once("://")).map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| matches!(scheme.to_ascii_lowercase().as_str(), "https" | "http"))
}

fn by_url(value: &Value) -> bool {
    value.as_u64() == Some(2)
}

/// Words from a list, each once.
fn words(value: &Value, known: &[&str]) -> bool {
    let is_known = |word: &Value| word.as_str().is_some_and(|word| known.contains(&word));
    let is_good = |words: &Vec<Value>| {
        words.iter().enumerate().all(|(place, word)| is_known(word) && !words[..place].contains(word))
    };
    list(value) && value.as_array().is_some_and(is_good)
}

fn control(value: &Value) -> bool {
    words(value, &["NoUnread", "NoLastMsg", "WithMuteNotifications"])
}

fn forbidden_hooks(value: &Value) -> bool {
    words(value, &["ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback"])
}

/// All fields are known and have their types; those that must be there are.
fn check(body: &Map<String, Value>, fields: &[Field], what: &str) -> Checked {
    if let Some(unknown) = body.keys().find(|name| fields.iter().all(|field| field.0 != name.as_str())) {
        return Err(Refusal(90_010, format!("{what} has an unknown name: {unknown}")));
    }
    for Field(name, need, code, is_good) in fields {
        match body.get(*name) {
            None if *need == Must => return Err(Refusal(*code, format!("{what} has no {name}"))),
            Some(value) if !is_good(value) => {
                return Err(Refusal(*code, format!("{what}: {name} is wrong: {value}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the body of `sendmsg`.
pub(super) fn sendmsg(body: &Map<String, Value>) -> Checked {
    let fields = [
        Field("SyncOtherMachine", May, 90_031, |value| matches!(value.as_u64(), Some(1 | 2))),
        Field("From_Account", May, 90_008, name),
        Field("To_Account", Must, 90_003, name),
        Field("MsgLifeTime", May, 90_044, |value| value.as_u64().is_some_and(|time| time <= 604_800)),
        Field("MsgSeq", May, 90_010, u32_number),
        Field("MsgRandom", Must, 90_005, u32_number),
        Field("SendMsgControl", May, 90_010, control),
        Field("ForbidCallbackControl", May, 90_010, forbidden_hooks),
        Field("MsgBody", Must, 90_002, list),
        Field("CloudCustomData", May, 90_010, text),
        Field("SupportMessageExtension", May, 90_010, flag),
        Field("OfflinePushInfo", May, 90_043, object),
        Field("IsNeedReadReceipt", May, 90_010, flag),
    ];
    check(body, &fields, "sendmsg")?;
    if body.get("MsgLifeTime") == Some(&Value::from(0))
        && body.get("IsNeedReadReceipt") == Some(&Value::from(1))
    {
        return Err(Refusal(10_061, "a message for those online alone has no receipt".into()));
    }
    content(body)
}

/// Checks the body of `send_group_msg`.
pub(super) fn send_group_msg(body: &Map<String, Value>) -> Checked {
    let fields = [
        Field("GroupId", Must, 10_015, name),
        Field("TopicId", May, 10_004, |value| value.as_str().is_some_and(|id| id.contains("@TOPIC#"))),
        Field("Random", Must, 10_004, u32_number),
        Field("MsgPriority", May, 10_004, |value| matches!(value.as_str(), Some("High" | "Normal" | "Low"))),
        Field("From_Account", May, 10_004, name),
        Field("To_Account", May, 10_004, names),
        Field("MsgBody", Must, 10_004, list),
        Field("OfflinePushInfo", May, 10_004, object),
        Field("ForbidCallbackControl", May, 10_004, forbidden_hooks),
        Field("OnlineOnlyFlag", May, 10_004, flag),
        Field("SendMsgControl", May, 10_004, control),
        Field("CloudCustomData", May, 10_004, text),
        Field("SupportMessageExtension", May, 10_004, flag),
        Field("GroupAtInfo", May, 10_004, list),
    ];
    check(body, &fields, "send_group_msg")?;
    let refused = |what: &str| Err(Refusal(10_004, what.into()));
    if body.get("OnlineOnlyFlag").and_then(Value::as_u64) == Some(1) && body.contains_key("SendMsgControl") {
        return refused("SendMsgControl does not go together with OnlineOnlyFlag 1");
    }
    if body.get("To_Account").and_then(Value::as_array).is_some_and(|to| to.len() > TARGETS_MAX) {
        return refused("To_Account has more than 50");
    }
    let mentioned = body.get("GroupAtInfo").and_then(Value::as_array).cloned().unwrap_or_default();
    if mentioned.len() > AT_MAX {
        return Err(Refusal(10_053, "more than 30 are mentioned".into()));
    }
    for one in &mentioned {
        at(one)?;
    }
    content(body)
}

fn at(one: &Value) -> Checked {
    let fields = [Field("GroupAtAllFlag", Must, 10_004, flag), Field("GroupAt_Account", May, 10_004, name)];
    check(map(one, "GroupAtInfo")?, &fields, "GroupAtInfo")?;
    if (one["GroupAtAllFlag"] == 1) == one.get("GroupAt_Account").is_some() {
        return Err(Refusal(10_004, "GroupAtInfo names either all or an account".into()));
    }
    Ok(())
}

fn map<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| Refusal(90_010, format!("{what} is no object")))
}

/// Checks what both bodies have in common.
fn content(body: &Map<String, Value>) -> Checked {
    if let Some(push) = body.get("OfflinePushInfo") {
        offline_push(map(push, "OfflinePushInfo")?)?;
    }
    let parts = body.get("MsgBody").and_then(Value::as_array).cloned().unwrap_or_default();
    for one in &parts {
        part(one)?;
    }
    if parts.iter().filter(|part| part["MsgType"] == "TIMCustomElem").count() > 1 {
        return Err(Refusal(90_010, "more than one TIMCustomElem".into()));
    }
    let custom = body.get("CloudCustomData").and_then(Value::as_str).map_or(0, str::len);
    if Value::Array(parts).to_string().len() + custom > CONTENT_BYTES_MAX {
        return Err(Refusal(80_002, "the message is too long".into()));
    }
    Ok(())
}

fn offline_push(push: &Map<String, Value>) -> Checked {
    let fields = [
        Field("PushFlag", May, 90_043, flag),
        Field("Title", May, 90_043, text),
        Field("Desc", May, 90_043, text),
        Field("Ext", May, 90_043, text),
        Field("AndroidInfo", May, 90_043, object),
        Field("ApnsInfo", May, 90_043, object),
    ];
    check(push, &fields, "OfflinePushInfo")?;
    let android = [
        Field("Sound", May, 90_043, text),
        Field("HuaWeiChannelID", May, 90_043, text),
        Field("XiaoMiChannelID", May, 90_043, text),
        Field("OPPOChannelID", May, 90_043, text),
        Field("GoogleChannelID", May, 90_043, text),
        Field("VIVOClassification", May, 90_043, flag),
        Field("HuaWeiImportance", May, 90_043, text),
        Field("HuaWeiCategory", May, 90_043, text),
        Field("ExtAsHuaweiIntentParam", May, 90_043, flag),
    ];
    let apple = [
        Field("Sound", May, 90_043, text),
        Field("BadgeMode", May, 90_043, flag),
        Field("Title", May, 90_043, text),
        Field("SubTitle", May, 90_043, text),
        Field("Image", May, 90_043, text),
        Field("MutableContent", May, 90_043, flag),
    ];
    if let Some(info) = push.get("AndroidInfo") {
        check(map(info, "AndroidInfo")?, &android, "AndroidInfo")?;
    }
    match push.get("ApnsInfo") {
        Some(info) => check(map(info, "ApnsInfo")?, &apple, "ApnsInfo"),
        None => Ok(()),
    }
}

fn part(part: &Value) -> Checked {
    let envelope = [Field("MsgType", Must, 90_002, text), Field("MsgContent", Must, 90_002, object)];
    check(map(part, "MsgBody")?, &envelope, "MsgBody")?;
    let kind = part["MsgType"].as_str().unwrap_or_default();
    let content = map(&part["MsgContent"], kind)?;
    let must = |name, is_good| Field(name, Must, 90_010, is_good);
    let may = |name, is_good| Field(name, May, 90_010, is_good);
    match kind {
        "TIMTextElem" => check(content, &[must("Text", text)], kind),
        "TIMCustomElem" => check(
            content,
            &[must("Data", text), may("Desc", text), may("Ext", text), may("Sound", text)],
            kind,
        ),
        "TIMLocationElem" => {
            check(content, &[must("Desc", text), must("Latitude", number), must("Longitude", number)], kind)
        }
        "TIMFaceElem" => check(
            content,
            &[must("Index", |value| value.is_i64() || value.is_u64()), must("Data", text)],
            kind,
        ),
        "TIMSoundElem" => check(
            content,
            &[
                must("Url", url),
                must("UUID", name),
                must("Size", count),
                must("Second", count),
                must("Download_Flag", by_url),
            ],
            kind,
        ),
        "TIMFileElem" => check(
            content,
            &[
                must("Url", url),
                must("UUID", name),
                must("FileSize", count),
                must("FileName", text),
                must("Download_Flag", by_url),
            ],
            kind,
        ),
        "TIMImageElem" => image(content),
        "TIMVideoFileElem" => video(content),
        other => Err(Refusal(90_007, format!("MsgType is not known: {other}"))),
    }
}

fn image(content: &Map<String, Value>) -> Checked {
    let must = |name, is_good| Field(name, Must, 90_010, is_good);
    let fields = [
        must("UUID", name),
        must("ImageFormat", |value| matches!(value.as_u64(), Some(1..=4 | 255))),
        must("ImageInfoArray", list),
    ];
    check(content, &fields, "TIMImageElem")?;
    for size in content["ImageInfoArray"].as_array().into_iter().flatten() {
        let fields = [
            must("Type", |value| matches!(value.as_u64(), Some(1..=3))),
            must("Size", count),
            must("Width", count),
            must("Height", count),
            must("URL", url),
        ];
        check(map(size, "ImageInfoArray")?, &fields, "ImageInfoArray")?;
    }
    Ok(())
}

fn video(content: &Map<String, Value>) -> Checked {
    let must = |name, is_good| Field(name, Must, 90_010, is_good);
    let fields = [
        must("VideoUrl", url),
        must("VideoUUID", name),
        must("VideoSize", count),
        must("VideoSecond", count),
        must("VideoFormat", format),
        must("VideoDownloadFlag", by_url),
        must("ThumbUrl", url),
        must("ThumbUUID", name),
        must("ThumbSize", count),
        must("ThumbWidth", count),
        must("ThumbHeight", count),
        must("ThumbFormat", format),
        must("ThumbDownloadFlag", by_url),
    ];
    check(content, &fields, "TIMVideoFileElem")
}
