//! The daemon's binary: wires the command line to the daemon and the demo.
//!
//! Owns:  nothing.
//! Never: holds logic; everything is in the library, where tests reach it.

use std::io::Write;
use std::process::ExitCode;

use outboxd::cli::{self, DemoArgs, EXIT_FAILED};
use outboxd::config::Loaded;

fn main() -> ExitCode {
    cli::main(run, demo)
}

fn run(loaded: Loaded) -> ExitCode {
    if let Err(error) = outboxd::log::init(&loaded.config.log) {
        return failed(&error.to_string());
    }
    failed("this build has no daemon")
}

fn demo(_: DemoArgs) -> ExitCode {
    failed("this build has no demo")
}

fn failed(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "outboxd: {reason}");
    ExitCode::from(EXIT_FAILED)
}
