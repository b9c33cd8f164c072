//! `GET /metrics`.
//!
//! Owns:  this call.
//! Never: counts anything (`crate::metrics` does).

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::Uri;
use http::header::CONTENT_TYPE;

use super::Context;
use super::messages::reading;
use super::problem::Answer;
use super::query::Query;
use crate::metrics::Gauges;

/// The text format, by its version.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn metrics(
    State(context): State<Arc<Context>>,
    uri: Uri,
) -> Answer<impl IntoResponse + use<>> {
    Query::read(uri.query(), &[])?;
    let outbox = context.outbox.clone();
    let spool = reading(move || outbox.status()).await?;
    let now = context.outbox.now().time;
    let oldest_waiting_ms = spool.oldest_waiting.map_or(0, |since| now.since_ms(since));
    let gauges = Gauges { spool, view: context.engine.view(), oldest_waiting_ms };
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], context.wake.metrics().text(&gauges)))
}
