//! One function for each command that is not a verb on several messages.
//!
//! Owns:  which call a command makes, and how its answer is shown.
//! Never: formats text.

use std::path::Path;

use outbox_control::client::SentQuery;
use outbox_control::types::{FlushRequest, ProblemCode, ResolveRequest};
use serde_json::value::RawValue;

use super::args::{Account, Command, Flush, List, Resolve, Sent};
use super::exit::{CtlError, Exit};
use super::session::{Session, read_all};
use super::{batch, events, ids, note, render, submit, top, verbs};

/// Bytes of a message given to resolve: the largest answer of a transport.
const DATA_BYTES_MAX: usize = 4 << 20;

/// Carries a command out.
pub(super) async fn run(session: &mut Session, command: Command) -> Result<Exit, CtlError> {
    match command {
        Command::Resend(args) => return verbs::resend(session, args).await,
        Command::Hold(args) => return verbs::hold(session, args).await,
        Command::Release(args) => return verbs::release(session, args).await,
        Command::Cancel(args) => return verbs::cancel(session, args).await,
        Command::Submit(args) => return submit::submit(session, args).await,
        Command::Events(args) => return events::events(session, &args).await,
        Command::Watch(args) => return events::follow(session, args.since).await,
        Command::Top(args) => return top::top(session, &args).await,
        Command::Reload => return reload(session).await,
        single => match one(session, single).await {
            // The answer of a failed call is an answer, too, for a program that reads JSON.
            Err(CtlError::Client(error)) if session.output.is_json() => {
                if let Some(problem) = error.problem() {
                    session.output.json(problem)?;
                    session.output.flush()?;
                }
                return Err(error.into());
            }
            result => result?,
        },
    }
    Ok(Exit::Done)
}

async fn one(session: &mut Session, command: Command) -> Result<(), CtlError> {
    let Session { client, output, style, .. } = session;
    match command {
        Command::Status => {
            let status = client.status().await?;
            output.answer(&status, |status| render::status(style, client.socket(), status))?;
        }
        Command::List(args) => list(session, args).await?,
        Command::Show(args) => {
            let entry = client.message(&args.id).await?;
            output.answer(&entry, |entry| render::entry(style, entry))?;
        }
        Command::Why(args) => {
            let why = client.why(&args.id).await?;
            output.answer(&why, |why| render::why(style, why))?;
        }
        Command::Payload(args) => {
            let payload = client.payload(&args.id).await?;
            output.bytes(&payload)?;
            if style.terminal {
                output.bytes(b"\n")?;
            }
        }
        Command::Resolve(args) => resolve(session, args).await?,
        Command::Flush(args) => flush(session, args).await?,
        Command::Compact => compact(session).await?,
        Command::Batch(args) => batch::batch(session, args).await?,
        Command::Pause => {
            let paused = client.pause().await?;
            output.answer(&paused, |paused| render::paused(paused.paused))?;
        }
        Command::Resume => {
            let paused = client.resume().await?;
            output.answer(&paused, |paused| render::paused(paused.paused))?;
        }
        Command::Account { command } => account(session, command).await?,
        Command::Link { state } => {
            let answer = client.set_link(state.into()).await?;
            output.answer(&answer, |answer| render::link(style, &answer.link))?;
        }
        Command::Sent(args) => sent(session, args).await?,
        Command::Submit(_)
        | Command::Resend(_)
        | Command::Hold(_)
        | Command::Release(_)
        | Command::Cancel(_)
        | Command::Events(_)
        | Command::Watch(_)
        | Command::Top(_)
        | Command::Reload
        | Command::Completions { .. } => {}
    }
    Ok(())
}

async fn list(session: &mut Session, args: List) -> Result<(), CtlError> {
    let mut query = ids::list_query(args.filter);
    (query.limit, query.cursor) = (args.limit, args.cursor);
    let Session { client, output, style, .. } = session;
    let mut shown: usize = 0;
    loop {
        let page = client.messages(&query).await?;
        // A page may be short, even empty, without being the last.
        if output.is_json() || !page.messages.is_empty() {
            output.answer(&page, |page| render::entries(style, &page.messages))?;
        }
        output.flush()?;
        shown += page.messages.len();
        match page.next {
            Some(next) if args.all => query.cursor = Some(next),
            Some(next) if !output.is_json() => {
                note(&format!("There are more: add --all, or --cursor {next}"));
                return Ok(());
            }
            Some(_) => return Ok(()),
            None => break,
        }
    }
    if shown == 0 && !output.is_json() {
        note("No messages.");
    }
    Ok(())
}

async fn resolve(session: &mut Session, args: Resolve) -> Result<(), CtlError> {
    let data = match &args.data {
        Some(path) => Some(read_json(path)?),
        None => None,
    };
    let request = ResolveRequest { code: 0, desc: args.desc, data };
    let Session { client, output, style, .. } = session;
    let entry = client.resolve(&args.id.id, &request).await?;
    Ok(output.answer(&entry, |entry| render::entry_line(style, entry))?)
}

fn read_json(path: &Path) -> Result<Box<RawValue>, CtlError> {
    let mut file =
        std::fs::File::open(path).map_err(|source| CtlError::File { path: path.to_owned(), source })?;
    let bytes = read_all(&mut file, DATA_BYTES_MAX)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CtlError::Input(format!("{} is not JSON: {error}", path.display())))
}

async fn flush(session: &mut Session, args: Flush) -> Result<(), CtlError> {
    let request = FlushRequest { conversation: args.conversation, account: args.account };
    let answer = session.client.flush(&request).await?;
    Ok(session.output.answer(&answer, |answer| render::flushed(answer.due))?)
}

async fn compact(session: &mut Session) -> Result<(), CtlError> {
    let answer = session.client.compact().await?;
    Ok(session.output.answer(&answer, render::compacted)?)
}

/// A configuration with a problem has the exit code that it would have at a start.
async fn reload(session: &mut Session) -> Result<Exit, CtlError> {
    match session.client.reload().await {
        Ok(answer) => {
            session.output.answer(&answer, render::reloaded)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            let is_bad = error.problem().is_some_and(|problem| problem.code == ProblemCode::BadRequest);
            let exit = session.report("reload", &error)?;
            Ok(if is_bad { Exit::BadConfig } else { exit })
        }
    }
}

async fn account(session: &mut Session, command: Account) -> Result<(), CtlError> {
    let Session { client, output, style, .. } = session;
    let account = match command {
        Account::List => {
            let accounts = client.status().await?.accounts;
            if output.is_json() {
                for account in &accounts {
                    output.json(account)?;
                }
            } else if accounts.is_empty() {
                note("No accounts yet.");
            } else {
                output.text(&render::accounts(style, &accounts))?;
            }
            return Ok(());
        }
        Account::Pause { name, reason } => client.pause_account(&name, reason.as_deref()).await?,
        Account::Resume { name } => client.resume_account(&name).await?,
    };
    Ok(output.answer(&account, |account| render::accounts(style, std::slice::from_ref(account)))?)
}

async fn sent(session: &mut Session, args: Sent) -> Result<(), CtlError> {
    let Session { client, output, style, .. } = session;
    if let Some(id) = args.id {
        let receipt = client.receipt(&id).await?;
        return Ok(output.answer(&receipt, |receipt| render::receipt(style, receipt))?);
    }
    let query = SentQuery { since: args.since, limit: args.limit, new_msg_id: args.new_msg_id };
    let page = client.sent(&query).await?;
    if page.sent.is_empty() && !output.is_json() {
        note("No receipts.");
        return Ok(());
    }
    output.answer(&page, |page| render::receipts(style, &page.sent))?;
    if query.new_msg_id.is_none() && !output.is_json() {
        note(&format!("Later ones: --since {}", page.next));
    }
    Ok(())
}
