//! Paths: an id finds its own message and nothing else, and no spelling of a path reaches what a role may not.
//!
//! Owns:  one store with some messages, and an independent reading of percent signs.
//! Never: uses a socket: what the HTTP layer refuses is not asked.

use std::sync::OnceLock;

use http::{Method, Request, Response};
use outboxd::server::Role;
use outboxd::server::fuzzing::Calls;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Stands in every payload and nowhere else.
const MARK: &str = "mark-7f3a-of-a-payload";

const IDS: [&str; 8] = ["m-1", "payload", "why", "a/b", "a%2Fb", "..", "é 🚢", "m-1/payload"];

pub(crate) const WORDS: &[&str] = &[
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%2F",
    "%2f",
    "%25",
    "%00",
    "%",
    "?",
    "#",
    ";",
    ":",
    "v1",
    "V1",
    "messages",
    "messages:batch",
    "payload",
    "why",
    "hold",
    "release",
    "resend",
    "resolve",
    "sent",
    "status",
    "accounts",
    "pause",
    "resume",
    "reload",
    "compact",
    "health",
    "live",
    "metrics",
    "openapi.json",
    "m-1",
    "a%2Fb",
    "%C3%A9%20%F0%9F%9A%A2",
    "http://localhost",
    "limit=",
    "state=",
    "since=",
    "cursor=s",
    "wait=",
    "*",
    "{id}",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let paths = [
        "/v1/messages",
        "/v1/messages?state=queued&limit=2&conversation=c2c:u&cursor=s1",
        "/v1/messages/m-1",
        "/v1/messages/m-1/payload",
        "/v1/messages/a%2Fb/payload",
        "/v1/messages/a%252Fb",
        "/v1/messages/m-1%2Fpayload",
        "/v1/messages/payload/payload",
        "/v1/messages/m-1/why",
        "/v1/messages/m-1/hold",
        "/v1/messages:batch",
        "/v1/sent",
        "/v1/sent/m-1",
        "/v1/status",
        "/v1/accounts/default/pause",
        "/v1/leases/0/settle",
        "/v1/pause",
        "/v1/reload",
        "/v1/compact",
        "/v1/health/ready",
        "/metrics",
    ];
    // The first two bytes choose role and method.
    let of = |path: &str, first: u8| [&[first, first / 4], path.as_bytes()].concat();
    paths.iter().flat_map(|path| (0..32).step_by(5).map(move |first| of(path, first))).collect()
}

struct World {
    runtime: Runtime,
    calls: Calls,
    _folder: TempDir,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls = runtime.block_on(async {
            let calls = Calls::open(folder.path()).expect("the calls");
            for id in IDS {
                let body =
                    serde_json::json!({"msgID": id, "message": {"userID": "u", "textElem": {"text": MARK}}});
                let request = request(&Method::POST, "/v1/messages", body.to_string().into_bytes()).unwrap();
                assert_eq!(calls.ask(Some(Role::Admin), request).await.status(), 201);
            }
            calls
        });
        World { runtime, calls, _folder: folder }
    })
}

fn request(method: &Method, target: &str, body: Vec<u8>) -> Option<Request<Vec<u8>>> {
    Request::builder().method(method).uri(target).body(body).ok()
}

/// Undoes percent signs; what follows one that begins no byte stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let hex = |digits: &[u8]| {
        let is_hex = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
    };
    let (bytes, mut found, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1..at + 3).and_then(hex)) {
            (b'%', Some(decoded)) => {
                found.push(decoded);
                at += 3;
            }
            _ => {
                found.push(byte);
                at += 1;
            }
        }
    }
    found
}

pub(crate) fn check(data: &[u8]) {
    let [role, method, target @ ..] = data else { return };
    let Ok(target) = std::str::from_utf8(target) else { return };
    let role = match role % 4 {
        0 => None,
        1 => Some(Role::Read),
        2 => Some(Role::Submit),
        _ => Some(Role::Operator),
    };
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
    let method = &methods[usize::from(*method) % methods.len()];
    // Whoever may do something does it; here only those ask who may not.
    let method = if role >= Some(Role::Submit) { &Method::GET } else { method };
    check_id(target);
    let Some(request) = request(method, target, Vec::new()) else { return };
    let path = request.uri().path().to_owned();
    if path == "/v1/events" {
        // It has no end.
        return;
    }
    let World { runtime, calls, .. } = world();
    let before = (calls.outbox.counters(), calls.outbox.accounts(100).unwrap());
    let answer = runtime.block_on(calls.ask(role, request));
    let after = (calls.outbox.counters(), calls.outbox.accounts(100).unwrap());
    assert_eq!(before, after, "{role:?} {method} {target} changed something");
    check_answer(role, method, &path, &answer);
}

fn check_answer(role: Option<Role>, method: &Method, path: &str, answer: &Response<Vec<u8>>) {
    let status = answer.status().as_u16();
    let body = String::from_utf8_lossy(answer.body());
    assert!(status < 500, "{role:?} {method} {path}: {status} {body}");
    assert!(role.is_some() || status == 403, "nobody asks for {method} {path} and is answered {status}");
    if role < Some(Role::Operator) {
        assert!(!body.contains(MARK), "{role:?} sees a payload: {method} {path}");
        let reads = [Method::GET, Method::HEAD].contains(method);
        assert!(role == Some(Role::Submit) || reads || status >= 400, "{role:?} may {method} {path}");
    }
    if status >= 400 && method != Method::HEAD {
        let media_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!(media_type, Some("application/problem+json"), "{method} {path}: {status}");
        let problem: Value = serde_json::from_str(&body).expect("a problem is JSON");
        assert_eq!(problem["status"], status, "{problem}");
    }
    let id = path.strip_prefix("/v1/messages/").filter(|id| !id.contains('/'));
    if let (200, Some(id), &Method::GET) = (status, id, method) {
        let entry: Value = serde_json::from_str(&body).expect("an entry is JSON");
        assert_eq!(entry["msgID"].as_str().map(str::as_bytes), Some(decoded(id).as_slice()), "{path}");
    }
}

/// Any text as an id, encoded as it must be, finds the message of that name or none.
fn check_id(id: &str) {
    if id.is_empty() || id.len() > 4_000 {
        return;
    }
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let Some(request) = request(&Method::GET, &format!("/v1/messages/{encoded}"), Vec::new()) else { return };
    let World { runtime, calls, .. } = world();
    let answer = runtime.block_on(calls.ask(Some(Role::Read), request));
    let is_known = IDS.contains(&id);
    assert_eq!(answer.status().as_u16(), if is_known { 200 } else { 404 }, "{id:?}");
}
