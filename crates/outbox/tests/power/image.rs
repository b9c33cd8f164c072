//! What a power cut leaves: everything that was synced, and of the rest whatever the model allows.
//!
//! Owns:  which operations are durable at a moment, which of the others survive.
//! Never: looks into a file.
//!
//! What is on the drive in one sector is what the file held there at one moment: a later write never survives without
//! the earlier ones to its sector, for that is what a page cache does.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::trace::{FileId, Op, Trace, Tree};

/// A reading of what a file system promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Bytes that reach the drive together.
    sector: usize,
    /// A sync of any file makes all earlier changes of names durable, and they survive in their order (ext4).
    names_in_order: bool,
    /// A file may have grown although its new bytes are lost; they are zeros then.
    grows_alone: bool,
    /// Writes survive in their order.
    data_in_order: bool,
}

/// From what the standard promises to what ext4 does in practice, and a drive that keeps the order.
pub(crate) const MODELS: [Model; 4] = [
    Model { name: "posix", sector: 512, names_in_order: false, grows_alone: true, data_in_order: false },
    Model { name: "posix-dirs", sector: 512, names_in_order: true, grows_alone: true, data_in_order: false },
    Model { name: "ext4", sector: 4096, names_in_order: true, grows_alone: false, data_in_order: false },
    Model { name: "ordered", sector: 512, names_in_order: true, grows_alone: false, data_in_order: true },
];

/// Which of the operations that were not durable survive.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    None,
    All,
    /// The first so many, and of the next one some sectors.
    Prefix(usize),
    /// The last so many.
    Suffix(usize),
    /// Each with an even chance.
    Subset,
    /// Each sector of each with an even chance.
    Sectors,
    /// All of some files.
    Files,
    AllButOne(usize),
    OnlyOne(usize),
}

impl Pattern {
    fn draw(random: &mut Random, operations: usize, in_order: bool) -> Self {
        let some = random.below(operations.max(1) as u64) as usize;
        if in_order {
            return [Self::None, Self::All, Self::Prefix(some), Self::Prefix(some)][random.below(4) as usize];
        }
        [
            Self::None,
            Self::All,
            Self::Prefix(some),
            Self::Suffix(some),
            Self::Subset,
            Self::Sectors,
            Self::Files,
            Self::AllButOne(some),
            Self::OnlyOne(some),
        ][random.below(9) as usize]
    }

    fn fate(self, random: &mut Random, index: usize, file: FileId, files: u64) -> Fate {
        let is_kept = match self {
            Self::None => false,
            Self::All => true,
            Self::Prefix(count) if index == count => return Fate::Torn,
            Self::Prefix(count) => index < count,
            Self::Suffix(count) => index >= count,
            Self::Subset => random.is_heads(),
            Self::Sectors => return Fate::Torn,
            Self::Files => files >> (file % 64) & 1 == 1,
            Self::AllButOne(one) => index != one,
            Self::OnlyOne(one) => index == one,
        };
        if is_kept { Fate::Kept } else { Fate::Lost }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    /// Some sectors are kept.
    Torn,
}

/// What is durable at one moment of a trace, and what is not yet.
pub(crate) struct Drive<'a> {
    trace: &'a Trace,
    model: Model,
    /// Operations so far.
    at: usize,
    durable: Tree,
    data: BTreeMap<FileId, Vec<usize>>,
    names: Vec<usize>,
}

impl<'a> Drive<'a> {
    pub(crate) fn new(trace: &'a Trace, model: Model) -> Self {
        let durable = trace.before.clone();
        Self { trace, model, at: 0, durable, data: BTreeMap::new(), names: Vec::new() }
    }

    /// Goes on to the moment behind so many operations.
    pub(crate) fn go_on_to(&mut self, at: usize) {
        while self.at < at {
            let index = self.at;
            self.at += 1;
            match &self.trace.ops[index] {
                Op::Write { file, .. } | Op::SetLen { file, .. } => {
                    self.data.entry(*file).or_default().push(index)
                }
                Op::Create { file, .. } => {
                    if self.durable.contents.len() <= *file {
                        self.durable.contents.resize(file + 1, Vec::new());
                    }
                    self.names.push(index);
                }
                Op::Mkdir { .. } | Op::Rename { .. } | Op::Unlink { .. } | Op::Rmdir { .. } => {
                    self.names.push(index)
                }
                Op::Sync { file, begun } => {
                    self.sync_data(*file, *begun);
                    if self.model.names_in_order {
                        self.sync_names(*begun, |_| true);
                    }
                }
                Op::SyncFailed { file, begun } => {
                    if let Some(waiting) = self.data.get_mut(file) {
                        waiting.retain(|index| index >= begun);
                    }
                }
                Op::SyncDir { path, begun } => {
                    let all = self.model.names_in_order;
                    self.sync_names(*begun, |op| all || folder_of(op) == Some(path));
                }
                Op::Mark(_) => {}
            }
        }
    }

    fn sync_data(&mut self, file: FileId, begun: usize) {
        let Some(waiting) = self.data.get_mut(&file) else { return };
        let covered = waiting.partition_point(|index| *index < begun);
        for index in waiting.drain(..covered) {
            apply(&self.trace.ops[index], &mut self.durable.contents[file]);
        }
    }

    fn sync_names(&mut self, begun: usize, is_covered: impl Fn(&Op) -> bool) {
        let (ops, durable) = (&self.trace.ops, &mut self.durable);
        self.names.retain(|index| {
            let is_durable = *index < begun && is_covered(&ops[*index]);
            if is_durable {
                durable.rename_or_so(&ops[*index]);
            }
            !is_durable
        });
    }

    /// One of the trees that a cut at this moment can leave.
    pub(crate) fn image(&self, random: &mut Random) -> Tree {
        let mut tree =
            Tree { dirs: self.durable.dirs.clone(), files: self.durable.files.clone(), contents: Vec::new() };
        let names = Pattern::draw(random, self.names.len(), self.model.names_in_order);
        for (index, at) in self.names.iter().enumerate() {
            // A change of a name is there or not; where its turn would be torn, it is not.
            if names.fate(random, index, 0, u64::MAX) == Fate::Kept {
                tree.rename_or_so(&self.trace.ops[*at]);
            }
        }
        tree.drop_strays();
        let mut order: Vec<usize> = self.data.values().flatten().copied().collect();
        order.sort_unstable();
        let (data, files) = (Pattern::draw(random, order.len(), self.model.data_in_order), random.next());
        let mut fates = BTreeMap::new();
        for (index, at) in order.into_iter().enumerate() {
            let file = file_of(&self.trace.ops[at]);
            fates.insert(at, data.fate(random, index, file, files));
        }
        // Only what has a name can be found again: contents are numbered anew.
        let named = std::mem::take(&mut tree.files);
        let mut numbers = BTreeMap::new();
        for (path, file) in named {
            let number = *numbers.entry(file).or_insert_with(|| {
                tree.contents.push(self.content(random, file, &fates));
                tree.contents.len() - 1
            });
            tree.files.insert(path, number);
        }
        tree
    }

    fn content(&self, random: &mut Random, file: FileId, fates: &BTreeMap<usize, Fate>) -> Vec<u8> {
        let mut kept = self.durable.contents[file].clone();
        let waiting = self.data.get(&file).map(Vec::as_slice).unwrap_or_default();
        if waiting.is_empty() {
            return kept;
        }
        // What the process saw: a sector that survives has all of it up to that moment.
        let mut seen = kept.clone();
        for index in waiting {
            let op = &self.trace.ops[*index];
            apply(op, &mut seen);
            match (op, fates[index]) {
                (Op::SetLen { len, .. }, Fate::Kept) => kept.resize(*len, 0),
                (Op::Write { at, data, .. }, Fate::Lost) => {
                    let end = at + data.len();
                    if self.model.grows_alone && end > kept.len() && random.is_heads() {
                        kept.resize(end, 0);
                    }
                }
                (Op::Write { at, data, .. }, fate) => {
                    let sector = self.model.sector;
                    for from in (at / sector * sector..at + data.len()).step_by(sector) {
                        if fate == Fate::Kept || random.is_heads() {
                            let end = (from + sector).min(seen.len());
                            kept.resize(kept.len().max(end), 0);
                            kept[from..end].copy_from_slice(&seen[from..end]);
                        }
                    }
                }
                _ => {}
            }
        }
        kept
    }
}

fn file_of(op: &Op) -> FileId {
    match op {
        Op::Write { file, .. } | Op::SetLen { file, .. } => *file,
        _ => unreachable!("only data waits for a file"),
    }
}

/// The folder whose sync makes a change of a name durable.
fn folder_of(op: &Op) -> Option<&std::path::Path> {
    match op {
        Op::Create { path, .. } | Op::Mkdir { path } | Op::Unlink { path } | Op::Rmdir { path } => {
            path.parent()
        }
        Op::Rename { to, .. } => to.parent(),
        _ => None,
    }
}

fn apply(op: &Op, content: &mut Vec<u8>) {
    match op {
        Op::SetLen { len, .. } => content.resize(*len, 0),
        Op::Write { at, data, .. } => {
            let end = at + data.len();
            content.resize(content.len().max(end), 0);
            content[*at..end].copy_from_slice(data);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn trace(ops: Vec<Op>) -> Trace {
        Trace { before: Tree::default(), ops, failed: 0 }
    }

    fn write(at: usize, byte: u8, bytes: usize) -> Op {
        Op::Write { file: 0, at, data: vec![byte; bytes].into() }
    }

    fn create() -> Op {
        Op::Create { path: PathBuf::from("f"), file: 0 }
    }

    /// All contents that the file has in two hundred images; `None` where it is not there.
    fn contents(trace: &Trace, model: Model) -> Vec<Option<Vec<u8>>> {
        let mut drive = Drive::new(trace, model);
        drive.go_on_to(trace.ops.len());
        let image = |seed| {
            let tree = drive.image(&mut Random::new(seed));
            tree.files.get(&PathBuf::from("f")).map(|file| tree.contents[*file].clone())
        };
        (0..200).map(image).collect()
    }

    #[test]
    fn what_was_synced_with_its_name_is_in_every_image_and_nothing_else_must_be() {
        for model in MODELS {
            let synced = vec![
                create(),
                write(0, 1, 600),
                Op::Sync { file: 0, begun: 2 },
                Op::SyncDir { path: PathBuf::new(), begun: 3 },
                write(512, 2, 600),
            ];
            let images = contents(&trace(synced), model);
            assert!(images.iter().all(|image| image.as_ref().unwrap()[..512] == [1; 512]), "{}", model.name);
            assert!(images.iter().any(|image| image.as_ref().unwrap().len() == 600), "{}", model.name);
            assert!(
                images.iter().any(|image| image.as_ref().unwrap().ends_with(&[2; 600])),
                "{}",
                model.name
            );
        }
    }

    #[test]
    fn a_name_without_a_sync_of_its_folder_may_be_missing_where_files_do_not_bring_it() {
        let unnamed = trace(vec![create(), write(0, 1, 512), Op::Sync { file: 0, begun: 2 }]);
        assert!(contents(&unnamed, MODELS[0]).contains(&None));
        assert!(!contents(&unnamed, MODELS[1]).contains(&None));
    }

    #[test]
    fn a_file_with_two_names_holds_the_same_under_both() {
        let other = Op::Create { path: PathBuf::from("g"), file: 0 };
        let trace = trace(vec![create(), other, write(0, 1, 4096)]);
        let mut drive = Drive::new(&trace, MODELS[0]);
        drive.go_on_to(trace.ops.len());
        let both = (0..200).filter(|seed| {
            let tree = drive.image(&mut Random::new(*seed));
            let [Some(f), Some(g)] = ["f", "g"].map(|name| tree.files.get(&PathBuf::from(name))) else {
                return false;
            };
            assert_eq!(tree.contents[*f], tree.contents[*g]);
            true
        });
        assert!(both.count() > 20);
    }

    #[test]
    fn a_sync_covers_nothing_that_came_after_it_began() {
        let ops =
            vec![create(), Op::Sync { file: 0, begun: 1 }, write(0, 1, 512), Op::Sync { file: 0, begun: 2 }];
        let images = contents(&trace(ops), MODELS[1]);
        assert!(images.contains(&Some(Vec::new())) && images.contains(&Some(vec![1; 512])));
    }

    #[test]
    fn a_sector_never_holds_a_later_write_without_the_earlier_one() {
        let ops = vec![create(), Op::Sync { file: 0, begun: 1 }, write(0, 1, 100), write(100, 2, 100)];
        for image in contents(&trace(ops), MODELS[1]).into_iter().flatten() {
            let later = image.get(100) == Some(&2);
            assert!(!later || image[..100] == [1; 100], "{image:?}");
        }
    }
}
