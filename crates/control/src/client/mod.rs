//! The client: a method for each call of the control socket.
//!
//! Owns:  which path, method, body and wait each call has.
//! Never: repeats a call by itself: whether that is safe is the caller's to say.

mod error;
mod events;
mod target;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ClientError, SubmitManyError};
pub use events::{EventStream, EventsQuery, Told};
pub use target::{ListQuery, SentQuery};

use crate::DurationText;
use crate::limits::{BATCH_WAIT, LEASES_BYTES_MAX, WAIT_MARGIN};
use crate::types::{
    Account, BatchAnswer, BatchRequest, CancelAnswer, CompactAnswer, Connectivity, ConnectivityRequest,
    Entry, ExtendAnswer, ExtendRequest, FlushAnswer, FlushRequest, LeasePage, LeaseRequest, LinkState, Live,
    MessagePage, Paused, Ready, ReasonBody, Receipt, ReloadAnswer, ResendAnswer, ResendRequest,
    ResolveRequest, SentPage, Settle, SettleAnswer, Status, Submit, SubmitAnswer, Submitted, Why,
};
use target::{account_path, lease_path, message_path, receipt_path};
use wire::{Answer, Call};

/// A client of one control socket.
///
/// Every call opens a connection of its own: on a local socket that costs microseconds, and a daemon that was
/// restarted in between is no special case. Calls need a tokio runtime with time and I/O enabled, may run side
/// by side, and have a limited wait and a limited size of answer (see [`crate::limits`]). A call that is
/// dropped may still have been carried out.
///
/// # Errors
/// Every call fails with [`ClientError`]: the daemon's own refusals are [`ClientError::Problem`].
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the socket at that path. Nothing is opened yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Opens a connection and closes it again: whether anybody listens there.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] if nobody does.
    pub async fn check(&self) -> Result<(), ClientError> {
        wire::connect(&self.socket).await.map(drop)
    }

    /// Hands a message over. It is on disk when this answers.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn submit(&self, submit: &Submit) -> Result<Submitted, ClientError> {
        self.submit_json(encode(submit)?).await
    }

    /// Hands a message over whose submit object is JSON already; it is passed on byte for byte.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn submit_json(&self, submit: Vec<u8>) -> Result<Submitted, ClientError> {
        self.call(Call::new(Method::POST, "/v1/messages").with_body(submit)).await
    }

    /// Hands many messages over: one answer for each, in order. Each message is on disk or refused by itself.
    ///
    /// # Errors
    /// [`SubmitManyError`] if the stream of answers ended early; it holds the answers that came.
    pub async fn submit_many(&self, submits: &[Submit]) -> Result<Vec<SubmitAnswer>, SubmitManyError> {
        let mut lines = Vec::with_capacity(submits.len());
        for submit in submits {
            lines.push(encode(submit).map_err(|source| SubmitManyError { answered: Vec::new(), source })?);
        }
        self.submit_lines(&lines).await
    }

    /// Hands many messages over whose submit objects are JSON already: one answer for each, in order.
    ///
    /// Line breaks inside an object become spaces, and blank lines get no answer. Many lines are sent as several
    /// requests, one after the other (see [`crate::limits::REQUEST_LINES_MAX`]); the numbers in the answers
    /// count over all of them.
    ///
    /// # Errors
    /// [`SubmitManyError`] if the stream of answers ended early; it holds the answers that came.
    pub async fn submit_lines(&self, lines: &[Vec<u8>]) -> Result<Vec<SubmitAnswer>, SubmitManyError> {
        wire::submit_lines(&self.socket, lines).await
    }

    /// A page of entries in the order of acceptance.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn messages(&self, query: &ListQuery) -> Result<MessagePage, ClientError> {
        self.call(Call::new(Method::GET, query.target())).await
    }

    /// One entry; for a sent or cancelled message what its receipt tells.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn message(&self, msg_id: &str) -> Result<Entry, ClientError> {
        self.call(Call::new(Method::GET, message_path(msg_id, ""))).await
    }

    /// The message exactly as it was submitted.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn payload(&self, msg_id: &str) -> Result<Vec<u8>, ClientError> {
        let answer = self.send(Call::new(Method::GET, message_path(msg_id, "/payload"))).await?;
        Ok(answer.into_success()?.body)
    }

    /// Why a message is where it is.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn why(&self, msg_id: &str) -> Result<Why, ClientError> {
        self.call(Call::new(Method::GET, message_path(msg_id, "/why"))).await
    }

    /// Makes a message due now, and does not wait for the attempt.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn resend(&self, msg_id: &str, request: &ResendRequest) -> Result<ResendAnswer, ClientError> {
        let call = Call::new(Method::POST, message_path(msg_id, "/resend")).with_body(encode(request)?);
        resend_answer(self.send(call).await?)
    }

    /// Makes a message due now, and waits up to `wait` (1 s to 5 min) for the attempt's end.
    ///
    /// A failed send is no error: its code is in the callback.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn resend_and_wait(
        &self,
        msg_id: &str,
        request: &ResendRequest,
        wait: Duration,
    ) -> Result<ResendAnswer, ClientError> {
        let path = format!("{}?wait={}", message_path(msg_id, "/resend"), DurationText(wait));
        let call = Call::new(Method::POST, path)
            .with_body(encode(request)?)
            .with_wait(wait.saturating_add(WAIT_MARGIN));
        resend_answer(self.send(call).await?)
    }

    /// Keeps a message back until it is released.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn hold(&self, msg_id: &str, reason: Option<&str>) -> Result<Entry, ClientError> {
        self.post(message_path(msg_id, "/hold"), &reason_body(reason)).await
    }

    /// Lets a held message go.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn release(&self, msg_id: &str, reason: Option<&str>) -> Result<Entry, ClientError> {
        self.post(message_path(msg_id, "/release"), &reason_body(reason)).await
    }

    /// Withdraws a message; the answer tells how far that was still possible.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn cancel(&self, msg_id: &str, reason: Option<&str>) -> Result<CancelAnswer, ClientError> {
        let body = encode(&reason_body(reason))?;
        self.call(Call::new(Method::DELETE, message_path(msg_id, "")).with_body(body)).await
    }

    /// Closes an uncertain message as sent, because a person saw it arrive.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn resolve(&self, msg_id: &str, request: &ResolveRequest) -> Result<Entry, ClientError> {
        self.post(message_path(msg_id, "/resolve"), request).await
    }

    /// Does the same to all messages that match a filter.
    ///
    /// # Errors
    /// See [`Client`]. [`ClientError::Problem`] with `matched` if another number of them matches than is expected:
    /// nothing was done then.
    pub async fn batch(&self, request: &BatchRequest) -> Result<BatchAnswer, ClientError> {
        let call = Call::new(Method::POST, "/v1/messages:batch").with_body(encode(request)?);
        self.call(call.with_wait(BATCH_WAIT)).await
    }

    /// Events: those kept after a sequence, and then as they happen.
    ///
    /// # Errors
    /// See [`Client`]. The stream does not connect again by itself: [`EventStream::last`] says where to go on.
    pub async fn events(&self, query: &EventsQuery) -> Result<EventStream, ClientError> {
        EventStream::open(&self.socket, query).await
    }

    /// Has the daemon read its configuration again, all or nothing.
    ///
    /// # Errors
    /// See [`Client`]. [`ClientError::Problem`] says what is wrong in the configuration: nothing was changed then.
    pub async fn reload(&self) -> Result<ReloadAnswer, ClientError> {
        self.post("/v1/reload", &ReasonBody::default()).await
    }

    /// Receipts, oldest first, or those that one replacement replaced.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn sent(&self, query: &SentQuery) -> Result<SentPage, ClientError> {
        self.call(Call::new(Method::GET, query.target())).await
    }

    /// The receipt of one original.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn receipt(&self, msg_id: &str) -> Result<Receipt, ClientError> {
        self.call(Call::new(Method::GET, receipt_path(msg_id))).await
    }

    /// The daemon as a whole.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.call(Call::new(Method::GET, "/v1/status")).await
    }

    /// Makes everything deferred due now.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn flush(&self, request: &FlushRequest) -> Result<FlushAnswer, ClientError> {
        self.post("/v1/flush", request).await
    }

    /// Rewrites the store and gives space back; the answer comes at its end.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn compact(&self) -> Result<CompactAnswer, ClientError> {
        let call = Call::new(Method::POST, "/v1/compact").with_body(encode(&ReasonBody::default())?);
        self.call(call.with_wait(BATCH_WAIT)).await
    }

    /// Stops new attempts; messages are still accepted.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn pause(&self) -> Result<Paused, ClientError> {
        self.post("/v1/pause", &ReasonBody::default()).await
    }

    /// Ends the pause.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn resume(&self) -> Result<Paused, ClientError> {
        self.post("/v1/resume", &ReasonBody::default()).await
    }

    /// Stops attempts of one account.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn pause_account(&self, account: &str, reason: Option<&str>) -> Result<Account, ClientError> {
        self.post(account_path(account, "/pause"), &reason_body(reason)).await
    }

    /// Says that an account's session is fine.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn resume_account(&self, account: &str) -> Result<Account, ClientError> {
        self.post(account_path(account, "/resume"), &ReasonBody::default()).await
    }

    /// Gives the app's word about the network.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn set_link(&self, state: LinkState) -> Result<Connectivity, ClientError> {
        let body = encode(&ConnectivityRequest { state })?;
        self.call(Call::new(Method::PUT, "/v1/connectivity").with_body(body)).await
    }

    /// Asks for work: waits up to `request.wait` for the first lease.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeasePage, ClientError> {
        let call = Call::new(Method::POST, "/v1/leases")
            .with_body(encode(request)?)
            .with_wait(request.wait.get().saturating_add(WAIT_MARGIN))
            .with_answer_bytes_max(LEASES_BYTES_MAX);
        self.call(call).await
    }

    /// Reports how a lease's attempt ended.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn settle(&self, lease: &str, settle: &Settle) -> Result<SettleAnswer, ClientError> {
        self.post(lease_path(lease, "/settle"), settle).await
    }

    /// Makes a lease last for that long from now.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn extend(&self, lease: &str, lasts: Duration) -> Result<ExtendAnswer, ClientError> {
        self.post(lease_path(lease, "/extend"), &ExtendRequest { lasts: lasts.into() }).await
    }

    /// Whether messages are accepted. Not being ready is an answer, not an error.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.health("/v1/health/ready").await
    }

    /// Whether the engine makes progress. Not being alive is an answer, not an error.
    ///
    /// # Errors
    /// See [`Client`].
    pub async fn live(&self) -> Result<Live, ClientError> {
        self.health("/v1/health/live").await
    }

    async fn health<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Call::new(Method::GET, path)).await?;
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => answer.decode().or_else(|_| answer.into_success()?.decode()),
            _ => answer.into_success()?.decode(),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call(Call::new(Method::POST, path).with_body(encode(body)?)).await
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        self.send(call).await?.into_success()?.decode()
    }

    async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        wire::send(&self.socket, call).await
    }
}

fn resend_answer(answer: Answer) -> Result<ResendAnswer, ClientError> {
    let answer = answer.into_success()?;
    if answer.status == StatusCode::ACCEPTED {
        return answer.decode().map(|entry| ResendAnswer::Entry(Box::new(entry)));
    }
    answer.decode().map(ResendAnswer::Callback)
}

fn reason_body(reason: Option<&str>) -> ReasonBody {
    ReasonBody { reason: reason.map(ToOwned::to_owned) }
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|error| ClientError::Request { reason: error.to_string() })
}
