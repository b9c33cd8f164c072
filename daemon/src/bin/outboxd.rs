//! The daemon's binary: wires the command line to the daemon and the demo.
//!
//! Owns:  nothing.
//! Never: holds logic; everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    outboxd::cli::main(outboxd::daemon::run, outboxd::demo::run)
}
