//! Whole-system tests: the real binaries, real sockets, real disks, and a service that misbehaves on request.
//!
//! Owns:  the list of test modules.
//! Never: reaches into the daemon: everything goes through its socket, its files and its signals.
//!
//! Each test has a daemon, a folder and a service of its own, so that all can run side by side. A test waits
//! for what it wants to see, with a deadline; the daemon's log is printed where one fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod app;
mod bad_input;
mod batch;
#[cfg(target_os = "linux")]
mod cable;
mod cancel;
mod configuration;
mod connection;
mod copies;
mod corners;
mod crash;
mod crash_loop;
mod crash_points;
mod crash_starts;
mod delivery;
#[cfg(target_os = "linux")]
mod disks;
mod doubt;
mod events;
mod expiry;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod failing_drive;
mod gone;
mod harness;
mod heads;
mod heard;
#[cfg(target_os = "linux")]
mod hostile;
mod idle;
mod lines;
#[cfg(target_os = "linux")]
mod link_news;
mod messages;
mod metrics;
#[cfg(target_os = "linux")]
mod namespace;
mod offline;
mod outcomes;
mod pace;
mod places;
mod program;
mod reload;
mod resend;
mod secrets;
mod space;
mod stream;
mod submitting;
mod tencent;
mod tidy;
mod tim_double;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../../crates/outbox/tests/power/tracer.rs"]
mod tracer;
#[path = "../fixtures/unpack.rs"]
mod unpack;
mod verbs;
mod watching;
mod why;
mod wire;
