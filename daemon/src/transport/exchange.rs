//! One request over HTTP and its answer, as both transports that post need it.
//!
//! Owns:  the client with its connections and every switch of it, time-outs, the limit of an answer, the line
//!        between "nothing was written" and "it may have arrived".
//! Never: judges a whole answer (`verdict`), retries, follows redirects, keeps cookies, uses a proxy from the
//!        environment, unpacks compressed answers, puts a URL into words (a query may hold a secret).

mod writing;

use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};
use hyper::body::Bytes;
use outbox::Report;
use reqwest::{Certificate, Client, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::verdict::{ANSWER_BYTES_MAX, AnswerBody, HttpAnswer, maybe_reached, not_reached};
use writing::{Progress, Writing};

/// Time for DNS, connection and TLS together: a network that takes longer is as good as down.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Short, because a request on a connection that died unnoticed may
/// have arrived, while one without a connection has certainly not.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a certificate file: a whole system's collection has a quarter of it.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why the HTTP client cannot be set up. Nothing was connected.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificates cannot be read.
    #[error("{option} {} cannot be read: {source}", path.display())]
    CaFileUnreadable {
        /// Which option names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no certificate, one that is not valid, or far too much.
    #[error(
        "{option} {} holds no usable certificate: it must be PEM (-----BEGIN CERTIFICATE-----), at most 1 MiB",
        path.display()
    )]
    CaFileUnusable {
        /// Which option names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The client cannot be built: for `https` above all where the system has no certificates.
    #[error(
        "the HTTP client cannot be set up: {reason} (does the system have CA certificates? else set {option})"
    )]
    Client {
        /// Which option could name certificates.
        option: &'static str,
        /// What the library says.
        reason: String,
    },
}

/// Certificates that are trusted besides the system's, and the option that names them.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaFile<'a> {
    pub(super) option: &'static str,
    pub(super) path: Option<&'a Path>,
}

/// A client, and the time that one attempt may take.
pub(super) struct Exchange {
    /// Replaced as a whole, for its idle connections cannot be closed in any other way.
    client: Mutex<Client>,
    /// Its connections may lead nowhere: the next request gets a new one.
    stale: AtomicBool,
    setup: Setup,
}

/// What a client is made of.
struct Setup {
    tls: bool,
    extra: Vec<Certificate>,
    timeout: Duration,
}

impl Exchange {
    /// Prepares the client; connects to nothing. Without `tls` certificates of the system are not needed.
    pub(super) fn new(tls: bool, ca_file: CaFile<'_>, timeout: Duration) -> Result<Self, ClientError> {
        let extra = ca_file.path.map(|path| certificates(ca_file.option, path)).transpose()?;
        let setup = Setup { tls, extra: extra.unwrap_or_default(), timeout };
        let refused = |error| ClientError::Client { option: ca_file.option, reason: innermost(error) };
        let client = setup.client().map_err(refused)?;
        Ok(Self { client: Mutex::new(client), stale: AtomicBool::new(false), setup })
    }

    /// Uses no connection of before any more, but for what is under way.
    pub(super) fn forget_connections(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    fn client(&self) -> Client {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stale.swap(false, Ordering::Relaxed) {
            match self.setup.client() {
                Ok(fresh) => *client = fresh,
                Err(error) => {
                    let error = innermost(error);
                    tracing::warn!(%error, "Connections from before the network's change stay in use.");
                }
            }
        }
        client.clone()
    }

    /// When an attempt that begins now is over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.setup.timeout
    }

    /// Posts a body and waits for the head of the answer; without one, the report says which it is: not
    /// reached, or maybe reached.
    pub(super) async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Response, Report> {
        let (body, progress) = Writing::new(body);
        let request = self.client().post(url).headers(headers).body(reqwest::Body::wrap(body));
        match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(broken_off(&progress, &innermost(error))),
            Err(_) => Err(broken_off(&progress, &self.time_is_over())),
        }
    }

    /// Reads the rest of an answer.
    pub(super) async fn answer(&self, response: Response, deadline: Instant) -> HttpAnswer {
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        HttpAnswer { status, retry_after, body: self.read_body(response, deadline).await }
    }

    /// Reads the body up to its limit; what lies beyond is left to the closing of the connection.
    async fn read_body(&self, mut response: Response, deadline: Instant) -> AnswerBody {
        if response.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX as u64) {
            return AnswerBody::TooLong;
        }
        let mut bytes = Vec::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                    return AnswerBody::TooLong;
                }
                Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
                Ok(Ok(None)) => return AnswerBody::Whole(bytes),
                Ok(Err(error)) => return AnswerBody::Lost { cause: innermost(error) },
                Err(_) => return AnswerBody::Lost { cause: self.time_is_over() },
            }
        }
    }

    fn time_is_over(&self) -> String {
        format!("no answer within {} ms", self.setup.timeout.as_millis())
    }
}

/// Host and port of a URL, as a probe needs them.
pub(super) fn address(url: &Url) -> Option<(String, u16)> {
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((bare.to_owned(), url.port_or_known_default()?))
}

/// The report of a request without an answer. Whether its writing had begun decides.
fn broken_off(progress: &Progress, cause: &str) -> Report {
    if progress.give_up_has_begun() {
        maybe_reached(format!("The connection was lost after the request began: {cause}"))
    } else {
        not_reached(format!("No connection: {cause}"))
    }
}

/// What happened at the bottom of an error, without the URL: a query may hold a secret.
fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl Setup {
    fn client(&self) -> Result<Client, reqwest::Error> {
        // Fails only where one is installed already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // A request that was never handed to a connection is known as such over HTTP/1 only.
            .http1_only()
            .connect_timeout(self.timeout.min(CONNECT_TIMEOUT_MAX))
            .pool_idle_timeout(IDLE_TIMEOUT);
        let extra = self.extra.clone();
        let builder = if self.tls {
            builder.tls_certs_merge(extra)
        } else {
            // No TLS is ever spoken: a system without certificates is no obstacle.
            builder.tls_certs_only(extra)
        };
        builder.build()
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let unreadable = |source| ClientError::CaFileUnreadable { option, path: path.to_owned(), source };
    let unusable = || ClientError::CaFileUnusable { option, path: path.to_owned() };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(CA_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(unusable());
    }
    let certificates = Certificate::from_pem_bundle(&bytes).map_err(|_| unusable())?;
    if certificates.is_empty() { Err(unusable()) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = |path: &Path| {
            let ca_file = CaFile { option: "the.option", path: Some(path) };
            Exchange::new(true, ca_file, Duration::from_secs(1)).err().unwrap()
        };
        assert!(matches!(refused(&path), ClientError::CaFileUnreadable { .. }));
        for content in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, content).unwrap();
            let text = refused(&path).to_string();
            assert!(text.contains("the.option") && text.contains("certificate"), "{content:?}: {text}");
        }
    }
}
