//! The Outbox daemon as a library: what the binaries `outboxd` and `outboxctl` are made of.
//!
//! Owns:  the map below.
//! Never: holds logic of its own.
//!
//! - [`daemon`] starts and stops everything in order.
//! - [`engine`] one task between the store and the transport; link, pace, attempts.
//! - [`net_news`] what the operating system tells about the network.
//! - [`transport`] how an attempt reaches a service, and what its answer means.
//! - [`server`] the control socket. [`metrics`] what is counted, as text.
//! - [`config`], [`cli`], [`log`]: configuration, command line, log; [`settings`]: what it makes of each part;
//!   [`reload`]: reading it again.
//! - [`ctl`] `outboxctl`.
//! - [`process`] what the process asks of the system for itself.
//! - [`offline`] `outboxd export`, `import`, `fsck`.
//! - [`demo`], [`service`]: `outboxd demo`, and the unreliable service that it and the tests use.

pub mod cli;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod demo;
pub mod engine;
mod found;
mod json_line;
pub mod log;
pub mod metrics;
pub mod net_news;
pub mod offline;
pub mod process;
pub mod reload;
pub mod server;
pub mod service;
pub mod settings;
pub mod transport;
