//! Baselines of HTTP: a server that does nothing but sync, a client that does nothing but post.
//!
//! Owns:  both, with the libraries that the daemon uses.
//! Never: keeps, orders or retries a message.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result, ensure};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::bare::RawLog;
use crate::workload;

/// A body to sync, and whom to tell.
type Work = (Bytes, oneshot::Sender<()>);

/// Bytes of the server's log.
const LOG_BYTES: usize = 64 * 1024 * 1024;

/// A server on a Unix socket that appends each body to a log and answers once it is synced. What has gathered while
/// a sync ran shares the next one. It has a runtime of its own, as a process would.
pub(crate) struct BareServer {
    socket: PathBuf,
    _runtime: Runtime,
}

impl BareServer {
    pub(crate) fn start(socket: PathBuf, log: &Path) -> Result<Self> {
        let mut log = RawLog::create(log, LOG_BYTES)?;
        let (queue, work) = mpsc::channel::<Work>();
        std::thread::Builder::new().name("bare writer".to_owned()).spawn(move || {
            while let Ok(first) = work.recv() {
                let mut group = vec![first];
                group.extend(work.try_iter());
                if log.append(group.iter().map(|(body, _)| body.as_ref())).is_err() {
                    // Those that wait see their channels close.
                    return;
                }
                for (_, done) in group {
                    // A client that is gone needs no answer.
                    let _ = done.send(());
                }
            }
        })?;
        let runtime = crate::runtime()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?
        };
        runtime.spawn(accept(listener, queue));
        Ok(Self { socket, _runtime: runtime })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

async fn accept(listener: UnixListener, queue: mpsc::Sender<Work>) {
    while let Ok((stream, _)) = listener.accept().await {
        let queue = queue.clone();
        let service = service_fn(move |request| keep(queue.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn keep(queue: mpsc::Sender<Work>, request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let (done, synced) = oneshot::channel();
    queue.send((body, done)).ok().context("the log has failed")?;
    synced.await.context("the log has failed")?;
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// A client with the settings of the daemon's.
#[derive(Clone)]
pub(crate) struct BareClient {
    client: reqwest::Client,
    url: String,
}

impl BareClient {
    pub(crate) fn new(url: String) -> Result<Self> {
        // Fails only where one is installed already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            // No TLS is spoken.
            .tls_certs_only(Vec::new())
            .build()
            .context("preparing the bare client")?;
        Ok(Self { client, url })
    }

    /// Posts one message as the daemon does, and reads the answer.
    async fn post(&self, number: u64, conversations: u64, payload: &[u8]) -> Result<()> {
        let request = self.client.post(&self.url).header("Content-Type", "application/json");
        let request =
            request.header("Idempotency-Key", format!("{number:032x}")).header("Outbox-Attempt", "1");
        let body = workload::request_body(number, conversations, payload);
        let response = request.body(body).send().await.context("posting with the bare client")?;
        ensure!(response.status().is_success(), "the service answered {}", response.status());
        response.bytes().await.context("reading the service's answer")?;
        Ok(())
    }

    /// Posts so many messages, `concurrency` at a time.
    pub(crate) async fn post_all(
        &self,
        count: u64,
        concurrency: usize,
        conversations: u64,
        payload: &Arc<Vec<u8>>,
    ) -> Result<()> {
        let next = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..concurrency)
            .map(|_| {
                let (client, next, payload) = (self.clone(), Arc::clone(&next), Arc::clone(payload));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok::<(), anyhow::Error>(());
                        }
                        client.post(number, conversations, &payload).await?;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.context("the bare client")??;
        }
        Ok(())
    }
}
