//! Receipts as text.
//!
//! Owns:  their columns and words.
//! Never: prints a replacement's content.

use outbox_control::types::{Receipt, ResolvedBy};

use super::table::{Fit, Line, table as plain_table};
use super::text::{Fields, bytes, error, relative, safe, short};
use super::{Style, state_tone};

/// Columns of each of the two ids of a receipt on a terminal.
const ID_COLUMNS: usize = 18;

/// A table of receipts, one a line.
pub(super) fn table(style: &Style, receipts: &[Receipt]) -> String {
    let lines: Vec<Line> = receipts
        .iter()
        .map(|receipt| Line {
            tone: state_tone(receipt.state),
            cells: vec![
                receipt.state.to_string(),
                receipt.seq.to_string(),
                id(style, &receipt.msg_id),
                receipt.new_msg_id.as_deref().map(|new| id(style, new)).unwrap_or_default(),
                receipt.sent_at.or(receipt.ended_at).map(|at| relative(style.now, at)).unwrap_or_default(),
                notes(receipt),
            ],
        })
        .collect();
    let headings = [
        ("STATE", Fit::Whole),
        ("SEQ", Fit::Whole),
        ("MSGID", Fit::Whole),
        ("NEW MSGID", Fit::Whole),
        ("WHEN", Fit::Whole),
        ("NOTE", Fit::Cut),
    ];
    plain_table(style, &headings, &lines)
}

/// An id, shortened on a terminal: two whole ones do not fit side by side.
fn id(style: &Style, id: &str) -> String {
    if style.terminal { short(id, ID_COLUMNS) } else { safe(id) }
}

fn notes(receipt: &Receipt) -> String {
    let mut notes = Vec::new();
    if receipt.possible_duplicate {
        notes.push("possibly a duplicate".to_owned());
    }
    if receipt.may_have_arrived {
        notes.push("may have arrived".to_owned());
    }
    if receipt.resolved_by == Some(ResolvedBy::Person) {
        notes.push("closed by a person".to_owned());
    }
    if receipt.code != 0 {
        notes.push(error(receipt.code, &receipt.desc));
    }
    notes.join(", ")
}

/// Everything about one receipt.
pub(super) fn page(style: &Style, receipt: &Receipt) -> String {
    let mut fields = Fields::default();
    fields.add("msgID", safe(&receipt.msg_id));
    fields.add("state", style.state(receipt.state));
    let notes = notes(receipt);
    fields.add_some("note", Some(notes).filter(|notes| !notes.is_empty()));
    fields.add_some("reason", receipt.reason.as_deref().map(safe));
    fields.add_some("new msgID", receipt.new_msg_id.as_deref().map(safe));
    fields.add_some("account", receipt.account.as_deref().map(safe));
    fields.add_some("conversation", receipt.conversation.as_deref().map(safe));
    fields.add("seq", receipt.seq.to_string());
    fields.add("attempts", receipt.attempts.to_string());
    fields.add("submitted", style.moment(receipt.submitted_at));
    fields.add_some("sent", receipt.sent_at.map(|at| style.moment(at)));
    fields
        .add_some("ended", receipt.ended_at.filter(|_| receipt.sent_at.is_none()).map(|at| style.moment(at)));
    let data = match &receipt.data {
        Some(data) => format!("{} (print it with --json)", bytes(data.get().len() as u64)),
        None if receipt.data_dropped => "given up to keep within the receipts' limit".to_owned(),
        None => "none".to_owned(),
    };
    fields.add("data", data);
    fields.finish()
}

#[cfg(test)]
mod tests {
    use outbox_control::Time;

    use super::*;

    fn receipt(more: &str) -> Receipt {
        let at = "2026-11-23T08:00:00.000Z";
        let text = format!(
            r#"{{"seq":9,"msgID":"144115225971632901-1731500001-2911436684","submittedAt":"{at}",{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn style() -> Style {
        Style { now: "2026-11-23T08:01:00Z".parse::<Time>().unwrap(), terminal: true, colour: false }
    }

    #[test]
    fn receipts_fit_the_terminal() {
        let sent = receipt(
            r#""code":0,"newMsgID":"144115225971632901-1731500999-1234567890","possibleDuplicate":true,"sentAt":"2026-11-23T08:00:30Z""#,
        );
        let cancelled = receipt(
            r#""code":-30003,"state":"cancelled","mayHaveArrived":true,"desc":"cancelled by a person""#,
        );
        let text = table(&style(), &[sent, cancelled]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("30s ago"), "{text}");
    }

    #[test]
    fn a_page_says_where_the_data_is() {
        let with = page(&style(), &receipt(r#""code":0,"data":{"status":2}"#));
        assert!(with.contains("12 B (print it with --json)"), "{with}");
        let dropped = page(&style(), &receipt(r#""code":0,"dataDropped":true"#));
        assert!(dropped.contains("given up"), "{dropped}");
        let cancelled =
            page(&style(), &receipt(r#""code":-30003,"state":"cancelled","endedAt":"2026-11-23T08:00:30Z""#));
        assert!(cancelled.contains("ended:") && !cancelled.contains("sent:"), "{cancelled}");
    }
}
