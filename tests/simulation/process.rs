//! The daemon's process: the real store and the real engine, started, stopped, killed.
//!
//! Owns:  how both are set up on the simulated world, and the hand that commits what has gathered.
//! Never: lives on after a kill: whoever holds something of it lets go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox::{Committer, Config, Notices, Outbox, State, Ticket};
use outboxd::engine::{Engine, EngineSettings, Handle, Probe, Quota, Quotas, Sender, Setup, Wake};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::judge;
use crate::push::Wire;
use crate::random::SeededChance;
use crate::setting::{Kind, PROBE_INITIAL, PROBE_MAX, Setting};
use crate::signal::Signal;
use crate::world::{Known, World};

/// What callers of the daemon hold: the store's verbs, and the engine's commands.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) outbox: Outbox,
    pub(crate) engine: Handle,
    dead: Arc<Signal>,
}

/// A running daemon.
pub(crate) struct Process {
    outbox: Outbox,
    engine: JoinHandle<()>,
    committer: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    dead: Arc<Signal>,
}

impl Doors {
    /// Calls a verb and waits for its answer; `None` if the daemon died meanwhile.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Outbox) -> Ticket<T>,
    ) -> Option<outbox::Result<T>> {
        let answer = verb(&self.outbox).into_future();
        tokio::select! {
            biased;
            () = self.dead.raised() => None,
            answer = answer => Some(answer),
        }
    }

    /// Waits for something that ends with the daemon.
    pub(crate) async fn or_death<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.dead.raised() => None,
            done = what => Some(done),
        }
    }
}

/// Starts a daemon over the spool in `path`.
pub(crate) fn start(world: &Arc<World>, path: &Path) -> Process {
    let wake = Arc::new(Wake::default());
    let queued = Arc::new(Notify::new());
    let outbox = Outbox::open(config(world, path, &wake, &queued)).unwrap();
    let report = outbox.report();
    world.note(&format!("opened: clean {}, interrupted {}", report.clean, report.interrupted));
    world.count("open", if report.clean { "clean" } else { "not clean" });
    let sound = !report.rebuilt
        && !report.is_made_anew
        && report.lost.is_none()
        && report.missing + report.quarantined == 0;
    if !sound {
        world.accuse(format!("the spool was damaged by its own process: {report:?}"));
    }
    wake.begin_with(outbox.counters());
    let (engine, handle) = Engine::new(setup(world, &outbox, wake));
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = tokio::spawn(engine.run(async move {
        // A sender that goes without a word is no stop.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    let committer = tokio::spawn(commit(Arc::clone(world), outbox.clone(), queued));
    let dead = Arc::<Signal>::default();
    let doors = Doors { outbox: outbox.clone(), engine: handle, dead: Arc::clone(&dead) };
    *world.doors.lock().unwrap() = Some(doors);
    Process { outbox, engine, committer, stop, dead }
}

fn config(world: &Arc<World>, path: &Path, wake: &Arc<Wake>, queued: &Arc<Notify>) -> Config {
    let Setting { policy, order, .. } = world.setting;
    let (wake, heard, queued) = (Arc::clone(wake), Arc::clone(world), Arc::clone(queued));
    let far = Duration::from_secs(1_000 * 86_400);
    let chance = world.draw(|random| SeededChance::new(random.bits()));
    Config {
        policy,
        order,
        min_free_bytes: 0,
        reserve_bytes: 0,
        sent_retention: far,
        online_only_ttl: Duration::from_secs(30),
        clock: Arc::new(MachineClock(Arc::clone(world))),
        chance: Arc::new(chance),
        committer: Committer::ByHand { queued: Arc::new(move || queued.notify_one()) },
        observer: Some(Arc::new(move |notices: &Notices| {
            wake.observe(notices);
            judge::hear(&heard, notices);
        })),
        ..Config::new(path)
    }
}

struct MachineClock(Arc<World>);

impl outbox::Clock for MachineClock {
    fn read(&self) -> outbox::Reading {
        self.0.clock.read()
    }
}

fn setup(world: &Arc<World>, outbox: &Outbox, wake: Arc<Wake>) -> Setup {
    let rate = world.setting.rate;
    let sender = match world.setting.kind {
        Kind::Push => Sender::Push {
            transport: Arc::new(Wire(Arc::clone(world))),
            quotas: Quotas { each: rate.map(Quota::smooth), ..Quotas::default() },
        },
        Kind::App => Sender::App { rate: rate.unwrap_or(5) },
    };
    let settings = EngineSettings {
        sender,
        probe: world.setting.probed.then(|| probe(Arc::clone(world))),
        probe_initial: PROBE_INITIAL,
        probe_max: PROBE_MAX,
        concurrency: world.setting.concurrency,
    };
    Setup { outbox: outbox.clone(), settings, wake }
}

fn probe(world: Arc<World>) -> Probe {
    Arc::new(move || {
        let world = Arc::clone(&world);
        Box::pin(async move {
            let takes = world.draw(|random| random.weighted(&[(4, 50), (1, 5_000)]));
            sleep(Duration::from_millis(world.draw(|random| random.range(1, takes)))).await;
            let weather = world.facts().weather;
            let reached = world.draw(|random| weather.probe(random));
            world.note(&format!("probe: {reached}"));
            world.count("probe", if reached { "reached" } else { "not reached" });
            reached
        })
    })
}

/// Commits what has gathered, soon or after a while: a disk is sometimes slow.
async fn commit(world: Arc<World>, outbox: Outbox, queued: Arc<Notify>) {
    loop {
        queued.notified().await;
        let drawn = world.draw(|random| {
            let most = random.weighted(&[(14, 0), (5, 4), (1, 200)]);
            if most > 0 { random.range(1, most) } else { 0 }
        });
        let takes_ms = world.setting.disk_ms.unwrap_or(drawn);
        if takes_ms > 0 {
            sleep(Duration::from_millis(takes_ms)).await;
        }
        while outbox.commit() {
            if world.setting.lease_is_late_ms > 0 && is_leased_again(&world) {
                // Before the engine hears of it.
                world.clock.suspend(world.setting.lease_is_late_ms);
            }
        }
    }
}

fn is_leased_again(world: &World) -> bool {
    let is = |known: &Known| known.state == State::Sending && known.under_way == 0 && known.reached_max > 0;
    world.facts().messages.values().any(is)
}

impl Process {
    /// Whether a part of it has ended by itself.
    pub(crate) fn is_broken(&self) -> bool {
        self.engine.is_finished() || self.committer.is_finished()
    }

    /// Stops it in order, as the daemon does.
    pub(crate) async fn stop(self, world: &World) {
        // The engine may have ended by itself, which is noticed elsewhere.
        let _ = self.stop.send(());
        if let Err(error) = self.engine.await {
            world.accuse(format!("the engine ended badly: {error}"));
        }
        *world.doors.lock().unwrap() = None;
        self.dead.raise();
        self.outbox.close();
        if let Some(error) = self.outbox.failure() {
            world.accuse(format!("the store failed: {error}"));
        }
        self.committer.abort();
        let _ = self.committer.await;
        let_go().await;
    }

    /// Kills it.
    pub(crate) async fn kill(self, world: &World) {
        // Nobody can know what became of what was leased, even if it had not begun.
        for known in world.facts().messages.values_mut() {
            known.reached_max += u32::from(known.state == State::Sending);
        }
        *world.doors.lock().unwrap() = None;
        self.dead.raise();
        self.committer.abort();
        self.engine.abort();
        let _ = self.committer.await;
        let _ = self.engine.await;
        let_go().await;
    }
}

/// Lets everybody who called the process find out that it is gone, and let go of its spool.
async fn let_go() {
    const TURNS: usize = 4;
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}
