//! Lease: the exclusive, time-limited right to attempt an entry.
//!
//! Owns:  which entries go next (fair between accounts and lanes), lease ids, extension, taking back.
//! Never: knows a transport.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::{Timestamp, WallTime};
use crate::disk::{Rows, after_key, after_prefix};
use crate::entry::{
    Account, Entry, Gate, Holder, Identity, LaneKey, LastError, Phase, SendToken, Slot, hex, short_hash,
    unhex,
};
use crate::error::{Error, Result};
use crate::keys::{self, StateIndex};
use crate::lifecycle::{Event, begin_by, lease_end_max, step};
use crate::limits::{
    DEATHS_MAX, DESC_BYTES_MAX, GATE_TRY_MAX, LEASE_BYTES_MAX, LEASE_MAX, LIST_SCAN_MAX, SUSPECT_UPTIME,
};
use crate::outcome::{CODE_PAYLOAD_UNREADABLE, Class};
use crate::spool::Spool;
use crate::state::State;
use crate::tx::{Record, Tx, entry_at, load_message};
use crate::verbs::{Became, apply, cut, tick};
use crate::view::payload_of;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRequest {
    /// At most so many, up to 256.
    pub max: usize,
    /// Only of this account.
    pub account: Option<String>,
    /// For whom.
    pub to: LeaseTo,
    /// How many each account may have, where its rate says so.
    pub room: Room,
}

/// How many leases each account may have in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of accounts that are not named.
    pub each: usize,
    /// Of single accounts.
    pub of: HashMap<String, usize>,
}

impl Default for Room {
    /// No limit.
    fn default() -> Self {
        Self { each: usize::MAX, of: HashMap::new() }
    }
}

impl Room {
    fn of(&self, account: &str) -> usize {
        self.of.get(account).copied().unwrap_or(self.each)
    }
}

/// Who will attempt what is leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseTo {
    /// This process: the lease ends with it.
    #[default]
    Process,
    /// An app: the lease outlives a restart of this process and lapses after the duration.
    App {
        /// Until it lapses.
        duration: Duration,
    },
}

/// The right to attempt one entry, with everything that the attempt needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names the lease in settle and extend.
    pub id: LeaseId,
    /// The message's key.
    pub msg_id: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// The send token.
    pub token: SendToken,
    /// Whose session sends.
    pub account: String,
    /// Which conversation.
    pub conversation: String,
    /// Order of acceptance.
    pub seq: u64,
    /// Not to be kept by the service for users who are offline.
    pub online_user_only: bool,
    /// The payload as submitted.
    pub message: Vec<u8>,
    /// The web SDK's message instance as submitted.
    pub web_message_instance: Option<Vec<u8>>,
    /// When it lapses, for an app.
    pub deadline: Option<WallTime>,
    /// The moment from which the attempt must not begin any more, and the lease be taken back: the store may have been long
    /// about its answer. An app's lease has lapsed by then.
    pub begin_by: Timestamp,
}

/// Names a lease. The text form can stand in a URL as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    msg_id: String,
    start: u32,
    attempt: u32,
    check: [u8; 8],
}

impl LeaseId {
    fn new(identity: &Identity, start: u32, attempt: u32) -> Self {
        Self { msg_id: identity.msg_id.clone(), start, attempt, check: check(identity, start, attempt) }
    }

    /// The message that was leased.
    #[must_use]
    pub fn msg_id(&self) -> &str {
        &self.msg_id
    }

    /// Which start of the entry it is.
    #[must_use]
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// The number of its attempt.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether it was given out for this message (and not for an earlier one with the same msgID).
    pub(crate) fn is_of(&self, identity: &Identity) -> bool {
        self.check == check(identity, self.start, self.attempt)
    }
}

/// Ties a lease to one acceptance of one message.
fn check(identity: &Identity, start: u32, attempt: u32) -> [u8; 8] {
    let parts = format!("{} {} {start} {attempt}", identity.seq, identity.submitted.0);
    let hash = short_hash(&[&identity.msg_id, &parts]);
    let mut check = [0; 8];
    check.copy_from_slice(&hash[..8]);
    check
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.start, self.attempt, hex(&self.check), hex(self.msg_id.as_bytes()))
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let mut parts = text.splitn(4, '-');
            let start = parts.next()?.parse().ok()?;
            let attempt = parts.next()?.parse().ok()?;
            let check = unhex(parts.next()?)?.try_into().ok()?;
            let msg_id = String::from_utf8(unhex(parts.next()?)?).ok()?;
            Some(Self { msg_id, start, attempt, check })
        };
        parse().ok_or_else(|| Error::NoLease { lease: crate::verbs::cut(text, 64) })
    }
}

/// Leases due lane heads whose gates are open: account by account in turn, and within an account in the
/// order in which they became due.
pub(crate) fn lease(tx: &mut Tx<'_>, spool: &Spool, request: &LeaseRequest) -> Result<Vec<Lease>> {
    let mut round = Round { leases: Vec::new(), bytes: 0, max: request.max.min(LEASE_MAX), to: request.to };
    tick::promote_due(tx)?;
    if tx.counters.paused || tx.counters.ready == 0 || (request.to == LeaseTo::Process && one_is_alone(tx)?) {
        return Ok(round.leases);
    }
    let turn = |account| Turn::new(account, &request.room);
    let mut turns: Vec<_> = open_accounts(tx, request)?.into_iter().map(turn).collect();
    turns.retain(|turn| turn.room > 0);
    // Each turn either leases an entry, moves one on (expired, uncertain), or drops an account.
    for _ in 0..LIST_SCAN_MAX {
        if turns.is_empty() || round.is_full() {
            break;
        }
        let mut left = Vec::with_capacity(turns.len());
        for mut turn in turns {
            match round.take_one(tx, spool, &mut turn)? {
                Taken::More => left.push(turn),
                Taken::NoMore => {}
                Taken::Stop => return Ok(round.leases),
            }
            if round.is_full() {
                break;
            }
        }
        turns = left;
        turns.retain(|turn| turn.room > 0);
    }
    Ok(round.leases)
}

/// An account's turns in one call.
struct Turn {
    account: Account,
    /// Leases that it may still have.
    room: usize,
    /// No lane head before this row of the due index is left.
    from: Vec<u8>,
}

impl Turn {
    fn new(account: Account, room: &Room) -> Self {
        let (room, from) = (room.of(&account.name), keys::readies(keys::account_hash(&account.name)));
        Self { account, room, from }
    }
}

/// What is being leased in one call.
struct Round {
    leases: Vec<Lease>,
    bytes: usize,
    max: usize,
    to: LeaseTo,
}

/// What came of one look at an account.
enum Taken {
    /// It may have more.
    More,
    /// It has nothing more now.
    NoMore,
    /// Nothing more may be leased in this call.
    Stop,
}

impl Round {
    fn is_full(&self) -> bool {
        self.leases.len() >= self.max
    }

    /// Leases the account's next lane head.
    fn take_one(&mut self, tx: &mut Tx<'_>, spool: &Spool, turn: &mut Turn) -> Result<Taken> {
        let account = &turn.account;
        let prefix = keys::readies(keys::account_hash(&account.name));
        // A lease puts nothing into the due index; whatever else happens to a head may, also before it.
        let from = std::mem::replace(&mut turn.from, prefix.clone());
        let Some((row, _)) = tx.next(&prefix, &from)? else { return Ok(Taken::NoMore) };
        let after = after_key(&row);
        let Some(entry) = head_entry(tx, keys::tail_lane(&row), row)? else { return Ok(Taken::More) };
        // What its timers say comes first: a deadline or a window may have passed unnoticed.
        let (entry, state) = match tick::on_timer(tx, &entry)? {
            Became::Entry(entry, state) => (entry, state),
            Became::Receipt(_) => return Ok(Taken::More),
        };
        if state != State::Queued {
            return Ok(Taken::More);
        }
        let lonely = self.to == LeaseTo::Process && is_suspect(&entry);
        let up_long_enough = tx.opened.plus(SUSPECT_UPTIME);
        if lonely && tx.now.time < up_long_enough {
            put_back(tx, &entry, up_long_enough)?;
            return Ok(Taken::More);
        }
        if lonely && (tx.counters.sending > 0 || !self.leases.is_empty()) {
            return Ok(Taken::Stop);
        }
        let size = usize::try_from(entry.identity.payload_bytes).unwrap_or(usize::MAX);
        if !self.leases.is_empty() && self.bytes.saturating_add(size) > LEASE_BYTES_MAX {
            return Ok(Taken::Stop);
        }
        let payload = match payload_of(tx, spool, &entry) {
            Ok(payload) => payload,
            Err(Error::BadRecord { reason, .. }) => {
                tx.set_aside_with_payload(spool, &entry, &format!("its payload: {reason}"))?;
                return Ok(Taken::More);
            }
            Err(Error::Unavailable { what }) => {
                postpone(tx, &entry, what)?;
                return Ok(Taken::More);
            }
            Err(error) => return Err(error),
        };
        self.bytes += size;
        let lease = self.give(tx, &entry, payload)?;
        self.leases.push(lease);
        turn.from = after;
        turn.room -= 1;
        note_try(tx, account)?;
        let tries_one = matches!(account.gate, Gate::Paused { .. });
        Ok(if lonely {
            Taken::Stop
        } else if tries_one {
            Taken::NoMore
        } else {
            Taken::More
        })
    }

    fn give(&self, tx: &mut Tx<'_>, entry: &Entry, payload: crate::view::Payload) -> Result<Lease> {
        let holder = match self.to {
            LeaseTo::Process => Holder::Process,
            LeaseTo::App { duration } => Holder::App { until: tx.now.time.plus(duration), boot: tx.boot },
        };
        let refused = || Error::WrongState {
            msg_id: entry.identity.msg_id.clone(),
            state: State::Queued,
            why: "it cannot be leased",
        };
        let stepped =
            step(&entry.delivery, &Event::Lease(holder), &tx.context(entry)).map_err(|_| refused())?;
        let Became::Entry(leased, _) = apply(tx, entry, entry.clone(), stepped, None)? else {
            return Err(refused());
        };
        let identity = &leased.identity;
        let window = tx.config.policy.dedup_window.of(identity.to_group);
        let attempt = leased.delivery.attempts.saturating_add(1);
        Ok(Lease {
            id: LeaseId::new(identity, leased.delivery.starts, attempt),
            msg_id: identity.msg_id.clone(),
            attempt,
            token: leased.delivery.token,
            account: identity.account.clone(),
            conversation: identity.conversation.clone(),
            seq: identity.seq,
            online_user_only: identity.online_user_only,
            message: payload.message,
            web_message_instance: payload.web_message_instance,
            // The lifecycle may have made it shorter.
            deadline: match leased.delivery.phase {
                Phase::Sending { holder: Holder::App { until, .. }, .. } => Some(tx.now.wall_of(until)),
                _ => None,
            },
            begin_by: begin_by(&leased.delivery, window),
        })
    }
}

/// Leaves an entry for later.
fn put_back(tx: &mut Tx<'_>, entry: &Entry, until: Timestamp) -> Result<()> {
    match step(&entry.delivery, &Event::PutOff(until), &tx.context(entry)) {
        Ok(stepped) => apply(tx, entry, entry.clone(), stepped, None).map(drop),
        Err(_) => Ok(()),
    }
}

/// Leaves an entry for later whose payload cannot be read now, and says so in its record.
fn postpone(tx: &mut Tx<'_>, entry: &Entry, what: String) -> Result<()> {
    let Ok(stepped) = step(&entry.delivery, &Event::Postpone, &tx.context(entry)) else { return Ok(()) };
    let mut new = entry.clone();
    new.last_error = Some(LastError {
        code: CODE_PAYLOAD_UNREADABLE,
        desc: cut(&what, DESC_BYTES_MAX),
        class: Class::Unknown.into(),
        at: tx.now.wall,
    });
    apply(tx, entry, new, stepped, None).map(drop)
}

/// The entry at the head of a lane; a row that leads nowhere is removed.
fn head_entry(tx: &mut Tx<'_>, lane: LaneKey, row: Vec<u8>) -> Result<Option<Entry>> {
    let found = tx.lane(lane)?;
    let seat = found.as_ref().and_then(|found| match found.slot {
        Slot::Ready(at) => Some(keys::ready(keys::account_hash(&found.account), at, lane)),
        Slot::Deferred(_) | Slot::None => None,
    });
    if seat.as_ref() != Some(&row) {
        // A stray: the lane's head stands elsewhere.
        tx.remove(row);
        tx.counters.ready = tx.counters.ready.saturating_sub(1);
        return Ok(None);
    }
    let head = found.map(|found| entry_at(tx, found.head)).unwrap_or(Ok(None));
    match head {
        Ok(Some(entry)) => return Ok(Some(entry)),
        Ok(None) | Err(Error::BadRecord { .. }) => {}
        Err(error) => return Err(error),
    }
    // The head cannot be read: the lane finds the next one.
    tx.look_at_lane(lane)?;
    Ok(None)
}

/// An entry whose attempts have killed the process twice in a row is attempted with nothing beside it.
fn is_suspect(entry: &Entry) -> bool {
    entry.delivery.deaths + 1 >= DEATHS_MAX
}

/// Whether such an entry is under way.
fn one_is_alone(tx: &Tx<'_>) -> Result<bool> {
    if tx.counters.sending != 1 {
        return Ok(false);
    }
    let prefix = keys::states(StateIndex::Sending);
    let Some((_, msg_id)) = tx.next(&prefix, &prefix)? else { return Ok(false) };
    let record = load_message(tx, &String::from_utf8_lossy(&msg_id))?;
    Ok(matches!(record, Some(Record::Entry(entry)) if is_suspect(&entry)))
}

/// The accounts that may send now, beginning with another one each time.
fn open_accounts(tx: &mut Tx<'_>, request: &LeaseRequest) -> Result<Vec<Account>> {
    let now = tx.now.time;
    let may_send = |account: &Account| match &account.gate {
        Gate::Open => true,
        Gate::Limited { until, .. } => now >= *until,
        Gate::Paused { try_at, .. } => {
            request.to == LeaseTo::Process && try_at.is_some_and(|try_at| now >= try_at)
        }
    };
    if let Some(name) = &request.account {
        return Ok(Some(tx.account(name)?).filter(may_send).into_iter().collect());
    }
    let chance = keys::account_hash(&format!("{} {}", tx.counters.next_event, now.0));
    let (before, after) = (keys::readies([0; 16]), keys::readies(chance));
    let mut accounts = due_accounts(tx, after.clone(), None)?;
    accounts.extend(due_accounts(tx, before, Some(&after))?);
    accounts.retain(may_send);
    // From a place among their hashes alone, an account behind a wide gap would come first far more often.
    if let Some(first) = usize::from(u16::from_be_bytes([chance[14], chance[15]])).checked_rem(accounts.len())
    {
        accounts.rotate_left(first);
    }
    Ok(accounts)
}

/// The accounts that have a lane head in the due index, from a row of it on: their number counts, not that
/// of their messages or of accounts that have nothing due.
fn due_accounts(tx: &mut Tx<'_>, mut from: Vec<u8>, before: Option<&[u8]>) -> Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for _ in 0..LIST_SCAN_MAX {
        let Some((row, _)) = tx.next(b"w", &from)? else { break };
        if before.is_some_and(|before| row.as_slice() >= before) {
            break;
        }
        from = after_key(&row);
        match tx.lane(keys::tail_lane(&row))? {
            Some(lane) => {
                from = after_prefix(&keys::readies(keys::account_hash(&lane.account)));
                accounts.push(tx.account(&lane.account)?);
            }
            None => {
                tx.remove(row);
                tx.counters.ready = tx.counters.ready.saturating_sub(1);
            }
        }
    }
    Ok(accounts)
}

/// A try of an account whose gate is shut: the next one comes later.
fn note_try(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    if !matches!(account.gate, Gate::Paused { .. }) {
        return Ok(());
    }
    // Read again: the entry that was just leased counts in it.
    let mut account = tx.account(&account.name)?;
    if let Gate::Paused { try_at, try_interval_ms, .. } = &mut account.gate {
        let next = tx.now.time.plus_ms(*try_interval_ms);
        *try_at = Some(next);
        *try_interval_ms = try_interval_ms
            .saturating_mul(2)
            .min(u64::try_from(GATE_TRY_MAX.as_millis()).unwrap_or(u64::MAX));
        tx.wake(next);
    }
    tx.put_account(&account)
}

/// Prolongs an app's lease as far as it may go; the answer is its new deadline.
pub(crate) fn extend(tx: &mut Tx<'_>, id: &LeaseId, duration: Duration) -> Result<WallTime> {
    let entry = current(tx, id)?;
    let mut new = entry.clone();
    let Phase::Sending { started, holder: Holder::App { until, .. }, .. } = &mut new.delivery.phase else {
        return Err(lapsed(tx, &entry)?);
    };
    let window = tx.config.policy.dedup_window.of(entry.identity.to_group);
    let longest = lease_end_max(&entry.delivery, *started, window);
    *until = tx.now.time.plus(duration).min(longest).max(*until);
    let deadline: Timestamp = *until;
    tx.put_entry(Some(&entry), &new)?;
    Ok(tx.now.wall_of(deadline))
}

/// Takes back a lease that never reached the one who asked for it.
pub(crate) fn take_back(tx: &mut Tx<'_>, id: &LeaseId) -> Result<State> {
    let entry = current(tx, id)?;
    let stepped = step(&entry.delivery, &Event::TakeBack, &tx.context(&entry));
    match stepped {
        Ok(stepped) => Ok(apply(tx, &entry, entry.clone(), stepped, None)?.state()),
        Err(_) => Err(lapsed(tx, &entry)?),
    }
}

/// Takes back a lease whose attempt was never begun, because its transport has no turn for it before a moment.
pub(crate) fn put_off(tx: &mut Tx<'_>, id: &LeaseId, wait: Duration) -> Result<State> {
    let entry = current(tx, id)?;
    let until = tx.now.time.plus(wait);
    match step(&entry.delivery, &Event::PutOff(until), &tx.context(&entry)) {
        Ok(stepped) => Ok(apply(tx, &entry, entry.clone(), stepped, None)?.state()),
        Err(_) => Err(lapsed(tx, &entry)?),
    }
}

/// The entry that a lease holds now.
fn current(tx: &Tx<'_>, id: &LeaseId) -> Result<Entry> {
    let no_lease = || Error::NoLease { lease: crate::verbs::cut(&id.to_string(), 64) };
    match load_message(tx, id.msg_id())? {
        Some(Record::Entry(entry)) if id.is_of(&entry.identity) => {
            let holds =
                entry.delivery.starts == id.start && matches!(entry.delivery.phase, Phase::Sending { .. });
            if holds { Ok(entry) } else { Err(lapsed(tx, &entry)?) }
        }
        Some(Record::Receipt(receipt)) if id.is_of(&receipt.identity) => Err(Error::WrongState {
            msg_id: receipt.identity.msg_id.clone(),
            state: receipt.state(),
            why: "the message has ended",
        }),
        _ => Err(no_lease()),
    }
}

fn lapsed(tx: &Tx<'_>, entry: &Entry) -> Result<Error> {
    Ok(Error::WrongState {
        msg_id: entry.identity.msg_id.clone(),
        state: crate::view::state_of(tx, entry, tx.now)?,
        why: "the lease is over",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_is_read_back_from_its_text() {
        let id = LeaseId { msg_id: "a-b/ü".into(), start: 7, attempt: 3, check: [1, 2, 3, 4, 5, 6, 7, 8] };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "1",
            "1-1-00",
            "x-1-0102030405060708-61",
            "1-1-01-61",
            "1-1-0102030405060708-ff",
            "1-0102030405060708-61",
        ] {
            assert!(bad.parse::<LeaseId>().is_err(), "{bad}");
        }
    }
}
