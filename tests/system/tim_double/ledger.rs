//! What the double took: deliveries, repetitions that it recognised, rates.
//!
//! Owns:  the two de-duplication windows, the two rates, the replies to what was taken.
//! Never: checks a form.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// How long a repetition is recognised in a conversation with one person: sender, peer, `MsgSeq`, `MsgRandom`
/// and the content's CRC32.
const PERSON_WINDOW: Duration = Duration::from_secs(120);
/// How long in a group: sender, group, `Random` and the content.
const GROUP_WINDOW: Duration = Duration::from_secs(300);
/// The rates are those of one second.
const SECOND: Duration = Duration::from_secs(1);

/// A message that its readers see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delivered {
    /// The group, if it went to one.
    pub(crate) group: Option<String>,
    /// The person, if it went to one.
    pub(crate) person: Option<String>,
    /// The call's body.
    pub(crate) body: Value,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) calls: usize,
    pub(super) recognised: usize,
    pub(super) limited: usize,
    pub(super) refusals: Vec<(i64, String)>,
    pub(super) delivered: Vec<Delivered>,
    /// What was answered to each identity, and when it was taken.
    taken: HashMap<String, (Duration, Value)>,
    called: HashMap<String, VecDeque<Instant>>,
    into_group: HashMap<String, VecDeque<Instant>>,
    group_seq: HashMap<String, u64>,
}

/// Whether one more fits into the last second; if so it is noted.
fn fits(times: &mut VecDeque<Instant>, most: usize) -> bool {
    let now = Instant::now();
    while times.front().is_some_and(|at| now.duration_since(*at) >= SECOND) {
        times.pop_front();
    }
    let has_room = times.len() < most;
    if has_room {
        times.push_back(now);
    }
    has_room
}

/// What a group says of a message that it dropped: the call was good, the message is gone.
pub(super) fn dropped(now: Duration) -> Value {
    json!({
        "ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "MsgTime": now.as_secs(), "MsgSeq": 0,
        "MsgDropReason": "MsgFreqCtrl",
    })
}

impl Ledger {
    /// Counts a call of an account.
    pub(super) fn may_call(&mut self, account: &str, most: usize) -> bool {
        let may = fits(self.called.entry(account.to_owned()).or_default(), most);
        self.limited += usize::from(!may);
        may
    }

    /// The first answer to the same message, if it was taken within the window.
    fn repeated(&mut self, identity: &str, now: Duration, window: Duration) -> Option<Value> {
        let (at, reply) = self.taken.get(identity)?;
        if now.saturating_sub(*at) >= window {
            return None;
        }
        self.recognised += 1;
        Some(reply.clone())
    }

    pub(super) fn take_for_person(&mut self, account: &str, body: &Value, now: Duration) -> Value {
        let sender = body["From_Account"].as_str().unwrap_or(account);
        let (to, seq, random) = (&body["To_Account"], &body["MsgSeq"], &body["MsgRandom"]);
        let content = crc32fast::hash(body["MsgBody"].to_string().as_bytes());
        let identity = format!("{sender} {to} {seq} {random} {content}");
        if let Some(reply) = self.repeated(&identity, now, PERSON_WINDOW) {
            return reply;
        }
        let time = now.as_secs();
        let reply = json!({
            "ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "MsgTime": time,
            "MsgKey": format!("{seq}_{random}_{time}"),
        });
        self.taken.insert(identity, (now, reply.clone()));
        let person = to.as_str().map(str::to_owned);
        self.delivered.push(Delivered { group: None, person, body: body.clone() });
        reply
    }

    pub(super) fn take_for_group(
        &mut self,
        account: &str,
        body: &Value,
        now: Duration,
        most: usize,
    ) -> Value {
        let sender = body["From_Account"].as_str().unwrap_or(account);
        let group = body["GroupId"].as_str().unwrap_or_default().to_owned();
        let identity = format!("{sender} {group} {} {}", body["Random"], body["MsgBody"]);
        if let Some(reply) = self.repeated(&identity, now, GROUP_WINDOW) {
            return reply;
        }
        let time = now.as_secs();
        if !fits(self.into_group.entry(group.clone()).or_default(), most) {
            self.limited += 1;
            return dropped(now);
        }
        let seq = self.group_seq.entry(group.clone()).or_insert(0);
        *seq += 1;
        let reply = json!({
            "ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "MsgTime": time, "MsgSeq": *seq,
            "MsgDropReason": "",
        });
        self.taken.insert(identity, (now, reply.clone()));
        self.delivered.push(Delivered { group: Some(group), person: None, body: body.clone() });
        reply
    }
}
