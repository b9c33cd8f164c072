//! Lanes: the order of a conversation, and which of its messages may go next.
//!
//! Owns:  the rows of a lane, its head's place in the due index, who is under way in it.
//! Never: decides whether an entry keeps its place (`lifecycle` does), leases.

use crate::disk::{Bytes, Rows, after_key};
use crate::entry::{Delivery, Identity, Lane, LaneKey, Phase, Slot};
use crate::error::{Error, Result};
use crate::keys::{self, StateIndex};
use crate::tx::{Record, Tx, entry_at, load, load_message, msg_id_at};

impl Tx<'_> {
    /// Keeps a lane in step with one of its entries.
    pub(crate) fn relane(
        &mut self,
        identity: &Identity,
        old: Option<&Delivery>,
        new: Option<&Delivery>,
    ) -> Result<()> {
        let seq = identity.seq;
        let in_lane = |delivery: Option<&Delivery>| delivery.is_some_and(|delivery| delivery.in_lane);
        let is_sending = |delivery: Option<&Delivery>| {
            delivery.is_some_and(|delivery| matches!(delivery.phase, Phase::Sending { .. }))
        };
        if !in_lane(old) && !in_lane(new) {
            return Ok(());
        }
        let found = self.lane(identity.lane)?;
        let is_new = found.is_none();
        let mut lane = found.unwrap_or_else(|| Lane {
            account: identity.account.clone(),
            conversation: identity.conversation.clone(),
            head: seq,
            slot: Slot::None,
            sending: None,
        });
        match (in_lane(old), in_lane(new)) {
            (false, true) => {
                self.put_bytes(keys::lane_entry(identity.lane, seq), Bytes::default());
            }
            (true, false) => self.remove(keys::lane_entry(identity.lane, seq)),
            _ => {}
        }
        if is_sending(old) && lane.sending == Some(seq) {
            lane.sending = None;
        }
        if is_sending(new) {
            lane.sending = Some(seq);
        }
        // One under way takes the head's seat in the due index, wherever it stands (a rebuild meets them so).
        // The lane's own record says nothing of those behind its head: its row is all that a tail needs.
        let is_tail = old.is_none() && !is_new && lane.head < seq && !is_sending(new);
        if is_tail {
            return Ok(());
        }
        self.reseat(
            identity.lane,
            lane,
            new.filter(|delivery| delivery.in_lane).map(|delivery| (seq, delivery)),
        )
    }

    /// Finds the head of a lane anew and gives it its row in the due index. `known` saves a look-up when
    /// the head is the entry that has just changed.
    fn reseat(&mut self, id: LaneKey, mut lane: Lane, known: Option<(u64, &Delivery)>) -> Result<()> {
        let account = keys::account_hash(&lane.account);
        let before = (lane.head, lane.slot);
        self.unseat(id, account, lane.slot);
        lane.slot = Slot::None;
        let Some((head, phase)) = self.head_of(id, known)? else {
            self.remove(keys::lane(id));
            return Ok(());
        };
        lane.head = head;
        if lane.sending.is_none()
            && let Phase::Waiting { due, .. } = phase
        {
            lane.slot = if due > self.now.time {
                Slot::Deferred(due)
            } else {
                match before {
                    (head, Slot::Ready(at)) if head == lane.head => Slot::Ready(at),
                    _ => Slot::Ready(self.now.time),
                }
            };
        }
        self.seat(id, account, lane.slot);
        self.put(keys::lane(id), &lane)
    }

    /// The first entry of a lane that can be read. Those that cannot are set aside: one bad record must
    /// not keep a conversation for ever.
    fn head_of(&mut self, id: LaneKey, known: Option<(u64, &Delivery)>) -> Result<Option<(u64, Phase)>> {
        // Each turn removes a row of the lane, so there are no more turns than entries.
        while let Some((row, _)) = self.next(&keys::lane(id), &keys::lane_entry(id, 0))? {
            let seq = keys::tail_number(&row);
            if let Some((known_seq, delivery)) = known
                && known_seq == seq
            {
                return Ok(Some((seq, delivery.phase.clone())));
            }
            match entry_at(self, seq) {
                Ok(Some(entry)) => return Ok(Some((seq, entry.delivery.phase))),
                Err(Error::BadRecord { reason, .. }) => {
                    let msg_id = msg_id_at(self, seq)?.unwrap_or_default();
                    self.set_aside_entry(seq, &msg_id, &reason.to_string())?;
                }
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            self.remove(row);
        }
        Ok(None)
    }

    /// What it means for the others of a lane that this entry goes no further by itself, in words; `None`
    /// where none stands behind it.
    pub(crate) fn said_of_lane(&self, identity: &Identity, delivery: &Delivery) -> Option<&'static str> {
        let stuck = match delivery.phase {
            Phase::Failed { .. } | Phase::Held { .. } | Phase::Uncertain { .. } | Phase::Expired { .. } => {
                true
            }
            Phase::Waiting { .. } | Phase::Sending { .. } => false,
        };
        // A lane that cannot be read says nothing; it is made anew when it is next looked at.
        let lane = load::<Lane>(self, &keys::lane(identity.lane)).ok().flatten().filter(|_| stuck)?;
        if delivery.in_lane {
            let keeps = lane.head == identity.seq && self.has_tail(identity);
            return keeps.then_some("its conversation waits for it");
        }
        (lane.head > identity.seq).then_some("its conversation goes on without it")
    }

    /// Whether another entry stands behind this one in its lane. What cannot be read stands nowhere.
    fn has_tail(&self, identity: &Identity) -> bool {
        let after = after_key(&keys::lane_entry(identity.lane, identity.seq));
        self.next(&keys::lane(identity.lane), &after).is_ok_and(|row| row.is_some())
    }

    fn unseat(&mut self, id: LaneKey, account: keys::AccountHash, slot: Slot) {
        match slot {
            Slot::None => {}
            Slot::Ready(at) => {
                self.remove(keys::ready(account, at, id));
                self.counters.ready = self.counters.ready.saturating_sub(1);
            }
            Slot::Deferred(due) => {
                self.remove(keys::deferred(due, id));
                self.counters.deferred = self.counters.deferred.saturating_sub(1);
            }
        }
    }

    fn seat(&mut self, id: LaneKey, account: keys::AccountHash, slot: Slot) {
        match slot {
            Slot::None => {}
            Slot::Ready(at) => {
                self.put_bytes(keys::ready(account, at, id), Bytes::default());
                self.counters.ready += 1;
                self.wake(self.now.time);
            }
            Slot::Deferred(due) => {
                self.put_bytes(keys::deferred(due, id), Bytes::default());
                self.counters.deferred += 1;
                self.wake(due);
            }
        }
    }

    /// A lane's record; one that cannot be read is made anew from the lane's rows.
    pub(crate) fn lane(&mut self, id: LaneKey) -> Result<Option<Lane>> {
        let key = keys::lane(id);
        let reason = match load::<Lane>(self, &key) {
            Err(Error::BadRecord { reason, .. }) => reason.to_string(),
            found => return found,
        };
        if let Some(bytes) = self.get(&key)? {
            self.put_bytes(keys::set_aside(&key), bytes);
            self.remove(key);
        }
        let Some((first, _)) = self.next(&keys::lane(id), &keys::lane_entry(id, 0))? else { return Ok(None) };
        let head = entry_at(self, keys::tail_number(&first))?;
        let msg_id = head.as_ref().map(|head| head.identity.msg_id.as_str());
        self.announce_set_aside(msg_id, &format!("its lane: {reason}"))?;
        let Some(head) = head else { return Ok(None) };
        let lane = Lane {
            account: head.identity.account,
            conversation: head.identity.conversation,
            head: keys::tail_number(&first),
            // Its row in the due index, if it has one, is met there and removed as a stray.
            slot: Slot::None,
            sending: self.under_way_in(id)?,
        };
        self.put(keys::lane(id), &lane)?;
        self.reseat(id, lane, None)?;
        load(self, &keys::lane(id))
    }

    /// The entry of a lane that is under way.
    fn under_way_in(&self, id: LaneKey) -> Result<Option<u64>> {
        let prefix = keys::states(StateIndex::Sending);
        let mut from = prefix.clone();
        while let Some((row, msg_id)) = self.next(&prefix, &from)? {
            from = after_key(&row);
            if let Ok(Some(Record::Entry(entry))) = load_message(self, &String::from_utf8_lossy(&msg_id))
                && entry.identity.lane == id
            {
                return Ok(Some(entry.identity.seq));
            }
        }
        Ok(None)
    }

    /// Looks at a lane again, for a head whose time has come.
    pub(crate) fn look_at_lane(&mut self, id: LaneKey) -> Result<()> {
        match self.lane(id)? {
            Some(lane) => self.reseat(id, lane, None),
            None => Ok(()),
        }
    }
}
