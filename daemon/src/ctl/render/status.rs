//! The daemon on one screen, and the table of accounts.
//!
//! Owns:  which numbers stand on which line.
//! Never: more than one screen: accounts that may send are only counted.

use std::path::Path;

use outbox_control::types::{Account, AccountState, Counts, Pace, SpoolStatus, State, Status};
use serde_json::Value;

use super::table::{Fit, Line, table};
use super::text::{Fields, age, bytes, count, length, relative, safe, sentence, thousands, wrap};
use super::{COLUMNS, Style, Tone, link, state_tone};

/// Accounts shown on the screen; `account list` has up to 100.
const ACCOUNTS_SHOWN: usize = 5;

/// Columns that a hint may have beside the names of the fields.
const HINT_COLUMNS: usize = 64;

/// Fields of the transport that are shown, at most: what it tells about itself is not bounded.
const TRANSPORT_FIELDS: usize = 4;

/// One screen.
pub(super) fn screen(style: &Style, socket: &Path, status: &Status) -> String {
    let mut fields = Fields::default();
    let started = relative(style.now, status.started_at);
    fields.add("daemon", format!("outboxd {}, pid {}, started {started}", safe(&status.version), status.pid));
    fields.add("socket", safe(&socket.display().to_string()));
    fields.add("attempts", attempts(style, status));
    fields.add("link", link(style, &status.link));
    fields.add_some("pace", pace(&status.pace));
    fields.add("transport", transport(status));
    let accounts = if status.accounts.is_empty() && status.spool.failure.is_some() {
        vec!["not known now".to_owned()]
    } else {
        account_lines(style, &status.accounts)
    };
    for (index, line) in accounts.into_iter().enumerate() {
        fields.add(if index == 0 { "accounts" } else { "" }, line);
    }
    fields.add("waiting", states(style, &waiting(&status.counts)));
    fields.add("ended", states(style, &ended(&status.counts)));
    fields.add_some("oldest", status.oldest_waiting_ms.map(|ms| format!("waits for {}", length(ms))));
    fields.add("sent", sent(style, status));
    spool(style, &status.spool, &mut fields);
    fields.add_lines("damage", damage(style, &status.spool));
    fields.finish()
}

/// How many, and when the last one was. With a damaged store that time can get lost.
fn sent(style: &Style, status: &Status) -> String {
    let all = format!("{} in all", thousands(status.sent_total));
    match status.last_sent_at.filter(|at| at.as_ms() > 0) {
        Some(at) => format!("{all}, the last {}", relative(style.now, at)),
        None if status.sent_total > 0 => format!("{all}, the last at an unknown time"),
        None => all,
    }
}

fn attempts(style: &Style, status: &Status) -> String {
    if status.spool.failure.is_some() {
        style.paint(Tone::Bad, "none: the store takes no changes")
    } else if status.paused {
        style.paint(Tone::Bad, "paused") + " (end it with `outboxctl resume`)"
    } else {
        style.paint(Tone::Good, "running")
    }
}

/// How fast messages leave; nothing while none does.
fn pace(pace: &Pace) -> Option<String> {
    let rate = pace.per_second.filter(|rate| *rate > 0.0)?;
    let window = pace.window.map(|window| format!(" of {}", thousands(window)));
    let under_way = format!("{}{} under way", thousands(pace.in_flight), window.unwrap_or_default());
    let gone = pace.backlog_gone_in_ms.filter(|ms| *ms > 0);
    let gone = gone.map(|ms| format!(", all gone in about {}", length(ms))).unwrap_or_default();
    Some(format!("{rate:.1} a second, {under_way}{gone}"))
}

fn transport(status: &Status) -> String {
    let mut text = safe(&status.transport.kind);
    for (name, value) in status.transport.more.iter().take(TRANSPORT_FIELDS) {
        let value = match value {
            Value::String(value) => safe(value),
            Value::Object(_) | Value::Array(_) | Value::Null => continue,
            plain => plain.to_string(),
        };
        text += &format!(", {} {value}", safe(name));
    }
    text
}

fn account_lines(style: &Style, accounts: &[Account]) -> Vec<String> {
    let shut: Vec<&Account> = accounts.iter().filter(|account| account.state != AccountState::Open).collect();
    let mut lines = vec![format!("{} open", accounts.len() - shut.len())];
    if let Some(first) = lines.first_mut()
        && !shut.is_empty()
    {
        *first += &format!(", {}", style.paint(Tone::Bad, &format!("{} not", shut.len())));
    }
    for account in shut.iter().take(ACCOUNTS_SHOWN) {
        let what = account.reason.as_deref().map(|reason| format!(": {}", safe(reason))).unwrap_or_default();
        let opens = account.until.map(|until| format!(", opens {}", relative(style.now, until)));
        let time = age(style.now, account.since);
        let (name, state) = (safe(&account.account), account.state.as_str());
        lines.push(format!("{name} {state} for {time}{}{what}", opens.unwrap_or_default()));
    }
    // Of one alone: what is wrong with several at once most often has one cure.
    if let Some(hint) = shut.iter().find_map(|account| account.hint.as_deref()) {
        lines.extend(wrap(&sentence(hint), HINT_COLUMNS));
    }
    if shut.len() > ACCOUNTS_SHOWN {
        lines.push("more: `outboxctl account list`".to_owned());
    }
    lines
}

const fn waiting(counts: &Counts) -> [(State, u64); 6] {
    [
        (State::Queued, counts.queued),
        (State::Sending, counts.sending),
        (State::Deferred, counts.deferred),
        (State::Blocked, counts.blocked),
        (State::Held, counts.held),
        (State::Uncertain, counts.uncertain),
    ]
}

const fn ended(counts: &Counts) -> [(State, u64); 2] {
    [(State::Failed, counts.failed), (State::Expired, counts.expired)]
}

/// The states that there are entries of.
fn states(style: &Style, counts: &[(State, u64)]) -> String {
    let shown: Vec<String> = counts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(state, number)| format!("{} {}", thousands(*number), style.state(*state)))
        .collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn spool(style: &Style, spool: &SpoolStatus, fields: &mut Fields) {
    fields.add("spool", format!("{} (format {})", safe(&spool.path), spool.format));
    let free = spool.free_bytes.map(|free| format!("; {} free", bytes(free))).unwrap_or_default();
    fields.add("room", format!("{} of {}{free}", bytes(spool.bytes), bytes(spool.limit_bytes)));
    let messages = count(spool.limit_messages, "message", "messages");
    fields.add("", format!("{} of {messages}", thousands(spool.messages)));
    let since = spool.receipts_since.map(|since| format!(", the oldest {}", relative(style.now, since)));
    fields.add("receipts", thousands(spool.receipts) + &since.unwrap_or_default());
    if spool.quarantined > 0 {
        let records = count(spool.quarantined, "damaged record", "damaged records");
        fields.add("quarantine", style.paint(Tone::Bad, &records));
    }
}

/// What is wrong with the store, each with what to do about it; nothing while all is well.
fn damage(style: &Style, spool: &SpoolStatus) -> Vec<String> {
    let damaged = spool.damaged.then(|| "a part of the store could not be read".to_owned());
    let missing = (spool.missing > 0).then(|| {
        let missing = count(spool.missing, "message or receipt is", "messages and receipts are");
        format!("{missing} missing")
    });
    let files = (spool.damaged_files > 0).then(|| {
        let of = count(
            spool.damaged_files,
            "file of a large message or replacement",
            "files of large messages or replacements",
        );
        format!("{of} cannot be read")
    });
    [
        (
            spool.failure.as_deref().map(safe),
            "New messages are refused. After a full disk it goes on by itself; after anything else, look at the disk and restart \
             outboxd.",
        ),
        (damaged, "If the start has not made it anew of the rest (the log says so), a restart of outboxd does."),
        (missing, "Submit again what the app still has. The damaged store is kept in quarantine/ of the spool."),
        (files, "The log names the messages. Look at the disk and at the files' owner; damaged ones are set aside by `outboxd fsck --repair SPOOL` \
             once outboxd is stopped."),
    ]
    .into_iter()
    .filter_map(|(what, cure)| Some((what?, cure)))
    .flat_map(|(what, cure)| {
        let what = wrap(&what, HINT_COLUMNS).into_iter().map(|line| style.paint(Tone::Bad, &line));
        let cure = wrap(cure, HINT_COLUMNS - 2).into_iter().map(|line| format!("  {line}"));
        what.chain(cure).collect::<Vec<_>>()
    })
    .collect()
}

/// A table of accounts.
pub(super) fn accounts(style: &Style, accounts: &[Account]) -> String {
    let lines: Vec<Line> = accounts
        .iter()
        .map(|account| Line {
            tone: match account.state {
                AccountState::Open => state_tone(State::Sent),
                AccountState::Limited => state_tone(State::Held),
                AccountState::Paused => state_tone(State::Failed),
            },
            cells: vec![
                account.state.as_str().to_owned(),
                safe(&account.account),
                relative(style.now, account.since),
                account.until.map(|until| relative(style.now, until)).unwrap_or_default(),
                account.reason.as_deref().map(safe).unwrap_or_default(),
            ],
        })
        .collect();
    let headings = [
        ("STATE", Fit::Whole),
        ("ACCOUNT", Fit::Cut),
        ("SINCE", Fit::Whole),
        ("OPENS", Fit::Whole),
        ("REASON", Fit::Cut),
    ];
    let mut text = table(style, &headings, &lines);
    if let Some((account, hint)) = accounts.iter().find_map(|account| Some((account, account.hint.as_ref()?)))
    {
        let line = format!("{}: {}", safe(&account.account), sentence(hint));
        text += &wrap(&line, COLUMNS.into()).join("\n");
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use outbox_control::Time;

    use super::*;

    fn status() -> Status {
        let at = "2026-11-23T08:00:00.000Z";
        let account = |name: String, state: &str| {
            serde_json::json!({ "account": name, "state": state, "since": at, "reason": "login expired (70001)",
            "hint": "get a new UserSig and log in again, then `outboxctl account resume kiosk`" })
        };
        let mut accounts: Vec<Value> = (0..9).map(|n| account(format!("kiosk-{n}"), "paused")).collect();
        accounts.push(serde_json::json!({ "account": "default", "state": "open", "since": at }));
        let text = serde_json::json!({
            "version": "0.1.0", "pid": 4711, "startedAt": at, "paused": true,
            "link": { "state": "down", "since": at, "source": "probe" },
            "pace": { "window": 32, "inFlight": 31, "perSecond": 812.25, "backlogGoneInMs": 2_463_000 },
            "transport": { "kind": "http", "url": "https://push.example.com/v4/send", "attempts": 3, "x": {} },
            "accounts": accounts,
            "counts": { "queued": 1200, "deferred": 1, "blocked": 1_999_999, "held": 0, "sending": 32,
                        "uncertain": 5, "failed": 12, "expired": 0 },
            "sentTotal": 123_456_789, "oldestWaitingMs": 300_000,
            "spool": { "path": "/var/lib/outbox", "bytes": 3_500_000_000_u64, "messages": 2_000_000,
                       "limitBytes": 4_u64 << 30, "limitMessages": 2_000_000, "freeBytes": 1_u64 << 40, "format": 1,
                       "receipts": 100, "receiptsSince": at, "quarantined": 1 },
            "lastSentAt": at,
        });
        serde_json::from_value(text).unwrap()
    }

    fn style() -> Style {
        Style { now: "2026-11-23T08:05:00Z".parse::<Time>().unwrap(), terminal: true, colour: false }
    }

    #[test]
    fn a_busy_daemon_fits_one_screen() {
        let text = screen(&style(), Path::new("/run/outbox/outbox.sock"), &status());
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in [
            "attempts:   paused (end it with `outboxctl resume`)",
            "link:       down for 5m (says: probe)",
            "pace:       812.2 a second, 31 of 32 under way, all gone in about 41m",
            "transport:  http, attempts 3, url https://push.example.com/v4/send",
            "kiosk-4 paused for 5m: login expired (70001)",
            "`outboxctl account resume kiosk`.\n",
            "1,200 queued, 32 sending, 1 deferred, 1,999,999 blocked, 5 uncertain",
            "ended:      12 failed\n",
            "3.2 GiB of 4.0 GiB; 1.0 TiB free",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        assert!(!text.contains("kiosk-5"), "{text}");
    }

    #[test]
    fn a_store_that_is_well_is_not_talked_of() {
        let text = screen(&style(), Path::new("/run/outbox/outbox.sock"), &status());
        assert!(!text.contains("damage:") && !text.contains("missing"), "{text}");
        assert!(text.contains("sent:       123,456,789 in all, the last 5m ago\n"), "{text}");
    }

    #[test]
    fn what_is_wrong_with_the_store_is_told_with_what_to_do() {
        let mut status = status();
        status.accounts.clear();
        status.spool.damaged = true;
        status.spool.missing = 1_200;
        status.spool.damaged_files = 1;
        let reason =
            "the store has failed and takes no more changes: sync of /var/lib/outbox/store: \u{1b}[2J";
        status.spool.failure = Some(reason.into());
        let text = screen(&style(), Path::new("/run/outbox/outbox.sock"), &status);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in [
            "attempts:   none: the store takes no changes\n",
            "accounts:   not known now\n",
            "damage:     the store has failed and takes no more changes: sync of\n",
            "  New messages are refused.",
            "a part of the store could not be read\n",
            "1,200 messages and receipts are missing\n",
            "1 file of a large message or replacement cannot be read\n",
            "The log names the messages.",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_last_time_that_got_lost_is_not_made_up() {
        let mut status = status();
        for lost in [None, Some(Time::from_ms(0))] {
            status.last_sent_at = lost;
            let text = screen(&style(), Path::new("/run/outbox/outbox.sock"), &status);
            assert!(text.contains("sent:       123,456,789 in all, the last at an unknown time\n"), "{text}");
        }
        status.sent_total = 0;
        let text = screen(&style(), Path::new("/run/outbox/outbox.sock"), &status);
        assert!(text.contains("sent:       0 in all\n"), "{text}");
    }

    #[test]
    fn accounts_fit_the_terminal() {
        let text = accounts(&style(), &status().accounts);
        assert_eq!(
            text.lines().count(),
            13,
            "a line for each, the heading, and the first one's cure: {text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
