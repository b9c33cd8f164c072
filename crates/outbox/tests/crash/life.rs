//! A life that passes every place of a spool that nothing ever happened to.
//!
//! Owns:  every kind of verb, the tidying up, a rewrite, two starts; the seed changes how many messages lie between, and how
//!        large they are.
//! Never: dies, judges.

use std::path::Path;
use std::time::Duration;

use outbox::{
    Batch, BatchOp, Config, Filter, Lease, LeaseRequest, LeaseTo, Message, OnUncertain, Outbox, Outcome,
    Payload, Replacement, Resolution,
};

use crate::random::Random;
use crate::support::{report, sent, usual_class};
use crate::workload::{
    Marks, as_sent, attempts, cancel, config, give_back, hold, lease, message, pause_and_go_on, payload,
    release, replacement, resend, submit,
};

/// Leads it.
pub(crate) fn lead(root: &Path, seed: u64) {
    let marks = Marks::open(&root.join("marks"));
    let spool = root.join("spool");
    first_start(&spool, &marks, &mut Random::new(seed));
    // As a folder may be that lost a file: what is asked for then must end, too.
    std::fs::remove_file(spool.join("ready")).unwrap();
    second_start(&spool, &marks);
}

fn settings(spool: &Path) -> Config {
    let mut config = config(spool);
    config.policy.on_uncertain = OnUncertain::Hold;
    config
}

fn lease_one(outbox: &Outbox, marks: &Marks, to: LeaseTo) -> Lease {
    lease(outbox, marks, LeaseRequest { max: 1, to, ..LeaseRequest::default() }).pop().unwrap()
}

/// Every kind of verb, the tidying up, a rewrite, and an attempt that is still under way at the end.
fn first_start(spool: &Path, marks: &Marks, random: &mut Random) {
    let outbox = Outbox::open(settings(spool)).unwrap();
    for number in 0..8 {
        submit(&outbox, marks, message(&format!("conv{number}"), number, 300));
    }
    submit(&outbox, marks, message("large", 0, 20_000));
    for (number, part) in [ends, leases, by_hand, restored].into_iter().enumerate() {
        others(&outbox, marks, number, random);
        part(&outbox, marks);
    }
    outbox.compact().wait().unwrap();
    lease_one(&outbox, marks, LeaseTo::Process);
    outbox.close();
}

/// Finds that attempt, and goes on.
fn second_start(spool: &Path, marks: &Marks) {
    let outbox = Outbox::open(settings(spool)).unwrap();
    submit(&outbox, marks, message("again", 0, 300));
    while attempts(&outbox, marks, 8, as_sent) > 0 {}
    outbox.close();
}

/// Messages that nothing else is done with than to send them.
fn others(outbox: &Outbox, marks: &Marks, part: usize, random: &mut Random) {
    for number in 0..random.below(6) as usize {
        let bytes = 100 + random.below(24_000) as usize;
        submit(outbox, marks, message(&format!("other{part}"), number, bytes));
    }
}

/// Attempts with every kind of end.
fn ends(outbox: &Outbox, marks: &Marks) {
    let outcome = |index: usize, msg_id: &str| match &msg_id[..5] {
        "conv0" => sent(&format!("{msg_id}-new"), &replacement(msg_id, 20_000)),
        "conv1" => report(Outcome::Reject, usual_class(Outcome::Reject)),
        "conv3" => report(Outcome::MaybeReached, usual_class(Outcome::MaybeReached)),
        "conv4" | "other" => as_sent(index, msg_id),
        _ => report(Outcome::NotReached, usual_class(Outcome::NotReached)),
    };
    attempts(outbox, marks, 20, outcome);
    assert_eq!(outbox.wake_not_reached().unwrap(), 5);
    resend(outbox, marks, "conv1-00001-300");
    let id = "conv3-00003-300";
    marks.say("send", id);
    let replacement = Some(Replacement { new_msg_id: None, data: replacement(id, 40) });
    outbox.resolve(id.into(), Resolution { desc: "seen".into(), replacement }).wait().unwrap();
    marks.say("sent", id);
}

/// Leases that do not lead to an attempt.
fn leases(outbox: &Outbox, marks: &Marks) {
    let to = LeaseTo::App { duration: Duration::from_secs(60) };
    let leased = lease_one(outbox, marks, to);
    outbox.extend(leased.id.clone(), Duration::from_secs(120)).wait().unwrap();
    give_back(outbox, marks, leased, None);
    let leased = lease_one(outbox, marks, LeaseTo::Process);
    give_back(outbox, marks, leased, Some(Duration::from_secs(60)));
    outbox.flush(None, None).unwrap();
}

/// What a person or the configuration does.
fn by_hand(outbox: &Outbox, marks: &Marks) {
    let held = "conv6-00006-300";
    hold(outbox, marks, held);
    release(outbox, marks, held);
    cancel(outbox, marks, "conv7-00007-300");
    cancel(outbox, marks, "large-00000-20000");
    for view in outbox.list(&Filter::default(), 0, 1_000).unwrap().entries {
        marks.say("hold", &view.entry.identity.msg_id);
    }
    let seqs = outbox.matching(&Filter::default(), 0).unwrap().seqs;
    for op in [BatchOp::Hold, BatchOp::Release] {
        let seqs = seqs.clone().into();
        outbox.batch(Batch { op, reason: None, seqs, filter: Filter::default() }).wait().unwrap();
    }
    marks.say("released", held);
    pause_and_go_on(outbox, marks);
    outbox.reconfigure(Config { sent_max: 1_000, ..Config::clone(&outbox.config()) }).wait().unwrap();
    outbox.tick().wait().unwrap();
}

/// An entry and a receipt, as another spool would have them.
fn restored(outbox: &Outbox, marks: &Marks) {
    let Message::Entry(view) = outbox.get("conv5-00005-300").unwrap() else { panic!("it waits") };
    let Message::Receipt(mut receipt) = outbox.get("conv3-00003-300").unwrap() else { panic!("it is sent") };
    let (of_entry, of_receipt) = ("from-00000-300", "from-00001-300");
    let mut entry = view.entry;
    entry.identity.msg_id = of_entry.into();
    entry.identity.conversation = "from".into();
    marks.say("submit", of_entry);
    let kept = Payload { message: payload(of_entry), web_message_instance: None };
    outbox.restore_entry(entry, Some(kept)).wait().unwrap();
    marks.say("accepted", of_entry);
    receipt.identity.msg_id = of_receipt.into();
    receipt.identity.conversation = "from".into();
    for verb in ["submit", "send"] {
        marks.say(verb, of_receipt);
    }
    outbox.restore_receipt(receipt, Some(replacement(of_receipt, 60))).wait().unwrap();
    for verb in ["accepted", "sent"] {
        marks.say(verb, of_receipt);
    }
}
