//! A segment of sled's log: its messages, one after the other.
//!
//! Owns:  what is known of the bytes of sled 0.34, where a segment is torn, the one bit that keeps a message from being read.
//! Never: knows what a page or a row is, believes a byte whose checksum does not fit.
//!
//! A segment begins with `checksum (4), first position (8), position that was written (8)`, and goes on with messages: `checksum (4),
//! kind (1), length, segment, page, body`, the last three numbers of one to nine bytes.
//!
//! Where one bit has flipped, a CRC tells which: a message of which that is all is read as it was written. No write that was cut short
//! looks like that but for one in 2^32 for each bit of the message.

use std::collections::BTreeMap;

use crate::limits::RIGHTED_MAX;

/// As much as a segment's own header takes.
pub(crate) const SEGMENT_HEADER: usize = 20;
/// Checksum and kind.
const FIXED_HEADER: usize = 5;
/// Where less than this is left of a segment, no message begins.
const HEADER_MAX: usize = 32;
const CAP: u8 = 2;
const BATCH: u8 = 3;
pub(crate) const FREE: u8 = 4;
pub(crate) const NODE: u8 = 8;
pub(crate) const LINK: u8 = 10;
pub(crate) const BLOB_LINK: u8 = 11;

/// A place of the log that cannot be read, although the log went on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tear {
    /// In the log.
    pub(crate) position: u64,
    /// The page of the message that stands there, where that can still be read.
    pub(crate) page: Option<u64>,
}

/// A batch: all or nothing of it counts.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    pub(crate) from: u64,
    /// Its last byte.
    pub(crate) to: u64,
}

/// A message whose checksum fits.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) page: u64,
    /// In the log.
    pub(crate) position: u64,
    /// In its segment: where it begins, its body, where it ends.
    at: usize,
    pub(crate) body_at: usize,
    end: usize,
}

impl Message {
    /// The position behind it.
    pub(crate) const fn end(&self) -> u64 {
        self.position + (self.end - self.at) as u64
    }

    /// Bytes that stand before its body.
    #[cfg(test)]
    pub(crate) const fn header_bytes(&self) -> usize {
        self.body_at - self.at
    }

    /// Whether it makes up a page.
    pub(crate) const fn is_of_a_page(&self) -> bool {
        self.kind >= FREE
    }
}

/// A walk over the messages of a segment.
pub(crate) struct Segment<'a> {
    bytes: &'a mut [u8],
    segment_bytes: u64,
    /// Which one of the log it is; not known where its header cannot be read and no message was found.
    number: Option<u64>,
    at: usize,
    /// Where what cannot be read began.
    unread: Option<usize>,
    /// Its last message says that nothing comes behind.
    is_capped: bool,
    torn: Vec<Tear>,
    /// Bytes in which a bit was righted, as they were written.
    righted: BTreeMap<usize, u8>,
    looked_for: usize,
}

impl<'a> Segment<'a> {
    pub(crate) fn new(bytes: &'a mut [u8], segment_bytes: usize) -> Self {
        let mut segment = Self {
            bytes,
            segment_bytes: segment_bytes as u64,
            number: None,
            at: SEGMENT_HEADER,
            unread: None,
            is_capped: false,
            torn: Vec::new(),
            righted: BTreeMap::new(),
            looked_for: 0,
        };
        segment.right_header();
        segment.number = position_of(segment.bytes).map(|position| position / segment.segment_bytes);
        if segment.number.is_none() {
            // That is damage, if there is anything behind it.
            segment.unread = Some(0);
        }
        segment
    }

    /// Up to where its header says that the log was written, if that can be read.
    pub(crate) fn written_until(&self) -> Option<u64> {
        let header: &[u8; SEGMENT_HEADER] = self.bytes.first_chunk()?;
        position_of(header)?;
        let until = i64::from_le_bytes(*header[12..].first_chunk()?) ^ i64::MAX;
        Some(until.max(0).unsigned_abs())
    }

    /// Which one of the log it is.
    pub(crate) const fn number(&self) -> Option<u64> {
        self.number
    }

    /// The position in the log of a place in it.
    pub(crate) fn position(&self, at: usize) -> Option<u64> {
        self.number.map(|number| number.saturating_mul(self.segment_bytes).saturating_add(at as u64))
    }

    /// The bytes that were righted, each with its place in the segment.
    pub(crate) const fn righted(&self) -> &BTreeMap<usize, u8> {
        &self.righted
    }

    /// Where it is torn within.
    pub(crate) fn torn(&self) -> &[Tear] {
        &self.torn
    }

    pub(crate) fn body(&self, message: &Message) -> &[u8] {
        &self.bytes[message.body_at..message.end]
    }

    /// The batch that a message begins.
    pub(crate) fn group(&self, message: &Message) -> Option<Group> {
        let to = (message.kind == BATCH).then(|| self.body(message).first_chunk()).flatten()?;
        Some(Group { from: message.position, to: u64::from_le_bytes(*to) })
    }

    /// The next message that can be read.
    pub(crate) fn next(&mut self) -> Option<Message> {
        while self.at + FIXED_HEADER < self.bytes.len() {
            let is_expected = self.unread.is_none();
            let found =
                self.message_at(self.at).or_else(|| is_expected.then(|| self.right(self.at)).flatten());
            let Some((message, number)) = found else {
                self.unread.get_or_insert(self.at);
                // No message has a zero at the place of its kind.
                self.at += zeros(&self.bytes[self.at + 4..]).max(1);
                continue;
            };
            self.number = Some(number);
            if let Some(unread) = self.unread.take() {
                self.torn.push(self.tear(number, unread));
            }
            self.is_capped = message.kind == CAP;
            self.at = if self.is_capped { self.bytes.len() } else { message.end };
            return Some(message);
        }
        None
    }

    /// Where the log cannot go on into the next segment, once all messages were read.
    pub(crate) fn torn_end(&self) -> Option<Tear> {
        let at = self.unread.unwrap_or(self.at);
        let is_at_the_end = self.is_capped || at as u64 + HEADER_MAX as u64 > self.segment_bytes;
        self.number.filter(|_| !is_at_the_end).map(|number| self.tear(number, at))
    }

    fn tear(&self, number: u64, at: usize) -> Tear {
        let position = number.saturating_mul(self.segment_bytes).saturating_add(at as u64);
        let header = self.header_at(at).filter(|header| header.number == number && header.kind >= FREE);
        Tear { position, page: header.map(|header| header.page) }
    }

    fn header_at(&self, at: usize) -> Option<Header> {
        let kind = *self.bytes.get(at + 4)?;
        let mut cursor = Cursor { bytes: self.bytes, at: at + FIXED_HEADER };
        let (length, number, page) = (cursor.number()?, cursor.number()?, cursor.number()?);
        let body_at = cursor.at;
        let end =
            body_at.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= self.bytes.len())?;
        (1..=BLOB_LINK).contains(&kind).then_some(Header { kind, number, page, body_at, end })
    }

    /// A message and the number of its segment.
    fn message_at(&self, at: usize) -> Option<(Message, u64)> {
        let Header { kind, number, page, body_at, end } = self.header_at(at)?;
        if self.number.is_some_and(|known| known != number) || self.wrong_bits(at, body_at, end) != Some(0) {
            return None;
        }
        let position = number.checked_mul(self.segment_bytes)?.checked_add(at as u64)?;
        Some((Message { kind, page, position, at, body_at, end }, number))
    }

    /// The checksum of a message beside the one that is stored with it.
    fn wrong_bits(&self, at: usize, body_at: usize, end: usize) -> Option<u32> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.bytes[body_at..end]);
        sum.update(&self.bytes[at + 4..body_at]);
        Some(!sum.finalize() ^ u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    /// Reads a message of which one bit is wrong, where one was expected.
    fn right(&mut self, at: usize) -> Option<(Message, u64)> {
        let known = self.number.filter(|_| self.looked_for < RIGHTED_MAX)?;
        self.looked_for += 1;
        let place = self.wrong_bit(at, known);
        // One in the header can change where the message ends: that is not known then.
        let header = at + 4..(at + HEADER_MAX).min(self.bytes.len());
        let in_header = header.flat_map(|byte| (0..8).map(move |bit| (byte, 1 << bit)));
        for place in place.into_iter().chain(in_header) {
            self.turn(place);
            let found = self.header_at(at).filter(|header| header.number == known);
            if let Some(message) = found.and_then(|_| self.message_at(at)) {
                return Some(message);
            }
            self.turn(place);
        }
        None
    }

    /// The bit of a message that its checksum calls wrong, if where it ends can be believed.
    fn wrong_bit(&self, at: usize, known: u64) -> Option<(usize, u8)> {
        let Header { body_at, end, .. } = self.header_at(at).filter(|header| header.number == known)?;
        let body_bytes = end - body_at;
        Some(match flipped(end - at - 4, self.wrong_bits(at, body_at, end)?)? {
            Flipped::Sum(byte, mask) => (at + byte, mask),
            Flipped::Data(byte, mask) if byte < body_bytes => (body_at + byte, mask),
            Flipped::Data(byte, mask) => (at + 4 + byte - body_bytes, mask),
        })
    }

    /// The same for the segment's own header.
    fn right_header(&mut self) {
        let Some(wrong) = self.bytes.first_chunk().and_then(wrong_bits_of_header).filter(|wrong| *wrong != 0)
        else {
            return;
        };
        match flipped(SEGMENT_HEADER - 4, wrong) {
            Some(Flipped::Sum(byte, mask)) => self.turn((byte, mask)),
            Some(Flipped::Data(byte, mask)) => self.turn((byte + 4, mask)),
            None => {}
        }
    }

    /// Turns bits of a byte over, or back.
    fn turn(&mut self, (byte, mask): (usize, u8)) {
        self.bytes[byte] ^= mask;
        if self.righted.remove(&byte).is_none() {
            self.righted.insert(byte, self.bytes[byte]);
        }
    }
}

/// The header of a message, whatever its checksum says.
struct Header {
    kind: u8,
    number: u64,
    page: u64,
    body_at: usize,
    end: usize,
}

/// The one bit that is wrong: in the checksum, or in what it covers.
enum Flipped {
    Sum(usize, u8),
    Data(usize, u8),
}

/// Finds the bit that changes a checksum over so many bytes in this way.
fn flipped(bytes: usize, wrong: u32) -> Option<Flipped> {
    let masks = || (0..8_u8).map(|bit| 1 << bit);
    if wrong.count_ones() == 1 {
        let byte = wrong.to_le_bytes().iter().position(|byte| *byte != 0)?;
        return Some(Flipped::Sum(byte, wrong.to_le_bytes()[byte]));
    }
    // What each bit of the last byte changes; a byte further ahead, the same with one more byte behind it.
    let mut changes: Vec<(u8, u32)> = masks().map(|mask| (mask, EFFECTS[usize::from(mask)])).collect();
    for byte in (0..bytes).rev() {
        for (mask, change) in &mut changes {
            if *change == wrong {
                return Some(Flipped::Data(byte, *mask));
            }
            *change = EFFECTS[(*change & 0xff) as usize] ^ (*change >> 8);
        }
    }
    None
}

/// What a byte changes of a CRC-32.
const EFFECTS: [u32; 256] = {
    let mut effects = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut effect, mut bit) = (byte as u32, 0);
        while bit < 8 {
            effect = if effect & 1 == 1 { (effect >> 1) ^ 0xedb8_8320 } else { effect >> 1 };
            bit += 1;
        }
        effects[byte] = effect;
        byte += 1;
    }
    effects
};

/// How many zeros come first.
fn zeros(bytes: &[u8]) -> usize {
    let words = bytes.chunks_exact(8).take_while(|word| **word == [0; 8]).count();
    let rest = &bytes[words * 8..];
    words * 8 + rest.iter().take_while(|byte| **byte == 0).count()
}

/// The position of a segment's beginning, if its header can be read.
pub(crate) fn position_of(bytes: &[u8]) -> Option<u64> {
    let header: &[u8; SEGMENT_HEADER] = bytes.first_chunk()?;
    let position = u64::from_le_bytes(*header[4..].first_chunk()?) ^ (u64::MAX >> 1);
    wrong_bits_of_header(header).filter(|wrong| *wrong == 0).map(|_| position)
}

fn wrong_bits_of_header(header: &[u8; SEGMENT_HEADER]) -> Option<u32> {
    Some(!crc32fast::hash(&header[4..]) ^ u32::from_le_bytes(*header.first_chunk()?))
}

/// Reads what the engine writes.
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
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
    pub(crate) fn number(&mut self) -> Option<u64> {
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
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_tells_which_bit_has_flipped() {
        let data: Vec<u8> = (0..300_u32).map(|n| (n * 7) as u8).collect();
        let right = crc32fast::hash(&data);
        for bit in 0..data.len() * 8 {
            let mut damaged = data.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = flipped(data.len(), crc32fast::hash(&damaged) ^ right);
            assert!(
                matches!(found, Some(Flipped::Data(byte, mask)) if (byte, mask) == (bit / 8, 1 << (bit % 8)))
            );
        }
        for bit in 0..32 {
            let found = flipped(data.len(), 1 << bit);
            assert!(
                matches!(found, Some(Flipped::Sum(byte, mask)) if (byte, mask) == (bit / 8, 1 << (bit % 8)))
            );
        }
        assert!(flipped(data.len(), crc32fast::hash(&data[1..]) ^ right).is_none(), "more than a bit");
    }
}
