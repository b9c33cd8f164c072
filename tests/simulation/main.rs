//! A simulation of the daemon's engine over the real store: virtual time, a scripted world, and random schedules,
//! each fully determined by its seed.
//!
//! Owns:  the list of modules; `runner` has the tests.
//! Never: opens a connection, reads a real clock, sleeps, starts a thread that takes part in a schedule.
//!
//! ```text
//! schedule ── draws a setting and steps from the seed; after each step `check` looks at the store
//!    │            the engine and the store are the real ones (`process`)
//!    ├─ steps     calls them as the socket would
//!    ├─ push, app the two ways to send; both end at the `service`, whose ledger knows what arrived
//!    └─ judge     hears the store's events and the service, and tells the same story in a simpler way
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod app;
mod check;
mod clock;
mod found;
mod judge;
mod process;
mod push;
mod random;
mod reached;
mod runner;
mod schedule;
mod script;
mod service;
mod setting;
mod signal;
mod steps;
mod trace;
mod weather;
mod why;
mod world;
