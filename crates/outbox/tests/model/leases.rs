//! The model's leases: given out, settled on time, late and again, extended, taken back.
//!
//! Owns:  what the map knows of attempts.
//! Never: looks into the spool's rows.

use std::time::Duration;

use outbox::{Class, EntryView, Error, Lease, LeaseId, LeaseRequest, LeaseTo, Outcome, Report, State};
use proptest::prelude::*;

use crate::Size;
use crate::support::usual_class;
use crate::world::{App, Checked, Current, World, account_name};

impl World {
    pub(crate) fn lease(&mut self, max: usize, app_s: Option<u16>, account: Option<u8>) -> Checked {
        let duration = app_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let to = duration.map_or(LeaseTo::Process, |duration| LeaseTo::App { duration });
        let account = account.map(account_name);
        let gate_of =
            |world: &Self, name: &str| world.outbox().account(name).unwrap().map(|account| account.gate);
        let gates = [0, 1].map(account_name).map(|name| (gate_of(self, &name), name));
        let shut = |name: &str| {
            gates.iter().any(|(gate, of)| {
                of == name && matches!(gate, Some(outbox::Gate::Paused { try_at: None, .. }))
            })
        };
        let request = LeaseRequest { max, account: account.clone(), to, ..LeaseRequest::default() };
        let leases = self.outbox().lease(request).wait().unwrap();
        prop_assert!(leases.len() <= max);
        prop_assert!(!self.paused || leases.is_empty());
        let all = self.list_all();
        for lease in &leases {
            prop_assert!(account.as_ref().is_none_or(|account| *account == lease.account));
            prop_assert!(!shut(&lease.account), "leased of a shut account");
            self.check_lease(lease, &all)?;
            // It may be shorter than was asked for: it ends with the window of an earlier attempt.
            let now = self.outbox().now();
            let until = lease.deadline.map(|deadline| now.time_of(deadline));
            prop_assert!(until <= duration.map(|duration| now.time.plus(duration)));
            prop_assert_eq!(until.is_some(), duration.is_some());
            let app = until.map(|until| App { started: now.time, until });
            let known = self.known.get_mut(&lease.msg_id).unwrap();
            known.starts += 1;
            known.token = Some(lease.token);
            known.current = Some(Current { lease: lease.id.clone(), app });
            self.leases.push(lease.id.clone());
        }
        // One that has taken the process down twice goes alone; it may keep the others.
        let any_alone = all.iter().any(|view| view.entry.delivery.deaths >= 2);
        if leases.len() < max && !self.paused && !any_alone {
            let open = |name: &String| {
                matches!(gate_of(self, name), None | Some(outbox::Gate::Open))
                    && account.as_ref().is_none_or(|account| account == name)
            };
            // One whose time has come since the last tick is not in the index of those that are due.
            let left = all.iter().filter(|view| view.state == State::Queued).count() as u64;
            let overdue = left.saturating_sub(self.outbox().counters().ready);
            let of_open = all.iter().filter(|v| v.state == State::Queued && open(&v.entry.identity.account));
            prop_assert!(of_open.count() as u64 <= overdue, "a message that is due was not leased");
        }
        Ok(())
    }

    fn check_lease(&self, lease: &Lease, all: &[EntryView]) -> Checked {
        let known = self.known.get(&lease.msg_id).unwrap();
        prop_assert!(known.current.is_none(), "leased twice");
        prop_assert_eq!(lease.attempt, known.attempts + 1);
        prop_assert_eq!(&lease.message, &known.payload);
        prop_assert_eq!(&lease.web_message_instance, &known.web);
        prop_assert!(known.token.is_none_or(|token| token == lease.token), "another token");
        prop_assert!(self.now() >= known.begin, "leased before its time");
        let view = all.iter().find(|view| view.entry.identity.msg_id == lease.msg_id).unwrap();
        prop_assert!(view.entry.delivery.deadline > self.now(), "leased after its deadline");
        let lane = view.entry.identity.lane;
        let overtaken = all.iter().find(|other| {
            other.entry.identity.lane == lane
                && other.entry.delivery.in_lane
                && other.entry.identity.seq < lease.seq
        });
        prop_assert!(overtaken.is_none(), "overtook {:?}", overtaken);
        Ok(())
    }

    /// The newest leases are asked for most.
    fn lease_at(&self, which: usize) -> Option<LeaseId> {
        self.leases.iter().rev().nth(which).or(self.leases.last()).cloned()
    }

    pub(crate) fn settle(
        &mut self,
        which: usize,
        outcome: usize,
        class: usize,
        retry_after_s: Option<u8>,
        size: Size,
    ) -> Checked {
        let Some(lease) = self.lease_at(which) else { return Ok(()) };
        let outcome = Outcome::ALL[outcome];
        let is_success = matches!(outcome, Outcome::Sent | Outcome::Duplicate);
        let class = match (outcome, class) {
            (Outcome::Retry, 0) => Class::Unknown,
            (Outcome::Retry, 1) => Class::FileUpload,
            _ => usual_class(outcome),
        };
        let data = vec![b'd'; if matches!(size, Size::Large) { 30_000 } else { 30 }];
        let new_msg_id =
            if which == 0 { lease.msg_id().to_owned() } else { format!("new-{}", lease.msg_id()) };
        let replacement = is_success
            .then(|| outbox::Replacement { new_msg_id: Some(new_msg_id.clone()), data: data.clone() });
        let report = Report {
            outcome,
            code: 7,
            desc: "why".into(),
            class,
            retry_after: retry_after_s.map(|seconds| Duration::from_secs(u64::from(seconds))),
            replacement,
        };
        let was_sent = self.known[lease.msg_id()].replaced.is_some();
        let answer = self.outbox().settle(lease.clone(), report).wait();
        let known = self.known.get_mut(lease.msg_id()).unwrap();
        let on_time = known.current.as_ref().is_some_and(|current| current.lease == lease);
        if on_time {
            known.attempts += u32::from(outcome.counts());
            known.current = None;
        }
        if is_success {
            prop_assert_eq!(
                answer.map(|settled| settled.state),
                Ok(State::Sent),
                "a success is always heard"
            );
            if !was_sent {
                known.replaced = Some((new_msg_id, data));
                known.answered = Some((lease, State::Sent));
            }
            known.current = None;
            return Ok(());
        }
        match (&known.answered, answer) {
            // What the first settle or the success after it was answered; both are true of it.
            (Some((of, _)), answer) if *of == lease && known.replaced.is_some() => {
                prop_assert!(answer.is_ok());
            }
            (Some((of, first)), answer) if *of == lease => {
                prop_assert_eq!(answer.map(|settled| settled.state), Ok(*first), "a repetition");
            }
            (_, Ok(settled)) => known.answered = Some((lease, settled.state)),
            (_, Err(Error::WrongState { .. })) => prop_assert!(lease.start() < known.starts && !on_time),
            (_, Err(error)) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }

    pub(crate) fn extend(&mut self, which: usize, duration_s: u16) -> Checked {
        let Some(lease) = self.lease_at(which) else { return Ok(()) };
        let (now, duration) = (self.outbox().now(), Duration::from_secs(u64::from(duration_s)));
        let answer = self.outbox().extend(lease.clone(), duration).wait();
        let known = self.known.get_mut(lease.msg_id()).unwrap();
        let current = known.current.as_mut().filter(|current| current.lease == lease);
        match current.and_then(|current| current.app.as_mut()) {
            Some(app) => {
                let longest = app.started.plus(outbox::limits::LEASE_TOTAL_MAX);
                let asked = now.time.plus(duration).min(longest).max(app.until);
                prop_assert!(answer.is_ok());
                let until = now.time_of(answer.unwrap());
                // As with a lease, the window of an earlier attempt may end it sooner, but never what it had already.
                prop_assert!((app.until..=asked).contains(&until));
                app.until = until;
            }
            None => prop_assert!(matches!(answer, Err(Error::WrongState { .. })), "{:?}", answer),
        }
        Ok(())
    }

    pub(crate) fn take_back(&mut self, which: usize) -> Checked {
        let Some(lease) = self.lease_at(which) else { return Ok(()) };
        let answer = self.outbox().take_back(lease.clone()).wait();
        let known = self.known.get_mut(lease.msg_id()).unwrap();
        let held = known.current.as_ref().is_some_and(|current| current.lease == lease);
        prop_assert_eq!(answer.is_ok(), held);
        if held {
            known.current = None;
        }
        Ok(())
    }
}
