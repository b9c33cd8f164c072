//! The clock: the only file of the store that reads the time.
//!
//! Owns:  the wall clock, the boot clock (which runs on while a laptop sleeps), and spool time.
//! Never: decides anything by the wall clock. Schedules use spool time, which only real elapsed time
//!        moves; the wall clock may jump both ways and is for people to read.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use crate::chance::{Chance, SystemChance};

/// A moment on the spool's own time line, in milliseconds. It starts near the wall clock's value and
/// never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

/// A moment as the wall clock showed it, in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub i64);

/// Which boot of the machine a moment belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

/// What the machine's clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: WallTime,
    /// Milliseconds since the boot, sleep included.
    pub since_boot_ms: u64,
    /// The boot.
    pub boot: BootId,
}

/// A source of readings. Tests drive their own.
pub trait Clock: Send + Sync {
    /// Reads all clocks.
    fn read(&self) -> Reading;
}

/// The same moment on both time lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For schedules.
    pub time: Timestamp,
    /// For people.
    pub wall: WallTime,
}

/// Where the spool's time stood when it was last written; persisted with every group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// The boot in which it was written.
    pub boot: BootId,
    /// The boot clock then.
    pub since_boot_ms: u64,
    /// Spool time then.
    pub time: Timestamp,
    /// The wall clock then.
    pub wall: WallTime,
}

impl Timestamp {
    /// This moment plus `ms` milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This moment plus a duration.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        self.plus_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// This moment less a duration, or the beginning of all moments.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it lies later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Measures how long something took, for those who watch. No decision goes by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn read(self) -> std::time::Duration {
        self.0.elapsed()
    }
}

impl Moment {
    /// The wall clock's value for a moment of the schedule, by the offset of now.
    #[must_use]
    pub fn wall_of(&self, time: Timestamp) -> WallTime {
        let ahead = i128::from(time.0) - i128::from(self.time.0);
        let wall = i128::from(self.wall.0) + ahead;
        WallTime(i64::try_from(wall).unwrap_or(if wall < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The moment of the schedule for a wall clock's value, by the offset of now.
    #[must_use]
    pub fn time_of(&self, wall: WallTime) -> Timestamp {
        let time = i128::from(self.time.0) + i128::from(wall.0) - i128::from(self.wall.0);
        Timestamp(u64::try_from(time.max(0)).unwrap_or(u64::MAX))
    }
}

/// Spool time: continues from a mark by elapsed time alone.
pub struct SpoolClock {
    source: std::sync::Arc<dyn Clock>,
    start: ClockMark,
    /// The boot before this one, until what it left behind has been ended.
    left: BootId,
    has_arrived: AtomicBool,
    /// Wall minus spool time, refreshed only when it moved by more than [`OFFSET_STEP_MS`], so that the
    /// same future moment is shown as the same wall time in every answer.
    offset_ms: AtomicI64,
}

/// Smaller differences between the clocks are their own unsteadiness, not a step.
const OFFSET_STEP_MS: i64 = 500;

impl SpoolClock {
    /// Continues the time line of `mark`. In the same boot by the boot clock; after a reboot by the wall
    /// clock if it went forward, else from where it stood: time may be counted late, never early.
    #[must_use]
    pub fn resume(source: std::sync::Arc<dyn Clock>, mark: Option<ClockMark>) -> Self {
        let reading = source.read();
        let time = match mark {
            None => u64::try_from(reading.wall.0).unwrap_or(0),
            Some(mark) if mark.boot == reading.boot && reading.since_boot_ms >= mark.since_boot_ms => {
                mark.time.0.saturating_add(reading.since_boot_ms - mark.since_boot_ms)
            }
            Some(mark) => {
                let off_ms = reading.wall.0.saturating_sub(mark.wall.0).max(0);
                mark.time.0.saturating_add(off_ms.unsigned_abs())
            }
        };
        let start = ClockMark {
            boot: reading.boot,
            since_boot_ms: reading.since_boot_ms,
            time: Timestamp(time),
            wall: reading.wall,
        };
        let offset_ms = AtomicI64::new(offset(reading.wall, start.time));
        let left = mark.map_or(start.boot, |mark| mark.boot);
        Self { source, start, left, has_arrived: AtomicBool::new(false), offset_ms }
    }

    /// The same, where what is to be ended was left behind in this boot, whichever the mark is of.
    pub(crate) fn over_rows_of(self, left: BootId) -> Self {
        Self { left, ..self }
    }

    /// What an earlier boot left behind has been ended: the marks are of this boot from now on.
    pub(crate) fn arrive(&self) {
        self.has_arrived.store(true, Ordering::Release);
    }

    /// This boot.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.start.boot
    }

    /// When this process began to count.
    #[must_use]
    pub const fn opened(&self) -> Timestamp {
        self.start.time
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let reading = self.source.read();
        let elapsed_ms = reading.since_boot_ms.saturating_sub(self.start.since_boot_ms);
        let time = self.start.time.plus_ms(elapsed_ms);
        let current = offset(reading.wall, time);
        let mut shown = self.offset_ms.load(Ordering::Relaxed);
        if current.abs_diff(shown) > OFFSET_STEP_MS.unsigned_abs() {
            self.offset_ms.store(current, Ordering::Relaxed);
            shown = current;
        }
        let wall = i64::try_from(time.0).unwrap_or(i64::MAX).saturating_add(shown);
        Moment { time, wall: WallTime(wall) }
    }

    /// The mark to persist at `now`. Whoever opens the spool by it must see the reboot while anything of the earlier boot is
    /// left.
    #[must_use]
    pub fn mark(&self, now: Moment) -> ClockMark {
        let elapsed_ms = now.time.since_ms(self.start.time);
        let has_arrived = self.has_arrived.load(Ordering::Acquire);
        ClockMark {
            boot: if has_arrived { self.start.boot } else { self.left },
            since_boot_ms: self.start.since_boot_ms.saturating_add(elapsed_ms),
            time: now.time,
            wall: now.wall,
        }
    }
}

fn offset(wall: WallTime, time: Timestamp) -> i64 {
    wall.0.saturating_sub(i64::try_from(time.0).unwrap_or(i64::MAX))
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    boot: BootId,
    #[cfg(not(target_os = "linux"))]
    started: std::time::Instant,
}

impl SystemClock {
    /// Asks the system which boot this is. Where it cannot tell, every process counts as a boot of its
    /// own: elapsed time is then taken from the wall clock at each start.
    #[must_use]
    pub fn new() -> Self {
        Self {
            boot: boot_id().unwrap_or_else(random_boot),
            #[cfg(not(target_os = "linux"))]
            started: std::time::Instant::now(),
        }
    }

    #[cfg(target_os = "linux")]
    fn since_boot_ms(self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0))
    }

    #[cfg(not(target_os = "linux"))]
    fn since_boot_ms(self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn read(&self) -> Reading {
        let wall_ms = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Reading { wall: WallTime(wall_ms), since_boot_ms: self.since_boot_ms(), boot: self.boot }
    }
}

fn boot_id() -> Option<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(BootId(id))
}

fn random_boot() -> BootId {
    let mut id = [0; 16];
    // Without randomness every process looks like the same boot with its own clock; `resume` then falls
    // back to the wall clock as soon as the boot clock went back.
    SystemChance.fill(&mut id);
    BootId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Hand(Mutex<Reading>);

    impl Clock for Hand {
        fn read(&self) -> Reading {
            *self.0.lock().unwrap()
        }
    }

    fn reading(wall: i64, since_boot_ms: u64, boot: u8) -> Reading {
        Reading { wall: WallTime(wall), since_boot_ms, boot: BootId([boot; 16]) }
    }

    #[test]
    fn a_step_of_the_wall_clock_does_not_move_spool_time() {
        let hand = Arc::new(Hand(Mutex::new(reading(1_000_000, 500, 1))));
        let clock = SpoolClock::resume(hand.clone(), None);
        let before = clock.now();
        *hand.0.lock().unwrap() = reading(1_000_000 - 3_600_000, 700, 1);
        let after = clock.now();
        assert_eq!(after.time.since_ms(before.time), 200);
        assert_eq!(after.wall, WallTime(1_000_000 - 3_600_000));
        assert_eq!(after.wall_of(after.time.plus_ms(50)), WallTime(after.wall.0 + 50));
        assert_eq!(after.time_of(WallTime(after.wall.0 + 50)), after.time.plus_ms(50));
    }

    #[test]
    fn a_restart_in_one_boot_counts_real_time_and_a_reboot_never_counts_backwards() {
        let hand = Arc::new(Hand(Mutex::new(reading(5_000, 100, 1))));
        let clock = SpoolClock::resume(hand.clone(), None);
        let mark = clock.mark(clock.now());
        *hand.0.lock().unwrap() = reading(-7, 160, 1);
        assert_eq!(SpoolClock::resume(hand.clone(), Some(mark)).now().time, mark.time.plus_ms(60));
        *hand.0.lock().unwrap() = reading(1_000, 5, 2);
        assert_eq!(SpoolClock::resume(hand.clone(), Some(mark)).now().time, mark.time);
        *hand.0.lock().unwrap() = reading(9_000, 5, 2);
        assert_eq!(SpoolClock::resume(hand, Some(mark)).now().time, mark.time.plus_ms(4_000));
    }

    #[test]
    fn the_system_clock_reads_the_boot_clock() {
        let clock = SystemClock::new();
        let (first, second) = (clock.read(), clock.read());
        assert!(second.since_boot_ms >= first.since_boot_ms);
        assert!(first.since_boot_ms > 0 && first.wall.0 > 1_600_000_000_000);
        assert_eq!(first.boot, SystemClock::new().read().boot);
    }
}
