//! Rules of style that a machine can check.
//!
//! Owns:  headers of source files, one door for each dependency, no unfinished business.
//! Never: starts anything.

use std::path::{Path, PathBuf};

/// A source file, with its path from the project's root.
struct Source {
    path: String,
    text: String,
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for file in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = file.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every source file of the packages, and of their tests if `also` names folders of such.
fn sources(also: &[&str]) -> Vec<Source> {
    let root = project();
    let mut files = Vec::new();
    collect(&root.join("daemon/src"), &mut files);
    for package in std::fs::read_dir(root.join("crates")).unwrap() {
        collect(&package.unwrap().path().join("src"), &mut files);
    }
    for folder in also {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() > 80, "only {} source files were found", files.len());
    files
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(&root).unwrap().display().to_string(),
        })
        .collect()
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.find("//").map_or(line, |comment| &line[..comment])
}

#[test]
fn every_source_file_says_what_it_is_what_it_owns_and_what_it_never_does() {
    let mut bare = Vec::new();
    for Source { path, text } in sources(&["tests", "crates/outbox/tests", "bench", "fuzz/fuzz_targets"]) {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let has = |start: &str| header.iter().any(|line| line.starts_with(start));
        let first = header.first().is_some_and(|line| line.starts_with("//! ") && line.len() > 10);
        if !(first && has("//! Owns:") && has("//! Never:")) {
            bare.push(path);
        }
    }
    assert!(bare.is_empty(), "without the three parts of a header: {bare:#?}");
}

#[test]
fn every_dependency_with_a_door_is_used_behind_it_alone() {
    // What stands in code, and the files that may have it.
    let doors = [
        ("sled::", "crates/outbox/src/engine.rs"),
        ("bincode::", "crates/outbox/src/record.rs"),
        ("backoff::", "crates/outbox/src/retry.rs"),
        ("tracing_subscriber::", "daemon/src/log.rs"),
        ("reqwest::", "daemon/src/transport/"),
    ];
    let sources = sources(&[]);
    for (word, door) in doors {
        let used: Vec<&Source> = sources
            .iter()
            .filter(|source| source.text.lines().any(|line| code(line).contains(word)))
            .collect();
        assert!(!used.is_empty(), "nobody uses {word}: is this rule still right?");
        for Source { path, .. } in used {
            assert!(path.starts_with(door), "{path} uses {word}, whose door is {door}");
        }
    }
}

#[test]
fn nothing_is_left_unfinished_in_the_sources() {
    let words = ["TODO", "FIXME", "XXX", "HACK"];
    let mut found = Vec::new();
    for Source { path, text } in sources(&[]) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_store_and_the_engine_know_nothing_of_tencent() {
    let words = ["outbox_tim", "V2Tim", "reSendMessage", "tencent"];
    for Source { path, text } in sources(&[]) {
        if !path.starts_with("crates/outbox/") && !path.starts_with("daemon/src/engine/") {
            continue;
        }
        for line in text.lines() {
            assert!(!words.iter().any(|word| code(line).contains(word)), "{path}: {line}");
        }
    }
}
