//! The control program's binary.
//!
//! Owns:  nothing.
//! Never: holds logic; everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    outboxd::ctl::main()
}
