//! A door for tests with random input: what reads requests, and every call without its socket.
//!
//! Owns:  thin ways to functions that nothing else outside needs.
//! Never: is part of what this crate promises; decides anything by itself.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{Request, Response};
use http_body_util::BodyExt;
use outbox::Outbox;
use outbox_control::types::{
    BatchRequest, ConnectivityRequest, ExtendRequest, FlushRequest, LeaseRequest, Problem, ReasonBody,
    ResendRequest, ResolveRequest, Settle,
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tower::ServiceExt;

use super::body;
use super::lines::{Line, Lines};
use super::peer::Peer;
use super::query::Query;
use super::room::Room;
use super::{Access, Context, InForce, Role, routes};
use crate::config::Config;
use crate::engine::{Engine, Setup, Wake};
use crate::settings::Settings;
use crate::transport::verdict::Classes;

/// Reads a submit object with a message of at most `max` bytes.
///
/// # Errors
/// As the call for one message.
pub fn submit(bytes: &[u8], max: u64) -> Result<outbox::Submit, Problem> {
    super::submit::to_store(&Classes::default(), max, bytes)
}

/// Reads bytes as the body of each call that has one, by the name of its type.
#[must_use]
pub fn bodies(bytes: &[u8]) -> Vec<(&'static str, Result<(), Problem>)> {
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), Problem> {
        body::parse::<T>(bytes).map(drop)
    }
    vec![
        ("BatchRequest", read::<BatchRequest>(bytes)),
        ("ConnectivityRequest", read::<ConnectivityRequest>(bytes)),
        ("ExtendRequest", read::<ExtendRequest>(bytes)),
        ("FlushRequest", read::<FlushRequest>(bytes)),
        ("LeaseRequest", read::<LeaseRequest>(bytes)),
        ("ReasonBody", read::<ReasonBody>(bytes)),
        ("ResendRequest", read::<ResendRequest>(bytes)),
        ("ResolveRequest", read::<ResolveRequest>(bytes)),
        ("Settle", read::<Settle>(bytes)),
    ]
}

/// Splits a body that comes in these pieces into lines; `None` stands for one that cannot be read.
pub async fn lines(pieces: Vec<Vec<u8>>, line_max: usize) -> Vec<(u64, Option<Vec<u8>>)> {
    let pieces = pieces.into_iter().map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece)));
    let mut lines =
        Lines::new(Body::from_stream(stream::iter(pieces)), line_max, Room::default().share(line_max));
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next().await {
        found.push(match line {
            Line::Whole(bytes) => (number, Some(bytes)),
            Line::Bad(_) | Line::End(_) => (number, None),
        });
    }
    found
}

/// Reads a query string with `limit`, which is a size of a page, and `name`, which may be repeated.
///
/// # Errors
/// As every call that has such parameters.
pub fn query(text: &str) -> Result<(usize, Vec<String>), Problem> {
    let query = Query::read(Some(text), &["limit", "name"]).map_err(|refused| refused.0)?;
    let limit = query.limit().map_err(|refused| refused.0)?;
    Ok((limit, query.all("name").map(ToOwned::to_owned).collect()))
}

/// Every call over a store of its own, without a socket: whoever asks says what role it has.
pub struct Calls {
    router: Router,
    /// The store, to look at what the calls did.
    pub outbox: Outbox,
    _stop: watch::Sender<bool>,
}

impl Calls {
    /// Opens a store in a folder and starts an engine over it, with an app as transport.
    ///
    /// # Errors
    /// Whatever keeps them from starting.
    pub fn open(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let config = Config::defaults(folder.join("spool"), folder.join("outbox.sock"));
        let wake = Arc::new(Wake::default());
        let Settings { store, access, classes, engine } = Settings::of(&config, &wake, None)?;
        let outbox = Outbox::open(store)?;
        wake.begin_with(outbox.counters());
        let (engine, handle) =
            Engine::new(Setup { outbox: outbox.clone(), settings: engine, wake: Arc::clone(&wake) });
        tokio::spawn(engine.run(std::future::pending()));
        let (stop, stopped) = watch::channel(false);
        let access: Arc<Access> = Arc::new(access);
        let in_force = InForce { config, classes, access };
        let context = Context::new(outbox.clone(), handle, wake, in_force, None, stopped);
        Ok(Self { router: routes(context), outbox, _stop: stop })
    }

    /// Asks, and waits for the whole answer.
    pub async fn ask(&self, role: Option<Role>, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Peer::without_line(role));
        let (head, body) = match self.router.clone().oneshot(request).await {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        Response::from_parts(head, body)
    }
}
