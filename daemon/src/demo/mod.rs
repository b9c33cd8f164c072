//! The demo.
//!
//! Owns:  nothing yet.
//! Never: touches a real spool.
pub fn run(_: crate::cli::DemoArgs) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
