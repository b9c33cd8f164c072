//! A signal that many wait for, and that wakes them in the order in which they came.
//!
//! Owns:  one fact that becomes true once.
//! Never: is replaced by the runtime's watch channel, which wakes in an order that no seed determines.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Signal {
    is_raised: AtomicBool,
    waiting: Notify,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.is_raised.store(true, Ordering::Relaxed);
        self.waiting.notify_waiters();
    }

    pub(crate) async fn raised(&self) {
        let woken = self.waiting.notified();
        if !self.is_raised.load(Ordering::Relaxed) {
            woken.await;
        }
    }
}
