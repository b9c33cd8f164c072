//! The recorder: runs a process and notes what it does to one folder.
//!
//! Owns:  which system calls change files, their order; which one fails.
//! Never: stops the process itself (`tracer.rs` does).
//!
//! An operation is noted when the kernel is done with it, so that nothing counts as written before it was; a sync covers
//! what had been noted when it *began*. A mapping of a watched file that can be written would not be seen, so it is an error.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, IoSliceMut, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::trace::{FileId, Op, Trace, Tree};
use crate::tracer::{Call, Watch, descriptor, seize, watch};

/// What the traced process prints once it waits for the word to go on.
pub(crate) const READY: &str = "ready to be watched";

/// Longest path that is read from the process.
const PATH_BYTES_MAX: usize = 4096;

/// Which kind of operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `fsync`, `fdatasync` and `sync_file_range`.
    Sync,
    Write,
    /// A file's length, a new name, a removal.
    Other,
}

/// An error of the drive that the process is made to see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The operation of this kind that fails first.
    pub(crate) from: usize,
    /// It and all later ones, of any kind.
    pub(crate) for_good: bool,
    pub(crate) error: nix::Error,
}

struct Recorder<'a> {
    root: &'a Path,
    marks: &'a Path,
    names: Tree,
    files: usize,
    ops: Vec<Op>,
    /// Operations that had been noted when the present call of a thread began.
    begun: HashMap<Pid, usize>,
    fault: Option<Fault>,
    /// Operations of the fault's kind so far.
    counted: usize,
    failed: usize,
}

/// Runs a command that prints [`READY`] and then waits for a line; `None` where nothing may be traced.
pub(crate) fn record(
    root: &Path,
    marks: &Path,
    command: &mut Command,
    fault: Option<Fault>,
) -> Option<Trace> {
    let before = Tree::read(root);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(READY)), "it never said that it was ready");
    let process = Pid::from_raw(child.id().try_into().unwrap());
    if let Err(error) = seize(process) {
        println!("skipped: this machine does not let one process watch another: {error}");
        child.kill().unwrap();
        child.wait().unwrap();
        return None;
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let drained = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let files = before.contents.len();
    let mut recorder = Recorder {
        root,
        marks,
        names: before.clone(),
        files,
        ops: Vec::new(),
        begun: HashMap::new(),
        fault,
        counted: 0,
        failed: 0,
    };
    watch(process, &mut recorder);
    let ended = child.wait().unwrap();
    assert!(ended.success(), "the watched process failed: {ended}\n{}", drained.join().unwrap());
    Some(Trace { before, ops: recorder.ops, failed: recorder.failed })
}

impl Watch for Recorder<'_> {
    fn enters(&mut self, thread: Pid, call: Call) -> Option<nix::Error> {
        self.begun.insert(thread, self.ops.len());
        let fault = self.fault?;
        self.is_to_fail(thread, call, fault).then_some(fault.error)
    }

    fn leaves(&mut self, thread: Pid, call: Call, result: Option<i64>) {
        let begun = self.begun.remove(&thread).unwrap();
        match result {
            None => self.sync_failed(thread, call, begun),
            Some(result) if result >= 0 => self.done(thread, call, begun, usize::try_from(result).unwrap()),
            Some(_) => {}
        }
    }
}

impl Recorder<'_> {
    fn is_to_fail(&mut self, thread: Pid, call: Call, fault: Fault) -> bool {
        let Some(kind) = self.kind_of(thread, call) else { return false };
        let is_later = fault.for_good && self.failed > 0;
        if !is_later && kind == fault.kind {
            self.counted += 1;
        }
        let fails = is_later || (kind == fault.kind && self.counted == fault.from + 1);
        self.failed += usize::from(fails);
        fails
    }

    /// What a call does to a file or folder that is watched.
    fn kind_of(&self, thread: Pid, call: Call) -> Option<Kind> {
        let first = call.args[0];
        let by_descriptor = |kind| self.watched(&descriptor(thread, first)).map(|_| kind);
        match call.number {
            libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync_file_range => by_descriptor(Kind::Sync),
            libc::SYS_write | libc::SYS_pwrite64 => by_descriptor(Kind::Write),
            libc::SYS_ftruncate => by_descriptor(Kind::Other),
            libc::SYS_rename | libc::SYS_unlink | libc::SYS_mkdir | libc::SYS_rmdir => {
                self.path(thread, first).map(|_| Kind::Other)
            }
            libc::SYS_openat if call.args[2] & libc::O_CREAT as u64 != 0 => {
                self.path_at(thread, first, call.args[1]).map(|_| Kind::Other)
            }
            libc::SYS_unlinkat => self.path_at(thread, first, call.args[1]).map(|_| Kind::Other),
            libc::SYS_linkat => self.path_at(thread, call.args[2], call.args[3]).map(|_| Kind::Other),
            _ => None,
        }
    }

    /// Linux drops what a failed sync was to write: it is on no drive, and no later sync brings it there.
    fn sync_failed(&mut self, thread: Pid, call: Call, begun: usize) {
        if matches!(call.number, libc::SYS_fsync | libc::SYS_fdatasync)
            && let Some(file) = self.file(thread, call.args[0])
        {
            self.ops.push(Op::SyncFailed { file, begun });
        }
    }

    /// A system call has succeeded.
    fn done(&mut self, thread: Pid, call: Call, begun: usize, result: usize) {
        let Call { number, args } = call;
        let (first, second, third) = (args[0], args[1], args[2]);
        match number {
            libc::SYS_open => self.opened(thread, result as u64, second),
            libc::SYS_openat => self.opened(thread, result as u64, third),
            libc::SYS_creat => self.opened(thread, result as u64, libc::O_TRUNC as u64),
            libc::SYS_pwrite64 => self.wrote(thread, first, second, result, Some(to_usize(args[3]))),
            libc::SYS_write => self.wrote(thread, first, second, result, None),
            libc::SYS_ftruncate => {
                if let Some(file) = self.file(thread, first) {
                    self.ops.push(Op::SetLen { file, len: to_usize(second) });
                }
            }
            libc::SYS_fsync | libc::SYS_fdatasync => self.synced(thread, first, begun),
            libc::SYS_mkdir => self.named(thread, first, |path| Op::Mkdir { path }),
            libc::SYS_rmdir => self.named(thread, first, |path| Op::Rmdir { path }),
            libc::SYS_unlink => self.named(thread, first, |path| Op::Unlink { path }),
            libc::SYS_unlinkat => {
                let is_dir = third & libc::AT_REMOVEDIR as u64 != 0;
                let path = self.path_at(thread, first, second);
                self.change(path, |path| if is_dir { Op::Rmdir { path } } else { Op::Unlink { path } });
            }
            libc::SYS_rename => {
                let (from, to) = (self.path(thread, first), self.path(thread, second));
                if let (Some(from), Some(to)) = (from, to) {
                    self.change(Some(from), |from| Op::Rename { from, to });
                }
            }
            libc::SYS_linkat => {
                let from = self.path_at(thread, first, second);
                let file = from.and_then(|from| self.names.files.get(&from).copied());
                if let Some(file) = file {
                    let to = self.path_at(thread, third, args[3]);
                    self.change(to, |path| Op::Create { path, file });
                }
            }
            libc::SYS_mmap => {
                let shared = args[3] & libc::MAP_SHARED as u64 != 0 && third & libc::PROT_WRITE as u64 != 0;
                let is_ours = shared && self.file(thread, args[4]).is_some();
                assert!(!is_ours, "a mapping of a watched file is not seen by this recorder");
            }
            // What this recorder does not follow must not happen.
            // Room behind the end of a file is no content.
            libc::SYS_fallocate if second == libc::FALLOC_FL_KEEP_SIZE as u64 => {}
            libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_fallocate
            | libc::SYS_sendfile => {
                assert!(self.file(thread, first).is_none(), "system call {number} is not followed");
            }
            libc::SYS_copy_file_range => {
                assert!(self.file(thread, third).is_none(), "system call {number} is not followed");
            }
            libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_link | libc::SYS_mkdirat => {
                panic!("system call {number} is not followed");
            }
            _ => {}
        }
    }

    fn opened(&mut self, thread: Pid, fd: u64, flags: u64) {
        let Some(path) = self.watched(&descriptor(thread, fd)) else { return };
        if !self.root.join(&path).is_file() {
            return;
        }
        let known = self.names.files.get(&path).copied();
        match known {
            Some(file) if flags & libc::O_TRUNC as u64 != 0 => self.ops.push(Op::SetLen { file, len: 0 }),
            Some(_) => {}
            None => {
                let file = self.files;
                self.files += 1;
                self.change(Some(path), |path| Op::Create { path, file });
            }
        }
    }

    fn wrote(&mut self, thread: Pid, fd: u64, from: u64, bytes: usize, at: Option<usize>) {
        let is_mark = descriptor(thread, fd) == self.marks;
        let file = self.file(thread, fd);
        if !is_mark && file.is_none() {
            return;
        }
        let data = read_memory(thread, from, bytes);
        if is_mark {
            let text = String::from_utf8(data).unwrap();
            return self.ops.extend(text.lines().map(|line| Op::Mark(line.to_owned())));
        }
        let at = at.unwrap_or_else(|| position(thread, fd) - bytes);
        if let Some(file) = file {
            self.ops.push(Op::Write { file, at, data: data.into() });
        }
    }

    fn synced(&mut self, thread: Pid, fd: u64, begun: usize) {
        let Some(path) = self.watched(&descriptor(thread, fd)) else { return };
        let op = match self.names.files.get(&path) {
            Some(file) => Op::Sync { file: *file, begun },
            None => Op::SyncDir { path, begun },
        };
        self.ops.push(op);
    }

    fn named(&mut self, thread: Pid, address: u64, op: impl FnOnce(PathBuf) -> Op) {
        let path = self.path(thread, address);
        self.change(path, op);
    }

    fn change(&mut self, path: Option<PathBuf>, op: impl FnOnce(PathBuf) -> Op) {
        if let Some(path) = path {
            let op = op(path);
            self.names.rename_or_so(&op);
            self.ops.push(op);
        }
    }

    fn file(&self, thread: Pid, fd: u64) -> Option<FileId> {
        self.names.files.get(&self.watched(&descriptor(thread, fd))?).copied()
    }

    fn watched(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(self.root).ok().map(Path::to_path_buf)
    }

    fn path(&self, thread: Pid, address: u64) -> Option<PathBuf> {
        self.path_at(thread, libc::AT_FDCWD as u64, address)
    }

    fn path_at(&self, thread: Pid, dir: u64, address: u64) -> Option<PathBuf> {
        let path = read_path(thread, address);
        if path.is_absolute() {
            return self.watched(&path);
        }
        let is_cwd = dir as u32 == libc::AT_FDCWD as u32;
        let base = if is_cwd {
            std::fs::read_link(format!("/proc/{thread}/cwd")).unwrap()
        } else {
            descriptor(thread, dir)
        };
        self.watched(&base.join(path))
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// The position of a descriptor, behind a write.
fn position(thread: Pid, fd: u64) -> usize {
    let info = std::fs::read_to_string(format!("/proc/{thread}/fdinfo/{fd}")).unwrap();
    info.lines().find_map(|line| line.strip_prefix("pos:")).unwrap().trim().parse().unwrap()
}

fn read_memory(thread: Pid, from: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    let remote = [RemoteIoVec { base: to_usize(from), len: bytes }];
    let read = process_vm_readv(thread, &mut [IoSliceMut::new(&mut data)], &remote).unwrap();
    assert_eq!(read, bytes, "what it wrote can be read");
    data
}

fn read_path(thread: Pid, from: u64) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    // Page by page: what lies behind the text may not be there.
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = from;
    while text.len() < PATH_BYTES_MAX {
        let here = to_usize(PAGE - at % PAGE);
        let part = read_memory(thread, at, here);
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&part[..end]);
            return std::ffi::OsString::from_vec(text).into();
        }
        text.extend_from_slice(&part);
        at += here as u64;
    }
    panic!("a path without an end");
}
