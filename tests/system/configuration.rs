//! Configuration as a person meets it: files, flags, the environment, and what is said of mistakes.
//!
//! Owns:  exit code 78, `check-config`, `print-config`, the configurations that the project ships.
//! Never: knows the options' names beyond a few.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::harness::{Daemon, OUTBOXD, Place, Run, run};

/// Runs `outboxd` without a configuration or variables of this machine.
async fn outboxd(home: &Path, arguments: &[&str]) -> Run {
    run(clean(home, arguments), "").await
}

fn clean(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(OUTBOXD);
    command.env_clear().env("HOME", home).env("XDG_CONFIG_HOME", home.join("config")).args(arguments);
    command
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn an_unknown_key_ends_with_78_and_names_line_and_nearest_name() {
    let place = Place::new("[spool]\nmin_free = \"1MiB\"\n\n[retry]\ninitail = \"2s\"\n");
    let refused = run(place.command(), "").await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    for word in ["outboxd.toml:5:", "initail", "initial"] {
        assert!(refused.err.contains(word), "no {word}: {}", refused.err);
    }
    assert!(!place.spool.exists() && !place.socket.exists(), "nothing was begun");
}

#[tokio::test]
async fn check_config_says_what_run_would_say() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let name = file.to_str().unwrap();
    // The file, and a word that the complaint must have; none if it is fine.
    let rows = [
        ("", None),
        ("[retry]\nmax = \"200ms\"\n", None),
        ("[retry]\ninitial = \"2s\"\nmax = \"1s\"\n", Some("retry.")),
        ("[transport]\nkind = \"http\"\n", Some("url")),
        ("[transport]\nkind = \"carrier-pigeon\"\n", Some("carrier-pigeon")),
        ("[retry]\ninitial = \"5 parsecs\"\n", Some("retry.initial")),
        ("[retry]\ninitial = \"9ms\"\n", Some("10")),
        ("[control]\nmode = \"rw\"\n", Some("control.mode")),
        ("[classes]\n\"80003\" = \"sometimes\"\n", Some("sometimes")),
        ("[spool\n", Some(":1:")),
        ("[log]\nlevel = \"inof\"\n", Some("log.level")),
    ];
    for (toml, word) in rows {
        std::fs::write(&file, toml).unwrap();
        let checked = outboxd(dir.path(), &["check-config", name]).await;
        match word {
            None => assert_eq!((checked.code, checked.out.contains("OK")), (Some(0), true), "{checked:?}"),
            Some(word) => {
                assert_eq!(checked.code, Some(78), "{toml}: {checked:?}");
                assert!(checked.err.contains(word) && checked.err.contains(name), "{toml}: {checked:?}");
            }
        }
    }
    let missing = outboxd(dir.path(), &["check-config", "/nowhere/x.toml"]).await;
    assert_eq!(missing.code, Some(78), "{missing:?}");
}

#[tokio::test]
async fn print_config_shows_each_value_with_its_origin_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(
        &file,
        "[retry]\ninitial = \"3s\"\n[transport]\nkind = \"http\"\n[transport.http]\nurl = \"http://127.0.0.1:9/x\"\nheaders = { \"Authorization\" = \"hush-hush\" }\n",
    )
    .unwrap();
    for format in [&[][..], &["--json"]] {
        let name = file.to_str().unwrap();
        let arguments = [&["print-config", "--config", name, "--spool", "/tmp/by-flag"], format].concat();
        let mut command = clean(dir.path(), &arguments);
        command.env("OUTBOXD_DELIVERY__CONCURRENCY", "7");
        let printed = run(command, "").await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        // In JSON, the line has a field of its own.
        let place = if format.is_empty() { "x.toml:2" } else { "\"line\": 2" };
        for word in ["3s", place, "/tmp/by-flag", "--spool", "OUTBOXD_DELIVERY__CONCURRENCY", "default"] {
            assert!(printed.out.contains(word), "no {word}: {}", printed.out);
        }
        assert!(!printed.out.contains("hush-hush"), "{}", printed.out);
    }
}

#[tokio::test]
async fn every_configuration_that_the_project_ships_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let config = project().join("config");
    let mut files = vec![config.join("outboxd.toml")];
    for file in std::fs::read_dir(config.join("examples")).unwrap() {
        files.push(file.unwrap().path());
    }
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        check_text(dir.path(), &text, &file.display().to_string()).await;
    }
    let printed = outboxd(dir.path(), &["print-config", "--default"]).await;
    assert_eq!(printed.out, std::fs::read_to_string(config.join("outboxd.toml")).unwrap());
}

#[tokio::test]
async fn every_piece_of_configuration_in_the_documents_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut documents = vec![project().join("README.md")];
    for file in std::fs::read_dir(project().join("docs")).unwrap() {
        documents.push(file.unwrap().path());
    }
    let mut pieces = 0;
    for document in documents.iter().filter(|path| path.extension().is_some_and(|ext| ext == "md")) {
        let Ok(text) = std::fs::read_to_string(document) else { continue };
        for piece in text.split("```toml\n").skip(1) {
            let toml = piece.split("```").next().unwrap();
            // A dependency in Cargo.toml is TOML, too.
            if toml.contains("[dependencies]") {
                continue;
            }
            check_text(dir.path(), toml, &document.display().to_string()).await;
            pieces += 1;
        }
    }
    eprintln!("{pieces} pieces of configuration in {} documents", documents.len());
}

/// Checks a configuration, with the files that it names put in their places.
async fn check_text(dir: &Path, text: &str, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    let token = dir.join("token");
    std::fs::write(&token, "Bearer x").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let token = token.to_str().unwrap();
    let text = text.replace("/etc/outbox/token", token).replace("/etc/outbox/tim.key", token);
    // Users of an example's machine; these two are on most.
    let text = text.replace("group:support", "group:root").replace("user:till", "user:root");
    let file = dir.join("checked.toml");
    std::fs::write(&file, text).unwrap();
    let checked = outboxd(dir, &["check-config", file.to_str().unwrap()]).await;
    assert_eq!(checked.code, Some(0), "{name}: {checked:?}");
}

#[tokio::test]
async fn a_role_for_somebody_who_does_not_exist_is_refused_by_name_at_a_start_and_at_a_check() {
    for (list, name) in [("read", "user:no-such-user-here"), ("admin", "group:no-such-group-here")] {
        let place = Place::new(&format!("[control.roles]\n{list} = [\"{name}\"]\n"));
        let refused = run(place.command(), "").await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.err.contains(name.split(':').next_back().unwrap()), "{refused:?}");
        assert!(!place.spool.exists(), "nothing was begun");
        let file = place.config_path().to_str().unwrap().to_owned();
        let checked = outboxd(place.path(), &["check-config", &file]).await;
        assert_eq!((checked.code, &checked.err, checked.out.as_str()), (Some(78), &refused.err, ""));
    }
}

#[tokio::test]
async fn bad_usage_ends_with_2_and_help_says_how() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(outboxd(dir.path(), &["--nonsense"]).await.code, Some(2));
    assert_eq!(outboxd(dir.path(), &["rnu"]).await.code, Some(2));
    let help = outboxd(dir.path(), &["--help"]).await;
    assert_eq!(help.code, Some(0));
    for command in ["run", "demo", "check-config", "print-config"] {
        assert!(help.out.contains(command), "{command}");
    }
}

#[tokio::test]
async fn status_and_health_have_the_fields_of_the_contract() {
    let daemon = Daemon::start("").await;
    let status = daemon.get("/v1/status").await.json();
    for field in [
        "version",
        "pid",
        "startedAt",
        "paused",
        "link",
        "transport",
        "accounts",
        "counts",
        "sentTotal",
        "oldestWaitingMs",
        "spool",
        "lastSentAt",
    ] {
        assert!(status.get(field).is_some(), "no {field}: {status}");
    }
    for field in ["path", "bytes", "messages", "limitBytes", "limitMessages", "freeBytes", "format"] {
        assert!(status["spool"].get(field).is_some(), "no spool.{field}: {status}");
    }
    for state in ["queued", "deferred", "blocked", "held", "sending", "uncertain", "failed", "expired"] {
        assert_eq!(status["counts"][state], 0, "{state}: {status}");
    }
    for field in ["state", "since", "source"] {
        assert!(status["link"][field].is_string(), "{status}");
    }
    assert_eq!((&status["pid"], &status["transport"]["kind"]), (&daemon.pid().into(), &"app".into()));
    let ready = daemon.get("/v1/health/ready").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    assert!(ready.json()["degraded"].is_array());
    let live = daemon.get("/v1/health/live").await;
    assert_eq!(live.status, 200);
}

#[tokio::test]
async fn the_socket_describes_itself_as_the_documents_do() {
    let daemon = Daemon::start("").await;
    let answer = daemon.get("/v1/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text(), std::fs::read_to_string(project().join("docs/openapi.json")).unwrap());
}
