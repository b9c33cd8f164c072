//! `outboxctl top`: one screen that is drawn again and again.
//!
//! Owns:  how often, the control sequences that draw over the last screen, going on while the daemon restarts.
//! Never: asks for more than a screen has room for.

use std::time::Duration;

use outbox_control::client::ListQuery;
use outbox_control::types::{MessagePage, Status};
use tokio::time::sleep;

use super::args::Top;
use super::events::passes;
use super::exit::{CtlError, Exit};
use super::session::Session;
use super::{note, now, render};

/// Messages below the counts: together they fit the smallest usual terminal.
const MESSAGES_SHOWN: u32 = 8;

/// To the upper left corner; what is written next replaces what stands there.
const HOME: &str = "\x1b[H";
/// Clears the rest of a line.
const TO_LINE_END: &str = "\x1b[K";
/// Clears everything below.
const BELOW: &str = "\x1b[J";

/// Draws until a person has seen enough; where nobody looks (no terminal) once, unless a count says otherwise.
pub(super) async fn top(session: &mut Session, args: &Top) -> Result<Exit, CtlError> {
    let drawn = draw(session, args);
    tokio::select! {
        ended = drawn => ended.map(|()| Exit::Done),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| Exit::Interrupted).map_err(CtlError::from),
    }
}

async fn draw(session: &mut Session, args: &Top) -> Result<(), CtlError> {
    let repeats = session.style.terminal || session.output.is_json();
    let count = args.count.or_else(|| (!repeats).then_some(1));
    let mut drawn = 0;
    loop {
        session.style.now = now();
        match look(session).await {
            Ok((status, page)) => show(session, &status, &page)?,
            // A daemon that never answered is probably not the one that was meant.
            Err(CtlError::Client(error)) if drawn > 0 && passes(&error) => {
                let text = format!("The daemon does not answer: {error}; trying again.");
                if session.output.is_json() { note(&text) } else { write(session, &text)? }
            }
            Err(error) => return Err(error),
        }
        drawn += 1;
        if count.is_some_and(|count| drawn >= count) {
            return Ok(());
        }
        sleep(args.every).await;
    }
}

async fn look(session: &Session) -> Result<(Status, MessagePage), CtlError> {
    let status = session.client.status().await?;
    let query = ListQuery { limit: Some(MESSAGES_SHOWN), ..ListQuery::default() };
    Ok((status, session.client.messages(&query).await?))
}

fn show(session: &mut Session, status: &Status, page: &MessagePage) -> Result<(), CtlError> {
    if session.output.is_json() {
        session.output.json(status)?;
        return Ok(session.output.flush()?);
    }
    let mut text = render::status(&session.style, session.client.socket(), status);
    if !page.messages.is_empty() {
        text = format!("{}\n\n{}", text.trim_end(), render::entries(&session.style, &page.messages));
    }
    write(session, &text)
}

/// Writes a screen over the last one; lines that became shorter leave nothing behind.
fn write(session: &mut Session, text: &str) -> Result<(), CtlError> {
    let text = text.trim_end();
    if session.style.terminal {
        let lines: Vec<_> = text.lines().map(|line| format!("{line}{TO_LINE_END}\n")).collect();
        session.output.bytes(format!("{HOME}{}{BELOW}", lines.concat()).as_bytes())?;
    } else {
        session.output.text(text)?;
    }
    Ok(session.output.flush()?)
}

/// Shortest pause between two screens: faster than anybody reads.
pub(super) const EVERY_MIN: Duration = Duration::from_millis(200);
/// Longest one.
pub(super) const EVERY_MAX: Duration = Duration::from_secs(60);
