//! Tests of the configuration as a whole: sources in, typed values or problems out.
//!
//! Owns:  the comparison of `config/` with the code; helpers for the tests of secrets below.
//! Never: reads the environment of the process that runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outbox::Class;
use tempfile::TempDir;

use super::given::Kind;
use super::table::{OPTIONS, Opt, Preset};
use super::*;

mod change;
mod secrets;

/// A person with a home directory, no file, no flags.
fn nobody() -> Sources {
    let environment = [("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")].into_iter().collect();
    Sources { file: FileChoice::Nothing, flags: Flags::default(), environment, user: User::Other }
}

fn with_variables(variables: &[(&str, &str)]) -> Sources {
    let base = [("HOME", "/home/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")];
    Sources { environment: base.iter().chain(variables).copied().collect(), ..nobody() }
}

/// A file in a folder of its own; the folder goes with the guard.
fn with_file(text: &str) -> (TempDir, Sources) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("outboxd.toml");
    fs::write(&path, text).expect("the file is written");
    (folder, Sources { file: FileChoice::Named(path), ..nobody() })
}

fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
    let (_folder, sources) = with_file(text);
    load(sources)
}

fn problems_of(text: &str) -> Vec<ConfigError> {
    load_text(text).expect_err("a problem").problems().to_vec()
}

/// The only problem of a text: its line, message and hint.
fn problem_of(text: &str) -> (usize, String, String) {
    let problems = problems_of(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let line = problems[0].line_and_column().map_or(0, |(line, _)| line);
    (line, problems[0].to_string(), problems[0].hint().unwrap_or_default())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file with a secret and these permissions.
fn secret_file(folder: &TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("the secret is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
    path
}

/// Everything of a configuration, for comparison.
fn everything(config: &Config) -> String {
    format!("{config:#?}")
}

#[test]
fn the_file_of_defaults_is_the_one_that_the_code_generates() {
    let path = repository().join("config/outboxd.toml");
    let stored = fs::read_to_string(&path).expect("config/outboxd.toml");
    assert_eq!(
        stored,
        default_file_text(),
        "write it anew: outboxd print-config --default > config/outboxd.toml"
    );
}

#[test]
fn loading_the_file_of_defaults_changes_nothing() {
    let loaded = load_text(&default_file_text()).expect("the generated file");
    let without = load(nobody()).expect("no file");
    assert_eq!(everything(&loaded.config), everything(&without.config));
}

#[test]
fn the_file_of_defaults_loads_with_every_comment_mark_of_an_option_removed() {
    let folder = TempDir::new().expect("a temporary folder");
    let secret = secret_file(&folder, "tim.key", "k", 0o600);
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(option) if !option.starts_with(' ') && !option.starts_with("host") => option.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = default_file_text().lines().map(|line| uncommented(line) + "\n").collect();
    let secret = secret.to_str().expect("UTF-8");
    let text = text.replace("/etc/outbox/tim.key", secret).replace("/etc/outbox/ca.pem", secret);
    let loaded = load_text(&text).expect("every example is valid");
    assert_eq!(loaded.config.transport.tim.accounts.len(), 1);
    assert_eq!(loaded.config.classes.get(&80003), Some(&Class::PermanentContent));
}

#[test]
fn every_default_of_the_table_fits_its_option() {
    for opt in OPTIONS.iter().filter(|opt| !opt.segments().any(|segment| segment == "*")) {
        if let Preset::Value(text) = opt.preset {
            let value = file::value_of_preset(text).expect(text);
            let mut config = Config::blank(PathBuf::new(), PathBuf::new());
            let given = Given { name: None, value: &value, base: None, credentials: None };
            assert_eq!((opt.set)(&mut config, &given), Ok(()), "{opt:?}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = Config::defaults("/s".into(), "/s.sock".into());
    assert_eq!(config.spool.max_bytes, 4 << 30);
    assert_eq!(config.spool.failed_retention, Duration::from_secs(30 * 86_400));
    assert_eq!(config.retry.max_attempts, None);
    assert_eq!(config.retry.unknown_max_attempts.get(), 5);
    assert_eq!((config.retry.initial, config.retry.max), (Duration::from_secs(1), Duration::from_secs(300)));
    assert_eq!((config.control.mode, config.control.dir_mode), (0o600, 0o700));
    assert_eq!(config.transport.kind, TransportKind::App);
    assert_eq!(config.transport.http.timeout, Duration::from_secs(30));
    assert_eq!(config.spool.path, Path::new("/s"));
    assert_eq!(config.control.socket, Path::new("/s.sock"));
}

#[test]
fn every_example_loads() {
    let folder = TempDir::new().expect("a temporary folder");
    let token = secret_file(&folder, "token", "Bearer x\n", 0o600);
    let mut seen = 0;
    for entry in fs::read_dir(repository().join("config/examples")).expect("config/examples") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("an example");
        let text = text.replace("/etc/outbox/token", token.to_str().expect("UTF-8"));
        let loaded = load_text(&text);
        assert!(loaded.is_ok(), "{}: {}", path.display(), loaded.expect_err("problems"));
        seen += 1;
    }
    assert!(seen >= 2, "{seen} examples");
}

/// Another value than the default for an option, as text of an environment variable.
fn other_value(opt: &Opt, folder: &Path) -> String {
    let existing = folder.join("secret");
    match (opt.kind, opt.key) {
        (_, "*") => "auth".into(),
        (_, "headers.*") => "Bearer x".into(),
        (_, "probe") => "tcp://h:1".into(),
        (_, "url") => "http://h/".into(),
        (_, "jitter") => "0.25".into(),
        (_, "kind") => "http".into(),
        (_, "level") => "debug".into(),
        (Kind::Words(words), _) => words().last().expect("a word").to_string(),
        (Kind::Count, _) => "7".into(),
        (Kind::Number, _) => "3.5".into(),
        (Kind::Switch, _) => "false".into(),
        (Kind::Path, "path" | "socket") => "/tmp/elsewhere".into(),
        (Kind::Path, _) => existing.to_str().expect("UTF-8").into(),
        (Kind::Duration, _) => "3s".into(),
        (Kind::Bytes, _) => "2MiB".into(),
        (Kind::Mode, _) => "0711".into(),
        (Kind::Principals, _) => "user:ada, group:chat".into(),
        (Kind::Text | Kind::Address, _) => "x.example".into(),
    }
}

#[test]
fn every_option_can_be_set_in_the_environment() {
    let folder = TempDir::new().expect("a temporary folder");
    secret_file(&folder, "secret", "s", 0o600);
    let plain = everything(&load(nobody()).expect("defaults").config);
    for opt in OPTIONS.iter() {
        let free = if opt.section == "classes" { "80003" } else { "NAME" };
        let variable = names::variable_of(opt).replace("NAME", free);
        let value = other_value(opt, folder.path());
        let mut variables = vec![(variable.as_str(), value.as_str())];
        if opt.key == "kind" {
            variables.push(("OUTBOXD_TRANSPORT__HTTP__URL", "http://h/"));
        }
        let loaded =
            load(with_variables(&variables)).unwrap_or_else(|errors| panic!("{variable}={value}: {errors}"));
        assert_ne!(everything(&loaded.config), plain, "{variable}={value} changes nothing");
        let written = Origin::Written(Place::Environment(variable.clone()));
        assert!(loaded.origins.iter().any(|(_, setting)| setting.origin == written), "{variable}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let (line, message, hint) = problem_of("[spool]\nmax_messages = 5\nmax_mesage_bytes = 3\n");
    assert_eq!(line, 3);
    assert!(message.contains("spool.max_mesage_bytes"), "{message}");
    assert!(hint.contains("`max_message_bytes`"), "{hint}");
}

#[test]
fn an_unknown_section_is_named_with_its_line_and_the_nearest_one() {
    let (line, message, hint) = problem_of("\n[delivry]\ntimeout = \"3s\"\n");
    assert_eq!(line, 2);
    assert!(message.contains("unknown section `delivry`"), "{message}");
    assert!(hint.contains("`delivery`"), "{hint}");
}

#[test]
fn a_key_in_the_wrong_section_is_told_its_own() {
    let (_, _, hint) = problem_of("[spool]\nttl = \"3s\"\n");
    assert!(hint.contains("[retry]"), "{hint}");
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_one() {
    let errors = load(with_variables(&[("OUTBOXD_SPOOL__PTH", "/x")])).expect_err("an unknown variable");
    let text = errors.to_string();
    assert!(text.contains("`OUTBOXD_SPOOL__PTH`") && text.contains("`OUTBOXD_SPOOL__PATH`"), "{text}");
    assert!(load(with_variables(&[("OUTBOXD_COMMENT", "x"), ("OUTBOX_SOCKET", "y")])).is_ok());
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let origin = |loaded: &Loaded| loaded.origins.get("log.level").cloned();
    let (_folder, mut sources) = with_file("[log]\nlevel = \"warn\"\n");
    let file = load(sources.clone()).expect("file");
    assert_eq!(file.config.log.level, "warn");
    assert!(matches!(origin(&file), Some(Origin::Written(Place::File { line: 2, .. }))));

    sources.environment = [("HOME", "/home/ada"), ("OUTBOXD_LOG__LEVEL", "debug")].into_iter().collect();
    let environment = load(sources.clone()).expect("environment");
    assert_eq!(environment.config.log.level, "debug");
    assert_eq!(origin(&environment), Some(Origin::Written(Place::Environment("OUTBOXD_LOG__LEVEL".into()))));

    sources.flags.log_level = Some("trace".into());
    let flag = load(sources).expect("flag");
    assert_eq!(flag.config.log.level, "trace");
    assert_eq!(origin(&flag), Some(Origin::Written(Place::Flag("--log-level"))));

    let default = load(nobody()).expect("default");
    assert_eq!(
        (default.config.log.level.as_str(), origin(&default)),
        ("info", Some(Origin::Written(Place::Default)))
    );
}

#[test]
fn every_flag_reaches_its_option() {
    let flags = Flags {
        spool: Some("/s".into()),
        socket: Some("/c.sock".into()),
        log_level: Some("error".into()),
        log_format: Some("json".into()),
    };
    let config = load(Sources { flags, ..nobody() }).expect("flags").config;
    assert_eq!((config.spool.path, config.control.socket), ("/s".into(), "/c.sock".into()));
    assert_eq!((config.log.level.as_str(), config.log.format), ("error", LogFormat::Json));
}

#[test]
fn places_follow_the_user() {
    let person = load(nobody()).expect("a person").config;
    assert_eq!(person.spool.path, Path::new("/home/ada/.local/state/outbox"));
    assert_eq!(person.control.socket, Path::new("/run/user/7/outbox/outbox.sock"));
    let root = load(Sources { user: User::Root, ..nobody() }).expect("root").config;
    assert_eq!(root.spool.path, Path::new("/var/lib/outbox"));
    assert_eq!(root.control.socket, Path::new("/run/outbox/outbox.sock"));
    let bare = Sources { environment: Environment::default(), ..nobody() };
    assert_eq!(load(bare.clone()).expect_err("no home").problems(), [ConfigError::NoHome]);
    let flags = Flags { spool: Some("/data/spool".into()), ..Flags::default() };
    let beside = load(Sources { flags, ..bare }).expect("a spool is enough").config;
    assert_eq!(beside.control.socket, Path::new("/data/run/outbox.sock"));
}

#[test]
fn a_file_at_the_default_place_is_read_and_may_be_missing() {
    let home = TempDir::new().expect("a temporary folder");
    let environment: Environment = [("HOME", home.path())].into_iter().collect();
    let sources = Sources { file: FileChoice::IfThere, environment, ..nobody() };
    assert_eq!(load(sources.clone()).expect("no file").file, None);
    let path = home.path().join(".config/outbox/outboxd.toml");
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(&path, "[delivery]\nconcurrency = 3\n").expect("the file is written");
    let loaded = load(sources).expect("the file");
    assert_eq!((loaded.file, loaded.config.delivery.concurrency), (Some(path), 3));
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = TempDir::new().expect("a temporary folder");
    let of = |path: PathBuf| {
        let sources = Sources { file: FileChoice::Named(path), ..nobody() };
        load(sources).expect_err("an unusable file").problems()[0].clone()
    };
    assert!(matches!(of(folder.path().join("none.toml")), ConfigError::NoFile { .. }));
    assert!(matches!(of(folder.path().to_owned()), ConfigError::NotAFile { .. }));
    let latin = folder.path().join("latin.toml");
    fs::write(&latin, b"[log]\nlevel = \"\xe9\"\n").expect("written");
    assert_eq!(of(latin).line_and_column(), Some((2, 10)));
    let huge = folder.path().join("huge.toml");
    fs::write(&huge, vec![b'#'; (1 << 20) + 1]).expect("written");
    assert!(matches!(of(huge), ConfigError::TooLarge { .. }));
}

#[test]
fn a_syntax_error_shows_the_line_and_a_caret() {
    let (line, message, _) = problem_of("[spool]\npath = 3 4\n");
    assert_eq!(line, 2);
    assert!(message.contains("path = 3 4") && message.contains('^'), "{message}");
}

#[test]
fn several_problems_are_reported_at_once_up_to_a_limit() {
    let two = problems_of("[spool]\nmax_messages = 0\n[retry]\njitter = 2.0\n");
    assert_eq!(
        two.iter().map(|p| p.line_and_column().map(|(line, _)| line)).collect::<Vec<_>>(),
        [Some(2), Some(4)]
    );
    let many: String = (0..50).map(|n| format!("unknown{n} = 1\n")).collect();
    let errors = load_text(&many).expect_err("problems");
    assert_eq!((errors.problems().len(), errors.more()), (PROBLEMS_MAX, 30));
    assert!(errors.to_string().ends_with("and 30 more"));
}

#[test]
fn values_outside_their_bounds_are_refused_with_their_line() {
    for (option, part) in [
        ("[retry]\njitter = 1.5", "between 0 and 1"),
        ("[retry]\njitter = -0.1", "between 0 and 1"),
        ("[retry]\njitter = nan", "must be a number"),
        ("[retry]\nmultiplier = 1.0", "above 1"),
        ("[retry]\nmultiplier = 10.5", "at most 10"),
        ("[retry]\nmax_attempts = -1", "from 0"),
        ("[retry]\nttl = \"366d\"", "at most 365d"),
        ("[retry]\nttl = \"999ms\"", "at least 1s"),
        ("[retry]\ninitial = \"5ms\"", "at least 10ms"),
        ("[retry]\ninitial = \"5\"", "no unit"),
        ("[retry]\ninitial = 5", "needs a unit"),
        ("[retry]\ninitial = \"\"", "is empty"),
        ("[delivery]\nconcurrency = 0", "1 to 1024"),
        ("[delivery]\nconcurrency = 1025", "1 to 1024"),
        ("[delivery]\nconcurrency = \"8\"", "whole number"),
        ("[delivery]\norder = \"converstion\"", "conversation, none"),
        ("[spool]\nmax_bytes = \"4GB\"", "not a size"),
        ("[spool]\nmax_message_bytes = \"65MiB\"", "at most 64MiB"),
        ("[spool]\npath = \"~/spool\"", "not expanded"),
        ("[link]\nprobe = \"im.example.com\"", "not an address"),
        ("[link]\nwatch = \"yes\"", "true or false"),
        ("[control]\nmode = 600", "octal text in quotes"),
        ("[control]\nmode = \"0060\"", "leave the owner"),
        ("[control]\ndir_mode = \"0777\"", "everybody"),
        ("[control.roles]\nread = [\"ada\"]", "neither a user nor a group"),
        ("[control.roles]\nread = \"user:ada\"", "must be a list"),
        ("[classes]\n80003 = \"uncertain\"", "one of"),
        ("[classes]\n80003 = \"ok\"", "one of"),
        ("[classes]\nabc = \"auth\"", "not a result code"),
        ("[log]\nlevel = \"inof\"", "not a log level"),
        ("[transport.http]\nurl = \"im.example.com\"", "http"),
        ("[transport.http]\nca_file = \"/does/not/exist.pem\"", "cannot be read"),
        ("[transport.http]\nheaders = { \"a b\" = \"x\" }", "not a name"),
        ("[transport.http]\nheaders = { \"Content-Length\" = \"1\" }", "sets itself"),
        ("[transport.tim]\nregion = \"mars\"", "one of"),
        ("[transport.tim.accounts.default]\nrate = 1", "second time"),
        ("[transport]\nhttp = 3", "is a section"),
    ] {
        let (line, message, _) = problem_of(option);
        assert_eq!(line, 2, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn zero_is_a_window_but_not_a_delay() {
    let config = load_text("[transport.http]\ndedup_window = \"0s\"\n").expect("no window").config;
    assert_eq!(config.transport.http.dedup_window, Duration::ZERO);
    assert!(load_text("[transport.http]\ndedup_window = \"5ms\"\n").is_err());
    assert!(load_text("[delivery]\ntimeout = \"0s\"\n").is_err());
}

#[test]
fn an_initial_delay_follows_its_maximum_down() {
    let config =
        load_text("[retry]\nmax = \"200ms\"\n[link]\nprobe_max = \"50ms\"\n").expect("maxima alone").config;
    assert_eq!(
        (config.retry.initial, config.retry.max),
        (Duration::from_millis(200), Duration::from_millis(200))
    );
    assert_eq!(config.link.probe_initial, Duration::from_millis(50));
    let loaded = load_text("[retry]\nmax = \"200ms\"\n").expect("a maximum alone");
    assert_eq!(loaded.origins.get("retry.initial"), Some(&Origin::Follows("retry.max")));
}

#[test]
fn a_maximum_follows_its_initial_delay_up() {
    let config = load_text("[retry]\ninitial = \"10m\"\n").expect("an initial delay alone").config;
    assert_eq!(config.retry.max, Duration::from_secs(600));
}

#[test]
fn a_maximum_below_a_given_initial_delay_is_an_error() {
    let (line, message, hint) = problem_of("[retry]\nmax = \"1s\"\ninitial = \"2s\"\n");
    assert_eq!(line, 2);
    assert!(message.contains("`retry.max` is 1s, below `retry.initial` with 2s"), "{message}");
    assert!(hint.contains("retry.initial"), "{hint}");
    assert!(load_text("[link]\nprobe_max = \"1s\"\nprobe_initial = \"1s\"\n").is_ok());
    assert!(load_text("[link]\nprobe_max = \"1s\"\nprobe_initial = \"2s\"\n").is_err());
}

#[test]
fn the_http_timeout_follows_that_of_delivery() {
    let follows = load_text("[delivery]\ntimeout = \"7s\"\n").expect("delivery alone").config;
    assert_eq!(follows.transport.http.timeout, Duration::from_secs(7));
    let own =
        load_text("[delivery]\ntimeout = \"7s\"\n[transport.http]\ntimeout = \"3s\"\n").expect("both").config;
    assert_eq!(own.transport.http.timeout, Duration::from_secs(3));
}

#[test]
fn http_needs_a_url() {
    let (line, message, hint) = problem_of("[transport]\nkind = \"http\"\n");
    assert_eq!(line, 2);
    assert!(message.contains("no url") && hint.contains("[transport.http] url"), "{message} {hint}");
    let loaded = load_text("[transport]\nkind = \"http\"\nhttp.url = \"https://im.example.com/send\"\n");
    assert_eq!(loaded.expect("with a url").config.transport.kind, TransportKind::Http);
}

#[test]
fn tim_needs_accounts_that_can_send() {
    let errors = load_text("[transport]\nkind = \"tim\"\n").expect_err("no account").to_string();
    for key in ["host", "sdk_app_id", "identifier", "secret_key_file"] {
        assert!(errors.contains(&format!("the account default has no {key}")), "{errors}");
    }
    assert!(errors.contains("write it in [transport.tim]"), "{errors}");

    let folder = TempDir::new().expect("a temporary folder");
    let secret = secret_file(&folder, "tim.key", "k", 0o600);
    let text = format!(
        "[transport]\nkind = \"tim\"\n[transport.tim]\nhost = \"im.example:8443\"\nsdk_app_id = 1400000000\n\
         identifier = \"administrator\"\nsecret_key_file = {secret:?}\n[transport.tim.accounts.bot]\nrate = 10\n"
    );
    let tim = load_text(&text).expect("a whole account").config.transport.tim;
    assert_eq!(tim.logins["default"].base_url, "https://im.example:8443");
    assert_eq!((tim.logins["default"].rate, tim.logins["bot"].rate), (200, 10));
    assert_eq!((tim.dedup_window.as_secs(), tim.group_dedup_window.as_secs()), (120, 300));
    let (_, message, _) = problem_of("[transport.tim]\ndedup_window = \"3m\"\n");
    assert!(message.contains("at most 2m"), "{message}");
}

#[test]
fn a_socket_path_of_more_than_107_bytes_is_refused_by_name() {
    let path = |bytes: usize| format!("/{}", "s".repeat(bytes - 1));
    assert!(load_text(&format!("[control]\nsocket = \"{}\"\n", path(107))).is_ok());
    let (line, message, _) = problem_of(&format!("[control]\nsocket = \"{}\"\n", path(108)));
    assert_eq!(line, 2);
    assert!(message.contains(&path(108)) && message.contains("108 bytes"), "{message}");
    let deep = path(120);
    let variables = [("XDG_RUNTIME_DIR", deep.as_str())];
    assert!(load(with_variables(&variables)).is_err(), "the default place is checked, too");
}

#[test]
fn relative_paths_of_the_file_start_at_its_folder() {
    let (folder, sources) = with_file("[spool]\npath = \"spool\"\n");
    assert_eq!(load(sources).expect("a relative path").config.spool.path, folder.path().join("spool"));
    let variables = [("OUTBOXD_SPOOL__PATH", "spool")];
    assert_eq!(load(with_variables(&variables)).expect("a variable").config.spool.path, Path::new("spool"));
}

#[test]
fn roles_name_users_and_groups() {
    let config = load_text("[control.roles]\nread = [\"user:ada\", \"group:chat\"]\n").expect("roles").config;
    assert_eq!(config.control.roles.read, [Principal::User("ada".into()), Principal::Group("chat".into())]);
}

#[test]
fn print_config_says_where_each_value_came_from() {
    let (_folder, mut sources) = with_file("[retry]\nmax = \"500ms\"\n[classes]\n80003 = \"auth\"\n");
    sources.flags.spool = Some("/s".into());
    let path = match &sources.file {
        FileChoice::Named(path) => path.display().to_string(),
        other => panic!("{other:?}"),
    };
    let text = effective_text(&load(sources).expect("a file"));
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("path = \"/s\"").ends_with("# flag --spool"), "{text}");
    assert!(line("max = \"500ms\"").ends_with(&format!("# file {path}:2")), "{text}");
    assert!(line("initial = \"500ms\"").ends_with("# follows retry.max"), "{text}");
    assert!(line("80003 = \"auth\"").ends_with(&format!("# file {path}:4")), "{text}");
    assert!(line("concurrency = 32").ends_with("# default"), "{text}");
}

#[test]
fn print_config_without_secrets_is_a_file_that_loads_to_the_same() {
    let loaded =
        load_text("[retry]\nmax = \"500ms\"\n[transport.tim.accounts.\"b c\"]\nrate = 3\n").expect("a file");
    let again = load_text(&effective_text(&loaded)).expect("its own output");
    assert_eq!(everything(&again.config), everything(&loaded.config));
}
