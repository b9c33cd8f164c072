//! Setting up the HTTP transport: its options, and what is refused.
//!
//! Owns:  the checks of URL and headers.
//! Never: connects, prints a header's value or the URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
    USER_AGENT,
};
use reqwest::Url;

use crate::transport::exchange::ClientError;

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
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
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
}
