//! The HTTP transport: posts a message to a service of one's own and reads its answer.
//!
//! Owns:  the request of the contract, and which redirects are followed.
//! Never: connects by itself (`exchange`), judges an answer (`verdict`), retries, puts header values or
//!        payloads into words.

mod body;
mod setup;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use outbox::{Clock, Report};
use reqwest::{Response, Url};

use super::exchange::{self, CaFile, Exchange};
use super::verdict::{Classes, judge_http, not_reached};
use super::{Attempt, Transport};
use body::request_body;
pub use setup::{HttpOptions, HttpSetupError};

/// Redirects that are followed in one attempt: enough for a moved service behind a balancer, and a loop ends.
const REDIRECTS_MAX: u32 = 5;
/// The send token's header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The attempt number's header.
const OUTBOX_ATTEMPT: HeaderName = HeaderName::from_static("outbox-attempt");

/// Posts each attempt to a URL.
pub struct HttpTransport {
    exchange: Exchange,
    url: Url,
    headers: HeaderMap,
    classes: Classes,
    clock: Arc<dyn Clock>,
}

impl HttpTransport {
    /// Prepares the client; connects to nothing. `clock` is read for a `Retry-After` that is a date.
    ///
    /// # Errors
    ///
    /// Refuses a URL that is not plain `http` or `https`, headers that the transport sets itself, and a file
    /// of certificates that cannot be used.
    pub fn new(
        options: HttpOptions,
        classes: Classes,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HttpSetupError> {
        let url = setup::url(&options.url)?;
        let headers = setup::headers(options.headers)?;
        let ca_file = CaFile { option: "transport.http.ca_file", path: options.ca_file.as_deref() };
        let exchange = Exchange::new(url.scheme() == "https", ca_file, options.timeout)?;
        Ok(Self { exchange, url, headers, classes, clock })
    }

    async fn run(&self, attempt: Attempt) -> Report {
        let deadline = self.exchange.deadline();
        let headers = match self.request_headers(&attempt) {
            Ok(headers) => headers,
            Err(report) => return report,
        };
        let body = request_body(&attempt);
        let mut url = self.url.clone();
        let mut redirects_left = REDIRECTS_MAX;
        loop {
            let response =
                match self.exchange.post(url.clone(), headers.clone(), body.clone(), deadline).await {
                    Ok(response) => response,
                    Err(report) => return report,
                };
            match same_origin_redirect(&url, &response) {
                Some(next) if redirects_left > 0 => {
                    redirects_left -= 1;
                    url = next;
                }
                _ => {
                    let answer = self.exchange.answer(response, deadline).await;
                    return judge_http(&self.classes, &answer, self.clock.read().wall.0);
                }
            }
        }
    }

    fn request_headers(&self, attempt: &Attempt) -> Result<HeaderMap, Report> {
        let mut token = HeaderValue::from_str(&attempt.send_token.to_hex())
            .map_err(|_| not_reached("the send token cannot stand in a header".to_owned()))?;
        // Who knows it can make the service swallow the message.
        token.set_sensitive(true);
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, token);
        headers.insert(OUTBOX_ATTEMPT, HeaderValue::from(attempt.attempt));
        Ok(headers)
    }
}

impl Transport for HttpTransport {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Report> {
        Box::pin(self.run(attempt))
    }

    fn forget_connections(&self) {
        self.exchange.forget_connections();
    }

    fn probe_address(&self) -> Option<(String, u16)> {
        exchange::address(&self.url)
    }
}

/// The address to follow: a 307 or 308 to the same scheme, host and port.
fn same_origin_redirect(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    let same = to.scheme() == from.scheme()
        && to.host() == from.host()
        && to.port_or_known_default() == from.port_or_known_default();
    // A name in the address would replace the configured Authorization.
    (same && to.username().is_empty() && to.password().is_none()).then_some(to)
}

#[cfg(test)]
mod tests;
