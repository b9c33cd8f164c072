//! Configuration of `outboxd`: one option table, four sources, one typed result.
//!
//! Owns:  [`load`], and what came from where ([`Origins`]).
//! Never: touches the spool or the socket, prints.
//!
//! A value travels `sources` → `overlay` (the strongest wins) → `given` (read and checked) → `types`. What an option is,
//! stands once, in `table`; the generated file and `print-config` come from there too.

mod change;
mod errors;
mod file;
mod files;
mod finish;
mod given;
mod names;
mod overlay;
mod print;
mod sources;
mod table;
mod table_transport;
#[cfg(test)]
mod tests;
mod tim;
mod types;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

pub use change::{Changes, merge};
pub use errors::{ConfigError, ConfigErrors, PROBLEMS_MAX, Place};
pub use files::SecretFile;
pub use outbox_control::paths::User;
pub use print::{default_file_text, effective_json, effective_text};
pub use sources::{Environment, FileChoice, Flags, Sources};
pub use tim::TimLogin;
pub use types::{
    AppConfig, Config, ControlConfig, DeliveryConfig, HttpConfig, LinkConfig, LogConfig, LogFormat,
    OnFailedHead, OnUncertain, Order, Principal, ProbeTarget, RetryConfig, RolesConfig, SpoolConfig,
    TimAccount, TimConfig, TransportConfig, TransportKind,
};

use given::Given;
use overlay::{Overlay, Written};
use table::{OPTIONS, Opt, Preset, Show};

/// A configuration that was read, and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the daemon runs on.
    pub config: Config,
    /// Where each value came from.
    pub origins: Origins,
    /// The file that was read; `None`: there was none.
    pub file: Option<PathBuf>,
    /// What it was read from: [`load`] with it again is a reload.
    pub sources: Sources,
}

/// Where the value of an option came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was written there, or it is built in ([`Place::Default`]).
    Written(Place),
    /// Nobody set it: it follows this other option.
    Follows(&'static str),
}

/// An option's effective value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effective {
    Shown(Value),
    /// A secret is set.
    Hidden,
    Unset,
}

/// One option as it is in effect.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) opt: &'static Opt,
    /// What stands for `*` in the option's name.
    pub(crate) free: Option<String>,
    pub(crate) value: Effective,
    pub(crate) origin: Origin,
}

/// The effective value of every option and where it came from, by full name. Secrets are not in it.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Setting>);

impl Origins {
    /// Returns where an option's value came from, by its full name, such as `spool.path`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Origin> {
        self.0.get(name).map(|setting| &setting.origin)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    fn note(&mut self, name: String, setting: Setting) {
        self.0.insert(name, setting);
    }

    /// Notes the value of an option that nobody set and that has no fixed default.
    fn computed(&mut self, name: &str, text: String, origin: Origin) {
        if let Some(setting) = self.0.get_mut(name) {
            setting.value = Effective::Shown(Value::String(text));
            setting.origin = origin;
        }
    }
}

/// Reads the configuration.
///
/// # Errors
/// With every problem that was found, at most [`PROBLEMS_MAX`] of them in full.
pub fn load(sources: Sources) -> Result<Loaded, ConfigErrors> {
    let (file, text) = read_file(&sources)?;
    let mut errors = ConfigErrors::default();
    let mut overlay = Overlay::default();
    if let (Some(path), Some(text)) = (&file, &text) {
        file::overlay(path, text, &mut overlay, &mut errors);
    }
    overlay.put_environment(&sources, &mut errors);
    overlay.put_flags(&sources, &mut errors);

    let mut origins = Origins::default();
    let mut config = Config::blank(PathBuf::new(), PathBuf::new());
    apply_defaults(&mut config, &mut origins);
    let credentials = sources.environment.directory("CREDENTIALS_DIRECTORY");
    for (name, written) in overlay.in_written_order() {
        apply(&mut config, name, written, credentials, &mut origins, &mut errors);
    }
    finish::finish(&mut config, &overlay, &sources, &mut origins, &mut errors);
    if errors.is_empty() { Ok(Loaded { config, origins, file, sources }) } else { Err(errors) }
}

fn read_file(sources: &Sources) -> Result<(Option<PathBuf>, Option<String>), ConfigError> {
    let (path, named) = match &sources.file {
        FileChoice::Nothing => (None, false),
        FileChoice::Named(path) => (Some(path.clone()), true),
        FileChoice::IfThere => (sources.default_file(), false),
    };
    let Some(path) = path else {
        return Ok((None, None));
    };
    match file::read(&path) {
        Ok(text) => Ok((Some(path), Some(text))),
        Err(ConfigError::NoFile { .. }) if !named => Ok((None, None)),
        Err(error) => Err(error),
    }
}

/// Fills every field from the option table. That no default fails is what a test is for.
fn apply_defaults(config: &mut Config, origins: &mut Origins) {
    for opt in OPTIONS.iter().filter(|opt| !opt.segments().any(|segment| segment == "*")) {
        let name = names::dotted(&opt.segments().collect::<Vec<_>>());
        let value = match opt.preset {
            Preset::Value(text) => file::value_of_preset(text),
            Preset::Example(_) => None,
        };
        if let Some(value) = &value {
            let given = Given { name: None, value, base: None, credentials: None };
            let applied = (opt.set)(config, &given);
            debug_assert!(applied.is_ok(), "the default of {name} does not fit: {applied:?}");
        }
        let value = value.map_or(Effective::Unset, Effective::Shown);
        origins.note(name, Setting { opt, free: None, value, origin: Origin::Written(Place::Default) });
    }
}

fn apply(
    config: &mut Config,
    name: &str,
    written: &Written,
    credentials: Option<&Path>,
    origins: &mut Origins,
    errors: &mut ConfigErrors,
) {
    let base = match &written.place {
        Place::File { path, .. } => path.parent(),
        _ => None,
    };
    let given = Given { name: written.free.as_deref(), value: &written.value, base, credentials };
    match (written.opt.set)(config, &given) {
        Ok(()) => {
            let value = match written.opt.show {
                Show::Plain => Effective::Shown(written.value.clone()),
                Show::Hidden => Effective::Hidden,
            };
            let (opt, free, origin) =
                (written.opt, written.free.clone(), Origin::Written(written.place.clone()));
            origins.note(name.to_owned(), Setting { opt, free, value, origin });
        }
        Err(problem) => errors.push(ConfigError::BadValue {
            place: written.place.clone(),
            key: name.to_owned(),
            message: problem.message,
            hint: problem.hint,
        }),
    }
}

impl Config {
    /// Makes a configuration of defaults over a given spool and socket, as the demo and tests need it.
    #[must_use]
    pub fn defaults(spool: PathBuf, socket: PathBuf) -> Self {
        let mut config = Self::blank(spool, socket);
        apply_defaults(&mut config, &mut Origins::default());
        config.transport.http.timeout = config.delivery.timeout;
        config
    }
}
