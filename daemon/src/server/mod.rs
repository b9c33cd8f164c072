//! The control socket: HTTP over a Unix stream socket.
//!
//! Owns:  how many connections there may be, the table of routes.
//! Never: decides anything about a message (the store does), opens the socket (`socket`).

mod access;
mod batch;
mod body;
mod connection;
mod daemon_calls;
mod events;
mod explain;
#[doc(hidden)]
pub mod fuzzing;
mod in_force;
mod leases;
mod lines;
mod messages;
mod metrics;
mod ndjson;
mod openapi;
mod peer;
mod problem;
mod query;
mod reload;
mod resend;
mod room;
mod sent;
pub(crate) mod show;
mod socket;
mod stream;
pub(crate) mod submit;
mod why;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use outbox::Outbox;
use tokio::sync::{Mutex, Semaphore, watch};

pub use access::{Access, AccessError, Role};
pub use in_force::InForce;
pub use socket::{Socket, SocketError};

use crate::config::{Loaded, TransportKind};
use crate::engine::{Handle, Wake};
use in_force::Current;
use room::{Room, Share};

/// Connections at once: an app, its helpers and a person or two; each costs some descriptors and buffers.
const CONNECTIONS_MAX: usize = 256;

/// Connections that there may be where the process may have few files open: an app and a person.
const CONNECTIONS_MIN: usize = 8;

/// Open files that a connection costs, and those that everything else needs at the least: the store, the engine's own
/// connections, a file of a payload here and there.
const FILES_OF_CONNECTION: usize = 3;
const FILES_BESIDE: usize = 64;

/// Connections beyond those that are told so at once; each takes a second or two. Still more of them are
/// closed without a word, for a word costs a descriptor, too.
const REFUSALS_MAX: usize = 16;

/// Pause after a failed accept: a lack of descriptors does not pass faster by asking again at once, and an app
/// that connects meanwhile hardly notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time for a request's headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// What the connection reads ahead: more than the headers may have, so that too many of them can be told
/// from rubbish and answered with a problem.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Headers of a request: more than can stand in the bytes that they may have, for the same reason.
const HEADERS_MAX: usize = HEADERS_BYTES_MAX / 4;

/// Submits that wait for the writer at once: half of what its queue holds, so that no call ever finds it full.
const SUBMITS_AT_ONCE: usize = outbox::limits::QUEUE_VERBS_MAX / 2;

/// Batches under way at once; each remembers which messages it matched. The others wait.
const BATCHES_AT_ONCE: usize = 4;

/// What every call may use.
pub struct Context {
    /// The store.
    pub outbox: Outbox,
    /// The engine.
    pub engine: Handle,
    /// The store's notices.
    pub wake: Arc<Wake>,
    /// What the configuration says to the socket.
    pub current: Current,
    /// The configuration as it was read, for a reload, one at a time; `None` where there is nothing to read again.
    pub loaded: Mutex<Option<Loaded>>,
    /// When the daemon was started.
    pub started_at: outbox::WallTime,
    submits: Arc<Semaphore>,
    batches: Semaphore,
    room: Room,
    stop: watch::Receiver<bool>,
}

impl Context {
    /// Puts together what the calls need.
    #[must_use]
    pub fn new(
        outbox: Outbox,
        engine: Handle,
        wake: Arc<Wake>,
        in_force: InForce,
        loaded: Option<Loaded>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let started_at = outbox.now().wall;
        let submits = Arc::new(Semaphore::new(SUBMITS_AT_ONCE));
        let (current, loaded) = (Current::new(in_force), Mutex::new(loaded));
        let batches = Semaphore::new(BATCHES_AT_ONCE);
        let room = Room::default();
        Arc::new(Self { outbox, engine, wake, current, loaded, started_at, submits, batches, room, stop })
    }

    /// What a long body takes of the room for all of them: nothing yet.
    fn share(&self) -> Share {
        self.room.share(body::long_max(&self.outbox).max(crate::transport::verdict::ANSWER_BYTES_MAX))
    }

    /// What the transport is; a reload never changes it.
    pub(crate) fn transport_kind(&self) -> TransportKind {
        self.in_force().config.transport.kind
    }

    /// What the configuration says now; a call takes it once and goes by it to its end.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.current.get()
    }

    /// Tells when a stop is announced.
    fn stop(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }
}

/// The table of calls.
fn routes(context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/messages", get(messages::list).post(submit::submit))
        .route("/v1/messages:batch", post(batch::batch))
        .route("/v1/messages/{id}", get(messages::show).merge(delete(messages::cancel)))
        .route("/v1/messages/{id}/payload", get(messages::payload))
        .route("/v1/messages/{id}/why", get(why::why))
        .route("/v1/messages/{id}/resend", post(resend::resend))
        .route("/v1/messages/{id}/resolve", post(messages::resolve))
        .route("/v1/messages/{id}/hold", post(messages::hold))
        .route("/v1/messages/{id}/release", post(messages::release))
        .route("/v1/sent", get(sent::list))
        .route("/v1/sent/{id}", get(sent::show))
        .route("/v1/events", get(events::events))
        .route("/v1/status", get(daemon_calls::status))
        .route("/v1/flush", post(daemon_calls::flush))
        .route("/v1/pause", post(daemon_calls::pause))
        .route("/v1/resume", post(daemon_calls::resume))
        .route("/v1/accounts", get(daemon_calls::accounts))
        .route("/v1/accounts/{account}/pause", post(daemon_calls::pause_account))
        .route("/v1/accounts/{account}/resume", post(daemon_calls::resume_account))
        .route("/v1/compact", post(daemon_calls::compact))
        .route("/v1/reload", post(reload::reload))
        .route("/v1/connectivity", put(daemon_calls::connectivity))
        .route("/v1/leases", post(leases::lease))
        .route("/v1/leases/{lease}/settle", post(leases::settle))
        .route("/v1/leases/{lease}/extend", post(leases::extend))
        .route("/v1/openapi.json", get(openapi::openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/health/live", get(daemon_calls::live))
        .route("/v1/health/ready", get(daemon_calls::ready))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(access::check_request))
        .with_state(context)
}

/// How many connections there may be where the process may have so many files open.
fn connections_max(files_max: u64) -> usize {
    let files = usize::try_from(files_max).unwrap_or(usize::MAX).saturating_sub(FILES_BESIDE);
    (files / FILES_OF_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// Serves connections until a stop is announced; then lets those that are open finish their request.
pub async fn serve(socket: Socket, context: Arc<Context>, stop: watch::Receiver<bool>) {
    let router = routes(Arc::clone(&context));
    let connections_max = connections_max(crate::process::files_max());
    let seats = Arc::new(Semaphore::new(connections_max));
    let extra = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of descriptors, most likely: those that are open must end first.
                tracing::warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            if let Ok(seat) = Arc::clone(&extra).try_acquire_owned() {
                tokio::spawn(async move {
                    connection::refuse_busy(stream, connections_max).await;
                    drop(seat);
                });
            }
            continue;
        };
        let (router, context, stop) = (router.clone(), Arc::clone(&context), stop.clone());
        tokio::spawn(async move {
            connection::serve(stream, router, &context, stop).await;
            drop(seat);
        });
    }
    drop(socket);
    // Those that are open end with their request; a client that does not end it is cut off.
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(HEADERS_TIMEOUT, seats.acquire_many(all)).await;
}
