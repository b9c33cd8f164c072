//! Small pieces of text: ages, sizes, counts, aligned fields; text of others made harmless.
//!
//! Owns:  these forms.
//! Never: knows an answer's type.

use outbox_control::Time;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Text on one line, without anything that a terminal would act on: ids and errors are written by others, and
/// must neither colour, move the cursor nor reorder what is read.
pub(super) fn safe(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            _ if c.is_control() || is_reordering(c) => char::REPLACEMENT_CHARACTER,
            _ => c,
        })
        .collect()
}

/// The same of several lines, which stay apart.
pub(in crate::ctl) fn safe_lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// An id shortened in its middle to that many columns: ids of one service often begin alike.
pub(super) fn short(id: &str, columns_max: usize) -> String {
    let id = safe(id);
    if columns(&id) <= columns_max {
        return id;
    }
    let head: String = take_columns(id.chars(), columns_max.saturating_sub(1) / 3);
    let rest = columns_max.saturating_sub(1 + columns(&head));
    let tail: String = take_columns(id.chars().rev(), rest).chars().rev().collect();
    format!("{head}…{tail}")
}

fn take_columns(chars: impl Iterator<Item = char>, columns_max: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += char_columns(*c);
            used <= columns_max
        })
        .collect()
}

/// Columns of a text on a terminal, rather too many than too few.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// From the Hangul letters on, many characters take two columns.
const fn char_columns(c: char) -> usize {
    if c >= '\u{1100}' { 2 } else { 1 }
}

/// The directional marks of Unicode.
const fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// A length of time in its two most telling digits: `12s`, `3m`, `5h`, `9d`.
pub(super) fn length(ms: u64) -> String {
    // Two minutes and two hours are still clearer in the smaller unit.
    match ms {
        _ if ms < 2 * MINUTE_MS => format!("{}s", ms / SECOND_MS),
        _ if ms < 2 * HOUR_MS => format!("{}m", ms / MINUTE_MS),
        _ if ms < 2 * DAY_MS => format!("{}h", ms / HOUR_MS),
        _ => format!("{}d", ms / DAY_MS),
    }
}

/// `12s ago`, `in 3m`, or `now` within a second.
pub(super) fn relative(now: Time, time: Time) -> String {
    let ago_ms = now.ms_since(time);
    let length = length(ago_ms.unsigned_abs());
    match ago_ms {
        -999..=999 => "now".to_owned(),
        1000.. => format!("{length} ago"),
        _ => format!("in {length}"),
    }
}

/// The length of time between two moments, whichever is the earlier.
pub(super) fn age(now: Time, time: Time) -> String {
    length(now.ms_since(time).unsigned_abs())
}

/// `512 B`, `1.5 KiB`, `4.0 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, in whole numbers.
    let (mut whole, mut tenths, mut unit) = (bytes, 0, "B");
    for next in UNITS {
        if whole < 1024 {
            break;
        }
        (whole, tenths, unit) = (whole / 1024, (whole % 1024) * 10 / 1024, next);
    }
    format!("{whole}.{tenths} {unit}")
}

/// `1 message`, `2,000,000 messages`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `2,000,000`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A result code with its words.
pub(super) fn error(code: i64, desc: &str) -> String {
    if desc.is_empty() { code.to_string() } else { format!("{code} {}", safe(desc)) }
}

/// A sentence that ends in a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = safe(text.trim());
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

/// Words in lines of so many columns. A word that is longer has a line of its own, and so does a command in
/// backticks, which must be copied in one piece.
pub(super) fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut in_command = false;
    for word in text.split_whitespace() {
        let begins_command = !in_command && word.starts_with('`');
        match lines.last_mut() {
            Some(line)
                if in_command || columns(line) + 1 + columns(word) <= columns_max && !begins_command =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
        in_command ^= word.matches('`').count() % 2 == 1;
    }
    lines
}

/// Lines of `key: value` with the values below one another; an empty key goes on with the field above.
#[derive(Default)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub(super) fn add(&mut self, key: &'static str, value: impl Into<String>) {
        self.0.push((key, value.into()));
    }

    pub(super) fn add_lines(&mut self, key: &'static str, lines: Vec<String>) {
        for (index, line) in lines.into_iter().enumerate() {
            self.add(if index == 0 { key } else { "" }, line);
        }
    }

    pub(super) fn add_some(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    pub(super) fn finish(self) -> String {
        let width = self.0.iter().map(|(key, _)| key.len()).max().unwrap_or(0) + 2;
        let label = |key: &str| if key.is_empty() { String::new() } else { format!("{key}:") };
        self.0.iter().map(|(key, value)| format!("{:width$}{value}\n", label(key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_lines_each_is_made_harmless_and_none_is_lost() {
        assert_eq!(safe_lines("a\u{1b}[31m\n  hint\u{7}"), "a\u{fffd}[31m\n  hint\u{fffd}");
    }

    #[test]
    fn ages_are_told_in_the_unit_that_people_would_use() {
        let now = Time::from_ms(1_000_000_000);
        let at = |ms: i64| relative(now, Time::from_ms(now.as_ms() + ms));
        assert_eq!(at(-12_000), "12s ago");
        assert_eq!(at(3 * 60_000), "in 3m");
        assert_eq!(at(-119_999), "119s ago");
        assert_eq!(at(-7_200_000), "2h ago");
        assert_eq!(at(72 * 3_600_000), "in 3d");
        assert_eq!((at(0).as_str(), at(999).as_str(), at(-999).as_str()), ("now", "now", "now"));
    }

    #[test]
    fn sizes_and_counts_are_short() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.5 KiB"]);
        assert_eq!([bytes(4 << 30), bytes(u64::MAX)], ["4.0 GiB", "15.9 EiB"]);
        assert_eq!([thousands(999), thousands(1000), thousands(2_000_000)], ["999", "1,000", "2,000,000"]);
        assert_eq!(count(1, "message", "messages"), "1 message");
    }

    #[test]
    fn text_of_others_cannot_act_on_a_terminal() {
        assert_eq!(
            safe("a\u{1b}[31mb\nc\u{202e}d\u{7f}\u{9b}é"),
            "a\u{fffd}[31mb c\u{fffd}d\u{fffd}\u{fffd}é"
        );
    }

    #[test]
    fn a_long_id_keeps_both_of_its_ends() {
        assert_eq!(short("short", 18), "short");
        let id = "144115225971632901-1731500001-2911436684";
        assert_eq!(short(id, 18), "14411…1-2911436684");
        let wide = short("重试消息重试消息重试消息", 10);
        assert_eq!(wide, "重…试消息");
        assert!(columns(&wide) <= 10);
        assert_eq!(short(id, 1), "…");
    }

    #[test]
    fn words_are_put_into_lines_and_none_is_lost() {
        assert_eq!(wrap("a bc def  g", 4), ["a bc", "def", "g"]);
        assert_eq!(wrap("abcdef g", 4), ["abcdef", "g"]);
        assert_eq!(wrap(" ", 4), Vec::<String>::new());
        assert_eq!(wrap("then `a b c` d e", 6), ["then", "`a b c`", "d e"], "a command stays in one piece");
    }

    #[test]
    fn fields_stand_below_one_another() {
        let mut fields = Fields::default();
        fields.add("id", "x");
        fields.add_some("conversation", Some("c2c:a"));
        fields.add("", "more");
        fields.add_some("reason", None::<String>);
        assert_eq!(fields.finish(), "id:           x\nconversation: c2c:a\n              more\n");
    }
}
