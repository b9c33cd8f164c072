//! libFuzzer over texts of configuration.
//!
//! Owns:  the entry point.
//! Never: knows a property: `tests/fuzz/config.rs` does, and runs on a stable compiler, too.
#![no_main]

#[path = "../../tests/fuzz/config.rs"]
#[allow(dead_code)]
pub(crate) mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::check(data));
