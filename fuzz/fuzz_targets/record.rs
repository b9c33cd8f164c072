//! libFuzzer over the codec of records.
//!
//! Owns:  the entry point.
//! Never: knows a property: `tests/fuzz/record.rs` does, and runs on a stable compiler, too.
#![no_main]

#[path = "../../tests/fuzz/record.rs"]
#[allow(dead_code)]
pub(crate) mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| record::check(data));
