//! The documentation of the library is true for all of its items.

mod common;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use common::{Place, ended};
use serde_json::Value;

/// All routers by name.
fn routers(place: &Place) -> BTreeSet<String> {
    let (out, _) = ended(&place.run(&["list", "routers", "--json"]), 0);
    let list: Value = serde_json::from_str(&out).unwrap();
    let name = |entry: &Value| entry["name"].as_str().unwrap().to_string();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_suite_of_routers_has_all_of_them() {
    let suite: toml::Table = include_str!("../suites/routers.toml").parse().unwrap();
    let methods = suite["method"].as_array().unwrap().iter();
    let router = |method: &toml::Value| {
        let router = method.get("moe")?.get("router")?;
        router.get("kind").unwrap_or(router).as_str().map(str::to_string)
    };
    assert_eq!(methods.filter_map(router).collect::<BTreeSet<_>>(), routers(&Place::new()));
}

/// The output of `docs --check` in a workspace.
fn docs_are_current(root: &Path, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    ended(&command.args(["docs", "--check"]).current_dir(root).output().unwrap(), code).0
}

#[test]
fn pages_that_are_made_are_current() {
    let out = docs_are_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), 0);
    assert_eq!(out, "");
}

#[test]
fn a_page_that_is_not_current_is_found() {
    let (root, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Place::new());
    for part in ["crates/routers/src", "crates/routers/fixtures", "docs"] {
        fs::create_dir_all(folder.path(part)).unwrap();
        for entry in fs::read_dir(root.join(part)).unwrap().flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.path(part).join(entry.file_name())).unwrap();
            }
        }
    }
    // The links of this page refer to files that are not copied.
    let _ = fs::remove_file(folder.path("docs/tour.md"));
    docs_are_current(&folder.path("."), 0);
    let file = folder.path("crates/routers/src/switch.rs");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("//! ", "//! Not ", 1)).unwrap();
    assert!(docs_are_current(&folder.path("."), 1).contains("`bench docs` updates it"));
    fs::write(folder.path("docs/router-costs.csv"), "router,cost\n").unwrap();
    let mut command = folder.bench(&["docs"]);
    let (_, err) = ended(&command.output().unwrap(), 2);
    assert!(err.contains("router-costs.csv: expected the columns router, experts"), "{err}");
    let (_, err) = ended(&Place::new().run(&["docs"]), 2);
    assert!(err.contains("is not inside MoeLab's workspace"), "{err}");
}

#[test]
fn the_readme_counts_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let fixtures = fs::read_dir(root.join("crates/routers/fixtures")).unwrap().flatten();
    let texts: Vec<String> =
        fixtures.map(|fixture| fs::read_to_string(fixture.path()).unwrap()).collect();
    let kind = |text: &String| {
        let fixture: serde_json::Value = serde_json::from_str(text).unwrap();
        fixture["router"]["kind"].to_string()
    };
    let matched: BTreeSet<String> = texts.iter().map(kind).collect();
    let claims = fs::read_to_string(root.join("docs/claims.md")).unwrap();
    // "Of 258 claims 228 have results: 77 reproduced (...), ...".
    let summary = claims.lines().find(|line| line.starts_with("Of ")).expect("a summary");
    let (counts, verdicts) = summary.split_once(" have results: ").expect("a summary");
    let count = counts.rsplit(' ').next().expect("a number");
    for sentence in [
        format!("**{} routers**", routers(&Place::new()).len()),
        format!("{} of them are matched", matched.len()),
        format!("({} fixtures)", texts.len()),
        format!("**{count} claims**"),
        verdicts.replace(", 0 smaller than the paper's", ""),
    ] {
        assert!(readme.contains(&sentence), "README.md does not say {sentence:?}");
    }
}
