//! The run itself: submit into the outage, watch, let the service come up, watch, collect the evidence.
//!
//! Owns:  the order of events, what is shown of them, every wait and its limit.
//! Never: looks into the daemon: everything comes over the socket, or from the service's own record.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use outbox_control::client::{ListQuery, SentQuery};
use outbox_control::types::{
    AttemptOutcome, Counts, Entry, LinkState, SendError, State, Status, Submit, SubmitAnswer, WaitsFor,
};
use outbox_control::{Client, ClientError};
use tokio::time::Instant;

use crate::service::Service;

use super::messages::Message;
use super::screen::{Progress, Screen, Tone};
use super::script::{Example, Incidents, Script};
use super::verdict::{Ending, Evidence, Verdict, judge};
use super::{DemoError, Setting};

/// How often the socket is asked: often enough to catch a message between two attempts.
const POLL: Duration = Duration::from_millis(40);
/// Messages handed over in one request: a few, as an app coming to life would.
const SUBMIT_AT_ONCE: usize = 25;
/// Look-ups at a time, far below the socket's limit of connections.
const LOOK_UPS: usize = 16;
/// Receipts of a page: the most that the socket gives.
const RECEIPTS_PAGE: u32 = 1000;
/// What the app's own send ended with: the SDK's code for "not connected".
const FIRST_FAILURE: i64 = 9508;
/// Digits of a send token that are shown: enough to compare by eye.
const TOKEN_SHOWN: usize = 12;

/// A run.
pub(super) struct Story<'a> {
    pub(super) client: Client,
    pub(super) screen: &'a mut Screen,
    pub(super) messages: &'a [Message],
    pub(super) script: Arc<Script>,
    /// Where the service will listen.
    pub(super) address: SocketAddr,
    /// How the service behaves.
    pub(super) setting: Setting,
    /// When the run must be over.
    pub(super) deadline: Instant,
    /// The same as a length, for the error.
    pub(super) limit: Duration,
}

/// Which kinds of events were shown.
type Shown = HashSet<Kind>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    LinkUp,
    Sent,
    Busy,
    Lost,
    Repeated,
    Failed,
}

impl Story<'_> {
    /// Runs everything. `refused` are the messages that the service will refuse, sorted.
    pub(super) async fn tell(&mut self, refused: &[String]) -> Result<Verdict, DemoError> {
        let accepted = self.submit().await?;
        let example = self.show_outage().await?;
        self.wait_out(&example).await?;
        let script = Arc::clone(&self.script);
        let mut service =
            Service::start_with(self.address, self.setting.dedup, move |received| script.reply(received))
                .await
                .map_err(DemoError::Service)?;
        self.screen.event(
            Tone::Good,
            "service up",
            &["It listens now; the daemon has to find out by itself."],
        );
        self.drain().await?;
        let endings = self.endings().await?;
        let receipts = self.receipts().await?;
        let verdict = judge(&Evidence {
            submitted: self.messages,
            accepted,
            refused,
            ledger: &service.ledger(),
            endings: &endings,
            receipts: &receipts,
        });
        service.stop().await;
        Ok(verdict)
    }

    /// Hands everything over, and returns how many were accepted.
    async fn submit(&mut self) -> Result<usize, DemoError> {
        let messages = self.messages;
        let all = messages.len() as u64;
        let mut accepted = 0;
        for few in messages.chunks(SUBMIT_AT_ONCE) {
            let submits: Vec<_> = few.iter().map(submit_of).collect();
            let client = self.client.clone();
            let answers = async move { client.submit_many(&submits).await.map_err(|error| error.source) };
            let answers = self.call("submitting", answers).await?;
            for (message, answer) in few.iter().zip(answers) {
                let submitted = match answer {
                    SubmitAnswer::Accepted(submitted) => submitted,
                    SubmitAnswer::Refused(problem) => {
                        let why = format!("{} {}", problem.detail, problem.hint);
                        return Err(DemoError::NotAccepted { msg_id: message.msg_id.clone(), why });
                    }
                };
                if accepted == 0 {
                    let said = format!(
                        "On disk as number {}, for {}; {} more follow.",
                        submitted.seq,
                        submitted.conversation,
                        all.saturating_sub(1)
                    );
                    self.screen.event(Tone::Plain, "submitted", &[&submitted.msg_id, &said]);
                }
                accepted += 1;
            }
            self.screen.progress(Progress { sent: 0, failed: 0, all });
        }
        Ok(accepted)
    }

    /// Waits until the daemon knows that nobody is reached, and shows what it says of two messages. Returns
    /// the first of them.
    async fn show_outage(&mut self) -> Result<String, DemoError> {
        let what = "waiting until the daemon notices the outage";
        let status = loop {
            let status = self.status(what).await?;
            if status.link.state == LinkState::Down {
                break status;
            }
            self.pause(what).await?;
        };
        let said = format!(
            "All {} are accepted, nobody is reached: {} wait for the link, {} behind another message.",
            waiting(&status.counts),
            status.counts.queued + status.counts.deferred,
            status.counts.blocked
        );
        self.screen.event(Tone::Trouble, "link down", &[&said]);
        // The first that was handed over is the head of its conversation.
        let Some(head) = self.messages.first() else { return Ok(String::new()) };
        self.show_why(&head.msg_id).await?;
        let query = ListQuery {
            states: vec![State::Blocked],
            conversation: Some(head.conversation.clone()),
            limit: Some(1),
            ..ListQuery::default()
        };
        let page = self.call("listing messages", self.client.messages(&query)).await?;
        if let Some(behind) = page.messages.first() {
            self.show_why(&behind.msg_id).await?;
        }
        Ok(head.msg_id.clone())
    }

    async fn show_why(&mut self, msg_id: &str) -> Result<(), DemoError> {
        let why = self.call("asking why", self.client.why(msg_id)).await?;
        let waits_for = why.waits_for.map_or("nothing", WaitsFor::as_str);
        let first = format!("{}, waits for: {waits_for}", why.state);
        let hint = why.hint.unwrap_or_default();
        self.screen.event(Tone::Plain, "why", &[msg_id, &first, &format!("{} {hint}", why.detail)]);
        Ok(())
    }

    /// Lets the outage last, and shows that it costs no attempt.
    async fn wait_out(&mut self, example: &str) -> Result<(), DemoError> {
        let what = "waiting for the end of the outage";
        let end = Instant::now() + self.setting.outage;
        while Instant::now() < end {
            self.pause(what).await?;
        }
        let why = self.call(what, self.client.why(example)).await?;
        let entry = self.entry(example).await?;
        let next =
            why.next_attempt_at.map(|at| format!(" The next probe comes at {at}.")).unwrap_or_default();
        let said = format!("Attempts counted so far: {}.{next}", entry.attempts);
        self.screen.event(Tone::Trouble, "still down", &[example, &said]);
        Ok(())
    }

    /// Watches until nothing waits any more.
    async fn drain(&mut self) -> Result<(), DemoError> {
        let what = "waiting until every message has its outcome";
        let all = self.messages.len() as u64;
        let mut shown = Shown::new();
        loop {
            let status = self.status(what).await?;
            let failed = status.counts.failed + status.counts.expired;
            self.show_news(&status, &mut shown).await?;
            self.screen.progress(Progress { sent: status.sent_total, failed, all });
            if waiting(&status.counts) == 0 && status.sent_total + failed >= all {
                break;
            }
            self.pause(what).await?;
        }
        // What happened in the last moment, too.
        let status = self.status(what).await?;
        self.show_news(&status, &mut shown).await
    }

    /// Shows the first event of each kind, once the socket tells of it as well.
    async fn show_news(&mut self, status: &Status, shown: &mut Shown) -> Result<(), DemoError> {
        if status.link.state == LinkState::Up && shown.insert(Kind::LinkUp) {
            let said = format!(
                "Known by {}: somebody answers. Sending begins, few at a time at first.",
                status.link.source
            );
            self.screen.event(Tone::Good, "link up", &[&said]);
        }
        if status.sent_total > 0 && !shown.contains(&Kind::Sent) {
            self.show_sent(shown).await?;
        }
        let Incidents { busy, lost, repeated, refused } = self.script.incidents();
        let examples =
            [(Kind::Busy, busy), (Kind::Lost, lost), (Kind::Repeated, repeated), (Kind::Failed, refused)];
        for (kind, tally) in examples {
            // A repeat only makes sense to somebody who has seen what was lost.
            let too_early = kind == Kind::Repeated && !shown.contains(&Kind::Lost);
            let Some(example) = tally.first.filter(|_| !shown.contains(&kind) && !too_early) else {
                continue;
            };
            let entry = self.entry(&example.msg_id).await?;
            if let Some((tone, word, said)) = told(kind, &entry, &example) {
                self.screen.event(tone, word, &[&example.msg_id, &said]);
                shown.insert(kind);
            }
        }
        Ok(())
    }

    async fn show_sent(&mut self, shown: &mut Shown) -> Result<(), DemoError> {
        let query = SentQuery { since: Some(0), limit: Some(1), new_msg_id: None };
        let page = self.call("reading receipts", self.client.sent(&query)).await?;
        let Some(receipt) = page.sent.into_iter().next() else { return Ok(()) };
        let said = format!(
            "The original is gone; its receipt names the new message, {}.",
            receipt.new_msg_id.unwrap_or_default()
        );
        self.screen.event(Tone::Good, "sent", &[&receipt.msg_id, &said]);
        shown.insert(Kind::Sent);
        Ok(())
    }

    // --- evidence ------------------------------------------------------------------------------------

    /// Looks every message up; one that the socket does not know is left out.
    async fn endings(&self) -> Result<HashMap<String, Ending>, DemoError> {
        let look_up = |message: &Message| {
            let (client, msg_id) = (self.client.clone(), message.msg_id.clone());
            async move {
                match client.message(&msg_id).await {
                    Ok(entry) => Ok(Some((msg_id, ending(entry)))),
                    Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        let looked_up: Vec<_> = self.messages.iter().map(look_up).collect();
        let found = stream::iter(looked_up).buffer_unordered(LOOK_UPS).try_collect::<Vec<_>>();
        Ok(self.call("looking every message up", found).await?.into_iter().flatten().collect())
    }

    /// The msgIDs of all receipts of sent messages.
    async fn receipts(&self) -> Result<Vec<String>, DemoError> {
        let mut msg_ids = Vec::new();
        let mut since = 0;
        loop {
            let query = SentQuery { since: Some(since), limit: Some(RECEIPTS_PAGE), new_msg_id: None };
            let page = self.call("reading receipts", self.client.sent(&query)).await?;
            // A page that leads nowhere is the last one; so is any page of a daemon that repeats itself.
            if page.sent.is_empty() || page.next <= since {
                return Ok(msg_ids);
            }
            since = page.next;
            let sent = page.sent.into_iter().filter(|receipt| receipt.state == State::Sent);
            msg_ids.extend(sent.map(|receipt| receipt.msg_id));
        }
    }

    // --- waiting -------------------------------------------------------------------------------------

    async fn status(&self, what: &'static str) -> Result<Status, DemoError> {
        self.call(what, self.client.status()).await
    }

    async fn entry(&self, msg_id: &str) -> Result<Entry, DemoError> {
        self.call("looking a message up", self.client.message(msg_id)).await
    }

    /// Waits for an answer, at most until the deadline.
    async fn call<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, DemoError> {
        match tokio::time::timeout_at(self.deadline, answer).await {
            Ok(answer) => answer.map_err(|source| DemoError::Call { what, source }),
            Err(_) => Err(self.too_slow(what)),
        }
    }

    /// Waits a moment before the next look, unless the deadline has passed.
    async fn pause(&self, what: &'static str) -> Result<(), DemoError> {
        if Instant::now() >= self.deadline {
            return Err(self.too_slow(what));
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    const fn too_slow(&self, what: &'static str) -> DemoError {
        DemoError::TooSlow { what, limit_s: self.limit.as_secs() }
    }
}

fn submit_of(message: &Message) -> Submit {
    let error = SendError { code: FIRST_FAILURE, desc: "not connected".to_owned() };
    Submit { error: Some(error), ..Submit::new(message.json.clone()) }
}

fn ending(entry: Entry) -> Ending {
    let (code, desc) = entry.last_error.map(|error| (error.code, error.desc)).unwrap_or_default();
    Ending { state: entry.state, attempts: entry.attempts, code, desc }
}

/// Entries that have no outcome yet.
const fn waiting(counts: &Counts) -> u64 {
    let Counts { queued, deferred, blocked, held, sending, uncertain, failed: _, expired: _ } = *counts;
    queued + deferred + blocked + held + sending + uncertain
}

/// What is said of an event, once the entry shows it.
fn told(kind: Kind, entry: &Entry, example: &Example) -> Option<(Tone, &'static str, String)> {
    let token: String = example.token.chars().take(TOKEN_SHOWN).collect();
    let ended = |outcome| entry.history.iter().find(|attempt| attempt.outcome == outcome);
    match kind {
        Kind::Busy => {
            let attempt = ended(AttemptOutcome::Retry)?;
            let number = attempt.attempt;
            let next = match entry.next_attempt_at {
                Some(at) => format!("Deferred; the next one comes at {at}."),
                None => format!("It is {} by now.", entry.state),
            };
            Some((Tone::Trouble, "503", format!("Attempt {number} was answered {}. {next}", attempt.code)))
        }
        Kind::Lost => {
            let attempt = ended(AttemptOutcome::MaybeReached)?;
            let said = format!(
                "The service took it, but no answer came to attempt {} (token {token}…). It may have arrived, \
                 so only the same token may be sent again.",
                attempt.attempt
            );
            Some((Tone::Trouble, "no answer", said))
        }
        Kind::Repeated => (entry.state == State::Sent).then(|| {
            let said = format!(
                "Sent again with the same token {token}…; the service knew it, gave its first answer and took \
                 nothing twice."
            );
            (Tone::Good, "repeated", said)
        }),
        Kind::Failed => {
            let error = entry.last_error.as_ref().filter(|_| entry.state == State::Failed)?;
            let said = format!(
                "{} {} ({}). Trying again would not help: failed for good, kept for a person to see. Its \
                 conversation goes on.",
                error.code, error.desc, error.class
            );
            Some((Tone::Bad, "failed", said))
        }
        Kind::LinkUp | Kind::Sent => None,
    }
}
