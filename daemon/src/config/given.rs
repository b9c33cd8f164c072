//! One value that somebody gave for an option, and its reading into the typed field.
//!
//! Owns:  the kinds of values, and reading them with their bounds.
//! Never: knows where the value goes (`table`), shows a secret in an error.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outbox::Class;
use outbox_control::{parse_duration, parse_duration_within};
use secrecy::SecretString;
use toml::Value;

use super::files;
use super::types::{Choice, Principal, ProbeTarget};
use super::units::{self, Problem, excerpt};

/// Users and groups in one role: enough for any host, small enough to be looked up at each connection.
const PRINCIPALS_MAX: usize = 256;
/// Longest text of a duration that an error repeats: no sensible one has more.
const DURATION_CHARS_MAX: usize = 60;
/// Bytes of an account's name, as in the contract of the control socket.
const NAME_BYTES_MAX: usize = 200;
/// Headers that the transport sets itself; a second one would contradict it.
const OWN_HEADERS: &[&str] = &[
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "idempotency-key",
    "outbox-attempt",
];

/// How an option is written, in a file and in the environment.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Count,
    Number,
    Switch,
    Text,
    Path,
    Address,
    Duration,
    Bytes,
    Mode,
    Principals,
    Words(fn() -> Vec<&'static str>),
}

impl Kind {
    /// Turns the text of an environment variable or a flag into the value that a file would have. Text that does not
    /// fit stays text: the option's reader explains it.
    pub(crate) fn value_of(self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        match self {
            Self::Count => text.replace('_', "").parse().map_or_else(|_| as_text(), Value::Integer),
            Self::Number => text.parse().map_or_else(|_| as_text(), Value::Float),
            Self::Switch => text.parse().map_or_else(|_| as_text(), Value::Boolean),
            Self::Principals => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            _ => as_text(),
        }
    }
}

/// A value on its way into the configuration.
pub(crate) struct Given<'a> {
    /// What stands for `*` in the option's name.
    pub(crate) name: Option<&'a str>,
    pub(crate) value: &'a Value,
    /// Directory that relative paths start from: that of the file; `None`: the process's own.
    pub(crate) base: Option<&'a Path>,
    /// Directory in which the service manager hands over secrets under its own protection.
    pub(crate) credentials: Option<&'a Path>,
}

impl Given<'_> {
    /// The words of a closed set.
    pub(crate) fn words<C: Choice>() -> Vec<&'static str> {
        C::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn text(&self) -> Result<&str, Problem> {
        match self.value {
            Value::String(text) if text.is_empty() => {
                Err(Problem::new("is empty").hint("leave it out instead"))
            }
            Value::String(text) => Ok(text),
            other => Err(Problem::new(format!("must be text in quotes, not {}", kind_of(other)))),
        }
    }

    /// A whole number.
    pub(crate) fn count<N>(&self, range: RangeInclusive<N>) -> Result<N, Problem>
    where
        N: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let bounds = || format!("a whole number from {} to {}", range.start(), range.end());
        match self.value {
            Value::Integer(number) => N::try_from(*number)
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| Problem::new(format!("must be {}, not {number}", bounds()))),
            other => Err(Problem::new(format!("must be {}, not {}", bounds(), shown(other)))),
        }
    }

    /// A number that is neither infinite nor NaN.
    pub(crate) fn number(&self) -> Result<f64, Problem> {
        match self.value {
            Value::Float(number) if number.is_finite() => Ok(*number),
            Value::Integer(number) => i32::try_from(*number)
                .map(f64::from)
                .map_err(|_| Problem::new(format!("is out of range: {number}"))),
            other => Err(Problem::new(format!("must be a number, not {}", shown(other)))),
        }
    }

    pub(crate) fn switch(&self) -> Result<bool, Problem> {
        match self.value {
            Value::Boolean(switch) => Ok(*switch),
            other => Err(Problem::new(format!("must be true or false, not {}", shown(other)))),
        }
    }

    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Problem> {
        if let Value::Integer(number) = self.value {
            return Err(Problem::new(format!("is a duration and needs a unit: {number}"))
                .hint(format!("write \"{number}s\" for seconds; units are ms, s, m, h, d")));
        }
        let text = self.text()?;
        if text.len() > DURATION_CHARS_MAX {
            return Err(Problem::new(format!("is not a duration: \"{}\"", excerpt(text))));
        }
        parse_duration_within(text, *range.start(), *range.end())
            .map_err(|e| Problem::new(format!("cannot be used: {e}")))
    }

    /// A duration that may also be nothing at all.
    pub(crate) fn duration_or_zero(&self, range: RangeInclusive<Duration>) -> Result<Duration, Problem> {
        let zero = self.value.as_str().and_then(|text| parse_duration(text).ok());
        match zero.filter(Duration::is_zero) {
            Some(zero) => Ok(zero),
            None => self.duration(range),
        }
    }

    pub(crate) fn bytes(&self, range: RangeInclusive<u64>) -> Result<u64, Problem> {
        let bytes = match self.value {
            Value::Integer(number) => {
                u64::try_from(*number).map_err(|_| Problem::new(format!("cannot be negative: {number}")))?
            }
            _ => units::parse_bytes(self.text()?)?,
        };
        if bytes < *range.start() {
            return Err(Problem::new(format!("must be at least {}", units::bytes_text(*range.start()))));
        }
        if bytes > *range.end() {
            return Err(Problem::new(format!("must be at most {}", units::bytes_text(*range.end()))));
        }
        Ok(bytes)
    }

    pub(crate) fn choice<C: Choice>(&self) -> Result<C, Problem> {
        let text = self.text()?;
        let found = C::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| not_among(text, &Self::words::<C>()))
    }

    pub(crate) fn one_of(&self, words: &[&str]) -> Result<String, Problem> {
        let text = self.text()?;
        if words.contains(&text) { Ok(text.to_owned()) } else { Err(not_among(text, words)) }
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Problem> {
        let text = self.text()?;
        if text.contains('\0') {
            return Err(Problem::new("contains a NUL character"));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(
                Problem::new("begins with `~`, which is not expanded here").hint("write the full path")
            );
        }
        Ok(self.base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
    }

    /// The path of a regular file that can be read now.
    pub(crate) fn readable_file(&self) -> Result<PathBuf, Problem> {
        let path = self.path()?;
        files::open_regular(&path)?;
        Ok(path)
    }

    /// The path of a file that only its owner can read.
    pub(crate) fn secret_file(&self) -> Result<files::SecretFile, Problem> {
        files::SecretFile::checked(self.path()?, self.credentials)
    }

    /// File permissions that leave the owner what the daemon needs.
    pub(crate) fn mode_with(&self, needed: u32) -> Result<u32, Problem> {
        if let Value::Integer(_) = self.value {
            return Err(Problem::new("must be octal text in quotes, not a number").hint("write \"0600\""));
        }
        let mode = units::parse_mode(self.text()?)?;
        if mode & needed == needed {
            return Ok(mode);
        }
        Err(Problem::new(format!("must leave the owner at least 0{needed:03o}, not 0{mode:03o}")))
    }

    pub(crate) fn principals(&self) -> Result<Vec<Principal>, Problem> {
        let hint = "write a list such as [\"user:alice\", \"group:chat\"]";
        let Value::Array(items) = self.value else {
            return Err(Problem::new(format!("must be a list, not {}", shown(self.value))).hint(hint));
        };
        if items.len() > PRINCIPALS_MAX {
            return Err(Problem::new(format!("has more than {PRINCIPALS_MAX} names")).hint("use a group"));
        }
        let read = |item: &Value| match item {
            Value::String(text) => units::parse_principal(text),
            other => Err(Problem::new(format!("has an item that is not text: {}", shown(other))).hint(hint)),
        };
        items.iter().map(read).collect()
    }

    pub(crate) fn probe(&self) -> Result<ProbeTarget, Problem> {
        units::parse_probe(self.text()?)
    }

    pub(crate) fn url(&self) -> Result<http::Uri, Problem> {
        units::parse_url(self.text()?)
    }

    /// A host, or a URL that has nothing but one, as scheme and authority.
    pub(crate) fn base_url(&self) -> Result<String, Problem> {
        units::parse_base_url(self.text()?)
    }

    /// A name of the service: text without control characters.
    pub(crate) fn name(&self) -> Result<String, Problem> {
        checked_name(self.text()?)
    }

    /// The name of a further account, from its section.
    pub(crate) fn account_name(&self) -> Result<String, Problem> {
        match checked_name(self.name.unwrap_or_default())? {
            name if name == "default" => Err(Problem::new("names the account `default` a second time")
                .hint("its keys stand in [transport.tim] itself")),
            name => Ok(name),
        }
    }

    /// A result code and what it means.
    pub(crate) fn class(&self) -> Result<(i64, Class), Problem> {
        let name = self.name.unwrap_or_default();
        let code: i64 = name.parse().map_err(|_| {
            Problem::new("is not a result code")
                .hint("write a code and its class: \"80003\" = \"permanent_content\"")
        })?;
        if code == 0 {
            return Err(Problem::new("is success and cannot be given a class"));
        }
        let text = self.text()?;
        let class = text.parse().ok().filter(|class| is_of_a_service(*class));
        let names: Vec<_> =
            Class::ALL.into_iter().filter(|c| is_of_a_service(*c)).map(Class::as_str).collect();
        class.map(|class| (code, class)).ok_or_else(|| not_among(text, &names))
    }

    pub(crate) fn log_level(&self) -> Result<String, Problem> {
        let text = self.text()?;
        crate::log::check_level(text).map_err(|reason| {
            Problem::new(format!("is not a log level: {reason}")).hint(
                "write error, warn, info, debug, trace or off, or directives such as \"info,outboxd=debug\"",
            )
        })?;
        Ok(text.to_owned())
    }

    /// A header whose value stands here or in a file of its own.
    pub(crate) fn secret_header(&self) -> Result<(String, SecretString), Problem> {
        let name = self.name.unwrap_or_default();
        let name = http::HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Problem::new("is not a name that a header can have"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(Problem::new("is a header that outboxd sets itself").hint("leave it out"));
        }
        let secret = match self.value {
            Value::String(text) => SecretString::from(text.as_str()),
            Value::Table(table) => self.secret_from(table)?,
            _ => return Err(header_shape()),
        };
        let valid = http::HeaderValue::from_str(secrecy::ExposeSecret::expose_secret(&secret)).is_ok();
        if valid {
            Ok((name.as_str().to_owned(), secret))
        } else {
            Err(Problem::new("has a value that no header can have"))
        }
    }

    fn secret_from(&self, table: &toml::Table) -> Result<SecretString, Problem> {
        let only: BTreeMap<&str, &Value> = table.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let (Some(path), 1) = (only.get("file"), only.len()) else {
            return Err(header_shape());
        };
        let path = Given { value: path, ..*self }.path()?;
        let file = files::open_named_secret(&path, self.credentials)?;
        files::read_secret(file, &path)
    }
}

fn is_of_a_service(class: Class) -> bool {
    !matches!(class, Class::Ok | Class::Uncertain | Class::CrashLoop | Class::Expired | Class::Cancelled)
}

fn header_shape() -> Problem {
    Problem::new("must be text or { file = \"PATH\" }")
}

fn checked_name(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let message = format!("must have 1 to {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Problem::new(message));
    }
    Ok(text.to_owned())
}

fn not_among(text: &str, words: &[&str]) -> Problem {
    let problem =
        Problem::new(format!("cannot be \"{}\"; it is one of: {}", excerpt(text), words.join(", ")));
    match super::names::nearest(text, words.iter().copied()) {
        Some(word) => problem.hint(format!("did you mean \"{word}\"?")),
        None => problem,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// A value as an error shows it; lists and tables only by kind.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", excerpt(text)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        other => kind_of(other).to_owned(),
    }
}
