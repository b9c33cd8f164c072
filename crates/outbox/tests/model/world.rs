//! The world of the model: the store, the clock, and a plain map of what was accepted.
//!
//! Owns:  carrying out one verb on the store and on the map, and comparing the two answers.
//! Never: looks into the spool's rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox::{
    Cancelled, Changed, Config, EntryView, Error, Event, Filter, GateChange, Holder, LeaseId, Message,
    Outbox, Outcome, Overrides, Phase, Report, Resolution, SendToken, State, Submit, Timestamp,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::support::{Hand, config, copy_as_killed, usual_class};
use crate::{Choice, End, Extras, Op, Size};

pub(crate) type Checked<T = ()> = Result<T, TestCaseError>;

/// What the map knows of an accepted message.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) seq: u64,
    pub(crate) id: Option<String>,
    pub(crate) account: String,
    pub(crate) conversation: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) web: Option<Vec<u8>>,
    pub(crate) attempts: u32,
    pub(crate) starts: u32,
    /// It cannot expire before.
    pub(crate) deadline_min: Timestamp,
    /// It cannot be leased before.
    pub(crate) begin: Timestamp,
    /// The token of every attempt until a person brings it back.
    pub(crate) token: Option<SendToken>,
    /// The attempt under way.
    pub(crate) current: Option<Current>,
    /// The newest settle's lease and answer.
    pub(crate) answered: Option<(LeaseId, State)>,
    /// The replacement, once sent.
    pub(crate) replaced: Option<(String, Vec<u8>)>,
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) lease: LeaseId,
    pub(crate) app: Option<App>,
}

/// The lease of an app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct App {
    pub(crate) started: Timestamp,
    pub(crate) until: Timestamp,
}

pub(crate) struct World {
    root: tempfile::TempDir,
    generation: u32,
    pub(crate) hand: Arc<Hand>,
    pub(crate) choice: Choice,
    pub(crate) outbox: Option<Outbox>,
    pub(crate) known: BTreeMap<String, Known>,
    pub(crate) leases: Vec<LeaseId>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    /// Messages that were sent and events seen, as of the last check.
    pub(crate) sent_before: usize,
    pub(crate) paused: bool,
    /// The last verb was a tick: nothing overdue may be left.
    pub(crate) ticked: bool,
}

fn name(msg: u8) -> String {
    format!("m{msg}")
}

pub(crate) fn account_name(account: u8) -> String {
    format!("account-{account}")
}

/// Some aliases are other messages' msgIDs.
fn alias_name(alias: u8) -> String {
    if alias == 0 { name(3) } else { format!("alias-{alias}") }
}

impl World {
    pub(crate) fn new(choice: Choice) -> Self {
        let mut world = Self {
            root: tempfile::tempdir().unwrap(),
            generation: 0,
            hand: Hand::new(),
            choice,
            outbox: None,
            known: BTreeMap::new(),
            leases: Vec::new(),
            events: Arc::default(),
            sent_before: 0,
            paused: false,
            ticked: false,
        };
        world.outbox = Some(Outbox::open(world.config()).unwrap());
        world
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join(format!("spool-{}", self.generation))
    }

    fn config(&self) -> Config {
        let events = Arc::clone(&self.events);
        Config {
            policy: self.choice.policy,
            order: self.choice.order,
            sent_retention: Duration::from_secs(3_650 * 86_400),
            observer: Some(Arc::new(move |notices| {
                events.lock().unwrap().extend(notices.events.iter().cloned());
            })),
            ..config(&self.path(), &self.hand)
        }
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        self.outbox.as_ref().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.outbox().now().time
    }

    pub(crate) fn apply(&mut self, op: Op) -> Checked {
        self.ticked = matches!(op, Op::Tick);
        match op {
            Op::Submit { msg, lane, other_payload, size, extras } => {
                self.submit(msg, lane, other_payload, size, extras)
            }
            Op::Lease { max, app_s, account } => self.lease(max, app_s, account),
            Op::Settle { which, outcome, class, retry_after_s, size } => {
                self.settle(which, outcome, class, retry_after_s, size)
            }
            Op::Extend { which, duration_s } => self.extend(which, duration_s),
            Op::TakeBack { which } => self.take_back(which),
            Op::Hold { .. }
            | Op::Release { .. }
            | Op::Resend { .. }
            | Op::Cancel { .. }
            | Op::Resolve { .. } => self.ask(op),
            Op::Tick => self.tick(),
            Op::Reopen { end, reboot_off_ms } => self.reopen(end, reboot_off_ms),
            Op::Pass { ms } => {
                self.hand.pass_ms(ms);
                Ok(())
            }
            Op::Jump { ms } => {
                self.hand.jump_ms(ms);
                Ok(())
            }
            _ => self.gates(op),
        }
    }

    fn gates(&mut self, op: Op) -> Checked {
        let outbox = self.outbox();
        match op {
            Op::Flush { account } => {
                outbox.flush(account.map(account_name), None).unwrap();
            }
            Op::WakeNotReached => {
                outbox.wake_not_reached().unwrap();
            }
            Op::Pause => {
                outbox.pause().wait().unwrap();
                self.paused = true;
            }
            Op::Resume => {
                outbox.resume().wait().unwrap();
                self.paused = false;
            }
            Op::PauseAccount { account } => {
                let change = GateChange::Pause { reason: Some("kicked off line".into()) };
                outbox.set_account(account_name(account), change).wait().unwrap();
            }
            Op::OpenAccount { account } => {
                outbox.set_account(account_name(account), GateChange::Open).wait().unwrap();
            }
            other => panic!("not a gate: {other:?}"),
        }
        Ok(())
    }

    fn submit(&mut self, msg: u8, lane: u8, other: bool, size: Size, extras: Extras) -> Checked {
        let now = self.outbox().now();
        let bytes = if matches!(size, Size::Large) { 20_000 } else { 40 };
        let mut payload = format!("payload of {msg} {}", if other { "again" } else { "" }).into_bytes();
        payload.resize(bytes, b'.');
        let ttl = extras.ttl_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let submit = Submit {
            msg_id: name(msg),
            id: extras.alias.map(alias_name),
            account: account_name(lane / 2),
            conversation: format!("c{}", lane % 2),
            message: payload.clone(),
            web_message_instance: (msg == 5).then(|| b"web".to_vec()),
            online_user_only: extras.online_only,
            to_group: lane % 2 == 1,
            fingerprint: None,
            ttl,
            not_before: extras.not_before_ms.map(|ms| now.wall_of(now.time.plus_ms(u64::from(ms)))),
            first_error: extras.error.map(|at| Outcome::ALL[at]).map(|outcome| Report {
                outcome,
                code: 7,
                desc: "first".into(),
                class: usual_class(outcome),
                retry_after: None,
                replacement: None,
            }),
        };
        let answer = self.outbox().submit(submit.clone()).wait();
        if let Some(known) = self.known.get(&submit.msg_id) {
            let same = known.payload == payload
                && known.account == submit.account
                && known.conversation == submit.conversation;
            match answer {
                Ok(answer) => prop_assert!(same && answer.duplicate && answer.seq == known.seq),
                Err(Error::Conflict { .. }) => prop_assert!(!same),
                Err(error) => prop_assert!(false, "{error}"),
            }
            return Ok(());
        }
        let answer = answer.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(!answer.duplicate);
        prop_assert!(self.known.values().all(|known| known.seq < answer.seq));
        let begin = now.time.plus_ms(extras.not_before_ms.map_or(0, u64::from));
        let config = self.outbox().config();
        let usual = if submit.online_user_only { config.online_only_ttl } else { config.ttl };
        let known = Known {
            seq: answer.seq,
            id: submit.id.filter(|id| *id != submit.msg_id),
            account: submit.account,
            conversation: submit.conversation,
            payload,
            web: submit.web_message_instance,
            attempts: 0,
            starts: 0,
            deadline_min: begin.plus(ttl.unwrap_or(usual)),
            begin,
            token: None,
            current: None,
            answered: None,
            replaced: None,
        };
        self.known.insert(submit.msg_id, known);
        Ok(())
    }

    fn ask(&mut self, op: Op) -> Checked {
        let outbox = self.outbox();
        let (msg, refused) = match op {
            Op::Hold { msg } => (msg, outbox.hold(name(msg), Some("audit".into())).wait().err()),
            Op::Release { msg } => (msg, outbox.release(name(msg)).wait().err()),
            Op::Resend { msg } => return self.resend(&name(msg)),
            Op::Cancel { msg } => return self.cancel(&name(msg)),
            Op::Resolve { msg } => return self.resolve(&name(msg)),
            other => panic!("nobody asks for {other:?}"),
        };
        match refused {
            None => {
                prop_assert!(self.known.contains_key(&name(msg)) || self.alias_target(&name(msg)).is_some())
            }
            Some(Error::NotFound { .. }) => prop_assert!(!self.known.contains_key(&name(msg))),
            Some(Error::WrongState { .. }) => {}
            Some(error) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }

    /// The newest message with this alias.
    pub(crate) fn alias_target(&self, id: &str) -> Option<&String> {
        let with = self.known.iter().filter(|(_, known)| known.id.as_deref() == Some(id));
        with.max_by_key(|(_, known)| known.seq).map(|(msg_id, _)| msg_id)
    }

    /// Whom a look-up of this id finds.
    pub(crate) fn target(&self, id: &str) -> Option<String> {
        if self.known.contains_key(id) { Some(id.to_owned()) } else { self.alias_target(id).cloned() }
    }

    fn resend(&mut self, id: &str) -> Checked {
        let before = self.outbox().get(id);
        let answer = self.outbox().resend(id.to_owned(), Overrides::default()).wait();
        let Some(target) = self.target(id) else {
            prop_assert!(matches!(answer, Err(Error::NotFound { .. })), "{:?}", answer);
            return Ok(());
        };
        match (before.unwrap(), answer) {
            (Message::Entry(before), Ok(Changed::Entry(_))) => {
                if before.entry.delivery.has_ended() {
                    let known = self.known.get_mut(&target).unwrap();
                    if before.entry.delivery.unresolved.is_none() {
                        known.token = None;
                    }
                }
            }
            (Message::Entry(before), Err(Error::WrongState { .. })) => {
                prop_assert!(before.entry.delivery.has_ended() && before.entry.identity.online_user_only);
            }
            (Message::Receipt(receipt), Ok(Changed::Sent(_))) => {
                prop_assert_eq!(receipt.state(), State::Sent)
            }
            (Message::Receipt(receipt), Err(Error::WrongState { .. })) => {
                prop_assert_ne!(receipt.state(), State::Sent);
            }
            (before, answer) => prop_assert!(false, "{:?} to {:?}", answer, before),
        }
        Ok(())
    }

    fn cancel(&mut self, id: &str) -> Checked {
        let before = self.outbox().get(id);
        let answer = self.outbox().cancel(id.to_owned(), None).wait();
        let Some(target) = self.target(id) else {
            prop_assert!(matches!(answer, Err(Error::NotFound { .. })), "{:?}", answer);
            return Ok(());
        };
        let after = self.outbox().get(&target).unwrap();
        match (answer.unwrap(), after) {
            (Cancelled::Pending, Message::Entry(view)) => prop_assert_eq!(view.state, State::Sending),
            (Cancelled::TooLate(_), Message::Receipt(receipt)) => {
                prop_assert_eq!(receipt.state(), State::Sent);
            }
            (Cancelled::Uncertain, Message::Receipt(receipt)) => prop_assert!(receipt.may_have_arrived),
            (Cancelled::Cancelled { may_have_arrived }, Message::Receipt(receipt)) => {
                prop_assert_eq!(may_have_arrived, receipt.may_have_arrived);
                if let Ok(Message::Entry(view)) = before {
                    prop_assert!(!may_have_arrived || view.entry.delivery.has_ended());
                }
            }
            (answer, after) => prop_assert!(false, "{:?} leaves {:?}", answer, after),
        }
        Ok(())
    }

    fn resolve(&mut self, id: &str) -> Checked {
        let Some(target) = self.target(id) else { return Ok(()) };
        let before = self.outbox().get(&target).unwrap();
        let answer = self.outbox().resolve(id.to_owned(), Resolution::default()).wait();
        match (before, answer) {
            (Message::Entry(view), Ok(receipt)) => {
                prop_assert!(view.entry.delivery.unresolved.is_some());
                prop_assert_eq!(receipt.state(), State::Sent);
                let known = self.known.get_mut(&target).unwrap();
                known.replaced = Some((target, Vec::new()));
            }
            (Message::Receipt(before), Ok(receipt)) => prop_assert_eq!(before, receipt),
            (_, Err(Error::WrongState { .. })) => {}
            (_, Err(error)) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }

    fn tick(&mut self) -> Checked {
        let ticked = self.outbox().tick().wait().unwrap();
        let now = self.now();
        prop_assert!(ticked.next.is_none_or(|next| next > now), "a tick left something undone");
        for known in self.known.values_mut() {
            let lapsed =
                known.current.as_ref().and_then(|current| current.app).is_some_and(|app| app.until <= now);
            if lapsed {
                known.attempts += 1;
                known.current = None;
            }
        }
        Ok(())
    }

    fn reopen(&mut self, end: End, reboot_off_ms: Option<u64>) -> Checked {
        let before: BTreeMap<String, Message> =
            self.known.keys().map(|id| (id.clone(), self.outbox().get(id).unwrap())).collect();
        let counters = self.outbox().counters();
        let old = self.path();
        match end {
            End::Close => self.outbox = None,
            End::Kill => {
                self.generation += 1;
                copy_as_killed(&old, &self.path());
                self.outbox = None;
                std::fs::remove_dir_all(&old).unwrap();
            }
        }
        if let Some(off_ms) = reboot_off_ms {
            self.hand.reboot(off_ms);
        }
        let outbox = Outbox::open(self.config()).unwrap();
        let report = outbox.report().clone();
        self.outbox = Some(outbox);
        prop_assert_eq!(report.clean, matches!(end, End::Close));
        prop_assert!(!report.rebuilt, "what is derived disagreed with the records");
        prop_assert_eq!((report.orphans, report.quarantined, report.lost), (0, 0, None));
        let mut ended = 0;
        for (msg_id, before) in before {
            let after = self.outbox().get(&msg_id).unwrap();
            let holder = match &before {
                Message::Entry(EntryView { entry, .. }) => match entry.delivery.phase {
                    Phase::Sending { holder, .. } => Some(holder),
                    _ => None,
                },
                Message::Receipt(_) => None,
            };
            let ends = match holder {
                Some(Holder::Process) => true,
                Some(Holder::App { .. }) => reboot_off_ms.is_some(),
                None => false,
            };
            if ends {
                ended += 1;
                let known = self.known.get_mut(&msg_id).unwrap();
                known.attempts += 1;
                known.current = None;
                continue;
            }
            if reboot_off_ms.is_some() && has_window(&before, self.now()) {
                prop_assert_ne!(before, after, "its window outlived a reboot");
                continue;
            }
            match (before, after) {
                (Message::Entry(before), Message::Entry(after)) => prop_assert_eq!(before.entry, after.entry),
                (before, after) => prop_assert_eq!(before, after),
            }
        }
        if reboot_off_ms.is_some() {
            for view in self.list_all() {
                let message = Message::Entry(view);
                prop_assert!(!has_window(&message, self.now()), "a window outlives a reboot: {:?}", message);
            }
        }
        prop_assert_eq!(report.interrupted, ended);
        let after = self.outbox().counters();
        prop_assert_eq!(
            (counters.next_seq, counters.paused, counters.receipts + counters.entries()),
            (after.next_seq, after.paused, after.receipts + after.entries())
        );
        Ok(())
    }

    pub(crate) fn list_all(&self) -> Vec<EntryView> {
        self.list_by(&Filter::default(), 1_000)
    }

    pub(crate) fn list_by(&self, filter: &Filter, limit: usize) -> Vec<EntryView> {
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let page = self.outbox().list(filter, from, limit).unwrap();
            assert!(page.entries.len() <= limit, "a page over its limit");
            all.extend(page.entries);
            match page.next {
                Some(next) => {
                    assert!(next > from || all.is_empty(), "a cursor that goes back");
                    from = next;
                }
                None => return all,
            }
        }
    }
}

/// Whether a message waits inside the window of an attempt whose outcome is unknown, and has not expired.
fn has_window(message: &Message, now: Timestamp) -> bool {
    let Message::Entry(EntryView { entry, .. }) = message else { return false };
    let delivery = &entry.delivery;
    matches!(delivery.phase, Phase::Waiting { .. })
        && delivery.unresolved.is_some()
        && !delivery.possible_duplicate
        && now < delivery.deadline
}
