//! What the open of a spool found, in words: for the log, for `health/ready`, for whoever runs a command over a spool.
//!
//! Owns:  the words.
//! Never: decides what is damage, or forgets any of it.

use outbox::{Counters, OpenReport};

/// What is missing or was damaged; empty where all is as it should be.
pub(crate) fn words(report: &OpenReport) -> Vec<String> {
    let mut words = Vec::new();
    if report.is_made_anew {
        let kept = match &report.kept {
            Some(kept) => format!("the damaged one is kept in {}", kept.display()),
            None => "damaged ones that are kept lie in `quarantine` of the spool".to_owned(),
        };
        words.push(format!("the store was damaged, and was made anew of what could be read of it; {kept}"));
    }
    if report.missing > 0 {
        words.push(format!("{} messages and receipts cannot be read any more", report.missing));
    }
    if let Some(lost) = report.lost {
        words.push(format!("missing from the store: {lost}"));
    }
    words
}

/// The mark of the format was mended: nothing is missing, so only those who look at the spool itself are told.
pub(crate) const MARK_MENDED: &str =
    "the file `format` was damaged and was written anew: the seal says which format the spool has";

/// Writes it all to the log.
pub(crate) fn log(report: &OpenReport, counters: &Counters) {
    tracing::info!(
        waiting = counters.waiting,
        failed = counters.failed,
        receipts = counters.receipts,
        clean = report.clean,
        interrupted = report.interrupted,
        "The spool is open."
    );
    if report.rebuilt {
        tracing::warn!("The spool's indices disagreed with its records and were made anew.");
    }
    if report.quarantined > 0 {
        tracing::error!(count = report.quarantined, "Records could not be read and were set aside.");
    }
    if report.is_mark_mended {
        tracing::warn!(
            "The file `format` was damaged and was written anew: the seal says which format the spool has."
        );
    }
    if report.is_made_anew {
        let kept = report.kept.as_ref().map(|kept| kept.display().to_string());
        tracing::error!(kept, "The store was damaged, and was made anew of what could be read of it.");
    }
    if report.missing > 0 {
        tracing::error!(missing = report.missing, "Messages and receipts cannot be read any more.");
    }
    if let Some(lost) = report.lost {
        tracing::error!(%lost, "What was acknowledged is missing from the store.");
    }
}
