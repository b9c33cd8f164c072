//! Access: peer credentials become a role, a role becomes a yes or no.
//!
//! Owns:  roles and what each may do, the checks of every request's headers.
//! Never: knows what a call does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN, REFERER};
use http::{HeaderMap, Method};
use nix::unistd::{Gid, Group, Uid, User};
use outbox_control::types::{Problem, ProblemCode, TooLarge};

use super::HEADERS_BYTES_MAX;
use super::peer::Peer;
use super::problem::Refused;
use crate::config::{Principal, RolesConfig};

/// What a client may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every GET but payloads and receipts' data.
    Read,
    /// Submitting and being the transport.
    Submit,
    /// Payloads and every verb.
    Operator,
    /// Everything.
    Admin,
}

/// Why the configured roles cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No such user or group.
    #[error("[control.roles] names the {kind} `{name}`, which does not exist on this machine")]
    Unknown {
        /// User or group.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The system could not tell.
    #[error("looking up the {kind} `{name}` of [control.roles] failed: {reason}")]
    LookUp {
        /// User or group.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    own: u32,
    users: BTreeMap<u32, Role>,
    groups: BTreeMap<u32, Role>,
}

impl Access {
    /// Resolves the configured names.
    ///
    /// # Errors
    /// A name that does not exist: a typo must not silently lock somebody out.
    pub fn new(roles: &RolesConfig) -> Result<Self, AccessError> {
        let mut access =
            Self { own: Uid::effective().as_raw(), users: BTreeMap::new(), groups: BTreeMap::new() };
        let lists = [
            (Role::Read, &roles.read),
            (Role::Submit, &roles.submit),
            (Role::Operator, &roles.operator),
            (Role::Admin, &roles.admin),
        ];
        for (role, principals) in lists {
            for principal in principals {
                // In rising order of roles: a name in two lists keeps the greater one.
                match principal {
                    Principal::User(name) => access.users.insert(user_id(name)?, role),
                    Principal::Group(name) => access.groups.insert(group_id(name)?, role),
                };
            }
        }
        Ok(access)
    }

    /// The role of a peer; `None` keeps it out.
    pub async fn role_of(self: &Arc<Self>, uid: u32, gid: u32) -> Option<Role> {
        if uid == 0 || uid == self.own {
            return Some(Role::Admin);
        }
        let by_user = self.users.get(&uid).copied();
        if self.groups.is_empty() {
            return by_user;
        }
        let access = Arc::clone(self);
        // A directory service may take its time to list somebody's groups.
        let by_group = tokio::task::spawn_blocking(move || access.role_by_groups(uid, gid)).await;
        by_user.max(by_group.unwrap_or_default())
    }

    fn role_by_groups(&self, uid: u32, gid: u32) -> Option<Role> {
        let mut gids = vec![Gid::from_raw(gid)];
        if let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid))
            && let Ok(name) = std::ffi::CString::new(user.name)
        {
            gids.extend(nix::unistd::getgrouplist(&name, user.gid).unwrap_or_default());
        }
        gids.iter().filter_map(|gid| self.groups.get(&gid.as_raw()).copied()).max()
    }
}

fn user_id(name: &str) -> Result<u32, AccessError> {
    let found = User::from_name(name).map_err(|error| look_up("user", name, error))?;
    found.map(|user| user.uid.as_raw()).ok_or_else(|| unknown("user", name))
}

fn group_id(name: &str) -> Result<u32, AccessError> {
    let found = Group::from_name(name).map_err(|error| look_up("group", name, error))?;
    found.map(|group| group.gid.as_raw()).ok_or_else(|| unknown("group", name))
}

fn look_up(kind: &'static str, name: &str, error: nix::Error) -> AccessError {
    AccessError::LookUp { kind, name: name.into(), reason: error.to_string() }
}

fn unknown(kind: &'static str, name: &str) -> AccessError {
    AccessError::Unknown { kind, name: name.into() }
}

/// The least role that a call needs.
fn needed(method: &Method, path: &str) -> Role {
    if method == Method::GET || method == Method::HEAD {
        return if is_payload(path) { Role::Operator } else { Role::Read };
    }
    if path == "/v1/reload" || path == "/v1/compact" {
        return Role::Admin;
    }
    let is_submit = path == "/v1/messages"
        || path == "/v1/leases"
        || path.starts_with("/v1/leases/")
        || path == "/v1/connectivity"
        || path.starts_with("/v1/accounts/");
    if is_submit { Role::Submit } else { Role::Operator }
}

/// Whether a path is `/v1/messages/{id}/payload`, and not that of a message named `payload`.
fn is_payload(path: &str) -> bool {
    path.strip_prefix("/v1/messages/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, call)| call == "payload")
}

/// Lets a request through, or says why not.
pub(super) async fn check_request(request: Request, next: Next) -> Response {
    let role = request.extensions().get::<Peer>().and_then(Peer::role);
    match check(&request, role) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refused(problem).into_response(),
    }
}

fn check(request: &Request, role: Option<Role>) -> Result<(), Problem> {
    let denied = |detail: &str| Problem::new(ProblemCode::Denied, detail);
    let Some(role) = role else {
        return Err(denied("this user has no role on the control socket")
            .with_hint("An administrator can give one in [control.roles] of the configuration."));
    };
    check_size(request)?;
    check_headers(request.headers())?;
    if let Some(authority) = request.uri().authority() {
        check_host(authority.as_str())?;
    }
    let needed = needed(request.method(), request.uri().path());
    if role < needed {
        let detail = format!("this needs the role {}; this user has {}", needed.as_str(), role.as_str());
        return Err(denied(&detail));
    }
    Ok(())
}

/// The first line counts as well as the headers.
fn check_size(request: &Request) -> Result<(), Problem> {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers();
    let bytes: usize =
        line + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    if bytes > HEADERS_BYTES_MAX {
        let detail = format!("the headers have {bytes} bytes; the limit is {HEADERS_BYTES_MAX}");
        return Err(Problem::too_large(TooLarge::Headers, detail));
    }
    Ok(())
}

fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(name) = [ORIGIN, REFERER].iter().find(|name| headers.contains_key(*name)) {
        let detail = format!("requests with the header `{name}` come from a web page and are refused");
        return Err(Problem::new(ProblemCode::Denied, detail)
            .with_hint("Use a client that is not a browser, and send no such header."));
    }
    headers.get_all(HOST).iter().try_for_each(|host| check_host(host.to_str().unwrap_or("?")))
}

fn check_host(host: &str) -> Result<(), Problem> {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let known = ["", "localhost", "outbox", "unix", "d"].contains(&name.to_ascii_lowercase().as_str());
    if !known || port.parse::<u16>().is_err() {
        return Err(Problem::new(ProblemCode::Denied, "the header `host` names another host")
            .with_hint("Use `localhost`, or leave the host out."));
    }
    Ok(())
}

impl Role {
    /// The name in configuration and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn each_call_needs_the_role_of_the_contract() {
        let rows = [
            (Method::GET, "/v1/status", Role::Read),
            (Method::GET, "/v1/messages/a/payload", Role::Operator),
            (Method::GET, "/v1/messages/a", Role::Read),
            (Method::GET, "/v1/messages/payload", Role::Read),
            (Method::GET, "/v1/sent/payload", Role::Read),
            (Method::POST, "/v1/messages", Role::Submit),
            (Method::POST, "/v1/leases/x/settle", Role::Submit),
            (Method::PUT, "/v1/connectivity", Role::Submit),
            (Method::POST, "/v1/accounts/a/resume", Role::Submit),
            (Method::POST, "/v1/messages/a/hold", Role::Operator),
            (Method::DELETE, "/v1/messages/a", Role::Operator),
            (Method::POST, "/v1/pause", Role::Operator),
            (Method::POST, "/v1/messages:batch", Role::Operator),
            (Method::GET, "/v1/events", Role::Read),
            (Method::GET, "/metrics", Role::Read),
            (Method::POST, "/v1/reload", Role::Admin),
            (Method::POST, "/v1/compact", Role::Admin),
        ];
        for (method, path, role) in rows {
            assert_eq!(needed(&method, path), role, "{method} {path}");
        }
    }

    #[test]
    fn browsers_and_other_hosts_are_kept_out() {
        let with = |name: http::HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            check_headers(&headers)
        };
        for host in ["", "localhost", "LOCALHOST:80", "outbox", "unix", "d"] {
            assert_eq!(with(HOST, host), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1", "localhost:80@evil", "localhost:"]
        {
            assert_eq!(with(HOST, host).unwrap_err().code, ProblemCode::Denied, "{host}");
        }
        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("localhost"));
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(check_headers(&two).is_err());
        assert!(with(ORIGIN, "null").is_err());
        assert!(with(REFERER, "http://localhost/").is_err());
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error() {
        let roles =
            RolesConfig { read: vec![Principal::User("no-such-user-here".into())], ..RolesConfig::default() };
        assert!(matches!(Access::new(&roles), Err(AccessError::Unknown { kind: "user", .. })));
    }

    #[tokio::test]
    async fn root_and_the_own_user_are_admin_and_strangers_are_nobody() {
        let roles = RolesConfig {
            read: vec![Principal::Group("root".into())],
            operator: vec![Principal::User("nobody".into())],
            ..RolesConfig::default()
        };
        let Ok(access) = Access::new(&roles) else {
            // A machine without these two names; the other tests cover the rest.
            return;
        };
        let access = Arc::new(access);
        let nobody = User::from_name("nobody").unwrap().unwrap().uid.as_raw();
        assert_eq!(access.role_of(0, 0).await, Some(Role::Admin));
        assert_eq!(access.role_of(access.own, 9).await, Some(Role::Admin));
        assert_eq!(access.role_of(nobody, 12_345).await, Some(Role::Operator));
        assert_eq!(access.role_of(54_321, 0).await, Some(Role::Read));
        assert_eq!(access.role_of(54_321, 54_321).await, None);
    }
}
