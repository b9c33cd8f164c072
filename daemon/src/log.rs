//! Log setup: where lines go, how they look, which ones are kept.
//!
//! Owns:  tracing-subscriber, whose only door this is.
//! Never: consults `RUST_LOG` (the configuration decides), logs anything itself.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::reload::Handle;

use crate::config::{LogConfig, LogFormat};

/// The words that stand for a level without any target.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why logging could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The level cannot be read. A loaded configuration never has such a one.
    #[error("log level: {0}")]
    Level(String),
    /// Somebody else set up logging in this process before.
    #[error("logging is set up already")]
    SetUpAlready,
}

/// How lines look, once it is known where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Coloured,
    Plain,
    Json,
}

/// Sets up logging to standard error for the rest of the process.
///
/// # Errors
/// If it was set up before, or the level is none.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let filter = filter(&config.level).map_err(LogError::Level)?;
    let colour = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        Look::Plain
    } else {
        Look::Coloured
    };
    let look = look(config.format, io::stderr().is_terminal().then_some(colour));
    // Without `log_internal_errors(false)` a closed standard error would end in a panic.
    let lines = SubscriberBuilder::default().with_writer(io::stderr).log_internal_errors(false);
    let lines = lines.with_ansi(look == Look::Coloured).with_env_filter(filter);
    let done = match look {
        Look::Coloured | Look::Plain => {
            let lines = lines.with_filter_reloading();
            remember(lines.reload_handle());
            tracing::subscriber::set_global_default(lines.finish())
        }
        Look::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            remember(lines.reload_handle());
            tracing::subscriber::set_global_default(lines.finish())
        }
    };
    done.map_err(|_| LogError::SetUpAlready)
}

/// Replaces the filter of this process's log.
type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// There is one log in a process.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

fn remember<S: 'static>(handle: Handle<EnvFilter, S>) {
    // It fails only when the subscriber is gone, which it never is. The second of two set-ups is refused anyway.
    let _ = SET_FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
}

/// Changes which lines are kept from here on. Does nothing where no log was set up, or with text that is no level.
pub fn set_level(level: &str) {
    if let (Some(set), Ok(filter)) = (SET_FILTER.get(), filter(level)) {
        set(filter);
    }
}

/// Decides how lines look; `terminal` is how they would on the terminal, if there is one.
const fn look(format: LogFormat, terminal: Option<Look>) -> Look {
    match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, None) => Look::Json,
        (LogFormat::Text, None) => Look::Plain,
        (LogFormat::Text | LogFormat::Auto, Some(look)) => look,
    }
}

/// Checks a level or a list of filter directives.
///
/// # Errors
/// With what is wrong, in words.
pub fn check_level(text: &str) -> Result<(), String> {
    filter(text).map(|_| ())
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    // A lone word that is no level would be taken for a target, and "inof" would log nothing of use.
    let lone = text.split(',').find(|part| {
        !part.contains(['=', '[']) && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part))
    });
    if let Some(word) = lone {
        return Err(format!("\"{}\"", word.escape_debug()));
    }
    // Field values as plain text: a regular expression has no use here.
    EnvFilter::builder().with_regex(false).parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_accepted() {
        for good in [
            "error",
            "INFO",
            "off",
            "trace",
            "info,outboxd::engine=debug",
            "warn,hyper=off",
            "outboxd[send]=trace",
        ] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn words_that_are_no_level_are_refused() {
        for bad in ["inof", "", "info,", "outboxd", "outboxd=loud", "info,debugg"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert_eq!(look(LogFormat::Auto, Some(Look::Coloured)), Look::Coloured);
        assert_eq!(look(LogFormat::Auto, Some(Look::Plain)), Look::Plain);
        assert_eq!(look(LogFormat::Auto, None), Look::Json);
        assert_eq!(look(LogFormat::Text, None), Look::Plain);
        assert_eq!(look(LogFormat::Json, Some(Look::Coloured)), Look::Json);
    }
}
