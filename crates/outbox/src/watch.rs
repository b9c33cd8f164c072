//! A watch over a call that may wait for ever: after a while, somebody else calls, too.
//!
//! Owns:  the thread that looks, when it looks, how often it nudges.
//! Never: knows what is called, wakes up while nothing is.
//!
//! sled 0.34 notes that a write of its log failed, and on one of its two ways forgets to wake whoever waits for that write. Any
//! other call of `flush` finds the note and wakes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::limits::{WATCH_EVERY, WATCH_EVERY_MAX};

/// Looks after calls; ends with its owner.
pub(crate) struct Watch {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The thread looks at it by itself.
    is_awake: AtomicBool,
    is_over: AtomicBool,
}

/// A call that is under way.
struct Turn<'a>(&'a State);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

impl Watch {
    /// Watches calls; `nudge` must not wait.
    pub(crate) fn over(nudge: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let watched = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("outbox-watch".into());
        let thread = thread.spawn(move || watched.look(&nudge, WATCH_EVERY))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Makes a call that may wait for ever.
    pub(crate) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.state.begun.fetch_add(1, Ordering::SeqCst);
        let _turn = Turn(&self.state);
        if !self.state.is_awake.swap(true, Ordering::SeqCst) {
            self.wake();
        }
        call()
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It does nothing but look and nudge.
            let _ = thread.join();
        }
    }
}

impl State {
    fn look(&self, nudge: &dyn Fn(), every: Duration) {
        let mut wait = every;
        while !self.is_over.load(Ordering::Acquire) {
            let seen = self.count();
            std::thread::park_timeout(wait);
            let (begun, ended) = seen;
            if self.count() != seen {
                wait = every;
            } else if begun != ended {
                nudge();
                wait = (wait * 2).min(WATCH_EVERY_MAX);
            } else {
                self.sleep(begun);
            }
        }
    }

    fn count(&self) -> (u64, u64) {
        (self.begun.load(Ordering::Acquire), self.ended.load(Ordering::Acquire))
    }

    /// Until a call begins.
    fn sleep(&self, begun: u64) {
        // In an order that both sides agree on: either this sees the call, or the call sees that nobody is awake.
        self.is_awake.store(false, Ordering::SeqCst);
        if self.begun.load(Ordering::SeqCst) == begun && !self.is_over.load(Ordering::Acquire) {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_call_that_waits_is_nudged_until_it_ends_and_nothing_else_is() {
        let (nudge, nudged) = channel();
        let watch = Watch::over(move || nudge.send(()).unwrap_or_default()).unwrap();
        assert_eq!(watch.during(|| 7), 7);
        // It ends when it has been nudged twice.
        watch.during(|| {
            nudged.recv().unwrap();
            nudged.recv().unwrap();
        });
        drop(watch);
        assert!(nudged.try_recv().is_err(), "nobody was nudged behind its end");
    }
}
