//! Dependencies have licences that the workspace may use, and come from crates.io: the rules of `deny.toml`,
//! without a program that has to be installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

/// The rules of `deny.toml`.
struct Rules {
    allowed: BTreeSet<String>,
    /// Further licences of single packages.
    exceptions: BTreeMap<String, BTreeSet<String>>,
    /// Licences that packages have in files alone.
    clarified: BTreeMap<String, String>,
    registries: BTreeSet<String>,
}

impl Rules {
    fn read(root: &Path) -> Self {
        let text = fs::read_to_string(root.join("deny.toml")).expect("it is there");
        let rules: Value = toml::from_str(&text).expect("it is TOML");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let list = |value: &Value| value.as_array().expect("a list").iter().map(text).collect();
        let table = |value: &Value| value.as_array().expect("a list").clone();
        let licences = &rules["licenses"];
        let exceptions = table(&licences["exceptions"]);
        let clarified = table(&licences["clarify"]);
        Self {
            allowed: list(&licences["allow"]),
            exceptions: exceptions.iter().map(|x| (text(&x["name"]), list(&x["allow"]))).collect(),
            clarified: clarified
                .iter()
                .map(|x| (text(&x["name"]), text(&x["expression"])))
                .collect(),
            registries: list(&rules["sources"]["allow-registry"]),
        }
    }

    /// What is wrong with a package, if anything is.
    fn wrong(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+").unwrap_or_default();
            if !self.registries.contains(registry) {
                return Some(format!("{name} comes from {source}"));
            }
        }
        let clarified = self.clarified.get(name).map(String::as_str);
        let Some(licence) = package["license"].as_str().or(clarified) else {
            return Some(format!("{name} names no licence"));
        };
        let own = self.exceptions.get(name);
        let allows = |licence: &str| {
            self.allowed.contains(licence) || own.is_some_and(|own| own.contains(licence))
        };
        (!holds(licence, &allows)).then(|| format!("{name} is {licence}"))
    }
}

/// Whether an expression of licences holds: OR binds less than AND, and an old `/` is OR.
fn holds(expression: &str, allows: &dyn Fn(&str) -> bool) -> bool {
    let expression = expression.replace('/', " OR ");
    let outside = |word: &str| -> Option<usize> {
        let mut depth = 0;
        let places = expression.char_indices();
        let mut places = places.filter_map(|(at, letter)| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            (depth == 0 && expression[at..].starts_with(word)).then_some(at)
        });
        places.next()
    };
    for (word, both) in [(" OR ", false), (" AND ", true)] {
        if let Some(at) = outside(word) {
            let (left, right) = (&expression[..at], &expression[at + word.len()..]);
            let (left, right) = (holds(left, allows), holds(right, allows));
            return if both { left && right } else { left || right };
        }
    }
    match expression.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => holds(inner, allows),
        None => allows(expression.trim()),
    }
}

#[test]
fn all_dependencies_are_by_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = Rules::read(&root);
    // Of this system alone: what the build has downloaded is enough.
    let version = Command::new("rustc").arg("-vV").output().expect("it has built this test");
    let version = String::from_utf8_lossy(&version.stdout).to_string();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("it names it");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    cargo.current_dir(&root);
    let output = cargo.output().expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = all["packages"].as_array().expect("a list");
    assert!(packages.len() > 300, "{} packages", packages.len());
    let wrong: Vec<String> = packages.iter().filter_map(|package| rules.wrong(package)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_not_by_the_rules_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = Rules::read(&root);
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let package = |name: &str, licence: Option<&str>, source: &str| {
        rules.wrong(&serde_json::json!({ "name": name, "license": licence, "source": source }))
    };
    for good in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR (ISC AND MIT)", "(MIT OR GPL-3.0) AND Zlib"] {
        assert_eq!(package("a", Some(good), crates_io), None, "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "MPL-2.0", "(MIT OR ISC) AND GPL-3.0"] {
        assert_eq!(package("a", Some(bad), crates_io), Some(format!("a is {bad}")));
    }
    assert_eq!(package("colored", Some("MPL-2.0"), crates_io), None);
    assert_eq!(package("a", None, crates_io), Some("a names no licence".into()));
    let git = "git+https://example.org/a";
    assert_eq!(package("a", Some("MIT"), git), Some(format!("a comes from {git}")));
}
