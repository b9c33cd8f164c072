//! What a person chose, drawn anew for each schedule.
//!
//! Owns:  the configurations that the simulation runs with.
//! Never: changes during a schedule.

use std::time::Duration;

use outbox::{DedupWindow, OnFailedHead, OnUncertain, Order, Policy, RetryPolicy};

use crate::random::Random;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The daemon, through a transport.
    Push,
    /// The app, by leases.
    App,
}

/// De-duplication windows of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) one_to_one_ms: u64,
    pub(crate) group_ms: u64,
}

/// A configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) kind: Kind,
    pub(crate) policy: Policy,
    pub(crate) order: Order,
    pub(crate) concurrency: usize,
    /// Whether there is an address to probe.
    pub(crate) probed: bool,
    /// Leases a second for each account; `None`: no limit, which only a transport that pushes can have.
    pub(crate) rate: Option<u32>,
    /// How long the service recognises a token.
    pub(crate) window: Windows,
    pub(crate) steps: u64,
    /// How long the store takes for a group; `None`: drawn each time.
    pub(crate) disk_ms: Option<u64>,
    /// How long the app takes for a second attempt before it sends, and its patience is long; `None`: drawn.
    pub(crate) app_is_busy_ms: Option<u64>,
    /// How long the store keeps the answer back with which a message is leased again.
    pub(crate) lease_is_late_ms: u64,
}

/// Delays between probes: short, so that a schedule sees several.
pub(crate) const PROBE_INITIAL: Duration = Duration::from_secs(1);
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(30);

impl Windows {
    /// The same as the daemon is told them.
    fn told(self) -> DedupWindow {
        DedupWindow {
            one_to_one: Duration::from_millis(self.one_to_one_ms),
            group: Duration::from_millis(self.group_ms),
        }
    }
}

impl Setting {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let kind = random.weighted(&[(6, Kind::Push), (4, Kind::App)]);
        let one_to_one_ms = random.pick(&[0, 0, 4_000, 60_000, 600_000]);
        let other_ms = random.pick(&[0, 20_000, 300_000]);
        let group_ms = if random.percent(70) { one_to_one_ms } else { other_ms };
        let window = Windows { one_to_one_ms, group_ms };
        let seconds = Duration::from_secs;
        let rate = random.pick(&[1, 5, 20]);
        Self {
            kind,
            policy: Policy {
                retry: RetryPolicy {
                    initial: Duration::from_millis(random.pick(&[200, 1_000, 1_000])),
                    max: seconds(random.pick(&[5, 60, 300])),
                    max_attempts: random.pick(&[0, 0, 0, 4]),
                    unknown_max_attempts: 3,
                    ..RetryPolicy::default()
                },
                dedup_window: window.told(),
                on_uncertain: random.pick(&[
                    OnUncertain::Resend,
                    OnUncertain::Resend,
                    OnUncertain::Hold,
                    OnUncertain::Fail,
                ]),
                on_failed_head: random.pick(&[OnFailedHead::Continue, OnFailedHead::Hold]),
                failed_retention: seconds(random.pick(&[120, 30 * 86_400, 30 * 86_400])),
            },
            order: random.weighted(&[(9, Order::Conversation), (1, Order::None)]),
            concurrency: random.pick(&[1, 2, 4, 32]),
            probed: random.percent(if kind == Kind::Push { 90 } else { 15 }),
            rate: (kind == Kind::App || random.percent(20)).then_some(rate),
            window,
            steps: random.range(12, 56),
            disk_ms: None,
            app_is_busy_ms: None,
            lease_is_late_ms: 0,
        }
    }

    /// A setting with nothing special about it, in which an attempt of unknown outcome fails.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self {
            kind,
            policy: Policy { on_uncertain: OnUncertain::Fail, ..Policy::default() },
            order: Order::Conversation,
            concurrency: 32,
            probed: kind == Kind::Push,
            rate: (kind == Kind::App).then_some(5),
            window: Windows { one_to_one_ms: 0, group_ms: 0 },
            steps: 0,
            disk_ms: Some(0),
            app_is_busy_ms: Some(0),
            lease_is_late_ms: 0,
        }
    }

    /// The same with a service that recognises a token for so long.
    pub(crate) fn with_window(self, window: Duration) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap();
        let window = Windows { one_to_one_ms: window_ms, group_ms: window_ms };
        let policy = Policy { dedup_window: window.told(), ..self.policy };
        Self { policy, window, ..self }
    }
}
