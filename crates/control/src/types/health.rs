//! Whether the daemon can take messages, and whether it makes progress.
//!
//! Owns:  the answers of the two health calls.
//! Never: decides either.

use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/health/ready`: 200 if ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ready {
    /// Whether the spool is open and submits are accepted.
    pub ready: bool,
    /// What is not as it should be although submits are accepted.
    #[serde(default)]
    pub degraded: Vec<String>,
}

/// The answer of `GET /v1/health/live`: 503 only when the engine makes no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Live {
    /// Whether the engine makes progress.
    pub live: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_spelled_as_in_the_contract() {
        let ready = Ready { ready: true, degraded: vec!["link".into()] };
        assert_eq!(serde_json::to_string(&ready).unwrap(), r#"{"ready":true,"degraded":["link"]}"#);
        assert_eq!(
            serde_json::from_str::<Ready>(r#"{"ready":false}"#).unwrap().degraded,
            Vec::<String>::new()
        );
    }
}
