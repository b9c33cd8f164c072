//! Plain tables: columns without borders, one row a line.
//!
//! Owns:  the only use of the table library.
//! Never: knows what a column means.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};

use super::{COLUMNS, Style, Tone};

/// What happens to a column on a terminal that is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It stays whole.
    Whole,
    /// It is cut.
    Cut,
}

/// A row, with the colour of its first cell.
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) cells: Vec<String>,
}

/// The rows under their headings. On a terminal it is cut to its width; elsewhere nothing is shortened.
pub(super) fn table(style: &Style, headings: &[(&str, Fit)], lines: &[Line]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(one_line(headings.iter().map(|(text, _)| (*text).to_owned())));
    if style.terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for line in lines {
        table.add_row(one_line(line.cells.iter().cloned()));
    }
    for (column, (_, fit)) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if *fit == Fit::Whole {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let tones = std::iter::once(None).chain(lines.iter().map(Some));
    table.lines().zip(tones).map(|(text, line)| finish(style, &text, line)).collect()
}

fn one_line(cells: impl Iterator<Item = String>) -> Row {
    let mut row = Row::from(cells.collect::<Vec<_>>());
    row.max_height(1);
    row
}

/// Colours the first word after the widths are settled: escape codes have no width.
fn finish(style: &Style, text: &str, line: Option<&Line>) -> String {
    let text = text.trim_end();
    let Some(line) = line else { return style.paint(Tone::Quiet, text) + "\n" };
    match text.split_once(' ') {
        Some((first, rest)) => format!("{} {rest}\n", style.paint(line.tone, first)),
        None => style.paint(line.tone, text) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use outbox_control::Time;

    use super::*;

    fn lines() -> Vec<Line> {
        let cells = [
            "queued",
            &"x".repeat(60),
            "重试消息重试消息重试消息重试消息重试消息重试消息",
            "no route to the host at all",
        ];
        let cells = cells.map(str::to_owned).to_vec();
        vec![Line { tone: Tone::Good, cells: cells.clone() }, Line { tone: Tone::Good, cells }]
    }

    const HEADINGS: [(&str, Fit); 4] =
        [("STATE", Fit::Whole), ("MSGID", Fit::Cut), ("CONVERSATION", Fit::Cut), ("LAST ERROR", Fit::Cut)];

    /// Columns of a line: a Chinese character takes two.
    fn width(line: &str) -> usize {
        line.chars().map(|c| if c > '\u{2e80}' { 2 } else { 1 }).sum()
    }

    #[test]
    fn a_terminal_gets_one_line_for_each_row_within_its_width() {
        let style = Style { now: Time::from_ms(0), terminal: true, colour: false };
        let text = table(&style, &HEADINGS, &lines());
        assert_eq!(text.lines().count(), 3, "{text}");
        for line in text.lines() {
            assert!(width(line) <= usize::from(COLUMNS), "{} columns: {line}", width(line));
        }
        assert!(text.contains('…'), "{text}");
    }

    #[test]
    fn a_file_gets_everything() {
        let style = Style { now: Time::from_ms(0), terminal: false, colour: false };
        let text = table(&style, &HEADINGS, &lines());
        assert!(text.contains(&"x".repeat(60)) && text.contains("no route to the host at all"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = Style { now: Time::from_ms(0), terminal: true, colour: false };
        let coloured = table(&Style { colour: true, ..plain }, &HEADINGS, &lines());
        assert!(coloured.contains("\u{1b}[32mqueued\u{1b}[0m "));
        let stripped = ["\u{1b}[32m", "\u{1b}[2m", "\u{1b}[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(stripped, table(&plain, &HEADINGS, &lines()));
    }
}
