//! libFuzzer over paths and ids.
//!
//! Owns:  the entry point.
//! Never: knows a property: `tests/fuzz/routing.rs` does, and runs on a stable compiler, too.
#![no_main]

#[path = "../../tests/fuzz/routing.rs"]
#[allow(dead_code)]
pub(crate) mod routing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| routing::check(data));
