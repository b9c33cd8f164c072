//! A store that had no room: it waits, opens itself again, and carries out what it was about to do.
//!
//! Owns:  when it is tried again, what is looked at before changes are taken again.
//! Never: syncs a second time and believes it: the engine is closed and reads its files anew.
//!
//! A group's changes name the rows and what stands in them then. Whether the engine has kept none or all of them when it
//! is opened again: once they are written again, they are there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::clock::Stopwatch;
use crate::drive::{is_full, panic_text};
use crate::entry::Counters;
use crate::error::OpenError;
use crate::group::{Group, is_as_it_was, read_counters, tell};
use crate::limits::{OPEN_ROOM_BYTES, ROOM_EVERY, ROOM_EVERY_MAX};
use crate::queue::{Queue, Waiting};
use crate::shared::Shared;
use crate::verify;

/// What the drive had no room for, and those who wait for it.
pub(crate) struct Stuck {
    group: Option<Group>,
    waiting: Vec<Waiting>,
}

impl Stuck {
    pub(crate) const fn new(group: Group, waiting: Vec<Waiting>) -> Self {
        Self { group: Some(group), waiting }
    }

    /// Nobody waits for what had no room: it is begun anew.
    pub(crate) const fn without_group() -> Self {
        Self { group: None, waiting: Vec::new() }
    }

    /// Returns when the store takes changes again, or never will, or a stop is asked for; tells the last. Who waited has
    /// an answer then.
    pub(crate) fn wait(mut self, shared: &Shared, queue: &mut Queue) -> bool {
        let mut pause = ROOM_EVERY;
        let mut since = Stopwatch::start();
        let is_stop = loop {
            if queue.hold(pause.saturating_sub(since.read())) {
                break true;
            }
            if since.read() < pause {
                continue;
            }
            let is_time = pause >= ROOM_EVERY_MAX || shared.spool.free_bytes() >= OPEN_ROOM_BYTES;
            if is_time && self.go_on(shared) {
                break false;
            }
            pause = (pause * 2).min(ROOM_EVERY_MAX);
            since = Stopwatch::start();
        };
        if let Some(error) = shared.failure() {
            self.waiting.into_iter().for_each(|waiting| (waiting.answer)(Err(error.clone())));
        }
        is_stop
    }

    /// Tries; whether there is an end, good or bad.
    fn go_on(&mut self, shared: &Shared) -> bool {
        let tried = catch_unwind(AssertUnwindSafe(|| self.open_again(shared)));
        match tried {
            Ok(Ok(is_open)) => is_open,
            Ok(Err(reason)) => {
                shared.fail(format!("opening the store again: {reason}"));
                true
            }
            Err(panic) => {
                shared.fail(format!("the storage engine panicked: {}", panic_text(panic.as_ref())));
                true
            }
        }
    }

    /// Opens the store again and carries out what was to be done; `false` if there is still no room.
    fn open_again(&mut self, shared: &Shared) -> Result<bool, String> {
        let mut committed = shared.exclusive();
        // It may have run out of room between one store and the other.
        match shared.spool.end_exchange().and_then(|()| shared.disk.open_anew()) {
            Err(OpenError::Io { source, .. }) if is_full(&source) => return Ok(false),
            Err(error) => return Err(error.to_string()),
            Ok(()) => {}
        }
        let found = read_counters(&shared.disk).map_err(|error| error.to_string())?;
        let found = self.compare(found, &committed)?;
        if !verify::looks_right(&shared.disk, &found).map_err(|error| error.to_string())? {
            return Err("what is derived disagrees with the records".into());
        }
        let stopwatch = Stopwatch::start();
        if let Some(group) = &self.group {
            match group.commit(shared, &mut committed) {
                Err(error) if error.is_full => return Ok(false),
                Err(error) => return Err(error.text),
                Ok(()) => {}
            }
        }
        drop(committed);
        if !shared.must_rebuild() && !shared.disk.engine.has_met_damage() {
            shared.spool.checked().map_err(|error| error.to_string())?;
        }
        shared.is_well_again();
        if let Some(group) = self.group.take() {
            let notices = group.end(shared, stopwatch.read());
            tell(shared, std::mem::take(&mut self.waiting), &notices);
        }
        Ok(true)
    }

    /// The store must be as it was before the group, or behind it; answers which counters that are.
    fn compare(&self, found: Option<Counters>, before: &Counters) -> Result<Counters, String> {
        let is_behind = self.group.as_ref().map(|group| group.counters) == found;
        match found {
            found if is_as_it_was(found.as_ref(), before) => Ok(*before),
            Some(found) if is_behind => Ok(found),
            found => Err(format!("it counts otherwise than before: {found:?} instead of {before:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::QUEUE_VERBS_MAX;
    use crate::{Class, Config, Error, LeaseRequest, Outbox, Outcome, Report, Submit};

    fn submit(outbox: &Outbox, msg_id: &str) -> crate::Result<crate::Submitted> {
        let submit = Submit {
            msg_id: msg_id.into(),
            account: "default".into(),
            conversation: msg_id.into(),
            message: b"{}".to_vec(),
            ..Submit::default()
        };
        outbox.submit(submit).wait()
    }

    fn refusal() -> Report {
        Report {
            outcome: Outcome::Reject,
            code: 1,
            desc: "no".into(),
            class: Class::PermanentContent,
            retry_after: None,
            replacement: None,
        }
    }

    fn open(path: &std::path::Path) -> Outbox {
        Outbox::open(Config { min_free_bytes: 0, ..Config::new(path) }).unwrap()
    }

    #[test]
    fn a_request_is_refused_and_what_it_asked_for_may_be_there_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        outbox.disk().engine.have_room_for(0);
        assert!(matches!(submit(&outbox, "a"), Err(Error::Unhealthy { .. })));
        assert!(
            matches!(submit(&outbox, "b"), Err(Error::Unhealthy { .. })),
            "at once, and not even looked at"
        );
        assert!(matches!(outbox.get("a"), Err(Error::Unhealthy { .. })), "nobody reads what is not durable");
        assert_eq!(outbox.status().unwrap().counters.next_seq, 1);
        // Whoever waits for an outcome hears when there is room.
        let lease = outbox.resolve("a".into(), crate::Resolution::default()).wait();
        assert!(matches!(lease, Err(Error::WrongState { .. })), "{lease:?}");
        assert_eq!(outbox.failure(), None);
        assert!(outbox.get("a").is_ok() && outbox.get("b").is_err());
        assert!(submit(&outbox, "a").unwrap().duplicate && !submit(&outbox, "b").unwrap().duplicate);
    }

    #[test]
    fn a_log_that_is_damaged_meanwhile_is_left_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        for number in 0..100 {
            submit(&outbox, &format!("m-{number}")).unwrap();
        }
        outbox.disk().engine.have_room_for(0);
        assert!(submit(&outbox, "has no room").is_err());
        let db = dir.path().join("store/db");
        let mut bytes = std::fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[used / 2] ^= 1;
        std::fs::write(&db, bytes).unwrap();
        // Whoever waits for an outcome hears when the store was tried again.
        assert!(outbox.resolve("m-1".into(), crate::Resolution::default()).wait().is_err());
        assert!(submit(&outbox, "behind that").is_err());
        drop(outbox);
        let outbox = open(dir.path());
        assert!(outbox.report().is_made_anew);
        let there = (0..100).filter(|number| outbox.get(&format!("m-{number}")).is_ok()).count();
        assert!(there > 60, "{there} of 100 are there");
    }

    #[test]
    fn an_exchange_that_ran_out_of_room_is_ended_first() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        submit(&outbox, "a").unwrap();
        outbox.disk().engine.have_room_for(0);
        assert!(submit(&outbox, "b").is_err());
        std::fs::rename(dir.path().join("store"), dir.path().join("store.old")).unwrap();
        // Whoever waits for an outcome hears when the store was tried again.
        let resolved = outbox.resolve("a".into(), crate::Resolution::default()).wait();
        assert!(matches!(resolved, Err(Error::WrongState { .. })), "{resolved:?}");
        assert!(submit(&outbox, "a").unwrap().duplicate);
    }

    #[test]
    fn a_lease_and_an_outcome_wait_for_room() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        submit(&outbox, "a").unwrap();
        outbox.disk().engine.have_room_for(0);
        let mut leases = outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait().unwrap();
        let lease = leases.pop().expect("a lease that nobody hears of would be under way for ever");
        outbox.disk().engine.have_room_for(0);
        outbox.settle(lease.id, refusal()).wait().unwrap();
        outbox.close();
        drop(outbox);
        let outbox = open(dir.path());
        assert_eq!((outbox.counters().failed, outbox.report().interrupted), (1, 0));
    }

    #[test]
    fn a_lease_that_is_given_back_waits_for_room() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        let lease = |id: &str| {
            submit(&outbox, id).unwrap();
            outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait().unwrap().remove(0).id
        };
        let (first, second) = (lease("a"), lease("b"));
        outbox.disk().engine.have_room_for(0);
        assert!(submit(&outbox, "has no room").is_err());
        let given_back = outbox.take_back(first);
        let put_off = outbox.put_off(second, std::time::Duration::from_secs(9));
        assert_eq!(given_back.wait(), Ok(crate::State::Queued), "nobody else would end the lease");
        assert_eq!(put_off.wait(), Ok(crate::State::Deferred));
        assert_eq!(outbox.counters().sending, 0);
    }

    #[test]
    fn as_many_outcomes_wait_for_room_as_may_be_queued_and_no_more() {
        const TOO_MANY: usize = 50;
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(dir.path());
        submit(&outbox, "a").unwrap();
        let lease =
            outbox.lease(LeaseRequest { max: 1, ..LeaseRequest::default() }).wait().unwrap().remove(0);
        outbox.disk().engine.have_room_for(0);
        assert!(submit(&outbox, "has no room").is_err());
        // The first look for room finds none either, so that there is time to report in.
        outbox.disk().engine.have_room_for(0);
        let tickets: Vec<_> =
            (0..QUEUE_VERBS_MAX + TOO_MANY).map(|_| outbox.settle(lease.id.clone(), refusal())).collect();
        let answers: Vec<_> = tickets.into_iter().map(crate::Ticket::wait).collect();
        let (waited, refused) = answers.split_at(QUEUE_VERBS_MAX);
        // The first of them ended it; the others repeat it.
        assert!(waited.iter().all(Result::is_ok), "{:?}", waited.iter().find(|answer| answer.is_err()));
        assert!(refused.iter().all(|answer| matches!(answer, Err(Error::Unhealthy { .. }))), "{refused:?}");
        assert_eq!((outbox.counters().failed, outbox.failure()), (1, None));
    }
}
