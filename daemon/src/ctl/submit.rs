//! `outboxctl submit`: one JSON object, or one a line.
//!
//! Owns:  telling the two apart, grouping lines into requests, the summary.
//! Never: checks a submit object: the daemon says what is wrong with it.

use std::io::Read;

use outbox_control::client::SubmitManyError;
use outbox_control::limits::{REQUEST_BYTES_MAX, REQUEST_LINES_MAX};
use outbox_control::types::SubmitAnswer;
use serde::de::IgnoredAny;

use super::args::Submit;
use super::exit::{CtlError, Exit};
use super::session::{Input, Session, read_all};
use super::{note, render};

/// Bytes of one submit object: what the daemon takes in a request.
const OBJECT_BYTES_MAX: usize = 64 << 20;

/// What was read, in the form in which it is sent.
enum Start {
    /// One object over several lines, or one that is not JSON at all.
    Whole(Vec<u8>),
    /// Lines that were read already; more may follow.
    Lines(Vec<Vec<u8>>),
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    accepted: u64,
    known: u64,
    refused: u64,
    first_refusal: Option<Exit>,
}

pub(super) async fn submit(session: &mut Session, args: Submit) -> Result<Exit, CtlError> {
    match args.file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let mut input = Input::from_file(&path)?;
            from_input(session, &mut input).await
        }
        None => {
            if session.input.is_terminal() {
                note("Reading JSON from standard input; end it with Ctrl-D.");
            }
            let mut input = std::mem::replace(&mut session.input, Input::new(std::io::empty(), false));
            from_input(session, &mut input).await
        }
    }
}

async fn from_input(session: &mut Session, input: &mut Input) -> Result<Exit, CtlError> {
    let mut tally = Tally::default();
    let sent = match start(input)? {
        Start::Whole(object) => {
            let answer = whole(session, object).await?;
            tally.add(session, 1, answer)
        }
        Start::Lines(first) => lines(session, input, first, &mut tally).await,
    };
    session.output.flush()?;
    note(&tally.summary());
    sent?;
    Ok(tally.exit())
}

/// Looks at the beginning: a first line that is complete JSON means one object a line.
fn start(input: &mut Input) -> Result<Start, CtlError> {
    let mut head = Vec::new();
    while let Some(line) = input.line(OBJECT_BYTES_MAX)? {
        let blank = line.trim_ascii().is_empty();
        let complete = is_json(&line);
        head.push(line);
        if complete {
            return Ok(Start::Lines(head));
        }
        // Blank lines stay: line numbers count them.
        if !blank {
            break;
        }
        if head.len() > OBJECT_BYTES_MAX {
            return Err(CtlError::Input("the input begins with too many blank lines".to_owned()));
        }
    }
    if head.iter().all(|line| line.trim_ascii().is_empty()) {
        return Err(CtlError::Input("the input is empty: give a JSON object, or one a line".to_owned()));
    }
    let mut text = head.join(&b'\n');
    text.push(b'\n');
    text.extend(read_all(&mut input.reader().by_ref(), OBJECT_BYTES_MAX)?);
    let rows: Vec<Vec<u8>> = text.trim_ascii_end().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // One bad line among good ones spoils only itself; an object over several lines has no complete line.
    if !is_json(&text) && rows.len() > 1 && rows.iter().any(|row| is_object(row)) {
        return Ok(Start::Lines(rows));
    }
    Ok(Start::Whole(text))
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && is_json(text)
}

async fn whole(session: &Session, object: Vec<u8>) -> Result<SubmitAnswer, CtlError> {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&object) {
        return Err(CtlError::Input(format!("the input is neither a JSON object nor one a line: {error}")));
    }
    match session.client.submit_json(object).await {
        Ok(submitted) => Ok(SubmitAnswer::Accepted(submitted)),
        Err(outbox_control::ClientError::Problem(problem)) => Ok(SubmitAnswer::Refused(problem)),
        Err(other) => Err(other.into()),
    }
}

/// Sends lines in groups: a full group, or what can be read without waiting, so that a slow producer's lines
/// are on disk as soon as they come.
async fn lines(
    session: &mut Session,
    input: &mut Input,
    mut group: Vec<Vec<u8>>,
    tally: &mut Tally,
) -> Result<(), CtlError> {
    let mut sent: u64 = 0;
    loop {
        let mut bytes: usize = group.iter().map(Vec::len).sum();
        let mut ended = false;
        while group.is_empty()
            || (input.has_line() && group.len() < REQUEST_LINES_MAX && bytes < REQUEST_BYTES_MAX)
        {
            match input.line(OBJECT_BYTES_MAX)? {
                Some(line) => {
                    bytes += line.len();
                    group.push(line);
                }
                None => {
                    ended = true;
                    break;
                }
            }
        }
        send_group(session, &group, sent, tally).await?;
        session.output.flush()?;
        if ended {
            return Ok(());
        }
        sent += group.len() as u64;
        group.clear();
    }
}

async fn send_group(
    session: &mut Session,
    group: &[Vec<u8>],
    sent: u64,
    tally: &mut Tally,
) -> Result<(), CtlError> {
    let (answers, failure) = match session.client.submit_lines(group).await {
        Ok(answers) => (answers, None),
        Err(SubmitManyError { answered, source }) => (answered, Some(source)),
    };
    let mut numbers = (sent + 1..).zip(group).filter(|(_, line)| !line.trim_ascii().is_empty());
    for answer in answers {
        let number = numbers.next().map_or(0, |(number, _)| number);
        tally.add(session, number, answer)?;
    }
    match failure {
        None => Ok(()),
        Some(error) => {
            if let Some((number, _)) = numbers.next() {
                note(&format!("No answer from line {number} on: it is safe to submit those lines again."));
            }
            Err(error.into())
        }
    }
}

impl Tally {
    /// Counts and prints one answer.
    fn add(&mut self, session: &mut Session, number: u64, mut answer: SubmitAnswer) -> Result<(), CtlError> {
        match &mut answer {
            SubmitAnswer::Accepted(submitted) => {
                submitted.line = submitted.line.map(|_| number);
                if submitted.duplicate { self.known += 1 } else { self.accepted += 1 }
            }
            SubmitAnswer::Refused(problem) => {
                problem.line = problem.line.map(|_| number);
                self.refused += 1;
                self.first_refusal = self.first_refusal.or(Some(Exit::of_problem(problem)));
            }
        }
        let style = &session.style;
        Ok(session.output.answer(&answer, |answer| render::submit_line(style, number, answer))?)
    }

    fn summary(&self) -> String {
        format!("{} accepted, {} known already, {} refused", self.accepted, self.known, self.refused)
    }

    /// A single object has its own exit code; of several only whether all went well.
    fn exit(&self) -> Exit {
        match self.first_refusal {
            None => Exit::Done,
            Some(exit) if self.accepted + self.known + self.refused == 1 => exit,
            Some(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &'static str) -> Result<usize, String> {
        match start(&mut Input::new(text.as_bytes(), false)) {
            Ok(Start::Whole(_)) => Ok(0),
            Ok(Start::Lines(lines)) => Ok(lines.len()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_complete_first_line_means_one_object_a_line() {
        assert_eq!(kind("{\"a\":1}\n{\"a\":2}\n"), Ok(1));
        assert_eq!(kind("\n  \n{}"), Ok(3));
    }

    #[test]
    fn an_object_over_several_lines_is_one() {
        assert_eq!(kind("{\n  \"message\": {\n  }\n}\n"), Ok(0));
        assert_eq!(kind("\n{\"a\":\n[]}"), Ok(0));
    }

    #[test]
    fn a_bad_first_line_among_good_ones_is_still_one_a_line() {
        assert_eq!(kind("{oops\n{\"a\":2}\n{\"a\":3}\n"), Ok(3));
        assert_eq!(kind("{oops\n{again\n"), Ok(0));
    }

    #[test]
    fn an_empty_input_is_refused() {
        assert!(kind("").unwrap_err().contains("empty"));
        assert!(kind("\n\n").unwrap_err().contains("empty"));
    }
}
