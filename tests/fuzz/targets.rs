//! The targets of `fuzz/`, compiled by a stable compiler and without libFuzzer, so that none falls behind what it checks.
//!
//! Owns:  a stand-in for libFuzzer's macro; that each target is declared and finds the crates that it names.
//! Never: knows a property, needs a C++ compiler.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What libFuzzer's macro makes an entry point of, as a plain function.
macro_rules! fuzz_target {
    (|$data:ident: &[u8]| $check:expr) => {
        pub(crate) fn run($data: &[u8]) {
            $check
        }
    };
}
pub(crate) use fuzz_target;

/// Makes a module of each target; its `no_main`, and the name of its check's module, are meant for a program of its own.
macro_rules! targets {
    ($($name:ident in $path:literal;)*) => {
        $(
            #[path = $path]
            #[allow(unused_attributes, clippy::module_inception)]
            pub(crate) mod $name;
        )*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    config in "../../fuzz/fuzz_targets/config.rs";
    record in "../../fuzz/fuzz_targets/record.rs";
    request in "../../fuzz/fuzz_targets/request.rs";
    routing in "../../fuzz/fuzz_targets/routing.rs";
    tim in "../../fuzz/fuzz_targets/tim.rs";
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(path: &str) -> toml::Table {
    std::fs::read_to_string(project().join(path)).unwrap().parse().unwrap()
}

#[test]
fn every_target_is_declared_compiled_and_run() {
    let compiled: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let declared = manifest("fuzz/Cargo.toml")["bin"].as_array().unwrap().clone();
    let declared = declared.iter().map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    let files = std::fs::read_dir(project().join("fuzz/fuzz_targets")).unwrap();
    let there = files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(compiled, declared, "of fuzz/Cargo.toml");
    assert_eq!(compiled, there.collect(), "in fuzz/fuzz_targets");
}

#[test]
fn every_crate_that_a_target_names_is_one_of_its_dependencies() {
    let daemon = manifest("daemon/Cargo.toml");
    let known =
        ["dependencies", "dev-dependencies"].iter().flat_map(|table| daemon[*table].as_table().unwrap());
    let known: BTreeSet<&String> = known.map(|(name, _)| name).collect();
    let own = manifest("fuzz/Cargo.toml")["dependencies"].as_table().unwrap().clone();
    for target in NAMES {
        let text = std::fs::read_to_string(project().join(format!("tests/fuzz/{target}.rs"))).unwrap();
        let words: BTreeSet<&str> = text
            .split("::")
            .map(|before| before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap())
            .collect();
        for name in &known {
            let is_named = words.contains(name.replace('-', "_").as_str());
            assert!(!is_named || own.contains_key(*name), "{target} names {name}: fuzz/Cargo.toml lacks it");
        }
    }
}
