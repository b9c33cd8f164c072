//! The bytes of every kind of record, pinned: what a released program wrote must read for ever.
//!
//! Owns:  fixed values of each kind, and their comparison with `tests/golden/records-v1.txt`.
//! Never: opens a spool.
//!
//! A difference here means that spools out there no longer open. Give the record a new version and a
//! conversion; never write the file anew for a version that was released.

use std::fmt::{Debug, Write as _};

use super::{Stored, decode, encode};
use crate::clock::{BootId, ClockMark, Timestamp, WallTime};
use crate::entry::*;
use crate::outcome::{Class, Outcome};
use crate::state::State;
use crate::total::Total;

const KEY: &[u8] = b"key";
const GOLDEN: &str = include_str!("../tests/golden/records-v1.txt");

fn identity() -> Identity {
    Identity {
        msg_id: "144115-1".into(),
        id: Some("creation".into()),
        account: "default".into(),
        conversation: "c2c:ferry".into(),
        lane: LaneKey([3; 16]),
        seq: 300,
        online_user_only: true,
        to_group: false,
        fingerprint: [4; 32],
        payload_bytes: 70_000,
        submitted_at: WallTime(-1),
        submitted: Timestamp(1_800_000_000_000),
    }
}

fn last_error() -> LastError {
    LastError { code: -30_001, desc: "lost".into(), class: Class::TransientNetwork.into(), at: WallTime(9) }
}

fn history() -> Vec<AttemptRecord> {
    vec![
        AttemptRecord {
            attempt: 0,
            at: WallTime(1),
            outcome: Outcome::Retry.into(),
            code: 20_003,
            desc: "no".into(),
            took_ms: None,
        },
        AttemptRecord {
            attempt: 1,
            at: WallTime(2),
            outcome: Outcome::Sent.into(),
            code: 0,
            desc: String::new(),
            took_ms: Some(250),
        },
    ]
}

fn entry(phase: Phase) -> Entry {
    Entry {
        identity: identity(),
        ttl_ms: 259_200_000,
        payload: Place::File([5; 16]),
        delivery: Delivery {
            phase,
            in_lane: true,
            attempts: 2,
            starts: 3,
            deaths: 1,
            tried: Tried { all: 2, unknown: 1, upload: 0 },
            token: SendToken([6; 16]),
            deadline: Timestamp(70),
            not_before: Some(Timestamp(60)),
            interval_ms: 2_000,
            unresolved: Some(Unresolved {
                at: WallTime(10),
                since: Timestamp(11),
                boot: BootId([7; 16]),
                window_end: Timestamp(12),
            }),
            possible_duplicate: false,
        },
        last_error: Some(last_error()),
        history: history(),
        settled: vec![SettledAs { start: 3, state: State::Deferred.into() }],
    }
}

fn phases() -> Vec<Phase> {
    let since = WallTime(20);
    let reason = || Some("audit".to_owned());
    let sending = |holder, then| Phase::Sending { attempt: 3, since, started: Timestamp(21), holder, then };
    let causes = [
        Cause::Submitted,
        Cause::NotBefore,
        Cause::Backoff,
        Cause::NotReached,
        Cause::Limited,
        Cause::GateShut,
        Cause::Unresolved,
        Cause::Asked,
        Cause::TakenBack,
        Cause::Postponed,
        Cause::Paced,
        Cause::Suspect,
    ];
    let mut phases: Vec<Phase> =
        causes.into_iter().map(|cause| Phase::Waiting { due: Timestamp(22), cause, since }).collect();
    phases.extend([
        Phase::Held { reason: reason(), since, stopped: Timestamp(23), due: Timestamp(24) },
        sending(Holder::Process, Then::GoOn),
        sending(Holder::Process, Then::Hold { reason: None }),
        sending(
            Holder::App { until: Timestamp(25), boot: BootId([8; 16]) },
            Then::Cancel { reason: reason() },
        ),
        Phase::Uncertain { since },
        Phase::Failed { class: Class::CrashLoop.into(), since, keep_until: Timestamp(26) },
        Phase::Expired { since, keep_until: Timestamp(27) },
    ]);
    phases
}

fn receipts() -> Vec<Receipt> {
    let ends = [
        End::Sent { new_msg_id: "144115-2".into(), by_person: false },
        End::Cancelled { reason: None, had_ended: false },
        End::Failed { class: Class::PermanentContent.into() },
        End::Expired,
    ];
    let receipt = |end| Receipt {
        identity: identity(),
        seq: 40,
        end,
        at: WallTime(41),
        ended: Timestamp(42),
        attempts: 2,
        starts: 3,
        possible_duplicate: true,
        may_have_arrived: false,
        code: 0,
        desc: "ok".into(),
        data_bytes: 43,
        data: Kept::Inline(b"{\"b\":2}".to_vec()),
        last_error: None,
        history: history(),
        settled: Vec::new(),
    };
    ends.map(receipt).into()
}

fn lanes() -> Vec<Lane> {
    let slots = [Slot::None, Slot::Ready(Timestamp(50)), Slot::Deferred(Timestamp(51))];
    let lane = |slot| Lane {
        account: "default".into(),
        conversation: "c2c:ferry".into(),
        head: 300,
        slot,
        sending: Some(300),
    };
    slots.map(lane).into()
}

fn accounts() -> Vec<Account> {
    let since = WallTime(60);
    let gates = [
        Gate::Open,
        Gate::Paused {
            reason: "6206".into(),
            code: Some(6206),
            since,
            from: Timestamp(60),
            try_at: Some(Timestamp(61)),
            try_interval_ms: 120_000,
        },
        Gate::Limited { since, until: Timestamp(62), interval_ms: 10_000 },
    ];
    gates.map(|gate| Account { name: "default".into(), entries: 63, gate }).into()
}

fn counters() -> Counters {
    Counters {
        next_seq: 1,
        next_event: 2,
        waiting: 3,
        ready: 4,
        deferred: 5,
        held: 6,
        sending: 7,
        uncertain: 8,
        failed: 9,
        expired: 10,
        payload_bytes: 11,
        receipts: 12,
        data_bytes: 13,
        sent_total: 14,
        last_sent_at: WallTime(15),
        event_floor: 16,
        data_floor: 17,
        receipts_dropped: 18,
        receipts_dropped_since: WallTime(19),
        data_dropped: 20,
        data_dropped_since: WallTime(21),
        quarantined: 22,
        paused: true,
        clock: ClockMark {
            boot: BootId([9; 16]),
            since_boot_ms: 23,
            time: Timestamp(24),
            wall: WallTime(25),
        },
    }
}

fn event() -> StoredEvent {
    StoredEvent {
        kind: crate::notice::EventKind::Failed.number(),
        at: WallTime(70),
        time: Timestamp(71),
        msg_id: "144115-1".into(),
        state: Some(State::Failed.into()),
        code: Some(-30_004),
        desc: Some("died".into()),
        reason: None,
        may_have_arrived: true,
    }
}

fn golden_of(name: &str) -> Option<&'static str> {
    GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

/// Adds the record's line, and reads it from the pinned bytes where there are some.
fn pin<T: Stored + PartialEq + Debug>(text: &mut String, name: &str, value: &T) {
    let bytes = encode(KEY, value).unwrap();
    writeln!(text, "{name} {}", hex(&bytes)).unwrap();
    if let Some(golden) = golden_of(name) {
        let golden = unhex(golden).unwrap();
        assert_eq!(decode::<T>(KEY, &golden).as_ref(), Ok(value), "{name} no longer reads");
    }
}

#[test]
fn every_record_is_written_and_read_as_it_was_pinned() {
    let mut text = String::new();
    for (n, phase) in phases().into_iter().enumerate() {
        pin(&mut text, &format!("entry-{n}"), &entry(phase));
    }
    for (n, receipt) in receipts().iter().enumerate() {
        pin(&mut text, &format!("receipt-{n}"), receipt);
    }
    for (n, lane) in lanes().iter().enumerate() {
        pin(&mut text, &format!("lane-{n}"), lane);
    }
    for (n, account) in accounts().iter().enumerate() {
        pin(&mut text, &format!("account-{n}"), account);
    }
    pin(&mut text, "counters", &counters());
    let web_message_instance = Some(b"web".to_vec());
    let payload =
        StoredPayload { msg_id: "144115-1".into(), message: b"{\"a\":1}".to_vec(), web_message_instance };
    pin(&mut text, "payload", &payload);
    pin(&mut text, "event", &event());
    let mut total = Total::default();
    total.add_row(b"a", b"1");
    total.add_row(b"b", b"2");
    pin(&mut text, "total", &total);
    println!("{text}");
    assert!(text == GOLDEN, "tests/golden/records-v1.txt is not what is printed above");
}

#[test]
fn the_numbers_of_classes_outcomes_states_and_events_are_pinned() {
    let number = |class: Class| encode(KEY, &account_of(class)).unwrap().last().copied().unwrap();
    assert_eq!(Class::ALL.map(number), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    let names = crate::notice::EventKind::ALL.map(|kind| (kind.number(), kind.as_str()));
    let pinned = [
        "submitted",
        "deferred",
        "sending",
        "sent",
        "failed",
        "expired",
        "cancelled",
        "held",
        "released",
        "uncertain",
        "quarantined",
        "account",
    ];
    assert_eq!(names.map(|(_, name)| name), pinned);
    assert!(names.iter().enumerate().all(|(n, (number, _))| usize::from(*number) == n));
    let ordered = |debug: String| debug.chars().filter(char::is_ascii_digit).collect::<String>();
    let outcomes = Outcome::ALL.map(|outcome| ordered(format!("{:?}", StoredOutcome::from(outcome))));
    assert_eq!(outcomes.join(" "), "0 1 2 3 4 5 6 7 8");
    let states = State::ALL.map(|state| ordered(format!("{:?}", StoredState::from(state))));
    assert_eq!(states.join(" "), "0 1 2 3 4 5 6 7 8 9");
}

/// A record whose last byte is the class.
fn account_of(class: Class) -> ClassAlone {
    ClassAlone { class: class.into() }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct ClassAlone {
    class: StoredClass,
}

impl Stored for ClassAlone {
    const KIND: u8 = 201;
}
