//! What can be wrong with a configuration, said so that a person can put it right.
//!
//! Owns:  the error types of this module, their places (file, line, column) and hints.
//! Never: prints, or contains the text of a secret.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems reported at once: more would scroll the first ones away.
pub const PROBLEMS_MAX: usize = 20;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an environment variable.
    Environment(String),
    /// In a flag of the command line, as it is typed.
    Flag(&'static str),
    /// Nowhere: the value is built in or computed.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The named file does not exist.
    #[error("{}: there is no such file", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// The path leads to a directory or a device.
    #[error("{}: this is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than any configuration can be.
    #[error("{}: the file is larger than {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The file is not UTF-8 text.
    #[error("{place}: the file is not UTF-8 text")]
    NotUtf8 {
        /// The first byte that is not UTF-8.
        place: Place,
    },
    /// The file is not TOML.
    #[error("{place}: the file is not valid TOML\n{message}")]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// The parser's words, with the line and a caret where that line holds no secret.
        message: String,
    },
    /// A key or section that no option has.
    #[error("{place}: unknown {what} `{key}`")]
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// Key, section or environment variable.
        what: &'static str,
        /// Its full name.
        key: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// A known option with a value that it cannot have.
    #[error("{place}: `{key}` {message}")]
    BadValue {
        /// Where it stands.
        place: Place,
        /// The option's full name.
        key: String,
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// No place for the spool follows from the environment.
    #[error("no place for the spool: neither HOME nor XDG_STATE_HOME is set to an absolute path")]
    NoHome,
}

impl ConfigError {
    /// Returns where the problem stands, if it stands anywhere.
    #[must_use]
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::NotUtf8 { place }
            | Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::BadValue { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Returns the file that the problem stands in.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::NoFile { path }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::Unreadable { path, .. } => Some(path),
            _ => match self.place() {
                Some(Place::File { path, .. }) => Some(path),
                _ => None,
            },
        }
    }

    /// Returns line and column, both from 1.
    #[must_use]
    pub const fn line_and_column(&self) -> Option<(usize, usize)> {
        match self.place() {
            Some(Place::File { line, column, .. }) => Some((*line, *column)),
            _ => None,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { .. } => {
                Some("`outboxd print-config --default` prints a complete file to start from".into())
            }
            Self::NotAFile { .. } => Some("name the file itself, not its directory".into()),
            Self::TooLarge { .. } => Some("is this the right file?".into()),
            Self::Unreadable { .. } => Some("let the user that outboxd runs as read it".into()),
            Self::NotUtf8 { .. } => Some("save the file as UTF-8".into()),
            Self::Syntax { .. } => None,
            Self::UnknownKey { hint, .. } | Self::BadValue { hint, .. } => hint.clone(),
            Self::NoHome => Some("set HOME, or name a directory with --spool or in [spool] path".into()),
        }
    }
}

/// All problems of a configuration, in the order in which they were found; at most [`PROBLEMS_MAX`] are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<ConfigError>,
    more: usize,
}

impl ConfigErrors {
    pub(crate) fn push(&mut self, error: ConfigError) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(error);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns the problems that were kept; never empty in an error.
    #[must_use]
    pub fn problems(&self) -> &[ConfigError] {
        &self.problems
    }

    /// Returns how many more were found than were kept.
    #[must_use]
    pub const fn more(&self) -> usize {
        self.more
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self { problems: vec![error], more: 0 }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", problem.to_string().trim_end())?;
            if let Some(hint) = problem.hint() {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}
