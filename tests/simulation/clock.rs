//! Time in the simulated world: the runtime's paused clock, plus what it cannot show.
//!
//! Owns:  the machine's clocks (wall, boot, sleep, reboots) as functions of virtual time.
//! Never: reads a real clock.

use std::sync::Mutex;

use outbox::{BootId, Clock, Reading, WallTime};
use tokio::time::Instant;

/// Where the wall clock begins.
const WALL_START_MS: i64 = 1_800_000_000_000;

/// What a machine's boot clock shows when its programs start.
const BOOT_TAKES_MS: u64 = 5_000;

/// Readings at one moment after which nothing but a circle without an end can be the reason.
const READINGS_MAX: u32 = 20_000;

pub(crate) struct WorldClock {
    began: Instant,
    offsets: Mutex<Offsets>,
    /// The moment of the last reading, and how many there have been in it.
    read: Mutex<(u64, u32)>,
}

#[derive(Clone, Copy, Default)]
struct Offsets {
    /// Time in which the machine slept or was off, so that no timer of it ran.
    absent_ms: u64,
    /// What people did to the wall clock.
    wall_steps_ms: i64,
    boots: u8,
    /// The world's time at the last boot.
    booted_ms: u64,
}

impl WorldClock {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), offsets: Mutex::default(), read: Mutex::default() }
    }

    /// The world's own time: what the service's clock shows.
    pub(crate) fn world_ms(&self) -> u64 {
        self.machine_ms() + self.offsets.lock().unwrap().absent_ms
    }

    /// Time in which the machine was awake: what its timers go by.
    pub(crate) fn machine_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// Ends a part of the daemon that goes round and round while no time passes.
    fn note_reading(&self) {
        let now = self.machine_ms();
        let mut read = self.read.lock().unwrap();
        *read = if read.0 == now { (now, read.1 + 1) } else { (now, 1) };
        let spins = read.1 > READINGS_MAX;
        drop(read);
        assert!(!spins, "the daemon reads the clock for ever and no time passes");
    }

    /// Somebody sets the wall clock.
    pub(crate) fn step_wall(&self, ms: i64) {
        self.offsets.lock().unwrap().wall_steps_ms += ms;
    }

    /// The machine sleeps.
    pub(crate) fn suspend(&self, ms: u64) {
        self.offsets.lock().unwrap().absent_ms += ms;
    }

    /// The machine is off for a while, then boots.
    pub(crate) fn reboot(&self, off_ms: u64) {
        self.suspend(off_ms);
        let now = self.world_ms();
        let mut offsets = self.offsets.lock().unwrap();
        offsets.boots += 1;
        offsets.booted_ms = now;
    }
}

impl Clock for WorldClock {
    fn read(&self) -> Reading {
        self.note_reading();
        let now = self.world_ms();
        let offsets = *self.offsets.lock().unwrap();
        Reading {
            wall: WallTime(WALL_START_MS + i64::try_from(now).unwrap() + offsets.wall_steps_ms),
            since_boot_ms: BOOT_TAKES_MS + now - offsets.booted_ms,
            boot: BootId([offsets.boots + 1; 16]),
        }
    }
}
