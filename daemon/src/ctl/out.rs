//! Standard output: text for people, or JSON for programs.
//!
//! Owns:  the one writer, and the choice between the two forms.
//! Never: panics on a closed pipe: every write reports its error.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::json_line::json_line;

/// Where answers go.
pub(super) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    json: bool,
}

impl Output {
    pub(super) fn new(writer: impl Write + 'static, json: bool) -> Self {
        Self { writer: BufWriter::new(Box::new(writer)), json }
    }

    /// Whether answers are printed as JSON.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes the answer as one line of JSON, or the text made from it.
    pub(super) fn answer<T: Serialize>(
        &mut self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.json { self.json(answer) } else { self.text(&text(answer)) }
    }

    /// Writes one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.writer.write_all(&json_line(value)?)
    }

    /// Writes text, and ends its last line.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        if text.ends_with('\n') { Ok(()) } else { self.writer.write_all(b"\n") }
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Makes everything written visible.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
