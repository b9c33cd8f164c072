//! `outboxd export SPOOL`: every message of a spool, one a line.
//!
//! Owns:  the order (receipts, then entries as they were accepted), the count of what could not be read, the choice to read a
//!        damaged store without its engine.
//! Never: changes the spool.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use outbox::{Exported, Offline, OpenError};

use super::line::{self, Line};
use super::{Failure, Verdict};

pub(super) fn run(spool: &Path, out: impl Write) -> Result<Verdict, Failure> {
    let (offline, salvaged) = open(spool)?;
    let mut out = BufWriter::new(out);
    let (mut entries, mut receipts, mut without) = (0_u64, 0_u64, 0_u64);
    let bad = offline.export(|exported| {
        let line = match exported {
            Exported::Entry { entry, payload } => {
                entries += 1;
                without += u64::from(payload.is_none() && entry.payload != outbox::Place::Nowhere);
                line::of_entry(&entry, payload)
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
    if salvaged {
        said += "; the store is damaged: this is what could be read out of its file";
    }
    for (count, what) in [(bad, "records could not be read"), (without, "messages have lost their payload")] {
        if count > 0 {
            said += &format!("; {count} {what}");
        }
    }
    // Beside the lines; a script counts them by itself.
    let _ = writeln!(io::stderr().lock(), "outboxd: {said}");
    Ok(if bad + without == 0 && !salvaged { Verdict::Good } else { Verdict::Bad })
}

/// A spool whose store is whole, or what can be read of one that is damaged; tells which.
fn open(spool: &Path) -> Result<(Offline, bool), Failure> {
    match Offline::open(spool) {
        Ok(offline) if !offline.is_damaged()? => return Ok((offline, false)),
        // Nobody else may have it open, not even for a look.
        Ok(offline) => drop(offline),
        Err(OpenError::Corrupt { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((Offline::salvage(spool)?, true))
}

fn write(out: &mut impl Write, line: &Line) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, line).map_err(|error| Failure::Write(error.into()))?;
    out.write_all(b"\n").map_err(Failure::Write)
}
