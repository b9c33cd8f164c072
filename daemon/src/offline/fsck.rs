//! `outboxd fsck SPOOL`: looks at every record, and with `--repair` puts right what can be.
//!
//! Owns:  what is said of a spool.
//! Never: changes one without `--repair`, removes a record: what cannot be read is set aside.

use std::io::Write;
use std::path::Path;

use outbox::{Check, Lost, Offline, OpenReport};
use serde_json::{Value, json};

use super::room::Room;
use super::{Failure, Verdict, open};
use crate::config::Config;

pub(super) fn check(spool: &Path, room: &Room, as_json: bool, out: impl Write) -> Result<Verdict, Failure> {
    let check = Offline::open_in(spool, room.path())?.check()?;
    tell(spool, &check, None, as_json, out)
}

pub(super) fn repair(
    config: &Config,
    room: &Room,
    as_json: bool,
    out: impl Write,
) -> Result<Verdict, Failure> {
    let spool = &config.spool.path;
    // Nothing is made where there is nothing: a typing error must not leave an empty spool behind.
    let offline = Offline::open_in(spool, room.path())?;
    let before = offline.check()?;
    offline.mend_mark()?;
    if !before.is_sound() {
        offline.ask_for_check()?;
    }
    // It keeps everybody else out.
    drop(offline);
    let outbox = open(config)?;
    let report = outbox.report().clone();
    let unreadable = outbox.set_aside_unreadable()?;
    outbox.close();
    if let Some(error) = outbox.failure() {
        return Err(error.into());
    }
    drop(outbox);
    let after = Offline::open_in(spool, room.path())?.check()?;
    let set_aside = after.set_aside.saturating_sub(before.set_aside);
    tell(spool, &after, Some(&Done { set_aside, unreadable, report }), as_json, out)
}

/// What a repair did.
struct Done {
    set_aside: u64,
    /// Payloads and replacements that could not be read and were set aside.
    unreadable: u64,
    report: OpenReport,
}

fn tell(
    spool: &Path,
    check: &Check,
    done: Option<&Done>,
    as_json: bool,
    mut out: impl Write,
) -> Result<Verdict, Failure> {
    let text =
        if as_json { format!("{}\n", as_value(spool, check, done)) } else { words(spool, check, done) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Write)?;
    Ok(if check.is_sound() { Verdict::Good } else { Verdict::Bad })
}

fn as_value(spool: &Path, check: &Check, done: Option<&Done>) -> Value {
    let range = |lost: Lost| {
        let missing = |from: u64, next: u64| (next > from).then(|| json!({"from": from, "to": next - 1}));
        json!({
            "messages": missing(lost.from_seq, lost.next_seq), "events": missing(lost.from_event, lost.next_event),
        })
    };
    let repair = done.map(|done| {
        json!({
            "setAside": done.set_aside, "unreadable": done.unreadable, "rebuilt": done.report.rebuilt, "madeAnew": done.report.is_made_anew,
            "missing": done.report.missing, "lost": done.report.lost.map(range), "kept": done.report.kept.as_ref().map(|kept| kept.display().to_string()),
        })
    });
    json!({
        "spool": spool.display().to_string(), "sound": check.is_sound(), "clean": check.clean,
        "entries": check.entries, "receipts": check.receipts, "setAside": check.set_aside,
        "badRecords": check.bad_records, "badKeys": check.bad_keys, "badPayloads": check.bad_payloads,
        "badPayloadIds": check.bad_payload_ids, "badData": check.bad_data,
        "damaged": check.damaged, "missing": check.missing, "derivedAgrees": check.derived_agrees, "badMark": check.bad_mark, "lost": check.lost.map(range), "repair": repair,
    })
}

fn words(spool: &Path, check: &Check, done: Option<&Done>) -> String {
    let mut lines =
        vec![format!("{}: {} messages, {} receipts", spool.display(), check.entries, check.receipts)];
    if let Some(done) = done {
        lines.push(format!(
            "repaired: {} records set aside, indices {}",
            done.set_aside,
            if done.report.rebuilt { "made anew" } else { "left as they were" }
        ));
        if done.unreadable > 0 {
            lines.push(format!(
                "{} payloads and replacements could not be read and were set aside",
                done.unreadable
            ));
        }
        if done.report.is_made_anew {
            let kept = done
                .report
                .kept
                .as_ref()
                .map_or("not kept".to_owned(), |kept| format!("kept in {}", kept.display()));
            lines.push(format!(
                "the store was made anew of what could be read of it; the damaged one is {kept}"
            ));
        }
        if done.report.missing > 0 {
            lines.push(format!("{} messages and receipts cannot be read any more", done.report.missing));
        }
        if let Some(lost) = done.report.lost {
            lines.push(format!("acknowledged and missing: {lost}"));
        }
    }
    if check.set_aside > 0 {
        lines.push(format!(
            "{} records are set aside, in {}",
            check.set_aside,
            spool.join("quarantine").display()
        ));
    }
    if !check.clean {
        lines.push("the last process did not close it in order; the next start checks it".to_owned());
    }
    let mut bad = |count: u64, what: &str, which: &[String]| {
        if count > 0 {
            lines.push(format!("{count} {what}{}", named(which)));
        }
    };
    bad(check.bad_records, "records cannot be read", &check.bad_keys);
    bad(check.bad_payloads, "messages have lost their payload", &check.bad_payload_ids);
    bad(check.bad_data, "receipts have lost their replacement", &[]);
    if check.missing > 0 {
        lines.push(format!("{} messages and receipts are counted and cannot be read", check.missing));
    }
    if let Some(lost) = check.lost {
        lines.push(format!("acknowledged and missing: {lost}"));
    }
    if check.bad_mark {
        lines.push("the file `format`, which says that this is a spool, cannot be read".to_owned());
    }
    if check.damaged {
        lines.push(
            "the store is damaged; this is what can be read of it, and the next start makes it anew of that"
                .to_owned(),
        );
    }
    if !check.derived_agrees {
        lines.push("indices or counts disagree with the records".to_owned());
    }
    lines.push(match (check.is_sound(), done) {
        (true, _) => "sound".to_owned(),
        (false, None) => {
            "not sound: `outboxd export` saves what can be read; `outboxd fsck --repair` sets the \
                          rest aside"
                .to_owned()
        }
        (false, Some(_)) => {
            "not sound: what is named above cannot be put right now (what an app has leased \
                             waits for its outcome, what is uncertain for a decision, and a file that the system does \
                             not read for its drive or its owner)"
                .to_owned()
        }
    });
    lines.join("\n") + "\n"
}

fn named(which: &[String]) -> String {
    if which.is_empty() { String::new() } else { format!(": {}", which.join(", ")) }
}
