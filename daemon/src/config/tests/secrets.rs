//! Tests of secrets: where they may lie, and that they show nowhere.
//!
//! Owns:  headers and secret files as a whole.
//! Never: reads the environment of the process that runs it.

use secrecy::ExposeSecret;

use super::*;

fn header_from(path: &Path) -> String {
    format!("[transport.http]\nheaders = {{ \"X-Key\" = {{ file = \"{}\" }} }}\n", path.display())
}

#[test]
fn a_secret_file_that_others_can_read_is_refused_with_the_cure() {
    let folder = TempDir::new().expect("a temporary folder");
    for mode in [0o640, 0o604, 0o644, 0o620] {
        let path = secret_file(&folder, "key", "hunter2", mode);
        let (line, message, hint) = problem_of(&header_from(&path));
        assert_eq!(line, 2);
        assert!(message.contains("others can read"), "{message}");
        assert_eq!(hint, format!("chmod 600 {}", path.display()));
        let tim = format!("[transport.tim]\nsecret_key_file = \"{}\"\n", path.display());
        assert!(problem_of(&tim).2.starts_with("chmod 600 "));
    }
    for mode in [0o600, 0o400] {
        let path = secret_file(&folder, &format!("key{mode:o}"), "hunter2\n", mode);
        let config = load_text(&header_from(&path)).expect("a safe file").config;
        let value = config.transport.http.headers.get("x-key").expect("the header");
        assert_eq!(value.expose_secret(), "hunter2", "without the line end");
    }
}

#[test]
fn a_credential_of_the_service_manager_may_show_group_rights() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = secret_file(&folder, "key", "hunter2", 0o440);
    let (_keep, mut sources) = with_file(&header_from(&path));
    assert!(load(sources.clone()).is_err());
    let credentials = folder.path().as_os_str().to_owned();
    let home: std::ffi::OsString = "/home/ada".into();
    sources.environment = [("HOME", home), ("CREDENTIALS_DIRECTORY", credentials)].into_iter().collect();
    assert!(load(sources).is_ok());
}

#[test]
fn secret_files_that_hold_no_secret_are_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let huge = "x".repeat(20_000);
    for (text, part) in
        [("", "empty"), ("\n", "empty"), (huge.as_str(), "more than"), ("a\nb\n", "no header can have")]
    {
        let path = secret_file(&folder, "key", text, 0o600);
        assert!(problem_of(&header_from(&path)).1.contains(part), "{part}");
        fs::remove_file(path).expect("removed");
    }
    assert!(problem_of(&header_from(folder.path())).1.contains("not a regular file"));
}

#[test]
fn secrets_show_nowhere() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = secret_file(&folder, "key", "hunter2-file", 0o600);
    let file = format!(
        "[transport.http]\nheaders = {{ Authorization = \"Bearer hunter2-text\", X-Key = {{ file = \"{}\" }} }}\n",
        path.display()
    );
    let (_keep, mut sources) = with_file(&file);
    let variables = [("HOME", "/home/ada"), ("OUTBOXD_TRANSPORT__HTTP__HEADERS__X_TOKEN", "hunter2-env")];
    sources.environment = variables.into_iter().collect();
    let loaded = load(sources).expect("three secrets");
    assert_eq!(loaded.config.transport.http.headers.len(), 3);
    let shown = [
        format!("{:?}", loaded.config),
        format!("{loaded:#?}"),
        effective_text(&loaded),
        effective_json(&loaded).to_string(),
    ];
    for text in &shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(shown[2].matches("set (hidden)").count(), 3, "{}", shown[2]);
    assert!(shown[2].contains("OUTBOXD_TRANSPORT__HTTP__HEADERS__X_TOKEN"));
}

#[test]
fn a_bad_secret_does_not_show_in_its_error() {
    for text in [
        "[transport.http]\nheaders = { \"X-Key\" = \"hunter2\\u0000\" }\n",
        "[transport.http]\nheaders = { \"X-Key\" = [\"hunter2\"] }\n",
        "[transport.http]\nheaders = { \"X-Key\" = { fil = \"hunter2\" } }\n",
        "[transport.http]\nurl = \"https://ada:hunter2@im.example.com/\"\n",
        "[transport.http]\nurl = \"https://ada:hunter2@im example.com/\"\n",
    ] {
        let text = load_text(text).expect_err("a bad secret").to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_header_of_the_environment_replaces_that_of_the_file_whatever_its_case() {
    let (_folder, mut sources) = with_file("[transport.http]\nheaders = { X-Api-Key = \"old\" }\n");
    let variables = [("HOME", "/home/ada"), ("OUTBOXD_TRANSPORT__HTTP__HEADERS__X_API_KEY", "new")];
    sources.environment = variables.into_iter().collect();
    let headers = load(sources).expect("a header").config.transport.http.headers;
    assert_eq!(headers.len(), 1);
    assert_eq!(headers.get("x-api-key").expect("the header").expose_secret(), "new");
}

#[test]
fn one_header_in_two_spellings_is_refused() {
    let (_, message, _) = problem_of("[transport.http]\nheaders = { X-Key = \"a\", x-key = \"b\" }\n");
    assert!(message.contains("a second time") && message.contains("line 2"), "{message}");
}

#[test]
fn a_syntax_error_in_headers_does_not_show_the_line() {
    for text in [
        "[transport.http]\nheaders = { \"Authorization\" = \"Bearer hunter2 }\n",
        "[transport.http.headers]\nAuthorization = Bearer hunter2\n",
        "[transport.http]\nheaders = {\n  \"Authorization\" = hunter2,\n}\n",
    ] {
        let (_, message, _) = problem_of(text);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_secret_in_the_place_of_its_files_name_is_not_shown() {
    for secret in ["hunter2", "Bearer hunter2", "hunter2/and+more=="] {
        let header = format!("[transport.http]\nheaders = {{ \"X-Key\" = {{ file = \"{secret}\" }} }}\n");
        let key = format!("[transport.tim]\nsecret_key_file = \"{secret}\"\n");
        for text in [header, key] {
            let (_, message, hint) = problem_of(&text);
            assert!(message.contains("is not there") && hint.contains("its name"), "{message} ({hint})");
            assert!(!format!("{message} {hint}").contains("hunter2"), "{message} ({hint})");
        }
    }
}
