//! What the watched process does with the store, and what it says of it.
//!
//! Owns:  the workloads, the marks: what was begun and what was promised, each as a line before and behind its call.
//! Never: judges.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox::{
    BootId, Clock, Config, GateChange, Lease, LeaseId, LeaseRequest, Message, Outbox, Outcome, Overrides,
    Reading, Report, State, Submit, SystemClock, Ticket,
};

use crate::support::{report, sent, usual_class};

/// What is done with a spool.
type Workload = fn(&Path, &Marks);

/// All of them.
pub(crate) const WORKLOADS: [(&str, Workload); 9] = [
    ("creation", creation),
    ("groups", groups),
    ("lives", lives),
    ("files", files),
    ("restarts", restarts),
    ("compact", compact),
    ("receipts", receipts),
    ("verbs", verbs),
    ("mended", mended),
];

/// Opens a store that a cut has left, and stops in order.
pub(crate) const RECOVERY: &str = "recovery";

/// A short life on a drive that fails.
pub(crate) const TROUBLE: &str = "trouble";

/// Leaves a spool whose start has to make its store anew.
pub(crate) const HARM: &str = "harm";

/// The same on one that has no room for a moment: it waits until the store has opened itself again.
pub(crate) const NO_ROOM: &str = "no room";

/// What begins the words with which a rewrite was refused or given up.
pub(crate) const NO_REWRITE: &str = "rewrite: ";

/// How long that may take.
const ROOM_WITHIN: Duration = Duration::from_secs(60);

/// Where the marks are written.
pub(crate) struct Marks(File);

impl Marks {
    pub(crate) fn open(path: &Path) -> Self {
        Self(File::options().create(true).append(true).open(path).unwrap())
    }

    /// A line, in one write.
    pub(crate) fn say(&self, verb: &str, id: &str) {
        (&self.0).write_all(format!("{verb} {id}\n").as_bytes()).unwrap();
    }
}

/// Runs a workload by its name.
pub(crate) fn run(name: &str, spool: &Path, marks: &Marks) {
    if name == RECOVERY {
        return Outbox::open(config_in(spool, Some(BootId([1; 16])))).unwrap().close();
    }
    if name == HARM {
        return harm(spool, marks);
    }
    if name == TROUBLE || name == NO_ROOM {
        return trouble(spool, marks, name == NO_ROOM);
    }
    let (_, workload) = WORKLOADS.iter().find(|(known, _)| *known == name).unwrap();
    workload(spool, marks);
}

/// The configuration of all of them, and of those who look at what is left.
pub(crate) fn config(spool: &Path) -> Config {
    Config { min_free_bytes: 0, reserve_bytes: 1 << 20, ..Config::new(spool) }
}

/// The clocks of the machine in another boot.
struct InBoot(BootId, SystemClock);

impl Clock for InBoot {
    fn read(&self) -> Reading {
        Reading { boot: self.0, ..self.1.read() }
    }
}

/// The same in another boot.
pub(crate) fn config_in(spool: &Path, boot: Option<BootId>) -> Config {
    let config = config(spool);
    match boot {
        Some(boot) => Config { clock: Arc::new(InBoot(boot, SystemClock::new())), ..config },
        None => config,
    }
}

fn open(spool: &Path) -> Outbox {
    Outbox::open(config(spool)).unwrap()
}

/// A message whose id says everything of it: conversation, number, size.
pub(crate) fn message(conversation: &str, number: usize, bytes: usize) -> Submit {
    let msg_id = format!("{conversation}-{number:05}-{bytes}");
    Submit {
        account: "default".into(),
        conversation: conversation.into(),
        message: payload(&msg_id),
        msg_id,
        ..Submit::default()
    }
}

/// What a message with this id holds.
pub(crate) fn payload(msg_id: &str) -> Vec<u8> {
    let bytes = msg_id.rsplit('-').next().unwrap().parse().unwrap();
    msg_id.bytes().cycle().take(bytes).collect()
}

pub(crate) fn submit(outbox: &Outbox, marks: &Marks, submit: Submit) {
    let id = submit.msg_id.clone();
    marks.say("submit", &id);
    outbox.submit(submit).wait().unwrap();
    marks.say("accepted", &id);
}

fn submit_many(outbox: &Outbox, marks: &Marks, submits: Vec<Submit>) {
    let ids: Vec<String> = submits.iter().map(|submit| submit.msg_id.clone()).collect();
    ids.iter().for_each(|id| marks.say("submit", id));
    outbox.submit_many(submits).into_iter().for_each(|answer| drop(answer.unwrap()));
    ids.iter().for_each(|id| marks.say("accepted", id));
}

/// Leases what is due, so many at the most.
pub(crate) fn lease(outbox: &Outbox, marks: &Marks, request: LeaseRequest) -> Vec<Lease> {
    marks.say("lease", "store");
    let leases = outbox.lease(request).wait().unwrap();
    leases.iter().for_each(|lease| marks.say("leased", &lease.msg_id));
    marks.say("leases", "store");
    leases
}

/// What is promised of an entry by the answer to this report.
fn settled_as(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Sent => "sent",
        Outcome::Reject => "rejected",
        Outcome::NotReached => "unreached",
        Outcome::MaybeReached => "doubted",
        other => panic!("no workload reports {other:?}"),
    }
}

/// Leases what is due and lets it end: as sent, or refused, or not reached, or in doubt; answers how many there were.
pub(crate) fn attempts(
    outbox: &Outbox,
    marks: &Marks,
    max: usize,
    outcome: impl Fn(usize, &str) -> Report,
) -> usize {
    let mut settles = Vec::new();
    let mut promised = Vec::new();
    let leases = lease(outbox, marks, LeaseRequest { max, ..LeaseRequest::default() });
    for (index, lease) in leases.into_iter().enumerate() {
        let report = outcome(index, &lease.msg_id);
        marks.say("settle", &lease.msg_id);
        if report.outcome == Outcome::Sent {
            marks.say("send", &lease.msg_id);
        }
        promised.push((settled_as(report.outcome), lease.msg_id));
        settles.push((lease.id, report));
    }
    for ((verb, id), settled) in promised.iter().zip(outbox.settle_many(settles)) {
        settled.unwrap();
        marks.say(verb, id);
    }
    promised.len()
}

pub(crate) fn as_sent(_: usize, msg_id: &str) -> Report {
    sent(&format!("{msg_id}-new"), &replacement(msg_id, 60))
}

/// What took the place of a message, in so many bytes: it says what it is.
pub(crate) fn replacement(msg_id: &str, bytes: usize) -> Vec<u8> {
    format!("{bytes} {msg_id} ").bytes().cycle().take(bytes).collect()
}

/// A change of one message between the marks of its begin and of its promise.
fn change<T>(marks: &Marks, [begin, done]: [&str; 2], id: &str, change: impl FnOnce() -> Ticket<T>) {
    marks.say(begin, id);
    change().wait().unwrap();
    marks.say(done, id);
}

pub(crate) fn hold(outbox: &Outbox, marks: &Marks, id: &str) {
    change(marks, ["hold", "held"], id, || outbox.hold(id.into(), None));
}

pub(crate) fn release(outbox: &Outbox, marks: &Marks, id: &str) {
    change(marks, ["release", "released"], id, || outbox.release(id.into()));
}

pub(crate) fn resend(outbox: &Outbox, marks: &Marks, id: &str) {
    change(marks, ["resend", "released"], id, || outbox.resend(id.into(), Overrides::default()));
}

/// Gives a lease back as if there had been none: now, or for a while.
pub(crate) fn give_back(outbox: &Outbox, marks: &Marks, lease: Lease, wait: Option<Duration>) {
    let give = |id: LeaseId| match wait {
        Some(wait) => outbox.put_off(id, wait),
        None => outbox.take_back(id),
    };
    change(marks, ["settle", "unreached"], &lease.msg_id, || give(lease.id));
}

/// Pauses everything and goes on, and the same with the account.
pub(crate) fn pause_and_go_on(outbox: &Outbox, marks: &Marks) {
    change(marks, ["pause", "paused"], "spool", || outbox.pause());
    change(marks, ["resume", "resumed"], "spool", || outbox.resume());
    pause_account(outbox, marks);
    let open = || outbox.set_account("default".into(), GateChange::Open);
    change(marks, ["resume", "resumed"], "account", open);
}

fn pause_account(outbox: &Outbox, marks: &Marks) {
    let pause = || outbox.set_account("default".into(), GateChange::Pause { reason: None });
    change(marks, ["pause", "paused"], "account", pause);
}

pub(crate) fn cancel(outbox: &Outbox, marks: &Marks, id: &str) {
    marks.say("cancel", id);
    outbox.cancel(id.into(), None).wait().unwrap();
    marks.say("cancelled", id);
}

/// The first start on an empty folder, and the first messages.
fn creation(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    for number in 0..8 {
        submit(&outbox, marks, message("first", number, 200 * number));
    }
}

/// Groups: four threads that submit one by one, and batches of small and large messages.
fn groups(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let outbox = &outbox;
            scope.spawn(move || {
                for number in 0..20 {
                    let bytes = [40, 900, 6_000, 12_000][(number + thread) % 4];
                    submit(outbox, marks, message(&format!("thread{thread}"), number, bytes));
                }
            });
        }
    });
    for batch in 0..4_usize {
        let of = |number| message("batch", batch * 40 + number, [120, 1_000, 16_000][batch % 3]);
        submit_many(&outbox, marks, (0..40).map(of).collect());
    }
}

/// Whole lives: attempts that succeed, fail, are refused; cancels in between.
fn lives(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    for round in 0..6 {
        let of = |number: usize| message(&format!("conv{}", number % 8), round * 24 + number, 700);
        submit_many(&outbox, marks, (0..24).map(of).collect());
        let outcome = |index: usize, msg_id: &str| match index % 5 {
            3 => report(Outcome::Reject, usual_class(Outcome::Reject)),
            4 => report(Outcome::NotReached, usual_class(Outcome::NotReached)),
            _ => as_sent(index, msg_id),
        };
        while attempts(&outbox, marks, 8, outcome) > 0 {}
        submit(&outbox, marks, message("doubted", round, 100));
        cancel(&outbox, marks, &format!("doubted-{round:05}-100"));
    }
}

/// Payloads and replacements that are too large for the store.
fn files(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    for number in 0..6 {
        submit(&outbox, marks, message("large", number, 20_000 + number * 7_000));
        submit(&outbox, marks, message("media", number, 40_000));
    }
    cancel(&outbox, marks, "media-00005-40000");
    let large = |_: usize, msg_id: &str| sent(&format!("{msg_id}-new"), &replacement(msg_id, 30_000));
    for _ in 0..4 {
        attempts(&outbox, marks, 2, large);
    }
}

/// Stops in order and starts again.
fn restarts(spool: &Path, marks: &Marks) {
    for start in 0..4 {
        let outbox = open(spool);
        for number in 0..6 {
            submit(&outbox, marks, message("again", start * 6 + number, 1_500));
        }
        attempts(&outbox, marks, 1, as_sent);
        outbox.close();
    }
}

/// A rewrite of the store while others submit and send.
fn compact(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    let of = |number: usize| message(&format!("conv{}", number % 8), number, 2_000);
    submit_many(&outbox, marks, (0..60).map(of).collect());
    for round in 0..3 {
        let rewrite = outbox.compact();
        for number in 0..6 {
            submit(&outbox, marks, message("meanwhile", round * 6 + number, 3_000));
            attempts(&outbox, marks, 2, as_sent);
        }
        rewrite.wait().unwrap();
    }
}

/// Receipts that are given up again: few are kept.
fn receipts(spool: &Path, marks: &Marks) {
    let outbox = Outbox::open(Config { sent_max: 20, ..config(spool) }).unwrap();
    for round in 0..10 {
        let of = |number: usize| message(&format!("conv{number}"), round, 500);
        submit_many(&outbox, marks, (0..8).map(of).collect());
        attempts(&outbox, marks, 8, as_sent);
    }
}

/// What is done with messages beside sending them, and with the account; at the end one is under way, and the account paused.
fn verbs(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    for round in 0..4 {
        let of = |number: usize| message(&format!("round{round}of{number}"), number, 400);
        let ids: Vec<String> = (0..10).map(|number| of(number).msg_id).collect();
        submit_many(&outbox, marks, (0..10).map(of).collect());
        for id in &ids[..3] {
            hold(&outbox, marks, id);
        }
        release(&outbox, marks, &ids[0]);
        cancel(&outbox, marks, &ids[1]);
        let outcome = |index: usize, msg_id: &str| match index {
            0 => as_sent(index, msg_id),
            1 => report(Outcome::MaybeReached, usual_class(Outcome::MaybeReached)),
            2 => report(Outcome::NotReached, usual_class(Outcome::NotReached)),
            _ => report(Outcome::Reject, usual_class(Outcome::Reject)),
        };
        attempts(&outbox, marks, 5, outcome);
        for id in &ids {
            let is_failed = matches!(outbox.get(id), Ok(Message::Entry(view)) if view.state == State::Failed);
            if is_failed && !id.contains("of5") {
                resend(&outbox, marks, id);
            }
        }
        let leases = lease(&outbox, marks, LeaseRequest { max: 2, ..LeaseRequest::default() });
        assert_eq!(leases.len(), 2);
        for (lease, wait) in leases.into_iter().zip([None, Some(Duration::from_secs(60))]) {
            give_back(&outbox, marks, lease, wait);
        }
        pause_and_go_on(&outbox, marks);
    }
    assert_eq!(lease(&outbox, marks, LeaseRequest { max: 1, ..LeaseRequest::default() }).len(), 1);
    pause_account(&outbox, marks);
}

/// Some messages, some of them sent, and a stop in order; then a bit of one is flipped where the store wrote it.
fn harm(spool: &Path, marks: &Marks) {
    let outbox = open(spool);
    let of = |number: usize| message(&format!("conv{}", number % 8), number, 900);
    submit_many(&outbox, marks, (0..40).map(of).collect());
    submit(&outbox, marks, message("large", 0, 20_000));
    attempts(&outbox, marks, 8, as_sent);
    cancel(&outbox, marks, &of(30).msg_id);
    outbox.close();
    drop(outbox);
    marks.say("harm", "store");
    let of_a_payload = payload(&of(20).msg_id);
    flip(&spool.join("store/db"), |bytes| bytes.windows(900).position(|window| window == of_a_payload));
}

/// Flips a bit of a file, at some place in it, durably.
fn flip(path: &Path, place: impl Fn(&[u8]) -> Option<usize>) {
    let bytes = std::fs::read(path).unwrap();
    let at = place(&bytes).expect("it is in there");
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at] ^ 4], at as u64).unwrap();
    file.sync_all().unwrap();
}

/// A store that is damaged and made anew, a life with it, and another damage beside it.
fn mended(spool: &Path, marks: &Marks) {
    harm(spool, marks);
    let outbox = open(spool);
    assert!(outbox.report().is_made_anew, "the damage was not met");
    for number in 0..4 {
        submit(&outbox, marks, message("mended", number, 900));
    }
    attempts(&outbox, marks, 8, as_sent);
    outbox.close();
    drop(outbox);
    flip(&spool.join("store/conf"), |bytes| Some(bytes.len() / 2));
    let outbox = open(spool);
    submit(&outbox, marks, message("mended", 4, 900));
    attempts(&outbox, marks, 8, as_sent);
}

/// Says whether the store takes changes.
fn say_health(outbox: &Outbox, marks: &Marks) {
    marks.say(if outbox.failure().is_some() { "unhealthy" } else { "well" }, "store");
}

fn say_rewritten(result: outbox::Result<outbox::Compacted>, marks: &Marks) {
    match result {
        Ok(_) => marks.say("rewritten", "store"),
        Err(error) => marks.say("refused", &format!("{NO_REWRITE}{error}")),
    }
}

/// Every kind of change, and a rewrite beside some of them, on a drive that fails somewhere: whatever is refused is refused
/// in words, and the rest goes on.
fn trouble(spool: &Path, marks: &Marks, passes: bool) {
    let outbox = match Outbox::open(config(spool)) {
        Ok(outbox) => outbox,
        Err(error) => return marks.say("refused", &format!("open: {error}")),
    };
    let mut told = BTreeSet::new();
    let mut rewrite = None;
    for number in 0..8 {
        match number {
            2 => rewrite = Some(outbox.compact()),
            5 => say_rewritten(rewrite.take().unwrap().wait(), marks),
            _ => {}
        }
        let bytes = if number % 4 == 3 { 30_000 } else { 900 };
        let submit = message("trouble", number, bytes);
        let id = submit.msg_id.clone();
        marks.say("submit", &id);
        match outbox.submit(submit).wait() {
            Ok(_) => marks.say("accepted", &id),
            Err(error) => marks.say("refused", &format!("{id}: {error}")),
        }
        if number % 2 == 1 {
            // Where the store fails, everything behind it is refused, too.
            let _ = try_one(&outbox, marks, &mut told, passes);
        }
        tell_what_is_read(&outbox, marks, &mut told);
        say_health(&outbox, marks);
        if passes {
            wait_until_well(&outbox);
            say_health(&outbox, marks);
        }
    }
    outbox.close();
}

fn wait_until_well(outbox: &Outbox) {
    let deadline = Instant::now() + ROOM_WITHIN;
    while outbox.failure().is_some() {
        assert!(Instant::now() < deadline, "the store does not open itself again: {:?}", outbox.failure());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Whoever reads that a message was sent has been told so, whatever became of the call that recorded it.
fn tell_what_is_read(outbox: &Outbox, marks: &Marks, told: &mut BTreeSet<String>) {
    for number in 0..8 {
        for bytes in [900, 30_000] {
            let id = message("trouble", number, bytes).msg_id;
            if matches!(outbox.get(&id), Ok(Message::Receipt(_))) && told.insert(id.clone()) {
                marks.say("sent", &id);
            }
        }
    }
}

/// One attempt; an error if the store took no more.
fn try_one(outbox: &Outbox, marks: &Marks, told: &mut BTreeSet<String>, passes: bool) -> outbox::Result<()> {
    // Before a call and not behind it, where the drive may have failed since; and not where it may be well again at the call.
    let say = || {
        if !passes {
            say_health(outbox, marks);
        }
    };
    say();
    marks.say("lease", "store");
    for lease in outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait()? {
        for verb in ["leased", "settle", "send"] {
            marks.say(verb, &lease.msg_id);
        }
        say();
        outbox.settle(lease.id, as_sent(0, &lease.msg_id)).wait()?;
        marks.say("sent", &lease.msg_id);
        told.insert(lease.msg_id);
    }
    Ok(())
}
