//! Salvage: rows read out of the bytes of the engine's file, without the engine.
//!
//! Owns:  what is known of the pages of sled 0.34, which torn places of a log are damage.
//! Never: writes, opens a store.
//!
//! The engine takes a message that it cannot read for the end of its segment: in the last one, it overwrites what stands behind it;
//! in an earlier one, it passes over that and goes on with the next. Everything there has checksums of its own and can
//! still be read, as long as nobody has opened the store.
//!
//! A file is a run of segments. A page is its newest node and the links behind that, in the order of their positions in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::files::open_plain;
use crate::keys;
use crate::merges::Merges;
use crate::segment::{self, BLOB_LINK, Cursor, Group, LINK, Message, NODE, SEGMENT_HEADER, Segment, Tear};
use crate::total::Total;

/// Of a link: a row is set, or removed.
const SET: u8 = 0;
const REMOVE: u8 = 1;
/// Of a node: it holds rows, not other nodes.
const LEAF: u8 = 0;

/// Where a value lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    offset: u64,
    length: usize,
}

/// A row with the position in the log at which it was written last.
#[derive(Clone, Copy, Debug)]
struct Row {
    position: u64,
    /// `None` for one that was removed.
    at: Option<At>,
}

/// What is known of a page.
#[derive(Default)]
struct Page {
    /// The newest base, or that the page was freed: from here on.
    since: u64,
    node: Node,
    /// Their keys are without the node's prefix.
    links: Vec<(Vec<u8>, Row)>,
    /// Positions of all messages behind the base, also of those that say nothing of a row.
    linked: Vec<u64>,
}

/// A node that holds rows.
#[derive(Default)]
struct Node {
    /// With what the key of each of its rows begins.
    prefix: Vec<u8>,
    rows: Vec<(Vec<u8>, At)>,
}

/// The log of a store that nobody has open.
pub(crate) struct Log {
    file: File,
    rows: BTreeMap<Vec<u8>, Row>,
    /// Those of which something that is still needed may have stood.
    tears: Vec<Tear>,
    /// The last batch whose beginning can be read.
    last_group: Option<Group>,
    /// Where the last message ends that can be read.
    end: u64,
    /// Bytes in which a bit was righted, each with its place in the file.
    righted: BTreeMap<u64, u8>,
    /// Positions in the log of what is not as it was written, although all of it can be read: that had a bit righted, or that says
    /// what cannot be.
    contradicted: Vec<u64>,
}

impl Log {
    /// Reads the log in `db`, and takes of it what stands before the position `until`.
    pub(crate) fn read(db: &Path, segment_bytes: usize, until: u64) -> io::Result<Self> {
        let mut pages: HashMap<u64, Page> = HashMap::new();
        let (mut walked, mut righted) = (Walked::default(), BTreeMap::new());
        let (file, _) = each_segment(db, segment_bytes, Range::WHOLE, |offset, bytes| {
            let mut segment = Segment::new(bytes, segment_bytes);
            while let Some(message) = segment.next() {
                if message.position >= until {
                    continue;
                }
                walked.message(&segment, &message);
                if message.is_of_a_page() {
                    pages.entry(message.page).or_default().take(&message, segment.body(&message), offset);
                }
            }
            righted.extend(segment.righted().iter().map(|(at, byte)| (offset + *at as u64, *byte)));
            walked.segment(&segment);
        })?;
        let is_needed = needed(&pages, walked.newest, segment_bytes as u64);
        let flips = walked.flips.iter().copied().filter(|flip| *flip < until && is_needed(*flip, None));
        let torn = walked.torn().filter(|tear| tear.position < until && is_needed(tear.position, tear.page));
        let since = db.parent().map_or(0, read_from);
        let without_end = walked.merges.without_end().filter(|position| *position < until);
        let missing = walked.missing(since, segment_bytes as u64).filter(|tear| tear.position < until);
        let (contradicted, tears) = (flips.chain(without_end).collect(), torn.chain(missing).collect());
        drop(is_needed);
        let Walked { last_group, end, .. } = walked;
        let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        for (key, row) in pages.into_values().flat_map(Page::into_rows) {
            rows.entry(key).and_modify(|known| *known = newer(*known, row)).or_insert(row);
        }
        rows.retain(|_, row| row.at.is_some());
        Ok(Self { file, rows, tears, last_group, end, righted, contradicted })
    }

    /// Whether something is not as it was on the drive. Each batch is there before the next begins; of the last one, a cut of the
    /// power may have left any part, and a kill what was written until then, which the engine takes back.
    pub(crate) fn is_damaged(&self) -> bool {
        let taken_back_from = self.taken_back_from().unwrap_or(u64::MAX);
        self.tears.iter().any(|tear| tear.position < self.durable_until())
            || self.contradicted.iter().any(|position| *position < taken_back_from)
    }

    /// From where on the engine takes back what is there in part.
    pub(crate) fn taken_back_from(&self) -> Option<u64> {
        let torn = self.tears.iter().map(|tear| tear.position);
        let first = torn.filter(|position| *position >= self.durable_until()).min();
        match self.last_group {
            Some(group) if group.to >= first.unwrap_or(self.end) => Some(group.from),
            _ => first,
        }
    }

    fn durable_until(&self) -> u64 {
        self.last_group.map_or(0, |group| group.from)
    }

    /// Whether it has places that cannot be read: these tell which rows may be missing or older than they should be.
    pub(crate) const fn is_torn(&self) -> bool {
        !self.tears.is_empty()
    }

    /// Whether its rows are those that were committed last; `None` where it does not tell their total.
    pub(crate) fn adds_up(&self) -> io::Result<Option<bool>> {
        let stored = self.value(keys::TOTAL).and_then(|bytes| Total::of_row(&bytes).ok());
        let Some(stored) = stored else { return Ok(None) };
        let mut total = Total::default();
        for row in self.rows() {
            let row = row?;
            total.add_row(row.key, &row.value);
        }
        Ok(Some(total == stored))
    }

    /// A row's value.
    pub(crate) fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.read_at(self.rows.get(key)?.at?).ok()
    }

    fn read_at(&self, At { offset, length }: At) -> io::Result<Vec<u8>> {
        let mut value = vec![0; length];
        self.file.read_exact_at(&mut value, offset)?;
        for (at, byte) in self.righted.range(offset..offset + length as u64) {
            value[(at - offset) as usize] = *byte;
        }
        Ok(value)
    }

    /// Every row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = io::Result<Salvaged<'_>>> {
        let last = self.tears.iter().map(|tear| tear.position).max();
        self.rows.iter().filter_map(move |(key, Row { position, at })| {
            let may_be_old = last.is_some_and(|last| *position < last);
            let read = self.read_at((*at)?);
            Some(read.map(|value| Salvaged { key, value, position: *position, may_be_old }))
        })
    }
}

/// A row that could be read.
pub(crate) struct Salvaged<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Vec<u8>,
    /// Where in the log it was written.
    pub(crate) position: u64,
    /// Something that cannot be read may have changed it since.
    pub(crate) may_be_old: bool,
}

/// How much of a log is looked through.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    /// Segments that end before this position in the log are passed over.
    pub(crate) since: u64,
    /// No more than these bytes are read.
    pub(crate) bytes_max: u64,
}

impl Range {
    /// All of it.
    pub(crate) const WHOLE: Self = Self { since: 0, bytes_max: u64::MAX };

    pub(crate) const fn is_whole(&self) -> bool {
        self.since == 0 && self.bytes_max == u64::MAX
    }
}

/// Reads one segment after the other, each with its offset in the file; tells whether the limit left out none.
fn each_segment(
    db: &Path,
    segment_bytes: usize,
    range: Range,
    mut each: impl FnMut(u64, &mut [u8]),
) -> io::Result<(File, bool)> {
    let file = open_plain(db)?;
    let length = file.metadata()?.len();
    let mut bytes = vec![0; segment_bytes];
    let (mut offset, mut read) = (0, 0);
    while offset < length && read < range.bytes_max {
        let here = usize::try_from(length - offset).unwrap_or(segment_bytes).min(segment_bytes);
        let mut header = [0; SEGMENT_HEADER];
        let header_bytes = here.min(SEGMENT_HEADER);
        file.read_exact_at(&mut header[..header_bytes], offset)?;
        let end = segment::position_of(&header).map(|position| position.saturating_add(segment_bytes as u64));
        // One whose header cannot be read may be any.
        if end.is_none_or(|end| end > range.since) {
            file.read_exact_at(&mut bytes[..here], offset)?;
            each(offset, &mut bytes[..here]);
            read += here as u64;
        }
        offset += segment_bytes as u64;
    }
    Ok((file, offset >= length))
}

/// Whether anything in a log cannot be read as it lies there, although it went on behind that, or its last batch lacks something.
/// Keeps nothing of what it reads.
pub(crate) fn is_torn(db: &Path, segment_bytes: usize, range: Range) -> io::Result<bool> {
    let mut walked = Walked::default();
    let (_, is_all) = each_segment(db, segment_bytes, range, |_, bytes| {
        let mut segment = Segment::new(bytes, segment_bytes);
        while let Some(message) = segment.next() {
            walked.message(&segment, &message);
        }
        walked.segment(&segment);
    })?;
    let lacks_its_end = is_all && walked.last_group.is_some_and(|group| group.to >= walked.end);
    let since = db.parent().map_or(0, read_from);
    let is_missing = is_all && walked.missing(since, segment_bytes as u64).is_some();
    let is_whole = walked.flips.is_empty() && walked.torn().next().is_none();
    Ok(lacks_its_end || is_missing || !is_whole || walked.merges.without_end().is_some())
}

/// What a walk over all segments has found.
#[derive(Default)]
struct Walked {
    torn_within: Vec<Tear>,
    /// By the number of the segment that ends so.
    torn_ends: Vec<(u64, Tear)>,
    newest: u64,
    /// Numbers of the segments that are there.
    there: BTreeSet<u64>,
    /// Up to here the log was written at the least.
    written_until: u64,
    /// Where a bit was righted.
    flips: Vec<u64>,
    last_group: Option<Group>,
    end: u64,
    merges: Merges,
}

impl Walked {
    fn message(&mut self, segment: &Segment<'_>, message: &Message) {
        self.merges.take(message, segment.body(message));
        self.end = self.end.max(message.end());
        if let Some(group) = segment.group(message)
            && self.last_group.is_none_or(|last| last.from < group.from)
        {
            self.last_group = Some(group);
        }
    }

    fn segment(&mut self, segment: &Segment<'_>) {
        let Some(number) = segment.number() else { return };
        self.newest = self.newest.max(number);
        self.there.insert(number);
        self.written_until = self.written_until.max(segment.written_until().unwrap_or_default());
        self.torn_ends.extend(segment.torn_end().map(|tear| (number, tear)));
        self.torn_within.extend(segment.torn());
        self.flips.extend(segment.righted().keys().filter_map(|at| segment.position(*at)));
    }

    /// Where it is torn. The newest segment may end anywhere.
    fn torn(&self) -> impl Iterator<Item = Tear> {
        let ends = self.torn_ends.iter().filter(|(number, _)| *number < self.newest);
        self.torn_within.iter().copied().chain(ends.map(|(_, tear)| *tear))
    }

    /// Where a whole segment is missing: from the one on up to which the log was written, or which the engine reads first, it uses
    /// none again.
    fn missing(&self, since: u64, segment_bytes: u64) -> Option<Tear> {
        let first = self.written_until.max(since) / segment_bytes;
        let mut numbers = first..=self.newest.max(self.written_until / segment_bytes);
        let number = numbers.find(|number| !self.there.is_empty() && !self.there.contains(number))?;
        Some(Tear { position: number * segment_bytes, page: None })
    }
}

/// At which positions something may be missing. A segment of which nothing is needed any more is written anew some day, and a cut of
/// the power may leave it half done.
fn needed(pages: &HashMap<u64, Page>, newest: u64, segment_bytes: u64) -> impl Fn(u64, Option<u64>) -> bool {
    let mut needed: BTreeSet<u64> = BTreeSet::from([newest]);
    for page in pages.values() {
        needed.extend(page.positions().map(|position| position / segment_bytes));
    }
    move |position, page| {
        let is_newest = |page| pages.get(&page).is_none_or(|page: &Page| page.since < position);
        needed.contains(&(position / segment_bytes)) || page.is_some_and(is_newest)
    }
}

/// From which position of the log on the engine reads it at the next open: what is before that stands in its snapshot.
pub(crate) fn read_from(store: &Path) -> u64 {
    let position = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        u64::from_str_radix(name.to_str()?.strip_prefix("snap.")?, 16).ok()
    };
    let entries = std::fs::read_dir(store).into_iter().flatten().flatten();
    entries.filter_map(position).max().unwrap_or(0)
}

fn newer(a: Row, b: Row) -> Row {
    if b.position > a.position { b } else { a }
}

impl Page {
    fn take(&mut self, message: &Message, body: &[u8], segment_offset: u64) {
        let body = Cursor { bytes: body, at: 0 };
        let base = segment_offset + message.body_at as u64;
        match message.kind {
            LINK | BLOB_LINK if message.position > self.since => {
                self.linked.push(message.position);
                self.links.extend(link(body, base, message.position).filter(|_| message.kind == LINK));
            }
            LINK | BLOB_LINK => {}
            _ if message.position >= self.since => {
                self.since = message.position;
                let node = (message.kind == NODE).then(|| node(body, base)).flatten();
                self.node = node.unwrap_or_default();
                self.links.retain(|(_, row)| row.position > message.position);
                self.linked.retain(|position| *position > message.position);
            }
            _ => {}
        }
    }

    /// Positions of the messages that make it up.
    fn positions(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.since).chain(self.linked.iter().copied())
    }

    fn into_rows(self) -> impl Iterator<Item = (Vec<u8>, Row)> {
        let (since, Node { prefix, rows }) = (self.since, self.node);
        let rows = rows.into_iter().map(|(key, at)| (key, Row { position: since, at: Some(at) }));
        // A link comes behind the node, and a later link behind an earlier one.
        let mut all: BTreeMap<Vec<u8>, Row> = rows.collect();
        for (key, row) in self.links {
            let key = [&prefix[..], &key].concat();
            all.entry(key).and_modify(|known| *known = newer(*known, row)).or_insert(row);
        }
        all.into_iter()
    }
}

/// A node, if it has rows.
fn node(mut body: Cursor<'_>, base: u64) -> Option<Node> {
    // Its neighbour, and one that is being merged into it.
    body.number()?;
    body.number()?;
    body.byte()?;
    let prefix_length = usize::from(body.byte()?);
    let low = body.text()?;
    body.text()?;
    if body.byte()? != LEAF {
        return None;
    }
    let prefix = low.get(..prefix_length)?;
    let count = body.number()?;
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push([prefix, body.text()?].concat());
    }
    let rows: Option<_> = keys.into_iter().map(|key| Some((key, place(&mut body, base)?))).collect();
    Some(Node { prefix: prefix.to_vec(), rows: rows? })
}

/// Where the text lies in the file that comes next.
fn place(body: &mut Cursor<'_>, base: u64) -> Option<At> {
    let length = body.text()?.len();
    Some(At { offset: base + (body.at - length) as u64, length })
}

/// The row that a link sets or removes.
fn link(mut body: Cursor<'_>, base: u64, position: u64) -> Option<(Vec<u8>, Row)> {
    let what = body.byte()?;
    let key = match what {
        SET | REMOVE => body.text()?.to_vec(),
        _ => return None,
    };
    let at = if what == SET { Some(place(&mut body, base)?) } else { None };
    Some((key, Row { position, at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Bytes, Disk, Sizes, Writes};
    use crate::limits::SEGMENT_BYTES_BY_HAND;

    const SMALL: Sizes = Sizes { segment_bytes: SEGMENT_BYTES_BY_HAND, reserve_bytes: 0 };

    fn raw_rows(disk: &Disk) -> BTreeMap<Vec<u8>, Vec<u8>> {
        disk.raw_rows(b"").into_iter().map(|(key, value)| (key, value.to_vec())).collect()
    }

    fn salvaged(log: &Log) -> BTreeMap<Vec<u8>, Vec<u8>> {
        log.rows().map(|row| row.map(|row| (row.key.to_vec(), row.value)).unwrap()).collect()
    }

    /// Rows that come, change and go, over several segments.
    fn fill(disk: &Disk, groups: usize) {
        for group in 0..groups {
            let mut writes = Writes::new();
            for number in 0..20_usize {
                let key = format!("c{:03}", (group * 7 + number * 13) % 300).into_bytes();
                let value = (number % 5 > 0).then(|| Bytes::from(vec![group as u8; 40 + number * 17]));
                writes.insert(key, value);
            }
            disk.commit(&writes).unwrap();
        }
    }

    #[test]
    fn what_the_engine_holds_is_read_out_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SMALL).unwrap();
        for _ in 0..6 {
            fill(&disk, 40);
            let held = raw_rows(&disk);
            let log = Log::read(&dir.path().join("db"), SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap();
            assert_eq!((log.tears.as_slice(), log.taken_back_from()), ([].as_slice(), None));
            assert!(!is_torn(&dir.path().join("db"), SEGMENT_BYTES_BY_HAND, Range::WHOLE).unwrap());
            assert_eq!(salvaged(&log), held);
        }
        assert!(disk.size_bytes() > 4 * SEGMENT_BYTES_BY_HAND as u64, "several segments");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        #[test]
        fn nothing_is_read_that_was_never_written(
            changes in proptest::collection::vec((0_usize..SEGMENT_BYTES_BY_HAND * 3, 0_u8..=255, 1_usize..40), 1..60),
        ) {
            // Made once: each case changes a copy.
            static WHOLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let whole = WHOLE.get_or_init(|| {
                let dir = tempfile::tempdir().unwrap();
                fill(&Disk::open(dir.path(), SMALL).unwrap(), 30);
                std::fs::read(dir.path().join("db")).unwrap()
            });
            let mut bytes = whole.clone();
            for (at, byte, length) in changes {
                let at = at % bytes.len();
                let end = (at + length).min(bytes.len());
                bytes[at..end].fill(byte);
            }
            let dir = tempfile::tempdir().unwrap();
            let db = dir.path().join("db");
            std::fs::write(&db, &bytes).unwrap();
            let mut found = salvaged(&Log::read(&db, SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap());
            found.remove(keys::TOTAL);
            for (key, value) in found {
                // A key may be read with the prefix of another node; the row's own checksum, which covers it, tells.
                let group = usize::from(value[0]);
                let number = (value.len() - 40) / 17;
                let is_whole = value.iter().all(|byte| usize::from(*byte) == group) && value.len() == 40 + number * 17;
                let written = format!("c{:03}", (group * 7 + number * 13) % 300).into_bytes();
                proptest::prop_assert!(is_whole && written.ends_with(&key[key.len().min(1)..]), "{key:?}");
            }
        }
    }

    #[test]
    fn where_only_what_the_engine_will_read_is_looked_through_damage_is_found_there() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SMALL).unwrap();
        for first in (300..1_000_u16).step_by(20) {
            let row = |number: u16| (format!("c{number:03}").into_bytes(), Some(Bytes::from(vec![7; 300])));
            disk.commit(&(first..first + 20).map(row).collect()).unwrap();
        }
        drop(disk);
        drop(Disk::open(dir.path(), SMALL).unwrap());
        let since = read_from(dir.path());
        assert!(since > 2 * SEGMENT_BYTES_BY_HAND as u64, "the second open wrote a snapshot: {since}");
        fill(&Disk::open(dir.path(), SMALL).unwrap(), 30);
        let db = dir.path().join("db");
        let whole = std::fs::read(&db).unwrap();
        let (mut before, mut behind, mut beyond) = (0, 0, 0);
        for at in (SEGMENT_HEADER..whole.len()).step_by(1_511) {
            let segment = at / SEGMENT_BYTES_BY_HAND * SEGMENT_BYTES_BY_HAND;
            let Some(position) = segment::position_of(&whole[segment..]) else { continue };
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&db, &damaged).unwrap();
            let found = |range| is_torn(&db, SEGMENT_BYTES_BY_HAND, range).unwrap();
            if !found(Range::WHOLE) {
                continue;
            }
            let is_passed_over = position + SEGMENT_BYTES_BY_HAND as u64 <= since;
            assert_eq!(found(Range { since, ..Range::WHOLE }), !is_passed_over, "at {at}");
            *(if is_passed_over { &mut before } else { &mut behind }) += 1;
            beyond += usize::from(!found(Range { since: 0, bytes_max: SEGMENT_BYTES_BY_HAND as u64 }));
        }
        assert!(before > 5 && behind > 5 && beyond > 5, "{before} before, {behind} behind, {beyond} beyond");
    }

    /// What is read of a store in which something was done to a place, and whether it counts as damaged.
    fn read_with(db: &Path, bytes: &[u8]) -> (BTreeMap<Vec<u8>, Vec<u8>>, bool) {
        std::fs::write(db, bytes).unwrap();
        let log = Log::read(db, SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap();
        assert!(!log.is_damaged() || is_torn(db, SEGMENT_BYTES_BY_HAND, Range::WHOLE).unwrap());
        (salvaged(&log), log.is_damaged())
    }

    #[test]
    fn a_flipped_bit_costs_nothing_and_more_costs_its_own_message_alone() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SMALL).unwrap();
        fill(&disk, 12);
        let held = raw_rows(&disk);
        drop(disk);
        let db = dir.path().join("db");
        let whole = std::fs::read(&db).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let (mut met, mut count) = (0, 0);
        for at in (0..used - 16).step_by(131) {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            let (rows, is_damaged) = read_with(&db, &damaged);
            assert!(rows == held, "{} of {} rows behind a flip at {at}", rows.len(), held.len());
            met += usize::from(is_damaged);
            count += 1;
            for byte in &mut damaged[at..at + 16] {
                *byte = !*byte;
            }
            let (rows, _) = read_with(&db, &damaged);
            let right = held.iter().filter(|(key, value)| rows.get(*key) == Some(value)).count();
            // One node holds at most some dozen rows.
            assert!(right + 40 >= held.len(), "{right} of {} behind sixteen bytes at {at}", held.len());
        }
        assert!(met > count / 2, "{met} of {count} were met");
    }
}
