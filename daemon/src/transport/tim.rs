//! The Tencent transport: sends through the vendor's REST interface, without an SDK.
//!
//! Owns:  the two calls (one person, a group) as requests, the numbers by which the service recognises a
//!        repetition, the pace into one group.
//! Never: maps a message or a reply (`outbox_tim::rest` does), judges what a code means (`verdict`), retries,
//!        uploads files, puts a signature or a payload into words.

mod groups;
mod login;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::body::Bytes;
use outbox::{CODE_CANNOT_CARRY, CODE_NOT_REACHED, Class, Clock, Outcome, Report};
use outbox_tim::rest::{self, Call, CallOptions, Reply};
use reqwest::Url;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::exchange::{self, CaFile, ClientError, Exchange};
use super::verdict::{AnswerBody, Classes, HttpAnswer, judge_answer};
use super::{Attempt, Transport, Turn};
use crate::config::TimLogin;
use groups::Groups;
use login::Login;

/// What the configuration says about the Tencent transport.
#[derive(Clone, Debug)]
pub struct TimOptions {
    /// The accounts that can send, by name.
    pub logins: BTreeMap<String, TimLogin>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Time for a whole attempt. The service itself takes up to 3 s before it answers.
    pub timeout: Duration,
}

/// Why the Tencent transport cannot be set up. Nothing was connected.
#[derive(Debug, thiserror::Error)]
pub enum TimSetupError {
    /// A host cannot be used.
    #[error("transport.tim: the host of account {account} is not valid: {reason}")]
    Host {
        /// The account.
        account: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Sends each attempt with a REST call.
pub struct TimTransport {
    exchange: Exchange,
    logins: BTreeMap<String, Login>,
    groups: Groups,
    classes: Classes,
    clock: Arc<dyn Clock>,
}

impl TimTransport {
    /// Prepares client and accounts; connects to nothing and reads no key. `clock` is read for signatures.
    ///
    /// # Errors
    ///
    /// Refuses a host that is no URL, and a file of certificates that cannot be used.
    pub fn new(options: TimOptions, classes: Classes, clock: Arc<dyn Clock>) -> Result<Self, TimSetupError> {
        let mut logins = BTreeMap::new();
        for (account, login) in options.logins {
            let base = Url::parse(&login.base_url).map_err(|error| TimSetupError::Host {
                account: account.clone(),
                reason: error.to_string(),
            })?;
            logins.insert(account, Login::new(base, login));
        }
        let tls = logins.values().any(|login| login.base().scheme() == "https");
        let ca_file = CaFile { option: "transport.tim.ca_file", path: options.ca_file.as_deref() };
        let exchange = Exchange::new(tls, ca_file, options.timeout)?;
        Ok(Self { exchange, logins, groups: Groups::default(), classes, clock })
    }

    async fn run(&self, attempt: Attempt) -> Report {
        let Some(login) = self.logins.get(&attempt.account) else {
            return gate_shut(format!(
                "no [transport.tim] account is called {}: its name must be that of a section \
                 [transport.tim.accounts.NAME]",
                attempt.account
            ));
        };
        let options = call_options(&attempt);
        let call = match rest::call(&attempt.message, &options) {
            Ok(call) => call,
            Err(error) => return cannot_carry(&error),
        };
        let now_s = self.clock.read().wall.0.div_euclid(1000);
        let url = match login.url(call.command.path(), now_s, options.random) {
            Ok(url) => url,
            Err(reason) => return gate_shut(reason),
        };
        let report = self.post(url, call, &attempt.message, &options).await;
        if report.outcome == Outcome::GateShut {
            // A corrected key, or a corrected clock, shall count from the next attempt on.
            login.forget_signature();
        }
        report
    }

    async fn post(
        &self,
        url: secrecy::SecretString,
        call: Call,
        message: &[u8],
        options: &CallOptions,
    ) -> Report {
        let Ok(url) = Url::parse(url.expose_secret()) else {
            return gate_shut("the address of the REST interface cannot be built".to_owned());
        };
        let deadline = self.exchange.deadline();
        let response = match self.exchange.post(url, headers(), Bytes::from(call.body), deadline).await {
            Ok(response) => response,
            Err(report) => return report,
        };
        let answer = self.exchange.answer(response, deadline).await;
        let reply = reply(&answer);
        if reply.is_none()
            && let Some(report) = no_interface(&answer)
        {
            return report;
        }
        let callback = reply.map(|reply| reply.to_callback(message, options, call.command));
        judge_answer(&self.classes, &answer, callback.as_ref(), self.clock.read().wall.0)
    }
}

impl Transport for TimTransport {
    fn kind(&self) -> &'static str {
        "tim"
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Report> {
        Box::pin(self.run(attempt))
    }

    /// The pace into a group: several conversations may be of one group (its topics, or several accounts).
    fn turn(&self, attempt: &Attempt) -> Turn {
        let Some(login) = self.logins.get(&attempt.account) else { return Turn::Now };
        // What cannot be carried is told by the attempt.
        let Ok(call) = rest::call(&attempt.message, &call_options(attempt)) else { return Turn::Now };
        let Some(group) = call.group else { return Turn::Now };
        let group = (login.sdk_app_id(), group.as_str());
        match self.groups.turn(group, attempt.send_token, login.group_rate(), Instant::now()) {
            Ok(()) => Turn::Now,
            Err(wait) => Turn::After(wait),
        }
    }

    /// The first account's: all of one application have the same, and there is seldom more than one.
    fn forget_connections(&self) {
        self.exchange.forget_connections();
    }

    fn probe_address(&self) -> Option<(String, u16)> {
        self.logins.values().next().and_then(|login| exchange::address(login.base()))
    }
}

/// The numbers by which the service recognises a repetition. They follow from what is on disk before the
/// first attempt and never changes: the send token and the order of acceptance.
fn call_options(attempt: &Attempt) -> CallOptions {
    let [a, b, c, d, ..] = attempt.send_token.0;
    CallOptions {
        online_user_only: attempt.online_user_only,
        random: u32::from_be_bytes([a, b, c, d]),
        // The low 32 bits: several messages of one second are sorted by it.
        seq: (attempt.seq & u64::from(u32::MAX)) as u32,
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = HeaderValue::from_static(concat!("outboxd/", env!("CARGO_PKG_VERSION")));
    headers.insert(USER_AGENT, agent);
    headers
}

fn reply(answer: &HttpAnswer) -> Option<Reply> {
    match &answer.body {
        AnswerBody::Whole(bytes) => Reply::parse(bytes),
        AnswerBody::TooLong | AnswerBody::Lost { .. } => None,
    }
}

fn cannot_carry(error: &rest::CannotCarry) -> Report {
    let desc = format!("{error}: {}", error.hint());
    report(Outcome::Reject, Class::PermanentContent, CODE_CANNOT_CARRY, desc)
}

/// An answer that is not the interface's. It says HTTP 200 to whatever is wrong with a message, so another
/// status is the word of something that stands between, or of another server: no message is to blame for it.
fn no_interface(answer: &HttpAnswer) -> Option<Report> {
    let status = answer.status;
    let is_of_message = matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY);
    if is_of_message || !(status.is_redirection() || status.is_client_error()) {
        return None;
    }
    let desc = format!("HTTP {}: no answer of the REST interface", status.as_u16());
    Some(report(Outcome::GateShut, Class::Auth, i64::from(status.as_u16()), desc))
}

/// Nothing was sent, and nothing can be until somebody mends the account.
fn gate_shut(desc: String) -> Report {
    report(Outcome::GateShut, Class::Auth, CODE_NOT_REACHED, desc)
}

const fn report(outcome: Outcome, class: Class, code: i64, desc: String) -> Report {
    Report { outcome, code, desc, class, retry_after: None, replacement: None }
}

#[cfg(test)]
mod tests;
