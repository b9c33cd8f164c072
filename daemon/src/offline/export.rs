//! `outboxd export SPOOL`: every message of a spool, one a line.
//!
//! Owns:  the order (receipts, then entries as they were accepted), the count of what could not be read.
//! Never: changes the spool.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use outbox::{Exported, Offline};

use super::line::{self, Line};
use super::room::Room;
use super::{Failure, Verdict};
use crate::json_line::json_line;

pub(super) fn run(spool: &Path, room: &Room, out: impl Write) -> Result<Verdict, Failure> {
    let offline = Offline::open_in(spool, room.path())?;
    let mut out = BufWriter::new(out);
    let (mut entries, mut receipts, mut without) = (0_u64, 0_u64, 0_u64);
    let bad = offline.export(|exported| {
        let line = match exported {
            Exported::Entry { entry, payload } => {
                entries += 1;
                let line = line::of_entry(&entry, payload);
                without += u64::from(line.message.is_none() && entry.payload != outbox::Place::Nowhere);
                line
            }
            Exported::Receipt { receipt, data } => {
                receipts += 1;
                line::of_receipt(&receipt, data)
            }
        };
        write(&mut out, &line)
    })?;
    out.flush().map_err(Failure::Write)?;
    let mut said = format!("{entries} messages and {receipts} receipts");
    if offline.is_damaged() {
        said += "; the store is damaged: this is what could be read out of its file";
    }
    let missing = offline.missing(entries + receipts + bad);
    for (count, what) in [
        (bad, "records could not be read"),
        (without, "messages have lost their payload"),
        (missing, "messages and receipts are counted and cannot be read"),
    ] {
        if count > 0 {
            said += &format!("; {count} {what}");
        }
    }
    // Beside the lines; a script counts them by itself.
    let _ = writeln!(io::stderr().lock(), "outboxd: {said}");
    Ok(if bad + without + missing == 0 && !offline.is_damaged() { Verdict::Good } else { Verdict::Bad })
}

fn write(out: &mut impl Write, line: &Line) -> Result<(), Failure> {
    let line = json_line(line).map_err(|error| Failure::Write(error.into()))?;
    out.write_all(&line).map_err(Failure::Write)
}
