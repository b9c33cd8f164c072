//! A service on the loopback that takes every message at once.
//!
//! Owns:  its thread, its port, and the moments at which the messages came.
//! Never: fails, waits, looks into a message.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// What came since the last [`Service::expect`].
#[derive(Default)]
struct Came {
    /// Messages since the service began.
    total: u64,
    count: u64,
    wanted: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    came: Mutex<Came>,
    news: Notify,
}

/// When the expected messages came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

/// A running service, on a thread of its own like a process of its own.
pub(crate) struct Service {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Service {
    /// Starts a service on a free port.
    pub(crate) fn start() -> Result<Self> {
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").context("opening a port of the loopback")?;
        let addr = listener.local_addr()?;
        let mut service = Self { addr, shared: Arc::default(), running: None };
        service.serve(listener)?;
        Ok(service)
    }

    fn serve(&mut self, listener: std::net::TcpListener) -> Result<()> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(move || {
            runtime.block_on(async {
                // Fails only outside a runtime; then nobody answers, which whoever waits reports.
                if let Ok(listener) = TcpListener::from_std(listener) {
                    accept(listener, stopped, shared).await;
                }
            });
        })?;
        self.running = Some((stop, thread));
        Ok(())
    }

    /// Closes the port and all connections. The port stays known.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // A panic on it shows as requests without an answer.
            let _ = thread.join();
        }
    }

    /// Opens the same port again; answers when.
    pub(crate) fn restart(&mut self) -> Result<Instant> {
        let socket = std::net::TcpListener::bind(self.addr).context("opening the service's port again")?;
        let back = Instant::now();
        self.serve(socket)?;
        Ok(back)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/send", self.addr)
    }

    /// Messages that came since the service began.
    pub(crate) fn total(&self) -> u64 {
        self.came().total
    }

    /// Counts anew, up to so many messages.
    pub(crate) fn expect(&self, wanted: u64) {
        let mut came = self.came();
        *came = Came { total: came.total, wanted, ..Came::default() };
    }

    /// Waits until the expected messages have come.
    pub(crate) async fn arrivals(&self, within: Duration) -> Result<Arrivals> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let news = self.shared.news.notified();
            let (count, wanted) = {
                let came = self.came();
                if let (Some(first), Some(last)) = (came.first, came.last) {
                    return Ok(Arrivals { first, last });
                }
                (came.count, came.wanted)
            };
            if timeout_at(deadline, news).await.is_err() {
                bail!("within {within:?} {count} of {wanted} messages came to the service");
            }
        }
    }

    fn came(&self) -> MutexGuard<'_, Came> {
        lock(&self.shared)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Came> {
    shared.came.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Notes a message; answers its number.
    fn note(&self) -> u64 {
        let mut came = lock(self);
        came.total += 1;
        came.count += 1;
        if came.count == 1 {
            came.first = Some(Instant::now());
        }
        if came.count == came.wanted {
            came.last = Some(Instant::now());
            self.news.notify_one();
        }
        came.total
    }
}

async fn accept(listener: TcpListener, mut stopped: oneshot::Receiver<()>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Without it an answer could wait for the client's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        }
    }
}

/// Reads the message and answers with a small replacement.
async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off ends its connection anyway.
    let _ = request.into_body().collect().await;
    let number = shared.note();
    let body = format!(r#"{{"code":0,"desc":"ok","data":{{"msgID":"new-{number}","status":2}}}}"#);
    Ok(Response::new(Full::new(Bytes::from(body))))
}
