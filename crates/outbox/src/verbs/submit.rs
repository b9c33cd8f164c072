//! Submit: a failed message is accepted, or recognised.
//!
//! Owns:  the check of a submission, the idempotency of submit, capacity.
//! Never: parses a payload (the caller gives routing and fingerprint).

use std::time::Duration;

use crate::chance::{Chance, fresh_token};
use crate::clock::WallTime;
use crate::config::{Config, Order};
use crate::disk::Bytes;
use crate::entry::{
    Cause, Delivery, Entry, Identity, LaneKey, Phase, Place, StoredPayload, Tried, Unresolved,
};
use crate::error::{Error, Result};
use crate::keys::{self, Ended};
use crate::lifecycle::{Event, Next, Step, step};
use crate::limits::{ID_BYTES_MAX, INLINE_BYTES_MAX, LIMITED_INITIAL, TTL_MAX, TTL_MIN};
use crate::notice::EventKind;
use crate::outcome::{Outcome, Report};
use crate::spool::Spool;
use crate::state::State;
use crate::tx::{Record, Tx, load_message};
use crate::verbs::{note_own_error, record_attempt};
use crate::view::state_of;

/// A failed message to accept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submit {
    /// Its key: 1 to 200 bytes of text without control characters, unique in the spool.
    pub msg_id: String,
    /// Another id that look-ups accept, under the same rules.
    pub id: Option<String>,
    /// Whose session sends, under the same rules.
    pub account: String,
    /// Which conversation it belongs to, under the same rules.
    pub conversation: String,
    /// The payload, kept byte for byte.
    pub message: Vec<u8>,
    /// The web SDK's message instance, kept byte for byte.
    pub web_message_instance: Option<Vec<u8>>,
    /// Not to be kept by the service for users who are offline.
    pub online_user_only: bool,
    /// It goes to a group: services recognise a repetition there for another time.
    pub to_group: bool,
    /// Tells a repeat from a conflict; by default the BLAKE3 hash of `message`.
    pub fingerprint: Option<[u8; 32]>,
    /// Time to live, 1 s to 365 d; by default the configured one.
    pub ttl: Option<Duration>,
    /// Not to be tried before this moment.
    pub not_before: Option<WallTime>,
    /// What the send that failed before was answered.
    pub first_error: Option<Report>,
}

/// The answer to a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The message's key.
    pub msg_id: String,
    /// Its present state.
    pub state: State,
    /// Its conversation.
    pub conversation: String,
    /// Its order of acceptance.
    pub seq: u64,
    /// It was known already; nothing was changed.
    pub duplicate: bool,
}

/// A submission that was checked, with its payload file written if it needs one.
pub(crate) struct Prepared {
    submit: Submit,
    fingerprint: [u8; 32],
    payload_bytes: u64,
    pub(crate) file: Option<[u8; 16]>,
}

/// Whether a text can be an id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn check_id(field: &'static str, text: &str) -> Result<()> {
    if is_id(text) { Ok(()) } else { Err(Error::BadId { field }) }
}

/// Checks a submission and writes a large payload to its file, on the caller's thread.
pub(crate) fn prepare(submit: Submit, config: &Config, spool: &Spool) -> Result<Prepared> {
    check_id("msgID", &submit.msg_id)?;
    check_id("account", &submit.account)?;
    check_id("conversation", &submit.conversation)?;
    if let Some(id) = &submit.id {
        check_id("id", id)?;
    }
    if submit.ttl.is_some_and(|ttl| !(TTL_MIN..=TTL_MAX).contains(&ttl)) {
        return Err(Error::BadTtl);
    }
    let bytes = submit.message.len() + submit.web_message_instance.as_ref().map_or(0, Vec::len);
    let payload_bytes = bytes as u64;
    if payload_bytes > config.max_message_bytes {
        return Err(Error::TooLarge { bytes: payload_bytes, max: config.max_message_bytes });
    }
    let fingerprint = submit.fingerprint.unwrap_or_else(|| *blake3::hash(&submit.message).as_bytes());
    let mut file = None;
    if bytes > INLINE_BYTES_MAX {
        let free_bytes = spool.free_bytes();
        if free_bytes < config.min_free_bytes.saturating_add(payload_bytes) {
            return Err(Error::DiskLow { free_bytes, min_bytes: config.min_free_bytes });
        }
        let web = submit.web_message_instance.as_deref();
        file = Some(write_payload_file(spool, config.chance.as_ref(), &submit.message, web)?);
    }
    Ok(Prepared { submit, fingerprint, payload_bytes, file })
}

/// Marks of a payload file: it has a web instance; its checksum covers its name, so that one in another's place is nobody's.
const HAS_WEB: u8 = 1;
const IS_BOUND: u8 = 2;

/// The content of a payload file: checksum, marks, length of the message, message, web instance.
fn payload_file(name: [u8; 16], message: &[u8], web: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![if web.is_some() { IS_BOUND | HAS_WEB } else { IS_BOUND }];
    body.extend_from_slice(&(message.len() as u64).to_le_bytes());
    body.extend_from_slice(message);
    body.extend_from_slice(web.unwrap_or_default());
    let mut content = file_sum(name, &body).to_le_bytes().to_vec();
    content.append(&mut body);
    content
}

fn file_sum(name: [u8; 16], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(body);
    if body.first().is_some_and(|marks| marks & IS_BOUND != 0) {
        sum.update(&name);
    }
    sum.finalize()
}

/// Writes a payload that is too large for the store to a file of its own.
pub(crate) fn write_payload_file(
    spool: &Spool,
    chance: &dyn Chance,
    message: &[u8],
    web: Option<&[u8]>,
) -> Result<[u8; 16]> {
    let name = fresh_token(chance).0;
    match spool.write_payload(name, &payload_file(name, message, web)) {
        Ok(()) => Ok(name),
        Err(error) => {
            spool.remove_payload(name);
            Err(Error::Unavailable { what: format!("a payload file could not be written: {error}") })
        }
    }
}

/// Writes a replacement that is too large for the store to a file of its own.
pub(crate) fn write_data_file(spool: &Spool, chance: &dyn Chance, data: &[u8]) -> Result<[u8; 16]> {
    write_payload_file(spool, chance, data, None)
}

/// Reads what [`payload_file`] made.
pub(crate) fn read_payload_file(name: [u8; 16], content: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (sum, body) = content.split_first_chunk::<4>()?;
    if file_sum(name, body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (marks, rest) = body.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (message, web) = rest.split_at_checked(length)?;
    Some((message.to_vec(), (marks & HAS_WEB != 0).then(|| web.to_vec())))
}

/// Accepts a message, or recognises it.
pub(crate) fn submit(tx: &mut Tx<'_>, prepared: Prepared) -> Result<Submitted> {
    let msg_id = prepared.submit.msg_id.clone();
    if let Some(known) = load_message(tx, &msg_id)? {
        return recognise(tx, &prepared, &known);
    }
    check_capacity(tx, prepared.payload_bytes)?;
    let entry = new_entry(tx, prepared)?;
    tx.put_entry(None, &entry)?;
    let state = state_of(tx, &entry, tx.now)?;
    tx.announce(EventKind::Submitted, &entry, state)?;
    if entry.delivery.unresolved.is_some() {
        tx.announce(EventKind::Uncertain, &entry, state)?;
    }
    if state == State::Failed {
        tx.announce(EventKind::Failed, &entry, state)?;
    }
    let Identity { conversation, seq, .. } = entry.identity;
    Ok(Submitted { msg_id, state, conversation, seq, duplicate: false })
}

fn recognise(tx: &mut Tx<'_>, prepared: &Prepared, known: &Record) -> Result<Submitted> {
    let (identity, state) = match known {
        Record::Entry(entry) => (&entry.identity, state_of(tx, entry, tx.now)?),
        Record::Receipt(receipt) => (&receipt.identity, receipt.state()),
    };
    let submit = &prepared.submit;
    let same = identity.fingerprint == prepared.fingerprint
        && identity.account == submit.account
        && identity.conversation == submit.conversation;
    if !same {
        return Err(Error::Conflict { msg_id: submit.msg_id.clone(), state });
    }
    tx.unnamed_files.extend(prepared.file);
    Ok(Submitted {
        msg_id: identity.msg_id.clone(),
        state,
        conversation: identity.conversation.clone(),
        seq: identity.seq,
        duplicate: true,
    })
}

fn check_capacity(tx: &Tx<'_>, bytes: u64) -> Result<()> {
    let config = tx.config;
    if tx.counters.entries() >= config.max_messages {
        return Err(Error::Full { what: format!("it holds {} messages, its limit", config.max_messages) });
    }
    if tx.counters.payload_bytes.saturating_add(bytes) > config.max_bytes {
        return Err(Error::Full {
            what: format!(
                "it holds {} bytes of messages, its limit is {}",
                tx.counters.payload_bytes, config.max_bytes
            ),
        });
    }
    if tx.free_bytes < config.min_free_bytes {
        return Err(Error::DiskLow { free_bytes: tx.free_bytes, min_bytes: config.min_free_bytes });
    }
    Ok(())
}

/// Builds the entry and writes its payload and alias.
fn new_entry(tx: &mut Tx<'_>, prepared: Prepared) -> Result<Entry> {
    let Prepared { submit, fingerprint, payload_bytes, file } = prepared;
    let seq = tx.counters.next_seq;
    tx.counters.next_seq += 1;
    let identity = identity_of(tx, &submit, seq, fingerprint, payload_bytes);
    let payload = match file {
        Some(name) => {
            tx.put_bytes(keys::file(name), Bytes::default());
            Place::File(name)
        }
        None => Place::Inline,
    };
    if let Some(id) = &identity.id {
        tx.put_bytes(keys::alias(id, seq), identity.msg_id.as_bytes().into());
    }
    let ttl =
        submit.ttl.unwrap_or(if submit.online_user_only { tx.config.online_only_ttl } else { tx.config.ttl });
    let not_before = submit.not_before.map(|wall| tx.now.time_of(wall)).filter(|at| *at > tx.now.time);
    let begin = not_before.unwrap_or(tx.now.time);
    let cause = if not_before.is_some() { Cause::NotBefore } else { Cause::Submitted };
    let mut entry = Entry {
        identity,
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        payload,
        delivery: Delivery {
            phase: Phase::Waiting { due: begin, cause, since: tx.now.wall },
            in_lane: true,
            attempts: 0,
            starts: 0,
            deaths: 0,
            tried: Tried::default(),
            token: fresh_token(tx.config.chance.as_ref()),
            deadline: begin.plus(ttl),
            not_before,
            interval_ms: 0,
            unresolved: None,
            possible_duplicate: false,
        },
        last_error: None,
        history: Vec::new(),
        settled: Vec::new(),
    };
    if let Some(report) = &submit.first_error {
        take_first_error(tx, &mut entry, report)?;
    }
    let stored = StoredPayload {
        msg_id: submit.msg_id,
        message: if file.is_some() { Vec::new() } else { submit.message },
        web_message_instance: submit.web_message_instance.filter(|_| file.is_none()),
    };
    let ended = if entry.delivery.has_ended() { Ended::Yes } else { Ended::No };
    tx.put(keys::payload(ended, seq), &stored)?;
    Ok(entry)
}

fn identity_of(
    tx: &Tx<'_>,
    submit: &Submit,
    seq: u64,
    fingerprint: [u8; 32],
    payload_bytes: u64,
) -> Identity {
    let (account, conversation) = (&submit.account, &submit.conversation);
    Identity {
        msg_id: submit.msg_id.clone(),
        id: submit.id.clone().filter(|id| *id != submit.msg_id),
        account: account.clone(),
        conversation: conversation.clone(),
        lane: match tx.config.order {
            Order::Conversation => LaneKey::of(account, conversation),
            Order::None => LaneKey::alone(account, conversation, &submit.msg_id),
        },
        seq,
        online_user_only: submit.online_user_only,
        to_group: submit.to_group,
        fingerprint,
        payload_bytes,
        submitted_at: tx.now.wall,
        submitted: tx.now.time,
    }
}

/// The send that failed before submit: attempt 0, uncounted. It shuts no gate and no link.
fn take_first_error(tx: &Tx<'_>, entry: &mut Entry, report: &Report) -> Result<()> {
    record_attempt(entry, 0, tx.now.wall, None, report, tx.now.wall);
    let now = tx.now.time;
    match report.outcome {
        Outcome::Limited => {
            let wait = report.retry_after.unwrap_or(LIMITED_INITIAL).min(crate::limits::RETRY_AFTER_MAX);
            if let Phase::Waiting { due, cause, .. } = &mut entry.delivery.phase {
                *due = (*due).max(now.plus(wait));
                *cause = Cause::Limited;
            }
        }
        Outcome::Reject | Outcome::MaybeReached | Outcome::ProvesNothing => {
            // The lifecycle decides, as after an attempt; what it counts is taken back, for no attempt of
            // ours was made. No token covered that send, so there is no window either.
            let mut sent_before = entry.delivery.clone();
            let no_window = crate::lifecycle::Policy {
                dedup_window: crate::lifecycle::DedupWindow::default(),
                retry: crate::retry::RetryPolicy { max_attempts: 0, ..tx.config.policy.retry },
                ..tx.config.policy
            };
            let context = crate::lifecycle::Context { policy: &no_window, ..tx.context(entry) };
            let lease = Event::Lease(crate::entry::Holder::Process);
            sent_before = delivery_after(step(&sent_before, &lease, &context))?;
            let mut delivery = delivery_after(step(&sent_before, &Event::Report(report), &context))?;
            delivery.attempts = 0;
            delivery.starts = 0;
            delivery.tried = Tried::default();
            if let (Phase::Waiting { due, .. }, Some(begin)) = (&mut delivery.phase, delivery.not_before) {
                *due = (*due).max(begin);
            }
            if let Some(unresolved) = &mut delivery.unresolved {
                *unresolved = Unresolved { window_end: unresolved.since, ..*unresolved };
            }
            entry.delivery = delivery;
            note_own_error(entry, tx.now.wall);
        }
        _ => {}
    }
    Ok(())
}

fn delivery_after(stepped: crate::lifecycle::Stepped) -> Result<Delivery> {
    match stepped {
        Ok(Step { next: Next::Entry(delivery), .. }) => Ok(delivery),
        // A new entry can be leased, and a report without success never makes a receipt.
        _ => Err(Error::Unhealthy { reason: "the lifecycle refused a new entry".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_texts_without_control_characters() {
        assert!(is_id("144115225971632901-1731500001-2911436684"));
        assert!(is_id("a/b?c#d %2F é"));
        for bad in ["", "a\nb", "nul\0", &"x".repeat(201), "\u{85}"] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_payload_file_gives_back_both_parts_and_notices_damage() {
        let file = |message: &[u8], web| payload_file([7; 16], message, web);
        let read = |content: &[u8]| read_payload_file([7; 16], content);
        let content = file(b"{\"a\":1}", Some(b"web"));
        assert_eq!(read(&content), Some((b"{\"a\":1}".to_vec(), Some(b"web".to_vec()))));
        assert_eq!(read(&file(b"m", None)), Some((b"m".to_vec(), None)));
        for at in 0..content.len() {
            let mut damaged = content.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged), None, "byte {at}");
            assert_eq!(read(&content[..at]), None, "cut at {at}");
        }
        assert_eq!(read_payload_file([8; 16], &content), None, "in another's place");
        // As it was written before it was bound.
        let body = b"\x01\x01\0\0\0\0\0\0\0mw";
        let unbound = [&crc32fast::hash(body).to_le_bytes()[..], body];
        assert_eq!(read(&unbound.concat()), Some((b"m".to_vec(), Some(b"w".to_vec()))));
    }
}
