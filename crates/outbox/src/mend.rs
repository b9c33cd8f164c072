//! Mending while the store is open: what could not be read is set aside, and what follows from the records is made anew.
//!
//! Owns:  the order of the two, and that it is gone on with until nothing more is met.
//! Never: is done by more than one hand, the writer's.

use std::collections::BTreeSet;

use crate::crash;
use crate::drive::DiskError;
use crate::error::Result;
use crate::group::one_group;
use crate::shared::Shared;
use crate::unsaid;
use crate::verify::{self, Rebuild};

/// Sets rows aside that could not be read, says so, and makes anew what follows from the records; the same where that was
/// begun before, or the open found that it must be done.
pub(crate) fn mend(shared: &Shared) -> Result<()> {
    if shared.failure().is_some() {
        return Ok(());
    }
    let mut damaged = shared.disk.damaged_leaves();
    if damaged.is_empty() && !shared.must_rebuild() {
        return Ok(());
    }
    if !shared.must_rebuild() {
        unsaid::note_counted(shared).map_err(|error| shared.fail(error.to_string()))?;
    }
    shared.set_must_rebuild(true);
    let failed = |action: &str, error: &std::io::Error| shared.fail_by(DiskError::of_io(action, error));
    shared.spool.ask_for_check().map_err(|error| failed("asking for a check: ", &error))?;
    let mut known = BTreeSet::new();
    loop {
        set_aside(shared, &damaged)?;
        rebuild(shared)?;
        known.extend(damaged);
        // What the rebuild itself met; each turn knows more.
        damaged = shared.disk.damaged_leaves();
        damaged.retain(|own_key| !known.contains(own_key));
        if damaged.is_empty() {
            break;
        }
    }
    shared.set_must_rebuild(false);
    if shared.disk.engine.has_met_damage() {
        return Ok(());
    }
    shared.spool.checked().map_err(|error| failed("ending a check: ", &error))
}

fn set_aside(shared: &Shared, damaged: &[Vec<u8>]) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    // Said first: what is said twice after a death in between is better than what nobody hears of.
    one_group(shared, |tx| {
        for own_key in damaged {
            tx.announce_set_aside(
                None,
                &format!("rows from {} on could not be read", own_key.escape_ascii()),
            )?;
        }
        Ok(())
    })?;
    let _nobody_reads = shared.exclusive();
    crash::around("mend", || shared.disk.set_aside_leaves(damaged)).map_err(|error| shared.fail_by(error))
}

fn rebuild(shared: &Shared) -> Result<()> {
    let mut step = Rebuild::begin();
    while !matches!(step, Rebuild::Done) {
        step = crash::around("rebuild", || one_group(shared, |tx| verify::rebuild(tx, step)))?;
    }
    Ok(())
}
