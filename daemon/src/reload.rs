//! Reading the configuration again, for `POST /v1/reload` and SIGHUP: all of it or nothing.
//!
//! Owns:  the order in which the parts take it, and what a changed credential opens.
//! Never: decides which option can change under a running daemon (the option table does).

use std::collections::BTreeSet;
use std::sync::Arc;

use outbox::{Gate, GateChange};
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use crate::config::{self, Changes, Config, ConfigErrors, Loaded, TransportKind};
use crate::engine::Command;
use crate::server::{Context, InForce};
use crate::settings::{Settings, SettingsError};

/// Options that the engine is told of.
const ENGINE_OPTIONS: [&str; 4] = ["classes.", "delivery.", "link.", "transport."];

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has problems.
    #[error("the configuration has a problem; nothing was changed\n{0}")]
    Config(#[from] ConfigErrors),
    /// It reads well and cannot be used.
    #[error("the configuration cannot be used; nothing was changed: {0}")]
    Settings(#[from] SettingsError),
    /// The daemon was not started from a configuration.
    #[error("this daemon was started without a configuration that could be read again")]
    NothingToRead,
    /// The store takes no changes.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// Reads the configuration again from where it came from, with the same flags and environment, and puts it into
/// use; answers what changed.
///
/// # Errors
/// [`ReloadError`]; nothing was changed then.
pub async fn reload(context: &Arc<Context>) -> Result<Changes, ReloadError> {
    let reloaded = exchange(context).await;
    match &reloaded {
        Ok(changes) => {
            tracing::info!(changed = %changes.changed.join(", "), needs_restart = %changes.needs_restart.join(", "), "Reloaded.");
        }
        Err(error) => tracing::error!(%error, "The configuration was not reloaded."),
    }
    reloaded
}

async fn exchange(context: &Arc<Context>) -> Result<Changes, ReloadError> {
    // One at a time: the second compares with what the first has put into use.
    let mut loaded = context.loaded.lock().await;
    let running = loaded.clone().ok_or(ReloadError::NothingToRead)?;
    let before = context.in_force();
    let (merged, changes, settings) = prepared(context, running).await?;
    let Settings { store, access, classes, engine } = settings;
    // What could be wrong has been looked at. A store that takes no changes is the last that can refuse.
    context.outbox.reconfigure(store).await?;
    crate::log::set_level(&merged.config.log.level);
    let config = merged.config.clone();
    context.current.replace(InForce { config, classes, access: Arc::new(access) });
    if changes.changed.iter().any(|name| ENGINE_OPTIONS.iter().any(|part| name.starts_with(part))) {
        let (reply, taken) = oneshot::channel();
        context.engine.send(Command::Settings(Box::new(engine), reply)).await;
        // An engine that has ended needs no settings.
        let _ = taken.await;
    }
    open_accounts(context, &before.config, &merged.config).await?;
    *loaded = Some(merged);
    Ok(changes)
}

/// Reads and checks everything, on a thread that may wait for files and for the system's user names.
async fn prepared(
    context: &Arc<Context>,
    running: Loaded,
) -> Result<(Loaded, Changes, Settings), ReloadError> {
    let (wake, clock) = (Arc::clone(&context.wake), Arc::clone(&context.outbox.config().clock));
    let prepare = move || {
        let (merged, changes) = config::merge(&running, config::load(running.sources.clone())?);
        let settings = Settings::of(&merged.config, &wake, Some(clock))?;
        Ok((merged, changes, settings))
    };
    tokio::task::spawn_blocking(prepare).await.unwrap_or(Err(ReloadError::Store(outbox::Error::Closed)))
}

/// Opens the accounts that the service shut, and that have other credentials now. One that a person or the app
/// paused stays so.
async fn open_accounts(context: &Arc<Context>, old: &Config, new: &Config) -> Result<(), ReloadError> {
    let Some(renewed) = Renewed::between(old, new) else { return Ok(()) };
    let outbox = context.outbox.clone();
    let look_up = move || outbox.accounts(outbox::limits::LIST_SCAN_MAX);
    let accounts = tokio::task::spawn_blocking(look_up).await.unwrap_or(Err(outbox::Error::Closed))?;
    for account in accounts {
        let by_service = matches!(account.gate, Gate::Paused { try_at: Some(_), .. });
        if by_service && renewed.has(&account.name) {
            context.outbox.set_account(account.name, GateChange::Open).await?;
        }
    }
    Ok(())
}

/// Accounts with other credentials.
enum Renewed {
    All,
    These(BTreeSet<String>),
}

impl Renewed {
    fn between(old: &Config, new: &Config) -> Option<Self> {
        match new.transport.kind {
            // Its logins live in the app.
            TransportKind::App => None,
            TransportKind::Http => {
                let (old, new) = (&old.transport.http, &new.transport.http);
                let secrets = |http: &config::HttpConfig| {
                    let headers = http.headers.iter();
                    headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
                };
                let (was, is): (Vec<_>, Vec<_>) = (secrets(old), secrets(new));
                (old.url != new.url || was != is).then_some(Self::All)
            }
            TransportKind::Tim => {
                let (old, new) = (&old.transport.tim.logins, &new.transport.tim.logins);
                let changed = new.iter().filter(|(name, login)| old.get(*name) != Some(*login));
                Some(Self::These(changed.map(|(name, _)| name.clone()).collect()))
            }
        }
    }

    fn has(&self, account: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(account),
        }
    }
}
