//! What the kernel tells about a process.
//!
//! Owns:  reading /proc, and the size of a folder.
//! Never: starts or signals a process.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks a second in /proc: the same on every Linux.
const TICKS_A_SECOND: u64 = 100;

/// Bytes of memory in use now, and at the most since the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = read(pid, "status")?;
    let bytes = |name| Ok::<_, anyhow::Error>(field(&status, name)? * 1024);
    Ok(Memory { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Lets the peak of a process begin anew.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    // 5 stands for the peak alone.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the peak of a process's memory")
}

/// Time on a processor, of all threads that are and were.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("reading `{stat}`"))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

/// Voluntary context switches of each thread, with its kind: how often it was woken.
pub(crate) type Wakes = BTreeMap<u32, (String, u64)>;

/// Those of every thread that there is.
pub(crate) fn wakes(pid: u32) -> Result<Wakes> {
    let dir = format!("/proc/{pid}/task");
    let mut wakes = Wakes::new();
    for thread in std::fs::read_dir(&dir).with_context(|| format!("reading {dir}"))? {
        let Ok(thread) = thread?.file_name().to_string_lossy().parse() else { continue };
        // A thread may have ended since.
        if let Ok(status) = read(pid, &format!("task/{thread}/status")) {
            wakes.insert(thread, (kind(&status), field(&status, "voluntary_ctxt_switches:")?));
        }
    }
    Ok(wakes)
}

/// The name of a thread without its number.
fn kind(status: &str) -> String {
    let name = status.lines().find_map(|line| line.strip_prefix("Name:")).unwrap_or_default().trim();
    name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '-').to_owned()
}

/// Wakes of each kind of thread between two looks. Those of a thread that ended in between are not seen.
pub(crate) fn wakes_between(before: &Wakes, after: &Wakes) -> BTreeMap<String, u64> {
    let mut between = BTreeMap::new();
    for (thread, (kind, wakes)) in after {
        let earlier = before.get(thread).map_or(0, |(_, wakes)| *wakes);
        *between.entry(kind.clone()).or_default() += wakes.saturating_sub(earlier);
    }
    between
}

/// Bytes that a process caused to be written to the drive.
pub(crate) fn written(pid: u32) -> Result<u64> {
    field(&read(pid, "io")?, "write_bytes:")
}

/// Bytes that the files of a folder take on the drive.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64> {
    let reading = || format!("reading {}", folder.display());
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let about = entry.metadata().with_context(reading)?;
        // Blocks count 512 bytes each, whatever the file system's own size is.
        bytes += if about.is_dir() { folder_bytes(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

fn field(text: &str, name: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number =
        value.and_then(|value| value.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.with_context(|| format!("there is no number behind `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_looked_at() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.peak >= memory.now / 2 && memory.now > 0);
        cpu(own).unwrap();
        written(own).unwrap();
        let wakes = wakes(own).unwrap();
        assert!(wakes.contains_key(&own), "{wakes:?}");
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_confuses_nothing() {
        assert_eq!(cpu_ticks("7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0"), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn wakes_of_a_new_thread_count_from_its_beginning() {
        let thread = |status: &str, wakes| (kind(status), wakes);
        let before = Wakes::from([(1, thread("Name:\tio-1", 10)), (2, thread("Name:\tio-2", 5))]);
        let after = Wakes::from([
            (1, thread("Name:\tio-1", 13)),
            (3, thread("Name:\tio-3", 4)),
            (4, thread("Name:\tmain", 1)),
        ]);
        let between = wakes_between(&before, &after);
        assert_eq!(between, BTreeMap::from([("io".to_owned(), 7), ("main".to_owned(), 1)]));
    }
}
