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
    fields.add("attempts", attempts(style, status.paused));
    fields.add("link", link(style, &status.link));
    fields.add_some("pace", pace(&status.pace));
    fields.add("transport", transport(status));
    for (index, line) in account_lines(style, &status.accounts).into_iter().enumerate() {
        fields.add(if index == 0 { "accounts" } else { "" }, line);
    }
    fields.add("waiting", states(style, &waiting(&status.counts)));
    fields.add("ended", states(style, &ended(&status.counts)));
    fields.add_some("oldest", status.oldest_waiting_ms.map(|ms| format!("waits for {}", length(ms))));
    let last = status.last_sent_at.map(|at| format!(", the last {}", relative(style.now, at)));
    fields.add("sent", format!("{} in all{}", thousands(status.sent_total), last.unwrap_or_default()));
    spool(style, &status.spool, &mut fields);
    fields.finish()
}

fn attempts(style: &Style, paused: bool) -> String {
    if paused {
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
