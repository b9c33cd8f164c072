//! What the simulation found, each as a small schedule of its own.
//!
//! Owns:  one test for each defect, named after what is right.
//! Never: leaves to chance what the defect needs.

use std::time::Duration;

use outbox::State;

use crate::runner::folder;
use crate::schedule::scenario;
use crate::script::{New, Step};
use crate::setting::{Kind, Setting};
use crate::weather::{Answer, Fate};

const SENT: Fate = Fate::Answered(Answer::Accept { same_id: false });

fn submit(conversation: &'static str) -> Step {
    Step::Submit(New {
        account: "ann",
        conversation,
        ttl: None,
        not_before_ms: None,
        online_only: false,
        error: None,
        is_large: false,
    })
}

fn states(setting: Setting, fates: &[Fate], steps: Vec<Step>) -> Vec<State> {
    let folder = folder();
    match scenario(setting, fates, steps, folder.path()) {
        Ok(states) => states,
        Err(broken) => panic!("{}\n{}", broken.what, broken.trace.join("\n")),
    }
}

#[test]
fn an_account_whose_rate_allows_more_before_the_store_has_answered_goes_on() {
    // One each 525 ms, and a store that is asked within that time and answers after it.
    let setting = Setting { rate: Some(2), disk_ms: Some(300), ..Setting::plain(Kind::Push) };
    let steps = vec![submit("c2c:a"), submit("c2c:b"), submit("c2c:c"), Step::Pass { ms: 30_000 }];
    assert_eq!(states(setting, &[SENT; 3], steps), [State::Sent; 3]);
}

#[test]
fn a_stop_waits_for_an_attempt_without_going_round_in_circles() {
    let setting = Setting { rate: Some(1), ..Setting::plain(Kind::Push) };
    let steps = vec![submit("c2c:a"), Step::Pass { ms: 500 }, Step::Stop];
    let states = states(setting, &[Fate::Silent(Answer::GateShut)], steps);
    assert_eq!(states, [State::Failed], "its outcome stayed unknown when the grace was over");
}

#[test]
fn an_app_sends_nothing_after_the_window_in_which_a_double_is_recognised() {
    // The app asks for a minute, and is slow with its second attempt.
    let window = Duration::from_secs(20);
    let setting = Setting { app_is_busy_ms: Some(30_000), ..Setting::plain(Kind::App) }.with_window(window);
    let lost = Fate::AnswerLost(Answer::Accept { same_id: false });
    let steps = vec![submit("c2c:a"), Step::Pass { ms: 90_000 }];
    let states = states(setting, &[lost, SENT], steps);
    assert_eq!(states, [State::Failed], "an attempt's outcome stayed unknown");
}

#[test]
fn a_lease_that_the_store_was_long_about_is_given_back_where_it_comes_too_late() {
    // A drive that hangs, or has no room: the attempt would begin when its repetition is not recognised any more.
    let setting = Setting { lease_is_late_ms: 60_000, ..Setting::plain(Kind::Push) };
    let lost = Fate::AnswerLost(Answer::Accept { same_id: false });
    let steps = vec![submit("c2c:a"), Step::Pass { ms: 200_000 }];
    let states = states(setting.with_window(Duration::from_secs(50)), &[lost, SENT], steps);
    assert_eq!(states, [State::Failed], "an attempt's outcome stayed unknown");
}
