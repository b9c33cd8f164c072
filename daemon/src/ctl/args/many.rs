//! Command line of the commands about many messages: batch, events.
//!
//! Owns:  names, values and help of their options.
//! Never: talks to the daemon.

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use outbox_control::DurationText;
use outbox_control::types::BatchOp;

use super::Filter;

#[derive(Debug, clap::Args)]
pub(in crate::ctl) struct Batch {
    /// What to do
    #[arg(value_name = "OP")]
    pub(in crate::ctl) op: OpWord,
    #[command(flatten)]
    pub(in crate::ctl) filter: Filter,
    /// Only those whose last error has this class, such as `permanent_content`
    #[arg(long, value_name = "CLASS", value_parser = NonEmptyStringValueParser::new())]
    pub(in crate::ctl) class: Option<String>,
    /// Only those that were accepted longer ago, such as `24h`
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub(in crate::ctl) older_than: Option<DurationText>,
    /// Only count them
    #[arg(long)]
    pub(in crate::ctl) dry_run: bool,
    /// Do nothing if another number of messages matches; exit code 4 then
    #[arg(long, value_name = "N")]
    pub(in crate::ctl) expect_count: Option<u64>,
    /// Act on all messages: needed where nothing else chooses among them
    #[arg(long)]
    pub(in crate::ctl) all: bool,
    /// Do not ask; where standard input is no terminal nobody is asked
    #[arg(long)]
    pub(in crate::ctl) yes: bool,
    /// Words for the record of a hold or a cancel
    #[arg(long, value_name = "TEXT")]
    pub(in crate::ctl) reason: Option<String>,
}

/// What to do to many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::ctl) enum OpWord {
    /// Send them again now
    Resend,
    /// Keep them back until they are released
    Hold,
    /// Let held ones go
    Release,
    /// Withdraw them
    Cancel,
}

impl From<OpWord> for BatchOp {
    fn from(word: OpWord) -> Self {
        match word {
            OpWord::Resend => Self::Resend,
            OpWord::Hold => Self::Hold,
            OpWord::Release => Self::Release,
            OpWord::Cancel => Self::Cancel,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::ctl) struct Events {
    /// Go on with what happens, also over restarts of the daemon
    #[arg(short, long)]
    pub(in crate::ctl) follow: bool,
    /// Only events after this number, or `now` for none of those before
    #[arg(long, value_name = "N", value_parser = since, default_value = "0")]
    pub(in crate::ctl) since: Since,
}

/// Where events begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ctl) enum Since {
    /// After this number.
    Number(u64),
    /// With the next one.
    Now,
}

fn since(text: &str) -> Result<Since, String> {
    match text {
        "now" => Ok(Since::Now),
        number => {
            number.parse().map(Since::Number).map_err(|_| "write the number of an event, or `now`".to_owned())
        }
    }
}

fn age(text: &str) -> Result<DurationText, String> {
    text.parse().map_err(|error: outbox_control::DurationError| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Command};
    use super::*;

    #[test]
    fn events_begin_with_the_oldest_unless_told_otherwise() {
        let events = |line: &str| match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Events(events) | Command::Watch(events) => (events.follow, events.since),
            other => panic!("{other:?}"),
        };
        assert_eq!(events("outboxctl events"), (false, Since::Number(0)));
        assert_eq!(events("outboxctl events -f --since 7"), (true, Since::Number(7)));
        assert_eq!(events("outboxctl watch --since now").1, Since::Now);
        assert!(
            Args::try_parse_from(["outboxctl", "events", "--since", "soon"])
                .unwrap_err()
                .to_string()
                .contains("`now`")
        );
    }
}
