//! Sockets, spools and who may use them.
//!
//! Owns:  file modes, roles as another user sees them, two daemons that want the same place.
//! Never: changes the machine's users.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use outboxd::service::Reply;
use tokio::process::Command;

use crate::harness::{Daemon, OUTBOXCTL, OUTBOXD, Place, QUICK, Run, http_toml, run, service};
use crate::messages::{message, submit, submit_with};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn socket_and_spool_are_the_owners_alone_unless_configured_otherwise() {
    let daemon = Daemon::start("").await;
    let place = &daemon.place;
    assert_eq!(mode(&place.socket), 0o600);
    assert_eq!(mode(place.socket.parent().unwrap()), 0o700);
    assert_eq!(mode(&place.spool) & 0o077, 0, "{:o}", mode(&place.spool));
    let open = Daemon::start("[control]\nmode = \"0660\"\ndir_mode = \"0750\"").await;
    assert_eq!(mode(&open.place.socket), 0o660);
    assert_eq!(mode(open.place.socket.parent().unwrap()), 0o750);
}

#[tokio::test]
async fn a_directory_that_was_there_is_not_changed_and_refused_if_others_may_write_to_it() {
    let place = Place::new("");
    let dir = place.socket.parent().unwrap().to_owned();
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut daemon = Daemon::start_in(place).await;
    assert_eq!(mode(&dir), 0o755);
    daemon.kill9().await;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = run(daemon.place.command(), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains(dir.to_str().unwrap()) && refused.err.contains("chmod"), "{refused:?}");
}

/// Runs a command line as the user `nobody`; `None` where this machine cannot do that.
async fn as_nobody(arguments: &[&str]) -> Option<Run> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(arguments);
    Some(run(command, "").await)
}

/// Whether this machine lets a test act as another user.
pub(crate) async fn can_be_nobody() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0);
    let has_nobody = std::fs::read_to_string("/etc/passwd")
        .is_ok_and(|users| users.lines().any(|line| line.starts_with("nobody:") && line.contains(":65534:")));
    if is_root && has_nobody && Path::new("/usr/bin/setpriv").exists() {
        let version = as_nobody(&[OUTBOXCTL, "--version"]).await;
        if version.is_some_and(|run| run.code == Some(0)) {
            return true;
        }
    }
    eprintln!("skipped: this needs root, setpriv, a user `nobody`, and binaries that it may run");
    false
}

#[tokio::test]
async fn another_user_is_kept_out_by_the_mode_and_else_by_its_credentials() {
    if !can_be_nobody().await {
        return;
    }
    let closed = Daemon::start("").await;
    let socket = closed.place.socket.to_str().unwrap();
    let denied = as_nobody(&[OUTBOXCTL, "--socket", socket, "status"]).await.unwrap();
    assert_eq!(denied.code, Some(5), "{denied:?}");
    let open = Daemon::start("[control]\nmode = \"0666\"\ndir_mode = \"0755\"").await;
    let socket = open.place.socket.to_str().unwrap();
    let denied = as_nobody(&[OUTBOXCTL, "--socket", socket, "status"]).await.unwrap();
    assert_eq!(denied.code, Some(5), "{denied:?}");
    assert!(denied.err.contains("role"), "{denied:?}");
}

#[tokio::test]
async fn a_role_permits_what_the_contract_says_and_no_more() {
    if !can_be_nobody().await {
        return;
    }
    let service = service(|_| Reply::Accept).await;
    let control = "[control]\nmode = \"0666\"\ndir_mode = \"0755\"\n[control.roles]\n";
    let tables = |role: &str| http_toml(&service, "", &format!("{QUICK}{control}{role} = [\"user:nobody\"]"));
    let mut daemon = Daemon::start(&tables("read")).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", outbox_control::types::State::Sent).await;
    daemon.client.pause().await.unwrap();
    let file = daemon.place.path().join("submit.json");
    std::fs::write(&file, submit("m-2", "bob")).unwrap();
    let socket = daemon.place.socket.to_str().unwrap().to_owned();
    let file = file.to_str().unwrap().to_owned();
    let codes = |commands: Vec<Vec<&'static str>>| {
        let (socket, file) = (socket.clone(), file.clone());
        async move {
            let mut codes = Vec::new();
            for command in commands {
                let mut line = vec![OUTBOXCTL, "--socket", &socket, "--json"];
                line.extend(command.iter().map(|word| if *word == "FILE" { file.as_str() } else { word }));
                codes.push(as_nobody(&line).await.unwrap().code.unwrap());
            }
            codes
        }
    };
    let commands =
        || vec![vec!["status"], vec!["submit", "FILE"], vec!["payload", "m-2"], vec!["hold", "m-2"]];
    let denied = 5;
    // The payload and the hold of a message that a reader could not submit are denied, not "not found".
    assert_eq!(codes(commands()).await, [0, denied, denied, denied]);
    let receipt = as_nobody(&[OUTBOXCTL, "--socket", &socket, "--json", "sent", "m-1"]).await.unwrap();
    assert!(receipt.out.contains("srv-") && !receipt.out.contains("hello"), "{receipt:?}");
    for (role, expected) in [("submit", [0, 0, denied, denied]), ("operator", [0, 0, 0, 0])] {
        daemon.place.configure(&tables(role));
        daemon.restart().await;
        assert_eq!(codes(commands()).await, expected, "{role}");
    }
    let payload = as_nobody(&[OUTBOXCTL, "--socket", &socket, "payload", "m-2"]).await.unwrap();
    assert!(payload.out.starts_with(&message("m-2", "bob")), "{payload:?}");
}

#[tokio::test]
async fn a_reload_gives_and_takes_roles_and_is_for_administrators() {
    if !can_be_nobody().await {
        return;
    }
    let control = "[control]\nmode = \"0666\"\ndir_mode = \"0755\"\n[control.roles]\n";
    let tables = |role: &str| format!("{control}{role} = [\"user:nobody\"]\n");
    let daemon = Daemon::start(control).await;
    let socket = daemon.place.socket.to_str().unwrap();
    let denied = 5;
    for (role, expected) in [
        ("read", [0, denied, denied]),
        ("submit", [0, denied, denied]),
        ("operator", [0, 0, denied]),
        ("admin", [0, 0, 0]),
    ] {
        daemon.place.configure(&tables(role));
        let changed = daemon.client.reload().await.unwrap().changed;
        assert!(changed.contains(&format!("control.roles.{role}")), "{changed:?}");
        let mut codes = Vec::new();
        for command in [&["events"][..], &["batch", "hold", "--all"], &["reload"]] {
            let line = [&[OUTBOXCTL, "--socket", socket], command].concat();
            codes.push(as_nobody(&line).await.unwrap().code.unwrap());
        }
        assert_eq!(codes, expected, "{role}");
    }
    daemon.place.configure(control);
    daemon.client.reload().await.unwrap();
    let nobody = as_nobody(&[OUTBOXCTL, "--socket", socket, "status"]).await.unwrap();
    assert_eq!(nobody.code, Some(denied), "{nobody:?}");
}

/// The command line of another daemon.
fn second(spool: &Path, socket: &Path) -> Command {
    let mut command = Command::new(OUTBOXD);
    // An environment without a configuration of its own.
    let config = spool.with_file_name("empty.toml");
    std::fs::write(&config, "").unwrap();
    command.arg("--config").arg(config).arg("--spool").arg(spool).arg("--socket").arg(socket);
    command
}

#[tokio::test]
async fn a_second_daemon_on_the_same_spool_says_who_has_it() {
    let daemon = Daemon::start("").await;
    let other_socket = daemon.place.path().join("other/outbox.sock");
    let refused = run(second(&daemon.place.spool, &other_socket), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains(&format!("pid {}", daemon.pid())), "{refused:?}");
    assert!(refused.err.contains(daemon.place.spool.to_str().unwrap()), "{refused:?}");
    assert!(!other_socket.exists());
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_socket_is_refused_without_harm_to_the_first() {
    let daemon = Daemon::start("").await;
    let other_spool = daemon.place.path().join("other-spool");
    let refused = run(second(&other_spool, &daemon.place.socket), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains(daemon.place.socket.to_str().unwrap()), "{refused:?}");
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    assert_eq!(daemon.client.status().await.unwrap().pid, daemon.pid());
}

#[tokio::test]
async fn the_socket_of_a_killed_daemon_is_replaced_and_a_file_in_its_place_is_not() {
    let mut daemon = Daemon::start("").await;
    daemon.kill9().await;
    assert!(daemon.place.socket.exists(), "a killed daemon cannot remove it");
    daemon.start_again().await;
    assert_eq!(daemon.term().await, Some(0));
    std::fs::write(&daemon.place.socket, "mine").unwrap();
    let refused = run(daemon.place.command(), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&daemon.place.socket).unwrap(), "mine");
}

#[tokio::test]
async fn a_socket_path_that_is_too_long_is_refused_by_name() {
    let place = Place::new("");
    let socket = place.path().join("x".repeat(120));
    let refused = run(second(&place.spool, &socket), "").await;
    assert!(matches!(refused.code, Some(1 | 78)), "{refused:?}");
    assert!(refused.err.contains("107"), "{refused:?}");
}

#[tokio::test]
async fn a_spool_of_another_user_is_refused_with_what_to_do() {
    if !can_be_nobody().await {
        return;
    }
    let mut daemon = Daemon::start("").await;
    daemon.post("/v1/messages", &submit("kept", "somebody")).await;
    daemon.term().await;
    let spool = daemon.place.spool.to_str().unwrap();
    let socket = daemon.place.path().join("other/outbox.sock");
    let config = daemon.place.config_path().to_str().unwrap();
    let socket = socket.to_str().unwrap();
    let start = [OUTBOXD, "run", "--config", config, "--spool", spool, "--socket", socket];
    for command in [&start[..], &[OUTBOXD, "fsck", spool], &[OUTBOXD, "export", spool]] {
        let refused = as_nobody(command).await.unwrap();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.err.contains("Permission denied") && refused.err.contains("own the spool"),
            "{refused:?}"
        );
    }
    daemon.start_again().await;
    assert!(daemon.client.message("kept").await.is_ok(), "nothing was changed");
}

#[tokio::test]
async fn what_root_changes_in_the_spool_of_another_user_stays_that_users() {
    if !can_be_nobody().await {
        return;
    }
    let mut daemon = Daemon::start("").await;
    let padding = format!(r#""webMessageInstatnce":{{"x":"{}"}}"#, "y".repeat(40_000));
    daemon.client.submit_json(submit_with("m-1", "lena", &padding).into_bytes()).await.unwrap();
    assert_eq!(daemon.term().await, Some(0));
    let (folder, spool) = (daemon.place.path(), &daemon.place.spool);
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let everything = || {
        let mut left = vec![spool.clone()];
        let mut found = Vec::new();
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            found.push(path);
        }
        found
    };
    for path in everything() {
        chown(path, Some(65_534), Some(65_534)).unwrap();
    }
    let payload = std::fs::read_dir(spool.join("payloads")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(payload, "damaged").unwrap();
    let spool_text = spool.to_str().unwrap();
    let repaired = run(command(&[OUTBOXD, "fsck", "--repair", spool_text]), "").await;
    assert!(repaired.out.contains("set aside"), "{repaired:?}");
    let imported = run(command(&[OUTBOXD, "import", spool_text]), &submit("m-2", "lena")).await;
    assert!(imported.err.contains("1 taken in"), "{imported:?}");
    let all = everything();
    assert!(all.iter().any(|path| path.starts_with(spool.join("quarantine")) && path.is_file()), "{all:?}");
    for path in all {
        assert_eq!(path.metadata().unwrap().uid(), 65_534, "{}", path.display());
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]);
    command
}
