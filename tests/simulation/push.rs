//! The transport that the engine pushes through.
//!
//! Owns:  attempts of the daemon's own process, from their begin to their report.
//! Never: chooses what is attempted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use outbox::Report;
use outboxd::transport::{Attempt, Transport, Turn};

use crate::judge;
use crate::service::{Request, Sent, send};
use crate::world::World;

/// How many messages in a hundred the transport puts off when they are about to go.
const PUT_OFF_PERCENT: u64 = 8;

/// The way to the simulated service.
pub(crate) struct Wire(pub(crate) Arc<World>);

/// An attempt under way in the daemon's process, which ends with it.
struct UnderWay {
    world: Arc<World>,
    msg_id: String,
}

impl UnderWay {
    fn begin(world: &Arc<World>, msg_id: &str) -> Self {
        let now = world.clock.world_ms();
        let mut facts = world.facts();
        let known = facts.messages.get_mut(msg_id).unwrap();
        known.under_way += 1;
        let alone = known.under_way == 1;
        facts.must(now, alone, || format!("{msg_id} has two attempts under way in one process"));
        Self { world: Arc::clone(world), msg_id: msg_id.to_owned() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(known) = self.world.facts().messages.get_mut(&self.msg_id) {
            known.under_way -= 1;
        }
    }
}

impl Transport for Wire {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn turn(&self, attempt: &Attempt) -> Turn {
        let wait_ms = self.0.draw(|random| random.percent(PUT_OFF_PERCENT).then(|| random.range(1, 3_000)));
        let Some(wait_ms) = wait_ms else { return Turn::Now };
        self.0.count("turn", "later");
        self.0.note(&format!("{} has no turn for {wait_ms} ms", attempt.msg_id));
        Turn::After(Duration::from_millis(wait_ms))
    }

    fn attempt(&self, attempt: Attempt) -> BoxFuture<'_, Report> {
        Box::pin(async move {
            let world = &self.0;
            let under_way = UnderWay::begin(world, &attempt.msg_id);
            let request = Request { msg_id: attempt.msg_id.clone(), token: attempt.send_token };
            let fate = judge::attempt(world, &request, attempt.attempt, &attempt.message);
            let sent = send(world, request, fate).await;
            drop(under_way);
            match sent {
                Sent::Report(report) => {
                    judge::reported(world, &attempt.msg_id, report.outcome);
                    report
                }
                // Past the panic hook: this one is meant.
                Sent::Broke => std::panic::resume_unwind(Box::new("the transport broke")),
            }
        })
    }

    fn probe_address(&self) -> Option<(String, u16)> {
        None
    }
}
