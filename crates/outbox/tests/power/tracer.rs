//! The tracer: stops a process at each of its system calls, and lets one fail (ptrace).
//!
//! Owns:  all threads of the process, also those that begin later; what a call that is not carried out answers.
//! Never: waits for the process itself: whoever started it learns how it ended.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// `op` of a system call's stop: on the way in, on the way out.
const ENTRY: u8 = 1;

/// A system call.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: i64,
    pub(crate) args: [u64; 6],
}

/// Who watches.
pub(crate) trait Watch {
    /// A call begins. An error is what the process gets instead of its being carried out.
    fn enters(&mut self, thread: Pid, call: Call) -> Option<Errno>;

    /// A call is over; `None` where it was not carried out.
    fn leaves(&mut self, thread: Pid, call: Call, result: Option<i64>);
}

/// Takes hold of all threads of a process, also of those that begin meanwhile; they are watched by this thread alone.
pub(crate) fn seize(process: Pid) -> nix::Result<()> {
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    let mut held = BTreeSet::new();
    loop {
        let before = held.len();
        for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
            let task = Pid::from_raw(task.unwrap().file_name().to_str().unwrap().parse().unwrap());
            if held.contains(&task) {
                continue;
            }
            match ptrace::seize(task, options) {
                // One that ended, or began under a thread that is held, and so is held, too.
                Err(Errno::ESRCH | Errno::EPERM) if !held.is_empty() => {}
                seized => {
                    seized?;
                    ptrace::interrupt(task)?;
                }
            }
            held.insert(task);
        }
        if held.len() == before {
            return Ok(());
        }
    }
}

/// Watches a process that was seized by this thread, until it has ended.
pub(crate) fn watch(process: Pid, who: &mut impl Watch) {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let look = flags | WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
    let mut calls = HashMap::new();
    loop {
        let seen = match waitid(Id::All, look) {
            // Whoever started it has heard of its end already.
            Err(Errno::ECHILD) => return,
            seen => seen.unwrap(),
        };
        let is_over = matches!(seen, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
        if is_over && seen.pid() == Some(process) {
            return;
        }
        let resumed = match waitpid(seen.pid(), Some(flags)) {
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                stopped(thread, &mut calls, who);
                ptrace::syscall(thread, None)
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => ptrace::syscall(thread, None),
            Ok(WaitStatus::Stopped(thread, signal)) => ptrace::syscall(thread, signal),
            _ => Ok(()),
        };
        // A thread may be gone by now: the process is ending.
        assert!(matches!(resumed, Ok(()) | Err(Errno::ESRCH)), "{resumed:?}");
    }
}

/// A thread stands before a call, or behind it.
fn stopped(thread: Pid, calls: &mut HashMap<Pid, (Call, Option<Errno>)>, who: &mut impl Watch) {
    let Ok(info) = ptrace::syscall_info(thread) else { return };
    let Ok(regs) = ptrace::getregs(thread) else { return };
    if info.op == ENTRY {
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let call = Call { number: regs.orig_rax.cast_signed(), args };
        let error = who.enters(thread, call);
        if error.is_some() {
            // No system call has this number: nothing is carried out.
            set(thread, libc::user_regs_struct { orig_rax: u64::MAX, ..regs });
        }
        calls.insert(thread, (call, error));
    } else if let Some((call, error)) = calls.remove(&thread) {
        if let Some(error) = error {
            let answer = -i64::from(error as i32);
            set(thread, libc::user_regs_struct { rax: answer.cast_unsigned(), ..regs });
        }
        who.leaves(thread, call, error.is_none().then(|| regs.rax.cast_signed()));
    }
}

/// Changes what a thread goes on with; one that was killed meanwhile goes on with nothing.
fn set(thread: Pid, regs: libc::user_regs_struct) {
    let changed = ptrace::setregs(thread, regs);
    assert!(matches!(changed, Ok(()) | Err(Errno::ESRCH)), "{changed:?}");
}

/// Where a descriptor leads; something that is no file leads nowhere that is watched.
pub(crate) fn descriptor(thread: Pid, fd: u64) -> PathBuf {
    std::fs::read_link(format!("/proc/{thread}/fd/{}", fd as u32 as i32)).unwrap_or_default()
}
