//! Command line of `outboxctl`.
//!
//! Owns:  names, values, limits and help of every command and option.
//! Never: talks to the daemon.

mod many;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use outbox_control::types::{DEFAULT_ACCOUNT, LinkState, State};

use super::top;

pub(super) use many::{Batch, Events, Since};
use outbox_control::parse_duration_within;

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed
   2  usage
   3  not found
   4  the message's state does not allow it
   5  denied
  69  the daemon is not running
  75  try again later (busy, full, stopping, or still under way)
  78  bad configuration

With several ids every one is tried; the exit code is that of the first that failed.";

/// Looks after the messages that wait in the outbox, over the control socket of outboxd.
#[derive(Debug, Parser)]
#[command(name = "outboxctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Args {
    /// Control socket [default: $OUTBOX_SOCKET, else that of your own outboxd, else that of root's]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print the daemon's answers as JSON, one object a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// When to colour; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Colour,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the daemon, link, accounts and counts on one screen
    Status,
    /// List messages in the order in which they were accepted
    List(List),
    /// Show everything about a message, with its latest 20 attempts
    Show(OneId),
    /// Say why a message is where it is, and what happens next
    Why(OneId),
    /// Print a message exactly as it was submitted
    Payload(OneId),
    /// Hand failed messages over: one JSON object, or one a line
    Submit(Submit),
    /// Send messages again now
    #[command(visible_alias = "retry")]
    Resend(Resend),
    /// Keep messages back until they are released
    Hold(Reasoned),
    /// Let held messages go
    Release(Reasoned),
    /// Withdraw messages; exit code 4 if one had been sent already
    Cancel(Reasoned),
    /// Close an uncertain message as sent, because you saw it arrive
    Resolve(Resolve),
    /// Do the same to all messages that match; answers how many
    Batch(Batch),
    /// Make everything deferred due now
    Flush(Flush),
    /// Make no new attempts; messages are still accepted
    Pause,
    /// End the pause
    Resume,
    /// List accounts, or say whether one may send
    Account {
        #[command(subcommand)]
        command: Account,
    },
    /// Tell the daemon about the network
    Link {
        /// What the network is
        state: LinkWord,
    },
    /// List receipts, oldest first, or show one
    Sent(Sent),
    /// Show what happened, oldest first: the events that are kept
    Events(Events),
    /// Show what happened and then what happens; the same as `events -f`
    Watch(Events),
    /// Show the daemon and its first messages on one screen, drawn again every second
    Top(Top),
    /// Have the daemon give back the disk space of what has gone; ends when it has
    Compact,
    /// Have the daemon read its configuration again, all or nothing; exit code 78 if it has a problem
    Reload,
    /// Print a script that completes commands and options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Top {
    /// How often: 200ms to 60s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = top_time)]
    pub(super) every: Duration,
    /// How many times [default: until Ctrl-C on a terminal, else once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) count: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(super) struct OneId {
    /// The message's msgID, or its creation id
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) id: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Messages of a page: 1 to 1000 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: Option<u32>,
    /// Go on where a page ended
    #[arg(long, value_name = "CURSOR", value_parser = NonEmptyStringValueParser::new())]
    pub(super) cursor: Option<String>,
    /// All pages, not only the first
    #[arg(long)]
    pub(super) all: bool,
}

/// Which messages.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only this state: queued, deferred, blocked, held, sending, uncertain, failed or expired; repeatable
    #[arg(long = "state", value_name = "STATE", value_parser = listed_state)]
    pub(super) states: Vec<State>,
    /// Only this conversation, such as `c2c:NAME` or `group:ID`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) conversation: Option<String>,
    /// Only this account
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) account: Option<String>,
}

/// Several messages by id, or all that a filter matches.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["ids", "all"])))]
pub(super) struct Selection {
    /// msgIDs or creation ids; `-` reads them from standard input, one a line
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) ids: Vec<String>,
    /// Act on all messages (hold: those that may still be sent; release: those held), or those that the
    /// filters match; says how many, and asks
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Do not ask; where standard input is no terminal nobody is asked
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    /// File with one JSON object, or one a line; `-` or nothing reads standard input
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resend {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Wait for the attempt's end, 1s to 5m, and print its callback; exit code 0 only if it was sent
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
          value_parser = wait_time)]
    pub(super) wait: Option<Duration>,
    /// Send it only to those who are online
    #[arg(long)]
    pub(super) online_user_only: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Reasoned {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Words for the record
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resolve {
    #[command(flatten)]
    pub(super) id: OneId,
    /// Words for the receipt
    #[arg(long, value_name = "TEXT")]
    pub(super) desc: Option<String>,
    /// File with the message as it arrived (JSON), for the receipt
    #[arg(long, value_name = "FILE")]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Flush {
    /// Only this conversation
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) conversation: Option<String>,
    /// Only this account
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) account: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// List accounts, those that may not send first (at most 100)
    List,
    /// Stop attempts of an account, as after "kicked off line"
    Pause {
        /// The account
        #[arg(value_name = "NAME", default_value = DEFAULT_ACCOUNT, value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Words for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Say that an account's session is fine again
    Resume {
        /// The account
        #[arg(value_name = "NAME", default_value = DEFAULT_ACCOUNT, value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
}

/// What the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LinkWord {
    /// It works
    Up,
    /// It does not; holds until `up`, `unknown`, a successful attempt, or 5 min without repetition
    Down,
    /// Find out yourself
    Unknown,
}

impl From<LinkWord> for LinkState {
    fn from(word: LinkWord) -> Self {
        match word {
            LinkWord::Up => Self::Up,
            LinkWord::Down => Self::Down,
            LinkWord::Unknown => Self::Unknown,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Sent {
    /// Original msgID of one receipt
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new(),
          conflicts_with_all = ["since", "limit", "new_msg_id"])]
    pub(super) id: Option<String>,
    /// Only receipts after this number
    #[arg(long, value_name = "SEQ")]
    pub(super) since: Option<u64>,
    /// At most this many receipts: 1 to 1000 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: Option<u32>,
    /// Only receipts whose replacement has this id
    #[arg(long = "new-msg-id", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) new_msg_id: Option<String>,
}

fn listed_state(text: &str) -> Result<State, String> {
    let state: State =
        text.parse().map_err(|error: outbox_control::types::UnknownState| error.to_string())?;
    if !state.is_listed() {
        return Err(format!(
            "`{state}` messages are no longer in the outbox; look them up with `outboxctl sent`"
        ));
    }
    Ok(state)
}

fn top_time(text: &str) -> Result<Duration, String> {
    parse_duration_within(text, top::EVERY_MIN, top::EVERY_MAX).map_err(|error| error.to_string())
}

fn wait_time(text: &str) -> Result<Duration, String> {
    parse_duration_within(text, Duration::from_secs(1), Duration::from_secs(300))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    fn refusal(line: &str) -> clap::Error {
        parse(line).expect_err(line)
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_explained() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in
                command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(walk);
        }
        walk(&Args::command());
    }

    #[test]
    fn a_wait_without_a_time_is_thirty_seconds() {
        let wait = |line| match parse(line).unwrap().command {
            Command::Resend(resend) => resend.wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("outboxctl resend a --wait b"), Some(Duration::from_secs(30)));
        assert_eq!(wait("outboxctl retry a --wait=2m"), Some(Duration::from_secs(120)));
        assert_eq!(wait("outboxctl resend a"), None);
        assert!(refusal("outboxctl resend a --wait=6m").to_string().contains("at most 5m"));
    }

    #[test]
    fn a_verb_needs_ids_or_all_but_not_both() {
        assert_eq!(refusal("outboxctl hold").kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(refusal("outboxctl hold a --all").kind(), ErrorKind::ArgumentConflict);
        assert!(parse("outboxctl hold --all --state failed --yes --json").unwrap().json);
        assert!(parse("outboxctl cancel - --reason typo").is_ok());
        assert!(Args::try_parse_from(["outboxctl", "show", ""]).is_err());
    }

    #[test]
    fn states_that_have_no_entry_are_refused_with_the_right_command() {
        assert!(refusal("outboxctl list --state sent").to_string().contains("outboxctl sent"));
        assert!(refusal("outboxctl list --state done").to_string().contains("queued, deferred"));
        let Command::List(list) = parse("outboxctl list --state held --state failed").unwrap().command else {
            panic!("not a list")
        };
        assert_eq!(list.filter.states, [State::Held, State::Failed]);
    }

    #[test]
    fn global_options_stand_before_or_behind_the_command() {
        for line in ["outboxctl --socket /s --json link down", "outboxctl link down --json --socket /s"] {
            let args = parse(line).unwrap();
            assert!(args.json && args.socket.is_some(), "{line}");
        }
        assert_eq!(refusal("outboxctl list --limit 1001").exit_code(), 2);
        assert_eq!(refusal("outboxctl sent a --since 3").kind(), ErrorKind::ArgumentConflict);
    }
}
