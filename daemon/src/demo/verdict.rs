//! The demo's verdict: what the service took, compared with what was submitted and what the socket says.
//!
//! Owns:  what counts as lost, doubled, out of order or changed; the final table.
//! Never: asks anybody: it gets all the evidence.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use outbox_control::types::State;

use crate::service::{Delivered, doubled, lost, out_of_order};

use super::messages::Message;
use super::screen::wrapped;
use super::script::Incidents;

/// Message ids that a complaint names; more would hide the next complaint.
const NAMED_MAX: usize = 3;
/// Columns of the table's words and numbers, and those left for what is said about them.
const SAID_COLUMNS: usize = 54;

/// How a message ended, as the socket tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) code: i64,
    pub(super) desc: String,
}

/// Everything that the verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// What was to be handed over, in this order.
    pub(super) submitted: &'a [Message],
    /// How many of them the daemon accepted.
    pub(super) accepted: usize,
    /// The messages that the service was told to refuse, sorted.
    pub(super) refused: &'a [String],
    /// What the service took, in order.
    pub(super) ledger: &'a [Delivered],
    /// What the socket says of each message; nothing where it knows none of that msgID.
    pub(super) endings: &'a HashMap<String, Ending>,
    /// The msgIDs of all receipts, each as often as it was listed.
    pub(super) receipts: &'a [String],
}

/// A message that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    msg_id: String,
    code: i64,
    desc: String,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    accepted: usize,
    sent: usize,
    failed: Vec<Failure>,
    attempts: u64,
    doubled: Vec<String>,
    out_of_order: Vec<String>,
    lost: Vec<String>,
    changed: Vec<String>,
    /// What is wrong besides, in words.
    further: Vec<String>,
}

/// Compares the evidence.
pub(super) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let state = |msg_id: &String| evidence.endings.get(msg_id).map(|ending| ending.state);
    let failed: Vec<_> = evidence.submitted.iter().filter_map(|message| failure(evidence, message)).collect();
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in evidence.submitted.iter().filter(|message| state(&message.msg_id) != Some(State::Failed)) {
        expected.entry(message.conversation.clone()).or_default().push(message.msg_id.clone());
    }
    Verdict {
        accepted: evidence.accepted,
        sent: evidence.endings.values().filter(|ending| ending.state == State::Sent).count(),
        failed,
        attempts: evidence.endings.values().map(|ending| u64::from(ending.attempts)).sum(),
        doubled: doubled(evidence.ledger),
        out_of_order: out_of_order(evidence.ledger, &expected),
        lost: lost(evidence.ledger, &expected),
        changed: changed(evidence),
        further: further(evidence),
    }
}

fn failure(evidence: &Evidence<'_>, message: &Message) -> Option<Failure> {
    let ending = evidence.endings.get(&message.msg_id)?;
    (ending.state == State::Failed).then(|| Failure {
        msg_id: message.msg_id.clone(),
        code: ending.code,
        desc: ending.desc.clone(),
    })
}

/// Messages that arrived otherwise than they were submitted: other bytes, or another conversation.
fn changed(evidence: &Evidence<'_>) -> Vec<String> {
    let submitted: HashMap<_, _> =
        evidence.submitted.iter().map(|message| (message.msg_id.as_str(), message)).collect();
    let is_changed = |delivered: &&Delivered| {
        submitted.get(delivered.msg_id.as_str()).is_none_or(|message| {
            message.json.get().as_bytes() != delivered.message
                || message.conversation != delivered.conversation
        })
    };
    evidence.ledger.iter().filter(is_changed).map(|delivered| delivered.msg_id.clone()).collect()
}

/// Everything else that must hold: one outcome for each message, and the right one.
fn further(evidence: &Evidence<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut complain = |what: &str, msg_ids: Vec<String>| {
        if !msg_ids.is_empty() {
            wrong.push(format!("{} {what}: {}", msg_ids.len(), named(&msg_ids)));
        }
    };
    let of = |wanted: &dyn Fn(&str, Option<State>) -> bool| -> Vec<String> {
        let submitted = evidence.submitted.iter().map(|message| &message.msg_id);
        let state = |msg_id: &str| evidence.endings.get(msg_id).map(|ending| ending.state);
        submitted.filter(|msg_id| wanted(msg_id, state(msg_id))).cloned().collect()
    };
    let taken: HashSet<_> = evidence.ledger.iter().map(|delivered| delivered.msg_id.as_str()).collect();
    let is_refused = |msg_id: &str| evidence.refused.iter().any(|refused| refused == msg_id);
    let mut receipts: HashMap<&str, usize> = HashMap::new();
    for msg_id in evidence.receipts {
        *receipts.entry(msg_id.as_str()).or_default() += 1;
    }
    let receipts = |msg_id: &str| receipts.get(msg_id).copied().unwrap_or(0);

    complain("unknown to the socket", of(&|_, state| state.is_none()));
    complain("without an outcome", of(&|_, state| state.is_some_and(|state| !state.is_ended())));
    complain(
        "failed, yet the service took it",
        of(&|id, state| state == Some(State::Failed) && taken.contains(id)),
    );
    complain(
        "failed or ended otherwise, though the service would have taken it",
        of(&|id, state| {
            state.is_some_and(|state| state.is_ended() && state != State::Sent) && !is_refused(id)
        }),
    );
    complain(
        "sent, though the service refused it",
        of(&|id, state| state == Some(State::Sent) && is_refused(id)),
    );
    complain(
        "sent without exactly one receipt",
        of(&|id, state| state == Some(State::Sent) && receipts(id) != 1),
    );
    if evidence.accepted != evidence.submitted.len() {
        wrong.push(format!("{} of {} messages were accepted", evidence.accepted, evidence.submitted.len()));
    }
    wrong
}

fn named(msg_ids: &[String]) -> String {
    let mut text = msg_ids.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if msg_ids.len() > NAMED_MAX {
        let _ = write!(text, " and {} more", msg_ids.len() - NAMED_MAX);
    }
    text
}

impl Verdict {
    /// What is wrong, in words; empty if the run went as it must.
    pub(super) fn complaints(&self) -> Vec<String> {
        let found = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("out of order", &self.out_of_order),
            ("changed on the way", &self.changed),
        ];
        let found = found.into_iter().filter(|(_, msg_ids)| !msg_ids.is_empty());
        let mut complaints: Vec<_> =
            found.map(|(what, msg_ids)| format!("{} {what}: {}", msg_ids.len(), named(msg_ids))).collect();
        complaints.extend(self.further.iter().cloned());
        complaints
    }

    /// The final table, as lines without an end.
    pub(super) fn table(&self, incidents: &Incidents, took: Duration) -> String {
        let mut rows = String::new();
        row(&mut rows, "accepted", self.accepted, "on disk while the service was down");
        row(&mut rows, "sent", self.sent, "each with exactly one receipt");
        row(&mut rows, "failed", self.failed.len(), "refused by the service for their content");
        for failure in &self.failed {
            said(&mut rows, &failure.msg_id);
            said(&mut rows, &format!("  {} {}", failure.code, failure.desc));
        }
        row(&mut rows, "doubled", self.doubled.len(), "taken twice by the service");
        row(&mut rows, "out of order", self.out_of_order.len(), "within their conversation");
        row(&mut rows, "lost", self.lost.len(), "accepted, but never taken");
        row(&mut rows, "changed", self.changed.len(), "compared byte for byte");
        let said = format!("{} answered 503, {} not answered", incidents.busy.count, incidents.lost.count);
        row(&mut rows, "attempts", self.attempts, &said);
        let _ = write!(rows, "  {:<13}{:>7.1}  seconds", "time", took.as_secs_f64());
        rows
    }
}

fn row(rows: &mut String, what: &str, count: impl std::fmt::Display, note: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(rows, "  {what:<13}{count:>7}  {note}");
}

fn said(rows: &mut String, text: &str) {
    let margin = text.len() - text.trim_start().len();
    for line in wrapped(text, SAID_COLUMNS - margin) {
        let _ = writeln!(rows, "{:width$}{line}", "", width = 24 + margin);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::messages::messages;
    use super::super::random::Random;
    use super::*;

    /// A run in which everything went well: 20 messages, of which the service refuses two.
    struct Run {
        submitted: Vec<Message>,
        refused: Vec<String>,
        ledger: Vec<Delivered>,
        endings: HashMap<String, Ending>,
        receipts: Vec<String>,
    }

    fn good() -> Run {
        let submitted = messages(&mut Random::new(4), 20).unwrap();
        let (refused, taken) = submitted.split_at(2);
        let ledger = taken.iter().map(delivered).collect();
        let ending = |message: &Message, state, code| {
            let desc = if code == 0 { "ok" } else { "refused" }.to_owned();
            (message.msg_id.clone(), Ending { state, attempts: 1, code, desc })
        };
        let failed = refused.iter().map(|message| ending(message, State::Failed, 80_001));
        let sent = taken.iter().map(|message| ending(message, State::Sent, 0));
        let mut refused: Vec<_> = refused.iter().map(|message| message.msg_id.clone()).collect();
        refused.sort_unstable();
        Run {
            refused,
            ledger,
            endings: failed.chain(sent).collect(),
            receipts: taken.iter().map(|message| message.msg_id.clone()).collect(),
            submitted,
        }
    }

    fn delivered(message: &Message) -> Delivered {
        Delivered {
            msg_id: message.msg_id.clone(),
            conversation: message.conversation.clone(),
            token: String::new(),
            message: message.json.get().as_bytes().to_vec(),
            at: Instant::now(),
        }
    }

    impl Run {
        fn judge(&self) -> Verdict {
            judge(&Evidence {
                submitted: &self.submitted,
                accepted: self.submitted.len(),
                refused: &self.refused,
                ledger: &self.ledger,
                endings: &self.endings,
                receipts: &self.receipts,
            })
        }

        /// The only complaint that there is.
        fn complaint(&self) -> String {
            let complaints = self.judge().complaints();
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            complaints.concat()
        }

        fn end(&mut self, index: usize, state: State) {
            self.endings.get_mut(&self.submitted[index].msg_id).unwrap().state = state;
        }
    }

    #[test]
    fn a_good_run_has_no_complaint_and_a_table_with_the_two_failures() {
        let run = good();
        let verdict = run.judge();
        assert_eq!(verdict.complaints(), Vec::<String>::new());
        assert_eq!((verdict.sent, verdict.failed.len(), verdict.attempts), (18, 2, 20));
        let table = verdict.table(&Incidents::default(), Duration::from_millis(9_440));
        assert!(table.contains(&run.refused[0]) && table.contains("80001 refused"), "{table}");
        assert!(table.contains("9.4  seconds"), "{table}");
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    }

    #[test]
    fn a_message_that_the_service_never_took_is_lost_whatever_its_receipt_says() {
        let mut run = good();
        let gone = run.ledger.remove(5).msg_id;
        assert_eq!(run.complaint(), format!("1 lost: {gone}"));
    }

    #[test]
    fn a_message_that_the_service_took_twice_is_doubled() {
        let mut run = good();
        let again = run.ledger[3].clone();
        run.ledger.push(again.clone());
        assert_eq!(run.complaint(), format!("1 doubled: {}", again.msg_id));
    }

    #[test]
    fn messages_of_one_conversation_that_changed_places_are_out_of_order() {
        let mut run = good();
        let (first, second) = (0..run.ledger.len())
            .flat_map(|a| (a + 1..run.ledger.len()).map(move |b| (a, b)))
            .find(|(a, b)| run.ledger[*a].conversation == run.ledger[*b].conversation)
            .unwrap();
        run.ledger.swap(first, second);
        assert!(run.complaint().contains(" out of order: "), "{}", run.complaint());
    }

    #[test]
    fn other_bytes_and_unknown_messages_are_changed() {
        let mut run = good();
        run.ledger[0].message.push(b' ');
        assert_eq!(run.complaint(), format!("1 changed on the way: {}", run.ledger[0].msg_id));
    }

    #[test]
    fn every_message_needs_exactly_one_outcome_and_the_right_one() {
        let mut run = good();
        run.end(4, State::Deferred);
        assert!(run.complaint().contains("without an outcome"), "{}", run.complaint());

        let mut run = good();
        run.endings.remove(&run.submitted[4].msg_id);
        assert!(run.complaint().contains("unknown to the socket"), "{}", run.complaint());

        let mut run = good();
        run.receipts.push(run.receipts[0].clone());
        assert!(run.complaint().contains("exactly one receipt"), "{}", run.complaint());

        let mut run = good();
        run.ledger.push(delivered(&run.submitted[0]));
        assert!(run.complaint().contains("failed, yet"), "{}", run.complaint());

        let mut run = good();
        run.ledger.remove(2);
        run.end(4, State::Failed);
        assert!(run.complaint().contains("would have taken it"), "{}", run.complaint());

        let mut run = good();
        run.end(4, State::Cancelled);
        assert!(run.complaint().contains("ended otherwise"), "{}", run.complaint());
    }

    #[test]
    fn a_refused_message_that_counts_as_sent_is_noticed() {
        let mut run = good();
        run.end(0, State::Sent);
        let complaints = run.judge().complaints().join("\n");
        assert!(complaints.contains("1 lost") && complaints.contains("refused it"), "{complaints}");
    }

    #[test]
    fn a_complaint_names_a_few_and_counts_the_rest() {
        let mut run = good();
        run.ledger.clear();
        let complaint = run.complaint();
        assert!(complaint.starts_with("18 lost: ") && complaint.ends_with("and 15 more"), "{complaint}");
    }
}
