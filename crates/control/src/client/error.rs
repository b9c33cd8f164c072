//! Why a call failed, and what to do about it.
//!
//! Owns:  the client's errors and their hints.
//! Never: prints anything.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::DurationText;
use crate::paths::PathError;
use crate::types::{Problem, SubmitAnswer};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket. Nothing was asked.
    #[error("no daemon listens on {}", socket.display())]
    NotRunning {
        /// The socket's path.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// This user may not open the socket. Nothing was asked.
    #[error("this user may not open {}", socket.display())]
    Denied {
        /// The socket's path.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket could not be opened for another reason. Nothing was asked.
    #[error("cannot open {}: {source}", socket.display())]
    Connect {
        /// The socket's path.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket's path cannot be one. Nothing was asked.
    #[error(transparent)]
    SocketPath(#[from] PathError),
    /// The daemon answered with an error.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// No answer came in time; the call may have been carried out.
    #[error("{what}: no answer within {}", DurationText(*.after))]
    Timeout {
        /// Method and path of the call.
        what: String,
        /// How long the client waited.
        after: Duration,
    },
    /// The connection ended before the answer did; the call may have been carried out.
    #[error("{what}: the connection broke off: {source}")]
    Broken {
        /// Method and path of the call.
        what: String,
        /// What happened to the connection.
        source: hyper::Error,
    },
    /// The answer is not one of this API; the call may have been carried out.
    #[error("{what}: the answer is not understood: {reason}")]
    Protocol {
        /// Method and path of the call.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be written. Nothing was asked.
    #[error("the request cannot be written: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

/// The answers to many messages ended early.
#[derive(Debug, thiserror::Error)]
#[error("{source} (after {} answers)", answered.len())]
pub struct SubmitManyError {
    /// The answers that came, in order from the first line. Of the lines behind them it is not known whether
    /// they were accepted; to submit them again is safe.
    pub answered: Vec<SubmitAnswer>,
    /// What ended them.
    pub source: ClientError,
}

impl ClientError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotRunning { .. } => {
                "Start outboxd, or name its socket with --socket or OUTBOX_SOCKET.".to_owned()
            }
            Self::Denied { .. } => {
                "Ask the administrator for a role in [control.roles] and for access to the socket's file."
                    .to_owned()
            }
            Self::Connect { .. } => "Check that the path is the control socket of outboxd.".to_owned(),
            Self::SocketPath(_) => "Use a shorter path, for example below /run.".to_owned(),
            Self::Problem(problem) => problem.hint.clone(),
            Self::Timeout { .. } | Self::Broken { .. } => {
                "It may have been done: look before you repeat it, and read the daemon's log.".to_owned()
            }
            Self::Protocol { .. } => {
                "Check that the socket belongs to outboxd, and that its version fits.".to_owned()
            }
            Self::Request { .. } => "Correct the request.".to_owned(),
        }
    }

    /// The daemon's own error, if it answered with one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Sorts what the kernel said about opening a socket.
    pub(crate) fn from_connect(socket: &Path, source: io::Error) -> Self {
        let socket = socket.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotRunning { socket, source },
            io::ErrorKind::PermissionDenied => Self::Denied { socket, source },
            _ => Self::Connect { socket, source },
        }
    }
}
