//! Options that every measurement has, and where its files are made.
//!
//! Owns:  these options, and the folder that goes when the measurement ends.
//! Never: measures.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use outbox_control::parse_duration;
use tempfile::TempDir;

/// Options of every measurement.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Rounds: each runs every contender once, one after the other
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Where spools are made and removed again. Choose the disk that is to be measured: /tmp may be memory
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// Write the figures as JSON, too; `-` prints them instead of the tables
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Common {
    /// Makes a fresh folder, which is removed when the value goes.
    pub(crate) fn folder(&self) -> Result<Folder> {
        let making = || format!("making a folder in {}: choose another place with --dir", self.dir.display());
        std::fs::create_dir_all(&self.dir).with_context(making)?;
        let dir = self.dir.canonicalize().with_context(making)?;
        if statfs(&dir).is_ok_and(|about| about.filesystem_type() == TMPFS_MAGIC) {
            eprintln!(
                "outbox-bench: {} is in memory, where syncing costs nothing: --dir names a place on a disk",
                dir.display()
            );
        }
        let folder =
            tempfile::Builder::new().prefix("b").rand_bytes(4).tempdir_in(dir).with_context(making)?;
        Ok(Folder { folder, made: 0 })
    }
}

/// A folder with a fresh place for each store.
pub(crate) struct Folder {
    folder: TempDir,
    made: u32,
}

impl Folder {
    /// The name of a file or folder in it that is not there yet.
    pub(crate) fn fresh(&mut self) -> PathBuf {
        self.made += 1;
        self.folder.path().join(self.made.to_string())
    }
}

/// Reads a duration as the daemon's configuration writes it; none at all is refused.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let duration = parse_duration(text)?;
    ensure!(!duration.is_zero(), "it must be longer than nothing");
    Ok(duration)
}

/// A duration as an option takes it.
pub(crate) fn shown(duration: Duration) -> String {
    outbox_control::DurationText(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_fresh_names_and_goes_with_its_value() {
        let outer = tempfile::tempdir().unwrap();
        let common = Common { rounds: 1, dir: outer.path().join("a/b"), json: None };
        let mut folder = common.folder().unwrap();
        assert_ne!(folder.fresh(), folder.fresh());
        let path = folder.folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn no_time_at_all_is_refused() {
        assert_eq!(duration("120ms").unwrap(), Duration::from_millis(120));
        assert!(duration("0s").is_err() && duration("1").is_err());
    }
}
