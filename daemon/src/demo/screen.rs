//! What a person sees: lines with the time, and a progress bar on a terminal.
//!
//! Owns:  layout in 80 columns, colours, the progress bar (indicatif's only door).
//! Never: writes a control character where no terminal is, fails because nobody reads.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// Columns that every line fits into.
const COLUMNS: usize = 80;
/// Columns before the text of a line: the time, then what happened.
const INDENT: usize = 21;
/// Without a bar, progress is a line; this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What a line is about; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Trouble,
    Bad,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) all: u64,
}

/// Where the demo writes.
pub(super) struct Screen {
    start: Instant,
    sink: Sink,
    last_progress: Instant,
}

enum Sink {
    /// A terminal, with a bar below the lines until the progress ends.
    Terminal { bar: Option<ProgressBar>, out: io::Stdout },
    /// Anything else.
    Plain(Box<dyn Write + Send>),
}

impl Screen {
    /// Standard output: with bar and colours on a terminal, unless they are not wanted.
    pub(super) fn of_process(no_color: bool) -> Self {
        let unwanted = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let out = io::stdout();
        if unwanted || !out.is_terminal() {
            return Self::plain(out);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        if bar.is_hidden() {
            // A terminal that cannot move its cursor.
            return Self::plain(out);
        }
        if let Ok(style) = ProgressStyle::with_template("  [{bar:40.green}] {pos} of {len} done, {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::new(Sink::Terminal { bar: Some(bar), out })
    }

    /// Lines only.
    pub(super) fn plain(out: impl Write + Send + 'static) -> Self {
        Self::new(Sink::Plain(Box::new(out)))
    }

    fn new(sink: Sink) -> Self {
        let now = Instant::now();
        Self { start: now, sink, last_progress: now }
    }

    /// How long the run takes so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes lines as they are.
    pub(super) fn text(&mut self, text: &str) {
        // That nobody reads any more changes nothing about the verdict.
        let _ = match &mut self.sink {
            Sink::Terminal { bar: Some(bar), out } => {
                bar.suspend(|| writeln!(out, "{text}").and_then(|()| out.flush()))
            }
            Sink::Terminal { bar: None, out } => writeln!(out, "{text}").and_then(|()| out.flush()),
            Sink::Plain(out) => writeln!(out, "{text}").and_then(|()| out.flush()),
        };
    }

    /// Writes what happened now: a word for it, then each text on lines of its own, broken at spaces.
    pub(super) fn event(&mut self, tone: Tone, what: &str, texts: &[&str]) {
        let head = format!("{:>5.1} s  ", self.elapsed().as_secs_f64());
        let padded = format!("{what:<width$}", width = INDENT - head.len());
        let head = head + &self.paint(tone, &padded);
        let indent = " ".repeat(INDENT);
        let lines: Vec<_> = texts.iter().flat_map(|text| wrapped(text, COLUMNS - INDENT)).collect();
        self.text(&format!("{head}{}", lines.join(&format!("\n{indent}"))));
    }

    /// Shows how far the run is.
    pub(super) fn progress(&mut self, progress: Progress) {
        let done = progress.sent + progress.failed;
        match &mut self.sink {
            Sink::Terminal { bar: Some(bar), .. } => {
                bar.set_length(progress.all);
                bar.set_position(done);
                bar.set_message(format!("{} failed", progress.failed));
            }
            Sink::Plain(_)
                if self.last_progress.elapsed() >= PROGRESS_EVERY && (1..progress.all).contains(&done) =>
            {
                self.last_progress = Instant::now();
                let line = format!("{} of {} sent, {} failed", progress.sent, progress.all, progress.failed);
                self.event(Tone::Plain, "progress", &[&line]);
            }
            Sink::Plain(_) | Sink::Terminal { bar: None, .. } => {}
        }
    }

    /// Takes the bar away; lines may still follow.
    pub(super) fn end_progress(&mut self) {
        if let Sink::Terminal { bar, .. } = &mut self.sink
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
    }

    /// The text in the tone's colour, where there are colours.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match (&self.sink, tone) {
            (Sink::Plain(_), _) | (_, Tone::Plain) => return text.to_owned(),
            (_, Tone::Good) => "32",
            (_, Tone::Trouble) => "33",
            (_, Tone::Bad) => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The text in lines of at most that many characters, if its words allow it.
pub(super) fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_a_long_word_stays_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a 0123456789 b", 5), ["a", "0123456789", "b"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
