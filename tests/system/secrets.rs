//! Secrets and payloads: where they lie, and that everything else that the daemon writes is free of them.
//!
//! Owns:  planted words, a whole life of a daemon with every kind of trouble, a look at all that it left behind; the same for
//!        each transport.
//! Never: tests how a configuration is printed (beside the code).

mod app;
mod tencent;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outbox_control::types::{ResendRequest, State};
use outboxd::service::{Reply, Service};
use tokio::process::Command;

use crate::harness::{Daemon, OUTBOXD, Place, QUICK, run, service, until};
use crate::tim_double::KEY;
use crate::wire::connect;

/// Secrets of the configuration, in each way in which one can be given.
const SECRETS: [&str; 8] = [
    "hunter2-in-text",
    "hunter2-in-file",
    "hunter2-in-variable",
    "hunter2-in-address",
    "hunter2-after-reload",
    KEY,
    "another key that is planted",
    "usersig=",
];

/// Words that stand in messages alone.
const PAYLOADS: [&str; 3] = ["plaice-in-a-message", "plaice-in-a-file", "plaice-for-the-web"];

/// Fails if one of the words shows in a text.
#[track_caller]
fn free_of(words: &[&str], text: &str, what: &str) {
    for word in words {
        if let Some(at) = text.find(word) {
            let around: String =
                text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} shows {word}: …{around}{word}");
        }
    }
}

#[track_caller]
fn free_of_all(text: &str, what: &str) {
    free_of(&SECRETS, text, what);
    free_of(&PAYLOADS, text, what);
}

/// A submit object with the words in its message.
fn planted(msg_id: &str) -> String {
    let text = if msg_id.ends_with("large") {
        format!("{} {}", PAYLOADS[1], "x".repeat(30_000))
    } else {
        PAYLOADS[0].to_owned()
    };
    let message = serde_json::json!({
        "msgID": msg_id, "userID": format!("user-{msg_id}"), "elemType": 1, "textElem": {"text": text}
    });
    serde_json::json!({"message": message, "webMessageInstatnce": {"text": PAYLOADS[2]}}).to_string()
}

/// What the service does with each message.
fn trouble(msg_id: &str) -> Reply {
    match msg_id.split('-').next().unwrap_or_default() {
        "bad" => Reply::status(400),
        "denied" => Reply::status(403),
        "later" => Reply::status(503),
        "gateway" => Reply::status(502),
        "lost" => Reply::AcceptThenLose,
        "half" => Reply::HalfBody,
        "endless" => Reply::EndlessBody,
        "hang" => Reply::Hang,
        "moved" => Reply::redirect(307, "http://localhost:1/elsewhere"),
        "odd" => Reply::json(200, "<html>"),
        "refused" => Reply::Callback { code: 80_001, desc: "no".into() },
        "limited" => Reply::status(429),
        _ => Reply::Accept,
    }
}

const KINDS: [&str; 12] = [
    "good", "bad", "denied", "later", "gateway", "lost", "half", "endless", "hang", "moved", "odd", "refused",
];

fn toml(service: &Service, header: &str, secret_file: &Path) -> String {
    format!(
        "{QUICK}[delivery]\ntimeout = \"500ms\"\n[transport]\nkind = \"http\"\n[transport.http]\n\
         url = \"{}?key={}\"\nheaders = {{ Authorization = \"Bearer {header}\", X-Key = {{ file = \"{}\" }} }}\n",
        service.url(),
        SECRETS[3],
        secret_file.display()
    )
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Everything below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        }
        found.push(path);
    }
    found
}

/// Fails if others can open what the daemon made: it is closed itself, or a folder above it is.
#[track_caller]
fn closed_to_others(place: &Place, own: &[&Path]) {
    for path in files_below(place.path()) {
        if own.contains(&path.as_path()) {
            continue;
        }
        let above = path.ancestors().take_while(|above| *above != place.path());
        let is_closed = above.into_iter().any(|above| {
            let mode = std::fs::symlink_metadata(above).unwrap().mode();
            mode & 0o077 == 0
        });
        assert!(is_closed, "others can reach {}", path.display());
    }
}

/// Looks at everything that can be asked for, but for what is there to show messages.
async fn look_at_everything(daemon: &Daemon, ids: &[String]) {
    let mut targets: Vec<String> = [
        "/v1/status",
        "/v1/accounts",
        "/v1/messages?limit=1000",
        "/v1/events?follow=false&since=0",
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/openapi.json",
        "/metrics",
    ]
    .map(str::to_owned)
    .into();
    for id in ids {
        targets.extend([format!("/v1/messages/{id}"), format!("/v1/messages/{id}/why")]);
    }
    for target in &targets {
        let answer = daemon.get(target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        free_of_all(answer.text(), target);
    }
    for line in
        [&["status"][..], &["list"], &["account", "list"], &["events"], &["show", &ids[1]], &["why", &ids[1]]]
    {
        for shown in [daemon.ctl(line).await, daemon.ctl(&[&["--json"], line].concat()).await] {
            assert_eq!(shown.code, Some(0), "{line:?}: {shown:?}");
            free_of_all(&format!("{}{}", shown.out, shown.err), &format!("outboxctl {line:?}"));
        }
    }
    // These two are there to show messages, and no secret.
    for target in ["/v1/sent?since=0".to_owned(), format!("/v1/messages/{}/payload", ids[1])] {
        let answer = daemon.get(&target).await;
        assert!(answer.text().contains("plaice"), "{target}: {}", answer.text());
        free_of(&SECRETS, answer.text(), &target);
    }
}

/// Requests of every kind of nonsense around the words; what they are answered stays between the two.
async fn ask_nonsense(daemon: &Daemon, ids: &[String]) {
    let planted = planted(&ids[1]);
    for body in [
        planted.replace("textElem", "otherElem"),
        planted[..planted.len() - 1].to_owned(),
        planted.replace("\"message\"", "\"mesage\""),
        planted.replace("\"userID\"", "\"user\""),
        format!("[{planted}]"),
        planted.repeat(2),
    ] {
        let answer = daemon.post("/v1/messages", &body).await;
        assert!(matches!(answer.status, 400 | 409), "{}", answer.text());
        assert!(daemon.post_lines(&body).await.status == 200);
    }
    for call in ["resolve", "hold", "resend"] {
        daemon.post(&format!("/v1/messages/{}/{call}", ids[1]), &planted).await;
    }
    daemon.ask("POST", "/v1/messages", &[("Origin", PAYLOADS[0])], planted.as_bytes()).await;
    daemon.ask("POST", &format!("/v1/{}", PAYLOADS[0]), &[("X", PAYLOADS[1])], planted.as_bytes()).await;
    daemon.bytes(format!("GET {} nonsense\r\n{planted}\r\n\r\n", PAYLOADS[0]).as_bytes()).await;
    // One that breaks off in the middle.
    let mut stream = connect(&daemon.place.socket).await;
    let half = format!("POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: 99999\r\n\r\n{planted}");
    tokio::io::AsyncWriteExt::write_all(&mut stream, half.as_bytes()).await.unwrap();
}

/// Whether a text has something that looks like a UserSig: a long run of its letters that begins as all do.
fn has_signature(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "*-_".contains(c);
    text.split(|c| !is_letter(c)).any(|word| word.len() > 60 && word.starts_with("eJ"))
}

/// Stops a daemon that logs everything and searches all that it leaves behind, but for the files that a test wrote.
async fn end_and_search(daemon: &mut Daemon, written: &[&Path]) {
    let (log, config) = (daemon.place.log_path(), daemon.place.config_path().to_owned());
    let own = [&[log.as_path(), config.as_path()], written].concat();
    closed_to_others(&daemon.place, &own);
    assert_eq!(daemon.term().await, Some(0));
    closed_to_others(&daemon.place, &own);
    let mut fsck = Command::new(OUTBOXD);
    fsck.arg("fsck").arg(&daemon.place.spool);
    let fsck = run(fsck, "").await;
    free_of_all(&format!("{}{}", fsck.out, fsck.err), "outboxd fsck");
    for path in files_below(daemon.place.path()) {
        if path.is_dir() || path == config || written.contains(&path.as_path()) {
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        free_of(&SECRETS, &text, &path.display().to_string());
        assert!(!has_signature(&text), "{} shows a signature", path.display());
        if !path.starts_with(&daemon.place.spool) {
            free_of(&PAYLOADS, &text, &path.display().to_string());
        }
    }
    assert!(daemon.log().contains("DEBUG"), "the log has much");
}

#[tokio::test]
async fn a_whole_life_in_trouble_leaves_no_secret_and_no_payload_behind_but_in_the_spool() {
    let service = service(|received| trouble(&received.msg_id)).await;
    let mut place = Place::new("");
    let secret_file = place.path().join("secret");
    write_secret(&secret_file, SECRETS[1]);
    place.configure(&toml(&service, SECRETS[0], &secret_file));
    place.log_level = "trace";
    place.variables = vec![("OUTBOXD_TRANSPORT__HTTP__HEADERS__X_TOKEN", SECRETS[2].to_owned())];
    let mut daemon = Daemon::start_in(place).await;
    let mut ids: Vec<String> = KINDS.iter().map(|kind| format!("{kind}-1")).collect();
    ids.push("bad-large".to_owned());
    for id in &ids {
        assert_eq!(daemon.post("/v1/messages", planted(id)).await.status, 201, "{id}");
    }
    let tried = |id: String| {
        let daemon = &daemon;
        async move {
            daemon.entry_when(&id, |entry| !entry.history.is_empty() || entry.state == State::Sent).await
        }
    };
    for id in &ids {
        tried(id.clone()).await;
    }
    assert!(
        service.requests().iter().all(|request| request.header("x-token") == Some(SECRETS[2])),
        "they are in use"
    );
    let wait = Duration::from_secs(20);
    daemon.client.resend_and_wait("bad-1", &ResendRequest::default(), wait).await.unwrap();
    ask_nonsense(&daemon, &ids).await;
    look_at_everything(&daemon, &ids).await;
    // Another secret; then a file that is broken in the middle of one.
    daemon.place.configure(&toml(&service, SECRETS[4], &secret_file));
    daemon.client.reload().await.unwrap();
    let broken = toml(&service, SECRETS[4], &secret_file).replace(&format!("{}\"", SECRETS[4]), SECRETS[4]);
    daemon.place.configure(&broken);
    let refused = daemon.client.reload().await.unwrap_err();
    free_of_all(&format!("{refused} {refused:?}"), "a refused reload");
    let config = daemon.place.config_path().to_owned();
    for arguments in [&["check-config"][..], &["print-config", "--config"]] {
        let mut command = Command::new(OUTBOXD);
        let shown = run(
            {
                command.args(arguments).arg(&config);
                command
            },
            "",
        )
        .await;
        assert_eq!(shown.code, Some(78), "{shown:?}");
        free_of_all(&format!("{}{}", shown.out, shown.err), "a refused configuration");
    }
    daemon.place.configure(&toml(&service, SECRETS[4], &secret_file));
    // A limited account, a gate, a crash in the middle of attempts, and a stop.
    assert_eq!(daemon.post("/v1/messages", planted("limited-1")).await.status, 201);
    daemon.entry_when("limited-1", |entry| entry.last_error.is_some()).await;
    daemon.restart().await;
    daemon.client.pause().await.unwrap();
    look_at_everything(&daemon, &ids).await;
    end_and_search(&mut daemon, &[&secret_file]).await;
    assert!(daemon.log().contains("TRACE"), "the log has everything");
}

#[tokio::test]
async fn a_spool_in_a_folder_that_was_open_to_others_is_closed_to_them() {
    let place = Place::new("");
    std::fs::create_dir(&place.spool).unwrap();
    std::fs::set_permissions(&place.spool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut daemon = Daemon::start_in(place).await;
    assert_eq!(daemon.post("/v1/messages", planted("small")).await.status, 201);
    assert_eq!(daemon.post("/v1/messages", planted("large")).await.status, 201);
    let log = daemon.place.log_path();
    let config = daemon.place.config_path().to_owned();
    let spool = daemon.place.spool.clone();
    let own = [log.as_path(), config.as_path(), spool.as_path()];
    closed_to_others(&daemon.place, &own);
    assert_eq!(daemon.term().await, Some(0));
    closed_to_others(&daemon.place, &own);
}

#[tokio::test]
async fn every_new_folder_above_the_socket_has_the_mode_of_the_configuration() {
    let mut place = Place::new("[control]\nmode = \"0666\"\ndir_mode = \"0755\"\n");
    place.socket = place.path().join("a/b/outbox.sock");
    let daemon = Daemon::start_in(place).await;
    let mode = |path: &str| std::fs::metadata(daemon.place.path().join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/outbox.sock")), (0o755, 0o755, 0o666));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crash_of_the_daemon_writes_no_picture_of_its_memory() {
    let place = Place::new("");
    // A machine that would have one written.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -S -c unlimited 2>/dev/null || ulimit -S -c hard; exec \"$0\" \"$@\"",
        OUTBOXD,
    ]);
    command.arg("run").arg("--config").arg(place.config_path()).arg("--spool").arg(&place.spool);
    command.arg("--socket").arg(&place.socket).current_dir(place.path()).kill_on_drop(true);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let daemon = command.spawn().unwrap();
    let client = outbox_control::Client::new(&place.socket);
    until("it answers", || async { client.ready().await.ok() }).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.id().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
}
