//! Roles as other users of the machine find them: every call of the contract, for every role.
//!
//! Owns:  the table of calls and roles, and a second process that asks as somebody else.
//! Never: runs where the machine does not let a test act as another user: it says so instead.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use tokio::process::Command;

use crate::harness::{Daemon, http_toml, run, service};
use crate::messages::submit;
use crate::places::can_be_nobody;

/// Tells the test binary that it is to ask, on this socket.
const ASK: &str = "OUTBOX_TEST_ASK";

/// What stands before each status that the second process prints.
const MARK: &str = "status=";

const ROLES: [&str; 5] = ["nobody", "read", "submit", "operator", "admin"];

/// Each call, and the least role that may make it.
const CALLS: [(&str, &str, &str); 38] = [
    ("GET", "/v1/messages", "read"),
    ("GET", "/v1/messages/m-1", "read"),
    ("GET", "/v1/messages/m-1/why", "read"),
    ("GET", "/v1/messages/payload", "read"),
    ("GET", "/v1/sent", "read"),
    ("GET", "/v1/sent/m-1", "read"),
    ("GET", "/v1/sent/payload", "read"),
    ("GET", "/v1/events?follow=false&since=0", "read"),
    ("GET", "/v1/status", "read"),
    ("GET", "/v1/accounts", "read"),
    ("GET", "/v1/health/live", "read"),
    ("GET", "/v1/health/ready", "read"),
    ("GET", "/v1/openapi.json", "read"),
    ("GET", "/metrics", "read"),
    ("HEAD", "/v1/status", "read"),
    ("GET", "/v1/messages/m-1/payload", "operator"),
    ("HEAD", "/v1/messages/m-1/payload", "operator"),
    ("GET", "/v1/messages/m%2D1/payload", "operator"),
    ("POST", "/v1/messages", "submit"),
    ("POST", "/v1/leases", "submit"),
    ("POST", "/v1/leases/x/settle", "submit"),
    ("POST", "/v1/leases/x/extend", "submit"),
    ("PUT", "/v1/connectivity", "submit"),
    ("POST", "/v1/accounts/a/pause", "submit"),
    ("POST", "/v1/accounts/a/resume", "submit"),
    ("POST", "/v1/messages/m-1/hold", "operator"),
    ("POST", "/v1/messages/m-1/release", "operator"),
    ("POST", "/v1/messages/m-1/resend", "operator"),
    ("POST", "/v1/messages/m-1/resolve", "operator"),
    ("DELETE", "/v1/messages/nobody", "operator"),
    ("POST", "/v1/messages:batch", "operator"),
    ("POST", "/v1/flush", "operator"),
    ("POST", "/v1/pause", "operator"),
    ("POST", "/v1/resume", "operator"),
    ("POST", "/v1/unknown", "operator"),
    ("PATCH", "/v1/messages/m-1", "operator"),
    ("POST", "/v1/reload", "admin"),
    ("POST", "/v1/compact", "admin"),
];

/// Not a test of its own: the other half of those below, in a process of another user.
#[test]
fn asks_whatever_it_is_told_as_whoever_it_is() {
    let Ok(socket) = std::env::var(ASK) else { return };
    for (method, target, _) in CALLS {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        println!("{MARK}{}", String::from_utf8_lossy(&answer[9..12]));
    }
}

/// The status of each call, made by a process of that user and group.
async fn ask_as(daemon: &Daemon, user: u32, group: u32) -> Vec<u16> {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups", "--"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "hostile::roles::asks_whatever_it_is_told_as_whoever_it_is", "--nocapture"]);
    command.env(ASK, &daemon.place.socket);
    let asked = run(command, "").await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    let statuses = asked.out.lines().filter_map(|line| line.split_once(MARK));
    statuses.map(|(_, status)| status.parse().unwrap()).collect()
}

/// Which calls were made by somebody who may not.
fn check(role: &str, statuses: &[u16]) {
    assert_eq!(statuses.len(), CALLS.len());
    let rank = |name: &str| ROLES.iter().position(|role| *role == name).unwrap();
    for ((method, target, needed), status) in CALLS.iter().zip(statuses) {
        let may = rank(role) >= rank(needed);
        assert_eq!(*status != 403, may, "{role} asks for {method} {target} and is answered {status}");
        assert!(
            *status < 500 || *status == 501,
            "{role} asks for {method} {target} and is answered {status}"
        );
    }
}

const OPEN: &str = "[control]\nmode = \"0666\"\ndir_mode = \"0755\"\n[control.roles]\n";

#[tokio::test]
async fn every_call_of_the_contract_asks_for_its_role() {
    if !can_be_nobody().await {
        return;
    }
    let service = service(|_| outboxd::service::Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", OPEN)).await;
    for role in ROLES {
        // By user and by group, for which the machine's own list of groups counts.
        for principal in ["user:nobody", "group:nogroup"] {
            let given =
                if role == "nobody" { String::new() } else { format!("{role} = [\"{principal}\"]\n") };
            daemon.place.configure(&http_toml(&service, "", &format!("{OPEN}{given}")));
            if let Err(error) = daemon.client.reload().await {
                // A machine that calls this group otherwise.
                assert!(error.to_string().contains("nogroup"), "{error}");
                continue;
            }
            daemon.post("/v1/messages", submit("m-1", "bob")).await;
            check(role, &ask_as(&daemon, 65_534, 65_534).await);
        }
    }
}

#[tokio::test]
async fn each_of_two_users_has_the_role_of_its_own() {
    let has_daemon = std::fs::read_to_string("/etc/passwd")
        .is_ok_and(|users| users.lines().any(|line| line.starts_with("daemon:") && line.contains(":1:1:")));
    if !can_be_nobody().await || !has_daemon {
        eprintln!("skipped: this needs to act as the users `nobody` and `daemon`");
        return;
    }
    let service = service(|_| outboxd::service::Reply::Accept).await;
    let roles = "read = [\"user:nobody\"]\noperator = [\"user:daemon\"]\n";
    let daemon = Daemon::start(&http_toml(&service, "", &format!("{OPEN}{roles}"))).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    // Side by side: no connection may take another's role.
    let (first, second, third) =
        tokio::join!(ask_as(&daemon, 65_534, 65_534), ask_as(&daemon, 1, 1), ask_as(&daemon, 4, 12_345));
    check("read", &first);
    check("operator", &second);
    check("nobody", &third);
    // The group of a process counts as its own, whatever its user.
    let roles = "submit = [\"group:daemon\"]\n";
    daemon.place.configure(&http_toml(&service, "", &format!("{OPEN}{roles}")));
    daemon.client.reload().await.unwrap();
    check("submit", &ask_as(&daemon, 65_534, 1).await);
    check("nobody", &ask_as(&daemon, 65_534, 65_534).await);
}
