//! What the demo's service does with each message, and what it has seen.
//!
//! Owns:  the plan of faults, drawn before the run; the replies; the first example of each fault.
//! Never: lets the order of arrival decide: only the message and the number of its requests count, so that a
//!        seed repeats the faults whatever the timing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::service::{Received, Reply};

use super::messages::{CONVERSATIONS_COUNT, Message};
use super::random::Random;

/// The callback code for a refused content, and the service's words.
const REFUSED_CODE: i64 = 80_001;
const REFUSED_DESC: &str = "the text was refused by content safety";

/// Messages that are refused for their content.
const REFUSED_MAX: usize = 2;
/// Of the messages, one in so many has its answer lost, and one in so many is answered 503 first.
const LOST_ONE_IN: usize = 16;
const BUSY_ONE_IN: usize = 10;
/// Faults cost waits: a long run gets no more of them than a person wants to wait for.
const LOST_MAX: usize = 24;
const BUSY_MAX: usize = 40;

/// What goes wrong with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its first requests are answered 503.
    Busy { times: u32 },
    /// Its first request is taken, and the connection closed without an answer.
    AnswerLost,
    /// It is refused for good.
    Refused,
}

/// What the service does with each message.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    faults: HashMap<String, Fault>,
    delays: HashMap<String, Duration>,
}

impl Plan {
    /// Draws which messages meet which fault. `answer_max` is the longest time that an answer takes.
    ///
    /// With fewer than four messages there is no room for every fault; refusals come first.
    pub(super) fn draw(random: &mut Random, messages: &[Message], answer_max: Duration) -> Self {
        let count = messages.len();
        // The heads of the conversations go well if there are others: the first event is then the link coming up.
        let spared = if count > 2 * CONVERSATIONS_COUNT { CONVERSATIONS_COUNT } else { 0 };
        let mut order: Vec<usize> = (spared..count).collect();
        random.shuffle(&mut order);
        let mut order = order.into_iter().filter_map(|index| messages.get(index));
        let mut faults = HashMap::new();
        // One message at least must arrive, or there would be nothing to see.
        let refused = REFUSED_MAX.min(count.saturating_sub(1));
        let lost = (count / LOST_ONE_IN).clamp(1, LOST_MAX);
        let busy = (count / BUSY_ONE_IN).clamp(1, BUSY_MAX);
        for message in order.by_ref().take(refused) {
            faults.insert(message.msg_id.clone(), Fault::Refused);
        }
        for message in order.by_ref().take(lost) {
            faults.insert(message.msg_id.clone(), Fault::AnswerLost);
        }
        for message in order.take(busy) {
            let times = if random.below(3) == 0 { 2 } else { 1 };
            faults.insert(message.msg_id.clone(), Fault::Busy { times });
        }
        let delay = |random: &mut Random| answer_max.mul_f64(0.25 + random.below(76) as f64 / 100.0);
        let delays = messages.iter().map(|message| (message.msg_id.clone(), delay(random))).collect();
        Self { faults, delays }
    }

    /// The messages that will be refused, sorted.
    pub(super) fn refused(&self) -> Vec<String> {
        let refused = self.faults.iter().filter(|(_, fault)| **fault == Fault::Refused);
        let mut refused: Vec<_> = refused.map(|(msg_id, _)| msg_id.clone()).collect();
        refused.sort_unstable();
        refused
    }
}

/// How often something happened, and to which message first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) first: Option<Example>,
}

/// One request, as an example of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) msg_id: String,
    pub(super) token: String,
}

/// What the service has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Incidents {
    /// Requests answered 503.
    pub(super) busy: Tally,
    /// Messages taken without an answer.
    pub(super) lost: Tally,
    /// Requests under the token of a lost answer; the example is the message of the first lost one.
    pub(super) repeated: Tally,
    /// Requests refused for their content.
    pub(super) refused: Tally,
}

/// The plan at work.
#[derive(Debug)]
pub(super) struct Script {
    plan: Plan,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Requests by message.
    requests: HashMap<String, u32>,
    /// Tokens of lost answers by message.
    lost_tokens: HashMap<String, String>,
    incidents: Incidents,
}

impl Script {
    /// A script that has seen nothing yet.
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, memory: Mutex::default() }
    }

    /// What the service has done so far.
    pub(super) fn incidents(&self) -> Incidents {
        self.memory().incidents.clone()
    }

    /// What is done with a request.
    pub(super) fn reply(&self, received: &Received) -> Reply {
        let reply = self.memory().reply(self.plan.faults.get(&received.msg_id).copied(), received);
        match self.plan.delays.get(&received.msg_id) {
            Some(delay) => Reply::Delayed(*delay, Box::new(reply)),
            None => reply,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Counting cannot leave it half changed.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn reply(&mut self, fault: Option<Fault>, received: &Received) -> Reply {
        let requests = self.requests.entry(received.msg_id.clone()).or_default();
        *requests = requests.saturating_add(1);
        let requests = *requests;
        if self.lost_tokens.get(&received.msg_id) == Some(&received.token) {
            self.repeated(received);
        }
        match fault {
            Some(Fault::Busy { times }) if requests <= times => {
                self.incidents.busy.note(received);
                Reply::status(503)
            }
            Some(Fault::AnswerLost) if requests == 1 => {
                self.incidents.lost.note(received);
                self.lost_tokens.insert(received.msg_id.clone(), received.token.clone());
                Reply::AcceptThenLose
            }
            Some(Fault::Refused) => {
                self.incidents.refused.note(received);
                Reply::Callback { code: REFUSED_CODE, desc: REFUSED_DESC.to_owned() }
            }
            _ => Reply::Accept,
        }
    }

    fn repeated(&mut self, received: &Received) {
        let repeated = &mut self.incidents.repeated;
        let first_lost = self.incidents.lost.first.as_ref();
        if first_lost.is_some_and(|lost| lost.msg_id == received.msg_id) {
            repeated.note(received);
        } else {
            repeated.count += 1;
        }
    }
}

impl Tally {
    fn note(&mut self, received: &Received) {
        self.count += 1;
        self.first.get_or_insert_with(|| Example {
            msg_id: received.msg_id.clone(),
            token: received.token.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::messages::messages;
    use super::*;

    fn plan(seed: u64, count: u32) -> (Plan, Vec<Message>) {
        let mut random = Random::new(seed);
        let messages = messages(&mut random, count).unwrap();
        (Plan::draw(&mut random, &messages, Duration::from_millis(100)), messages)
    }

    fn request(msg_id: &str, token: &str) -> Received {
        Received {
            n: 1,
            at: Instant::now(),
            connection: 1,
            method: "POST".into(),
            target: "/send".into(),
            headers: Vec::new(),
            body: Vec::new(),
            msg_id: msg_id.into(),
            conversation: String::new(),
            token: token.into(),
            attempt: 1,
        }
    }

    fn count(plan: &Plan, wanted: fn(&Fault) -> bool) -> usize {
        plan.faults.values().filter(|fault| wanted(fault)).count()
    }

    #[test]
    fn a_plan_has_every_fault_and_a_seed_repeats_it() {
        for messages in [4, 40, 200, 5_000] {
            let (drawn, _) = plan(1, messages);
            assert_eq!(drawn.refused().len(), 2);
            assert!((1..=LOST_MAX).contains(&count(&drawn, |fault| *fault == Fault::AnswerLost)));
            assert!((1..=BUSY_MAX).contains(&count(&drawn, |fault| matches!(fault, Fault::Busy { .. }))));
            let (again, _) = plan(1, messages);
            assert_eq!((again.faults, again.delays), (drawn.faults, drawn.delays));
        }
        assert_ne!(plan(1, 200).0.faults, plan(2, 200).0.faults);
    }

    #[test]
    fn a_single_message_is_not_refused() {
        assert_eq!(plan(1, 1).0.refused().len(), 0);
        assert_eq!(plan(1, 2).0.refused().len(), 1);
    }

    #[test]
    fn faults_pass_but_a_refusal_stays() {
        let faults =
            [("busy", Fault::Busy { times: 2 }), ("lost", Fault::AnswerLost), ("bad", Fault::Refused)];
        let faults = faults.into_iter().map(|(id, fault)| (id.to_owned(), fault)).collect();
        let script = Script::new(Plan { faults, delays: HashMap::new() });
        let mut replies = Vec::new();
        for (msg_id, token) in [
            ("busy", "a"),
            ("busy", "a"),
            ("busy", "a"),
            ("lost", "b"),
            ("lost", "b"),
            ("bad", "c"),
            ("bad", "d"),
        ] {
            replies.push(match script.reply(&request(msg_id, token)) {
                Reply::Status { status, .. } => status.to_string(),
                Reply::Callback { code, .. } => code.to_string(),
                Reply::AcceptThenLose => "lost".into(),
                Reply::Accept => "taken".into(),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(replies, ["503", "503", "taken", "lost", "taken", "80001", "80001"]);
        let seen = script.incidents();
        let counts = [&seen.busy, &seen.lost, &seen.repeated, &seen.refused].map(|tally| tally.count);
        assert_eq!(counts, [2, 1, 1, 2]);
        assert_eq!(seen.repeated.first, seen.lost.first);
    }

    #[test]
    fn a_repeat_under_another_token_is_not_counted_as_one() {
        let faults = HashMap::from([("lost".to_owned(), Fault::AnswerLost)]);
        let script = Script::new(Plan { faults, delays: HashMap::new() });
        script.reply(&request("lost", "a"));
        script.reply(&request("lost", "b"));
        assert_eq!(script.incidents().repeated, Tally::default());
    }
}
