//! What the configuration says to the socket, and how a reload replaces it.
//!
//! Owns:  the one place from which calls take it.
//! Never: reads a configuration, changes one: it is replaced as a whole.

use std::sync::{Arc, PoisonError, RwLock};

use super::Access;
use crate::config::Config;
use crate::transport::verdict::Classes;

/// What the configuration says to the socket.
pub struct InForce {
    /// The configuration.
    pub config: Config,
    /// What result codes mean.
    pub classes: Classes,
    /// Who may do what.
    pub access: Arc<Access>,
}

/// What is in force now.
pub struct Current(RwLock<Arc<InForce>>);

impl Current {
    pub(super) fn new(in_force: InForce) -> Self {
        Self(RwLock::new(Arc::new(in_force)))
    }

    /// What is in force now; it stays as it is for whoever has it.
    pub(super) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts something else in force.
    pub fn replace(&self, in_force: InForce) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }
}
