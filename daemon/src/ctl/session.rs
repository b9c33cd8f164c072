//! One run: the daemon's client, where answers go, where ids and messages come from.
//!
//! Owns:  the choice of the socket; questions to the person.
//! Never: knows a command.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use outbox_control::paths::{Environment, SOCKET_VARIABLE, candidates};
use outbox_control::{Client, ClientError};

use super::exit::{CtlError, Exit, client_text};
use super::out::Output;
use super::render::Style;
use super::{complain, note};

/// Bytes that are read ahead: many lines for one request, and few system calls.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// What a command works with.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) output: Output,
    pub(super) style: Style,
    pub(super) input: Input,
}

/// Standard input.
pub(super) struct Input {
    reader: BufReader<Box<dyn Read>>,
    terminal: bool,
}

impl Input {
    pub(super) fn new(reader: impl Read + 'static, terminal: bool) -> Self {
        Self { reader: BufReader::with_capacity(READ_AHEAD_BYTES, Box::new(reader)), terminal }
    }

    pub(super) fn from_file(path: &Path) -> Result<Self, CtlError> {
        let file =
            std::fs::File::open(path).map_err(|source| CtlError::File { path: path.to_owned(), source })?;
        Ok(Self::new(file, false))
    }

    /// Whether a person sits there.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(super) fn reader(&mut self) -> &mut BufReader<Box<dyn Read>> {
        &mut self.reader
    }

    /// Whether another line can be read without waiting for it.
    pub(super) fn has_line(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    /// Reads a line without its line break; nothing at the end.
    pub(super) fn line(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, CtlError> {
        let mut line = Vec::new();
        // One byte more than allowed tells a long line from one that just fits.
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > bytes_max {
            return Err(CtlError::Input(format!("a line of the input is longer than {bytes_max} bytes")));
        }
        Ok(Some(line))
    }
}

impl Session {
    /// Reports a failed call about one of several messages: to a person, and as JSON where that is wanted.
    pub(super) fn report(&mut self, about: &str, error: &ClientError) -> Result<Exit, CtlError> {
        if let (true, Some(problem)) = (self.output.is_json(), error.problem()) {
            self.output.json(problem)?;
        }
        complain(&format!("{}: {}", self.style.safe(about), client_text(error)));
        Ok(Exit::of_client(error))
    }

    /// Asks a yes-or-no question; anything but yes is no.
    pub(super) fn confirm(&mut self, question: &str) -> Result<bool, CtlError> {
        /// Nobody types a longer answer.
        const ANSWER_BYTES_MAX: usize = 1024;
        note(&format!("{question} [y/N]"));
        let answer = self.input.line(ANSWER_BYTES_MAX)?.unwrap_or_default();
        let answer = answer.trim_ascii();
        Ok(answer.eq_ignore_ascii_case(b"y") || answer.eq_ignore_ascii_case(b"yes"))
    }
}

/// The client of the socket that was named, or of the first default one where somebody listens.
pub(super) async fn choose(
    flag: Option<&Path>,
    environment: &Environment,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Client, CtlError> {
    if let Some(path) = flag {
        return Ok(Client::new(path));
    }
    if let Some(path) = variable(SOCKET_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(Client::new(path));
    }
    let paths = candidates(environment);
    for path in &paths {
        let client = Client::new(path);
        match client.check().await {
            Ok(()) => return Ok(client),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let tried: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Err(CtlError::NobodyListens { tried: tried.join(" or ") })
}

/// Reads everything up to a limit.
pub(super) fn read_all(reader: &mut dyn Read, bytes_max: usize) -> Result<Vec<u8>, CtlError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(CtlError::Input(format!("the input is longer than {bytes_max} bytes: give it in parts")));
    }
    Ok(bytes)
}
