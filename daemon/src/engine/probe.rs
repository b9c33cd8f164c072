//! Probes: whether the service can be reached at all, without a message.
//!
//! Owns:  the seam between the engine and the network, and the probe that opens a connection.
//! Never: decides when to probe, or what the answer means (`link` does).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// Finds out whether the service can be reached; always ends.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Longest wait for a connection: as long as a slow mobile network needs for one.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The probe that opens a TCP connection to this address, and closes it again.
#[must_use]
pub fn connects(host: String, port: u16) -> Probe {
    Arc::new(move || {
        let host = host.clone();
        Box::pin(async move {
            let connect = tokio::net::TcpStream::connect((host, port));
            matches!(tokio::time::timeout(TIMEOUT, connect).await, Ok(Ok(_)))
        })
    })
}
