//! Placeholder.

pub mod cli;
pub mod config;
pub mod ctl;
pub mod log;
pub mod service;
pub mod transport;
