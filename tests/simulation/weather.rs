//! Weather: what becomes of attempts, and how often.
//!
//! Owns:  the fates that an attempt can have, and their share in each weather.
//! Never: delivers anything (`service` does).

use std::time::Duration;

use outbox::Class;

use crate::random::Random;

/// How network and service do at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything is answered.
    Fine,
    /// Nobody is reached, and probes say so.
    Down,
    /// Requests and answers get lost.
    Lossy,
    /// The service is reached and refuses.
    Sick,
    /// Reached or not from one moment to the next, and probes tell nothing.
    Flaky,
    /// Everything at once.
    Wild,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Nothing leaves the machine.
    NotReached,
    /// The request is lost on its way.
    Lost,
    /// The request arrives and is answered.
    Answered(Answer),
    /// The request arrives; its answer is lost.
    AnswerLost(Answer),
    /// The request arrives; nothing is heard until the time is over.
    Silent(Answer),
    /// The sender breaks before it sends.
    Breaks,
    /// The sender breaks after the service has the message.
    BreaksAfter(Answer),
}

/// What the service says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// It takes the message, under a new id or under the original's.
    Accept {
        same_id: bool,
    },
    /// It takes the message and says "success" without proof; or does not take it and says so, too.
    ProvesNothing {
        accepts: bool,
    },
    Retry {
        class: Class,
        after: Option<Duration>,
    },
    Limited {
        after: Option<Duration>,
    },
    GateShut,
    Reject {
        class: Class,
    },
}

const ACCEPT: Answer = Answer::Accept { same_id: false };
const KEEP_ID: Answer = Answer::Accept { same_id: true };

impl Weather {
    pub(crate) const ALL: [(u64, Self); 6] = [
        (5, Self::Fine),
        (4, Self::Down),
        (4, Self::Lossy),
        (3, Self::Sick),
        (2, Self::Flaky),
        (3, Self::Wild),
    ];

    /// Whether an attempt could be answered at all.
    pub(crate) const fn is_reachable(self) -> bool {
        !matches!(self, Self::Down)
    }

    /// What a probe finds.
    pub(crate) fn probe(self, random: &mut Random) -> bool {
        match self {
            Self::Fine | Self::Lossy | Self::Sick => true,
            Self::Down => false,
            Self::Flaky | Self::Wild => random.percent(60),
        }
    }

    pub(crate) fn fate(self, random: &mut Random) -> Fate {
        match self {
            Self::Fine => Fate::Answered(random.weighted(&[(4, ACCEPT), (1, KEEP_ID)])),
            Self::Down => Fate::NotReached,
            Self::Lossy => lossy(random),
            Self::Sick => Fate::Answered(sick(random)),
            Self::Flaky => random.weighted(&[
                (4, Fate::NotReached),
                (3, Fate::Answered(ACCEPT)),
                (1, Fate::Lost),
                (1, Fate::AnswerLost(KEEP_ID)),
            ]),
            Self::Wild => match random.range(0, 4) {
                0 => Fate::NotReached,
                1 => lossy(random),
                2 => Fate::AnswerLost(sick(random)),
                _ => Fate::Answered(sick(random)),
            },
        }
    }
}

fn lossy(random: &mut Random) -> Fate {
    random.weighted(&[
        (6, Fate::Answered(ACCEPT)),
        (2, Fate::Answered(KEEP_ID)),
        (4, Fate::AnswerLost(ACCEPT)),
        (2, Fate::AnswerLost(KEEP_ID)),
        (3, Fate::Lost),
        (2, Fate::Silent(ACCEPT)),
        (1, Fate::NotReached),
        (1, Fate::Breaks),
        (1, Fate::BreaksAfter(ACCEPT)),
        (2, Fate::Answered(Answer::ProvesNothing { accepts: true })),
        (1, Fate::Answered(Answer::ProvesNothing { accepts: false })),
    ])
}

fn sick(random: &mut Random) -> Answer {
    let after =
        random.weighted(&[(3, None), (1, Some(Duration::from_secs(2))), (1, Some(Duration::from_secs(90)))]);
    random.weighted(&[
        (4, ACCEPT),
        (4, Answer::Retry { class: Class::TransientServer, after }),
        (1, Answer::Retry { class: Class::FileUpload, after: None }),
        (2, Answer::Retry { class: Class::Unknown, after: None }),
        (2, Answer::Limited { after }),
        (1, Answer::GateShut),
        (1, Answer::Reject { class: Class::PermanentContent }),
        (1, Answer::Reject { class: Class::PermanentRecipient }),
    ])
}
