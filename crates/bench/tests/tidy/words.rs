//! The words of the project: each setting is used, and each public name has one meaning.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crate::tree::{files, root};

/// Settings that nothing sets, and the reasons for keeping them.
const KEPT: [(&str, &str); 4] = [
    ("beta1", "AdamW has two, and suites set the other"),
    ("lambda", "ReMoE's penalty and DeepSORT's weight are hyperparameters of their papers"),
    ("sigma", "the threshold of spikes, as Ling's report has it"),
    ("fault", "of a router in a test, broken on purpose"),
];

/// Names that several crates have, and the reasons why they do not confuse. `soccernet` is also a crate for
/// other projects, and has its own names.
const SHARED: [(&str, &str); 3] = [
    ("Error", "that of its crate, as is usual"),
    (
        "Ffn",
        "a stack of feed-forward networks: experts as a plug-in, and the matrices of its kernel",
    ),
    ("Property", "a property of whole texts, of a task and in its trace"),
];

/// The text files of the workspace except results, by their relative paths.
fn all() -> Vec<(String, String)> {
    let root = root();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).ok()?.to_string_lossy().to_string();
        let is_result = name.starts_with("results/");
        if is_result { None } else { Some((name, fs::read_to_string(&path).ok()?)) }
    };
    files(&root, "").into_iter().filter_map(read).collect()
}

/// The fields that `config!` declares in a source file, except those that are tables of settings themselves.
fn settings(code: &str) -> Vec<String> {
    let (mut found, mut end) = (Vec::new(), None);
    for line in code.lines() {
        let indent = line.len() - line.trim_start().len();
        match end {
            None if line.trim_end().ends_with("config! {") && !line.contains("//") => {
                end = Some(indent);
            }
            Some(start) if line.trim_end() == format!("{}}}", " ".repeat(start)) => end = None,
            Some(_) => {
                let field = line.trim().strip_prefix("pub ").and_then(|rest| rest.split_once(": "));
                found.extend(field.filter(|(_, rest)| !rest.contains("::default()")).map(|f| f.0));
            }
            None => {}
        }
    }
    found.into_iter().map(str::to_string).collect()
}

/// The character before and the text after each occurrence of this name as a whole word.
fn places<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (Option<char>, &'a str)> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    let around = move |(at, _)| {
        let before: Option<char> = text[..at].chars().next_back();
        (before, &text[at + name.len()..])
    };
    let whole = move |(before, behind): &(Option<char>, &str)| {
        !before.is_some_and(is_word) && !behind.starts_with(is_word)
    };
    text.match_indices(name).map(around).filter(whole)
}

/// Whether a suite or a page sets a setting of this name, or names it as a table.
fn is_set(text: &str, name: &str) -> bool {
    places(text, name).any(|(before, behind)| {
        let behind = behind.trim_start_matches(['"', ' ']);
        let value = behind.starts_with('=') && !behind.starts_with("==");
        value || before == Some('.') && behind.starts_with(['.', ']'])
    })
}

#[test]
fn each_setting_has_a_suite_a_page_or_a_published_network() {
    let (mut declared, mut text, mut published) = (BTreeMap::new(), String::new(), String::new());
    for (name, content) in all() {
        let made = ["docs/log.md", "docs/claims.md", "docs/routers.md", "CHANGELOG.md"];
        if name.ends_with(".rs") && name.contains("/src/") {
            for field in settings(&content) {
                declared.entry(field).or_insert(name.clone());
            }
        }
        let of_papers =
            ["published.rs", "libmoe.rs", "v_moe.rs"].map(|file| format!("/tests/{file}"));
        if name.ends_with(".json")
            || name.starts_with("crates/interop/src/")
            || of_papers.iter().any(|file| name.ends_with(file))
        {
            published += &content;
        } else if name.ends_with(".toml") && !name.ends_with("Cargo.toml")
            || name.ends_with(".md") && !made.contains(&&*name)
            || name.starts_with("scripts/")
            || name == ".ci/run"
        {
            text += &content;
        }
    }
    assert!(declared.len() > 200, "{} settings: are they found?", declared.len());
    let is_published = |name: &str| places(&published, name).next().is_some();
    let unused: BTreeSet<&str> = declared
        .keys()
        .filter(|name| !is_set(&text, name) && !is_published(name))
        .map(String::as_str)
        .collect();
    let kept: BTreeSet<&str> = KEPT.iter().map(|kept| kept.0).collect();
    let place = |name: &&str| format!("{name}, first in {}", declared[*name]);
    let new: Vec<String> = unused.difference(&kept).map(place).collect();
    assert!(new.is_empty(), "no suite, page or published network sets: {new:#?}");
    let used: Vec<&&str> = kept.difference(&unused).collect();
    assert!(used.is_empty(), "KEPT names settings that are used: {used:?}");
}

#[test]
fn a_setting_is_found_where_it_is_set() {
    let code = "moe::config! {\n    pub struct A {\n        /// It.\n        pub k: usize = 1,\n        pub all: B = B::default(),\n    }\n}\npub other: usize = 2,\n";
    assert_eq!(settings(code), ["k"]);
    assert!(is_set("router = { k = 2 }", "k") && is_set("--set moe.router.k=2", "k"));
    assert!(is_set("[task.games.x]", "games"));
    assert!(!is_set("top-k = 2", "k") && !is_set("k == 2", "k") && !is_set("back = 2", "k"));
}

/// A comment names the parameter or the number that it describes.
#[test]
fn comments_name_what_they_count() {
    let words = ["so many", "whoever", "by lot"];
    for (name, content) in all() {
        if !(name.starts_with("crates/") && name.contains("/src/") && name.ends_with(".rs")) {
            continue;
        }
        for (line, text) in content.lines().enumerate() {
            let comment = text.split_once("//").map(|(_, comment)| comment.to_lowercase());
            let Some(comment) = comment else { continue };
            for word in words {
                let at = line + 1;
                assert!(!comment.contains(word), "{name}:{at}: {word:?}: say which number or who");
            }
        }
    }
}

/// A doc comment describes an item: it does not begin like a question, such as "What is limited".
#[test]
fn doc_comments_are_no_questions() {
    let words = ["What ", "How ", "Who ", "Whom ", "Whose ", "Why "];
    let comment = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
            .map(|text| text.trim().to_string())
    };
    for (name, content) in all() {
        if !(name.starts_with("crates/") && name.contains("/src/") && name.ends_with(".rs")) {
            continue;
        }
        let mut before = String::new();
        for (line, text) in content.lines().enumerate() {
            let now = comment(text).unwrap_or_default();
            let is_question = before.is_empty() && words.iter().any(|word| now.starts_with(word));
            assert!(!is_question, "{name}:{}: {now:?}: name the item", line + 1);
            before = now;
        }
    }
}

#[test]
fn a_public_name_has_one_meaning() {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, content) in all() {
        let mut parts = name.split('/');
        let (Some("crates"), Some(of), Some("src")) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if of == "soccernet" {
            continue;
        }
        for line in content.lines() {
            let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let end = rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len());
            crates.entry(rest[..end].to_string()).or_default().insert(of.to_string());
        }
    }
    crates.retain(|_, of| of.len() > 1);
    let shared: BTreeSet<&str> = SHARED.iter().map(|shared| shared.0).collect();
    let found: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    assert_eq!(found, shared, "names of several crates: {crates:#?}");
}
