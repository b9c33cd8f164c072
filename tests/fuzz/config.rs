//! Configuration: what loads keeps every limit, what it prints loads again, and a secret shows in neither.
//!
//! Owns:  a secret behind each text, and an independent look at the limits.
//! Never: starts a daemon.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outboxd::config::{
    ConfigErrors, Environment, FileChoice, Flags, Loaded, Sources, User, effective_json, effective_text, load,
};
use tempfile::TempDir;

const DEFAULTS: &str = include_str!("../../config/outboxd.toml");

/// Found nowhere else.
const SECRET: &str = "hunter2-7f3a";

pub(crate) const WORDS: &[&str] = &[
    "\n",
    "[",
    "]",
    "[[",
    "]]",
    "=",
    "\"",
    "'",
    "{",
    "}",
    ",",
    "#",
    ".",
    "\\u0000",
    "\"\"\"",
    "true",
    "-1",
    "nan",
    "inf",
    "0x7fffffffffffffff",
    "1979-05-27T07:32:00Z",
    "\n[spool]\n",
    "\n[retry]\n",
    "\n[classes]\n",
    "\n[delivery]\n",
    "\n[link]\n",
    "\n[transport]\nkind = \"http\"\n",
    "\n[transport.http]\nurl = \"http://h/\"\n",
    "\n[transport.tim]\n",
    "\n[transport.tim.accounts.a]\n",
    "\n[control]\n",
    "\n[control.roles]\n",
    "\n[log]\n",
    "initial = \"10ms\"\n",
    "max = \"9ms\"\n",
    "ttl = \"366d\"\n",
    "max_bytes = \"1TiB\"\n",
    "80003 = \"auth\"\n",
    "mode = \"0777\"\n",
    "headers = { Authorization = \"",
    "level = \"trace\"\n",
    "concurrency = 0\n",
    "multiplier = 1e400\n",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let uncommented: String =
        DEFAULTS.lines().map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
    let http = "[transport]\nkind = \"http\"\n[transport.http]\nurl = \"https://h/x\"\ndedup_window = \"10m\"\n[retry]\ninitial = \"20ms\"\nmax = \"100ms\"\n";
    let roles = "[control]\nmode = \"0666\"\n[control.roles]\nread = [\"user:root\", \"group:root\"]\n[classes]\n80003 = \"permanent_content\"\n";
    [DEFAULTS, &uncommented, http, roles, ""].map(|text| text.as_bytes().to_vec()).into()
}

fn load_bytes(bytes: &[u8]) -> Result<Loaded, ConfigErrors> {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = FOLDER.get_or_init(|| TempDir::new().expect("a folder"));
    let path: PathBuf = folder.path().join(format!("{}.toml", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&path, bytes).expect("the file");
    let environment: Environment =
        [("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")].into_iter().collect();
    let file = FileChoice::Named(path.clone());
    let loaded = load(Sources { file, flags: Flags::default(), environment, user: User::Other });
    let _ = std::fs::remove_file(&path);
    loaded
}

pub(crate) fn check(data: &[u8]) {
    match load_bytes(data) {
        Err(errors) => check_errors(data, &errors),
        Ok(loaded) => check_limits(&loaded),
    }
    // A text over several lines may take in whatever follows it, and is then a value like any other.
    let takes_all = [&b"\"\"\""[..], b"'''"].iter().any(|mark| data.windows(3).any(|three| three == *mark));
    if !takes_all {
        let tail = match data.len() % 4 {
            0 => format!("\n[transport.http.headers]\nX-Key = \"{SECRET}\"\n"),
            1 => format!("\n[transport.http.headers]\nX-Key = \"{SECRET}\n"),
            2 => format!("\n[transport.http.headers]\nX-Key = {SECRET}\n"),
            _ => format!("\n[transport.http]\nheaders = {{\n  \"X-Key\" = {SECRET},\n}}\n"),
        };
        let (shown, debug) = match load_bytes(&[data, tail.as_bytes()].concat()) {
            Ok(loaded) => {
                (format!("{}{}", effective_text(&loaded), effective_json(&loaded)), format!("{loaded:?}"))
            }
            Err(errors) => (errors.to_string(), format!("{errors:?}")),
        };
        assert!(!shown.contains(SECRET) && !debug.contains(SECRET), "the secret shows: {shown}");
    }
}

fn check_errors(data: &[u8], errors: &ConfigErrors) {
    assert!(!errors.problems().is_empty(), "refused without a reason");
    assert!(errors.problems().len() <= outboxd::config::PROBLEMS_MAX, "{} problems", errors.problems().len());
    let lines = data.split(|byte| *byte == b'\n').count();
    for problem in errors.problems() {
        let line = problem.line_and_column().map_or(1, |(line, _)| line);
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {problem}");
    }
}

fn check_limits(loaded: &Loaded) {
    let config = &loaded.config;
    let least = Duration::from_millis(10);
    for (name, duration) in [
        ("retry.initial", config.retry.initial),
        ("retry.max", config.retry.max),
        ("retry.ttl", config.retry.ttl),
        ("retry.online_only_ttl", config.retry.online_only_ttl),
        ("delivery.timeout", config.delivery.timeout),
        ("link.probe_initial", config.link.probe_initial),
        ("link.probe_max", config.link.probe_max),
        ("transport.http.timeout", config.transport.http.timeout),
        ("spool.sent_retention", config.spool.sent_retention),
        ("spool.failed_retention", config.spool.failed_retention),
    ] {
        assert!(duration >= least, "{name} is {duration:?}");
    }
    assert!(config.retry.initial <= config.retry.max, "{:?}", config.retry);
    assert!(config.link.probe_initial <= config.link.probe_max, "{:?}", config.link);
    assert!(config.retry.multiplier.is_finite() && config.retry.multiplier >= 1.0, "{:?}", config.retry);
    assert!((0.0..=1.0).contains(&config.retry.jitter), "{:?}", config.retry);
    assert!(config.retry.ttl <= Duration::from_secs(365 * 24 * 3600), "{:?}", config.retry);
    assert!(config.delivery.concurrency >= 1);
    assert!(config.control.socket.as_os_str().len() <= 107, "{}", config.control.socket.display());
    assert!(config.control.mode <= 0o777 && config.control.dir_mode <= 0o7777, "{:?}", config.control);
    for path in [&config.spool.path, &config.control.socket] {
        assert!(path.is_absolute() && path != Path::new("/"), "{}", path.display());
    }
    if config.transport.http.headers.is_empty() {
        let again = load_bytes(effective_text(loaded).as_bytes()).expect("what it prints loads");
        assert_eq!(format!("{:?}", again.config), format!("{config:?}"), "what it prints is something else");
    }
}
