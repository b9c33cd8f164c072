//! Probes: whether somebody answers at an address, without asking for anything.
//!
//! Owns:  the seam between the engine and the network, the probe that opens a connection, its longest wait,
//!        giving up the one before.
//! Never: decides when to probe, or what a result means (`link`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, BoxFuture, abortable};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Finds out whether the service can be reached; always ends.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Longest wait for a probe: as long as a slow mobile network needs for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The probe that opens a TCP connection to this address, and closes it again.
#[must_use]
pub fn connects(host: String, port: u16) -> Probe {
    Arc::new(move || {
        let host = host.clone();
        Box::pin(async move { matches!(timeout(TIMEOUT, TcpStream::connect((host, port))).await, Ok(Ok(_))) })
    })
}

/// Probes, one probe at a time.
pub(super) struct Prober {
    probe: Option<Probe>,
    under_way: Option<AbortHandle>,
}

impl Prober {
    /// Prepares to probe, if there is anything to probe.
    pub(super) const fn new(probe: Option<Probe>) -> Self {
        Self { probe, under_way: None }
    }

    /// Starts a probe and gives up the one before: a connection that was begun before the network returned
    /// may wait for seconds until it sends its next packet.
    pub(super) fn start(&mut self) -> impl Future<Output = bool> + Send + use<> {
        if let Some(before) = self.under_way.take() {
            before.abort();
        }
        let probe = self.probe.clone();
        let (probe, handle) = abortable(async move {
            match probe {
                Some(probe) => probe().await,
                None => false,
            }
        });
        self.under_way = Some(handle);
        async move { probe.await.unwrap_or(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_tells_whether_somebody_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut prober = Prober::new(Some(connects("127.0.0.1".to_owned(), port)));
        assert!(prober.start().await);
        drop(listener);
        assert!(!prober.start().await);
        assert!(!Prober::new(None).start().await);
    }

    #[tokio::test]
    async fn the_next_probe_ends_the_one_before_at_once() {
        let mut prober = Prober::new(Some(Arc::new(|| Box::pin(std::future::pending()))));
        let (first, second) = (prober.start(), prober.start());
        assert!(!first.await);
        drop(second);
    }
}
