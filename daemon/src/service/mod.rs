//! A built-in messaging service on loopback that misbehaves on request, for the demo and the tests.
//!
//! Owns:  its listener and connections, the record of what it received, and the ledger of what it took.
//! Never: runs in normal operation, listens beyond loopback unless told to, does anything that its script
//!        did not ask for.
//!
//! It reads HTTP/1.1 itself, because an HTTP library would not let it break off in the middle of an answer.
//! A script looks at each request and says what happens to it. Like a good service it de-duplicates by
//! `Idempotency-Key`: a token that it took before gets the first answer again, and is not taken twice.

mod ledger;
mod reply;
mod request;
mod serve;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use ledger::{Dedup, Delivered};
pub(crate) use ledger::{doubled, lost, out_of_order};
pub use reply::{Gate, Reply};
pub use request::Received;
use serve::{Seen, Shared, serve};

/// Connections that the system keeps waiting for us.
const BACKLOG: u32 = 1024;

/// What the service does with a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Reads its requests.
    Open,
    /// Closes it before anything is read.
    Slammed,
}

/// What was waited for did not happen in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service did not see what was waited for within {timeout_ms} ms ({requests} requests, {taken} taken)"
)]
pub struct WaitTimedOut {
    /// How long was waited, in milliseconds.
    pub timeout_ms: u128,
    /// Requests that were received until then.
    pub requests: usize,
    /// Messages that were taken until then.
    pub taken: usize,
}

/// The unreliable service. Dropping it stops it.
///
/// A stopped one can listen again at the same address, with the same ledger and memory of tokens: that is an
/// outage. [`Service::start_at`] on the address of another is a service that forgot everything.
pub struct Service {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Running {
    /// Dropped to stop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Service {
    /// Starts a service on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Fails if the system gives no port.
    pub async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        Self::start_with(loopback(), Dedup::ByToken, script).await
    }

    /// Starts a service at an address, also right after another one stopped there.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not ours.
    pub async fn start_at(
        addr: SocketAddr,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(addr, Dedup::ByToken, script).await
    }

    /// Starts a service that takes every request as a new message, on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Fails if the system gives no port.
    pub async fn without_dedup(
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(loopback(), Dedup::Off, script).await
    }

    /// Starts a service at an address, with or without memory of send tokens.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not ours.
    pub async fn start_with(
        addr: SocketAddr,
        dedup: Dedup,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Shared {
            script: Box::new(script),
            dedup,
            door: watch::Sender::new(Door::Open),
            seen: watch::Sender::new(Seen::default()),
        };
        let mut service = Self { addr, shared: Arc::new(shared), running: None };
        service.restart().await?;
        Ok(service)
    }

    /// Listens again after [`Service::stop`], at the same address and with the same ledger. Does nothing
    /// while it runs.
    ///
    /// # Errors
    ///
    /// Fails if somebody else has taken the port.
    pub async fn restart(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = listen(self.addr)?;
        self.addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, stopped, Arc::clone(&self.shared)));
        self.running = Some(Running { stop, task });
        Ok(())
    }

    /// Closes the listener and every connection, and returns once they are closed. The port stays free for
    /// [`Service::restart`] or [`Service::start_at`].
    pub async fn stop(&mut self) {
        if let Some(Running { stop, task }) = self.running.take() {
            drop(stop);
            // An error would be a panic of the task, which closes the sockets as well.
            let _ = task.await;
        }
    }

    /// Says what happens to new connections from now on.
    pub fn set_door(&self, door: Door) {
        self.shared.door.send_replace(door);
    }

    /// The address it listens at.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL that a transport is given.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/send", self.addr)
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.seen.borrow().requests.clone()
    }

    /// Every message that was taken so far, in order.
    #[must_use]
    pub fn ledger(&self) -> Vec<Delivered> {
        self.shared.seen.borrow().ledger.deliveries.clone()
    }

    /// How many repeats were recognized by their token, and so not taken again.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.shared.seen.borrow().ledger.repeats
    }

    /// The msgIDs that were taken more than once, sorted.
    #[must_use]
    pub fn doubled(&self) -> Vec<String> {
        ledger::doubled(&self.shared.seen.borrow().ledger.deliveries)
    }

    /// The expected msgIDs that were never taken; `expected` is by conversation.
    #[must_use]
    pub fn lost(&self, expected: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        ledger::lost(&self.shared.seen.borrow().ledger.deliveries, expected)
    }

    /// The msgIDs that were taken after one that stands behind them; `expected` is the order of acceptance
    /// by conversation.
    #[must_use]
    pub fn out_of_order(&self, expected: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        ledger::out_of_order(&self.shared.seen.borrow().ledger.deliveries, expected)
    }

    /// Waits until the requests so far satisfy the predicate; it is asked at once, and after each change.
    ///
    /// # Errors
    ///
    /// Fails when the time is over.
    pub async fn wait_for(
        &self,
        mut predicate: impl FnMut(&[Received]) -> bool,
        timeout: Duration,
    ) -> Result<(), WaitTimedOut> {
        self.wait(|seen| predicate(&seen.requests), timeout).await
    }

    /// Waits until the messages taken so far satisfy the predicate; it is asked at once, and after each
    /// change.
    ///
    /// # Errors
    ///
    /// Fails when the time is over.
    pub async fn wait_for_ledger(
        &self,
        mut predicate: impl FnMut(&[Delivered]) -> bool,
        timeout: Duration,
    ) -> Result<(), WaitTimedOut> {
        self.wait(|seen| predicate(&seen.ledger.deliveries), timeout).await
    }

    async fn wait(
        &self,
        predicate: impl FnMut(&Seen) -> bool,
        timeout: Duration,
    ) -> Result<(), WaitTimedOut> {
        let mut seen = self.shared.seen.subscribe();
        if tokio::time::timeout(timeout, seen.wait_for(predicate)).await.is_ok() {
            return Ok(());
        }
        let seen = self.shared.seen.borrow();
        Err(WaitTimedOut {
            timeout_ms: timeout.as_millis(),
            requests: seen.requests.len(),
            taken: seen.ledger.deliveries.len(),
        })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("addr", &self.addr)
            .field("running", &self.running.is_some())
            .finish_non_exhaustive()
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it, connections that linger after a stop would keep the port from the next start.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests;
