//! A large backlog at the service's own limits: none is exceeded, nobody starves, the order holds.
//!
//! Owns:  6,000 messages to 50 conversations of both kinds; groups that get more than they may.
//! Never: asks how fast it was, beyond a deadline that only a standstill would miss.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_control::types::{AccountState, State, WaitsFor};
use serde_json::json;

use super::{Desk, text, words};
use crate::tim_double::Settings;

const MESSAGES: usize = 6_000;
const CONVERSATIONS: usize = 50;
const EACH: usize = MESSAGES / CONVERSATIONS;

/// 6,000 messages at 200 a second are 30 s; a busy machine may need a few times that.
const DEADLINE: Duration = Duration::from_secs(150);

/// Answers "too fast" that may happen: the two clocks look at a second's edge differently.
const LIMITED_MAX: usize = 6;

/// How far one conversation may be ahead of another while both have messages.
const AHEAD_MAX: usize = 15;

/// Half of the conversations are groups.
fn receiver(conversation: usize) -> String {
    if conversation.is_multiple_of(2) {
        format!("user-{conversation}")
    } else {
        format!("group:g-{conversation}")
    }
}

#[tokio::test]
async fn six_thousand_messages_leave_at_the_documented_limits_in_order_and_side_by_side() {
    let desk = Desk::start("", "").await;
    desk.daemon.client.pause().await.unwrap();
    // One conversation after the other: a daemon that goes by age alone would let the last ones starve.
    let lines: Vec<_> = (0..CONVERSATIONS)
        .flat_map(|conversation| (0..EACH).map(move |number| (conversation, number)))
        .map(|(conversation, number)| {
            let message = text(&format!("{conversation}:{number}"), &receiver(conversation));
            json!({ "message": message }).to_string().into_bytes()
        })
        .collect();
    let answers = desk.daemon.client.submit_lines(&lines).await.unwrap();
    assert_eq!(answers.len(), MESSAGES);
    desk.daemon.client.resume().await.unwrap();
    desk.double.wait_for(MESSAGES, DEADLINE).await;
    desk.daemon.entry_when_all_sent(MESSAGES as u64).await;

    let (calls, _, limited) = desk.double.counts();
    println!("{calls} calls for {MESSAGES} messages, {limited} answered \"too fast\"");
    assert!(limited <= LIMITED_MAX, "{limited} calls were over a limit: {:?}", desk.double.refusals());
    let mut seen: BTreeMap<usize, usize> = (0..CONVERSATIONS).map(|conversation| (conversation, 0)).collect();
    let mut widest = 0;
    for one in desk.double.delivered() {
        let (conversation, number) = words(&one.body).split_once(':').unwrap();
        let (conversation, number): (usize, usize) = (conversation.parse().unwrap(), number.parse().unwrap());
        let next = seen.get_mut(&conversation).unwrap();
        assert_eq!(number, *next, "conversation {conversation} is out of order");
        *next += 1;
        let (least, most) = (seen.values().min().unwrap(), seen.values().max().unwrap());
        widest = widest.max(most - least);
    }
    println!("the conversations were at most {widest} messages apart");
    assert!(widest <= AHEAD_MAX, "one conversation was {widest} messages ahead of another");
    let status = desk.daemon.client.status().await.unwrap();
    assert_eq!((status.counts.failed, status.counts.uncertain), (0, 0));
}

/// Messages a second that a group may get here: few, so that they have to wait.
const GROUP_RATE: usize = 10;

/// Places of one-to-one messages among all deliveries.
async fn beside_a_busy_group(desk: &Desk, group_messages: usize, others: usize) -> Vec<usize> {
    desk.double.wait_for(group_messages + others, DEADLINE).await;
    let (_, _, limited) = desk.double.counts();
    assert_eq!(limited, 0, "the group got more than it may: {:?}", desk.double.refusals());
    let delivered = desk.double.delivered();
    let is_other = |one: &&crate::tim_double::Delivered| one.person.is_some();
    (0..delivered.len()).filter(|place| delivered.get(*place).filter(is_other).is_some()).collect()
}

async fn with_slow_groups(more: &str) -> Desk {
    let settings = Settings { group_messages: GROUP_RATE, ..Settings::default() };
    let desk = Desk::start_with(settings, &format!("group_rate = {GROUP_RATE}"), more).await;
    desk.daemon.client.pause().await.unwrap();
    desk
}

async fn submit_all(desk: &Desk, messages: impl Iterator<Item = (String, String)>) {
    let line = |(msg_id, to): (String, String)| json!({ "message": text(&msg_id, &to) }).to_string();
    let lines: Vec<_> = messages.map(|message| line(message).into_bytes()).collect();
    desk.daemon.client.submit_lines(&lines).await.unwrap();
    desk.daemon.client.resume().await.unwrap();
}

#[tokio::test]
async fn the_topics_of_one_group_share_its_rate_and_keep_nobody_else_waiting() {
    let desk = with_slow_groups("").await;
    let topic = |n: usize| (format!("t-{n}"), format!("group:@TGS#_pier@TOPIC#_{}", n % 40));
    let other = |n: usize| (format!("p-{n}"), format!("user-{n}"));
    submit_all(&desk, (0..80).map(topic).chain((0..40).map(other))).await;
    let places = beside_a_busy_group(&desk, 80, 40).await;
    let last = *places.last().unwrap();
    assert!(last < 40 + 3 * GROUP_RATE, "the last one-to-one message was number {last} of 120");
}

#[tokio::test]
async fn without_an_order_a_full_group_keeps_nobody_else_waiting_and_its_account_open() {
    let desk = with_slow_groups("[delivery]\norder = \"none\"\n").await;
    let crowd = |n: usize| (format!("g-{n}"), "group:pier".to_owned());
    submit_all(&desk, (0..100).map(crowd).chain([("p".to_owned(), "lena".to_owned())])).await;
    desk.daemon.entry_in("p", State::Sent).await;
    let waiting = desk.daemon.entry_in("g-99", State::Deferred).await;
    assert_eq!(waiting.attempts, 0, "{waiting:?}");
    let why = desk.daemon.client.why("g-99").await.unwrap();
    assert_eq!(why.waits_for, Some(WaitsFor::Rate), "{why:?}");
    let status = desk.daemon.client.status().await.unwrap();
    assert_eq!(status.accounts[0].state, AccountState::Open, "{status:?}");
    let places = beside_a_busy_group(&desk, 100, 1).await;
    assert!(places[0] < 3 * GROUP_RATE, "it was number {} of 101", places[0]);
}
