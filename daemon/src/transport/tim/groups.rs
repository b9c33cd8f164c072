//! The pace into groups: the service takes a number of messages a second for each, whoever sends them.
//!
//! Owns:  when each group's last messages left, who waits for a turn and since when that turn is promised.
//! Never: waits, reads a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox::SendToken;
use tokio::time::Instant;

/// Groups remembered at once; those that have all their room are forgotten first, for nothing is lost by it.
const GROUPS_MAX: usize = 4096;

/// Messages of one group whose turns are remembered; those beyond are told the last one's time and ask again.
const WAITING_MAX: usize = 65_536;

/// A message that has not come back so long after its turn was cancelled, held, or is kept by something else.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Turns are so much further apart than the rate says: the service counts arrivals, not departures.
const MARGIN: f64 = 1.05;

/// In so long no more than the rate leave, however late the turns were taken: a second, and what an arrival
/// may be early.
const SECOND: Duration = Duration::from_millis(1_020);

/// An application's group.
type Group = (u64, String);

/// When the next message into each group may leave.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Mutex<HashMap<Group, Pace>>,
}

/// The pace into one group.
#[derive(Debug, Default)]
struct Pace {
    /// When the last messages left, oldest first: at most the rate.
    left: VecDeque<Instant>,
    /// When the next turn is that nobody has yet.
    next: Option<Instant>,
    /// Who waits, and for which turn.
    waiting: HashMap<[u8; 16], Instant>,
}

impl Groups {
    fn groups(&self) -> MutexGuard<'_, HashMap<Group, Pace>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn for a message, or tells how long it has to wait before it asks again.
    pub(super) fn turn(
        &self,
        (sdk_app_id, group): (u64, &str),
        token: SendToken,
        rate: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut groups = self.groups();
        if groups.len() >= GROUPS_MAX {
            forget(&mut groups, now);
        }
        groups.entry((sdk_app_id, group.to_owned())).or_default().turn(token.0, rate.max(1), now)
    }
}

/// Forgets groups that are as good as new; if all are busy, all: they begin anew rather than grow without end.
fn forget(groups: &mut HashMap<Group, Pace>, now: Instant) {
    groups
        .retain(|_, pace| !pace.waiting.is_empty() || pace.left.back().is_some_and(|at| *at + SECOND > now));
    if groups.len() >= GROUPS_MAX {
        groups.clear();
    }
}

impl Pace {
    fn turn(&mut self, token: [u8; 16], rate: u32, now: Instant) -> Result<(), Duration> {
        let turn = self.turn_of(token, rate, now);
        while self.left.front().is_some_and(|at| *at + SECOND <= now) {
            self.left.pop_front();
        }
        let is_full = self.left.len() >= usize::try_from(rate).unwrap_or(usize::MAX);
        // Turns that were taken late may meet; then the second's own limit holds.
        let room = self.left.front().filter(|_| is_full).map_or(now, |oldest| *oldest + SECOND);
        let at = turn.max(room);
        if at > now {
            return Err(at.duration_since(now));
        }
        self.waiting.remove(&token);
        self.left.push_back(now);
        Ok(())
    }

    /// The turn that a message has, or gets now: each has one, so that asking twice puts nobody back.
    fn turn_of(&mut self, token: [u8; 16], rate: u32, now: Instant) -> Instant {
        if let Some(turn) = self.waiting.get(&token) {
            return *turn;
        }
        let turn = self.next.map_or(now, |next| next.max(now));
        if self.waiting.len().is_multiple_of(1024) {
            self.waiting.retain(|_, turn| *turn + FORGOTTEN_AFTER > now);
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(token, turn);
            self.next = Some(turn + Duration::from_secs_f64(MARGIN / f64::from(rate)));
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> SendToken {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        SendToken(bytes)
    }

    /// Lets messages come, and come back when they were told to; the milliseconds at which each left.
    fn departures(groups: &Groups, group: &str, rate: u32, count: u64, late_ms: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut asking: Vec<(u64, u64)> = (0..count).map(|number| (0, number)).collect();
        let mut left = Vec::new();
        let mut asked = 0;
        while !asking.is_empty() {
            asking.sort_unstable();
            let (at_ms, number) = asking.remove(0);
            asked += 1;
            match groups.turn((1, group), token(number), rate, start + Duration::from_millis(at_ms)) {
                Ok(()) => left.push(at_ms),
                Err(wait) => {
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap() + 1 + late_ms;
                    asking.push((at_ms + wait_ms, number));
                }
            }
        }
        assert!(asked <= count * 4, "{asked} questions for {count} messages");
        left
    }

    #[test]
    fn no_second_holds_more_than_the_rate_and_little_of_it_is_lost() {
        for (rate, late_ms) in [(40, 0), (40, 30), (4, 0), (1, 0), (500, 5)] {
            let count = u64::from(rate) * 5;
            let left = departures(&Groups::default(), "a", rate, count, late_ms);
            for (index, at) in left.iter().enumerate() {
                let within = left[index..].iter().take_while(|other| **other < at + 1000).count();
                assert!(within <= rate as usize, "{within} within a second from {at} ms at {rate} a second");
            }
            let last = *left.last().unwrap();
            assert!(last <= 6_500, "the last of {count} at {rate} a second left after {last} ms");
        }
    }

    #[test]
    fn groups_and_applications_do_not_wait_for_one_another() {
        let groups = Groups::default();
        let now = Instant::now();
        assert_eq!(groups.turn((1, "a"), token(1), 1, now), Ok(()));
        assert!(groups.turn((1, "a"), token(2), 1, now).is_err());
        assert_eq!(groups.turn((1, "b"), token(3), 1, now), Ok(()));
        assert_eq!(groups.turn((2, "a"), token(4), 1, now), Ok(()));
    }

    #[test]
    fn who_waited_goes_before_a_newcomer() {
        let groups = Groups::default();
        let now = Instant::now();
        let turn = |number, at| groups.turn((1, "a"), token(number), 1, at);
        assert_eq!(turn(1, now), Ok(()));
        let first = turn(2, now).unwrap_err();
        let second = turn(3, now).unwrap_err();
        assert_eq!((first, second), (Duration::from_millis(1_050), Duration::from_millis(2_100)));
        assert_eq!(turn(2, now).unwrap_err(), first, "asking twice does not put it back");
        assert_eq!(turn(2, now + first), Ok(()));
        assert_eq!(turn(3, now + second), Ok(()));
    }

    #[test]
    fn who_never_comes_back_is_forgotten() {
        let groups = Groups::default();
        let now = Instant::now();
        for number in 0..1_500 {
            let _ = groups.turn((1, "a"), token(number), 40, now);
        }
        let later = now + Duration::from_secs(3_600);
        for number in 2_000..2_600 {
            let _ = groups.turn((1, "a"), token(number), 40, later);
        }
        let waiting = groups.groups()[&(1, "a".to_owned())].waiting.len();
        assert!(waiting < 1_500, "{waiting}");
    }

    #[test]
    fn groups_that_have_their_room_are_forgotten() {
        let groups = Groups::default();
        let now = Instant::now();
        for number in 0..GROUPS_MAX {
            groups.turn((1, &number.to_string()), token(0), 40, now).unwrap();
        }
        groups.turn((1, "new"), token(0), 40, now + Duration::from_secs(3)).unwrap();
        assert_eq!(groups.groups().len(), 1);
    }
}
