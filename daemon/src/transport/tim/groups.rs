//! The pace into groups: the service takes a number of messages a second for each, whoever sends them.
//!
//! Owns:  when each group's next message may leave.
//! Never: waits, reads a clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Groups remembered at once; those whose turn has come are forgotten first, for nothing is lost by it.
const GROUPS_MAX: usize = 4096;

/// The service counts arrivals, not departures: messages stay this share further apart than the rate says.
const MARGIN: f64 = 1.05;

/// When the next message into each group may leave.
#[derive(Debug, Default)]
pub(super) struct Groups {
    next: Mutex<HashMap<(u64, String), Instant>>,
}

impl Groups {
    /// Takes the group's next turn; where it comes only after `longest`, none is taken and the wait returned.
    pub(super) fn turn(
        &self,
        (sdk_app_id, group): (u64, &str),
        rate: u32,
        longest: Duration,
        now: Instant,
    ) -> Result<Instant, Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.len() >= GROUPS_MAX {
            next.retain(|_, turn| *turn > now);
            if next.len() >= GROUPS_MAX {
                // So many at once: they begin anew rather than grow without end.
                next.clear();
            }
        }
        let slot = next.entry((sdk_app_id, group.to_owned())).or_insert(now);
        let turn = (*slot).max(now);
        let wait = turn.duration_since(now);
        if wait > longest {
            return Err(wait);
        }
        *slot = turn + Duration::from_secs_f64(MARGIN / f64::from(rate.max(1)));
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_into_one_group_are_spread_and_groups_do_not_wait_for_one_another() {
        let groups = Groups::default();
        let start = Instant::now();
        let turn = |group, after| {
            groups.turn((1, group), 40, Duration::from_secs(1), start + after).unwrap() - start
        };
        let step = Duration::from_micros(26_250);
        let now = Duration::ZERO;
        assert_eq!([turn("a", now), turn("a", now), turn("a", now)], [now, step, step * 2]);
        assert_eq!(turn("b", now), now);
        assert_eq!(groups.turn((2, "a"), 40, now, start), Ok(start), "another application's group");
        let later = Duration::from_secs(1);
        assert_eq!(turn("a", later), later, "what was not used is not saved up");
    }

    #[test]
    fn a_turn_that_is_too_far_away_is_not_taken() {
        let groups = Groups::default();
        let now = Instant::now();
        let turn = || groups.turn((1, "a"), 1, Duration::from_secs(2), now);
        assert!(turn().is_ok() && turn().is_ok());
        assert_eq!(turn(), Err(Duration::from_millis(2_100)));
        assert_eq!(turn(), Err(Duration::from_millis(2_100)));
    }

    #[test]
    fn groups_whose_turn_has_come_are_forgotten() {
        let groups = Groups::default();
        let now = Instant::now();
        for number in 0..GROUPS_MAX {
            groups.turn((1, &number.to_string()), 40, Duration::ZERO, now).unwrap();
        }
        groups.turn((1, "new"), 40, Duration::ZERO, now + Duration::from_secs(1)).unwrap();
        assert_eq!(groups.next.lock().unwrap().len(), 1);
    }
}
