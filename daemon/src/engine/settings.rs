//! What the configuration says to the engine, at the start and after a reload.
//!
//! Owns:  these settings, and putting others in the place of those in force.
//! Never: ends an attempt that is under way: it goes on with what it began with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::probe::Prober;
use super::{Engine, LinkOptions, Probe, Quota, Quotas, Scout};
use crate::transport::Transport;

/// Who attempts.
pub enum Sender {
    /// This process.
    Push {
        /// The way to the service.
        transport: Arc<dyn Transport>,
        /// How many messages of each account it may be given.
        quotas: Quotas,
    },
    /// The app.
    App {
        /// Leases a second for each account.
        rate: u32,
    },
}

/// What the configuration says to the engine.
pub struct EngineSettings {
    /// Who attempts.
    pub sender: Sender,
    /// What to probe, if anything.
    pub probe: Option<Probe>,
    /// Delays between probes.
    pub probe_initial: Duration,
    /// The longest, before jitter.
    pub probe_max: Duration,
    /// Attempts under way at the most.
    pub concurrency: usize,
}

impl EngineSettings {
    pub(super) fn link_options(&self) -> LinkOptions {
        let scout = if self.probe.is_some() { Scout::Probe } else { Scout::Canary };
        LinkOptions { probe_initial: self.probe_initial, probe_max: self.probe_max, scout }
    }
}

impl Sender {
    /// The transport that is called, and what each account may be given by it and by the app.
    pub(super) fn into_parts(self) -> (Option<Arc<dyn Transport>>, Quotas, Quotas) {
        match self {
            Self::Push { transport, quotas } => (Some(transport), quotas, Quotas::default()),
            Self::App { rate } => {
                (None, Quotas::default(), Quotas { each: Some(Quota::burst(rate)), ..Quotas::default() })
            }
        }
    }
}

impl Engine {
    /// Goes on with other settings. Whether an app or this process attempts cannot change.
    pub(super) fn take_settings(&mut self, settings: EngineSettings, reply: oneshot::Sender<()>) {
        let now = self.outbox.now();
        self.link.set_options(settings.link_options(), now);
        self.pace.set_max(settings.concurrency);
        self.probe = Prober::new(settings.probe);
        let (push, quotas, app_quotas) = settings.sender.into_parts();
        if self.push.is_some() == push.is_some() {
            self.push = push;
            self.rates.set_quotas(quotas);
            self.app.set_quotas(app_quotas);
        }
        self.await_room();
        self.work = true;
        self.app.look_again();
        // Whoever asked may have gone; the settings are in force all the same.
        let _ = reply.send(());
    }
}
