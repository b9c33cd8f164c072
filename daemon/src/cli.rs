//! Command line of `outboxd`: what was asked for, and the commands that only look at the configuration.
//!
//! Owns:  the arguments, their help, the exit codes of usage and configuration errors.
//! Never: runs the daemon or the demo itself (the binary hands them in), logs.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigErrors, FileChoice, Flags, Loaded, Sources};
use crate::offline;
use crate::settings::Settings;

/// Exit code: something failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line cannot be read.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: the configuration has a problem.
pub const EXIT_BAD_CONFIG: u8 = 78;
/// Exit code of a command that a signal ended, less the signal's number: as from a shell.
pub const EXIT_SIGNAL: i32 = 128;

/// Keeps failed messages, watches the link, and sends them again.
#[derive(Debug, Parser)]
#[command(
    name = "outboxd",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 78 bad configuration.\nSignals: TERM and INT stop; HUP reads the configuration again, like `outboxctl reload`.\nExport and fsck: TERM, INT and HUP end them, with 128 and the number of the signal."
)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground (what happens without a command, too)
    Run(RunArgs),
    /// Show the daemon at work through an outage: temporary spool, built-in service, about 15 s
    Demo(DemoArgs),
    /// Check a configuration as `run` would read it
    CheckConfig {
        /// File to check; without it, the one at the default place
        file: Option<PathBuf>,
    },
    /// Show the effective configuration and where each value came from
    PrintConfig(PrintConfigArgs),
    /// Print every message of a spool that no daemon runs on: one JSON object a line, with its delivery record
    Export {
        /// Directory of the spool
        spool: PathBuf,
    },
    /// Take in messages from standard input as `export` prints them, or as they are submitted; what is there stays
    Import {
        /// Directory of the spool; a new one is made
        spool: String,
        /// Configuration file, as for `run`
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check every record of a spool that no daemon runs on; changes nothing without --repair
    Fsck {
        /// Directory of the spool
        spool: String,
        /// Set aside what cannot be read, and make indices and counts anew
        #[arg(long)]
        repair: bool,
        /// Configuration file for --repair, as for `run`
        #[arg(long, value_name = "FILE", requires = "repair")]
        config: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `outboxd run`.
#[derive(Clone, Debug, Default, Args)]
struct RunArgs {
    /// Configuration file [default: $XDG_CONFIG_HOME/outbox/outboxd.toml, for root /etc/outbox/outboxd.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the spool (spool.path)
    #[arg(long, value_name = "PATH")]
    spool: Option<String>,
    /// Path of the control socket (control.socket)
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// error, warn, info, debug, trace, off, or filter directives (log.level)
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// auto, text or json (log.format)
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct PrintConfigArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Print the file that has every option at its default, to start from
    #[arg(long, conflicts_with_all = ["config", "spool", "socket", "log_level", "log_format", "json"])]
    default: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `outboxd demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoArgs {
    /// Messages to send: 1 to 100000
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub messages: u32,
    /// Seed that repeats a run; without it, a random one is taken and printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep the temporary folder and print its name
    #[arg(long)]
    pub keep: bool,
    /// Print without colours
    #[arg(long)]
    pub no_color: bool,
}

impl RunArgs {
    fn sources(self) -> Sources {
        let file = self.config.map_or(FileChoice::IfThere, FileChoice::Named);
        let Self { spool, socket, log_level, log_format, .. } = self;
        Sources::of_process(file, Flags { spool, socket, log_level, log_format })
    }
}

/// Reads the command line of this process and does what it says. `run` gets the configuration, `demo` its options.
pub fn main(run: impl FnOnce(Loaded) -> ExitCode, demo: impl FnOnce(DemoArgs) -> ExitCode) -> ExitCode {
    crate::process::keep_private();
    crate::process::allow_many_files();
    main_of(std::env::args_os(), run, demo)
}

fn main_of(
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(Loaded) -> ExitCode,
    demo: impl FnOnce(DemoArgs) -> ExitCode,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too. That they could not be printed changes nothing.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => match config::load(args.sources()) {
            Ok(loaded) => run(loaded),
            Err(errors) => bad_config(&errors),
        },
        Command::Demo(args) => demo(args),
        Command::CheckConfig { file } => check_config(file),
        Command::PrintConfig(args) => print_config(args),
        Command::Export { spool } => offline::run(offline::Command::Export { spool }),
        Command::Import { spool, config } => {
            with_config(config, spool, |config| offline::Command::Import { config })
        }
        Command::Fsck { spool, repair: false, json, .. } => {
            offline::run(offline::Command::Check { spool: spool.into(), json })
        }
        Command::Fsck { spool, repair: true, config, json } => {
            with_config(config, spool, |config| offline::Command::Repair { config, json })
        }
    }
}

/// Runs an offline command on a spool under the configuration that the daemon would have.
fn with_config(
    config: Option<PathBuf>,
    spool: String,
    command: impl FnOnce(Box<Config>) -> offline::Command,
) -> ExitCode {
    let args = RunArgs { config, spool: Some(spool), ..RunArgs::default() };
    match config::load(args.sources()) {
        Ok(loaded) => offline::run(command(Box::new(loaded.config))),
        Err(errors) => bad_config(&errors),
    }
}

fn check_config(file: Option<PathBuf>) -> ExitCode {
    let loaded = match config::load(RunArgs { config: file, ..RunArgs::default() }.sources()) {
        Ok(loaded) => loaded,
        Err(errors) => return bad_config(&errors),
    };
    // What only this machine can tell: its users and groups, and what the parts say to their settings.
    if let Err(error) = Settings::of(&loaded.config, &Arc::default(), None) {
        return failed(&error.to_string(), error.hint(), EXIT_BAD_CONFIG);
    }
    match loaded.file {
        Some(path) => print_out(&format!("OK {}\n", path.display())),
        None => print_out("OK (no file: defaults)\n"),
    }
}

fn print_config(args: PrintConfigArgs) -> ExitCode {
    if args.default {
        return print_out(&config::default_file_text());
    }
    match config::load(args.run.sources()) {
        Ok(loaded) if args.json => print_out(&format!("{:#}\n", config::effective_json(&loaded))),
        Ok(loaded) => print_out(&config::effective_text(&loaded)),
        Err(errors) => bad_config(&errors),
    }
}

/// Says to the terminal in plain words what failed, and what a person can do about it.
pub(crate) fn failed(what: &str, hint: &str, code: u8) -> ExitCode {
    // The exit code says it too, if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "outboxd: {what}\n  hint: {hint}");
    ExitCode::from(code)
}

fn bad_config(errors: &ConfigErrors) -> ExitCode {
    // The exit code says it too, if standard error is closed.
    let _ = writeln!(io::stderr().lock(), "outboxd: the configuration has a problem\n{errors}");
    ExitCode::from(EXIT_BAD_CONFIG)
}

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure.
fn print_out(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(EXIT_FAILED),
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["outboxd"], arguments].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        let short = parse(&["--config", "a.toml", "--spool", "s"]).expect("flags alone");
        assert_eq!((short.run.config, short.run.spool), (Some("a.toml".into()), Some("s".into())));
        assert!(short.command.is_none());
        let long = parse(&["run", "--config", "a.toml"]).expect("the command by name");
        assert!(matches!(long.command, Some(Command::Run(args)) if args.config == Some("a.toml".into())));
    }

    #[test]
    fn a_flag_before_a_command_is_refused_rather_than_ignored() {
        assert!(parse(&["--spool", "s", "demo"]).is_err());
    }

    #[test]
    fn the_demo_has_200_messages_unless_told_otherwise() {
        let plain = DemoArgs { messages: 200, seed: None, keep: false, no_color: false };
        assert!(
            matches!(parse(&["demo"]).expect("demo").command, Some(Command::Demo(args)) if args == plain)
        );
        let set = DemoArgs { messages: 5, seed: Some(7), keep: true, no_color: true };
        let cli = parse(&["demo", "--messages", "5", "--seed", "7", "--keep", "--no-color"])
            .expect("demo with options");
        assert!(matches!(cli.command, Some(Command::Demo(args)) if args == set));
        assert!(parse(&["demo", "--messages", "0"]).is_err());
    }

    #[test]
    fn the_demo_is_handed_its_options_and_its_exit_code_is_kept() {
        let mut seen = None;
        let arguments = ["outboxd", "demo", "--messages", "3"].map(OsString::from);
        let code = main_of(
            arguments,
            |_| ExitCode::FAILURE,
            |args| {
                seen = Some(args.messages);
                ExitCode::from(9)
            },
        );
        assert_eq!(seen, Some(3));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(9)));
    }
}
