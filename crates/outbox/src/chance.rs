//! Chance: the store's only source of random numbers.
//!
//! Owns:  where random bytes come from, and what is drawn from them: jitter, send tokens, names of files.
//! Never: decides anything by itself (the caller hands the roll on).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::names::{SendToken, short_hash};

/// A source of random bytes. Simulations drive their own.
pub trait Chance: Send + Sync {
    /// Fills `bytes` with random ones; `false` if there are none to be had.
    fn fill(&self, bytes: &mut [u8]) -> bool;
}

/// The system's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

/// Random bytes that are fetched at a time: a call into the system for each token and each roll is a tenth of what a
/// settle computes.
const POOL_BYTES: usize = 1024;

/// Bytes that were fetched and not given out yet, at the end.
static POOL: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        if bytes.len() > POOL_BYTES {
            return getrandom::fill(bytes).is_ok();
        }
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < bytes.len() {
            let mut fresh = vec![0; POOL_BYTES];
            if getrandom::fill(&mut fresh).is_err() {
                return false;
            }
            *pool = fresh;
        }
        let rest = pool.len() - bytes.len();
        bytes.copy_from_slice(&pool[rest..]);
        pool.truncate(rest);
        true
    }
}

/// A uniform number from 0 to 1.
#[must_use]
pub fn roll(chance: &dyn Chance) -> f64 {
    let mut bytes = [0; 4];
    if chance.fill(&mut bytes) {
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    } else {
        // Without randomness the middle of the range: no jitter, and nothing else is lost.
        0.5
    }
}

/// A new send token. It must only differ from all others: where the system has no randomness, hash what
/// is different at each call.
pub(crate) fn fresh_token(chance: &dyn Chance) -> SendToken {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 16];
    if !chance.fill(&mut bytes) {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now();
        bytes = short_hash(&[&format!("{call} {now:?} {}", std::process::id())]);
    }
    SendToken(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Chance for Nothing {
        fn fill(&self, _: &mut [u8]) -> bool {
            false
        }
    }

    #[test]
    fn without_randomness_tokens_still_differ_and_delays_have_no_jitter() {
        assert_ne!(fresh_token(&Nothing), fresh_token(&Nothing));
        assert_ne!(fresh_token(&SystemChance), fresh_token(&SystemChance));
        assert!((roll(&Nothing) - 0.5).abs() < f64::EPSILON);
        assert!((0.0..=1.0).contains(&roll(&SystemChance)));
    }
}
