//! Events: what is kept, and what happens, also over restarts of the daemon.
//!
//! Owns:  connecting again and going on after the last event; Ctrl-C.
//! Never: formats an event.

use std::time::Duration;

use outbox_control::client::{EventStream, EventsQuery};
use outbox_control::{Client, ClientError};
use tokio::time::sleep;

use super::args::{Events, Since};
use super::exit::{CtlError, Exit};
use super::session::Session;
use super::{note, render};

/// First pause before connecting again: a restart takes about as long. It doubles.
const AGAIN_INITIAL: Duration = Duration::from_millis(100);

/// Longest pause: whoever starts the daemon again sees events within moments.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// Carries out `outboxctl events`.
pub(super) async fn events(session: &mut Session, args: &Events) -> Result<Exit, CtlError> {
    if args.follow {
        return follow(session, args.since).await;
    }
    let mut stream =
        session.client.events(&EventsQuery { since: number(args.since), only_kept: true }).await?;
    let mut is_empty = true;
    while let Some(told) = stream.next().await? {
        session.output.answer(&render::EventLine::new(&told), |_| render::event(&session.style, &told))?;
        is_empty = false;
    }
    if is_empty && !session.output.is_json() {
        note("No events.");
    }
    Ok(Exit::Done)
}

const fn number(since: Since) -> Option<u64> {
    match since {
        Since::Number(number) => Some(number),
        Since::Now => None,
    }
}

/// Shows events until a person has seen enough.
pub(super) async fn follow(session: &mut Session, since: Since) -> Result<Exit, CtlError> {
    let ended = tokio::select! {
        ended = show_for_ever(session, number(since)) => ended,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(CtlError::from),
    };
    ended.map(|()| Exit::Interrupted)
}

/// Ends only with an error that does not pass by itself.
async fn show_for_ever(session: &mut Session, since: Option<u64>) -> Result<(), CtlError> {
    // A socket that nobody has answered on is probably the wrong one.
    let mut stream = session.client.events(&EventsQuery { since, only_kept: false }).await?;
    loop {
        let lost = match show(session, &mut stream).await {
            Ok(()) => "the daemon ended the stream".to_owned(),
            Err(CtlError::Client(error)) if passes(&error) => error.to_string(),
            Err(error) => return Err(error),
        };
        note(&format!("{lost}; connecting again"));
        stream = again(&session.client, stream.last()).await?;
        note("connected again");
    }
}

/// Shows what a stream tells until it ends.
async fn show(session: &mut Session, stream: &mut EventStream) -> Result<(), CtlError> {
    while let Some(told) = stream.next().await? {
        let Session { output, style, .. } = session;
        output.answer(&render::EventLine::new(&told), |_| render::event(style, &told))?;
        // Somebody is watching.
        output.flush()?;
    }
    Ok(())
}

/// Opens a stream that goes on after an event, as soon as there is a daemon.
async fn again(client: &Client, since: Option<u64>) -> Result<EventStream, CtlError> {
    let mut pause = AGAIN_INITIAL;
    loop {
        sleep(pause).await;
        match client.events(&EventsQuery { since, only_kept: false }).await {
            Ok(stream) => return Ok(stream),
            Err(error) if passes(&error) => pause = (pause * 2).min(AGAIN_MAX),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a daemon that starts again, or gets less to do, is all that it takes.
pub(super) fn passes(error: &ClientError) -> bool {
    matches!(error, ClientError::Broken { .. })
        || matches!(Exit::of_client(error), Exit::NotRunning | Exit::TryLater)
}
