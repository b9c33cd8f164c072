//! `outboxctl`: what waits, why, since when, and every command to act on it.
//!
//! Owns:  the way from the command line to the exit code.
//! Never: opens a spool; everything it knows comes over the control socket.

mod args;
mod batch;
mod events;
mod exit;
mod ids;
mod out;
mod render;
mod run;
mod session;
mod submit;
#[cfg(test)]
mod tests;
mod top;
mod verbs;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use jiff::Timestamp;
use outbox_control::Time;
use outbox_control::paths::{Environment, User};

use args::{Args, Colour, Command};
use exit::{CtlError, Exit};
use out::Output;
use render::Style;
use session::{Input, Session};

/// Runs the control program with the process's arguments, and answers with its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code());
            // Help on a closed pipe is nobody's loss.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let ended = match args.command {
        Command::Completions { shell } => print_completions(shell),
        _ => start(args),
    };
    ExitCode::from(finish(ended).code())
}

/// Needs no daemon.
fn print_completions(shell: Shell) -> Result<Exit, CtlError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "outboxctl", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Done)
}

fn start(args: Args) -> Result<Exit, CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let terminal = io::stdout().is_terminal();
    let style = Style { now: now(), terminal, colour: wants_colour(args.color, terminal) };
    runtime.block_on(async {
        let client =
            session::choose(args.socket.as_deref(), &environment(), |name| std::env::var_os(name)).await?;
        let output = Output::new(io::stdout().lock(), args.json);
        let input = Input::new(io::stdin().lock(), io::stdin().is_terminal());
        let mut session = Session { client, output, style, input };
        let exit = run::run(&mut session, args.command).await?;
        session.output.flush()?;
        Ok(exit)
    })
}

/// Tells a person what went wrong, and a program by the exit code.
fn finish(result: Result<Exit, CtlError>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) => {
            if let Some(text) = error.text() {
                complain(&text);
            }
            error.exit()
        }
    }
}

/// Writes to standard error. A closed one is no reason to stop. Whatever answers at the socket may have said it.
fn complain(text: &str) {
    let text = render::safe_lines(text);
    let _ = writeln!(io::stderr(), "outboxctl: {text}");
}

/// Writes a note about progress to standard error, without the program's name.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn environment() -> Environment {
    let user = if nix::unistd::geteuid().is_root() { User::Root } else { User::Other };
    Environment::from_variables(user, |name| std::env::var_os(name))
}

/// The moment that all ages of one run are counted from.
fn now() -> Time {
    Time::from_ms(Timestamp::now().as_millisecond())
}

fn wants_colour(choice: Colour, terminal: bool) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
