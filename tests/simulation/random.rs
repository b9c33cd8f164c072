//! Chance that can be repeated: everything that a schedule leaves open is drawn from its seed.
//!
//! Owns:  the generator (SplitMix64), the few draws that are needed, and the store's chance.
//! Never: asks the system for anything.

use std::sync::Mutex;

/// A generator that is fully determined by its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to, and without, `to`.
    pub(crate) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.bits() % to.saturating_sub(from).max(1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.range(0, from.len() as u64);
        from[usize::try_from(at).unwrap()].clone()
    }

    /// One of them, each as often as its weight says.
    pub(crate) fn weighted<T: Clone>(&mut self, from: &[(u64, T)]) -> T {
        let total: u64 = from.iter().map(|(weight, _)| weight).sum();
        let mut at = self.range(0, total);
        for (weight, item) in from {
            if at < *weight {
                return item.clone();
            }
            at -= weight;
        }
        unreachable!("a draw below the sum of the weights")
    }
}

/// The store's and the engine's chance: jitter, send tokens.
pub(crate) struct SeededChance(Mutex<Random>);

impl SeededChance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }
}

impl outbox::Chance for SeededChance {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        let mut random = self.0.lock().unwrap();
        for part in bytes.chunks_mut(8) {
            let length = part.len();
            part.copy_from_slice(&random.bits().to_le_bytes()[..length]);
        }
        true
    }
}
