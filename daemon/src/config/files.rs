//! Files that an option names: certificates and secrets.
//!
//! Owns:  opening them, and refusing a secret that others can read.
//! Never: shows what is in a secret file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::units::Problem;

/// Bytes of a secret file: headers of 16 KiB are the most that services take.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// A file with a secret, which is read again each time that it is needed: a corrected file needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    /// The directory in which the service manager hands over secrets.
    credentials: Option<PathBuf>,
    /// What was in it when it was looked at.
    content: Mark,
}

/// Tells two contents of a file apart without keeping either.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark(Option<u64>);

impl std::fmt::Debug for Mark {
    /// Shows nothing: a mark says too much about a short secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mark")
    }
}

impl Mark {
    fn of(secret: &SecretString) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(secret.expose_secret(), &mut hasher);
        Self(Some(std::hash::Hasher::finish(&hasher)))
    }
}

impl SecretFile {
    /// A file that was found to be readable by its owner only.
    pub(crate) fn checked(path: PathBuf, credentials: Option<&Path>) -> Result<Self, Problem> {
        let file = open_named_secret(&path, credentials)?;
        // An empty one is a problem of the account that needs it, which says so then.
        let content = Mark(None);
        let content = read_secret(file, &path).map_or(content, |secret| Mark::of(&secret));
        Ok(Self { path, credentials: credentials.map(ToOwned::to_owned), content })
    }

    /// A text that differs where the content of the file differed when it was looked at.
    pub(crate) fn content_text(&self) -> Option<String> {
        self.content.0.map(|mark| mark.to_string())
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// Says what is wrong with the file, and what to do: it is gone, others can read it, it is empty or too long.
    pub fn read(&self) -> Result<SecretString, String> {
        let read = || read_secret(open_secret(&self.path, self.credentials.as_deref())?, &self.path);
        read().map_err(|problem: Problem| match problem.hint {
            Some(hint) => format!("{} ({hint})", problem.message),
            None => problem.message,
        })
    }

    /// A file that nobody has looked at.
    #[cfg(test)]
    pub(crate) fn unchecked(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), credentials: None, content: Mark(None) }
    }
}

/// Opens the secret file that an option names. What is not there is not shown: it may be the secret itself, put where the name
/// of its file belongs.
pub(crate) fn open_named_secret(path: &Path, credentials: Option<&Path>) -> Result<File, Problem> {
    if path.symlink_metadata().is_ok() {
        return open_secret(path, credentials);
    }
    let is_in_folder = path.parent().is_some_and(Path::is_dir);
    let what = if is_in_folder { "a file that is not there" } else { "a file in a folder that is not there" };
    Err(Problem::new(format!("names {what}, or that this user may not look at")).hint(
        "write the secret to a file, and its name here; a relative one begins at the configuration's folder",
    ))
}

/// Opens a secret file, and refuses one that others can read. Looks at the open file, so that it cannot be another one
/// by then. `credentials` is the directory in which the service manager hands over secrets.
pub(crate) fn open_secret(path: &Path, credentials: Option<&Path>) -> Result<File, Problem> {
    let file = open_regular(path)?;
    let mode = file.metadata().map_err(|error| unreadable(path, &error))?.permissions().mode();
    // The service manager opens its credentials to their one user by an access list, which shows as group rights.
    let from_manager = credentials.is_some_and(|directory| path.starts_with(directory));
    let refused = if from_manager { 0o037 } else { 0o077 };
    if mode & refused == 0 {
        return Ok(file);
    }
    let (shown, mode) = (path.display(), mode & 0o777);
    Err(Problem::new(format!(
        "names a secret file that others can read or write: {shown} (mode 0{mode:03o})"
    ))
    .hint(format!("chmod 600 {}", shell_quoted(path))))
}

/// Opens a regular file for reading. A pipe would block, so it is looked at first.
pub(crate) fn open_regular(path: &Path) -> Result<File, Problem> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Problem::new(format!("names something that is not a regular file: {}", path.display())));
    }
    File::open(path).map_err(|error| unreadable(path, &error))
}

/// Reads a secret without the line end that editors add.
pub(crate) fn read_secret(file: File, path: &Path) -> Result<SecretString, Problem> {
    let shown = path.display();
    let mut text = String::new();
    let read = file.take(SECRET_BYTES_MAX.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| unreadable(path, &error))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(Problem::new(format!(
            "names a secret file of more than {SECRET_BYTES_MAX} bytes: {shown}"
        )));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(Problem::new(format!("names an empty secret file: {shown}")));
    }
    Ok(SecretString::from(secret))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("names a file that cannot be read: {}: {error}", path.display()))
}

/// A path that a shell reads as one word.
fn shell_quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@%:,".contains(&b));
    if plain { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
