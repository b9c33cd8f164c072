//! Tests of a reload: which options differ, and which of them wait for a restart.
//!
//! Owns:  the comparison of the option table with what each part of the daemon is given.
//! Never: starts a daemon.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::super::table::Takes;
use super::*;
use crate::engine::{Sender, Wake};
use crate::settings::{self, Settings};

/// What the parts of a running daemon are given by a reload, as text. The transport is what it is made from.
fn given_to_the_parts(config: &Config) -> String {
    let settings = Settings::of(config, &Arc::new(Wake::default()), None).expect("settings");
    let Settings { store, access, classes, engine } = settings;
    let outbox::Config {
        max_messages,
        max_bytes,
        max_message_bytes,
        min_free_bytes,
        sent_retention,
        sent_data_max_bytes,
        sent_max,
        ttl,
        online_only_ttl,
        order,
        policy,
        ..
    } = store;
    let limits = (max_messages, max_bytes, max_message_bytes, min_free_bytes, sent_max);
    let times = (sent_retention, sent_data_max_bytes, ttl, online_only_ttl, order, policy);
    let sender = match &engine.sender {
        Sender::App { rate } => format!("app {rate}"),
        Sender::Push { quotas, transport } => {
            // Headers do not print, so each is shown here.
            let headers = &config.transport.http.headers;
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose_secret())).collect();
            let tim = settings::tim_options(config);
            format!("{} {quotas:?} {:?} {headers:?} {tim:?}", transport.kind(), config.transport.http)
        }
    };
    let probe =
        (settings::probe(config, &engine.sender), engine.probe_initial, engine.probe_max, engine.concurrency);
    format!("{limits:?} {times:?} {access:?} {classes:?} {sender} {probe:?} {:?}", config.log.level)
}

/// A configuration on which an option has an effect.
fn around(opt: &Opt, key: &Path) -> String {
    let key = key.display();
    match opt.section {
        "transport.http" => {
            "[transport]\nkind = \"http\"\n[transport.http]\nurl = \"https://h.example/\"\n".into()
        }
        section if section.starts_with("transport.tim") => format!(
            "[transport]\nkind = \"tim\"\n[transport.tim]\n{}sdk_app_id = 1400000000\nidentifier = \"bot\"\n\
             secret_key_file = \"{key}\"\n[transport.tim.accounts.other]\nidentifier = \"x\"\n",
            if matches!(opt.key, "host" | "region") { "" } else { "region = \"singapore\"\n" }
        ),
        // Each transport has a time-out; the app's own is its own.
        "delivery" if opt.key == "timeout" => {
            "[transport]\nkind = \"http\"\n[transport.http]\nurl = \"https://h.example/\"\n".into()
        }
        _ => String::new(),
    }
}

/// Other values that must really exist on this machine, or fit their surroundings.
fn fitting_value(opt: &Opt, folder: &Path) -> String {
    match (opt.section, opt.key) {
        ("control.roles", _) => "user:root".into(),
        ("transport.tim", "ca_file") | ("transport.http", "ca_file") => {
            folder.join("ca.pem").to_str().expect("UTF-8").into()
        }
        _ => other_value(opt, folder),
    }
}

fn certificate() -> String {
    rcgen::generate_simple_self_signed(vec!["h.example".into()]).expect("a certificate").cert.pem()
}

#[test]
fn each_option_is_taken_by_a_reload_or_waits_for_a_restart_as_its_table_says() {
    let folder = TempDir::new().expect("a temporary folder");
    let key = secret_file(&folder, "key", "k", 0o600);
    secret_file(&folder, "secret", "another", 0o600);
    fs::write(folder.path().join("ca.pem"), certificate()).expect("a certificate");
    for opt in OPTIONS.iter() {
        let free = if opt.section == "classes" { "80003" } else { "OTHER" };
        let variable = names::variable_of(opt).replace("NAME", free);
        let value = fitting_value(opt, folder.path());
        let (_keep, sources) = with_file(&around(opt, &key));
        let mut base = vec![("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        if matches!((opt.section, opt.key), ("transport.tim" | "transport.tim.accounts.*", "host" | "region"))
        {
            // One that the changed one takes the place of.
            let other = if opt.key == "host" {
                "OUTBOXD_TRANSPORT__TIM__HOST"
            } else {
                "OUTBOXD_TRANSPORT__TIM__REGION"
            };
            base.push((other, if opt.key == "host" { "a.example" } else { "seoul" }));
        }
        let environment = |variables: &[(&str, &str)]| Sources {
            environment: variables.iter().copied().collect(),
            ..sources.clone()
        };
        let running = load(environment(&base)).unwrap_or_else(|errors| panic!("{variable}: {errors}"));
        let mut changed = base.clone();
        changed.retain(|(name, _)| *name != variable);
        changed.push((&variable, &value));
        if opt.key == "kind" {
            changed.push(("OUTBOXD_TRANSPORT__HTTP__URL", "http://h/"));
        }
        let read =
            load(environment(&changed)).unwrap_or_else(|errors| panic!("{variable}={value}: {errors}"));
        let (merged, changes) = merge(&running, read);
        let before = given_to_the_parts(&running.config);
        let after = given_to_the_parts(&merged.config);
        match opt.takes {
            Takes::Reload => {
                assert!(
                    !changes.changed.is_empty() && changes.needs_restart.is_empty(),
                    "{variable}: {changes:?}"
                );
                assert_ne!(before, after, "{variable}={value}: no part is given what changed");
            }
            Takes::Restart => {
                assert!(
                    changes.changed.is_empty() && !changes.needs_restart.is_empty(),
                    "{variable}: {changes:?}"
                );
                assert_eq!(everything(&merged.config), everything(&running.config), "{variable}={value}");
            }
        }
    }
}

#[test]
fn a_reload_without_a_change_names_nothing_and_keeps_everything() {
    let (_keep, sources) = with_file("[retry]\ninitial = \"2s\"\n[classes]\n\"7\" = \"auth\"\n");
    let running = load(sources.clone()).expect("a configuration");
    let (merged, changes) = merge(&running, load(sources).expect("the same"));
    assert_eq!(changes, Changes::default());
    assert_eq!(everything(&merged.config), everything(&running.config));
}

#[test]
fn an_option_that_is_no_longer_written_is_named_too() {
    let (_keep, with) = with_file("[classes]\n\"7\" = \"auth\"\n[spool]\npath = \"/s\"\n");
    let running = load(with).expect("a configuration");
    let (_keep, without) = with_file("");
    let (merged, changes) = merge(&running, load(without).expect("defaults"));
    assert_eq!(changes.changed, ["classes.7"]);
    assert_eq!(changes.needs_restart, ["spool.path"]);
    assert_eq!(merged.config.spool.path, Path::new("/s"));
    assert!(merged.config.classes.is_empty());
}
