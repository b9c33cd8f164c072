//! An app that embeds the outbox: no daemon, no async runtime.
//!
//! Owns:  one run from three failed sends, through a service that refuses once, to the receipts.
//! Never: touches a network.
//!
//! `cargo run -p outbox --example embedded` works in a temporary directory; give a directory to keep the
//! spool and look at it again.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use outbox::{
    Class, Config, Counters, Lease, LeaseRequest, Message, OpenReport, Outbox, Outcome, Replacement, Report,
    State, Submit,
};

/// The run gives up after this: whatever is wrong then, waiting longer does not help a reader.
const RUN_MAX: Duration = Duration::from_secs(10);

/// Plays the messaging service: the first message that it sees is refused once.
#[derive(Default)]
struct Service {
    calls: u32,
}

impl Service {
    fn send(&mut self, lease: &Lease) -> Report {
        self.calls += 1;
        if self.calls == 1 {
            return Report {
                outcome: Outcome::Retry,
                code: 503,
                desc: "come back later".into(),
                class: Class::TransientServer,
                retry_after: None,
                replacement: None,
            };
        }
        let new_msg_id = format!("new-{}", lease.msg_id);
        Report {
            outcome: Outcome::Sent,
            code: 0,
            desc: String::new(),
            class: Class::Ok,
            retry_after: None,
            replacement: Some(Replacement { data: lease.message.clone(), new_msg_id: Some(new_msg_id) }),
        }
    }
}

/// What an app does when its SDK answers a send with an error.
fn hand_over(outbox: &Outbox, msg_id: &str, conversation: &str, text: &str) -> outbox::Result<()> {
    let failed = Report {
        outcome: Outcome::NotReached,
        code: 9501,
        desc: "no network".into(),
        class: Class::TransientNetwork,
        retry_after: None,
        replacement: None,
    };
    let submit = Submit {
        msg_id: msg_id.into(),
        account: "default".into(),
        conversation: conversation.into(),
        message: format!(r#"{{"textElem":{{"text":"{text}"}}}}"#).into_bytes(),
        first_error: Some(failed),
        ..Submit::default()
    };
    // On disk from here on, whatever happens to this process.
    let accepted = outbox.submit(submit).wait()?;
    println!("accepted  {msg_id:<10} {:<8} as number {}", accepted.state, accepted.seq);
    Ok(())
}

/// Attempts everything that is due; tells how many attempts that were.
fn attempt_what_is_due(outbox: &Outbox, service: &mut Service) -> outbox::Result<usize> {
    // Time moves entries only here: heads become due, deadlines pass, leases lapse.
    outbox.tick().wait()?;
    let due = outbox.lease(LeaseRequest { max: 8, ..LeaseRequest::default() }).wait()?;
    for lease in &due {
        let report = service.send(lease);
        let answer = format!("{} {}", report.code, report.desc);
        let settled = outbox.settle(lease.id.clone(), report).wait()?;
        println!(
            "attempt {} {:<10} {:<8} ({})",
            lease.attempt,
            lease.msg_id,
            settled.state,
            answer.trim_end()
        );
    }
    Ok(due.len())
}

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = std::env::temp_dir().join(format!("outbox-embedded-{}", std::process::id()));
    let mut config = Config::new(given.as_ref().unwrap_or(&temporary));
    // An example should not keep anybody waiting; the default begins at one second.
    config.policy.retry.initial = Duration::from_millis(200);
    // Where a drive has damaged the spool, this is the time to hear of it: the next open no longer knows.
    let tell = |found: &OpenReport, _: &Counters| {
        let (lost, missing) = (found.lost.map(|lost| lost.to_string()), found.missing);
        let missing = (missing > 0).then(|| format!("{missing} messages"));
        lost.into_iter().chain(missing).try_for_each(|what| writeln!(std::io::stderr(), "missing: {what}"))
    };
    let outbox = Outbox::open_and_tell(config, tell).map_err(|error| format!("{error}: {}", error.hint()))?;

    hand_over(&outbox, "m-1", "c2c:ferry", "Gate 4 is open")?;
    hand_over(&outbox, "m-2", "c2c:ferry", "Boarding now")?;
    hand_over(&outbox, "m-3", "group:crew", "Two more passengers")?;

    let (started, mut service) = (Instant::now(), Service::default());
    while outbox.counters().waiting > 0 && started.elapsed() < RUN_MAX {
        if attempt_what_is_due(&outbox, &mut service)? == 0
            && let Some(wake) = outbox.next_wake()?
        {
            let wait_ms = wake.since_ms(outbox.now().time);
            println!("nothing is due for {wait_ms} ms");
            std::thread::sleep(Duration::from_millis(wait_ms).min(RUN_MAX));
        }
    }

    for msg_id in ["m-1", "m-2", "m-3"] {
        match outbox.get(msg_id)? {
            Message::Receipt(receipt) if receipt.state() == State::Sent => println!(
                "receipt   {msg_id:<10} is now {} after {} attempt(s), {} bytes of replacement",
                receipt.new_msg_id().unwrap_or(msg_id),
                receipt.attempts,
                outbox.data(&receipt)?.map_or(0, |data| data.len()),
            ),
            Message::Receipt(receipt) => println!("receipt   {msg_id:<10} {}", receipt.state()),
            Message::Entry(view) => println!("entry     {msg_id:<10} {}", view.state),
        }
    }
    outbox.close();
    drop(outbox);
    if given.is_none() {
        std::fs::remove_dir_all(&temporary)?;
    }
    Ok(())
}
