//! The permitted contents of a file, and the names that it may use.

use std::path::PathBuf;

use crate::tree::{code, files, names, read, root, sources, stem};

#[test]
fn only_lab_prints() {
    for name in names("crates").iter().filter(|name| *name != "lab") {
        for (path, text) in sources(name) {
            for print in ["println!", "eprintln!", "print!(", "dbg!("] {
                assert!(!code(&text).contains(print), "{}: {print}", path.display());
            }
        }
    }
}

#[test]
fn crates_mention_no_experiment() {
    // An experiment about a router may have the router's name.
    let routers = sources("routers");
    let is_router = |name: &String| {
        let line = format!("const NAME: &'static str = {name:?};");
        routers.iter().any(|(_, text)| code(text).contains(&line))
    };
    for experiment in names("experiments").iter().filter(|name| !is_router(name)) {
        for name in names("crates") {
            for (path, text) in sources(&name) {
                let found = mentions(&code(&text), experiment);
                assert!(!found, "{}: {experiment}", path.display());
            }
        }
    }
}

/// A suite that a program does not contain could be run by the path of its file only. Some have a command of
/// their own.
#[test]
fn programs_contain_the_suites_beside_them() {
    let mut seen = 0;
    for experiment in names("experiments") {
        let folder = root().join("experiments").join(&experiment);
        let program = folder.join("src/main.rs");
        for file in files(&folder, ".toml") {
            let text = read(&file);
            let is_suite = text.contains("[[method]]") && !text.contains("\ncommand = ");
            if is_suite {
                let path = format!("\"../{}.toml\"", stem(&file));
                assert!(read(&program).contains(&path), "{}: not in main.rs", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen} suites");
}

/// Whether the text contains the name as a separate word.
fn mentions(text: &str, name: &str) -> bool {
    let part_of_a_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !part_of_a_word(before.chars().next_back()) && !part_of_a_word(after.chars().next())
    })
}

#[test]
fn a_word_is_not_its_last_letters() {
    assert!(mentions("as in \"ling\"", "ling") && mentions("ling::suite()", "ling"));
    assert!(!mentions("fn scaling(sibling: usize)", "ling"));
}

#[test]
fn moe_knows_no_plug_in_by_name() {
    let plugins = ["routers", "experts", "residuals"].map(sources);
    let names = plugins.iter().flatten().filter_map(|(_, text)| {
        let (_, rest) = code(text).split_once("const NAME: &'static str = \"").map(owned)?;
        rest.split('"').next().map(str::to_string)
    });
    // Defaults of a config are names that a user could have typed.
    let defaults = ["top-k", "ffn", "add"];
    for name in names.filter(|name| !defaults.contains(&name.as_str())) {
        for (path, text) in sources("moe") {
            let quoted = format!("\"{name}\"");
            assert!(!code(&text).contains(&quoted), "{}: {name}", path.display());
        }
    }
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_string(), b.to_string())
}

#[test]
fn every_router_is_registered_cited_and_tested() {
    let contents = read(&root().join("crates/routers/src/lib.rs"));
    let suite = read(&root().join("crates/bench/suites/routers.toml"));
    let all = sources("routers");
    let routers: Vec<&(PathBuf, String)> =
        all.iter().filter(|(_, text)| code(text).contains("\nimpl Router for ")).collect();
    assert!(routers.len() >= 7);
    let stems: Vec<String> = routers.iter().map(|(path, _)| stem(path)).collect();
    for (path, text) in &routers {
        let at = path.display();
        let (_, rest) = text.split_once("\nimpl Router for ").expect("it is a router");
        let name = rest.split(' ').next().unwrap_or_default();
        assert!(contents.contains(&format!(".with::<{name}>()")), "{at}: {name} is not registered");
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for part in
            [&["https://"][..], &["Differs from", "Not from a paper"], &["Not to be confused"]]
        {
            let found = part.iter().any(|part| head.contains(part));
            assert!(found, "{at}: the head of the file lacks {part:?}");
        }
        assert!(text.contains("#[test]"), "{at}: no test");
        let (_, named) = text.split_once("const NAME: &'static str = \"").expect("it has a name");
        let quoted = format!("\"{}\"", named.split('"').next().unwrap_or_default());
        assert!(suite.contains(&quoted), "{at}: crates/bench/suites/routers.toml lacks {quoted}");
        for other in stems.iter().filter(|other| **other != stem(path)) {
            let used = format!("crate::{other}::");
            assert!(!code(text).contains(&used), "{at} uses the router {other}");
        }
    }
}

#[test]
fn unsafe_stays_in_kernels() {
    for name in names("crates").iter().filter(|name| *name != "kernels") {
        for (path, text) in sources(name) {
            let code = code(&text);
            let found = code.contains("unsafe {") || code.contains("unsafe fn");
            assert!(!found, "{}: unsafe", path.display());
        }
    }
}

#[test]
fn a_file_is_one_idea() {
    for name in names("crates") {
        for (path, text) in sources(&name) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines: it is two files", path.display());
        }
    }
}

#[test]
fn the_code_map_names_every_crate() {
    let map = read(&root().join("docs/architecture.md"));
    for name in names("crates") {
        assert!(map.contains(&format!("`{name}`")), "docs/architecture.md does not name {name}");
    }
}

#[test]
fn nothing_is_said_of_a_machine() {
    let paths = ["/wo", "/ro", "/ho"].into_iter().zip(["rk/", "ot/", "me/"]);
    let paths: Vec<String> = paths.map(|(a, b)| format!("{a}{b}")).collect();
    for end in [".rs", ".toml", ".md", ".py", "/run", ".txt"] {
        for path in files(&root(), end) {
            let text = read(&path);
            let beside = format!("../{}", "shared");
            assert!(!text.contains(&beside), "{}: {beside}: outside of it", path.display());
            for machine in &paths {
                let found = text.split(machine.as_str()).skip(1).count();
                let part_of_a_word = text.matches(&format!("k{machine}")).count();
                assert!(found == part_of_a_word, "{}: {machine}", path.display());
            }
        }
    }
}
