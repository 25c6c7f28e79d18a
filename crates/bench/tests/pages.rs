//! Checks of the documentation: links have targets, and commands use existing verbs and options.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use common::{Place, ended};

/// A page of the repository.
struct Page {
    path: PathBuf,
    /// Its text without blocks of code.
    prose: String,
    /// Its shell commands, one per line.
    shell: String,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let (mut prose, mut shell, mut block) = (String::new(), String::new(), None);
        for line in text.lines() {
            match (line.trim_start().strip_prefix("```"), block) {
                (Some(language), None) => block = Some(language),
                (Some(_), Some(_)) => block = None,
                (None, None) => prose += &format!("{line}\n"),
                (None, Some("sh")) => shell += &format!("{line}\n"),
                (None, Some(_)) => {}
            }
        }
        Self { path, prose, shell: shell.replace("\\\n", " ") }
    }

    /// The files to which it links, with the heading in them, or an empty one.
    fn links(&self) -> Vec<(PathBuf, &str)> {
        let folder = self.path.parent().unwrap();
        let link = |(at, _): (usize, &str)| {
            let (link, _) = self.prose[at + 2..].split_once(')')?;
            if link.starts_with("http") || link.contains(char::is_whitespace) {
                return None;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { self.path.clone() } else { folder.join(file) };
            Some((file, heading))
        };
        self.prose.match_indices("](").filter_map(link).collect()
    }

    /// The anchors of its headings.
    fn headings(&self) -> BTreeSet<String> {
        let kept = |letter: &char| letter.is_alphanumeric() || ['-', '_', ' '].contains(letter);
        let name = |line: &str| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            text.chars().filter(kept).collect::<String>().replace(' ', "-")
        };
        self.prose.lines().filter(|line| line.starts_with('#')).map(name).collect()
    }

    /// Its commands: those of blocks, and those within lines.
    fn commands(&self) -> Vec<&str> {
        let within = self.prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let lines = self.shell.lines().chain(within);
        let lines = lines.map(|line| line.split(" #").next().unwrap_or_default());
        lines.flat_map(|line| line.split("&&")).map(str::trim).collect()
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All pages except those of results and templates, by path.
fn pages() -> BTreeMap<PathBuf, Page> {
    let root = root();
    let mut folders = vec![root.clone(), root.join("docs")];
    for parent in ["experiments", "scripts"] {
        let entries = fs::read_dir(root.join(parent)).unwrap().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    let paths = files.map(|file| file.path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| (path.clone(), Page::read(path))).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let (pages, mut count) = (pages(), 0);
    for page in pages.values() {
        let at = page.path.display();
        for (file, heading) in page.links() {
            let there = file.canonicalize();
            let there = there.unwrap_or_else(|err| panic!("{at}: {}: {err}", file.display()));
            let page = pages.get(&there).filter(|_| !heading.is_empty());
            let known = page.is_none_or(|page| page.headings().contains(heading));
            assert!(known, "{at}: {} has no heading #{heading}", there.display());
            count += 1;
        }
    }
    assert!(count > 200, "{count} links: are they found?");
}

/// Whether a page describes the past, and so may name things that no longer exist.
fn is_history(path: &Path) -> bool {
    path.ends_with("docs/log.md") || path.ends_with("CHANGELOG.md")
}

/// The file or folder of the repository that a word of a page names, if any; capitals are placeholders.
fn file_named(word: &str) -> Option<PathBuf> {
    let folders = ["crates/", "docs/", "experiments/", "results/", "scripts/"];
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_./-".contains(letter);
    let stands_for_any =
        |part: &str| part.len() > 1 && part.chars().all(|letter| letter.is_ascii_uppercase());
    let is_path = folders.iter().any(|folder| word.starts_with(folder));
    let is_file = is_path && word.chars().all(is_plain) && !word.split('/').any(stands_for_any);
    is_file.then(|| root().join(word))
}

#[test]
fn files_that_pages_name_are_there() {
    let (pages, mut count) = (pages(), 0);
    // The pages on plug-ins name files that `new` writes.
    let is_of_new = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("add-")
    };
    for page in pages.values().filter(|page| !is_history(&page.path) && !is_of_new(&page.path)) {
        let words = page.prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        for file in words.filter_map(file_named) {
            assert!(file.exists(), "{}: {} is not there", page.path.display(), file.display());
            count += 1;
        }
    }
    assert!(count > 50, "{count} files: are they found?");
    assert_eq!(file_named("results/SUITE/runs.csv"), None);
    assert!(!file_named("crates/none/src/lib.rs").unwrap().exists());
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let (pages, mut reached) = (pages(), BTreeSet::new());
    let mut left = vec![root().join("README.md")];
    while let Some(path) = left.pop() {
        let Some(page) = pages.get(&path) else { continue };
        if reached.insert(path) {
            left.extend(page.links().into_iter().filter_map(|(file, _)| file.canonicalize().ok()));
        }
    }
    let lost: Vec<&PathBuf> = pages.keys().filter(|path| !reached.contains(*path)).collect();
    assert!(lost.is_empty(), "no way leads from README.md to {lost:?}");
}

/// The arguments that a command gives to `bench` or to the program of an experiment.
fn arguments(command: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let runs = words.windows(2).any(|pair| pair == ["cargo", "run"]);
    let at = match *words.first()? {
        "bash" => return None,
        script if script.starts_with("scripts/") => return None,
        _ if runs && !words.contains(&"--example") => words.iter().position(|word| *word == "--"),
        _ if words.contains(&"cargo") => return None,
        _ => words.iter().position(|word| *word == "bench" || word.ends_with("/bench")),
    };
    Some(words[at? + 1..].to_vec()).filter(|arguments| !arguments.is_empty())
}

/// The options among arguments.
fn options<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let plain =
        |word: &&'a str| word.split('=').next().unwrap_or(word).trim_end_matches([',', '"']);
    let is_option = |word: &&str| {
        let name = word.trim_start_matches('-');
        word.starts_with('-') && name.starts_with(|letter: char| letter.is_ascii_lowercase())
    };
    arguments.iter().map(plain).filter(is_option).collect()
}

#[test]
fn commands_are_taken_apart() {
    let of = |command| arguments(command).map(|arguments| options(&arguments));
    assert_eq!(of("cargo run --release -p bench -- run a --set b=-1"), Some(vec!["--set"]));
    assert_eq!(of("mpirun -np 2 target/bench run a --jobs=2 -q"), Some(vec!["--jobs", "-q"]));
    assert_eq!(of("cargo test -p bench -- --ignored"), None);
    assert_eq!(of("bench"), None);
}

#[test]
fn commands_have_the_verbs_and_options_that_they_name() {
    let place = Place::new();
    let help = |verb: &str| {
        let arguments: &[&str] = if verb.is_empty() { &["--help"] } else { &[verb, "--help"] };
        ended(&place.run(arguments), 0).0
    };
    let all = help("");
    let listed = all.lines().skip_while(|line| *line != "Verbs:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let verbs: BTreeSet<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 20 && verbs.contains("run"), "{verbs:?}");
    let (mut helps, mut count) = (BTreeMap::new(), 0);
    for page in pages().values().filter(|page| !is_history(&page.path)) {
        for command in page.commands() {
            let Some(arguments) = arguments(command) else { continue };
            let verb = if arguments[0].starts_with('-') { "" } else { arguments[0] };
            let at = page.path.display();
            if !verb.is_empty() && !verbs.contains(verb) {
                // An experiment may have its own verbs; capitals are placeholders.
                let own = command.contains("cargo run") && !command.contains("-p bench");
                assert!(own || verb == "VERB", "{at}: {command}: no verb {verb}");
                continue;
            }
            let help: &String = helps.entry(verb.to_string()).or_insert_with(|| help(verb));
            for option in options(&arguments) {
                let mut words = help.split(|c: char| c.is_whitespace() || c == ',');
                assert!(words.any(|word| word == option), "{at}: {command}: no option {option}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} commands: are they found?");
}
