//! The socket's place in the file system.
//!
//! Owns:  its directory, its lock, bind → chmod → listen, and its removal.
//! Never: removes a socket that a living daemon listens on, or a file that is no socket; changes a
//!        directory that was there before.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::config::ControlConfig;

/// Connections that the kernel holds until they are accepted: all that there may be, and as many again that
/// hear that there are too many. A client beyond them cannot connect at all.
const BACKLOG: u32 = 1024;

/// Others may write to a directory and it has no sticky bit: they could replace the socket.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon listens there.
    #[error("another daemon listens on {path}")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("{path} is there and is not a socket")]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The name of its lock leads elsewhere.
    #[error("{path} is there and is not a file of this program")]
    NotALock {
        /// What is there.
        path: PathBuf,
    },
    /// Others could replace the socket.
    #[error("others may write to {dir}, so they could put a socket of their own in this one's place")]
    OpenDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// The system refused something.
    #[error("{action} {path} failed: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl SocketError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::InUse { .. } => "stop it, or choose another control.socket".into(),
            Self::NotASocket { path } => {
                format!("move {} away, or choose another control.socket", path.display())
            }
            Self::NotALock { path } => {
                format!("take {} away; nothing was written to it", path.display())
            }
            Self::OpenDirectory { dir } => {
                format!("chmod go-w {}, or choose another control.socket", dir.display())
            }
            Self::Io { .. } => "choose a control.socket that this user may create".into(),
        }
    }
}

/// An open socket; closing it removes its file.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file is ours: a name can change hands.
    inode: (u64, u64),
    /// Held while the socket is open. It stays when the process dies, and its lock goes.
    _lock: File,
}

impl Socket {
    /// Opens the socket: directory, lock, removal of a dead one's file, bind, chmod, listen.
    ///
    /// # Errors
    /// [`SocketError`], whose `hint` says what to do. A living daemon's socket is never touched.
    pub async fn open(config: &ControlConfig) -> Result<Self, SocketError> {
        let path = config.socket.clone();
        prepare_dir(&path, config.dir_mode)?;
        let lock = take_lock(&path)?;
        remove_dead(&path).await?;
        let io_error = |action| {
            let path = path.clone();
            move |source| SocketError::Io { action, path, source }
        };
        let socket = UnixSocket::new_stream().map_err(io_error("making"))?;
        outbox::crash::around("bind socket", || socket.bind(&path)).map_err(io_error("binding"))?;
        // Nobody can connect before `listen`, so nobody gets in under the wrong mode.
        let mode = Permissions::from_mode(config.mode);
        outbox::crash::around("chmod socket", || fs::set_permissions(&path, mode))
            .map_err(io_error("chmod of"))?;
        let listener = socket.listen(BACKLOG).map_err(io_error("listening on"))?;
        let inode = inode(&path).map_err(io_error("looking at"))?;
        Ok(Self { listener, path, inode, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next connection.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // A file that stays is recognised as dead by the next start.
            let _ = outbox::crash::around("remove socket", || fs::remove_file(&self.path));
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|data| (data.dev(), data.ino()))
}

/// Makes the directory with its mode, or checks the one that is there.
fn prepare_dir(socket: &Path, mode: u32) -> Result<(), SocketError> {
    let dir = match socket.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let io_error = |action| move |source| SocketError::Io { action, path: dir.into(), source };
    match fs::metadata(dir) {
        Ok(data) => {
            let mode = data.mode();
            if data.is_dir() && mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
                return Err(SocketError::OpenDirectory { dir: dir.into() });
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
            outbox::crash::around("create socket folder", || {
                DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(io_error("creating"))?;
                // The umask may have taken bits away.
                let chmod = |dir: &&Path| fs::set_permissions(dir, Permissions::from_mode(mode));
                missing
                    .iter()
                    .filter(|dir| !dir.as_os_str().is_empty())
                    .try_for_each(chmod)
                    .map_err(io_error("chmod of"))
            })
        }
        Err(source) => Err(SocketError::Io { action: "looking at", path: dir.into(), source }),
    }
}

/// Two daemons that start at once must not both find the other's socket dead.
fn take_lock(socket: &Path) -> Result<File, SocketError> {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let io_error = |action, source| SocketError::Io { action, path: path.clone(), source };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    // In a folder that others may write to, the name may be a link of theirs, another name of a file, or a pipe that nobody reads.
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let not_ours = || SocketError::NotALock { path: path.clone() };
    let opened = outbox::crash::around("create socket lock", || options.open(&path));
    let mut file = opened.map_err(|source| match source.raw_os_error() {
        Some(number) if number == Errno::ELOOP as i32 => not_ours(),
        _ => io_error("opening", source),
    })?;
    let data = file.metadata().map_err(|source| io_error("looking at", source))?;
    if !data.is_file() || data.nlink() > 1 {
        return Err(not_ours());
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(SocketError::InUse { path: socket.into() }),
        Err(fs::TryLockError::Error(source)) => return Err(io_error("locking", source)),
    }
    // For the person who finds the file; nothing depends on it.
    let _ = outbox::crash::around("write socket lock", || {
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()))
    });
    Ok(file)
}

/// Removes the file of a daemon that is gone.
async fn remove_dead(path: &Path) -> Result<(), SocketError> {
    let io_error = |action, source| SocketError::Io { action, path: path.into(), source };
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error("looking at", source)),
    };
    if !data.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.into() });
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            outbox::crash::around("remove dead socket", || fs::remove_file(path))
                .map_err(|source| io_error("removing the dead socket", source))
        }
        // Somebody answers, or it cannot be told: not ours to remove.
        Ok(_) => Err(SocketError::InUse { path: path.into() }),
        Err(source) => Err(io_error("connecting to", source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(dir: &Path, name: &str) -> ControlConfig {
        Config::defaults(dir.join("spool"), dir.join(name)).control
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_never() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "run/outbox.sock");
        drop(std::fs::create_dir(dir.path().join("run")));
        drop(std::os::unix::net::UnixListener::bind(&config.socket).unwrap());
        let living = Socket::open(&config).await.unwrap();
        assert!(matches!(Socket::open(&config).await, Err(SocketError::InUse { .. })));
        UnixStream::connect(living.path()).await.unwrap();
        drop(living);
        assert!(!config.socket.exists());
    }

    #[tokio::test]
    async fn a_stranger_that_listens_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "other.sock");
        let _stranger = std::os::unix::net::UnixListener::bind(&config.socket).unwrap();
        assert!(matches!(Socket::open(&config).await, Err(SocketError::InUse { .. })));
        assert!(config.socket.exists());
    }

    #[tokio::test]
    async fn a_file_with_the_sockets_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "notes.txt");
        fs::write(&config.socket, "mine").unwrap();
        assert!(matches!(Socket::open(&config).await, Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read(&config.socket).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn what_is_no_file_of_ours_is_not_taken_for_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "s");
        let (lock, victim) = (dir.path().join("s.lock"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        let link = || std::os::unix::fs::symlink(&victim, &lock).unwrap();
        let second_name = || fs::hard_link(&victim, &lock).unwrap();
        let pipe = || nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for make in [&link as &dyn Fn(), &second_name, &pipe] {
            make();
            let error = Socket::open(&config).await.err().unwrap();
            assert!(error.hint().starts_with(&format!("take {} away", lock.display())), "{error}");
            fs::remove_file(&lock).unwrap();
        }
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert!(Socket::open(&config).await.is_ok());
    }

    #[tokio::test]
    async fn modes_are_the_configured_ones_and_an_open_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "deep/er/outbox.sock");
        let socket = Socket::open(&config).await.unwrap();
        assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("deep/er")).unwrap().mode() & 0o777, 0o700);
        drop(socket);
        fs::set_permissions(dir.path().join("deep/er"), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Socket::open(&config).await, Err(SocketError::OpenDirectory { .. })));
        fs::set_permissions(dir.path().join("deep/er"), Permissions::from_mode(0o1777)).unwrap();
        assert!(Socket::open(&config).await.is_ok());
    }
}
