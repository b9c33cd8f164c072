//! Room for long bodies: what clients have sent of requests that are not complete yet lies in memory.
//!
//! Owns:  how many bytes of that there may be at once, over all connections.
//! Never: refuses a short body, waits: everybody might wait for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbox_control::types::{Problem, ProblemCode};

/// Bytes of a body that always have room, a longest read from the socket beside a short line included: 256 connections
/// have 32 MiB of them.
const FREE_BYTES: usize = 128 * 1024;

/// Bytes beyond those, at the least: sixty messages of the usual limit, half sent.
const ROOM_BYTES_MIN: usize = 64 * 1024 * 1024;

/// Of the longest bodies there may be so many at once, however long they are.
const LONGEST_AT_ONCE: usize = 4;

/// The room, of which bodies take their shares.
#[derive(Clone, Default)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// What a body takes of it, nothing yet, where the longest of all bodies have so many bytes.
    pub(super) fn share(&self, longest: usize) -> Share {
        let bytes_max = longest.saturating_mul(LONGEST_AT_ONCE).max(ROOM_BYTES_MIN);
        Share { room: self.clone(), bytes_max, held: 0 }
    }
}

/// What a body takes of the room, until it is dropped.
pub(super) struct Share {
    room: Room,
    /// As much as all of them may take.
    bytes_max: usize,
    held: usize,
}

impl Share {
    /// Takes as much as so many bytes need, and gives back the rest; whether there is room for them. Without it, nothing
    /// changes.
    pub(super) fn fits(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_sub(FREE_BYTES);
        if let Some(more) = needed.checked_sub(self.held).filter(|more| *more > 0) {
            let take = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.bytes_max);
            if self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                return false;
            }
        } else {
            self.room.taken.fetch_sub(self.held - needed, Ordering::Relaxed);
        }
        self.held = needed;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// The answer to a body that finds none.
pub(super) fn no_room() -> Problem {
    let detail = "there are too many long bodies in memory that are not complete";
    Problem::new(ProblemCode::Busy, detail)
        .with_hint("Send long messages one after the other, and try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_share_the_room_and_short_ones_need_none() {
        const LONGEST: usize = 32 << 20;
        let room = Room::default();
        let mut shares: Vec<Share> = (0..LONGEST_AT_ONCE).map(|_| room.share(LONGEST)).collect();
        for share in &mut shares {
            assert!([1 << 20, 20 << 20, LONGEST].into_iter().all(|bytes| share.fits(bytes)));
        }
        let mut late = room.share(LONGEST);
        // Each of the others has as many bytes for nothing.
        assert!(late.fits(1 << 19) && !late.fits(1 << 20) && late.fits(FREE_BYTES));
        // One is split off its lines, another one is complete.
        assert!(shares[0].fits(10));
        drop(shares.pop());
        assert!(late.fits(LONGEST) && room.share(LONGEST).fits(LONGEST));
        drop((shares, late));
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
