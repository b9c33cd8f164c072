//! Where a configuration comes from: the command line, the environment, the user, the file.
//!
//! Owns:  the inputs of `load` as plain data, the default place of the file.
//! Never: reads the file, judges a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use outbox_control::paths::{self, User};

/// Everything that decides a configuration. Plain data, so that a test can give any of it, and a reload the same again.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Which file is read.
    pub file: FileChoice,
    /// What the command line says.
    pub flags: Flags,
    /// The environment.
    pub environment: Environment,
    /// For whom the default places are.
    pub user: User,
}

/// Which configuration file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChoice {
    /// The one at its default place, if it is there.
    IfThere,
    /// This one; it is an error if it is not there.
    Named(PathBuf),
    /// None.
    Nothing,
}

/// The options that `outboxd run` also takes as flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--spool PATH`.
    pub spool: Option<String>,
    /// `--socket PATH`.
    pub socket: Option<String>,
    /// `--log-level LEVEL`.
    pub log_level: Option<String>,
    /// `--log-format FORMAT`.
    pub log_format: Option<String>,
}

impl Flags {
    /// The option of each flag that was given, with the flag's name and text.
    pub(crate) fn given(&self) -> impl Iterator<Item = ([&'static str; 2], &'static str, &str)> {
        let all = [
            (["spool", "path"], "--spool", &self.spool),
            (["control", "socket"], "--socket", &self.socket),
            (["log", "level"], "--log-level", &self.log_level),
            (["log", "format"], "--log-format", &self.log_format),
        ];
        all.into_iter().filter_map(|(option, flag, text)| Some((option, flag, text.as_deref()?)))
    }
}

/// The environment variables of the process. Their values do not print: they may be secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment {
    /// Takes the variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Variables that name an option: `OUTBOXD_` and at least one `__`. A name or value that is not UTF-8 has its
    /// bad bytes replaced in the name, and no text.
    pub(crate) fn options(&self) -> impl Iterator<Item = (String, Option<&str>)> {
        let named = self.0.iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_str()));
        named.filter(|(name, _)| {
            name.strip_prefix(super::names::VARIABLE_PREFIX).is_some_and(|rest| rest.contains("__"))
        })
    }

    /// An absolute path in a variable. The XDG rules have a relative one ignored.
    pub(crate) fn directory(&self, name: &str) -> Option<&Path> {
        self.0.get(std::ffi::OsStr::new(name)).map(Path::new).filter(|path| path.is_absolute())
    }
}

impl Sources {
    /// Makes the sources of this process: its flags, its environment, its user.
    #[must_use]
    pub fn of_process(file: FileChoice, flags: Flags) -> Self {
        let user = if nix::unistd::geteuid().is_root() { User::Root } else { User::Other };
        Self { file, flags, environment: Environment::of_process(), user }
    }

    /// Returns where the configuration file is looked for if none is named.
    #[must_use]
    pub fn default_file(&self) -> Option<PathBuf> {
        if self.user == User::Root {
            return Some(PathBuf::from("/etc/outbox/outboxd.toml"));
        }
        let own = self.environment.directory("XDG_CONFIG_HOME").map(Path::to_path_buf);
        let config = own.or_else(|| self.environment.directory("HOME").map(|home| home.join(".config")));
        config.map(|directory| directory.join("outbox/outboxd.toml"))
    }

    /// Returns what the default places of spool and socket depend on. They are those of the clients.
    pub(crate) fn places(&self) -> paths::Environment {
        paths::Environment::from_variables(self.user, |name| {
            self.environment.directory(name).map(OsString::from)
        })
    }
}
