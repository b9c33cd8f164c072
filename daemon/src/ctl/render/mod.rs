//! Answers as text for people.
//!
//! Owns:  words, columns, colours; what a terminal may be shown.
//! Never: writes anywhere, reads a clock.

mod entry;
mod event;
mod receipt;
mod status;
mod table;
mod text;

use std::path::Path;

use outbox_control::Time;
use outbox_control::types::{
    Account, AttemptOutcome, BatchAnswer, BatchOp, Callback, CancelAnswer, CancelOutcome, CompactAnswer,
    Entry, Link, LinkState, Receipt, ReloadAnswer, State, Status, SubmitAnswer, Why,
};
use serde_json::Value;

pub(super) use event::EventLine;
use outbox_control::client::Told;
pub(super) use text::safe_lines;

/// Columns of a terminal that everything fits.
pub(super) const COLUMNS: u16 = 80;

/// How text is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// The moment that ages are counted from.
    pub(super) now: Time,
    /// Whether a person looks: tables are cut to [`COLUMNS`].
    pub(super) terminal: bool,
    /// Whether to colour.
    pub(super) colour: bool,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Waiting,
    Bad,
    Quiet,
}

impl Style {
    /// The text without anything that a terminal would act on.
    pub(super) fn safe(&self, text: &str) -> String {
        text::safe(text)
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Waiting => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    fn state(&self, state: State) -> String {
        self.paint(state_tone(state), state.as_str())
    }

    /// `2026-11-23T08:00:00.000Z (12s ago)`.
    fn moment(&self, time: Time) -> String {
        format!("{time} ({})", text::relative(self.now, time))
    }
}

const fn state_tone(state: State) -> Tone {
    match state {
        State::Queued | State::Sending | State::Sent => Tone::Good,
        State::Deferred | State::Blocked | State::Held => Tone::Waiting,
        State::Uncertain | State::Failed | State::Expired => Tone::Bad,
        State::Cancelled => Tone::Quiet,
    }
}

/// One screen about the daemon.
pub(super) fn status(style: &Style, socket: &Path, status: &Status) -> String {
    status::screen(style, socket, status)
}

/// A table of accounts.
pub(super) fn accounts(style: &Style, accounts: &[Account]) -> String {
    status::accounts(style, accounts)
}

/// A table of entries.
pub(super) fn entries(style: &Style, entries: &[Entry]) -> String {
    entry::table(style, entries)
}

/// Everything about one entry.
pub(super) fn entry(style: &Style, entry: &Entry) -> String {
    entry::page(style, entry)
}

/// Why an entry is where it is, a sentence a line.
pub(super) fn why(style: &Style, why: &Why) -> String {
    entry::why(style, why)
}

/// A table of receipts.
pub(super) fn receipts(style: &Style, receipts: &[Receipt]) -> String {
    receipt::table(style, receipts)
}

/// Everything about one receipt.
pub(super) fn receipt(style: &Style, receipt: &Receipt) -> String {
    receipt::page(style, receipt)
}

/// What a verb left behind, on a line.
pub(super) fn entry_line(style: &Style, entry: &Entry) -> String {
    let mut line = format!("{}: {}", text::safe(&entry.msg_id), style.state(entry.state));
    if let Some(next) = entry.next_attempt_at {
        line += &format!(", next attempt {}", text::relative(style.now, next));
    }
    if let Some(reason) = &entry.reason {
        line += &format!(" ({})", text::safe(reason));
    }
    line
}

/// What a cancel achieved, on a line.
pub(super) fn cancelled(style: &Style, id: &str, answer: &CancelAnswer) -> String {
    let word = match answer.outcome {
        CancelOutcome::Cancelled => style.paint(Tone::Quiet, "cancelled"),
        CancelOutcome::TooLate => style.paint(Tone::Bad, "too late"),
        CancelOutcome::Pending => style.paint(Tone::Waiting, "pending"),
        CancelOutcome::Uncertain => style.paint(Tone::Bad, "uncertain"),
    };
    let more = match answer.outcome {
        CancelOutcome::Cancelled => String::new(),
        CancelOutcome::TooLate => match answer.data.as_ref().and_then(|data| message_id(data.get())) {
            Some(new) => format!(": it was sent as {}", text::safe(&new)),
            None => ": it was sent".to_owned(),
        },
        CancelOutcome::Pending => ": an attempt is under way; it ends sent or cancelled".to_owned(),
        CancelOutcome::Uncertain => {
            ": it is not sent again, but an earlier attempt may have arrived".to_owned()
        }
    };
    format!("{}: {word}{more}", text::safe(id))
}

/// The end of an attempt, on a line.
pub(super) fn callback_line(style: &Style, id: &str, callback: &Callback) -> String {
    let id = text::safe(id);
    if callback.code == 0 {
        let new = callback.data.as_ref().and_then(|data| message_id(data.get()));
        let new = new.map(|new| format!(" as {}", text::safe(&new))).unwrap_or_default();
        return format!("{id}: {}{new}", style.paint(Tone::Good, "sent"));
    }
    let word = style.paint(Tone::Bad, "not sent");
    format!("{id}: {word}: {}", text::error(callback.code, &callback.desc))
}

/// What became of a submit, on a line.
pub(super) fn submit_line(style: &Style, number: u64, answer: &SubmitAnswer) -> String {
    match answer {
        SubmitAnswer::Accepted(submitted) => {
            let id = text::safe(&submitted.msg_id);
            let state = style.state(submitted.state);
            let mut line = if submitted.duplicate {
                format!("{id}: known already, {state}")
            } else {
                format!("{id}: {state}, number {} in {}", submitted.seq, text::safe(&submitted.conversation))
            };
            if let Some(hint) = &submitted.hint {
                line += &format!("\n  {}", text::safe(hint));
            }
            line
        }
        SubmitAnswer::Refused(problem) => {
            let word = style.paint(Tone::Bad, problem.code.as_str());
            let about =
                problem.msg_id.as_deref().map(|id| format!(" ({})", text::safe(id))).unwrap_or_default();
            let detail = text::safe(&problem.detail);
            format!("line {number}{about}: {word}: {detail}\n  {}", text::safe(&problem.hint))
        }
    }
}

/// Whether attempts are made.
pub(super) fn paused(paused: bool) -> String {
    if paused {
        "Paused: no new attempts; messages are still accepted.".to_owned()
    } else {
        "Running: attempts are made.".to_owned()
    }
}

/// An event, on a line.
pub(super) fn event(style: &Style, told: &Told) -> String {
    event::line(style, told)
}

/// How many messages a batch is about.
pub(super) fn count_of(op: BatchOp, matched: u64) -> String {
    format!("{}: {}", op.as_str(), text::count(matched, "message", "messages"))
}

/// What a batch did.
pub(super) fn batched(op: BatchOp, answer: &BatchAnswer) -> String {
    let mut line = format!("{}, {} done", count_of(op, answer.matched), answer.done);
    if answer.pending > 0 {
        line += &format!(", {} pending (cancelled as soon as the attempt under way ends)", answer.pending);
    }
    if answer.skipped > 0 {
        line += &format!(", {} skipped (moved on, or not in a state for it)", answer.skipped);
    }
    line
}

/// What a reload changed.
pub(super) fn reloaded(answer: &ReloadAnswer) -> String {
    let mut lines = Vec::new();
    if answer.changed.is_empty() && answer.needs_restart.is_empty() {
        lines.push("Nothing changed.".to_owned());
    }
    if !answer.changed.is_empty() {
        lines.push(format!("Changed: {}", text::safe(&answer.changed.join(", "))));
    }
    if !answer.needs_restart.is_empty() {
        let names = text::safe(&answer.needs_restart.join(", "));
        lines.push(format!("As before until outboxd is started again: {names}"));
    }
    lines.join("\n")
}

/// What a flush did.
pub(super) fn flushed(due: u64) -> String {
    format!("{} now due.", text::count(due, "message is", "messages are"))
}

/// What a compact gave back.
pub(super) fn compacted(answer: &CompactAnswer) -> String {
    let (before, after) = (text::bytes(answer.bytes_before), text::bytes(answer.bytes_after));
    if answer.bytes_after >= answer.bytes_before {
        return format!("There was nothing to give back: the store takes {after}.");
    }
    format!("The store took {before} and takes {after} now.")
}

/// The link on a line.
pub(super) fn link(style: &Style, link: &Link) -> String {
    let tone = match link.state {
        LinkState::Up => Tone::Good,
        LinkState::Down => Tone::Bad,
        LinkState::Unknown => Tone::Waiting,
    };
    let mut line = style.paint(tone, link.state.as_str());
    line += &format!(" for {}", text::age(style.now, link.since));
    if !link.source.is_empty() {
        line += &format!(" (says: {})", text::safe(&link.source));
    }
    line
}

const fn outcome_is_good(outcome: AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Sent | AttemptOutcome::Duplicate)
}

/// The id that a message names itself by, in either of its forms.
fn message_id(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let id = message.get("msgID").or_else(|| message.get("message_msg_id"))?;
    id.as_str().filter(|id| !id.is_empty()).map(ToOwned::to_owned)
}
