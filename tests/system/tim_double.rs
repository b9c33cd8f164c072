//! A double of Tencent IM's two REST calls, strict about everything that the vendor documents.
//!
//! Owns:  its listener with TLS, the clock that it goes by, what it took, which answers it gives.
//! Never: uses `outbox_tim`: it is what checks it.
//!
//! Every application error is HTTP 200 with `ActionStatus` FAIL, as the vendor's service has it. A repetition
//! is recognised for 120 s (one person) or 300 s (a group) on the double's own clock, which tests advance.

mod form;
mod ledger;
mod signature;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) use ledger::Delivered;
use ledger::Ledger;

/// Number of the application that the double serves.
pub(crate) const SDK_APP_ID: u64 = 1_400_000_000;
/// Its administrator.
pub(crate) const ADMIN: &str = "administrator";
/// The key of its administrators, unless a test changes it.
pub(crate) const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
/// Bytes of a request: a packet of the service has 1 MB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Why a request is refused: result code and words.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(i64, String);

/// What the double does with a good request, besides taking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Takes it and answers.
    Pass,
    /// Takes it and breaks the connection off.
    TakeThenLose,
    /// Takes it and does not answer within the service's own time.
    TakeThenSlow,
    /// Answers OK and takes nothing, as a group does that gets too much.
    Dropped,
    /// Breaks the connection off.
    Drop,
    /// Answers with this code.
    Fail(i64),
    /// Answers with this status and no body, as a gateway does.
    Status(u16),
    /// Comes to no end within the service's own time, and says so.
    Slow,
    /// Answers with something that is no reply.
    Garbage,
}

/// Limits and windows, as the vendor documents them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Calls a second of one account.
    pub(crate) calls: usize,
    /// Messages a second into one group.
    pub(crate) group_messages: usize,
    /// The service's own time-out; the vendor's has 3 s.
    pub(crate) timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { calls: 200, group_messages: 40, timeout: Duration::from_secs(3) }
    }
}

type Script = Box<dyn FnMut(&Value) -> Act + Send>;

struct State {
    settings: Settings,
    keys: HashMap<String, String>,
    /// Accounts that may not call, and the code that says so.
    barred: HashMap<String, i64>,
    /// How far the double's clock is ahead.
    ahead: Duration,
    script: Script,
    ledger: Ledger,
}

/// The double. Dropping it stops it.
pub(crate) struct TimDouble {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    tls: TlsAcceptor,
    ca_pem: String,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl TimDouble {
    /// Starts a double on an address of its own.
    pub(crate) async fn start(settings: Settings) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let state = State {
            settings,
            keys: [(ADMIN.to_owned(), KEY.to_owned())].into(),
            barred: HashMap::new(),
            ahead: Duration::ZERO,
            script: Box::new(|_| Act::Pass),
            ledger: Ledger::default(),
        };
        let mut double = Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
            tls: TlsAcceptor::from(Arc::new(config)),
            ca_pem: cert.pem(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            serving: None,
        };
        double.restart().await;
        double
    }

    /// Listens again after a stop, at the same port.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (state, tls, changed) = (Arc::clone(&self.state), self.tls.clone(), self.changed.clone());
        self.serving = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls, changed) = (Arc::clone(&state), tls.clone(), changed.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service =
                        service_fn(move |request| serve(Arc::clone(&state), changed.clone(), request));
                    // An error is what a broken-off answer looks like from here.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    /// Goes away with all connections, as in an outage.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Says what happens to each good request from now on; it sees the body.
    pub(crate) fn script(&self, script: impl FnMut(&Value) -> Act + Send + 'static) {
        self.state().script = Box::new(script);
    }

    /// Sets the double's clock ahead of the machine's.
    pub(crate) fn set_ahead(&self, ahead: Duration) {
        self.state().ahead = ahead;
    }

    /// Another administrator, or another key for one.
    pub(crate) fn set_key(&self, identifier: &str, key: &str) {
        self.state().keys.insert(identifier.to_owned(), key.to_owned());
    }

    /// Refuses an account's calls with a code; `None` lets it in again.
    pub(crate) fn bar(&self, identifier: &str, code: Option<i64>) {
        let mut state = self.state();
        match code {
            Some(code) => state.barred.insert(identifier.to_owned(), code),
            None => state.barred.remove(identifier),
        };
    }

    /// What was delivered, in order.
    pub(crate) fn delivered(&self) -> Vec<Delivered> {
        self.state().ledger.delivered.clone()
    }

    /// Requests that came, repetitions that were recognised, answers because of a limit.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.ledger.calls, state.ledger.recognised, state.ledger.limited)
    }

    /// Codes of all refusals, in order.
    pub(crate) fn refusals(&self) -> Vec<(i64, String)> {
        self.state().ledger.refusals.clone()
    }

    /// Waits until so many were delivered.
    pub(crate) async fn wait_for(&self, delivered: usize, within: Duration) {
        let mut changed = self.changed.subscribe();
        let enough = async {
            while self.state().ledger.delivered.len() < delivered {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(within, enough).await.is_err() {
            let state = self.state();
            panic!(
                "{} of {delivered} delivered within {within:?}; {} calls, refusals {:?}",
                state.ledger.delivered.len(),
                state.ledger.calls,
                state.ledger.refusals
            );
        }
    }
}

impl Drop for TimDouble {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// A connection that is broken off has no answer.
#[derive(Debug)]
struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off")
    }
}

impl std::error::Error for BrokenOff {}

async fn serve(
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, BrokenOff> {
    let (head, body) = request.into_parts();
    let Ok(body) = http_body_util::Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Err(BrokenOff);
    };
    let body = body.to_bytes();
    let (answer, slow) = {
        let mut state = state.lock().unwrap();
        state.ledger.calls += 1;
        let answer = handle(&mut state, &head, &body);
        if let Err(refusal) = &answer {
            state.ledger.refusals.push((refusal.0, refusal.1.clone()));
        }
        let slow = matches!(&answer, Ok(Answer::Slow)).then_some(state.settings.timeout);
        (answer, slow)
    };
    changed.send_modify(|version| *version += 1);
    if let Some(timeout) = slow {
        tokio::time::sleep(timeout).await;
    }
    let fail = |code: i64, words: &str| {
        json!({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": words}).to_string()
    };
    let (status, body) = match answer {
        Ok(Answer::Reply(reply)) => (200, reply.to_string()),
        Ok(Answer::Slow) => (200, fail(60_008, "the service timed out")),
        Ok(Answer::Status(status)) => (status, String::new()),
        Ok(Answer::Garbage) => (200, "<html>not what you wanted</html>".to_owned()),
        Ok(Answer::Nothing) => return Err(BrokenOff),
        Err(Refusal(code, words)) => (200, fail(code, &words)),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

enum Answer {
    Reply(Value),
    Slow,
    Status(u16),
    Garbage,
    Nothing,
}

fn handle(state: &mut State, head: &http::request::Parts, body: &[u8]) -> Result<Answer, Refusal> {
    let is_group = match head.uri.path() {
        "/v4/openim/sendmsg" => false,
        "/v4/group_open_http_svc/send_group_msg" => true,
        path => return Err(Refusal(60_009, format!("no such command: {path}"))),
    };
    if head.method != http::Method::POST {
        return Err(Refusal(60_002, "only POST".into()));
    }
    if head.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
        return Err(Refusal(60_002, "Content-Type is not application/json".into()));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + state.ahead;
    let account = authenticate(state, head.uri.query().unwrap_or_default(), now.as_secs())?;
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal(if is_group { 10_011 } else { 90_001 }, error.to_string()))?;
    let Some(fields) = body.as_object() else { return Err(Refusal(60_003, "the body is no object".into())) };
    if is_group {
        form::send_group_msg(fields)?
    } else {
        form::sendmsg(fields)?
    }
    if !state.ledger.may_call(&account, state.settings.calls) {
        return Err(Refusal(60_011, "more calls a second than allowed".into()));
    }
    let act = (state.script)(&body);
    match act {
        Act::Pass | Act::TakeThenLose | Act::TakeThenSlow => {
            let reply = if is_group {
                state.ledger.take_for_group(&account, &body, now, state.settings.group_messages)
            } else {
                state.ledger.take_for_person(&account, &body, now)
            };
            Ok(match act {
                Act::TakeThenLose => Answer::Nothing,
                Act::TakeThenSlow => Answer::Slow,
                _ => Answer::Reply(reply),
            })
        }
        Act::Dropped => Ok(Answer::Reply(ledger::dropped(now))),
        Act::Drop => Ok(Answer::Nothing),
        Act::Fail(code) => Err(Refusal(code, "as the script says".into())),
        Act::Status(status) => Ok(Answer::Status(status)),
        Act::Slow => Ok(Answer::Slow),
        Act::Garbage => Ok(Answer::Garbage),
    }
}

/// Checks the five names of the query, and who calls; returns the caller.
fn authenticate(state: &State, query: &str, now_s: u64) -> Result<String, Refusal> {
    let mut given = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        if !["sdkappid", "identifier", "usersig", "random", "contenttype"].contains(&name.as_str()) {
            return Err(Refusal(60_002, format!("unknown name in the address: {name}")));
        }
        if given.insert(name.clone(), value).is_some() {
            return Err(Refusal(60_002, format!("twice in the address: {name}")));
        }
    }
    let get = |name: &str| given.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let sdk_app_id: u64 = get("sdkappid")
        .ok_or_else(|| Refusal(60_012, "sdkappid is missing".into()))?
        .parse()
        .map_err(|_| Refusal(60_006, "sdkappid is no number".into()))?;
    let identifier = get("identifier").ok_or_else(|| Refusal(60_004, "identifier is missing".into()))?;
    let usersig = get("usersig").ok_or_else(|| Refusal(60_004, "usersig is missing".into()))?;
    if get("random").is_none_or(|random| random.parse::<u32>().is_err()) {
        return Err(Refusal(60_002, "random is no number of 32 bits".into()));
    }
    if get("contenttype") != Some("json") {
        return Err(Refusal(60_002, "contenttype is not json".into()));
    }
    if sdk_app_id != SDK_APP_ID {
        return Err(Refusal(70_020, "no such application here".into()));
    }
    let Some(key) = state.keys.get(identifier) else {
        return Err(Refusal(60_010, format!("{identifier} is no administrator")));
    };
    signature::check(usersig, &signature::Claim { sdk_app_id, identifier }, key, now_s)?;
    match state.barred.get(identifier) {
        Some(code) => Err(Refusal(*code, format!("{identifier} may not call"))),
        None => Ok(identifier.to_owned()),
    }
}

#[cfg(test)]
mod tests;
