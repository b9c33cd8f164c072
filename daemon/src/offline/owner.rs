//! As whom a spool is changed: what root writes into the spool of another user, that one's daemon could not open.
//!
//! Owns:  giving up root's rights for the owner's.
//! Never: takes any, changes an owner.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, User, setgid, setuid};

use super::Failure;

/// Goes on as the owner of this spool for good, if root asks.
pub(super) fn act_as_owner(spool: &Path) -> Result<(), Failure> {
    // First of all by what daemons have written: the folder around that may be somebody else's. What is not there has no owner
    // yet.
    let witnesses = [spool.join("format"), spool.join("ready"), spool.join(".")];
    // Of a link, its maker counts, not whose file it leads to.
    let look = |path| std::fs::symlink_metadata(path).ok();
    let Some(witness) = witnesses.iter().find_map(look) else { return Ok(()) };
    let owner = Uid::from_raw(witness.uid());
    if !Uid::effective().is_root() || owner.is_root() {
        return Ok(());
    }
    let known = User::from_uid(owner).ok().flatten();
    let group = known.map_or(Gid::from_raw(witness.gid()), |user| user.gid);
    become_user(owner, group).map_err(|error| Failure::Owner { owner: owner.as_raw(), source: error.into() })
}

fn become_user(user: Uid, group: Gid) -> nix::Result<()> {
    // The groups first: without root's rights they could not be given up any more.
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[group])?;
    setgid(group)?;
    setuid(user)
}
