//! What is done to the daemon and its world: one step at a time, drawn at random.
//!
//! Owns:  the steps and their shares.
//! Never: carries one out (`steps` does).

use std::time::Duration;

use outbox::Outcome;
use outboxd::engine::LinkState;

use crate::random::Random;
use crate::setting::Kind;
use crate::weather::Weather;

/// Whose sessions send.
pub(crate) const ACCOUNTS: [&str; 2] = ["ann", "bob"];

/// Conversations of each account.
const CONVERSATIONS: [&str; 2] = ["c2c:ferry", "group:desk"];

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pass { ms: u64 },
    Weather(Weather),
    Submit(New),
    SubmitAgain { which: u64, other_payload: bool },
    Ask { verb: Verb, which: u64 },
    Flush { account: Option<&'static str> },
    Pause,
    Resume,
    PauseAccount { account: &'static str },
    OpenAccount { account: &'static str },
    Say(LinkState),
    Attach,
    Detach,
    SetWall { ms: i64 },
    Suspend { ms: u64 },
    Stop,
    Kill,
    Reboot { off_ms: u64, in_order: bool },
}

/// What a person asks for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Hold,
    Release,
    Resend,
    Cancel,
    Resolve,
}

/// A new message.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) account: &'static str,
    pub(crate) conversation: &'static str,
    pub(crate) ttl: Option<Duration>,
    pub(crate) not_before_ms: Option<i64>,
    pub(crate) online_only: bool,
    pub(crate) error: Option<Outcome>,
    /// It goes to a file.
    pub(crate) is_large: bool,
}

impl Step {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Weather(_) => "weather",
            Self::Submit(_) => "submit",
            Self::SubmitAgain { .. } => "submit again",
            Self::Ask { verb: Verb::Hold, .. } => "hold",
            Self::Ask { verb: Verb::Release, .. } => "release",
            Self::Ask { verb: Verb::Resend, .. } => "resend",
            Self::Ask { verb: Verb::Cancel, .. } => "cancel",
            Self::Ask { verb: Verb::Resolve, .. } => "resolve",
            Self::Flush { .. } => "flush",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::PauseAccount { .. } => "pause account",
            Self::OpenAccount { .. } => "open account",
            Self::Say(_) => "say",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::SetWall { .. } => "set wall clock",
            Self::Suspend { .. } => "suspend",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Reboot { .. } => "reboot",
        }
    }

    pub(crate) fn draw(random: &mut Random, kind: Kind) -> Self {
        match random.range(0, 100) {
            0..24 => Self::Submit(New::draw(random)),
            24..26 => Self::SubmitAgain { which: random.bits(), other_payload: random.percent(30) },
            26..46 => Self::Pass { ms: random.range(1, 1_500) },
            46..58 => Self::Pass { ms: random.range(1_500, 40_000) },
            58..60 => Self::Pass { ms: random.range(40_000, 900_000) },
            60..69 => Self::Weather(random.weighted(&Weather::ALL)),
            69..81 => Self::Ask { verb: Verb::draw(random), which: random.bits() },
            81..88 => Self::draw_wide(random, kind),
            88..92 => Self::Say(random.pick(&[LinkState::Up, LinkState::Down, LinkState::Unknown])),
            92..93 => Self::SetWall { ms: random.pick(&[-3_600_000, 86_400_000, 40_000, -40_000]) },
            93..95 => Self::Suspend { ms: random.pick(&[20_000, 600_000, 8 * 3_600_000]) },
            95 => Self::Stop,
            96..98 => Self::Kill,
            98 => Self::Pass { ms: random.range(1, 1_500) },
            _ => Self::Reboot { off_ms: random.pick(&[15_000, 3_600_000]), in_order: random.percent(50) },
        }
    }

    /// What concerns more than one message.
    fn draw_wide(random: &mut Random, kind: Kind) -> Self {
        let account = random.pick(&ACCOUNTS);
        let of_one = random.percent(50).then_some(account);
        let step = random.weighted(&[
            (3, Self::Flush { account: of_one }),
            (2, Self::Pause),
            (4, Self::Resume),
            (2, Self::PauseAccount { account }),
            (4, Self::OpenAccount { account }),
            (1, Self::Detach),
            (2, Self::Attach),
        ]);
        let is_for_apps = matches!(step, Self::Attach | Self::Detach);
        if is_for_apps && kind == Kind::Push { Self::OpenAccount { account } } else { step }
    }
}

impl Verb {
    fn draw(random: &mut Random) -> Self {
        random.weighted(&[
            (3, Self::Hold),
            (3, Self::Release),
            (4, Self::Resend),
            (3, Self::Cancel),
            (2, Self::Resolve),
        ])
    }
}

impl New {
    fn draw(random: &mut Random) -> Self {
        let errors = [Outcome::Retry, Outcome::Limited, Outcome::Reject, Outcome::MaybeReached];
        Self {
            account: random.weighted(&[(2, ACCOUNTS[0]), (1, ACCOUNTS[1])]),
            conversation: random.pick(&CONVERSATIONS),
            ttl: random.percent(15).then(|| Duration::from_secs(random.range(1, 200))),
            not_before_ms: random.percent(6).then(|| i64::try_from(random.range(1, 60_000)).unwrap()),
            online_only: random.percent(6),
            error: random.percent(12).then(|| random.pick(&errors)),
            is_large: random.percent(2),
        }
    }
}
