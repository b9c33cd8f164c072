//! Setting up the HTTP transport: its options, what is refused, and the client.
//!
//! Owns:  the checks of URL, headers and certificates; every switch of the HTTP client.
//! Never: connects, prints a header's value or the URL.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
    USER_AGENT,
};
use reqwest::{Certificate, Client, Url};

/// Time for DNS, connection and TLS together: a network that takes longer is as good as down.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// How long an unused connection is kept. Short, because a request on a connection that died unnoticed may
/// have arrived, while one without a connection has certainly not.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a certificate file: a whole system's collection has a quarter of it.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the configuration says about the HTTP transport.
#[derive(Clone)]
pub struct HttpOptions {
    /// Where messages are posted: `http` or `https`.
    pub url: String,
    /// Headers that every request carries, besides the transport's own. Their values are secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Time for a whole attempt.
    pub timeout: Duration,
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpOptions")
            .field("headers", &names)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why the HTTP transport cannot be set up. Nothing was connected.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The URL does not parse.
    #[error("transport.http.url is not a URL ({0}): write it as https://host/path")]
    UrlInvalid(String),
    /// The URL's scheme is neither `http` nor `https`.
    #[error("transport.http.url begins with `{0}:`: only http and https are possible")]
    UrlScheme(String),
    /// The URL holds a name or a password.
    #[error(
        "transport.http.url holds a user or password: use an Authorization header in transport.http.headers"
    )]
    UrlHasCredentials,
    /// A header that the transport sets itself.
    #[error("transport.http.headers must not set `{0}`: the transport sets it itself")]
    HeaderReserved(HeaderName),
    /// The file of certificates cannot be read.
    #[error("transport.http.ca_file {} cannot be read: {source}", path.display())]
    CaFileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no certificate, one that is not valid, or far too much.
    #[error(
        "transport.http.ca_file {} holds no usable certificate: it must be PEM \
         (-----BEGIN CERTIFICATE-----), at most 1 MiB", path.display()
    )]
    CaFileUnusable {
        /// The file.
        path: PathBuf,
    },
    /// The client cannot be built: for `https` above all where the system has no certificates.
    #[error(
        "the HTTP client cannot be set up: {0} (does the system have CA certificates? else set transport.http.ca_file)"
    )]
    Client(String),
}

pub(super) fn url(text: &str) -> Result<Url, HttpSetupError> {
    let url = Url::parse(text).map_err(|error| HttpSetupError::UrlInvalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpSetupError::UrlScheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpSetupError::UrlHasCredentials);
    }
    Ok(url)
}

pub(super) fn headers(configured: Vec<(HeaderName, HeaderValue)>) -> Result<HeaderMap, HttpSetupError> {
    let mut headers = HeaderMap::new();
    for (name, mut value) in configured {
        if is_reserved(&name) {
            return Err(HttpSetupError::HeaderReserved(name));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    if !headers.contains_key(USER_AGENT) {
        let agent = HeaderValue::from_static(concat!("outboxd/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
    }
    Ok(headers)
}

fn is_reserved(name: &HeaderName) -> bool {
    [
        CONTENT_TYPE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        UPGRADE,
        super::IDEMPOTENCY_KEY,
        super::OUTBOX_ATTEMPT,
    ]
    .contains(name)
}

pub(super) fn client(url: &Url, ca_file: Option<&Path>, timeout: Duration) -> Result<Client, HttpSetupError> {
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
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        .pool_idle_timeout(IDLE_TIMEOUT);
    let extra = ca_file.map(certificates).transpose()?.unwrap_or_default();
    let builder = if url.scheme() == "https" {
        builder.tls_certs_merge(extra)
    } else {
        // No TLS is ever spoken: a system without certificates is no obstacle.
        builder.tls_certs_only(extra)
    };
    builder.build().map_err(|error| HttpSetupError::Client(super::innermost(error)))
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, HttpSetupError> {
    let unreadable = |source| HttpSetupError::CaFileUnreadable { path: path.to_owned(), source };
    let unusable = || HttpSetupError::CaFileUnusable { path: path.to_owned() };
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
    fn an_address_that_cannot_work_is_refused_with_the_cure() {
        for (text, word) in [
            ("not a url", "https://host/path"),
            ("ftp://host/", "only http and https"),
            ("https://me:secret@host/", "Authorization"),
        ] {
            let error = url(text).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_of_the_transport_cannot_be_configured_and_values_are_never_shown() {
        let value = HeaderValue::from_static("hush");
        for name in ["content-type", "idempotency-key", "outbox-attempt", "content-length"] {
            let name = HeaderName::from_static(name);
            assert!(matches!(
                headers(vec![(name.clone(), value.clone())]),
                Err(HttpSetupError::HeaderReserved(refused)) if refused == name
            ));
        }
        let name = HeaderName::from_static("x-key");
        let map = headers(vec![(name.clone(), value.clone()), (name.clone(), value.clone())]).unwrap();
        assert_eq!(map.get_all(&name).iter().count(), 2);
        assert!(!format!("{map:?}").contains("hush"));
        let options = HttpOptions {
            url: "https://host/?k=hush".into(),
            headers: vec![(name, value)],
            ca_file: None,
            timeout: Duration::from_secs(1),
        };
        assert!(!format!("{options:?}").contains("hush"));
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let address = url("https://localhost/").unwrap();
        let refused = |path: &Path| client(&address, Some(path), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(refused(&path), HttpSetupError::CaFileUnreadable { .. }));
        for content in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, content).unwrap();
            let error = refused(&path);
            let text = error.to_string();
            assert!(text.contains("certificate"), "{content:?}: {text}");
        }
    }
}
