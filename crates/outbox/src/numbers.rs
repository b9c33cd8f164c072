//! The numbers of classes, outcomes and states on disk.
//!
//! Owns:  these numbers. Never reuse one.
//! Never: gives one a meaning (`outcome` and `state` do).

use serde::{Deserialize, Serialize};

use crate::outcome::{Class, Outcome};
use crate::state::State;

/// A class as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredClass(u8);

/// An outcome as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOutcome(u8);

/// A state as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredState(u8);

/// The number of a class on disk. Never reuse one.
impl From<Class> for StoredClass {
    fn from(class: Class) -> Self {
        Self(match class {
            Class::Ok => 0,
            Class::TransientNetwork => 1,
            Class::TransientServer => 2,
            Class::RateLimited => 3,
            Class::Auth => 4,
            Class::PermanentContent => 5,
            Class::PermanentRecipient => 6,
            Class::PermanentRequest => 7,
            Class::FileUpload => 8,
            Class::Unknown => 9,
            Class::Uncertain => 10,
            Class::CrashLoop => 11,
            Class::Expired => 12,
            Class::Cancelled => 13,
        })
    }
}

impl From<StoredClass> for Class {
    fn from(stored: StoredClass) -> Self {
        Self::ALL.into_iter().find(|class| StoredClass::from(*class) == stored).unwrap_or(Self::Unknown)
    }
}

/// The number of an outcome on disk. Never reuse one.
impl From<Outcome> for StoredOutcome {
    fn from(outcome: Outcome) -> Self {
        Self(match outcome {
            Outcome::Sent => 0,
            Outcome::Duplicate => 1,
            Outcome::NotReached => 2,
            Outcome::MaybeReached => 3,
            Outcome::ProvesNothing => 4,
            Outcome::Retry => 5,
            Outcome::Limited => 6,
            Outcome::GateShut => 7,
            Outcome::Reject => 8,
        })
    }
}

impl From<StoredOutcome> for Outcome {
    fn from(stored: StoredOutcome) -> Self {
        Self::ALL
            .into_iter()
            .find(|outcome| StoredOutcome::from(*outcome) == stored)
            .unwrap_or(Self::MaybeReached)
    }
}

/// The number of a state on disk. Never reuse one.
impl From<State> for StoredState {
    fn from(state: State) -> Self {
        Self(match state {
            State::Queued => 0,
            State::Deferred => 1,
            State::Blocked => 2,
            State::Held => 3,
            State::Sending => 4,
            State::Uncertain => 5,
            State::Failed => 6,
            State::Expired => 7,
            State::Cancelled => 8,
            State::Sent => 9,
        })
    }
}

impl From<StoredState> for State {
    fn from(stored: StoredState) -> Self {
        Self::ALL.into_iter().find(|state| StoredState::from(*state) == stored).unwrap_or(Self::Queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_outcomes_survive_their_stored_form() {
        for class in Class::ALL {
            assert_eq!(Class::from(StoredClass::from(class)), class);
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from(StoredOutcome::from(outcome)), outcome);
        }
    }
}
