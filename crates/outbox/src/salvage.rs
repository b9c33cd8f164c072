//! Salvage: rows read out of the bytes of the engine's file, without the engine.
//!
//! Owns:  what is known of the log of sled 0.34: its segments, messages and pages.
//! Never: writes, believes a byte whose checksum does not fit, opens a store.
//!
//! The engine takes a message that it cannot read for the end of its segment: in the last one, it overwrites what stands behind it;
//! in an earlier one, it passes over that and goes on with the next. Everything there has checksums of its own and can
//! still be read, as long as nobody has opened the store.
//!
//! A file is a run of segments. Each begins with `checksum (4), first position (8), position that was durable (8)`, and goes on
//! with messages: `checksum (4), kind (1), length, segment, page, body`, the last three numbers of one to nine bytes. A page is
//! its newest node and the links behind that, in the order of their positions in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SEGMENT_HEADER: usize = 20;
/// Checksum and kind.
const FIXED_HEADER: usize = 5;

/// Where less than this is left of a segment, no message begins.
const HEADER_MAX: usize = 32;

const CAP: u8 = 2;
const BATCH: u8 = 3;
const FREE: u8 = 4;
const NODE: u8 = 8;
const LINK: u8 = 10;
const BLOB_LINK: u8 = 11;
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

/// A place of the log that cannot be read, although the log went on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tear {
    /// In the log.
    position: u64,
    /// The page of the message that stands there, where that can still be read.
    page: Option<u64>,
    /// Something behind it in the same segment can be read.
    has_more: bool,
}

/// A batch: all or nothing of it counts.
#[derive(Clone, Copy)]
struct Group {
    from: u64,
    /// Its last byte.
    to: u64,
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
}

impl Log {
    /// Reads the log in `db`, and takes of it what stands before the position `until`.
    pub(crate) fn read(db: &Path, segment_bytes: usize, until: u64) -> io::Result<Self> {
        let mut pages: HashMap<u64, Page> = HashMap::new();
        let (mut tears, mut last_group, mut end) = (Tears::default(), None::<Group>, 0);
        let file = each_segment(db, segment_bytes, Range::WHOLE, |offset, bytes| {
            let mut segment = Segment::new(bytes, segment_bytes);
            while let Some(message) = segment.next() {
                if message.position >= until {
                    continue;
                }
                end = end.max(message.end());
                if let Some(group) = message.group()
                    && last_group.is_none_or(|last| last.from < group.from)
                {
                    last_group = Some(group);
                } else if message.is_of_a_page() {
                    pages.entry(message.page).or_default().take(&message, offset);
                }
            }
            tears.add(segment);
        })?;
        let is_needed = needed(&pages, &tears, segment_bytes as u64);
        let tears = tears.found().filter(|tear| tear.position < until && is_needed(tear)).collect();
        drop(is_needed);
        let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        for (key, row) in pages.into_values().flat_map(Page::into_rows) {
            rows.entry(key).and_modify(|known| *known = newer(*known, row)).or_insert(row);
        }
        rows.retain(|_, row| row.at.is_some());
        Ok(Self { file, rows, tears, last_group, end })
    }

    /// Whether something is torn that was on the drive: each batch is, before the next begins. Of the last one, a cut of the
    /// power may have left any part, and a kill what was written until then; the engine takes that back.
    pub(crate) fn is_damaged(&self, by_power_cut: bool) -> bool {
        self.tears.iter().any(|tear| !self.may_be_half_written(tear, by_power_cut))
    }

    /// From where on the engine takes back what is there in part.
    pub(crate) fn taken_back_from(&self, by_power_cut: bool) -> Option<u64> {
        let torn = self.tears.iter().filter(|tear| self.may_be_half_written(tear, by_power_cut));
        let first = torn.map(|tear| tear.position).min();
        match self.last_group {
            Some(group) if group.to >= first.unwrap_or(self.end) => Some(group.from),
            _ => first,
        }
    }

    fn may_be_half_written(&self, tear: &Tear, by_power_cut: bool) -> bool {
        let is_behind_the_durable = self.last_group.is_none_or(|group| tear.position >= group.from);
        is_behind_the_durable && (by_power_cut || !tear.has_more)
    }

    /// A row's value.
    pub(crate) fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        let At { offset, length } = self.rows.get(key)?.at?;
        let mut value = vec![0; length];
        self.file.read_exact_at(&mut value, offset).ok()?;
        Some(value)
    }

    /// Every row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = io::Result<Salvaged<'_>>> {
        let last = self.tears.iter().map(|tear| tear.position).max();
        self.rows.iter().filter_map(move |(key, Row { position, at })| {
            let at = (*at)?;
            let mut value = vec![0; at.length];
            let read = self.file.read_exact_at(&mut value, at.offset);
            let may_be_old = last.is_some_and(|last| *position < last);
            Some(read.map(|()| Salvaged { key, value, position: *position, may_be_old }))
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
}

/// Reads one segment after the other, each with its offset in the file.
fn each_segment(
    db: &Path,
    segment_bytes: usize,
    range: Range,
    mut each: impl FnMut(u64, &[u8]),
) -> io::Result<File> {
    let file = File::open(db)?;
    let length = file.metadata()?.len();
    let mut bytes = vec![0; segment_bytes];
    let (mut offset, mut read) = (0, 0);
    while offset < length && read < range.bytes_max {
        let here = usize::try_from(length - offset).unwrap_or(segment_bytes).min(segment_bytes);
        let mut header = [0; SEGMENT_HEADER];
        let header_bytes = here.min(SEGMENT_HEADER);
        file.read_exact_at(&mut header[..header_bytes], offset)?;
        let end = segment_position(&header).map(|position| position.saturating_add(segment_bytes as u64));
        // One whose header cannot be read may be any.
        if end.is_none_or(|end| end > range.since) {
            file.read_exact_at(&mut bytes[..here], offset)?;
            each(offset, &bytes[..here]);
            read += here as u64;
        }
        offset += segment_bytes as u64;
    }
    Ok(file)
}

/// Whether anything in a log cannot be read although it went on behind that. Keeps nothing of what it reads.
pub(crate) fn is_torn(db: &Path, segment_bytes: usize, range: Range) -> io::Result<bool> {
    let mut tears = Tears::default();
    each_segment(db, segment_bytes, range, |_, bytes| {
        let mut segment = Segment::new(bytes, segment_bytes);
        while segment.next().is_some() {}
        tears.add(segment);
    })?;
    Ok(tears.found().next().is_some())
}

/// What is torn, over all segments.
#[derive(Default)]
struct Tears {
    within: Vec<Tear>,
    /// By the number of the segment that ends so.
    at_ends: Vec<(u64, Tear)>,
    newest: u64,
}

impl Tears {
    fn add(&mut self, segment: Segment<'_>) {
        let Some(number) = segment.number else { return };
        self.newest = self.newest.max(number);
        self.at_ends.extend(segment.end().map(|tear| (number, tear)));
        self.within.extend(segment.torn);
    }

    /// The newest segment may end anywhere.
    fn found(&self) -> impl Iterator<Item = Tear> {
        let at_ends = self.at_ends.iter().filter(|(number, _)| *number < self.newest);
        self.within.iter().copied().chain(at_ends.map(|(_, tear)| *tear))
    }
}

/// Of which tears something may be missing. A segment of which nothing is needed any more is written anew some day, and a cut of
/// the power may leave it half done.
fn needed(pages: &HashMap<u64, Page>, tears: &Tears, segment_bytes: u64) -> impl Fn(&Tear) -> bool {
    let mut needed: BTreeSet<u64> = BTreeSet::from([tears.newest]);
    for page in pages.values() {
        needed.extend(page.positions().map(|position| position / segment_bytes));
    }
    let is_newest_of_its_page = |tear: &Tear| {
        tear.page.is_some_and(|page| pages.get(&page).is_none_or(|page| page.since < tear.position))
    };
    move |tear| needed.contains(&(tear.position / segment_bytes)) || is_newest_of_its_page(tear)
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
    fn take(&mut self, message: &Message<'_>, segment_offset: u64) {
        let body = Cursor { bytes: message.body, at: 0 };
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
    let rows: Option<_> = keys.into_iter().map(|key| Some((key, body.place(base)?))).collect();
    Some(Node { prefix: prefix.to_vec(), rows: rows? })
}

/// The row that a link sets or removes.
fn link(mut body: Cursor<'_>, base: u64, position: u64) -> Option<(Vec<u8>, Row)> {
    let what = body.byte()?;
    let key = match what {
        SET | REMOVE => body.text()?.to_vec(),
        _ => return None,
    };
    let at = if what == SET { Some(body.place(base)?) } else { None };
    Some((key, Row { position, at }))
}

/// A message whose checksum fits.
struct Message<'a> {
    kind: u8,
    page: u64,
    /// In the log.
    position: u64,
    /// All of it.
    bytes: usize,
    body: &'a [u8],
    /// Where the body begins in its segment.
    body_at: usize,
}

impl Message<'_> {
    /// The position behind it.
    fn end(&self) -> u64 {
        self.position + self.bytes as u64
    }

    /// Whether it makes up a page.
    fn is_of_a_page(&self) -> bool {
        self.kind >= FREE
    }

    /// The batch that begins here.
    fn group(&self) -> Option<Group> {
        let to = (self.kind == BATCH).then(|| self.body.first_chunk()).flatten()?;
        Some(Group { from: self.position, to: u64::from_le_bytes(*to) })
    }
}

/// A walk over the messages of a segment.
struct Segment<'a> {
    bytes: &'a [u8],
    segment_bytes: u64,
    /// Which one of the log it is; not known where its header cannot be read and no message was found.
    number: Option<u64>,
    at: usize,
    /// Where what cannot be read began.
    unread: Option<usize>,
    /// Its last message says that nothing comes behind.
    is_capped: bool,
    torn: Vec<Tear>,
}

impl<'a> Segment<'a> {
    fn new(bytes: &'a [u8], segment_bytes: usize) -> Self {
        let segment_bytes = segment_bytes as u64;
        let number = segment_position(bytes).map(|position| position / segment_bytes);
        // A header that cannot be read is damage, if there is anything behind it.
        let unread = number.is_none().then_some(0);
        Self { bytes, segment_bytes, number, at: SEGMENT_HEADER, unread, is_capped: false, torn: Vec::new() }
    }

    /// The next message that can be read.
    fn next(&mut self) -> Option<Message<'a>> {
        while self.at + FIXED_HEADER < self.bytes.len() {
            let Some((message, number, end)) = self.message_at(self.at) else {
                self.unread.get_or_insert(self.at);
                // No message has a zero at the place of its kind.
                self.at += zeros(&self.bytes[self.at + 4..]).max(1);
                continue;
            };
            self.number = Some(number);
            if let Some(unread) = self.unread.take() {
                self.torn.push(self.tear(number, unread, true));
            }
            self.at = if message.kind == CAP { self.bytes.len() } else { end };
            self.is_capped = message.kind == CAP;
            return Some(message);
        }
        None
    }

    /// Where the log cannot go on into the next segment, once all messages were read.
    fn end(&self) -> Option<Tear> {
        let at = self.unread.unwrap_or(self.at);
        let is_at_the_end = self.is_capped || at as u64 + HEADER_MAX as u64 > self.segment_bytes;
        self.number.filter(|_| !is_at_the_end).map(|number| self.tear(number, at, false))
    }

    fn tear(&self, number: u64, at: usize, has_more: bool) -> Tear {
        let position = number.saturating_mul(self.segment_bytes).saturating_add(at as u64);
        Tear { position, page: self.page_at(at).filter(|page| page.0 == number).map(|page| page.1), has_more }
    }

    /// What the header of a message that cannot be read says: its segment and its page.
    fn page_at(&self, at: usize) -> Option<(u64, u64)> {
        let kind = *self.bytes.get(at + 4)?;
        let mut header = Cursor { bytes: self.bytes, at: at + FIXED_HEADER };
        header.number()?;
        let (number, page) = (header.number()?, header.number()?);
        (FREE..=BLOB_LINK).contains(&kind).then_some((number, page))
    }

    /// A message, the number of its segment, and where it ends.
    fn message_at(&self, at: usize) -> Option<(Message<'a>, u64, usize)> {
        let kind = *self.bytes.get(at + 4)?;
        if !(1..=BLOB_LINK).contains(&kind) {
            return None;
        }
        let mut header = Cursor { bytes: self.bytes, at: at + FIXED_HEADER };
        let length = usize::try_from(header.number()?).ok()?;
        let number = header.number()?;
        let page = header.number()?;
        let body_at = header.at;
        let end = body_at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        if self.number.is_some_and(|known| known != number) {
            return None;
        }
        let body = &self.bytes[body_at..end];
        let mut sum = crc32fast::Hasher::new();
        sum.update(body);
        sum.update(&self.bytes[at + 4..body_at]);
        let stored = u32::from_le_bytes(*self.bytes[at..].first_chunk()?);
        if !sum.finalize() != stored {
            return None;
        }
        let position = number.checked_mul(self.segment_bytes)?.checked_add(at as u64)?;
        Some((Message { kind, page, position, bytes: end - at, body, body_at }, number, end))
    }
}

/// How many zeros come first.
fn zeros(bytes: &[u8]) -> usize {
    let words = bytes.chunks_exact(8).take_while(|word| **word == [0; 8]).count();
    let rest = &bytes[words * 8..];
    words * 8 + rest.iter().take_while(|byte| **byte == 0).count()
}

/// The position of a segment's beginning, if its header can be read.
fn segment_position(bytes: &[u8]) -> Option<u64> {
    let header: &[u8; SEGMENT_HEADER] = bytes.first_chunk()?;
    let stored = u32::from_le_bytes(*header.first_chunk()?);
    let position = u64::from_le_bytes(*header[4..].first_chunk()?) ^ (u64::MAX >> 1);
    (!crc32fast::hash(&header[4..]) == stored).then_some(position)
}

/// Reads what the engine writes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A number of one to nine bytes.
    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        Some(match first {
            0..=240 => u64::from(first),
            241..=248 => 240 + 256 * (u64::from(first) - 241) + u64::from(self.byte()?),
            249 => 2288 + 256 * u64::from(self.byte()?) + u64::from(self.byte()?),
            250..=255 => {
                let taken = self.take(usize::from(first) - 247)?;
                let mut wide = [0; 8];
                wide[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(wide)
            }
        })
    }

    /// Bytes behind their length.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// The same, but where they lie in the file.
    fn place(&mut self, base: u64) -> Option<At> {
        let length = self.text()?.len();
        Some(At { offset: base + (self.at - length) as u64, length })
    }
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
            assert_eq!((log.tears.as_slice(), log.taken_back_from(true)), ([].as_slice(), None));
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
            for (key, value) in salvaged(&Log::read(&db, SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap()) {
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
            let Some(position) = segment_position(&whole[segment..]) else { continue };
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

    #[test]
    fn a_flipped_bit_costs_its_own_message_alone() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SMALL).unwrap();
        fill(&disk, 12);
        let held = raw_rows(&disk);
        drop(disk);
        let db = dir.path().join("db");
        let whole = std::fs::read(&db).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for at in (SEGMENT_HEADER..used).step_by(997) {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&db, &damaged).unwrap();
            let rows = salvaged(&Log::read(&db, SEGMENT_BYTES_BY_HAND, u64::MAX).unwrap());
            let right = held.iter().filter(|(key, value)| rows.get(*key) == Some(value)).count();
            // One node holds at most some dozen rows.
            assert!(right + 40 >= held.len(), "{right} of {} behind a flip at {at}", held.len());
        }
    }
}
