//! Where the store's notices arrive: what wakes the engine, the events for whoever listens, what is counted.
//!
//! Owns:  the earliest wake-up that the engine has not taken yet, the newest counts, the event channel.
//! Never: waits: it is called on the store's writer thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use outbox::{Counters, Event, Notices, Timestamp};
use tokio::sync::{Notify, broadcast};

use crate::metrics::Metrics;

/// Events that a listener may be behind; then it looks at the store instead.
const EVENTS_MAX: usize = 4096;

/// Listens to events as they happen.
pub type Events = broadcast::Receiver<Event>;

/// Between the store's writer and the engine.
pub struct Wake {
    state: Mutex<State>,
    notify: Notify,
    events: broadcast::Sender<Event>,
    metrics: Metrics,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    at: Option<Timestamp>,
    counters: Counters,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            notify: Notify::new(),
            events: broadcast::Sender::new(EVENTS_MAX),
            metrics: Metrics::default(),
        }
    }
}

impl Wake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happened in one group.
    pub fn observe(&self, notices: &Notices) {
        self.metrics.observe(notices);
        let mut state = self.state();
        state.counters = notices.counters;
        if let Some(at) = notices.wake {
            state.at = Some(state.at.map_or(at, |earlier| earlier.min(at)));
        }
        drop(state);
        if notices.wake.is_some() {
            self.notify.notify_one();
        }
        if self.events.receiver_count() > 0 {
            for event in &notices.events {
                // It only fails when the last listener has just gone.
                let _ = self.events.send(event.clone());
            }
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The counts to begin with, before the first group.
    pub fn begin_with(&self, counters: Counters) {
        self.state().counters = counters;
    }

    /// The counts after the newest group.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// The earliest moment for which something new may be due; it is forgotten by this.
    pub fn take(&self) -> Option<Timestamp> {
        self.state().at.take()
    }

    /// Waits for a group that wakes.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> Events {
        self.events.subscribe()
    }
}
