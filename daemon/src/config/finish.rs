//! Options that depend on each other: what follows what, and what cannot stand together.
//!
//! Owns:  defaults that follow another option, and checks over more than one option.
//! Never: reads text; bounds of a single option are in its entry of the table.

use std::path::Path;
use std::time::Duration;

use outbox_control::types::DEFAULT_ACCOUNT;
use outbox_control::{DurationText, paths};

use super::errors::{ConfigError, ConfigErrors, Place};
use super::overlay::Overlay;
use super::sources::Sources;
use super::tim::Missing;
use super::types::{Config, TimAccount, TimConfig, TransportKind};
use super::units::bytes_text;
use super::{Origin, Origins};

/// Settles everything that depends on more than one option.
pub(super) fn finish(
    config: &mut Config,
    overlay: &Overlay,
    sources: &Sources,
    origins: &mut Origins,
    errors: &mut ConfigErrors,
) {
    places(config, overlay, sources, origins, errors);
    if overlay.place_of("transport.http.timeout").is_none() {
        config.transport.http.timeout = config.delivery.timeout;
        origins.computed(
            "transport.http.timeout",
            duration_text(config.delivery.timeout),
            Origin::Follows("delivery.timeout"),
        );
    }
    let retry = &mut config.retry;
    let pair = Pair { low: "retry.initial", high: "retry.max", text: duration_text };
    pair.settle(&mut retry.initial, &mut retry.max, overlay, origins, errors);
    let link = &mut config.link;
    let pair = Pair { low: "link.probe_initial", high: "link.probe_max", text: duration_text };
    pair.settle(&mut link.probe_initial, &mut link.probe_max, overlay, origins, errors);
    let spool = &mut config.spool;
    let pair = Pair { low: "spool.max_message_bytes", high: "spool.max_bytes", text: bytes_text };
    pair.settle(&mut spool.max_message_bytes, &mut spool.max_bytes, overlay, origins, errors);
    transport(config, overlay, errors);
}

fn duration_text(duration: Duration) -> String {
    DurationText(duration).to_string()
}

/// Two options of which the first may not exceed the second.
struct Pair<T> {
    low: &'static str,
    high: &'static str,
    text: fn(T) -> String,
}

impl<T: Copy + PartialOrd> Pair<T> {
    /// The one that nobody set follows the other; both set is an error.
    fn settle(
        &self,
        low: &mut T,
        high: &mut T,
        overlay: &Overlay,
        origins: &mut Origins,
        errors: &mut ConfigErrors,
    ) {
        if *low <= *high {
            return;
        }
        match (overlay.place_of(self.low), overlay.place_of(self.high)) {
            (Some(_), Some(place)) => errors.push(ConfigError::BadValue {
                place: place.clone(),
                key: self.high.into(),
                message: format!(
                    "is {}, below `{}` with {}",
                    (self.text)(*high),
                    self.low,
                    (self.text)(*low)
                ),
                hint: Some(format!("raise it, or leave `{}` out: it then follows", self.low)),
            }),
            (Some(_), None) => {
                *high = *low;
                origins.computed(self.high, (self.text)(*high), Origin::Follows(self.low));
            }
            (None, _) => {
                *low = *high;
                origins.computed(self.low, (self.text)(*low), Origin::Follows(self.high));
            }
        }
    }
}

/// Spool and socket at their default places, and the socket's length.
fn places(
    config: &mut Config,
    overlay: &Overlay,
    sources: &Sources,
    origins: &mut Origins,
    errors: &mut ConfigErrors,
) {
    if overlay.place_of("spool.path").is_none() {
        match paths::default_spool(&sources.places()) {
            Ok(path) => config.spool.path = path,
            Err(_) => errors.push(ConfigError::NoHome),
        }
        origins.computed(
            "spool.path",
            config.spool.path.to_string_lossy().into_owned(),
            Origin::Written(Place::Default),
        );
    }
    let written = overlay.place_of("control.socket");
    if written.is_none() {
        config.control.socket = paths::default_socket(&sources.places(), &config.spool.path);
        origins.computed(
            "control.socket",
            config.control.socket.to_string_lossy().into_owned(),
            Origin::Written(Place::Default),
        );
    }
    let place = written.cloned().unwrap_or(Place::Default);
    if let Some(problem) = socket_problem(&config.control.socket, place) {
        errors.push(problem);
    }
}

fn socket_problem(socket: &Path, place: Place) -> Option<ConfigError> {
    let error = paths::check_socket_path(socket).err()?;
    Some(ConfigError::BadValue {
        place,
        key: "control.socket".into(),
        message: format!("cannot be used: {error}"),
        hint: Some("name a shorter path with --socket or in [control] socket".into()),
    })
}

fn transport(config: &mut Config, overlay: &Overlay, errors: &mut ConfigErrors) {
    // A url that could not be read has been reported already.
    let has_url = overlay.place_of("transport.http.url").is_some();
    if config.transport.kind == TransportKind::Http && !has_url {
        errors.push(ConfigError::BadValue {
            place: overlay.place_of("transport.kind").cloned().unwrap_or(Place::Default),
            key: "transport.kind".into(),
            message: "is \"http\", but no url says where to".into(),
            hint: Some("write [transport.http] url = \"https://…\"".into()),
        });
    }
    let tim = &config.transport.tim;
    host_or_region(&tim.default, "transport.tim", overlay, errors);
    for (name, account) in &tim.accounts {
        let section = format!("transport.tim.accounts.{}", super::names::dotted(&[name]));
        host_or_region(account, &section, overlay, errors);
    }
    if config.transport.kind == TransportKind::Tim {
        tim_logins(&mut config.transport.tim, overlay, errors);
    }
}

/// Every account must be able to send.
fn tim_logins(tim: &mut TimConfig, overlay: &Overlay, errors: &mut ConfigErrors) {
    match tim.logins() {
        Ok(logins) => tim.logins = logins,
        Err(missing) => {
            for Missing { account, key } in missing {
                let section = match account.as_str() {
                    DEFAULT_ACCOUNT => "transport.tim".to_owned(),
                    name => format!("transport.tim.accounts.{}", super::names::dotted(&[name])),
                };
                let full = format!("{section}.{key}");
                // One that could not be read has been reported already.
                if overlay.place_of(&full).is_none() {
                    errors.push(ConfigError::BadValue {
                        place: overlay.place_of("transport.kind").cloned().unwrap_or(Place::Default),
                        key: "transport.kind".into(),
                        message: format!("is \"tim\", but the account {account} has no {key}"),
                        hint: Some(format!("write it in [{section}]")),
                    });
                }
            }
        }
    }
}

fn host_or_region(account: &TimAccount, section: &str, overlay: &Overlay, errors: &mut ConfigErrors) {
    if account.host.is_none() || account.region.is_none() {
        return;
    }
    let key = format!("{section}.region");
    errors.push(ConfigError::BadValue {
        place: overlay.place_of(&key).cloned().unwrap_or(Place::Default),
        key,
        message: "stands beside `host`".into(),
        hint: Some("keep one of the two".into()),
    });
}
