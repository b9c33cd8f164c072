//! Events as they happen, and from any durable sequence on.
//!
//! Owns:  the stream of one client: what it is owed from the store, what it hears live, its heartbeat.
//! Never: slows the engine or the store for a client that reads slowly: such a client misses live events, and
//!        is given the durable ones from the store.
//!
//! A client that falls behind the live events goes back to reading the store, and so misses no durable one;
//! what it has not read is kept nowhere but there. Each live event says which durable one it came after, so that
//! none is told when the store has told what followed it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::{HeaderMap, Uri};
use outbox::Event;
use outbox_control::types::{EventData, EventGap};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::messages::reading;
use super::peer::Peer;
use super::problem::{Answer, bad_request};
use super::query::Query;
use super::{Context, show};
use crate::engine::{Events, LinkNews};

/// A line that keeps idle connections alive, and tells a client that the daemon is.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events read from the store at once, and kept for a client that does not read: less than 100 KiB, for each of
/// the connections that there may be.
const PAGE: usize = 64;

/// Header of the answer: the newest durable sequence when the stream began, from which a client that was told
/// nothing durable since can go on.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /v1/events`.
pub(super) async fn events(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer<impl IntoResponse + use<>> {
    let query = Query::read(uri.query(), &["since", "follow"])?;
    let since = last_event_id(&headers)?.or(query.number("since")?);
    let follows = query.switch("follow")?.unwrap_or(true);
    // Listened to before the store is looked at, so that nothing falls between the two.
    let live = context.wake.listen();
    let links = context.engine.links();
    let outbox = context.outbox.clone();
    let newest = reading(move || Ok(outbox.counters())).await?.next_event.saturating_sub(1);
    // Beyond the newest is from a spool that was another one: those sequences never were here.
    let beyond = since.filter(|since| *since > newest);
    let gap = beyond.map(|to| EventGap { from: newest.saturating_add(1), to });
    let last = since.unwrap_or(newest).min(newest);
    let is_behind = since.is_some();
    let stop = context.stop();
    peer.note_stream();
    let owed = VecDeque::new();
    let gone = Box::pin(peer.gone());
    let reader = Reader { context, stop, gone, live, links, gap, owed, last, is_behind, follows };
    let began_at = [(LAST_EVENT_ID, last.to_string())];
    let events = Sse::new(frames(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    Ok((began_at, events))
}

fn frames(reader: Reader) -> impl Stream<Item = Result<Frame, Infallible>> {
    unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok(frame), reader))
    })
}

/// What a client that comes back has seen.
fn last_event_id(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
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

/// The stream of one client.
struct Reader {
    context: Arc<Context>,
    stop: watch::Receiver<bool>,
    /// Ends once the client has closed the connection, which would else show at the next write only.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    live: Events,
    links: watch::Receiver<LinkNews>,
    /// Told before what is owed.
    gap: Option<EventGap>,
    /// What is to be written next.
    owed: VecDeque<Event>,
    /// The newest durable sequence that was owed.
    last: u64,
    /// There may be durable events after `last` in the store that the live ones will not bring.
    is_behind: bool,
    /// Whether it wants more than what is kept.
    follows: bool,
}

impl Reader {
    /// The next frame; `None` when the daemon stops, or when all that was asked for is told.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(gap) = self.gap.take() {
                return frame("gap", None, &gap);
            }
            if let Some(event) = self.owed.pop_front() {
                return frame(event.kind.as_str(), event.seq, &data_of(event));
            }
            if self.is_behind {
                self.catch_up().await?;
                continue;
            }
            if !self.follows {
                return None;
            }
            tokio::select! {
                heard = self.live.recv() => match heard {
                    Ok(event) => self.hear(event),
                    Err(RecvError::Lagged(_)) => self.fall_behind(),
                    Err(RecvError::Closed) => return None,
                },
                changed = self.links.changed() => {
                    changed.ok()?;
                    let news = *self.links.borrow_and_update();
                    return frame("link", None, &link_data(news));
                }
                () = announced(&mut self.stop) => return None,
                () = &mut self.gone => return None,
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event.seq {
            // The store told it already, or what came after it.
            Some(seq) if seq <= self.last => return,
            None if event.after < self.last => return,
            Some(seq) => self.last = seq,
            None => {}
        }
        self.owed.push_back(event);
    }

    /// Goes back to the store. What is left of the live events is older than what is read there.
    fn fall_behind(&mut self) {
        self.live = self.live.resubscribe();
        self.is_behind = true;
    }

    /// Reads the next durable events from the store; `None` if it has failed.
    async fn catch_up(&mut self) -> Option<()> {
        let outbox = self.context.outbox.clone();
        let since = self.last;
        let page = reading(move || outbox.events(since, PAGE)).await.ok()?;
        self.gap = page.gap.map(|(from, to)| EventGap { from, to });
        self.owed.extend(page.events);
        self.last = page.next;
        self.is_behind = page.more;
        Some(())
    }
}

/// Waits for the announcement of a stop.
async fn announced(stop: &mut watch::Receiver<bool>) {
    // Whoever announces it never goes before.
    let _ = stop.wait_for(|stop| *stop).await;
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
    let gate = event.gate.as_ref().map(|gate| show::gate(gate).as_str());
    let state = event.state.map(|state| show::state(state).as_str()).or(gate);
    EventData {
        kind: event.kind.as_str().to_owned(),
        at: show::time(event.at),
        msg_id: event.msg_id,
        account: event.account,
        conversation: event.conversation,
        state: state.map(ToOwned::to_owned),
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
