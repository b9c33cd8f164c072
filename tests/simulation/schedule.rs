//! One schedule: everything from one seed, from the first step to the end of every message.
//!
//! Owns:  the order of setting, steps, healing and the last look.
//! Never: depends on anything but the seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use outbox::{GateChange, Message, Phase, State};
use outboxd::engine::LinkState;

use crate::app;
use crate::check::{self, ON_TIME_MS};
use crate::process::{self, Process};
use crate::random::Random;
use crate::script::{ACCOUNTS, Step, Verb};
use crate::setting::{Kind, Setting};
use crate::steps;
use crate::trace::Coverage;
use crate::weather::{Fate, Weather};
use crate::world::World;

/// Time after which a healed world has sent what waits for nobody: the longest delay of a retry with its jitter
/// (7.5 min), of an account that the service paused (15 min), the app's word that holds (5 min).
const HEALS_WITHIN_MS: u64 = 45 * 60_000;

/// Rounds in which people decide: what they let go may have to be decided once more, for what an app did before
/// the world healed, and what they resent may fail for its neighbours to go on.
const DECISIONS_MAX: usize = 3;

/// Schedules, in a hundred, that stop and start once more at their end.
const RESTARTED_AT_THE_END: u64 = 30;

/// How much time passes between two looks at a healing world, at first; it doubles.
const FIRST_LOOK_MS: u64 = 2_000;

/// What came of a schedule that kept the promises.
pub(crate) struct Ran {
    /// A sum over everything that happened.
    pub(crate) sum: u64,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Vec<String>,
}

/// What came of one that did not.
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) trace: Vec<String>,
    pub(crate) sum: u64,
}

/// Runs the schedule of a seed over a spool in `folder`, which is empty.
pub(crate) fn run(seed: u64, folder: &Path) -> Result<Ran, Box<Broken>> {
    in_virtual_time(async {
        let mut random = Random::new(seed);
        let setting = Setting::draw(&mut random);
        let world = World::new(setting, Random::new(random.bits()));
        world.note(&format!("seed {seed}: {setting:?}"));
        count_setting(&world);
        let mut schedule = Schedule::new(world, random, folder);
        schedule.run().await;
        schedule.judged()
    })
}

/// Carries out certain steps, with certain fates for the first attempts; tells the states of all messages.
pub(crate) fn scenario(
    setting: Setting,
    fates: &[Fate],
    steps: Vec<Step>,
    folder: &Path,
) -> Result<Vec<State>, Box<Broken>> {
    in_virtual_time(async {
        let world = World::new(setting, Random::new(1));
        world.facts().fates = fates.iter().copied().collect();
        let mut schedule = Schedule::new(world, Random::new(1), folder);
        schedule.start();
        schedule.start_apps();
        for step in steps {
            schedule.world.note(&format!("step: {step:?}"));
            schedule.carry_out(step).await;
            schedule.look();
        }
        let states = ends(&schedule.world).into_iter().map(|(_, state)| state).collect();
        schedule.judged().map(|_| states)
    })
}

fn in_virtual_time<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(what)
}

fn count_setting(world: &World) {
    let Setting { kind, policy, .. } = world.setting;
    world.count("setting", &format!("{kind:?}"));
    world.count("setting", &format!("on_uncertain {:?}", policy.on_uncertain));
    world.count("setting", &format!("on_failed_head {:?}", policy.on_failed_head));
}

struct Schedule {
    world: Arc<World>,
    /// Draws the steps; the world draws by itself.
    random: Random,
    spool: PathBuf,
    process: Option<Process>,
    /// Since when daemon and machine are both awake, by the machine's time.
    awake_since_ms: u64,
}

impl Schedule {
    fn new(world: Arc<World>, random: Random, folder: &Path) -> Self {
        Self { world, random, spool: folder.join("spool"), process: None, awake_since_ms: 0 }
    }

    async fn run(&mut self) {
        self.start();
        self.start_apps();
        for _ in 0..self.world.setting.steps {
            let step = Step::draw(&mut self.random, self.world.setting.kind);
            self.world.note(&format!("step: {step:?}"));
            self.world.count("step", step.name());
            self.carry_out(step).await;
            if self.look() {
                return;
            }
        }
        if self.heal().await {
            return;
        }
        for _ in 0..DECISIONS_MAX {
            if self.decide().await {
                return;
            }
        }
        // Not in each: an open of the store costs more than anything else here.
        if self.random.percent(RESTARTED_AT_THE_END) {
            self.last_look().await;
        }
        self.count_ends();
        check::events_are_kept(&self.world);
    }

    fn judged(self) -> Result<Ran, Box<Broken>> {
        // The world hears the store, and holds its doors: one of the two must let go.
        *self.world.doors.lock().unwrap() = None;
        let mut facts = self.world.facts();
        let sum = facts.trace.sum();
        let trace = facts.trace.take_lines();
        match facts.broken.take() {
            None => Ok(Ran { sum, coverage: std::mem::take(&mut facts.trace.coverage), trace }),
            Some(what) => Err(Box::new(Broken { what, trace, sum })),
        }
    }

    fn start(&mut self) {
        self.process = Some(process::start(&self.world, &self.spool));
        self.awake_since_ms = self.world.clock.machine_ms();
    }

    fn start_apps(&self) {
        if self.world.setting.kind == Kind::App {
            for account in ACCOUNTS {
                app::start(&self.world, account);
            }
        }
    }

    /// Holds everything against the promises; tells whether one is broken.
    fn look(&self) -> bool {
        let awake_ms = self.world.clock.machine_ms() - self.awake_since_ms;
        check::all(&self.world, awake_ms);
        if self.process.as_ref().is_some_and(Process::is_broken) {
            self.world.accuse("a part of the daemon ended by itself".to_owned());
        }
        self.world.facts().broken.is_some()
    }

    async fn carry_out(&mut self, step: Step) {
        if !matches!(step, Step::Pass { .. }) {
            self.world.facts().disturbed_ms = self.world.clock.machine_ms();
        }
        let world = &self.world;
        match step {
            Step::Pass { ms } => steps::pass(ms).await,
            Step::Weather(weather) => steps::change_weather(world, weather),
            Step::Submit(new) => steps::submit(world, new).await,
            Step::SubmitAgain { which, other_payload } => {
                steps::submit_again(world, which, other_payload).await;
            }
            Step::Ask { verb, which } => steps::ask_for(world, verb, which).await,
            Step::Flush { account } => steps::flush(world, account),
            Step::Pause => steps::pause(world).await,
            Step::Resume => steps::resume(world).await,
            Step::PauseAccount { account } => {
                steps::gate(world, account, GateChange::Pause { reason: None }).await;
            }
            Step::OpenAccount { account } => steps::gate(world, account, GateChange::Open).await,
            Step::Say(state) => steps::say(world, state).await,
            Step::Attach => world.facts().app_attached = true,
            Step::Detach => world.facts().app_attached = false,
            Step::SetWall { ms } => steps::step_wall(world, ms),
            Step::Suspend { ms } => {
                world.clock.suspend(ms);
                self.awake_since_ms = world.clock.machine_ms();
            }
            Step::Stop => self.end(End::InOrder, None).await,
            Step::Kill => self.end(End::Killed, None).await,
            Step::Reboot { off_ms, in_order } => {
                self.end(if in_order { End::InOrder } else { End::Killed }, Some(off_ms)).await;
            }
        }
    }

    /// Ends the process, perhaps with the machine, and starts it again after a while.
    async fn end(&mut self, end: End, off_ms: Option<u64>) {
        let Some(process) = self.process.take() else { return };
        match end {
            End::InOrder => process.stop(&self.world).await,
            End::Killed => process.kill(&self.world).await,
        }
        if let Some(off_ms) = off_ms {
            self.world.end_boot();
            tokio::task::yield_now().await;
            self.world.clock.reboot(off_ms);
            let mut facts = self.world.facts();
            facts.time_leapt |= facts.wall_was_set;
        } else {
            steps::pass(self.random.range(1, 3_000)).await;
        }
        self.start();
        if off_ms.is_some() {
            self.start_apps();
        }
    }

    // --- the end -----------------------------------------------------------------------------------------

    /// Makes the world whole and lets time pass: whatever waits for nobody must go. Tells whether a promise
    /// is broken.
    async fn heal(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        world.note("the world heals");
        steps::change_weather(&world, Weather::Fine);
        world.facts().app_attached = true;
        world.facts().healed = true;
        steps::resume(&world).await;
        steps::say(&world, LinkState::Unknown).await;
        world.facts().disturbed_ms = world.clock.machine_ms();
        self.until("goes", HEALS_WITHIN_MS, |waiting| !waiting.for_person).await
    }

    /// People decide whatever waits for them, and let it go.
    async fn decide(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        world.note("people decide");
        let ids: Vec<String> = world.facts().messages.keys().cloned().collect();
        for id in ids {
            let Some(Message::Entry(view)) = steps::state_of(&world, &id) else { continue };
            let verb = match view.entry.delivery.phase {
                Phase::Held { .. } => Verb::Release,
                Phase::Uncertain { .. } => self.random.pick(&[Verb::Resend, Verb::Resolve, Verb::Cancel]),
                Phase::Failed { .. } if view.entry.delivery.in_lane => {
                    self.random.pick(&[Verb::Resend, Verb::Cancel])
                }
                _ => continue,
            };
            steps::ask_of(&world, verb, &id).await;
        }
        self.until("goes after a decision", HEALS_WITHIN_MS, |waiting| !waiting.for_person).await
    }

    /// Lets time pass until no entry is left that `counts`.
    async fn until(&self, what: &str, at_most_ms: u64, counts: impl Fn(&Waiting) -> bool) -> bool {
        let began_ms = self.world.clock.machine_ms();
        let mut look_ms = FIRST_LOOK_MS;
        loop {
            steps::pass(look_ms).await;
            look_ms = (look_ms * 2).min(ON_TIME_MS * 5);
            for account in ACCOUNTS {
                // The app's sessions are fine, whatever an old answer still says.
                steps::gate(&self.world, account, GateChange::Open).await;
            }
            if self.look() {
                return true;
            }
            let Some(left) = waiting(&self.world).into_iter().find(&counts) else { return false };
            if self.world.clock.machine_ms() - began_ms > at_most_ms {
                let Waiting { msg_id, state, .. } = left;
                let text = format!("{msg_id} is {state} for ever: in a healed world it never {what}");
                self.world.accuse(text);
                return true;
            }
        }
    }

    /// Stops and starts once more: what has ended has ended for good.
    async fn last_look(&mut self) {
        let before = ends(&self.world);
        self.end(End::InOrder, None).await;
        if self.look() {
            return;
        }
        let after = ends(&self.world);
        if before != after {
            self.world.accuse(format!("the ends changed with a restart: {before:?}, then {after:?}"));
        }
    }

    /// Promise 2: each message has its end.
    fn count_ends(&self) {
        for (id, state) in ends(&self.world) {
            self.world.count("end", state.as_str());
            let is_end = matches!(state, State::Sent | State::Cancelled | State::Failed | State::Expired);
            if !is_end {
                self.world.accuse(format!("{id} has no end: it is {state}"));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    InOrder,
    Killed,
}

/// An entry that has not ended.
struct Waiting {
    msg_id: String,
    state: State,
    /// Nothing happens to it until a person does something.
    for_person: bool,
}

fn waiting(world: &World) -> Vec<Waiting> {
    let Some(doors) = world.doors() else { return Vec::new() };
    let ids: Vec<String> =
        world.facts().messages.iter().filter(|(_, k)| k.place.is_some()).map(|(id, _)| id.clone()).collect();
    let entry = |id: &String| match doors.outbox.get(id) {
        Ok(Message::Entry(view)) => Some(view),
        _ => None,
    };
    let needs_person = |view: &outbox::EntryView| {
        matches!(
            view.entry.delivery.phase,
            Phase::Held { .. } | Phase::Uncertain { .. } | Phase::Failed { .. }
        )
    };
    ids.iter()
        .filter_map(entry)
        .filter(|view| !view.entry.delivery.has_ended())
        .map(|view| {
            let blocker = view.blocked_by.as_ref().and_then(entry);
            Waiting {
                for_person: needs_person(&view) || blocker.is_some_and(|blocker| needs_person(&blocker)),
                state: view.state,
                msg_id: view.entry.identity.msg_id,
            }
        })
        .collect()
}

fn ends(world: &World) -> Vec<(String, State)> {
    let facts = world.facts();
    facts.messages.iter().filter(|(_, k)| k.place.is_some()).map(|(id, k)| (id.clone(), k.state)).collect()
}
