//! The output of `new` outside of the workspace.

mod common;

use std::{env, fs, path::Path, process::Command};

use common::{Place, ended};

/// The arguments of `new`. Outside of the workspace `router` writes an experiment too.
const KINDS: [&str; 6] = ["experiment", "router", "expert", "residual", "task", "backbone"];

#[test]
fn an_experiment_elsewhere_finds_the_library_with_the_same_versions() {
    let place = Place::new();
    for kind in KINDS {
        let name = format!("my-{kind}");
        let (out, _) = ended(&place.run(&["new", kind, &name]), 0);
        assert!(out.ends_with(&format!("cd {name} && cargo run --release -- --smoke\n")), "{out}");
        let read = |file: &str| fs::read_to_string(place.path(&name).join(file)).unwrap();
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        let lab = manifest["dependencies"]["lab"]["path"].as_str().unwrap();
        assert!(Path::new(lab).join("src/prelude.rs").is_file(), "{lab}");
        assert!(manifest["workspace"].as_table().unwrap().is_empty(), "a workspace of its own");
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        assert!(read("Cargo.lock") == fs::read_to_string(lock).unwrap(), "{kind}: other versions");
    }
}

/// `.ci/run` runs it after clippy, which has already checked Burn.
#[test]
#[ignore = "checks the library once more, for several minutes; and Burn, if clippy has not"]
fn what_is_written_elsewhere_compiles_there() {
    let place = Place::new();
    let program = env::current_exe().unwrap();
    // TARGET/debug/deps/PROGRAM
    let target = program.ancestors().nth(3).unwrap();
    for kind in KINDS {
        let name = format!("my-{kind}");
        ended(&place.run(&["new", kind, &name]), 0);
        let mut cargo = Command::new(env::var("CARGO").unwrap_or("cargo".into()));
        cargo.args(["check", "--offline", "--tests"]).current_dir(place.path(&name));
        let output = cargo.env("CARGO_TARGET_DIR", target).output().unwrap();
        let (_, err) = ended(&output, 0);
        assert!(!err.contains("warning:"), "{kind}: {err}");
    }
}
