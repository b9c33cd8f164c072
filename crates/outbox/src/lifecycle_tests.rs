//! The lifecycle's table, printed and compared, and the rules that a table does not show.
//!
//! Owns:  tests of `lifecycle`.
//! Never: opens a spool.

use super::*;
use crate::clock::WallTime;

const NOW: Timestamp = Timestamp(1_000_000);

fn delivery(phase: Phase) -> Delivery {
    Delivery {
        phase,
        in_lane: true,
        attempts: 0,
        starts: 0,
        deaths: 0,
        tried: Tried::default(),
        token: SendToken([7; 16]),
        deadline: NOW.plus_ms(60_000),
        not_before: None,
        interval_ms: 0,
        unresolved: None,
        possible_duplicate: false,
    }
}

fn waiting() -> Phase {
    Phase::Waiting { due: NOW, cause: Cause::Submitted, since: WallTime(0) }
}

fn sending(then: Then) -> Phase {
    Phase::Sending { attempt: 1, since: WallTime(0), started: NOW, holder: Holder::Process, then }
}

fn held() -> Phase {
    Phase::Held { reason: None, since: WallTime(0), stopped: NOW, due: NOW }
}

fn context(policy: &Policy) -> Context<'_> {
    Context {
        policy,
        now: Moment { time: NOW, wall: WallTime(5_000) },
        boot: BootId([1; 16]),
        roll: 0.5,
        fresh_token: SendToken([9; 16]),
        ttl_ms: 60_000,
        has_payload: true,
        to_group: false,
    }
}

fn report(outcome: Outcome, class: Class) -> Report {
    Report { outcome, code: 1, desc: "why".into(), class, retry_after: None, replacement: None }
}

fn class_of(outcome: Outcome) -> Class {
    match outcome {
        Outcome::Sent | Outcome::Duplicate | Outcome::ProvesNothing => Class::Ok,
        Outcome::NotReached | Outcome::MaybeReached => Class::TransientNetwork,
        Outcome::Retry => Class::TransientServer,
        Outcome::Limited => Class::RateLimited,
        Outcome::GateShut => Class::Auth,
        Outcome::Reject => Class::PermanentContent,
    }
}

fn entry(stepped: Stepped) -> Delivery {
    match stepped.unwrap().next {
        Next::Entry(delivery) => delivery,
        Next::Receipt(ending, _) => panic!("ended: {ending:?}"),
    }
}

fn describe(before: &Delivery, stepped: Stepped) -> String {
    let step = match stepped {
        Err(Refusal::WrongState) => return "refused".into(),
        Err(Refusal::NoPayload) => return "refused: no payload".into(),
        Ok(step) => step,
    };
    let mark = if step.uncertain { " (uncertain)" } else { "" };
    match step.next {
        Next::Receipt(ending, _) => match ending {
            Ending::Sent => "sent".into(),
            Ending::Resolved => "sent, by a person's word".into(),
            Ending::Cancelled { .. } => "cancelled".into(),
            Ending::Retired => "retired".into(),
        },
        Next::Entry(after) if after == *before => "unchanged".into(),
        Next::Entry(after) => {
            let counted = if after.attempts > before.attempts { ", counted" } else { "" };
            let phase = match after.phase {
                Phase::Waiting { due, cause, .. } => {
                    format!("waiting {cause:?} +{} ms", due.since_ms(NOW))
                }
                Phase::Held { .. } => "held".into(),
                Phase::Sending { then, .. } => match then {
                    Then::GoOn => "sending".to_owned(),
                    Then::Hold { .. } => "sending, then hold".into(),
                    Then::Cancel { .. } => "sending, then cancel".into(),
                },
                Phase::Uncertain { .. } => "uncertain".into(),
                Phase::Failed { class, .. } => format!("failed {}", Class::from(class)),
                Phase::Expired { .. } => "expired".into(),
            };
            format!("{phase}{counted}{mark}")
        }
    }
}

fn phases() -> Vec<(&'static str, Phase)> {
    let later = NOW.plus_ms(9_000);
    vec![
        ("waiting", waiting()),
        ("held", held()),
        ("sending", sending(Then::GoOn)),
        ("sending, then hold", sending(Then::Hold { reason: None })),
        ("sending, then cancel", sending(Then::Cancel { reason: None })),
        ("uncertain", Phase::Uncertain { since: WallTime(0) }),
        ("failed", Phase::Failed { class: Class::Unknown.into(), since: WallTime(0), keep_until: later }),
        ("expired", Phase::Expired { since: WallTime(0), keep_until: later }),
    ]
}

fn table() -> String {
    let policy = Policy::default();
    let mut text = String::from("| phase | event | next |\n|---|---|---|\n");
    let reports: Vec<Report> = Outcome::ALL.map(|outcome| report(outcome, class_of(outcome))).into();
    for (name, phase) in phases() {
        let before = delivery(phase);
        let mut events: Vec<(String, Event<'_>)> = vec![("lease".into(), Event::Lease(Holder::Process))];
        for report in &reports {
            events.push((format!("report {:?}", report.outcome), Event::Report(report)));
        }
        events.push(("late report Sent".into(), Event::LateReport(&reports[0])));
        events.push(("late report Retry".into(), Event::LateReport(&reports[5])));
        events.push(("late report Reject".into(), Event::LateReport(&reports[8])));
        events.push(("death".into(), Event::Death(Death::Suspect)));
        events.push(("take back".into(), Event::TakeBack));
        events.push(("put off".into(), Event::PutOff(NOW.plus_ms(500))));
        events.push(("postpone".into(), Event::Postpone));
        events.push(("timer, too early".into(), Event::Timer));
        events.push(("hold".into(), Event::Hold { reason: None }));
        events.push(("release".into(), Event::Release));
        events.push(("resend".into(), Event::Resend));
        events.push(("cancel".into(), Event::Cancel { reason: None }));
        events.push(("resolve".into(), Event::Resolve));
        for (event_name, event) in events {
            let next = describe(&before, step(&before, &event, &context(&policy)));
            text.push_str(&format!("| {name} | {event_name} | {next} |\n"));
        }
        let mut late = context(&policy);
        late.now.time = NOW.plus_ms(60_000);
        let next = describe(&before, step(&before, &Event::Timer, &late));
        text.push_str(&format!("| {name} | timer, all over | {next} |\n"));
    }
    text
}

#[test]
fn the_documented_table_is_what_the_function_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lifecycle-table.md");
    let head = "# Every phase and event\n\nPrinted by the lifecycle's own test with the default policy (no \
                de-duplication window, `resend`,\n`continue`); `OUTBOX_WRITE_TABLES=1 cargo test -p outbox \
                documented_table` writes it anew.\n\n";
    let text = format!("{head}{}", table());
    println!("{text}");
    if std::env::var_os("OUTBOX_WRITE_TABLES").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == text,
        "docs/lifecycle-table.md is not what is printed above"
    );
}

#[test]
fn an_offline_attempt_counts_nothing_but_its_backoff_step() {
    let policy = Policy::default();
    let before = delivery(sending(Then::GoOn));
    let offline = report(Outcome::NotReached, Class::TransientNetwork);
    let after = entry(step(&before, &Event::Report(&offline), &context(&policy)));
    assert_eq!((after.attempts, after.tried), (0, Tried::default()));
    assert_eq!(after.interval_ms, 2_000);
    assert!(after.unresolved.is_none());
}

#[test]
fn a_lost_answer_inside_the_window_repeats_the_same_token_and_becomes_uncertain_at_its_end() {
    let policy = Policy { dedup_window: DedupWindow::same(Duration::from_secs(120)), ..Policy::default() };
    let before = delivery(sending(Then::GoOn));
    let lost = report(Outcome::MaybeReached, Class::TransientNetwork);
    let waiting = entry(step(&before, &Event::Report(&lost), &context(&policy)));
    assert_eq!(waiting.token, before.token);
    assert!(!waiting.possible_duplicate);
    let end = NOW.plus_ms(115_000);
    assert_eq!(waiting.unresolved.unwrap().window_end, end);

    let waiting = Delivery { deadline: NOW.plus_ms(1_000_000), ..waiting };
    assert_eq!(waiting.timer(), Some(end));
    let mut context = context(&policy);
    context.now.time = Timestamp(end.0 - 1);
    assert_eq!(entry(step(&waiting, &Event::Timer, &context)), waiting);
    context.now.time = end;
    let stepped = step(&waiting, &Event::Timer, &context).unwrap();
    assert!(stepped.uncertain);
    let declared = entry(Ok(stepped));
    assert!(declared.possible_duplicate);
    assert_eq!(declared.token, before.token);
    assert_eq!(declared.timer(), Some(declared.deadline));
}

#[test]
fn an_apps_lease_ends_with_the_window_of_an_earlier_attempt() {
    let policy = Policy { dedup_window: DedupWindow::same(Duration::from_secs(120)), ..Policy::default() };
    let lost = report(Outcome::MaybeReached, Class::TransientNetwork);
    let unresolved = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&lost), &context(&policy)));
    let asked = NOW.plus_ms(600_000);
    let leased_until = |delivery: &Delivery| {
        let holder = Holder::App { until: asked, boot: BootId([1; 16]) };
        match entry(step(delivery, &Event::Lease(holder), &context(&policy))).phase {
            Phase::Sending { holder: Holder::App { until, .. }, .. } => until,
            phase => panic!("{phase:?}"),
        }
    };
    assert_eq!(leased_until(&unresolved), NOW.plus_ms(115_000));
    assert_eq!(leased_until(&delivery(waiting())), asked, "nothing can be doubled yet");
    let admitted = Delivery { possible_duplicate: true, ..unresolved };
    assert_eq!(leased_until(&admitted), asked, "its record says already that it may be double");
}

#[test]
fn a_short_window_keeps_half_of_itself_as_margin() {
    assert_eq!(window_end(NOW, Duration::from_secs(4)), NOW.plus_ms(2_000));
    assert_eq!(window_end(NOW, Duration::ZERO), NOW);
}

#[test]
fn after_a_reboot_the_window_is_over() {
    let policy = Policy { dedup_window: DedupWindow::same(Duration::from_secs(120)), ..Policy::default() };
    let lost = report(Outcome::MaybeReached, Class::TransientNetwork);
    let waiting = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&lost), &context(&policy)));
    let mut context = context(&policy);
    context.boot = BootId([2; 16]);
    assert!(step(&waiting, &Event::Timer, &context).unwrap().uncertain);
}

#[test]
fn the_uncertain_policies_resend_hold_and_fail() {
    let lost = report(Outcome::ProvesNothing, Class::Ok);
    let before = delivery(sending(Then::GoOn));
    let after = |on_uncertain| {
        let policy = Policy {
            on_uncertain,
            dedup_window: DedupWindow::same(Duration::from_secs(600)),
            ..Policy::default()
        };
        let stepped = step(&before, &Event::Report(&lost), &context(&policy)).unwrap();
        assert!(stepped.uncertain, "{on_uncertain:?}");
        entry(Ok(stepped))
    };
    assert!(matches!(after(OnUncertain::Resend).phase, Phase::Waiting { .. }));
    assert!(matches!(after(OnUncertain::Hold).phase, Phase::Uncertain { .. }));
    let failed = after(OnUncertain::Fail);
    assert!(matches!(failed.phase, Phase::Failed { class, .. } if class == Class::Uncertain.into()));
    assert!(failed.unresolved.is_some(), "it may have arrived");
}

#[test]
fn two_deaths_are_forgiven_and_the_third_quarantines_but_an_answer_forgets_them() {
    let policy = Policy::default();
    let mut delivery = delivery(sending(Then::GoOn));
    for deaths in 1..3 {
        let after = entry(step(&delivery, &Event::Death(Death::Suspect), &context(&policy)));
        assert_eq!(after.deaths, deaths);
        assert!(matches!(after.phase, Phase::Waiting { .. }));
        delivery = entry(step(&after, &Event::Lease(Holder::Process), &context(&policy)));
    }
    let answered = report(Outcome::Retry, Class::TransientServer);
    assert_eq!(entry(step(&delivery, &Event::Report(&answered), &context(&policy))).deaths, 0);
    let third = entry(step(&delivery, &Event::Death(Death::Suspect), &context(&policy)));
    assert!(matches!(third.phase, Phase::Failed { class, .. } if class == Class::CrashLoop.into()));
    let rebooted = entry(step(&delivery, &Event::Death(Death::Reboot), &context(&policy)));
    assert_eq!(rebooted.deaths, 2);
}

#[test]
fn limits_of_attempts_fail_the_message_and_a_resend_counts_anew() {
    let mut policy = Policy::default();
    policy.retry.unknown_max_attempts = 2;
    let unknown = report(Outcome::Retry, Class::Unknown);
    let mut delivery = delivery(sending(Then::GoOn));
    delivery.deadline = NOW.plus_ms(10);
    delivery = entry(step(&delivery, &Event::Report(&unknown), &context(&policy)));
    assert!(matches!(delivery.phase, Phase::Waiting { .. }));
    delivery = entry(step(&delivery, &Event::Lease(Holder::Process), &context(&policy)));
    delivery = entry(step(&delivery, &Event::Report(&unknown), &context(&policy)));
    assert!(matches!(delivery.phase, Phase::Failed { .. }));
    let again = entry(step(&delivery, &Event::Resend, &context(&policy)));
    assert_eq!(again.tried, Tried::default());
    assert_eq!(again.attempts, 2, "the history's numbers go on");
    assert_eq!(again.deadline, NOW.plus_ms(60_000));
    assert_ne!(again.token, delivery.token);
}

#[test]
fn a_resend_of_an_unresolved_message_keeps_its_token_and_admits_the_possible_duplicate() {
    let policy = Policy { on_uncertain: OnUncertain::Fail, ..Policy::default() };
    let lost = report(Outcome::MaybeReached, Class::TransientNetwork);
    let failed = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&lost), &context(&policy)));
    let again = entry(step(&failed, &Event::Resend, &context(&policy)));
    assert_eq!(again.token, failed.token);
    assert!(again.possible_duplicate);
}

#[test]
fn a_message_that_failed_as_uncertain_inside_its_window_is_not_uncertain_again_after_a_resend() {
    let window = DedupWindow::same(Duration::from_secs(50));
    let policy = Policy { on_uncertain: OnUncertain::Fail, dedup_window: window, ..Policy::default() };
    let no_proof = report(Outcome::ProvesNothing, Class::Ok);
    let failed = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&no_proof), &context(&policy)));
    let again = entry(step(&failed, &Event::Resend, &context(&policy)));
    assert!(again.possible_duplicate && again.token == failed.token);
    let mut over = context(&policy);
    over.now.time = NOW.plus_ms(50_000);
    assert_eq!(entry(step(&again, &Event::Timer, &over)), again);
}

#[test]
fn hold_stops_the_clock_and_release_gives_the_rest_back() {
    let policy = Policy::default();
    let before = delivery(waiting());
    let held = entry(step(&before, &Event::Hold { reason: Some("audit".into()) }, &context(&policy)));
    assert_eq!(held.timer(), None);
    let mut later = context(&policy);
    later.now.time = NOW.plus_ms(500_000);
    assert_eq!(entry(step(&held, &Event::Timer, &later)), held);
    let released = entry(step(&held, &Event::Release, &later));
    assert_eq!(released.deadline, before.deadline.plus_ms(500_000));
}

#[test]
fn a_deadline_that_passes_during_an_attempt_takes_effect_after_it() {
    let policy = Policy::default();
    let mut late = context(&policy);
    late.now.time = NOW.plus_ms(70_000);
    let sending = delivery(sending(Then::GoOn));
    assert_eq!(entry(step(&sending, &Event::Timer, &late)), sending);
    let again = report(Outcome::Retry, Class::TransientServer);
    assert!(matches!(entry(step(&sending, &Event::Report(&again), &late)).phase, Phase::Expired { .. }));
    let sent = report(Outcome::Sent, Class::Ok);
    assert!(matches!(
        step(&sending, &Event::Report(&sent), &late).unwrap().next,
        Next::Receipt(Ending::Sent, _)
    ));
}

#[test]
fn a_hold_that_was_asked_for_during_an_attempt_outweighs_a_deadline_that_passed_meanwhile() {
    let policy = Policy::default();
    let mut late = context(&policy);
    late.now.time = NOW.plus_ms(70_000);
    let before = delivery(sending(Then::Hold { reason: None }));
    let again = report(Outcome::Retry, Class::TransientServer);
    let held = entry(step(&before, &Event::Report(&again), &late));
    assert!(matches!(held.phase, Phase::Held { .. }), "{held:?}");
    let mut later = late;
    later.now.time = NOW.plus_ms(500_000);
    let resent = entry(step(&held, &Event::Resend, &later));
    assert_eq!(resent.deadline, NOW.plus_ms(560_000), "what was left when the attempt began");
    assert_eq!(entry(step(&resent, &Event::Timer, &later)), resent);
}

#[test]
fn not_before_is_not_overridden_by_a_resend() {
    let policy = Policy::default();
    let mut delivery = delivery(waiting());
    delivery.not_before = Some(NOW.plus_ms(400));
    let after = entry(step(&delivery, &Event::Resend, &context(&policy)));
    assert!(matches!(after.phase, Phase::Waiting { due, .. } if due == NOW.plus_ms(400)));
}

#[test]
fn a_failed_upload_waits_half_a_minute_first() {
    let policy = Policy::default();
    let upload = report(Outcome::Retry, Class::FileUpload);
    let after = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&upload), &context(&policy)));
    assert!(matches!(after.phase, Phase::Waiting { due, .. } if due == NOW.plus_ms(30_000)));
}

#[test]
fn a_stated_delay_is_a_floor_for_every_attempt_that_is_repeated() {
    let policy = Policy { dedup_window: DedupWindow::same(Duration::from_secs(600)), ..Policy::default() };
    for outcome in [Outcome::NotReached, Outcome::MaybeReached, Outcome::Retry] {
        let said =
            Report { retry_after: Some(Duration::from_secs(40)), ..report(outcome, class_of(outcome)) };
        let after = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&said), &context(&policy)));
        assert!(matches!(after.phase, Phase::Waiting { due, .. } if due == NOW.plus_ms(40_000)), "{outcome}");
    }
}

#[test]
fn uploads_have_a_schedule_of_their_own_and_fail_after_ten() {
    let policy = Policy::default();
    let upload = report(Outcome::Retry, Class::FileUpload);
    let mut delivery = delivery(sending(Then::GoOn));
    let mut waits = Vec::new();
    loop {
        delivery = entry(step(&delivery, &Event::Report(&upload), &context(&policy)));
        let Phase::Waiting { due, .. } = delivery.phase else { break };
        waits.push(due.since_ms(NOW) / 1000);
        delivery = entry(step(&delivery, &Event::Lease(Holder::Process), &context(&policy)));
    }
    assert_eq!(waits, [30, 60, 120, 240, 300, 300, 300, 300, 300]);
    assert!(matches!(delivery.phase, Phase::Failed { class, .. } if class == Class::FileUpload.into()));
    assert_eq!(delivery.attempts, 10);
}

#[test]
fn an_upload_that_fails_after_other_failures_waits_half_a_minute_too() {
    let policy = Policy::default();
    let busy = report(Outcome::Retry, Class::TransientServer);
    let upload = report(Outcome::Retry, Class::FileUpload);
    let waiting = entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&busy), &context(&policy)));
    let again = entry(step(&waiting, &Event::Lease(Holder::Process), &context(&policy)));
    let after = entry(step(&again, &Event::Report(&upload), &context(&policy)));
    assert!(matches!(after.phase, Phase::Waiting { due, .. } if due == NOW.plus_ms(30_000)));
}

#[test]
fn under_hold_a_failed_head_keeps_its_place_and_an_expired_one_never_does() {
    let policy = Policy { on_failed_head: OnFailedHead::Hold, ..Policy::default() };
    let reject = report(Outcome::Reject, Class::PermanentContent);
    assert!(entry(step(&delivery(sending(Then::GoOn)), &Event::Report(&reject), &context(&policy))).in_lane);
    let mut late = context(&policy);
    late.now.time = NOW.plus_ms(70_000);
    assert!(!entry(step(&delivery(waiting()), &Event::Timer, &late)).in_lane);
}
