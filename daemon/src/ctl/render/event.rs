//! Events as text: one line each.
//!
//! Owns:  its columns and words, and the object that programs get.
//! Never: shows a payload.

use outbox_control::client::Told;
use outbox_control::types::{DEFAULT_ACCOUNT, EventData, EventGap};
use serde::Serialize;

use super::text::{error, safe};
use super::{Style, Tone};

/// An event as one JSON object.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::ctl) enum EventLine<'a> {
    Event {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(flatten)]
        data: &'a EventData,
    },
    Gap {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        gap: &'a EventGap,
    },
}

impl<'a> EventLine<'a> {
    pub(in crate::ctl) fn new(told: &'a Told) -> Self {
        match told {
            Told::Event { seq, data } => Self::Event { id: *seq, data },
            Told::Gap(gap) => Self::Gap { kind: "gap", gap },
        }
    }
}

/// Time, number, kind, and what it is about.
pub(super) fn line(style: &Style, told: &Told) -> String {
    match told {
        Told::Event { seq, data } => {
            let number = seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
            let kind = style.paint(tone(&data.kind), &format!("{:<11}", safe(&data.kind)));
            format!("{}  {number:>6}  {kind}  {}", data.at, about(data)).trim_end().to_owned()
        }
        Told::Gap(gap) => {
            let words = format!("events {} to {} are no longer kept", gap.from, gap.to);
            style.paint(Tone::Bad, &format!("gap: {words}; look at `outboxctl list` and `outboxctl sent`"))
        }
    }
}

fn tone(kind: &str) -> Tone {
    match kind {
        "sent" | "released" => Tone::Good,
        "failed" | "expired" | "uncertain" | "quarantined" => Tone::Bad,
        "deferred" | "held" | "account" | "link" => Tone::Waiting,
        _ => Tone::Quiet,
    }
}

fn about(data: &EventData) -> String {
    let mut words = match (&data.msg_id, &data.account) {
        (Some(msg_id), _) => safe(msg_id),
        (None, Some(account)) => safe(account),
        (None, None) => String::new(),
    };
    let mut add = |more: String| {
        if !words.is_empty() && !more.starts_with([',', ':']) {
            words.push(' ');
        }
        words += &more;
    };
    if let Some(new) = &data.new_msg_id {
        add(format!("as {}", safe(new)));
    }
    // A message's state follows from what happened; that of link and account is what happened.
    if let (None, Some(state)) = (&data.msg_id, &data.state) {
        add(safe(state));
    }
    if let Some(conversation) = &data.conversation {
        let account = data.account.as_deref().filter(|account| *account != DEFAULT_ACCOUNT);
        let account = account.map(|account| format!(" ({})", safe(account))).unwrap_or_default();
        add(format!("in {}{account}", safe(conversation)));
    }
    if let Some(code) = data.code.filter(|code| *code != 0) {
        add(format!(": {}", error(code, data.desc.as_deref().unwrap_or_default())));
    }
    if let Some(reason) = &data.reason {
        add(format!("({})", safe(reason)));
    }
    if data.may_have_arrived {
        add(", but it may have arrived".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use outbox_control::Time;

    use super::*;

    fn event(kind: &str) -> EventData {
        serde_json::from_value(serde_json::json!({ "type": kind, "at": Time::from_ms(0) })).unwrap()
    }

    fn text(seq: Option<u64>, data: EventData) -> String {
        let style = Style { now: Time::from_ms(0), terminal: false, colour: false };
        line(&style, &Told::Event { seq, data: Box::new(data) })
    }

    #[test]
    fn a_line_says_what_happened_to_what() {
        let message = |kind| EventData {
            msg_id: Some("m-1".into()),
            account: Some("default".into()),
            conversation: Some("c2c:lena".into()),
            ..event(kind)
        };
        let sent = EventData { new_msg_id: Some("n-1".into()), code: Some(0), ..message("sent") };
        assert_eq!(
            text(Some(7), sent),
            "1970-01-01T00:00:00.000Z       7  sent         m-1 as n-1 in c2c:lena"
        );
        let failed = EventData {
            account: Some("bot".into()),
            code: Some(80003),
            desc: Some("hook\n".into()),
            may_have_arrived: true,
            ..message("failed")
        };
        let line = text(Some(8), failed);
        assert!(line.ends_with("m-1 in c2c:lena (bot): 80003 hook , but it may have arrived"), "{line}");
        let link = EventData { state: Some("down".into()), reason: Some("attempt".into()), ..event("link") };
        assert!(text(None, link).ends_with("     -  link         down (attempt)"));
        let style = Style { now: Time::from_ms(0), terminal: false, colour: false };
        assert!(super::line(&style, &Told::Gap(EventGap { from: 3, to: 9 })).contains("3 to 9"));
    }

    #[test]
    fn programs_get_the_number_beside_the_data() {
        let told = Told::Event { seq: Some(7), data: Box::new(event("sent")) };
        assert_eq!(
            serde_json::to_string(&EventLine::new(&told)).unwrap(),
            r#"{"id":7,"type":"sent","at":"1970-01-01T00:00:00.000Z"}"#
        );
        let gap = Told::Gap(EventGap { from: 3, to: 9 });
        assert_eq!(
            serde_json::to_string(&EventLine::new(&gap)).unwrap(),
            r#"{"type":"gap","from":3,"to":9}"#
        );
    }
}
