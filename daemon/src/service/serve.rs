//! Serving connections: accepts them, reads requests, asks the script, does what it says.
//!
//! Owns:  the accept loop, the conversation over one connection, the record of requests and the ledger.
//! Never: starts or stops itself, chooses a reply.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::ledger::{self, Ledger, NewId};
use super::reply;
use super::request::Reader;
use super::{Dedup, Door, Received, Reply};

/// Connections at a time: several times what a daemon opens; more are closed at once.
const CONNECTIONS_MAX: usize = 1024;
/// Requests that are kept, so that a runaway client cannot fill the memory; beyond, the answer is 503.
const REQUESTS_MAX: usize = 1_000_000;
/// Time for a whole request to arrive, and for which an idle connection is kept.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept: a lack of file handles does not pass faster by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What happens to a request.
pub(super) type Script = dyn Fn(&Received) -> Reply + Send + Sync;

/// What the service's handle and its connections share.
pub(super) struct Shared {
    pub(super) script: Box<Script>,
    pub(super) dedup: Dedup,
    pub(super) door: watch::Sender<Door>,
    pub(super) seen: watch::Sender<Seen>,
}

/// What the service has seen so far; waiting tests watch it.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: u64,
    pub(super) requests: Vec<Received>,
    pub(super) ledger: Ledger,
}

impl Shared {
    /// Numbers and keeps a request; `None` once there are too many.
    fn record(&self, mut received: Received) -> Option<Received> {
        let mut recorded = None;
        self.seen.send_modify(|seen| {
            if seen.requests.len() < REQUESTS_MAX {
                received.n = seen.requests.len() as u64 + 1;
                seen.requests.push(received.clone());
                recorded = Some(received);
            }
        });
        recorded
    }

    fn take(&self, received: &Received, new_id: NewId) -> Option<Vec<u8>> {
        let mut answer = None;
        self.seen.send_modify(|seen| answer = seen.ledger.take(received, self.dedup, new_id));
        answer
    }
}

/// Accepts connections until it is told to stop; then closes all of them and returns.
pub(super) async fn serve(listener: TcpListener, mut stopped: oneshot::Receiver<()>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if admits(&shared, connections.len()) => {
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
                Ok((stream, _)) => drop(stream),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

fn admits(shared: &Shared, connections: usize) -> bool {
    connections < CONNECTIONS_MAX && *shared.door.borrow() == Door::Open
}

/// Whether a connection is good for another request.
enum Next {
    Request,
    Close,
}

/// Serves one connection until either side closes it.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let mut connection = 0;
    shared.seen.send_modify(|seen| {
        seen.connections += 1;
        connection = seen.connections;
    });
    // Answers are small: without this each could wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let (source, mut sink) = stream.into_split();
    let mut reader = Reader::new(source, connection);
    loop {
        let received = match tokio::time::timeout(READ_TIMEOUT, reader.next()).await {
            Ok(Ok(Some(received))) => received,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                let _ = reply::write_answer(&mut sink, 400, &[], error.to_string().as_bytes()).await;
                return;
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        match answer(&shared, received, &mut reader, &mut sink).await {
            Ok(Next::Request) => {}
            Ok(Next::Close) | Err(_) => return,
        }
    }
}

/// Records a request, asks the script, and does what it says.
async fn answer<R: tokio::io::AsyncRead + Unpin>(
    shared: &Shared,
    received: Received,
    reader: &mut Reader<R>,
    sink: &mut OwnedWriteHalf,
) -> io::Result<Next> {
    let Some(received) = shared.record(received) else {
        reply::write_answer(sink, 503, &[], b"this service keeps no more requests").await?;
        return Ok(Next::Close);
    };
    match (shared.script)(&received).ripen().await {
        Reply::Accept => whole(shared.take(&received, NewId::Fresh), sink).await,
        Reply::AcceptSameId => whole(shared.take(&received, NewId::Same), sink).await,
        Reply::AcceptThenLose => {
            shared.take(&received, NewId::Fresh);
            Ok(Next::Close)
        }
        Reply::HalfBody => {
            let body = shared.take(&received, NewId::Fresh).unwrap_or_else(|| b"no message".to_vec());
            reply::write_half(sink, &body).await?;
            Ok(Next::Close)
        }
        Reply::LoseBeforeAccept => Ok(Next::Close),
        Reply::Callback { code, desc } => whole(refusal(&received, code, &desc), sink).await,
        Reply::Status { status, headers, body } => {
            reply::write_answer(sink, status, &headers, &body).await?;
            Ok(Next::Request)
        }
        Reply::EndlessBody => {
            reply::write_endless(sink).await?;
            Ok(Next::Close)
        }
        // A ripe reply is never one of the last two; to hang is what they would do at worst.
        Reply::Hang | Reply::Delayed(..) | Reply::WhenOpen(..) => {
            reader.until_closed().await;
            Ok(Next::Close)
        }
    }
}

/// Answers 200 with a callback, or 400 where the request had no message to take.
async fn whole(callback: Option<Vec<u8>>, sink: &mut OwnedWriteHalf) -> io::Result<Next> {
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
    match callback {
        Some(body) => reply::write_answer(sink, 200, &headers, &body).await?,
        None => reply::write_answer(sink, 400, &[], b"the body is not a send request").await?,
    }
    Ok(Next::Request)
}

/// The callback of a send that failed: like the SDK's, it carries the message with status 3.
fn refusal(received: &Received, code: i64, desc: &str) -> Option<Vec<u8>> {
    ledger::callback(code, desc, received.message()?, &[("status", "3".to_owned())])
}
