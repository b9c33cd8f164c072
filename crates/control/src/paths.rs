//! Where the spool and the control socket are when nobody says so.
//!
//! Owns:  the default places, and the limit on a socket's path.
//! Never: reads the environment or the disk: the caller gives what it found there.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::limits::SOCKET_PATH_BYTES_MAX;

/// File name of the control socket in its directory.
pub const SOCKET_NAME: &str = "outbox.sock";
/// Name of the directory for the spool, and for the socket below `$XDG_RUNTIME_DIR`.
pub const DIR_NAME: &str = "outbox";
/// Spool of a daemon that runs as root.
pub const ROOT_SPOOL: &str = "/var/lib/outbox";
/// Socket of a daemon that runs as root.
pub const ROOT_SOCKET: &str = "/run/outbox/outbox.sock";
/// Environment variable that names the socket for clients.
pub const SOCKET_VARIABLE: &str = "OUTBOX_SOCKET";

/// Who a process runs as. Decides between the places of the system and those of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// User id 0.
    Root,
    /// Anybody else.
    Other,
}

/// What the default places depend on.
///
/// Empty and relative directories count as not set, as the XDG base directory specification asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Who asks.
    pub user: User,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
}

/// A place that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing says where this user keeps state.
    #[error(
        "no default place: neither XDG_STATE_HOME nor HOME is an absolute path; set one, or name the path"
    )]
    NoHome,
    /// The kernel takes no socket address of this length.
    #[error(
        "the socket path {path} has {bytes} bytes, at most {SOCKET_PATH_BYTES_MAX} are possible: choose a shorter one",
        path = path.display()
    )]
    SocketTooLong {
        /// The path as given.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

impl Environment {
    /// The environment as `variable` tells it: usually `|name| std::env::var_os(name)`.
    pub fn from_variables(user: User, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let directory = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            user,
            xdg_state_home: directory("XDG_STATE_HOME"),
            xdg_runtime_dir: directory("XDG_RUNTIME_DIR"),
            home: directory("HOME"),
        }
    }
}

/// The spool's directory: `/var/lib/outbox` for root, else `$XDG_STATE_HOME/outbox`, else
/// `~/.local/state/outbox`.
///
/// # Errors
/// [`PathError::NoHome`] where the environment names no directory.
pub fn default_spool(environment: &Environment) -> Result<PathBuf, PathError> {
    if environment.user == User::Root {
        return Ok(PathBuf::from(ROOT_SPOOL));
    }
    let state = match (absolute(&environment.xdg_state_home), absolute(&environment.home)) {
        (Some(state), _) => state.to_owned(),
        (None, Some(home)) => home.join(".local/state"),
        (None, None) => return Err(PathError::NoHome),
    };
    Ok(state.join(DIR_NAME))
}

/// The control socket: `/run/outbox/outbox.sock` for root, else `$XDG_RUNTIME_DIR/outbox/outbox.sock`, else
/// `outbox.sock` in the directory `run` beside the spool.
#[must_use]
pub fn default_socket(environment: &Environment, spool: &Path) -> PathBuf {
    match (environment.user, absolute(&environment.xdg_runtime_dir)) {
        (User::Root, _) => PathBuf::from(ROOT_SOCKET),
        (User::Other, Some(runtime)) => runtime.join(DIR_NAME).join(SOCKET_NAME),
        (User::Other, None) => spool.with_file_name("run").join(SOCKET_NAME),
    }
}

/// The sockets that a client tries in turn when none is named: its own user's, then root's.
#[must_use]
pub fn candidates(environment: &Environment) -> Vec<PathBuf> {
    let mut sockets = Vec::with_capacity(2);
    // Without a home and a runtime directory there is no own place; root's is still worth a try.
    let spool = default_spool(environment).ok();
    if let Some(spool) = spool.or_else(|| absolute(&environment.xdg_runtime_dir).map(Path::to_owned)) {
        sockets.push(default_socket(environment, &spool));
    }
    let root = PathBuf::from(ROOT_SOCKET);
    if !sockets.contains(&root) {
        sockets.push(root);
    }
    sockets
}

/// Checks that the kernel can bind or reach a socket of this path.
///
/// # Errors
/// [`PathError::SocketTooLong`] past 107 bytes.
pub fn check_socket_path(path: &Path) -> Result<(), PathError> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(PathError::SocketTooLong { path: path.to_owned(), bytes });
    }
    Ok(())
}

fn absolute(path: &Option<PathBuf>) -> Option<&Path> {
    path.as_deref().filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(state: &str, runtime: &str) -> Environment {
        Environment::from_variables(User::Other, |name| match name {
            "XDG_STATE_HOME" => Some(state.into()),
            "XDG_RUNTIME_DIR" => Some(runtime.into()),
            "HOME" => Some("/home/ada".into()),
            _ => None,
        })
    }

    fn places(environment: &Environment) -> (PathBuf, PathBuf) {
        let spool = default_spool(environment).unwrap();
        let socket = default_socket(environment, &spool);
        (spool, socket)
    }

    #[test]
    fn a_person_gets_the_xdg_places() {
        let environment = person("/state", "/run/user/7");
        assert_eq!(places(&environment), ("/state/outbox".into(), "/run/user/7/outbox/outbox.sock".into()));
    }

    #[test]
    fn without_xdg_variables_the_home_directory_is_used() {
        let expected =
            ("/home/ada/.local/state/outbox".into(), "/home/ada/.local/state/run/outbox.sock".into());
        assert_eq!(places(&person("", "")), expected);
        assert_eq!(places(&person("not/absolute", "neither")), expected);
    }

    #[test]
    fn root_gets_the_system_places_whatever_the_variables_say() {
        let environment = Environment { user: User::Root, ..person("/state", "/run/user/0") };
        assert_eq!(places(&environment), (ROOT_SPOOL.into(), ROOT_SOCKET.into()));
        assert_eq!(candidates(&environment), [PathBuf::from(ROOT_SOCKET)]);
    }

    #[test]
    fn a_client_tries_its_own_socket_before_that_of_root() {
        let own = PathBuf::from("/run/user/7/outbox/outbox.sock");
        assert_eq!(candidates(&person("/state", "/run/user/7")), [own, ROOT_SOCKET.into()]);
        let nothing = Environment::from_variables(User::Other, |_| None);
        assert_eq!(default_spool(&nothing), Err(PathError::NoHome));
        assert_eq!(candidates(&nothing), [PathBuf::from(ROOT_SOCKET)]);
    }

    #[test]
    fn a_path_of_107_bytes_is_the_longest() {
        let longest = format!("/{}", "x".repeat(106));
        assert_eq!(check_socket_path(Path::new(&longest)), Ok(()));
        let error = check_socket_path(Path::new(&format!("{longest}y"))).unwrap_err();
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }
}
