//! Tests of the demo as a whole, inside this process.
//!
//! Owns:  a short run with a real daemon and service; its output; its end by interruption.
//! Never: opens a terminal.

use std::future::{pending, ready};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;

/// What was written, shared with whoever writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const BRISK: Setting = Setting {
    outage: Duration::from_millis(700),
    answer_max: Duration::from_millis(20),
    dedup: Dedup::ByToken,
};

fn args(messages: u32, seed: u64) -> DemoArgs {
    DemoArgs { messages, seed: Some(seed), keep: false, no_color: true }
}

fn is_success(code: ExitCode) -> bool {
    format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
}

/// The folder that the headline names.
fn folder_of(text: &str) -> &Path {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("folder  ")).unwrap();
    Path::new(line)
}

#[test]
fn a_short_demo_passes_shows_every_kind_of_event_and_leaves_nothing() {
    let written = Written::default();
    let code = run_with(&args(40, 21), BRISK, Screen::plain(written.clone()), || Ok(pending()));
    let text = written.text();
    assert!(is_success(code), "{text}");
    for word in [
        "submitted",
        "link down",
        "why",
        "still down",
        "link up",
        "503",
        "no answer",
        "repeated",
        "sent",
        "failed",
    ] {
        assert!(
            text.lines().any(|line| line.get(9..).is_some_and(|rest| rest.starts_with(word))),
            "{word}\n{text}"
        );
    }
    assert!(text.contains("PASSED") && text.contains("80001"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!folder_of(&text).exists());
}

#[test]
fn an_interrupted_demo_fails_and_leaves_nothing() {
    let written = Written::default();
    let code = run_with(&args(40, 22), BRISK, Screen::plain(written.clone()), || Ok(ready(())));
    let text = written.text();
    assert!(!is_success(code), "{text}");
    assert!(text.contains("Interrupted"), "{text}");
    assert!(!folder_of(&text).exists());
}

#[test]
fn a_service_that_forgets_tokens_makes_the_demo_fail_and_the_folder_stays() {
    let written = Written::default();
    let forgetful = Setting { dedup: Dedup::Off, ..BRISK };
    let code = run_with(&args(40, 23), forgetful, Screen::plain(written.clone()), || Ok(pending()));
    let text = written.text();
    assert!(!is_success(code), "{text}");
    assert!(text.contains("FAILED") && text.contains(" doubled: "), "{text}");
    assert!(folder_of(&text).join("spool").exists(), "{text}");
    std::fs::remove_dir_all(folder_of(&text)).unwrap();
}
