//! The same for many messages: resend, hold, release, cancel.
//!
//! Owns:  how much of it one transaction does, what counts as done, pending and skipped.
//! Never: chooses the messages (the caller has their `seq`s from a list), does what the single verb would not.

use std::collections::VecDeque;

use crate::disk::Rows;
use crate::entry::StoredPayload;
use crate::error::{Error, Result};
use crate::keys::{self, Ended, StateIndex};
use crate::limits::{BATCH_BYTES_MAX, BATCH_MAX};
use crate::list::Filter;
use crate::tx::{Record, Tx, load, load_message};
use crate::verbs::{Cancelled, Changed, cancel, hold, release, resend};

/// What to do to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOp {
    /// Make it due now, or bring it back.
    Resend,
    /// Keep it back.
    Hold,
    /// Let it go.
    Release,
    /// Withdraw it.
    Cancel,
}

/// A part of a batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What to do.
    pub op: BatchOp,
    /// A person's reason for a hold or a cancel.
    pub reason: Option<String>,
    /// The entries, by their order of acceptance, rising.
    pub seqs: VecDeque<u64>,
    /// What an entry must still be like: one that has moved on is skipped.
    pub filter: Filter,
}

/// What became of a part of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batched {
    /// The entries that it did not come to.
    pub left: VecDeque<u64>,
    /// Done, or so already.
    pub done: u64,
    /// Under way, and to be cancelled when their attempt ends.
    pub pending: u64,
    /// Moved on in the meantime, or not in a state for it.
    pub skipped: u64,
}

enum One {
    Done,
    Pending,
    Skipped,
}

/// Does to each of these entries what the single verb does.
///
/// What leaves its lane goes from the lane's end on: else each would become the head before it goes. What comes
/// back into it comes from the front.
pub(crate) fn batch(tx: &mut Tx<'_>, mut batch: Batch) -> Result<Batched> {
    let from_end = matches!(batch.op, BatchOp::Hold | BatchOp::Cancel);
    let bytes_before = tx.bytes();
    let mut batched = Batched::default();
    for _ in 0..BATCH_MAX {
        if tx.bytes().saturating_sub(bytes_before) >= BATCH_BYTES_MAX {
            break;
        }
        let next = if from_end { batch.seqs.pop_back() } else { batch.seqs.pop_front() };
        let Some(seq) = next else { break };
        // Each can be taken back alone.
        tx.begin();
        match one(tx, &batch, seq) {
            Ok(One::Done) => batched.done += 1,
            Ok(One::Pending) => batched.pending += 1,
            Ok(One::Skipped) => batched.skipped += 1,
            // A record that cannot be read is set aside when its own time comes.
            Err(Error::WrongState { .. } | Error::NotFound { .. } | Error::BadRecord { .. }) => {
                tx.roll_back();
                batched.skipped += 1;
            }
            Err(error) => return Err(error),
        }
    }
    batched.left = batch.seqs;
    Ok(batched)
}

fn one(tx: &mut Tx<'_>, batch: &Batch, seq: u64) -> Result<One> {
    let Some(msg_id) = msg_id_of(tx, seq)? else { return Ok(One::Skipped) };
    let Some(Record::Entry(entry)) = load_message(tx, &msg_id)? else { return Ok(One::Skipped) };
    if entry.identity.seq != seq || batch.filter.view_if_matching(tx, entry, tx.now)?.is_none() {
        return Ok(One::Skipped);
    }
    let reason = batch.reason.clone();
    match batch.op {
        BatchOp::Hold => hold(tx, &msg_id, reason).map(|_| One::Done),
        BatchOp::Release => release(tx, &msg_id).map(|_| One::Done),
        BatchOp::Resend => Ok(match resend(tx, &msg_id, None, None)? {
            Changed::Entry(_) => One::Done,
            Changed::Sent(_) => One::Skipped,
        }),
        BatchOp::Cancel => Ok(match cancel(tx, &msg_id, reason)? {
            Cancelled::Cancelled { .. } | Cancelled::Uncertain => One::Done,
            Cancelled::Pending => One::Pending,
            Cancelled::TooLate(_) => One::Skipped,
        }),
    }
}

/// The msgID of an entry, by the rows that lists are made from.
fn msg_id_of(rows: &Tx<'_>, seq: u64) -> Result<Option<String>> {
    if let Some(payload) = load::<StoredPayload>(rows, &keys::payload(Ended::No, seq))? {
        return Ok(Some(payload.msg_id));
    }
    for state in [StateIndex::Failed, StateIndex::Expired] {
        if let Some(msg_id) = rows.get(&keys::state(state, seq))? {
            return Ok(Some(String::from_utf8_lossy(&msg_id).into_owned()));
        }
    }
    Ok(None)
}
