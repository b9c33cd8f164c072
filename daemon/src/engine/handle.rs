//! The way to a running engine, and what the rest of the daemon may know of it.
//!
//! Owns:  commands, the published view, news of the link.
//! Never: holds state of the engine: a view is a copy, and may be a moment old.

use outbox::{LeaseId, Outcome, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Drain, EngineSettings, LeaseAsk, LinkState, News, Source};

/// What the rest of the daemon may know of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The link's state.
    pub link: LinkState,
    /// Since when.
    pub link_since: outbox::WallTime,
    /// What told it.
    pub link_source: Source,
    /// When it is next tried whether the service can be reached.
    pub next_scout: Option<Timestamp>,
    /// Whether an app asks for work, or did so a moment ago.
    pub app_attached: bool,
    /// Attempts under way in this process.
    pub in_flight: usize,
    /// Attempts that the pace allows.
    pub window: usize,
    /// How fast messages end.
    pub drain: Drain,
    /// When the engine last looked around.
    pub beat: Timestamp,
    /// Accounts that would send more than their rate allows, and when they may again.
    pub slowed: Vec<(String, Timestamp)>,
    /// Whether a stop was asked for.
    pub stopping: bool,
}

/// The link, as whoever listens to its changes hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkNews {
    /// Its state.
    pub state: LinkState,
    /// Since when.
    pub since: outbox::WallTime,
    /// What told it.
    pub source: Source,
}

/// What the socket asks of the engine.
pub enum Command {
    /// The app's word about the network.
    Connectivity(LinkState, oneshot::Sender<View>),
    /// An app wants work.
    Lease(LeaseAsk),
    /// An app reported the outcome of an attempt.
    Evidence(Outcome),
    /// The operating system told something about the network.
    News(News),
    /// These leases never reached the app.
    TakeBack(Vec<LeaseId>),
    /// Other settings are in force from now on; answered once they are.
    Settings(Box<EngineSettings>, oneshot::Sender<()>),
}

/// The way to a running engine.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) view: watch::Receiver<View>,
    pub(super) links: watch::Receiver<LinkNews>,
}

impl Handle {
    /// Sends a command; `false` if the engine is gone.
    pub async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Sends a command without waiting, for places that cannot; it is lost if the engine is flooded.
    pub fn try_send(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// What is known of the engine now.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Changes of the link from now on.
    #[must_use]
    pub fn links(&self) -> watch::Receiver<LinkNews> {
        let mut links = self.links.clone();
        links.mark_unchanged();
        links
    }

    /// Waits until the view satisfies a condition; `false` if the engine ends before.
    pub async fn wait_for(&self, condition: impl FnMut(&View) -> bool) -> bool {
        self.view.clone().wait_for(condition).await.is_ok()
    }
}
