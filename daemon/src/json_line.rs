//! A value as one line of JSON, for all that is read line by line.
//!
//! Owns:  what becomes of line breaks: a message keeps its sender's spelling, which may have some between its tokens.
//! Never: touches what stands in a string, where a line break is always written as an escape.

use serde::Serialize;

/// The line, with its end.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(line)
}
