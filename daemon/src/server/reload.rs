//! `POST /v1/reload`.
//!
//! Owns:  this call, and the words of its refusals.
//! Never: reads the configuration (`crate::reload` does).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use outbox_control::types::{Problem, ReloadAnswer, Unsupported};

use super::Context;
use super::body::Json;
use super::daemon_calls::Empty;
use super::messages::json;
use super::problem::{Answer, bad_request, of_store};
use crate::reload::{ReloadError, reload as read_again};

/// `POST /v1/reload`.
pub(super) async fn reload(State(context): State<Arc<Context>>, Json(_): Json<Empty>) -> Answer<Response> {
    // A client that goes away does not stop it half-way.
    let task = tokio::spawn(async move { read_again(&context).await });
    let changes = task
        .await
        .unwrap_or(Err(ReloadError::Store(outbox::Error::Closed)))
        .map_err(|error| problem(&error))?;
    Ok(json(&ReloadAnswer { changed: changes.changed, needs_restart: changes.needs_restart }))
}

fn problem(error: &ReloadError) -> Problem {
    match error {
        ReloadError::Config(_) => bad_request(error.to_string())
            .with_hint("Correct it, and reload again; `outboxd check-config` checks a file beforehand."),
        ReloadError::Settings(settings) => bad_request(error.to_string()).with_hint(settings.hint()),
        ReloadError::NothingToRead => Problem::unsupported(Unsupported::Feature, error.to_string())
            .with_hint("Start outboxd with a configuration."),
        ReloadError::Store(store) => of_store(store),
    }
}
