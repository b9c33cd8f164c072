//! Exit codes, and the errors that lead to them.
//!
//! Owns:  which failure has which code.
//! Never: prints.

use std::io;
use std::path::PathBuf;

use outbox_control::types::{Problem, ProblemCode};
use outbox_control::{ClientError, paths::PathError};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Failed,
    Usage,
    NotFound,
    WrongState,
    Denied,
    NotRunning,
    TryLater,
    BadConfig,
    /// A person ended it with Ctrl-C: 128 and the signal's number, as from a shell.
    Interrupted,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CtlError {
    /// A call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A place that cannot be used was named or found.
    #[error(transparent)]
    Path(#[from] PathError),
    /// No socket answers.
    #[error("no daemon listens on {tried}")]
    NobodyListens {
        /// The sockets that were tried.
        tried: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something given as input cannot be used.
    #[error("{0}")]
    Input(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading or writing a standard stream failed.
    #[error(transparent)]
    Stream(#[from] io::Error),
}

impl Exit {
    /// The process's exit code.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::WrongState => 4,
            Self::Denied => 5,
            Self::NotRunning => 69,
            Self::TryLater => 75,
            Self::BadConfig => 78,
            Self::Interrupted => 130,
        }
    }

    /// This one, or the later one if nothing has failed before.
    pub(super) fn or(self, later: Self) -> Self {
        if self == Self::Done { later } else { self }
    }

    /// The code of the daemon's own error.
    pub(super) const fn of_problem(problem: &Problem) -> Self {
        match problem.code {
            ProblemCode::BadRequest
            | ProblemCode::Conflict
            | ProblemCode::TooLarge
            | ProblemCode::Unsupported => Self::Failed,
            ProblemCode::NotFound => Self::NotFound,
            ProblemCode::WrongState => Self::WrongState,
            ProblemCode::Denied => Self::Denied,
            ProblemCode::OutboxFull
            | ProblemCode::DiskLow
            | ProblemCode::StoreUnhealthy
            | ProblemCode::ShuttingDown
            | ProblemCode::Busy => Self::TryLater,
        }
    }

    /// The code of a call's error.
    pub(super) fn of_client(error: &ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. } => Self::NotRunning,
            ClientError::Denied { .. } => Self::Denied,
            ClientError::SocketPath(_) => Self::BadConfig,
            ClientError::Problem(problem) => Self::of_problem(problem),
            ClientError::Timeout { .. } => Self::TryLater,
            // The kernel's queue of connections is full.
            ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
                Self::TryLater
            }
            ClientError::Connect { .. }
            | ClientError::Broken { .. }
            | ClientError::Protocol { .. }
            | ClientError::Request { .. } => Self::Failed,
        }
    }
}

impl CtlError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => Exit::of_client(error),
            Self::Path(_) => Exit::BadConfig,
            Self::NobodyListens { .. } => Exit::NotRunning,
            Self::Usage(_) => Exit::Usage,
            // Whoever closed the pipe has seen enough.
            Self::Stream(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Input(_) | Self::File { .. } | Self::Stream(_) => Exit::Failed,
        }
    }

    /// What to tell a person; nothing about a closed pipe.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Stream(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Client(error) => Some(client_text(error)),
            Self::NobodyListens { .. } => {
                Some(format!("{self}\n  Start outboxd, or name its socket with --socket or OUTBOX_SOCKET."))
            }
            _ => Some(self.to_string()),
        }
    }
}

/// A call's error and its hint.
pub(super) fn client_text(error: &ClientError) -> String {
    let hint = error.hint();
    if hint.is_empty() { error.to_string() } else { format!("{error}\n  {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_the_exit_code_of_the_contract() {
        let codes =
            ProblemCode::ALL.map(|code| (code.as_str(), Exit::of_problem(&Problem::new(code, "")).code()));
        let expected = [
            ("bad_request", 1),
            ("not_found", 3),
            ("conflict", 1),
            ("wrong_state", 4),
            ("too_large", 1),
            ("outbox_full", 75),
            ("disk_low", 75),
            ("store_unhealthy", 75),
            ("shutting_down", 75),
            ("denied", 5),
            ("unsupported", 1),
            ("busy", 75),
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn failures_before_an_answer_have_their_own_codes() {
        let socket = PathBuf::from("/s");
        let not_running =
            ClientError::NotRunning { socket: socket.clone(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(CtlError::from(not_running).exit().code(), 69);
        let denied =
            ClientError::Denied { socket: socket.clone(), source: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(CtlError::from(denied).exit().code(), 5);
        let long = PathError::SocketTooLong { path: socket, bytes: 108 };
        assert_eq!(CtlError::from(ClientError::from(long)).exit().code(), 78);
        assert_eq!(CtlError::Usage(String::new()).exit().code(), 2);
    }

    #[test]
    fn a_closed_pipe_is_a_quiet_success() {
        let error = CtlError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit(), error.text()), (Exit::Done, None));
        let error = CtlError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit(), Exit::Failed);
        assert!(error.text().is_some());
    }

    #[test]
    fn the_first_failure_decides() {
        assert_eq!(Exit::Done.or(Exit::NotFound).or(Exit::Failed).or(Exit::Done), Exit::NotFound);
    }
}
