//! libFuzzer over messages, callbacks and replies of Tencent IM.
//!
//! Owns:  the entry point.
//! Never: knows a property: `tests/fuzz/tim.rs` does, and runs on a stable compiler, too.
#![no_main]

#[path = "../../tests/fuzz/tim.rs"]
#[allow(dead_code)]
pub(crate) mod tim;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tim::check(data));
