//! Entries as text: the list, the page of one, and why it waits.
//!
//! Owns:  their columns and words.
//! Never: shows a payload.

use outbox_control::types::{AttemptRecord, DEFAULT_ACCOUNT, Entry, ResolvedBy, State, Why};

use super::table::{Fit, Line, table as plain_table};
use super::text::{Fields, age, bytes, columns, error, relative, safe, sentence, short, wrap};
use super::{Style, Tone, outcome_is_good, state_tone};

/// Ids up to this many columns leave room for everything on a terminal.
const SHORT_ID_COLUMNS: usize = 14;

/// Ids up to this many columns stay whole on a terminal, so that they can be copied: those of Tencent IM do.
const ID_COLUMNS: usize = 40;

/// Columns of words beside the names of the fields.
const WORDS_COLUMNS: usize = 64;

/// A table of entries, one a line. On a terminal a long id is more important than the other columns.
pub(super) fn table(style: &Style, entries: &[Entry]) -> String {
    let long = |entry: &Entry| columns(&entry.msg_id) > SHORT_ID_COLUMNS;
    if style.terminal && entries.iter().any(long) { narrow(style, entries) } else { wide(style, entries) }
}

fn wide(style: &Style, entries: &[Entry]) -> String {
    let headings = [
        ("STATE", Fit::Whole),
        ("MSGID", Fit::Whole),
        ("CONVERSATION", Fit::Cut),
        ("AGE", Fit::Whole),
        ("TRIES", Fit::Whole),
        ("NEXT", Fit::Whole),
        ("LAST ERROR", Fit::Cut),
    ];
    let cells = |entry: &Entry| {
        vec![
            entry.state.to_string(),
            safe(&entry.msg_id),
            lane(entry),
            age(style.now, entry.submitted_at),
            entry.attempts.to_string(),
            next(style, entry),
            entry.last_error.as_ref().map(|last| error(last.code, &last.desc)).unwrap_or_default(),
        ]
    };
    plain_table(style, &headings, &lines(entries, cells))
}

fn narrow(style: &Style, entries: &[Entry]) -> String {
    let headings = [
        ("STATE", Fit::Whole),
        ("MSGID", Fit::Whole),
        ("NEXT", Fit::Whole),
        ("CODE", Fit::Whole),
        ("CONVERSATION", Fit::Cut),
    ];
    let cells = |entry: &Entry| {
        vec![
            entry.state.to_string(),
            short(&entry.msg_id, ID_COLUMNS),
            next(style, entry),
            entry.last_error.as_ref().map(|last| last.code.to_string()).unwrap_or_default(),
            lane(entry),
        ]
    };
    plain_table(style, &headings, &lines(entries, cells))
}

fn lines(entries: &[Entry], cells: impl Fn(&Entry) -> Vec<String>) -> Vec<Line> {
    entries.iter().map(|entry| Line { tone: state_tone(entry.state), cells: cells(entry) }).collect()
}

fn next(style: &Style, entry: &Entry) -> String {
    entry.next_attempt_at.map(|next| relative(style.now, next)).unwrap_or_default()
}

/// The conversation, with its account where that is not the usual one.
fn lane(entry: &Entry) -> String {
    let conversation = safe(&entry.conversation);
    match entry.account.as_str() {
        DEFAULT_ACCOUNT | "" => conversation,
        account => format!("{conversation} ({})", safe(account)),
    }
}

/// Everything about one entry.
pub(super) fn page(style: &Style, entry: &Entry) -> String {
    let mut fields = Fields::default();
    fields.add("msgID", safe(&entry.msg_id));
    fields.add_some("id", entry.id.as_deref().map(safe));
    fields.add("state", state_words(style, entry));
    fields.add_some("reason", entry.reason.as_deref().map(safe));
    fields.add("account", safe(&entry.account));
    fields.add("conversation", safe(&entry.conversation));
    fields.add("seq", entry.seq.to_string());
    fields.add("submitted", style.moment(entry.submitted_at));
    fields.add_some("not before", entry.not_before.map(|time| style.moment(time)));
    fields.add_some("next attempt", entry.next_attempt_at.map(|time| style.moment(time)));
    fields.add_some("expires", entry.expires_at.map(|time| style.moment(time)));
    fields.add("attempts", format!("{} (started {} times)", entry.attempts, entry.starts));
    fields.add_some("unresolved", entry.unresolved_since.map(|time| format!("since {}", style.moment(time))));
    fields.add("bytes", bytes(entry.bytes));
    if entry.online_user_only {
        fields.add("online only", "yes");
    }
    if let Some(last) = &entry.last_error {
        let class = safe(&last.class);
        fields.add("last error", format!("{} {class}, {}", last.code, style.moment(last.at)));
        fields.add_some("", Some(safe(&last.desc)).filter(|desc| !desc.is_empty()));
        if let (Some(name), Some(meaning)) = (&last.name, &last.meaning) {
            fields.add_lines("meaning", wrap(&safe(&format!("{name}: {meaning}")), WORDS_COLUMNS));
        }
        if let Some(cure) = &last.cure {
            fields.add_lines("cure", wrap(&safe(cure), WORDS_COLUMNS));
        }
    }
    fields.add_some("new msgID", entry.new_msg_id.as_deref().map(safe));
    fields.add_some("sent", entry.sent_at.map(|time| style.moment(time)));
    let mut text = fields.finish();
    if !entry.history.is_empty() {
        text += "\n";
        text += &history(style, &entry.history);
    }
    text
}

/// The state, and everything that limits it.
fn state_words(style: &Style, entry: &Entry) -> String {
    let mut words = style.state(entry.state);
    if let Some(head) = &entry.blocked_by {
        words += &format!(" behind {head}");
    }
    let mut add = |applies: bool, more: &str| {
        if applies {
            words += more;
        }
    };
    add(entry.cancel_requested, ", cancelled as soon as its attempt ends");
    add(entry.may_have_arrived, ", but it may have arrived");
    add(entry.possible_duplicate, ", possibly a duplicate");
    add(entry.resolved_by == Some(ResolvedBy::Person), ", closed by a person");
    words
}

fn history(style: &Style, records: &[AttemptRecord]) -> String {
    let lines: Vec<Line> = records
        .iter()
        .map(|record| Line {
            tone: if outcome_is_good(record.outcome) { Tone::Good } else { Tone::Bad },
            cells: vec![
                record.outcome.to_string(),
                record.attempt.to_string(),
                record.at.to_string(),
                format!("{} ms", record.took_ms),
                error(record.code, &record.desc),
            ],
        })
        .collect();
    let headings = [
        ("OUTCOME", Fit::Whole),
        ("ATTEMPT", Fit::Whole),
        ("AT", Fit::Whole),
        ("TOOK", Fit::Whole),
        ("ANSWER", Fit::Cut),
    ];
    plain_table(style, &headings, &lines)
}

/// Why an entry is where it is, a sentence a line.
pub(super) fn why(style: &Style, why: &Why) -> String {
    let mut lines = vec![sentence(&why.detail)];
    let since = relative(style.now, why.since);
    let time = age(style.now, why.since);
    let state = style.state(why.state);
    lines.push(match (why.waits_for, why.next_attempt_at) {
        (None, _) if why.state == State::Sent => format!("It was {state} {since}."),
        (None, _) => format!("It ended {state} {since}; nothing more happens by itself."),
        (Some(what), None) => format!("It has been {state} for {time}, and waits for: {what}."),
        (Some(what), Some(next)) => {
            let next = style.moment(next);
            format!("It has been {state} for {time}, and waits for: {what}.\nThe next attempt: {next}.")
        }
    });
    if let Some(head) = &why.blocked_by {
        lines.push(format!("The head of its lane is {}.", safe(head)));
    }
    lines.extend(why.hint.as_deref().map(sentence));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use outbox_control::Time;
    use outbox_control::types::{AttemptOutcome, LastError, WaitsFor};

    use super::super::COLUMNS;
    use super::*;

    const NOW_MS: i64 = 1_795_420_800_000;

    fn style() -> Style {
        Style { now: Time::from_ms(NOW_MS), terminal: true, colour: false }
    }

    fn entry() -> Entry {
        let text = serde_json::json!({
            "msgID": "144115225971632901-1731500001-2911436684", "state": "deferred", "account": "default",
            "conversation": "c2c:ferry_desk", "seq": 7, "attempts": 3, "starts": 4, "bytes": 1536,
            "submittedAt": Time::from_ms(NOW_MS - 3_600_000),
            "nextAttemptAt": Time::from_ms(NOW_MS + 180_000),
        });
        let mut entry: Entry = serde_json::from_value(text).unwrap();
        let desc = "the service is overloaded, come back later".to_owned();
        entry.last_error = Some(LastError {
            code: 60002,
            desc: desc.clone(),
            class: "transient_server".into(),
            at: style().now,
            name: Some("ERR_SVR_COMM_X".into()),
            meaning: Some("overloaded".into()),
            cure: Some("nothing: it is sent again after a while".into()),
        });
        let outcome = AttemptOutcome::MaybeReached;
        entry.history =
            vec![AttemptRecord { attempt: 3, at: style().now, outcome, code: 60002, desc, took_ms: 1250 }];
        entry
    }

    fn fits(text: &str) -> bool {
        text.lines().all(|line| columns(&line.replace('…', ".")) <= usize::from(COLUMNS))
    }

    #[test]
    fn a_list_keeps_long_ids_whole_on_a_terminal() {
        let text = table(&style(), &[entry(), Entry { account: "bot-7".into(), ..entry() }]);
        assert!(fits(&text), "{text}");
        for part in ["deferred", "144115225971632901-1731500001-2911436684", "in 3m", "60002", "c2c:"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        let id = "重试消息".repeat(12);
        let text = table(&style(), &[Entry { msg_id: id.clone(), ..entry() }]);
        assert!(fits(&text) && !text.contains(&id), "{text}");
    }

    #[test]
    fn a_list_of_short_ids_shows_everything() {
        let text = table(&style(), &[Entry { msg_id: "kiosk-7-000123".into(), ..entry() }]);
        assert!(fits(&text), "{text}");
        for part in ["kiosk-7-000123", "c2c:", "60m", "in 3m", "60002"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        let file = table(&Style { terminal: false, ..style() }, &[entry()]);
        assert!(file.contains("60002 the service is overloaded, come back later"), "{file}");
    }

    #[test]
    fn a_page_keeps_the_whole_id_and_fits_the_terminal() {
        let text = page(&style(), &entry());
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{text}");
        assert!(text.starts_with("msgID:        144115225971632901-1731500001-2911436684\n"), "{text}");
        assert!(text.contains("next attempt: 2026-11-23T08:03:00.000Z (in 3m)"), "{text}");
        assert!(
            text.contains("maybeReached  3        2026-11-23T08:00:00.000Z  1250 ms  60002 the"),
            "{text}"
        );
    }

    #[test]
    fn a_page_says_what_is_not_certain() {
        let text = page(&style(), &Entry { may_have_arrived: true, state: State::Cancelled, ..entry() });
        assert!(text.contains("cancelled, but it may have arrived"), "{text}");
    }

    #[test]
    fn why_answers_in_sentences() {
        let answer = Why {
            state: State::Deferred,
            waits_for: Some(WaitsFor::Time),
            blocked_by: None,
            since: Time::from_ms(NOW_MS - 12_000),
            next_attempt_at: Some(Time::from_ms(NOW_MS + 180_000)),
            detail: "the service was overloaded".into(),
            hint: Some("`outboxctl resend` tries it now".into()),
        };
        let expected = "the service was overloaded.\n\
            It has been deferred for 12s, and waits for: time.\n\
            The next attempt: 2026-11-23T08:03:00.000Z (in 3m).\n\
            `outboxctl resend` tries it now.";
        assert_eq!(why(&style(), &answer), expected);
        let ended =
            Why { state: State::Failed, waits_for: None, next_attempt_at: None, hint: None, ..answer };
        assert!(why(&style(), &ended).ends_with("It ended failed 12s ago; nothing more happens by itself."));
    }
}
