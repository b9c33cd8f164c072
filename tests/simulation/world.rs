//! The world around the daemon: network, service, app, clocks, and everything that the judge must remember.
//!
//! Owns:  the state that all parts of a simulation share, behind one lock.
//! Never: looks into the store: what it knows it was told by events, or did itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use outbox::{EventKind, SendToken, State, Submit};

use crate::clock::WorldClock;
use crate::process::Doors;
use crate::random::Random;
use crate::setting::Setting;
use crate::signal::Signal;
use crate::trace::Trace;
use crate::weather::{Fate, Weather};

/// A simulated world.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) clock: WorldClock,
    facts: Mutex<Facts>,
    /// The running daemon, for those who call it.
    pub(crate) doors: Mutex<Option<Doors>>,
    /// The present boot's end: with it ends whatever ran in it.
    reboot: Mutex<Arc<Signal>>,
}

/// What is so, and what was so.
pub(crate) struct Facts {
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    /// What becomes of the next attempts, whatever the weather.
    pub(crate) fates: VecDeque<Fate>,
    pub(crate) messages: BTreeMap<String, Known>,
    /// Durable events as they were heard.
    pub(crate) durable: Vec<(u64, EventKind, String)>,
    /// Messages accepted so far.
    pub(crate) accepted: u64,
    /// Attempts that began since the network went away for good.
    pub(crate) begun_offline: u64,
    /// Attempts that signs of life allow in the same time: the app's word, an answer that was on its way.
    pub(crate) excused_offline: u64,
    /// Everything goes well from here on.
    pub(crate) healed: bool,
    /// When somebody last did something, by the machine's time.
    pub(crate) disturbed_ms: u64,
    /// Whether the app asks for work.
    pub(crate) app_attached: bool,
    /// The wall clock was set and the machine booted afterwards: spool time may have leapt.
    pub(crate) time_leapt: bool,
    pub(crate) wall_was_set: bool,
    /// Messages that the service has from somebody else: its ids go on from here.
    pub(crate) next_id: u64,
    /// The first broken promise.
    pub(crate) broken: Option<String>,
}

/// What is known of one message from outside the store.
pub(crate) struct Known {
    pub(crate) submit: Submit,
    /// Its place in the order of acceptance; `None` until it was accepted.
    pub(crate) place: Option<u64>,
    /// When it was accepted, in the world's time.
    pub(crate) accepted_ms: u64,
    pub(crate) ttl_ms: u64,
    /// The state that its last event told.
    pub(crate) state: State,
    /// When that was, by the machine's time.
    pub(crate) changed_ms: u64,
    /// It ended so long ago that only its receipt is kept.
    pub(crate) retired: bool,
    pub(crate) starts: u32,
    /// It ended, and its last event said that it may have arrived.
    pub(crate) may_have_arrived: bool,
    /// The token of its last attempt; forgotten where a person's resend may change it.
    pub(crate) token: Option<SendToken>,
    /// Attempts that may have reached the service, at most.
    pub(crate) reached_max: u32,
    /// Attempts under way in the daemon's process.
    pub(crate) under_way: u32,
    /// A person resent it after it had become uncertain or had ended.
    pub(crate) asked_again: bool,
    /// A person said that it arrived.
    pub(crate) resolved: bool,
    /// An app reported on a lease that was over.
    pub(crate) settled_late: bool,
    /// Earlier messages of its lane that had no claim to go first when it was leased.
    pub(crate) passed: BTreeSet<String>,
    /// What the service took for new.
    pub(crate) deliveries: Vec<Delivery>,
    /// Since when it is due with nothing in its way, by the machine's time.
    pub(crate) free_since_ms: Option<u64>,
}

/// A message as the service has it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) token: SendToken,
    pub(crate) at_ms: u64,
    pub(crate) new_id: String,
}

impl Known {
    pub(crate) fn lane(&self) -> (&str, &str) {
        (&self.submit.account, &self.submit.conversation)
    }
}

impl World {
    pub(crate) fn new(setting: Setting, random: Random) -> Arc<Self> {
        let facts = Facts {
            random,
            trace: Trace::new(),
            weather: Weather::Fine,
            fates: VecDeque::new(),
            messages: BTreeMap::new(),
            durable: Vec::new(),
            accepted: 0,
            begun_offline: 0,
            excused_offline: 0,
            healed: false,
            disturbed_ms: 0,
            app_attached: true,
            time_leapt: false,
            wall_was_set: false,
            next_id: 0,
            broken: None,
        };
        Arc::new(Self {
            setting,
            clock: WorldClock::new(),
            facts: Mutex::new(facts),
            doors: Mutex::new(None),
            reboot: Mutex::default(),
        })
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Draws from the world's chance.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.facts().random)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, text: &str) {
        let now = self.clock.world_ms();
        self.facts().trace.line(now, text);
    }

    pub(crate) fn count(&self, kind: &str, what: &str) {
        self.facts().trace.count(kind, what);
    }

    /// A promise was broken.
    pub(crate) fn accuse(&self, what: String) {
        let now = self.clock.world_ms();
        self.facts().accuse(now, what);
    }

    /// The present boot's end.
    pub(crate) fn reboot(&self) -> Arc<Signal> {
        Arc::clone(&self.reboot.lock().unwrap())
    }

    /// Ends whatever runs on the machine.
    pub(crate) fn end_boot(&self) {
        std::mem::take(&mut *self.reboot.lock().unwrap()).raise();
    }

    /// The running daemon.
    pub(crate) fn doors(&self) -> Option<Doors> {
        self.doors.lock().unwrap().clone()
    }
}

impl Facts {
    pub(crate) fn accuse(&mut self, now_ms: u64, what: String) {
        self.trace.line(now_ms, &format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// Holds if `is` holds.
    pub(crate) fn must(&mut self, now_ms: u64, is: bool, what: impl FnOnce() -> String) {
        if !is {
            self.accuse(now_ms, what());
        }
    }
}
