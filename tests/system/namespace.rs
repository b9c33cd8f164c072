//! Namespaces of the kernel: a test with a network or with file systems of its own.
//!
//! Owns:  making them, as root or as root of a user namespace; skipping, with a message, where neither is allowed.
//! Never: changes anything that the machine's other processes see.

use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Set in the environment of a test that runs in a user namespace of its own.
const INSIDE: &str = "OUTBOX_TEST_IN_NAMESPACE";

/// What a test has to itself.
#[derive(Clone, Copy)]
pub(crate) enum Own {
    /// Its network.
    Network,
    /// What is mounted where.
    Mounts,
}

impl Own {
    const fn flag(self) -> CloneFlags {
        match self {
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Mounts => CloneFlags::CLONE_NEWNS,
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::Network => "-n",
            Self::Mounts => "-m",
        }
    }
}

/// Runs a test on a thread that has something to itself, as has every process that it starts. `name` is the test's full
/// name.
pub(crate) fn with_own(own: Own, name: &str, test: impl FnOnce() + Send + 'static) {
    let inside = thread::spawn(move || {
        unshare(own.flag())?;
        test();
        nix::Result::Ok(())
    });
    match inside.join() {
        Ok(Ok(())) => {}
        Ok(Err(_)) if std::env::var_os(INSIDE).is_none() => run_in_user_namespace(own, name),
        Ok(Err(error)) => panic!("nothing of its own in a user namespace of its own: {error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs this test again as root of a user namespace, where that is allowed.
fn run_in_user_namespace(own: Own, name: &str) {
    let probe = Command::new("unshare").args(["-r", own.option(), "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this needs root, or `unshare` and the right to make namespaces");
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.args(["-r", own.option(), "--"]).arg(itself);
    again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    assert!(again.status().unwrap().success(), "{name} fails in a namespace of its own");
}
