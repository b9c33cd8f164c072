//! What an open has found and nobody has heard of yet: marks in the store, and in the damaged ones that are kept.
//!
//! Owns:  the marks, what stands in them, their end once a start has told it all.
//! Never: finds anything itself, or tells anybody.

use std::fs;
use std::path::PathBuf;

use crate::anew::{kept, number};
use crate::drive::{io_error, is_full, sync_path};
use crate::error::OpenError;
use crate::layout::QUARANTINE;
use crate::shared::Shared;
use crate::spool::Spool;
use crate::verify::Lost;
use crate::{crash, files};

/// In a damaged store that is kept.
pub(crate) const KEPT: &str = "unsaid";

/// In a store that was made anew.
pub(crate) const ANEW: &str = "anew";

/// In any store whose counts and numbers are about to be made anew. It knows what `anew` knows, and more.
const NOTED: &str = "noted";

/// As much of a note as is read: two lines with five numbers.
const NOTE_BYTES_MAX: u64 = 256;

/// What the store itself no longer tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Messages that were counted.
    pub(crate) counted: Option<u64>,
    /// What was acknowledged and is missing.
    pub(crate) lost: Option<Lost>,
}

impl Note {
    pub(crate) fn text(self) -> String {
        let counted = self.counted.map(|counted| format!("counted {counted}\n")).unwrap_or_default();
        let lost = self.lost.map(|lost| {
            let Lost { from_seq, next_seq, from_event, next_event } = lost;
            format!("lost {from_seq} {next_seq} {from_event} {next_event}\n")
        });
        counted + &lost.unwrap_or_default()
    }

    /// What can be read of one: each line counts that is whole.
    fn of(text: &str) -> Self {
        let mut note = Self::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let (what, numbers) = line.split_once(' ').unwrap_or_default();
            let numbers: Vec<u64> = numbers.split(' ').map_while(|number| number.parse().ok()).collect();
            match (what, &numbers[..]) {
                ("counted", &[counted]) => note.counted = Some(counted),
                ("lost", &[from_seq, next_seq, from_event, next_event]) => {
                    note.lost = Some(Lost { from_seq, next_seq, from_event, next_event });
                }
                _ => {}
            }
        }
        note
    }

    /// Leaves it to the next open, should this one end before it has told it. Where there is no room, that one may count fewer; a range
    /// must not be forgotten.
    pub(crate) fn write(self, spool: &Spool) -> Result<(), OpenError> {
        let mark = spool.store().join(NOTED);
        match crash::around("note", || files::write_synced(&mark, self.text().as_bytes())) {
            Err(error) if is_full(&error) && self.lost.is_none() => Ok(()),
            noted => noted.map_err(io_error("writing", &mark)).and_then(|()| sync_path(&spool.store())),
        }
    }
}

/// Notes what is counted where an open that has not told yet is about to count anew.
pub(crate) fn note_counted(shared: &Shared) -> Result<(), OpenError> {
    let note = Unsaid::of(&shared.spool).note;
    if !shared.spool.seal.is_held() || note.counted.is_some() {
        return Ok(());
    }
    Note { counted: Some(shared.snapshot().messages()), ..note }.write(&shared.spool)
}

/// What no start has said yet.
pub(crate) struct Unsaid {
    /// The store was made anew.
    pub(crate) is_made_anew: bool,
    pub(crate) note: Note,
    /// The damaged one, if it is kept; the newest, if there are several.
    pub(crate) kept: Option<PathBuf>,
}

impl Unsaid {
    pub(crate) fn of(spool: &Spool) -> Self {
        let note = |name| {
            // Where it cannot be read, the store's own counters are what is left.
            let bytes = files::read_head(&spool.store().join(name), NOTE_BYTES_MAX).unwrap_or_default();
            Note::of(&String::from_utf8_lossy(&bytes))
        };
        let (noted, anew) = (note(NOTED), note(ANEW));
        let note = Note { counted: noted.counted.or(anew.counted), lost: noted.lost.or(anew.lost) };
        let kept = kept_unsaid(spool).into_iter().max_by_key(|kept| number(kept));
        Self { is_made_anew: is_made_anew(spool), note, kept }
    }
}

/// Whether the store was made anew, and no start has said so yet.
pub(crate) fn is_made_anew(spool: &Spool) -> bool {
    spool.store().join(ANEW).exists()
}

fn kept_unsaid(spool: &Spool) -> Vec<PathBuf> {
    let kept = kept(&spool.path().join(QUARANTINE)).into_iter();
    kept.filter(|kept| kept.join(KEPT).exists()).collect()
}

/// A start has said it.
pub(crate) fn say(spool: &Spool) -> Result<(), OpenError> {
    let of_kept = kept_unsaid(spool).into_iter().map(|kept| (kept, KEPT));
    let store = spool.store();
    let of_store = [ANEW, NOTED].into_iter().filter(|name| store.join(name).exists());
    for (folder, name) in of_kept.chain(of_store.map(|name| (store.clone(), name))) {
        let mark = folder.join(name);
        crash::around("say anew", || fs::remove_file(&mark)).map_err(io_error("removing", &mark))?;
        sync_path(&folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_one_that_is_cut_tells_no_other_number() {
        let lost = Some(Lost { from_seq: 12, next_seq: 345, from_event: 6, next_event: u64::MAX });
        for note in [Note { counted: Some(789), lost }, Note { counted: None, lost }, Note::default()] {
            let text = note.text();
            assert_eq!(Note::of(&text), note);
            for end in 0..text.len() {
                let Note { counted, lost } = Note::of(&text[..end]);
                assert!(counted.is_none() || counted == note.counted, "{:?}", &text[..end]);
                assert_eq!(lost, None, "{:?}", &text[..end]);
            }
        }
    }
}
