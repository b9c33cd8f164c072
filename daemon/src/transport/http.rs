//! The HTTP transport: posts a message to a service of one's own and reads its answer.
//!
//! Owns:  one client with its connections, redirects, time-outs, and the line between "nothing was written"
//!        and "it may have arrived".
//! Never: judges a whole answer (`verdict`), retries, keeps cookies, uses a proxy from the environment,
//!        unpacks compressed answers, puts header values or payloads into words.

mod body;
mod setup;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use outbox::{Clock, Report};
use reqwest::{Client, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::verdict::{
    ANSWER_BYTES_MAX, AnswerBody, Classes, HttpAnswer, judge_http, maybe_reached, not_reached,
};
use super::{Attempt, Transport};
use body::{Progress, Writing, request_body};
pub use setup::{HttpOptions, HttpSetupError};

/// Redirects that are followed in one attempt: enough for a moved service behind a balancer, and a loop ends.
const REDIRECTS_MAX: u32 = 5;
/// The send token's header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The attempt number's header.
const OUTBOX_ATTEMPT: HeaderName = HeaderName::from_static("outbox-attempt");

/// Posts each attempt to a URL.
pub struct HttpTransport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
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
        let client = setup::client(&url, options.ca_file.as_deref(), options.timeout)?;
        Ok(Self { client, url, headers, timeout: options.timeout, classes, clock })
    }

    async fn run(&self, attempt: Attempt) -> Report {
        let deadline = Instant::now() + self.timeout;
        let headers = match self.request_headers(&attempt) {
            Ok(headers) => headers,
            Err(report) => return report,
        };
        let body = request_body(&attempt);
        let mut url = self.url.clone();
        let mut redirects_left = REDIRECTS_MAX;
        loop {
            let (body, progress) = Writing::new(body.clone());
            let request =
                self.client.post(url.clone()).headers(headers.clone()).body(reqwest::Body::wrap(body));
            let response = match timeout_at(deadline, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return broken_off(&progress, &innermost(error)),
                Err(_) => return broken_off(&progress, &self.time_is_over()),
            };
            match same_origin_redirect(&url, &response) {
                Some(next) if redirects_left > 0 => {
                    redirects_left -= 1;
                    url = next;
                }
                _ => return self.judge(response, deadline).await,
            }
        }
    }

    fn request_headers(&self, attempt: &Attempt) -> Result<HeaderMap, Report> {
        let mut token = HeaderValue::from_str(&attempt.send_token)
            .map_err(|_| not_reached("the send token cannot stand in a header".to_owned()))?;
        // Who knows it can make the service swallow the message.
        token.set_sensitive(true);
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, token);
        headers.insert(OUTBOX_ATTEMPT, HeaderValue::from(attempt.attempt));
        Ok(headers)
    }

    async fn judge(&self, response: Response, deadline: Instant) -> Report {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        let body = self.read_body(response, deadline).await;
        let retry_after = retry_after.as_ref().and_then(|value| value.to_str().ok());
        judge_http(&self.classes, &HttpAnswer { status, retry_after, body }, self.clock.read().wall.0)
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
        format!("no answer within {} ms", self.timeout.as_millis())
    }
}

impl Transport for HttpTransport {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Report> {
        Box::pin(self.run(attempt))
    }

    fn probe_address(&self) -> Option<(String, u16)> {
        let host = self.url.host_str()?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((bare.to_owned(), self.url.port_or_known_default()?))
    }
}

/// The report of a request without an answer. Whether its writing had begun decides.
fn broken_off(progress: &Progress, cause: &str) -> Report {
    if progress.give_up_has_begun() {
        maybe_reached(format!("The connection was lost after the request began: {cause}"))
    } else {
        not_reached(format!("No connection: {cause}"))
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

/// What happened at the bottom of an error, without the URL: a query may hold a secret.
fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
