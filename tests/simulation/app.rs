//! The app as transport: asks for work, sends it by itself, reports sooner or later, or never.
//!
//! Owns:  what an app may do with leases, right and wrong.
//! Never: sends after its lease is over, or claims a success that the service did not prove.

use std::sync::Arc;
use std::time::Duration;

use outbox::{Clock, Error, Lease, Outcome, Report, State, WallTime};
use outboxd::engine::{Command, LeaseAsk};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::judge;
use crate::process::Doors;
use crate::service::{Request, Sent, send};
use crate::weather::Fate;
use crate::world::World;

/// How often an app tries to reach a daemon that is not there.
const TRIES_MAX: usize = 40;

/// How long an app waits for a daemon that is not there.
const DAEMON_IS_GONE_MS: u64 = 300;

/// How much longer an app wants to have a lease.
const EXTENSION: Duration = Duration::from_secs(120);

/// Starts the app's work for one account; it ends with the machine.
pub(crate) fn start(world: &Arc<World>, account: &'static str) {
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let reboot = world.reboot();
        tokio::select! {
            biased;
            () = reboot.raised() => {}
            () = ask_for_work(&world, account) => {}
        }
    });
}

async fn ask_for_work(world: &Arc<World>, account: &str) {
    loop {
        let attached = world.facts().app_attached;
        // Nothing of a daemon is held while the app waits: it would hold a dead one's spool.
        let pause_ms = match world.doors().filter(|_| attached) {
            Some(doors) => ask_once(world, doors, account).await,
            None => 700,
        };
        sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Asks for work and sends what it gets; tells how long to wait before the next time, in milliseconds.
async fn ask_once(world: &Arc<World>, doors: Doors, account: &str) -> u64 {
    let (reply, answer) = oneshot::channel();
    let (max, lasts, wait) =
        world.draw(|random| (random.range(1, 4), random.pick(&[5, 20, 60]), random.range(0, 20_000)));
    let lasts = if world.setting.app_is_busy_ms.is_some() { 60 } else { lasts };
    let temper = temper(world);
    let ask = LeaseAsk {
        account: account.to_owned(),
        max: usize::try_from(max).unwrap(),
        lasts: Duration::from_secs(lasts),
        wait_until: Instant::now() + Duration::from_millis(wait),
        reply,
    };
    if !doors.or_death(doors.engine.send(Command::Lease(ask))).await.unwrap_or(false) {
        return DAEMON_IS_GONE_MS;
    }
    if temper < 4 {
        world.count("app", "hangs up");
        doors.or_death(sleep(Duration::from_millis(temper * 3))).await;
        drop(answer);
        return 0;
    }
    let Some(Ok(Ok(leases))) = doors.or_death(answer).await else { return DAEMON_IS_GONE_MS };
    if temper < 8 && !leases.is_empty() {
        // Its connection broke before it read them: the daemon notices and takes them back.
        world.count("app", "never gets its leases");
        let ids = leases.into_iter().map(|lease| lease.id).collect();
        doors.or_death(doors.engine.send(Command::TakeBack(ids))).await;
        return 0;
    }
    for lease in leases {
        let until = deadline_ms(world, lease.deadline);
        world.note(&format!("app: has {} until {until}", lease.msg_id));
        let world = Arc::clone(world);
        tokio::spawn(async move {
            let reboot = world.reboot();
            tokio::select! {
                biased;
                () = reboot.raised() => {}
                () = work(&world, lease, until) => {}
            }
        });
    }
    0
}

/// The world's time at which a lease lapses. An app reads its wall clock when it gets the lease, and goes by
/// elapsed time from then on.
fn deadline_ms(world: &World, deadline: Option<WallTime>) -> u64 {
    let left_ms = deadline.unwrap().0 - world.clock.read().wall.0;
    world.clock.world_ms() + u64::try_from(left_ms).unwrap_or(0)
}

/// What an app is up to, from 0 to 99; nothing bad in a healed world.
fn temper(world: &World) -> u64 {
    let drawn = world.draw(|random| random.range(0, 100));
    let is_good = world.facts().healed || world.setting.app_is_busy_ms.is_some();
    if is_good { 50 + drawn % 20 } else { drawn }
}

/// Does one lease's work.
async fn work(world: &Arc<World>, lease: Lease, mut until: u64) {
    let busy = world.draw(|random| random.weighted(&[(6, 30), (2, 2_000), (1, 70_000)]));
    let busy = if world.facts().healed { 30 } else { busy };
    let temper = temper(world);
    if temper < 12 {
        until = extended(world, &lease, until).await;
    }
    let drawn = world.draw(|random| random.range(1, busy));
    let scripted = world.setting.app_is_busy_ms.map(|ms| ms * u64::from(lease.attempt - 1));
    sleep(Duration::from_millis(scripted.unwrap_or(drawn))).await;
    if world.clock.world_ms() >= until {
        world.count("app", "was too slow to send");
        return;
    }
    let request = Request { msg_id: lease.msg_id.clone(), token: lease.token };
    let fate = judge::attempt(world, &request, lease.attempt, &lease.message);
    let report = match send(world, request, fate).await {
        Sent::Report(report) => report,
        Sent::Broke => return world.count("app", "breaks"),
    };
    if temper >= 95 {
        return world.count("app", "never reports");
    }
    if (80..88).contains(&temper) {
        sleep(Duration::from_millis(world.draw(|random| random.range(1, 90_000)))).await;
    }
    if matches!(fate, Fate::Answered(_)) && temper < 70 {
        world.count("app", "reports an answer");
    }
    settle(world, &lease, until, report, temper).await;
}

async fn extended(world: &Arc<World>, lease: &Lease, until: u64) -> u64 {
    let Some(doors) = world.doors() else { return until };
    let id = lease.id.clone();
    match doors.ask(|outbox| outbox.extend(id, EXTENSION)).await {
        Some(Ok(deadline)) => {
            world.count("app", "extends");
            until.max(deadline_ms(world, Some(deadline)))
        }
        Some(Err(Error::WrongState { .. })) | None => until,
        Some(Err(error)) => {
            world.accuse(format!("an extension of {}: {error}", lease.msg_id));
            until
        }
    }
}

/// Reports, as often as it takes to be heard.
async fn settle(world: &Arc<World>, lease: &Lease, until: u64, report: Report, temper: u64) {
    let mut first: Option<State> = None;
    let times = if temper.is_multiple_of(5) { 2 } else { 1 };
    for _ in 0..TRIES_MAX {
        let Some(doors) = world.doors() else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let (id, said) = (lease.id.clone(), report.clone());
        match doors.ask(move |outbox| outbox.settle(id, said)).await {
            None => {}
            Some(Ok(settled)) => {
                note_settled(world, lease, report.outcome, world.clock.world_ms() >= until);
                if settled.is_news {
                    doors.or_death(doors.engine.send(Command::Evidence(report.outcome))).await;
                }
                if let Some(first) = first {
                    return judge_repetition(world, lease, first, settled.state);
                }
                first = Some(settled.state);
                if times == 1 {
                    return;
                }
            }
            Some(Err(Error::WrongState { .. })) if is_a_success(report.outcome) => {
                return world.accuse(format!("a success of {} was not heard", lease.msg_id));
            }
            Some(Err(Error::WrongState { .. })) => return world.count("app", "is told that it is too late"),
            Some(Err(error)) => {
                return world.accuse(format!("the settle of {} was refused: {error}", lease.msg_id));
            }
        }
    }
}

const fn is_a_success(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Sent | Outcome::Duplicate)
}

/// Whether another attempt has begun since.
fn another_has_begun(world: &World, lease: &Lease) -> bool {
    world.facts().messages[&lease.msg_id].starts != lease.id.start()
}

fn note_settled(world: &World, lease: &Lease, outcome: Outcome, is_late: bool) {
    let mut facts = world.facts();
    facts.trace.count("outcome", judge::outcome_name(outcome));
    facts.trace.count("app", if is_late { "reports late" } else { "reports in time" });
    if let Some(known) = facts.messages.get_mut(&lease.msg_id) {
        known.settled_late |= is_late;
    }
}

/// A repetition is answered as the first was, unless a newer attempt has its own end meanwhile.
fn judge_repetition(world: &World, lease: &Lease, first: State, second: State) {
    if !another_has_begun(world, lease) && first != second {
        world.accuse(format!("a settle of {} was answered {first}, then {second}", lease.msg_id));
    }
    world.count("app", "repeats a report");
}
