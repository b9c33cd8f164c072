//! Lists: the entries that match a filter, in the order of acceptance, a part at a time.
//!
//! Owns:  what a filter means, which rows a list is made from, where a list goes on.
//! Never: changes anything, looks at more rows in one part than others can wait for.

use crate::clock::{Moment, Timestamp};
use crate::disk::Rows;
use crate::entry::{Entry, StoredPayload};
use crate::error::{Error, Result};
use crate::keys::{self, Ended, StateIndex};
use crate::limits::{LIST_MAX, LIST_SCAN_MAX};
use crate::outcome::Class;
use crate::record::decode;
use crate::state::State;
use crate::tx::{Record, load_message};
use crate::view::{EntryView, view_entry};

/// Which entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; all if empty. `sent` and `cancelled` match nothing: those are receipts.
    pub states: Vec<State>,
    /// Only this account.
    pub account: Option<String>,
    /// Only this conversation.
    pub conversation: Option<String>,
    /// Only those whose last error has this class.
    pub class: Option<Class>,
    /// Only those that were accepted before.
    pub submitted_before: Option<Timestamp>,
}

/// Entries that match a filter, by their order of acceptance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Their `seq`s, rising.
    pub seqs: Vec<u64>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// A part of a list, in the order of acceptance.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<EntryView>,
    /// Where to go on: entries with a `seq` from here; `None` at the end.
    pub next: Option<u64>,
}

/// One row of the list's sources: the order of acceptance and the msgID.
struct Candidate {
    seq: u64,
    msg_id: String,
}

/// A source of candidates in order.
enum Source {
    OnTheirWay,
    State(StateIndex),
}

impl Source {
    fn prefix(&self) -> Vec<u8> {
        match self {
            Self::OnTheirWay => keys::payloads(Ended::No),
            Self::State(state) => keys::states(*state),
        }
    }

    fn at(&self, seq: u64) -> Vec<u8> {
        match self {
            Self::OnTheirWay => keys::payload(Ended::No, seq),
            Self::State(state) => keys::state(*state, seq),
        }
    }

    fn first_from(&self, rows: &dyn Rows, seq: u64) -> Result<Option<Candidate>> {
        let Some((key, value)) = rows.next(&self.prefix(), &self.at(seq))? else { return Ok(None) };
        let seq = keys::tail_number(&key);
        let msg_id = match self {
            Self::OnTheirWay => match decode::<StoredPayload>(&key, &value) {
                Ok(payload) => payload.msg_id,
                // Its entry is found by its own state or not at all; the list goes on.
                Err(_) => String::new(),
            },
            Self::State(_) => String::from_utf8_lossy(&value).into_owned(),
        };
        Ok(Some(Candidate { seq, msg_id }))
    }
}

/// The sources in which all entries of the wanted states are.
fn sources(states: &[State]) -> Vec<Source> {
    let indexed = |state: State| match state {
        State::Held => Some(StateIndex::Held),
        State::Sending => Some(StateIndex::Sending),
        State::Uncertain => Some(StateIndex::Uncertain),
        State::Failed => Some(StateIndex::Failed),
        State::Expired => Some(StateIndex::Expired),
        _ => None,
    };
    let waits = |state: &State| matches!(state, State::Queued | State::Deferred | State::Blocked);
    if states.is_empty() {
        return vec![
            Source::OnTheirWay,
            Source::State(StateIndex::Failed),
            Source::State(StateIndex::Expired),
        ];
    }
    // Each source once, however often a state was asked for: else its entries would be listed twice.
    let wanted: std::collections::BTreeSet<StateIndex> =
        states.iter().filter_map(|state| indexed(*state)).collect();
    let mut sources: Vec<Source> = wanted.into_iter().map(Source::State).collect();
    if states.iter().any(waits) {
        sources.retain(|source| matches!(source, Source::State(StateIndex::Failed | StateIndex::Expired)));
        sources.push(Source::OnTheirWay);
    }
    sources
}

/// Entries from `from` on. A page may be short; only `next: None` is the end.
pub(crate) fn list(rows: &dyn Rows, filter: &Filter, from: u64, limit: usize, now: Moment) -> Result<Page> {
    let mut entries = Vec::new();
    let next = walk(rows, filter, from, limit.min(LIST_MAX), now, |view| entries.push(view))?;
    Ok(Page { entries, next })
}

/// The `seq`s of the entries from `from` on, without limit but that of the rows looked at.
pub(crate) fn matching(rows: &dyn Rows, filter: &Filter, from: u64, now: Moment) -> Result<Matching> {
    let mut seqs = Vec::new();
    let next = walk(rows, filter, from, LIST_SCAN_MAX, now, |view| seqs.push(view.entry.identity.seq))?;
    Ok(Matching { seqs, next })
}

/// Gives out the entries that match, in order, and answers where to go on.
fn walk(
    rows: &dyn Rows,
    filter: &Filter,
    from: u64,
    limit: usize,
    now: Moment,
    mut found: impl FnMut(EntryView),
) -> Result<Option<u64>> {
    let sources = sources(&filter.states);
    let mut left = limit;
    let mut at = from;
    let mut heads = Vec::with_capacity(sources.len());
    for source in &sources {
        heads.push(source.first_from(rows, at)?);
    }
    for _ in 0..LIST_SCAN_MAX {
        let Some(first) = heads.iter().flatten().map(|candidate| candidate.seq).min() else {
            return Ok(None);
        };
        if left == 0 {
            return Ok(Some(first));
        }
        at = first.saturating_add(1);
        for (source, head) in sources.iter().zip(&mut heads) {
            let Some(candidate) = head.take_if(|candidate| candidate.seq == first) else { continue };
            *head = source.first_from(rows, at)?;
            if let Some(view) = wanted(rows, &candidate, filter, now)? {
                found(view);
                left -= 1;
            }
        }
    }
    Ok(Some(at))
}

fn wanted(rows: &dyn Rows, candidate: &Candidate, filter: &Filter, now: Moment) -> Result<Option<EntryView>> {
    let entry = match load_message(rows, &candidate.msg_id) {
        Ok(Some(Record::Entry(entry))) if entry.identity.seq == candidate.seq => entry,
        // Set aside or being repaired: one bad row does not end a list.
        Ok(_) | Err(Error::BadRecord { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    filter.view_if_matching(rows, entry, now)
}

impl Filter {
    /// The entry as a reader sees it, if it matches.
    pub(crate) fn view_if_matching(
        &self,
        rows: &(impl Rows + ?Sized),
        entry: Entry,
        now: Moment,
    ) -> Result<Option<EntryView>> {
        let other = |wanted: &Option<String>, is: &String| wanted.as_ref().is_some_and(|wanted| wanted != is);
        let class = entry.last_error.as_ref().map(|error| Class::from(error.class));
        if other(&self.account, &entry.identity.account)
            || other(&self.conversation, &entry.identity.conversation)
            || self.class.is_some_and(|wanted| class != Some(wanted))
            || self.submitted_before.is_some_and(|before| entry.identity.submitted >= before)
        {
            return Ok(None);
        }
        let view = view_entry(rows, entry, now)?;
        let matches = self.states.is_empty() || self.states.contains(&view.state);
        Ok(matches.then_some(view))
    }
}
