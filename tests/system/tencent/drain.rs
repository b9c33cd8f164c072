//! A large backlog at the service's own limits: none is exceeded, nobody starves, the order holds.
//!
//! Owns:  6,000 messages to 50 conversations of both kinds.
//! Never: asks how fast it was, beyond a deadline that only a standstill would miss.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Desk, text, words};

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
