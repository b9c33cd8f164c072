//! Room for long bodies: what clients have sent of requests that are not complete yet lies in memory.
//!
//! Owns:  how many bytes of that there may be at once, over all connections.
//! Never: refuses a short body, waits: everybody might wait for everybody.

use std::sync::Arc;

use outbox_control::types::{Problem, ProblemCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a body that always have room: 256 connections have 16 MiB of them.
const FREE_BYTES: usize = 64 * 1024;

/// Bytes beyond those, at the least: sixty messages of the usual limit, half sent.
const ROOM_BYTES_MIN: usize = 64 * 1024 * 1024;

/// Of the longest bodies there may be so many at once, however long they are.
const LONGEST_AT_ONCE: usize = 4;

/// In steps of so many bytes.
const STEP_BYTES: usize = 16 * 1024;

/// The room.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// For bodies of at most so many bytes.
    pub(super) fn for_bodies_of(body_max: usize) -> Self {
        let bytes = body_max.saturating_mul(LONGEST_AT_ONCE).max(ROOM_BYTES_MIN);
        Self(Arc::new(Semaphore::new((bytes / STEP_BYTES).min(Semaphore::MAX_PERMITS))))
    }

    /// What one body takes of it: nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { room: self.clone(), held: None }
    }
}

/// What a body takes of the room, until it is dropped.
pub(super) struct Share {
    room: Room,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Takes as much as so many bytes need, and gives back the rest.
    pub(super) fn fit(&mut self, bytes: usize) -> Result<(), Problem> {
        let needed = bytes.saturating_sub(FREE_BYTES).div_ceil(STEP_BYTES);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if needed < held {
            let back = self.held.as_mut().and_then(|permit| permit.split(held - needed));
            drop(back);
        } else if needed > held {
            let more = u32::try_from(needed - held).map_err(|_| no_room())?;
            let more = Arc::clone(&self.room.0).try_acquire_many_owned(more).map_err(|_| no_room())?;
            match &mut self.held {
                Some(permit) => permit.merge(more),
                none => *none = Some(more),
            }
        }
        Ok(())
    }
}

fn no_room() -> Problem {
    let detail = "there are too many long bodies in memory that are not complete";
    Problem::new(ProblemCode::Busy, detail)
        .with_hint("Send long messages one after the other, and try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_share_the_room_and_short_ones_need_none() {
        let room = Room::for_bodies_of(32 << 20);
        let mut shares: Vec<Share> = (0..LONGEST_AT_ONCE).map(|_| room.share()).collect();
        for share in &mut shares {
            for bytes in [1 << 20, 20 << 20, 32 << 20] {
                share.fit(bytes).unwrap();
            }
        }
        let mut late = room.share();
        assert_eq!(late.fit(1 << 20).unwrap_err().code, ProblemCode::Busy);
        late.fit(FREE_BYTES).unwrap();
        // One is split off its lines, another one is complete.
        shares[0].fit(10).unwrap();
        drop(shares.pop());
        late.fit(32 << 20).unwrap();
        room.share().fit(32 << 20).unwrap();
    }
}
