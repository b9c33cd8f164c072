//! Receipts.
//!
//! Owns:  these calls.
//! Never: shows a replacement to a client that may not read messages.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use outbox::{Message, Outbox, Receipt};
use outbox_control::types::{self, Problem, ProblemCode, SentPage};

use super::body::Id;
use super::messages::{json, look_up, raw, reading};
use super::peer::Peer;
use super::problem::{Answer, bad_request};
use super::query::Query;
use super::show::{self, Missing};
use super::{Context, Role};

/// Bytes of replacements in one page, beside the first: pages wait in memory for clients that read slowly. A
/// page may be short.
const PAGE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// `GET /v1/sent`.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Answer<Response> {
    let query = Query::read(uri.query(), &["since", "limit", "newMsgID"])?;
    let since = query.number("since")?.unwrap_or(0);
    let limit = query.limit()?;
    let new_msg_id = query.one("newMsgID")?.map(ToOwned::to_owned);
    if new_msg_id.is_some() && query.one("since")?.is_some() {
        return Err(bad_request("`since` and `newMsgID` do not go together").with_field("newMsgID").into());
    }
    let outbox = context.outbox.clone();
    let with_data = may_read_data(&peer);
    let page = reading(move || {
        let (receipts, next) = match new_msg_id {
            Some(new_msg_id) => {
                let mut receipts = outbox.replaced_by(&new_msg_id)?;
                receipts.truncate(limit);
                let next = receipts.last().map_or(0, |receipt| receipt.seq);
                (receipts, next)
            }
            None => {
                let page = outbox.sent(since, limit)?;
                (page.receipts, page.next)
            }
        };
        let mut page = SentPage { sent: Vec::new(), next };
        let mut bytes = 0;
        for receipt in &receipts {
            bytes += receipt.data_bytes;
            if bytes > PAGE_BYTES_MAX && !page.sent.is_empty() {
                page.next = page.sent.last().map_or(next, |last| last.seq);
                break;
            }
            page.sent.push(shown(&outbox, receipt, with_data)?);
        }
        Ok(page)
    })
    .await?;
    Ok(json(&page))
}

/// `GET /v1/sent/{id}`.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    uri: Uri,
) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    match look_up(&context, id).await? {
        Message::Receipt(receipt) => {
            let outbox = context.outbox.clone();
            let with_data = may_read_data(&peer);
            Ok(json(&reading(move || shown(&outbox, &receipt, with_data)).await?))
        }
        Message::Entry(view) => {
            let msg_id = &view.entry.identity.msg_id;
            let detail = format!("`{msg_id}` has no receipt: it is {}", view.state);
            Err(Problem::new(ProblemCode::NotFound, detail)
                .with_msg_id(msg_id.as_str())
                .with_state(show::state(view.state))
                .with_hint("A receipt is there once the message is sent or cancelled.")
                .into())
        }
    }
}

/// Whether a client may see replacements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    Shown,
    Hidden,
}

fn may_read_data(peer: &Peer) -> Data {
    if peer.role().is_some_and(|role| role >= Role::Operator) { Data::Shown } else { Data::Hidden }
}

fn shown(outbox: &Outbox, receipt: &Receipt, data: Data) -> outbox::Result<types::Receipt> {
    if receipt.data_bytes == 0 || data == Data::Hidden {
        return Ok(show::receipt(receipt, None, Missing::No));
    }
    let (data, missing) = match outbox.data(receipt) {
        Ok(Some(data)) => (raw(data), Missing::No),
        Ok(None) => (None, Missing::Dropped),
        Err(outbox::Error::BadRecord { .. }) => (None, Missing::Damaged),
        Err(error) => return Err(error),
    };
    Ok(show::receipt(receipt, data, missing))
}
