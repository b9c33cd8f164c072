//! The link's states: what opens it, what shuts it, and when it is probed.
//!
//! Owns:  tests that try to break each sentence of the rules for the link.
//! Never: waits.

use super::*;

fn at(ms: u64) -> Moment {
    Moment { time: Timestamp(ms), wall: WallTime(i64::try_from(ms).unwrap()) }
}

fn link(scout: Scout) -> Link {
    let options = LinkOptions {
        probe_initial: Duration::from_millis(100),
        probe_max: Duration::from_millis(400),
        scout,
    };
    Link::new(options, at(0))
}

/// A probe that begins and ends at once; `false` if none may begin.
fn probe(link: &mut Link, ms: u64, reached: bool) -> bool {
    let round = link.start_probe(at(ms));
    if let Some(round) = round {
        link.probed(round, reached, at(ms), 0.5);
    }
    round.is_some()
}

/// A link that an answered attempt has opened.
fn open_link(ms: u64) -> Link {
    let mut link = link(Scout::Probe);
    link.attempt_ended(Outcome::Sent, at(ms), 0.5);
    assert_eq!(link.permit(), Permit::All);
    link
}

#[test]
fn a_probe_permits_one_canary_and_only_an_answer_opens_the_link() {
    let mut link = link(Scout::Probe);
    assert_eq!(link.permit(), Permit::Nothing);
    let round = link.start_probe(at(0)).unwrap();
    assert_eq!(link.start_probe(at(0)), None, "one probe at a time");
    link.probed(round, true, at(1), 0.5);
    assert_eq!((link.state(), link.permit()), (LinkState::Unknown, Permit::Canary));
    link.attempt_began();
    assert_eq!(link.permit(), Permit::Nothing);
    link.attempt_ended(Outcome::MaybeReached, at(2), 0.5);
    assert_eq!(link.permit(), Permit::Nothing);
    assert!(probe(&mut link, 500, true));
    link.attempt_began();
    link.attempt_ended(Outcome::Retry, at(502), 0.5);
    assert_eq!((link.state(), link.permit()), (LinkState::Up, Permit::All));
}

#[test]
fn probe_delays_double_to_the_maximum_and_start_over_after_an_answer() {
    let mut link = link(Scout::Probe);
    let mut delays = Vec::new();
    let mut now = 0;
    for _ in 0..5 {
        let round = link.start_probe(at(now)).unwrap();
        link.probed(round, false, at(now), 1.0);
        let next = link.next_scout().unwrap().0;
        delays.push(next - now);
        assert_eq!(link.start_probe(at(next - 1)), None);
        now = next;
    }
    assert_eq!(delays, [150, 300, 600, 600, 600], "never over one and a half of the maximum");
    link.attempt_ended(Outcome::Sent, at(now), 0.5);
    link.attempt_ended(Outcome::NotReached, at(now), 0.5);
    assert_eq!(link.next_scout().unwrap().0 - now, 100);
}

#[test]
fn the_apps_down_holds_until_its_next_word_an_answer_or_five_minutes() {
    let mut link = link(Scout::Probe);
    link.app_says(LinkState::Down, at(0));
    assert_eq!(link.start_probe(at(299_999)), None);
    assert_eq!(link.next_scout(), Some(Timestamp(300_000)));
    assert!(link.start_probe(at(300_000)).is_some());
    assert_eq!(link.state(), LinkState::Unknown);
    link.app_says(LinkState::Down, at(300_001));
    link.attempt_ended(Outcome::Sent, at(300_002), 0.5);
    assert_eq!(link.state(), LinkState::Up);
    link.app_says(LinkState::Down, at(300_003));
    link.app_says(LinkState::Up, at(300_004));
    assert_eq!((link.state(), link.source()), (LinkState::Up, Source::App));
    assert_eq!(link.permit(), Permit::Canary, "its word is tried with one attempt");
    link.attempt_began();
    assert_eq!(link.permit(), Permit::Nothing);
    link.attempt_ended(Outcome::Sent, at(300_005), 0.5);
    assert_eq!(link.permit(), Permit::All);
}

#[test]
fn a_probe_that_ends_under_the_apps_down_permits_nothing() {
    let mut link = link(Scout::Probe);
    let round = link.start_probe(at(0)).unwrap();
    link.app_says(LinkState::Down, at(1));
    link.probed(round, true, at(2), 0.5);
    assert_eq!(link.permit(), Permit::Nothing);
}

#[test]
fn only_a_message_that_went_through_overrules_the_apps_down() {
    let mut link = link(Scout::Canary);
    link.app_says(LinkState::Down, at(0));
    link.attempt_ended(Outcome::Retry, at(1), 0.5);
    link.attempt_ended(Outcome::GateShut, at(2), 0.5);
    assert_eq!((link.state(), link.permit()), (LinkState::Down, Permit::Nothing));
    link.attempt_ended(Outcome::Duplicate, at(3), 0.5);
    assert_eq!((link.state(), link.permit()), (LinkState::Up, Permit::All));
}

#[test]
fn nothing_is_to_be_done_while_a_probe_or_a_canary_is_under_way() {
    let mut link = link(Scout::Probe);
    assert_eq!(link.alarm(), Some(Timestamp(0)));
    let round = link.start_probe(at(0)).unwrap();
    assert_eq!(link.alarm(), None);
    link.probed(round, true, at(1), 0.5);
    link.attempt_began();
    assert_eq!(link.alarm(), None, "an attempt may take longer than the probe's delay");
    link.attempt_ended(Outcome::MaybeReached, at(60_000), 0.5);
    assert_eq!(link.alarm(), Some(Timestamp(101)));
}

#[test]
fn without_an_address_to_probe_one_canary_goes_at_each_delay() {
    let mut link = link(Scout::Canary);
    assert_eq!(link.permit(), Permit::All);
    link.attempt_ended(Outcome::NotReached, at(0), 0.5);
    assert_eq!((link.state(), link.permit()), (LinkState::Down, Permit::Nothing));
    link.release_canary(at(99), 0.5);
    assert_eq!(link.permit(), Permit::Nothing);
    link.release_canary(at(100), 0.5);
    assert_eq!(link.permit(), Permit::Canary);
    link.attempt_began();
    link.canary_given_away();
    link.release_canary(at(299), 0.5);
    assert_eq!(link.permit(), Permit::Nothing, "the delay has doubled");
    link.release_canary(at(300), 0.5);
    assert_eq!(link.permit(), Permit::Canary, "one that is never heard of stops nothing");
    link.app_says(LinkState::Up, at(10_001));
    assert_eq!(link.permit(), Permit::Canary);
    link.attempt_ended(Outcome::Retry, at(10_002), 0.5);
    assert_eq!(link.permit(), Permit::All);
}

#[test]
fn however_often_the_app_says_up_one_canary_is_under_way() {
    let mut link = link(Scout::Probe);
    link.app_says(LinkState::Down, at(0));
    for ms in 1..=5 {
        link.app_says(LinkState::Up, at(ms));
        let expected = if ms == 1 { Permit::Canary } else { Permit::Nothing };
        assert_eq!(link.permit(), expected, "said for the {ms}. time");
        if ms == 1 {
            link.attempt_began();
        }
    }
    link.attempt_ended(Outcome::Sent, at(10), 0.5);
    assert_eq!(link.permit(), Permit::All);
}

#[test]
fn only_an_answer_resets_the_backoff_of_probes() {
    // What might be mistaken for an answer, after three failed probes; the next delay tells.
    let next_delay = |tempt: fn(&mut Link)| {
        let mut link = link(Scout::Probe);
        for ms in [0, 1_000, 2_000] {
            assert!(probe(&mut link, ms, false));
        }
        tempt(&mut link);
        // Past what news has earned.
        let mut now = 10_000;
        for _ in 0..5 {
            probe(&mut link, now, false);
            now += 1_000;
        }
        now -= 1_000;
        link.next_scout().unwrap().0 - now
    };
    assert_eq!(next_delay(|_| ()), 400);
    let reached = |link: &mut Link| {
        assert!(probe(link, 3_000, true));
        link.attempt_began();
        link.canary_given_away();
    };
    assert_eq!(next_delay(reached), 400, "a probe that succeeded");
    assert_eq!(next_delay(|link| link.app_says(LinkState::Unknown, at(3_000))), 400, "the app's word");
    assert_eq!(next_delay(|link| assert!(!link.hear(News::Came, at(3_000)))), 400, "news");
    let lost = |link: &mut Link| {
        assert!(probe(link, 3_000, true));
        link.attempt_began();
        link.attempt_ended(Outcome::MaybeReached, at(3_100), 0.5);
    };
    assert_eq!(next_delay(lost), 400, "an attempt without an answer");
    let mut link = link(Scout::Probe);
    for ms in [0, 1_000, 2_000] {
        assert!(probe(&mut link, ms, false));
    }
    link.attempt_ended(Outcome::Reject, at(3_000), 0.5);
    link.attempt_ended(Outcome::NotReached, at(3_000), 0.5);
    assert_eq!(link.next_scout(), Some(Timestamp(3_100)), "a refusal is an answer");
}

#[test]
fn without_an_answered_attempt_nothing_opens_the_link() {
    let mut link = link(Scout::Probe);
    for ms in 0..50 {
        let now = 1_000 * ms;
        link.hear(News::Came, at(now));
        probe(&mut link, now, true);
        assert_eq!(link.permit(), Permit::Canary);
        link.attempt_began();
        let lost = if ms % 2 == 0 { Outcome::MaybeReached } else { Outcome::NotReached };
        link.attempt_ended(lost, at(now + 1), 0.5);
        assert_eq!((link.permit(), link.state() == LinkState::Up), (Permit::Nothing, false));
    }
}

#[test]
fn news_brings_the_probe_forward_and_starts_one_anew_that_began_before_it() {
    let mut link = link(Scout::Probe);
    for ms in [0, 1_000, 2_000] {
        assert!(probe(&mut link, ms, false));
    }
    assert_eq!(link.start_probe(at(2_399)), None);
    let old = link.start_probe(at(2_400)).unwrap();
    link.hear(News::Came, at(2_500));
    assert_eq!(link.alarm(), Some(Timestamp(2_500)));
    let new = link.start_probe(at(2_500)).unwrap();
    link.probed(old, true, at(2_501), 0.5);
    assert_eq!(link.permit(), Permit::Nothing, "it was given up");
    assert_eq!(link.start_probe(at(2_502)), None, "one at a time");
    link.probed(new, true, at(2_503), 0.5);
    assert_eq!(link.permit(), Permit::Canary);
    link.hear(News::Came, at(2_504));
    assert_eq!(link.start_probe(at(2_504)), None, "the canary tells more than a probe");
}

#[test]
fn news_that_comes_too_early_is_followed_by_quick_probes() {
    let mut link = link(Scout::Probe);
    for ms in [0, 1_000, 2_000] {
        assert!(probe(&mut link, ms, false));
    }
    link.hear(News::Came, at(2_010));
    let mut times = Vec::new();
    for ms in 2_010..5_000 {
        if probe(&mut link, ms, false) {
            times.push(ms);
        }
    }
    assert_eq!(times[..5], [2_010, 2_110, 2_510, 2_910, 3_310], "then the backoff goes on where it was");
}

#[test]
fn a_loss_makes_an_open_link_doubted_until_a_probe_has_looked() {
    let mut link = open_link(0);
    assert!(!link.hear(News::Came, at(10)));
    assert_eq!((link.permit(), link.alarm()), (Permit::All, None), "what comes costs nothing while it is up");
    assert!(link.hear(News::Gone, at(20)));
    assert_eq!((link.state(), link.permit()), (LinkState::Up, Permit::Nothing));
    assert_eq!(link.alarm(), Some(Timestamp(20)));
    link.attempt_ended(Outcome::Sent, at(21), 0.5);
    assert_eq!(link.permit(), Permit::Nothing, "its answer may have come just before");
    assert!(probe(&mut link, 22, true));
    assert_eq!((link.state(), link.permit(), link.alarm()), (LinkState::Up, Permit::All, None));
    assert!(link.hear(News::Gone, at(30)));
    assert!(probe(&mut link, 31, false));
    assert_eq!((link.state(), link.source()), (LinkState::Down, Source::Probe));
}

#[test]
fn a_system_that_reports_losses_without_end_cannot_keep_an_open_link_waiting() {
    let mut link = open_link(0);
    let mut doubts = 0;
    for ms in (0..60_000).step_by(100) {
        doubts += u64::from(link.hear(News::Gone, at(ms)));
        probe(&mut link, ms, true);
        assert_eq!(link.permit(), Permit::All, "at {ms} ms");
    }
    assert!((8..=20).contains(&doubts), "{doubts}");
}

#[test]
fn without_any_carrier_probes_are_seldom_but_do_not_end_and_a_carrier_is_news() {
    let mut link = open_link(0);
    assert!(link.hear(News::Dark, at(10)), "the service may be on this machine: a probe looks");
    assert!(probe(&mut link, 10, false));
    assert_eq!((link.state(), link.next_scout()), (LinkState::Down, Some(Timestamp(410))));
    assert!(!link.hear(News::Dark, at(20)));
    assert_eq!(link.start_probe(at(409)), None);
    assert!(probe(&mut link, 410, false));
    assert_eq!(link.next_scout(), Some(Timestamp(810)), "the longest delay, with no haste before it");
    link.hear(News::Came, at(500));
    assert!(probe(&mut link, 500, true));
    assert_eq!(link.permit(), Permit::Canary);
    let mut local = open_link(0);
    assert!(local.hear(News::Dark, at(10)));
    assert!(probe(&mut local, 10, true));
    assert_eq!(local.permit(), Permit::All, "what needs no carrier goes on");
}

#[test]
fn a_canary_whose_way_has_gone_is_not_waited_for() {
    let mut link = link(Scout::Probe);
    assert!(probe(&mut link, 0, true));
    link.attempt_began();
    link.hear(News::Came, at(10));
    assert_eq!((link.start_probe(at(10)), link.permit()), (None, Permit::Nothing), "its way is still there");
    link.hear(News::Gone, at(20));
    assert!(probe(&mut link, 20, true));
    assert_eq!(link.permit(), Permit::Canary);
    link.attempt_ended(Outcome::Sent, at(30), 0.5);
    assert_eq!(link.permit(), Permit::All, "the first one's answer is one all the same");
}

#[test]
fn news_changes_nothing_under_the_apps_down_or_without_an_address_to_probe() {
    let mut said = link(Scout::Probe);
    said.app_says(LinkState::Down, at(0));
    said.hear(News::Came, at(1));
    assert_eq!((said.start_probe(at(2)), said.next_scout()), (None, Some(Timestamp(300_000))));
    let mut bare = link(Scout::Canary);
    bare.attempt_ended(Outcome::NotReached, at(0), 0.5);
    bare.hear(News::Gone, at(1));
    bare.release_canary(at(99), 0.5);
    assert_eq!(bare.permit(), Permit::Nothing, "one canary for each delay, not more");
}

#[test]
fn no_delay_exceeds_one_and_a_half_of_the_longest_whatever_happens() {
    let mut link = link(Scout::Probe);
    let mut now = 0;
    for n in 0..200_u64 {
        if n % 7 == 0 {
            link.hear(News::Gone, at(now));
        }
        if n % 11 == 0 {
            link.app_says(LinkState::Unknown, at(now));
        }
        let round = link.start_probe(at(now)).unwrap();
        link.probed(round, n % 5 == 0, at(now), 1.0);
        if link.permit() == Permit::Canary {
            link.attempt_began();
            link.attempt_ended(Outcome::NotReached, at(now), 1.0);
        }
        let next = link.next_scout().unwrap().0;
        assert!(next - now <= 600, "{} ms at {n}", next - now);
        now = next;
    }
}
