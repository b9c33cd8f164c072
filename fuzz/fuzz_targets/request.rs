//! libFuzzer over bodies, lines and query strings of requests.
//!
//! Owns:  the entry point.
//! Never: knows a property: `tests/fuzz/request.rs` does, and runs on a stable compiler, too.
#![no_main]

#[path = "../../tests/fuzz/request.rs"]
#[allow(dead_code)]
pub(crate) mod request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request::check(data));
