//! Events as they happen, and from any durable sequence on.
//!
//! Owns:  the stream of one client: what it is owed from the store, what it hears live, its heartbeat.
//! Never: slows the engine or the store for a client that reads slowly: such a client misses live events, and
//!        is given the durable ones from the store.
//!
//! A client that falls behind the live events goes back to reading the store, and so misses no durable one;
//! what it has not read is kept nowhere but there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::{HeaderMap, Uri};
use outbox::Event;
use outbox_control::types::{EventData, EventGap};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::messages::reading;
use super::problem::{Answer, bad_request};
use super::query::Query;
use super::{Context, show};
use crate::engine::{Events, LinkNews};

/// A line that keeps idle connections alive, and tells a client that the daemon is.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events read from the store at once: a few hundred kilobytes at the most.
const PAGE: usize = 256;

/// `GET /v1/events`.
pub(super) async fn events(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer<Sse<impl Stream<Item = Result<Frame, Infallible>> + use<>>> {
    let since = Query::read(uri.query(), &["since"])?.number("since")?;
    let since = last_event_id(&headers)?.or(since);
    // Listened to before the store is looked at, so that nothing falls between the two.
    let live = context.wake.listen();
    let links = context.engine.links();
    let newest = context.outbox.counters().next_event.saturating_sub(1);
    let mut owed = VecDeque::new();
    if let Some(beyond) = since.filter(|since| *since > newest) {
        // From a spool that was another one: those sequences never were here.
        owed.push_back(Owed::Gap(EventGap { from: newest.saturating_add(1), to: beyond }));
    }
    let reader = Reader {
        context,
        live,
        links,
        owed,
        last: since.unwrap_or(newest).min(newest),
        is_behind: since.is_some(),
    };
    let stream = unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok(frame), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")))
}

/// What a client that comes back has seen.
fn last_event_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    // A browser that has seen none sends an empty one.
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(bad_request("the header Last-Event-ID is not a whole number").into()),
    }
}

/// What is to be written next.
enum Owed {
    Event(Event),
    Gap(EventGap),
}

/// The stream of one client.
struct Reader {
    context: Arc<Context>,
    live: Events,
    links: watch::Receiver<LinkNews>,
    owed: VecDeque<Owed>,
    /// The newest durable sequence that was owed.
    last: u64,
    /// There may be durable events after `last` in the store that the live ones will not bring.
    is_behind: bool,
}

impl Reader {
    /// The next frame; `None` when the daemon stops.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.owed.pop_front() {
                Some(Owed::Event(event)) => return frame(event.kind.as_str(), event.seq, &data_of(event)),
                Some(Owed::Gap(gap)) => return frame("gap", None, &gap),
                None => {}
            }
            if self.is_behind {
                self.catch_up().await?;
                continue;
            }
            let engine = &self.context.engine;
            tokio::select! {
                heard = self.live.recv() => match heard {
                    Ok(event) => self.hear(event),
                    Err(RecvError::Lagged(_)) => self.is_behind = true,
                    Err(RecvError::Closed) => return None,
                },
                changed = self.links.changed() => {
                    changed.ok()?;
                    let news = *self.links.borrow_and_update();
                    return frame("link", None, &link_data(news));
                }
                _ = engine.wait_for(|view| view.stopping) => return None,
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event.seq {
            // The store told it already.
            Some(seq) if seq <= self.last => return,
            Some(seq) => self.last = seq,
            None => {}
        }
        self.owed.push_back(Owed::Event(event));
    }

    /// Reads the next durable events from the store; `None` if it has failed.
    async fn catch_up(&mut self) -> Option<()> {
        let outbox = self.context.outbox.clone();
        let since = self.last;
        let page = reading(move || outbox.events(since, PAGE)).await.ok()?;
        if let Some((from, to)) = page.gap {
            self.owed.push_back(Owed::Gap(EventGap { from, to }));
        }
        self.owed.extend(page.events.into_iter().map(Owed::Event));
        self.last = page.next;
        self.is_behind = page.more;
        Some(())
    }
}

/// An event as it goes over the wire. Texts and numbers always have a JSON form without line ends.
fn frame(kind: &str, seq: Option<u64>, data: &impl Serialize) -> Option<Frame> {
    let frame = Frame::default().event(kind).data(serde_json::to_string(data).ok()?);
    Some(match seq {
        Some(seq) => frame.id(seq.to_string()),
        None => frame,
    })
}

fn data_of(event: Event) -> EventData {
    EventData {
        kind: event.kind.as_str().to_owned(),
        at: show::time(event.at),
        msg_id: event.msg_id,
        account: event.account,
        conversation: event.conversation,
        state: event.state.map(|state| show::state(state).as_str().to_owned()),
        code: event.code,
        desc: event.desc,
        new_msg_id: event.new_msg_id,
        reason: event.reason,
        may_have_arrived: event.may_have_arrived,
    }
}

fn link_data(news: LinkNews) -> EventData {
    EventData {
        kind: "link".to_owned(),
        at: show::time(news.since),
        msg_id: None,
        account: None,
        conversation: None,
        state: Some(news.state.as_str().to_owned()),
        code: None,
        desc: None,
        new_msg_id: None,
        reason: Some(news.source.as_str().to_owned()),
        may_have_arrived: false,
    }
}
