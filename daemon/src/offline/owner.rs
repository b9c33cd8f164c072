//! As whom a spool is changed: what root writes into the spool of another user, that one's daemon could not open.
//!
//! Owns:  giving up root's rights for the owner's.
//! Never: takes any, changes an owner.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, setgid, setuid};

use super::Failure;

/// Goes on as the owner of this spool for good, if root asks.
pub(super) fn act_as_owner(spool: &Path) -> Result<(), Failure> {
    // What is not there has no owner yet, and whoever opens it says what is wrong with it.
    let Ok(folder) = std::fs::metadata(spool) else { return Ok(()) };
    let (owner, group) = (Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid()));
    if !Uid::effective().is_root() || owner.is_root() {
        return Ok(());
    }
    become_user(owner, group).map_err(|error| Failure::Owner { owner: owner.as_raw(), source: error.into() })
}

fn become_user(user: Uid, group: Gid) -> nix::Result<()> {
    // The groups first: without root's rights they could not be given up any more.
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[group])?;
    setgid(group)?;
    setuid(user)
}
