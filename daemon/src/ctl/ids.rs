//! Which messages a verb acts on: ids from the command line, from standard input, or all that a filter matches.
//!
//! Owns:  reading ids, paging through lists, the question before acting on all.
//! Never: acts.

use outbox_control::client::ListQuery;
use outbox_control::types::State;

use super::args::{Filter, Selection};
use super::exit::CtlError;
use super::note;
use super::session::{Session, read_all};

/// Bytes of ids from standard input: a million ids of common length.
const IDS_BYTES_MAX: usize = 64 << 20;

/// Messages that one `--all` takes: about 100 MiB of ids. More are left to the next run.
const ALL_MAX: usize = 1_000_000;

/// Entries of a page while all are gathered: the most that the daemon gives.
const PAGE: u32 = 1000;

/// The ids to act on, in order; nothing if the person said no.
pub(super) async fn selected(
    session: &mut Session,
    selection: Selection,
    verb: &str,
    usual_states: &[State],
) -> Result<Vec<String>, CtlError> {
    if selection.all {
        return all(session, selection.filter, verb, usual_states, selection.yes).await;
    }
    let filter = &selection.filter;
    if !filter.states.is_empty() || filter.conversation.is_some() || filter.account.is_some() {
        let text =
            "--state, --conversation and --account choose among all messages: add --all, and give no ids";
        return Err(CtlError::Usage(text.to_owned()));
    }
    let mut ids = Vec::with_capacity(selection.ids.len());
    for id in selection.ids {
        if id == "-" { ids.extend(from_input(session)?) } else { ids.push(id) }
    }
    Ok(ids)
}

fn from_input(session: &mut Session) -> Result<Vec<String>, CtlError> {
    let bytes = read_all(session.input.reader(), IDS_BYTES_MAX)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CtlError::Input("the ids on standard input are not UTF-8".to_owned()))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

async fn all(
    session: &mut Session,
    filter: Filter,
    verb: &str,
    usual_states: &[State],
    yes: bool,
) -> Result<Vec<String>, CtlError> {
    // Where nobody can be asked, `--all` is the word itself.
    let asks = session.input.is_terminal() && !yes;
    let ids = gather(session, filter, usual_states).await?;
    let messages = if ids.len() == 1 { "message" } else { "messages" };
    note(&format!("{verb}: {} {messages}", ids.len()));
    if ids.is_empty() || !asks || session.confirm("Go on?")? {
        return Ok(ids);
    }
    note("Nothing was done.");
    Ok(Vec::new())
}

async fn gather(session: &Session, filter: Filter, usual_states: &[State]) -> Result<Vec<String>, CtlError> {
    let mut query = list_query(filter);
    query.limit = Some(PAGE);
    if query.states.is_empty() {
        query.states = usual_states.to_vec();
    }
    let mut ids = Vec::new();
    loop {
        let page = session.client.messages(&query).await?;
        ids.extend(page.messages.into_iter().map(|entry| entry.msg_id));
        if ids.len() >= ALL_MAX {
            ids.truncate(ALL_MAX);
            note(&format!("only the first {ALL_MAX} are taken: run it again for the others"));
            return Ok(ids);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(ids),
        }
    }
}

/// The list call of a filter.
pub(super) fn list_query(filter: Filter) -> ListQuery {
    ListQuery {
        states: filter.states,
        conversation: filter.conversation,
        account: filter.account,
        limit: None,
        cursor: None,
    }
}
