//! What a process did to its spool, in the order in which the kernel was done with it.
//!
//! Owns:  the operations, the tree that they began with.
//! Never: knows where they come from, or what of them survives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, whatever it is called at the moment.
pub(crate) type FileId = usize;

/// One operation. Paths are relative to the folder that was watched.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A name for a file, its first one or another.
    Create {
        path: PathBuf,
        file: FileId,
    },
    Mkdir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Rmdir {
        path: PathBuf,
    },
    Write {
        file: FileId,
        at: usize,
        data: Arc<[u8]>,
    },
    SetLen {
        file: FileId,
        len: usize,
    },
    /// `fsync` or `fdatasync` of a file; it began when there were so many operations.
    Sync {
        file: FileId,
        begun: usize,
    },
    /// The same, and it failed: what it covered is lost.
    SyncFailed {
        file: FileId,
        begun: usize,
    },
    /// `fsync` of a folder.
    SyncDir {
        path: PathBuf,
        begun: usize,
    },
    /// What the process said: what it is about to do, and what it was promised.
    Mark(String),
}

/// Folders, names and contents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) dirs: BTreeSet<PathBuf>,
    pub(crate) files: BTreeMap<PathBuf, FileId>,
    pub(crate) contents: Vec<Vec<u8>>,
}

impl Tree {
    /// Reads what lies in a folder.
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.read_folder(root, Path::new(""));
        tree
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.dirs.insert(path.clone());
                self.read_folder(root, &path);
            } else {
                self.files.insert(path, self.contents.len());
                self.contents.push(std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// Writes the tree into a folder, without the blocks that hold nothing but zeros; answers a hash over all of it.
    pub(crate) fn write(&self, root: &Path) -> blake3::Hash {
        use std::os::unix::fs::FileExt;
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}", self.dirs).as_bytes());
        for dir in &self.dirs {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        for (path, file) in &self.files {
            let out = std::fs::File::create(root.join(path)).unwrap();
            let content = &self.contents[*file];
            out.set_len(content.len() as u64).unwrap();
            hasher.update(format!("{path:?} {}", content.len()).as_bytes());
            const BLOCK: usize = 64 * 1024;
            for (index, block) in content.chunks(BLOCK).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    out.write_all_at(block, (index * BLOCK) as u64).unwrap();
                    hasher.update(&index.to_le_bytes()).update(block);
                }
            }
        }
        hasher.finalize()
    }

    /// Drops what has no folder to lie in.
    pub(crate) fn drop_strays(&mut self) {
        let has_home = |dirs: &BTreeSet<PathBuf>, path: &Path| {
            path.ancestors().skip(1).filter(|up| !up.as_os_str().is_empty()).all(|up| dirs.contains(up))
        };
        let all = self.dirs.clone();
        self.dirs.retain(|dir| has_home(&all, dir));
        let dirs = &self.dirs;
        self.files.retain(|path, _| has_home(dirs, path));
    }

    /// Carries out a change of names, if it is possible.
    pub(crate) fn rename_or_so(&mut self, op: &Op) {
        match op {
            Op::Create { path, file } => {
                self.files.insert(path.clone(), *file);
            }
            Op::Mkdir { path } => {
                self.dirs.insert(path.clone());
            }
            Op::Unlink { path } => {
                self.files.remove(path);
            }
            Op::Rmdir { path } => {
                self.dirs.remove(path);
            }
            Op::Rename { from, to } => self.rename(from, to),
            Op::Write { .. }
            | Op::SetLen { .. }
            | Op::Sync { .. }
            | Op::SyncFailed { .. }
            | Op::SyncDir { .. }
            | Op::Mark(_) => {}
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(file) = self.files.remove(from) {
            self.files.insert(to.into(), file);
        }
        if self.dirs.remove(from) {
            self.dirs.insert(to.into());
            let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| to.join(rest));
            self.dirs = self.dirs.iter().map(|dir| moved(dir).unwrap_or_else(|| dir.clone())).collect();
            let files = std::mem::take(&mut self.files);
            self.files = files.into_iter().map(|(path, file)| (moved(&path).unwrap_or(path), file)).collect();
        }
    }
}

/// Everything that was recorded.
pub(crate) struct Trace {
    /// What lay there before, all of it durable.
    pub(crate) before: Tree,
    pub(crate) ops: Vec<Op>,
    /// How many operations were made to fail.
    pub(crate) failed: usize,
}

impl Trace {
    /// The same without the syncs of the files with this name: what a store without them would have done.
    pub(crate) fn without_syncs_of(&self, name: &str) -> Self {
        let mut tree = self.before.clone();
        let mut named: BTreeSet<FileId> =
            tree.files.iter().filter(|(path, _)| path.ends_with(name)).map(|(_, file)| *file).collect();
        let mut ops = self.ops.clone();
        for op in &mut ops {
            tree.rename_or_so(op);
            match op {
                Op::Create { path, file } if path.ends_with(name) => {
                    named.insert(*file);
                }
                // It covers nothing: numbers of operations stay what they are.
                Op::Sync { file, begun } if named.contains(file) => *begun = 0,
                _ => {}
            }
        }
        Self { before: self.before.clone(), ops, failed: self.failed }
    }
}
