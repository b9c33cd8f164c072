//! The outbox: the door of this crate.
//!
//! Owns:  one method for each verb and each view, closing.
//! Never: holds state of its own; the store has it all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Timestamp, WallTime};
use crate::config::{Committer, Config};
#[cfg(test)]
use crate::disk::Disk;
use crate::entry::{Account, Counters, Entry, Receipt};
use crate::error::{Error, OpenError, Result};
use crate::events::{self, EventPage};
use crate::limits::{INLINE_BYTES_MAX, LIST_SCAN_MAX};
use crate::list::{self, Filter, Matching, Page};
use crate::looker::Looker;
use crate::open::{self, OpenReport};
use crate::outcome::Report;
use crate::queue::{Kind, Ticket};
use crate::rewrite::Compacted;
use crate::shared::Shared;
use crate::state::State;
use crate::tx::Tx;
use crate::verbs::{
    self, Batch, Batched, Cancelled, Changed, GateChange, Lease, LeaseId, LeaseRequest, NewPayload,
    Overrides, Paused, Resolution, Restored, Scope, Settled, Submit, Submitted, Swept, Ticked,
};
use crate::view::{self, EntryView, Message, Payload, SentPage};
use crate::writer::{self, Writer};
use crate::{keys, layout, quarantine};

/// An open outbox. Cheap to clone; the last clone to go closes it.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) looker: Looker,
    pub(crate) report: OpenReport,
}

/// The spool as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Counts.
    pub counters: Counters,
    /// Bytes of the store's main file.
    pub store_bytes: u64,
    /// Free bytes of the file system.
    pub free_bytes: u64,
    /// Bytes beside them that are kept for the store.
    pub reserved_bytes: u64,
    /// A part of the store could not be read since it was opened, or at the open, which has made it anew.
    pub is_damaged: bool,
    /// Messages that the open found counted and of which no record can be read.
    pub missing: u64,
    /// The store takes no changes, for good or until there is room.
    pub has_failed: bool,
    /// Files of payloads and replacements that were met and cannot be read, a thousand at the most.
    pub damaged_files: u64,
    /// Format of the spool.
    pub format: u32,
    /// When the oldest event that is kept happened.
    pub oldest_event: Option<WallTime>,
    /// When the oldest message on its way was accepted.
    pub oldest_waiting: Option<Timestamp>,
}

/// A message that was checked and is not queued yet. Dropping it removes the file that was written for it.
pub struct PreparedSubmit {
    /// `None` once it is queued.
    prepared: Option<verbs::Prepared>,
    shared: Arc<Shared>,
}

impl Drop for PreparedSubmit {
    fn drop(&mut self) {
        if let Some(name) = self.prepared.as_ref().and_then(|prepared| prepared.file) {
            self.shared.spool.remove_payload(name);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // By hand, only what was asked for is done.
        if matches!(self.shared.committer, Committer::Thread) {
            self.looker.stop();
            self.writer.stop(&self.shared);
        }
    }
}

impl Outbox {
    /// Opens the spool, or makes one. Attempts that a dead process left behind have ended before this
    /// returns, and what is derived has been checked. What is missing is in the [report](Self::report), and forgotten by the spool:
    /// who must not miss it, whenever the process dies, hears it in [`Outbox::open_and_tell`].
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn open(config: Config) -> std::result::Result<Self, OpenError> {
        Self::open_and_tell(config, |_, _| Ok(()))
    }

    /// As [`Outbox::open`]. `tell` hears what the open found before the spool forgets it: a process that dies before `tell` has
    /// returned leaves it all to the next open, and so does an error of it. So nothing that is missing goes untold, and some of it may
    /// be told twice.
    ///
    /// # Errors
    /// [`OpenError`], whose `hint` says what to do.
    pub fn open_and_tell(
        config: Config,
        tell: impl FnOnce(&OpenReport, &Counters) -> io::Result<()>,
    ) -> std::result::Result<Self, OpenError> {
        Ok(Self { inner: Arc::new(open::open(config, tell)?) })
    }

    #[cfg(test)]
    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.shared.disk
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// What the open found and did.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.inner.shared.config()
    }

    /// Now, on the spool's time line and on the wall clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.inner.shared.clock.now()
    }

    /// Why the store takes no changes, if so: for good, or until there is room on the drive.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.inner.shared.failure()
    }

    /// Whether a part of the store could not be read since it was opened. What stands in it cannot be had, everything else goes on;
    /// the next open makes the store anew of the rest.
    #[must_use]
    pub fn has_met_damage(&self) -> bool {
        self.inner.shared.disk.engine.has_met_damage()
    }

    /// The msgIDs of payload and replacement files that were met and cannot be read, a thousand at the most. All files are read
    /// once a day. An entry with such a payload is set aside when its turn comes; a receipt stays, without its replacement.
    #[must_use]
    pub fn damaged_files(&self) -> Vec<String> {
        self.inner.shared.spool.damaged_files.msg_ids()
    }

    /// Looks whether the store's file still lies where the next open looks for it; where it does not, no change is taken any more.
    /// Each group of changes looks by itself: this is for a store in which nothing happens.
    pub fn look_for_store(&self) {
        // The failure is remembered.
        let _ = self.inner.shared.look_for_file();
    }

    /// Carries out what is queued and closes the spool in order. Verbs that come later are refused.
    pub fn close(&self) {
        self.inner.looker.stop();
        self.inner.writer.stop(&self.inner.shared);
    }

    /// Commits what has gathered as one group, where that is done by hand ([`Committer::ByHand`]); tells
    /// whether there was anything.
    pub fn commit(&self) -> bool {
        writer::commit_by_hand(&self.inner.shared)
    }

    fn verb<T: Send + 'static>(
        &self,
        name: &'static str,
        verb: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        self.inner.writer.submit(&self.inner.shared, Kind::Request, name, |tx, _| verb(tx))
    }

    /// What has happened and must be recorded.
    fn outcome<T: Send + 'static>(
        &self,
        name: &'static str,
        verb: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        self.inner.writer.submit(&self.inner.shared, Kind::Outcome, name, |tx, _| verb(tx))
    }

    /// What is due by itself.
    fn chore<T: Send + 'static>(
        &self,
        name: &'static str,
        verb: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        self.inner.writer.submit(&self.inner.shared, Kind::Chore, name, |tx, _| verb(tx))
    }

    // --- verbs: each is one transaction, durable when its ticket is answered ------------------------------

    /// Accepts a failed message, or recognises it. A payload over 16 KiB is written to a file on this
    /// thread first.
    ///
    /// The ticket fails with [`Error::Conflict`] for a known msgID with another payload, [`Error::BadId`],
    /// [`Error::BadTtl`], [`Error::TooLarge`], [`Error::Full`] or [`Error::DiskLow`].
    pub fn submit(&self, submit: Submit) -> Ticket<Submitted> {
        match self.prepare(submit) {
            Ok(prepared) => self.submit_prepared(prepared),
            Err(error) => Ticket::refused(error, &self.inner.shared),
        }
    }

    /// The first half of [`Self::submit`], for callers that keep many submits in order: checks the message
    /// and writes a payload over 16 KiB to a file on this thread. Nothing is accepted yet.
    ///
    /// # Errors
    /// [`Error::BadId`], [`Error::BadTtl`], [`Error::TooLarge`] or [`Error::DiskLow`].
    pub fn prepare(&self, submit: Submit) -> Result<PreparedSubmit> {
        let shared = &self.inner.shared;
        let prepared = verbs::prepare(submit, &shared.config(), &shared.spool)?;
        Ok(PreparedSubmit { prepared: Some(prepared), shared: Arc::clone(shared) })
    }

    /// The second half of [`Self::submit`]: queues a prepared message. Messages are accepted in the order of
    /// these calls; nothing is written on this thread.
    pub fn submit_prepared(&self, mut submit: PreparedSubmit) -> Ticket<Submitted> {
        let shared = &self.inner.shared;
        if let Some(error) = shared.failure() {
            return Ticket::refused(error, shared);
        }
        let Some(prepared) = submit.prepared.take() else {
            return Ticket::refused(Error::Closed, shared);
        };
        let file = prepared.file;
        self.inner.writer.submit(shared, Kind::Request, "submit", move |tx, spool| {
            let answer = verbs::submit(tx, prepared);
            if let (Err(_), Some(name)) = (&answer, file) {
                spool.remove_payload(name);
            }
            answer
        })
    }

    /// Accepts many messages; each is accepted or refused for itself, and the answers come in their order.
    #[must_use]
    pub fn submit_many(&self, submits: impl IntoIterator<Item = Submit>) -> Vec<Result<Submitted>> {
        self.together(submits, |submit| self.submit(submit))
    }

    /// Queues all before the first is waited for, so that they share groups.
    fn together<T, A: Send + 'static>(
        &self,
        items: impl IntoIterator<Item = T>,
        queue: impl Fn(T) -> Ticket<A>,
    ) -> Vec<Result<A>> {
        let run = self.inner.shared.begin_run();
        let tickets: Vec<_> = items.into_iter().map(queue).collect();
        drop(run);
        tickets.into_iter().map(Ticket::wait).collect()
    }

    /// Leases due lane heads.
    pub fn lease(&self, request: LeaseRequest) -> Ticket<Vec<Lease>> {
        self.inner.writer.submit(&self.inner.shared, Kind::Lease, "lease", move |tx, spool| {
            verbs::lease(tx, spool, &request)
        })
    }

    /// Records the outcome of a leased attempt. A replacement over 16 KiB is written to a file on this
    /// thread first. Where the drive has no room, the answer waits for that: what has happened must not be forgotten.
    ///
    /// The ticket fails with [`Error::NoLease`] for a lease that was never given out, and with
    /// [`Error::WrongState`] if a newer attempt has begun and this one brings no success.
    pub fn settle(&self, lease: LeaseId, report: Report) -> Ticket<Settled> {
        self.with_replacement("settle", report, move |tx, report| verbs::settle(tx, &lease, report))
    }

    /// Records many outcomes; each is taken or refused for itself, and the answers come in their order. As many as fit
    /// share one sync of the drive.
    #[must_use]
    pub fn settle_many(&self, settles: impl IntoIterator<Item = (LeaseId, Report)>) -> Vec<Result<Settled>> {
        self.together(settles, |(lease, report)| self.settle(lease, report))
    }

    /// Prolongs an app's lease (up to an hour in all); answers its new deadline.
    pub fn extend(&self, lease: LeaseId, duration: Duration) -> Ticket<WallTime> {
        self.verb("extend", move |tx| verbs::extend(tx, &lease, duration))
    }

    /// Takes back a lease that never reached the one who asked for it; the attempt does not count. Where the drive has no
    /// room, the answer waits for that: nobody else would end the lease.
    pub fn take_back(&self, lease: LeaseId) -> Ticket<State> {
        self.outcome("take back", move |tx| verbs::take_back(tx, &lease))
    }

    /// Takes back a lease whose attempt was not begun because its transport has no turn for it yet; the
    /// attempt does not count, and the entry is due after `wait`. It waits for room as [`Self::take_back`] does.
    pub fn put_off(&self, lease: LeaseId, wait: Duration) -> Ticket<State> {
        self.outcome("put off", move |tx| verbs::put_off(tx, &lease, wait))
    }

    /// Holds an entry back until it is released; its clock stops.
    pub fn hold(&self, id: String, reason: Option<String>) -> Ticket<EntryView> {
        self.verb("hold", move |tx| verbs::hold(tx, &id, reason))
    }

    /// Releases a held entry.
    pub fn release(&self, id: String) -> Ticket<EntryView> {
        self.verb("release", move |tx| verbs::release(tx, &id))
    }

    /// Makes an entry due now; brings a failed or expired one back under its old place in the order.
    ///
    /// What `overrides` names is changed for this attempt and all later ones, but for one that is under way.
    pub fn resend(&self, id: String, overrides: Overrides) -> Ticket<Changed> {
        let shared = &self.inner.shared;
        let Overrides { online_user_only, web_message_instance } = overrides;
        let payload = match web_message_instance.map(|web| self.payload_with(&id, web)).transpose() {
            Ok(payload) => payload,
            // It ended, or never was: the verb itself says which, and answers a sent one with its receipt.
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Ticket::refused(error, shared),
        };
        let file = payload.as_ref().and_then(|payload| payload.file);
        self.inner.writer.submit(shared, Kind::Request, "resend", move |tx, spool| {
            let answer = verbs::resend(tx, &id, online_user_only, payload);
            if let (Err(_) | Ok(Changed::Sent(_)), Some(name)) = (&answer, file) {
                spool.remove_payload(name);
            }
            answer
        })
    }

    /// The payload of an entry with another web instance, its file written if it needs one.
    fn payload_with(&self, id: &str, web: Vec<u8>) -> Result<NewPayload> {
        let shared = &self.inner.shared;
        let (seq, message) = {
            let _snapshot = shared.view()?;
            match crate::tx::find(&shared.disk, id)? {
                crate::tx::Record::Entry(entry) => {
                    (entry.identity.seq, view::payload_of(&shared.disk, &shared.spool, &entry)?.message)
                }
                // The verb itself says what became of it.
                crate::tx::Record::Receipt(_) => return Err(Error::NotFound { id: id.into() }),
            }
        };
        let bytes = message.len() + web.len();
        let max = shared.config().max_message_bytes;
        if bytes as u64 > max {
            return Err(Error::TooLarge { bytes: bytes as u64, max });
        }
        let file = if bytes > INLINE_BYTES_MAX {
            let chance = shared.chance.as_ref();
            Some(verbs::write_payload_file(&shared.spool, chance, &message, Some(&web))?)
        } else {
            None
        };
        Ok(NewPayload { seq, message, web_message_instance: Some(web), file })
    }

    /// Cancels a message.
    pub fn cancel(&self, id: String, reason: Option<String>) -> Ticket<Cancelled> {
        self.verb("cancel", move |tx| verbs::cancel(tx, &id, reason))
    }

    /// Closes a message with an attempt whose outcome is unknown as sent, by a person's word.
    pub fn resolve(&self, id: String, resolution: Resolution) -> Ticket<Receipt> {
        let report = Report {
            outcome: crate::outcome::Outcome::Sent,
            code: 0,
            desc: resolution.desc,
            class: crate::outcome::Class::Ok,
            retry_after: None,
            replacement: resolution.replacement,
        };
        self.with_replacement("resolve", report, move |tx, report| {
            let resolution =
                Resolution { desc: report.desc.clone(), replacement: report.replacement.clone() };
            verbs::resolve(tx, &id, &resolution)
        })
    }

    /// Takes an entry of another spool over, as [`crate::Offline::export`] gave it. A payload over 16 KiB is
    /// written to a file on the writer's thread: this is for spools that nothing else uses meanwhile.
    pub fn restore_entry(&self, entry: Entry, payload: Option<Payload>) -> Ticket<Restored> {
        let shared = &self.inner.shared;
        self.inner.writer.submit(shared, Kind::Request, "restore entry", move |tx, spool| {
            verbs::restore_entry(tx, spool, entry, payload)
        })
    }

    /// Takes a receipt of another spool over.
    pub fn restore_receipt(&self, receipt: Receipt, data: Option<Vec<u8>>) -> Ticket<Restored> {
        let shared = &self.inner.shared;
        self.inner.writer.submit(shared, Kind::Request, "restore receipt", move |tx, spool| {
            verbs::restore_receipt(tx, spool, receipt, data.as_deref())
        })
    }

    /// Reads every payload and replacement and sets aside those that cannot be read; answers how many. A message that has not
    /// ended goes with its payload, of others what became of them stays. Whatever else waits for a commit meanwhile waits
    /// long: this is for spools that nothing else uses.
    ///
    /// # Errors
    /// [`Error::Unhealthy`], [`Error::Unavailable`] or [`Error::Closed`].
    pub fn set_aside_unreadable(&self) -> Result<u64> {
        let shared = &self.inner.shared;
        let mut set_aside = 0;
        let unreadable = {
            let _snapshot = shared.view()?;
            view::unreadable(&shared.disk, &shared.spool)?
        };
        for id in unreadable {
            let set = self.inner.writer.submit(shared, Kind::Request, "quarantine", move |tx, spool| {
                quarantine::set_aside_unreadable(tx, spool, &id)
            });
            set_aside += u64::from(set.wait()?);
        }
        Ok(set_aside)
    }

    /// Handles what is due by itself: expiry, lapsed leases, ended windows, retention.
    pub fn tick(&self) -> Ticket<Ticked> {
        self.chore("tick", verbs::tick)
    }

    /// Makes everything deferred due now, of one account or conversation if given; answers how many lane
    /// heads that were. Works in bounded transactions.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::Closed`].
    pub fn flush(&self, account: Option<String>, conversation: Option<String>) -> Result<u64> {
        self.sweep(Kind::Request, "flush", move |tx, from| {
            let scope = Scope { account: account.clone(), conversation: conversation.clone() };
            verbs::flush(tx, &scope, from)
        })
    }

    /// Makes the lane heads due now that wait only because nobody could be reached; answers how many.
    /// Works in bounded transactions.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::Closed`].
    pub fn wake_not_reached(&self) -> Result<u64> {
        self.sweep(Kind::Chore, "wake", verbs::wake_not_reached)
    }

    /// The same as [`Self::wake_not_reached`], to be awaited where nothing may block.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::Closed`].
    pub async fn wake_not_reached_async(&self) -> Result<u64> {
        let mut swept = self.chore("wake", |tx| verbs::wake_not_reached(tx, None)).await?;
        let mut changed = swept.changed;
        while let Some(from) = swept.next {
            swept = self.chore("wake", move |tx| verbs::wake_not_reached(tx, Some(&from))).await?;
            changed += swept.changed;
        }
        Ok(changed)
    }

    /// Pauses everything: no new leases. Survives a restart.
    pub fn pause(&self) -> Ticket<()> {
        self.verb("pause", |tx| verbs::set_paused(tx, Paused::Yes))
    }

    /// Ends a pause.
    pub fn resume(&self) -> Ticket<()> {
        self.verb("resume", |tx| verbs::set_paused(tx, Paused::No))
    }

    /// Replaces the configuration for every verb that is asked for after the answer; path, holder, observer and
    /// clock stay. What is scheduled already keeps its time.
    pub fn reconfigure(&self, config: Config) -> Ticket<()> {
        let shared = Arc::clone(&self.inner.shared);
        self.verb("reconfigure", move |tx| {
            // The group in which this runs works with the old one to its end.
            let changed = tx.config.changed_to(config);
            shared.set_config(changed);
            tx.wake(tx.now.time);
            Ok(())
        })
    }

    /// Does the same to many entries, those with these `seq`s that still match the filter, in one bounded
    /// transaction; answers which of them it did not come to. The caller asks again for those.
    pub fn batch(&self, batch: Batch) -> Ticket<Batched> {
        self.verb("batch", move |tx| verbs::batch(tx, batch))
    }

    /// Copies everything that is kept into a fresh store and gives the space of the old one back, part by part beside
    /// everything else; the answer comes at its end. It needs room for the copy. A store that takes four times what is
    /// kept in it is rewritten by itself, once nothing has happened for ten seconds.
    ///
    /// The ticket fails with [`Error::DiskLow`] where the copy may not fit, and with [`Error::Unavailable`] where it
    /// could not be made; where it could not take the old store's place, the store has failed: for want of room it opens itself
    /// again once there is some, else a restart does.
    pub fn compact(&self) -> Ticket<Compacted> {
        self.inner.writer.compact(&self.inner.shared)
    }

    /// Opens or shuts an account's gate. Survives a restart.
    pub fn set_account(&self, account: String, change: GateChange) -> Ticket<Account> {
        self.verb("set account", move |tx| verbs::set_account(tx, &account, change))
    }

    fn sweep(
        &self,
        kind: Kind,
        name: &'static str,
        part: impl Fn(&mut Tx<'_>, Option<&[u8]>) -> Result<Swept> + Clone + Send + 'static,
    ) -> Result<u64> {
        let mut changed = 0;
        let mut from: Option<Vec<u8>> = None;
        loop {
            let part = part.clone();
            let sweep = move |tx: &mut Tx<'_>, _: &crate::spool::Spool| part(tx, from.as_deref());
            let swept = self.inner.writer.submit(&self.inner.shared, kind, name, sweep).wait()?;
            changed += swept.changed;
            match swept.next {
                Some(next) => from = Some(next),
                None => return Ok(changed),
            }
        }
    }

    /// Runs a verb whose report may carry a replacement too large for the store.
    fn with_replacement<T: Send + 'static>(
        &self,
        name: &'static str,
        mut report: Report,
        verb: impl FnOnce(&mut Tx<'_>, &Report) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        let shared = &self.inner.shared;
        let data = report.replacement.as_mut().map(|replacement| &mut replacement.data);
        // Taken out: thousands of outcomes may wait, and these bytes are not to wait with them.
        let large = data.filter(|data| data.len() > INLINE_BYTES_MAX).map(std::mem::take);
        let large_bytes = large.as_ref().map_or(0, Vec::len) as u64;
        // Where it cannot be written (a full disk), the outcome is recorded without it: a proven success must
        // not wait for room. The receipt says that it is missing.
        let chance = shared.chance.as_ref();
        let file = large.and_then(|data| verbs::write_data_file(&shared.spool, chance, &data).ok());
        self.inner.writer.submit(shared, Kind::Outcome, name, move |tx, spool| {
            (tx.prepared_file, tx.prepared_bytes) = (file, large_bytes);
            let answer = verb(tx, &report);
            tx.prepared_bytes = 0;
            let unused = tx.prepared_file.take().or(file.filter(|_| answer.is_err()));
            if let Some(name) = unused {
                spool.remove_payload(name);
            }
            answer
        })
    }

    // --- views: of the last durable group ------------------------------------------------------------------

    /// A message by msgID or id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::BadRecord`].
    pub fn get(&self, id: &str) -> Result<Message> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        view::message(&shared.disk, id, shared.clock.now())
    }

    /// The payload of an entry, as it was submitted.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::WrongState`] for a message whose payload is no longer kept.
    pub fn payload(&self, id: &str) -> Result<Payload> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        match crate::tx::find(&shared.disk, id)? {
            crate::tx::Record::Entry(entry) => view::payload_of(&shared.disk, &shared.spool, &entry),
            crate::tx::Record::Receipt(receipt) => Err(Error::WrongState {
                msg_id: receipt.identity.msg_id.clone(),
                state: receipt.state(),
                why: "its payload is no longer kept",
            }),
        }
    }

    /// The replacement of a receipt; `None` where there was none or it is no longer kept.
    ///
    /// # Errors
    /// [`Error::Unhealthy`], or [`Error::BadRecord`] where it cannot be read.
    pub fn data(&self, receipt: &Receipt) -> Result<Option<Vec<u8>>> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        view::data_of(&shared.disk, &shared.spool, receipt)
    }

    /// Entries in the order of acceptance, from a `seq` on. A page may be short; only `next: None` ends.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::BadRecord`].
    pub fn list(&self, filter: &Filter, from: u64, limit: usize) -> Result<Page> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        list::list(&shared.disk, filter, from, limit, shared.clock.now())
    }

    /// Of the entries that [`Self::list`] would list, only the `seq`s, in the order of acceptance. A part may be
    /// short; only `next: None` ends.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::BadRecord`].
    pub fn matching(&self, filter: &Filter, from: u64) -> Result<Matching> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        list::matching(&shared.disk, filter, from, shared.clock.now())
    }

    /// Durable events after a sequence, oldest first; 0 is from the oldest that is kept.
    ///
    /// # Errors
    /// [`Error::Unhealthy`].
    pub fn events(&self, since: u64, limit: usize) -> Result<EventPage> {
        let shared = &self.inner.shared;
        let snapshot = shared.view()?;
        events::events(&shared.disk, &snapshot, since, limit)
    }

    /// Receipts of sent messages after a sequence, oldest first.
    ///
    /// # Errors
    /// [`Error::Unhealthy`].
    pub fn sent(&self, since: u64, limit: usize) -> Result<SentPage> {
        let shared = &self.inner.shared;
        let snapshot = shared.view()?;
        view::sent(&shared.disk, &snapshot, since, limit)
    }

    /// Receipts of the messages that a new message replaced.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::BadRecord`].
    pub fn replaced_by(&self, new_msg_id: &str) -> Result<Vec<Receipt>> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        view::replaced_by(&shared.disk, new_msg_id)
    }

    /// One account.
    ///
    /// # Errors
    /// [`Error::Unhealthy`] or [`Error::BadRecord`].
    pub fn account(&self, name: &str) -> Result<Option<Account>> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        crate::tx::load(&shared.disk, &keys::account(name))
    }

    /// Accounts that have entries or a gate that is not open, those that may not send now first.
    ///
    /// # Errors
    /// [`Error::Unhealthy`].
    pub fn accounts(&self, limit: usize) -> Result<Vec<Account>> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        view::accounts(&shared.disk, limit.min(LIST_SCAN_MAX), shared.clock.now().time)
    }

    /// Counts. Costs the same whatever the backlog.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.inner.shared.snapshot()
    }

    /// Counts, sizes and the oldest message. Costs the same whatever the backlog.
    ///
    /// # Errors
    /// [`Error::Unhealthy`].
    pub fn status(&self) -> Result<SpoolStatus> {
        let shared = &self.inner.shared;
        let snapshot = shared.snapshot();
        // Where rows cannot be read, the counts still are those of the last durable group.
        let is_well = shared.failure().is_none();
        Ok(SpoolStatus {
            counters: *snapshot,
            store_bytes: shared.disk.size_bytes(),
            free_bytes: shared.spool.free_bytes(),
            reserved_bytes: shared.disk.engine.reserved_bytes(),
            is_damaged: self.inner.report.is_made_anew || self.has_met_damage(),
            missing: self.inner.report.missing,
            has_failed: !is_well,
            damaged_files: shared.spool.damaged_files.count() as u64,
            format: layout::FORMAT,
            oldest_event: is_well.then(|| view::oldest_event(&shared.disk, &snapshot)).transpose()?.flatten(),
            oldest_waiting: is_well.then(|| view::oldest_waiting(&shared.disk)).transpose()?.flatten(),
        })
    }

    /// The next moment at which something happens by itself.
    ///
    /// # Errors
    /// [`Error::Unhealthy`].
    pub fn next_wake(&self) -> Result<Option<Timestamp>> {
        let shared = &self.inner.shared;
        let _snapshot = shared.view()?;
        view::next_wake(&shared.disk, shared.clock.now().time)
    }
}
