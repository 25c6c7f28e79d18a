//! The invariants of docs/architecture.md, as far as a program can check them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Which crates of ours a crate may depend on, tests not counted.
const MAY_DEPEND_ON: [(&str, &[&str]); 21] = [
    ("workspace-hack", &[]),
    ("kernels", &[]),
    ("distributed", &[]),
    ("cluster", &["distributed"]),
    ("moe", &["distributed", "kernels"]),
    ("routers", &["moe", "experts", "files"]),
    ("experts", &["moe", "kernels"]),
    ("residuals", &["moe"]),
    ("backbones", &["moe", "kernels"]),
    ("tasks", &["moe", "kernels", "raw", "soccernet", "files"]),
    ("pruning", &["moe"]),
    ("training", &["moe", "backbones", "tasks", "kernels", "distributed", "files"]),
    ("interop", &["moe", "backbones", "files"]),
    ("report", &["files"]),
    ("search", &["files"]),
    ("files", &[]),
    ("npy", &[]),
    ("raw", &["npy"]),
    ("soccernet", &["npy", "files"]),
    (
        "lab",
        &[
            "moe",
            "routers",
            "experts",
            "residuals",
            "backbones",
            "tasks",
            "pruning",
            "training",
            "report",
            "search",
            "kernels",
            "cluster",
            "distributed",
            "interop",
            "files",
            "npy",
        ],
    ),
    (
        "bench",
        &[
            "lab",
            "report",
            "files",
            "soccernet",
            "training",
            "backbones",
            "moe",
            "kernels",
            "distributed",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().to_string()).collect()
}

/// All files under a folder that end like this.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// Our sources, by crate.
fn sources(of: &str) -> Vec<(PathBuf, String)> {
    let files = files(&root().join("crates").join(of).join("src"), ".rs");
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// A file without its comments and without what is compiled for tests alone.
fn code(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            code.push(line);
            continue;
        }
        // The item behind it: one line, or as far as a brace with the same indentation.
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let is_attribute = |line: &&str| line.trim_start().starts_with("#[");
        let first = lines.by_ref().find(|line| !is_attribute(line)).unwrap_or_default();
        if first.ends_with('{') {
            lines.by_ref().find(|line| *line == end);
        }
    }
    code.join("\n")
}

#[test]
fn code_behind_a_test_module_is_code() {
    let text = "a\n// b\n#[cfg(test)]\nmod tests;\nc\n    #[cfg(test)]\n    #[cfg(unix)]\n    mod t {\n  \
                d\n    }\ne\n#[cfg(test)]\nmod t {\n    fn f() {\n    }\n}\ng";
    assert_eq!(code(text), "a\nc\ne\ng");
}

#[test]
fn dependencies_point_one_way() {
    for name in names("crates") {
        let manifest = read(&root().join("crates").join(&name).join("Cargo.toml"));
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        let ours: BTreeSet<String> = names("crates").into_iter().collect();
        let used = dependencies.into_iter().flat_map(toml::Table::keys);
        let rule = MAY_DEPEND_ON.iter().find(|(of, _)| *of == name);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("say what {name} may depend on"));
        // It has no code, only the features of other packages.
        let used = used.filter(|used| *used != "workspace-hack");
        for dependency in used.filter(|used| ours.contains(*used)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} depends on {dependency}");
        }
    }
}

#[test]
fn what_needs_no_network_does_not_know_burn() {
    let lock: toml::Table = read(&root().join("Cargo.lock")).parse().expect("a lock file is TOML");
    let packages = lock["package"].as_array().expect("there are packages");
    let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_string();
    let needs: BTreeMap<String, Vec<String>> = packages
        .iter()
        .map(|package| {
            let needs = package.get("dependencies").and_then(toml::Value::as_array);
            let needs = needs.into_iter().flatten().map(text);
            let name = |need: String| need.split(' ').next().unwrap_or_default().to_string();
            (text(&package["name"]), needs.map(name).collect())
        })
        .collect();
    for of in ["report", "soccernet", "raw"] {
        let (mut seen, mut left) = (BTreeSet::new(), vec![of.to_string()]);
        while let Some(package) = left.pop() {
            if seen.insert(package.clone()) {
                left.extend(needs.get(&package).into_iter().flatten().cloned());
            }
        }
        assert!(seen.len() > 5, "the walk has lost its way: {seen:?}");
        let burn: Vec<&String> = seen.iter().filter(|name| name.starts_with("burn")).collect();
        assert!(burn.is_empty(), "{of} depends on {burn:?}");
    }
}

/// Where tensors are read back, the processor waits for the graphics card: layers do it by one function,
/// which counts.
#[test]
fn layers_read_back_by_one_function() {
    let reads = [
        ".into_data(",
        ".to_data(",
        ".into_scalar(",
        ".into_scalar::",
        ".try_into_data",
        ".try_to_data",
        ".try_into_scalar",
        "Transaction",
    ];
    // Burn reads back in these: sorting, ranking, and what has a shape that follows from numbers.
    let burns = [
        ".sort(",
        ".sort_descending(",
        ".sort_with_indices(",
        ".sort_descending_with_indices(",
        ".argsort(",
        ".argsort_descending(",
        ".topk(",
        ".topk_with_indices(",
        ".one_hot(",
        ".one_hot_fill(",
        ".nonzero(",
        ".argwhere(",
        ".mask_select(",
        ".all_close(",
    ];
    let known = [
        ("kernels/src/read_back.rs", ".into_data("),
        // On the processor alone.
        ("routers/src/kit/quantile.rs", ".sort_descending("),
    ];
    let mut found = BTreeSet::new();
    for of in ["kernels", "moe", "routers", "experts", "residuals", "backbones"] {
        for (path, text) in sources(of) {
            let path = path.to_string_lossy();
            // What tests share.
            let shared = ["/conformance/", "/tests.rs", "/testing.rs", "/same_bits.rs"];
            if shared.iter().any(|part| path.contains(part)) {
                continue;
            }
            let code = code(&text);
            for read in reads.iter().chain(&burns).filter(|read| code.contains(**read)) {
                let at = known.iter().position(|(end, of)| path.ends_with(end) && of == read);
                assert!(at.is_some(), "{path}: {read}, in place of kernels::read_back");
                found.insert(at);
            }
        }
    }
    assert_eq!(found.len(), known.len(), "the search finds what is there");
}

#[test]
fn the_padded_engine_reads_nothing_back() {
    let reads = |file: &str| {
        let text = read(&root().join("crates/moe/src").join(file));
        let reads = ["read_back(", "to_host("];
        let code = code(&text);
        reads.into_iter().filter(|read| code.contains(read)).collect::<Vec<_>>()
    };
    for file in ["engine/padded.rs", "engine/reference.rs", "engine/merged.rs", "capacity/queue.rs"]
    {
        assert_eq!(reads(file), [""; 0], "{file}");
    }
    assert_eq!(reads("engine/dropless.rs"), ["to_host("], "the search finds what is there");
}

/// Which operations a device has is no choice of a run.
#[test]
fn kernels_are_left_out_in_tests_and_counts_alone() {
    let programs = names("crates").into_iter().map(|name| (sources(&name), name));
    for (sources, name) in programs {
        for (path, text) in sources {
            let path = path.to_string_lossy();
            let may = name == "kernels" || path.ends_with("bench/src/syncs.rs");
            assert!(may || !code(&text).contains("without_kernels"), "{path}");
        }
    }
}

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

/// Whether the name is there as a word of its own.
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
    // Defaults of a config are names that a person could have typed.
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
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().to_string();
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

/// The folders of `moe`; each uses only those before it.
const MOE: [&str; 6] = ["plugin", "routing", "capacity", "experts", "engine", "layer"];

/// The folders of `lab`; each uses only those before it.
const LAB: [&str; 11] = [
    "digest", "plugins", "facts", "settings", "spec", "store", "planning", "probes", "exec",
    "results", "cli",
];

/// The folder that a path in the code of a crate begins with, if it is one of `order`. Names that the
/// root of `lab` re-exports belong to their folder.
fn folder_of<'a>(name: &'a str, order: &[&'a str]) -> Option<&'a str> {
    let folder = match name {
        "Plugins" => "plugins",
        "RunConfig" | "Suite" | "Program" | "PruneConfig" | "GroupsConfig" | "By" => "spec",
        other => other,
    };
    order.iter().copied().find(|known| *known == folder)
}

/// What the code of a file takes from `crate::`, by the first part of each path.
fn taken(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let first = |text: &str| {
            text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        match rest.strip_prefix('{') {
            None => drop(found.insert(first(rest))),
            Some(list) => {
                let mut depth = 0;
                let end = list.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0
                });
                let mut depth = 0;
                let parts = list[..end.unwrap_or(list.len())].split(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == ',' && depth == 0
                });
                found.extend(parts.map(first).filter(|part| !part.is_empty()));
            }
        }
    }
    found
}

/// Checks that each folder of a crate uses only those before it in `order`, and prints the graph.
#[allow(clippy::print_stdout, reason = "the graph is for whoever asks, with --nocapture")]
fn check_order(of: &str, order: &[&str]) {
    let root = root().join("crates").join(of).join("src");
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, text) in sources(of) {
        let inside = path.strip_prefix(&root).expect("it is in the crate").with_extension("");
        let own = inside.components().next().expect("it has a name").as_os_str();
        let own = own.to_string_lossy().to_string();
        if let Some(own) = folder_of(&own, order) {
            let used = taken(&code(&text)).into_iter();
            let used = used.filter_map(|name| folder_of(&name, order).map(str::to_string));
            graph.entry(own.to_string()).or_default().extend(used.filter(|used| *used != own));
        }
    }
    assert_eq!(graph.len(), order.len(), "{:?}", graph.keys());
    println!("what each folder of {of} uses:");
    for (at, name) in order.iter().enumerate() {
        let used: Vec<&str> = graph[*name].iter().map(String::as_str).collect();
        println!("  {name:<9} <- {}", used.join(", "));
        for used in used {
            assert!(order[..at].contains(&used), "{name} uses {used}, which comes after it");
        }
    }
}

#[test]
fn lab_has_no_circles() {
    check_order("lab", &LAB);
}

/// A file of `moe` names the folder of what it takes from another one, so that the order can be seen.
#[test]
fn moe_has_no_circles() {
    for (path, text) in sources("moe").into_iter().filter(|(path, _)| !path.ends_with("lib.rs")) {
        let others = taken(&code(&text)).into_iter().filter(|name| !MOE.contains(&&name[..]));
        let others: Vec<String> =
            others.filter(|name| name != "config" && name != "serde").collect();
        assert!(others.is_empty(), "{}: crate::{others:?}: name its folder", path.display());
    }
    check_order("moe", &MOE);
}

/// Inside a folder, files take from each other by `super::`.
#[test]
fn no_folder_of_lab_has_a_circle() {
    for folder in LAB {
        let root = root().join("crates/lab/src").join(folder);
        let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
        for path in files(&root, ".rs").into_iter().filter(|path| path.parent() == Some(&*root)) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
            let code = code(&read(&path)).replace("super::", "crate::");
            graph.insert(stem, taken(&code));
        }
        graph.remove("mod");
        // What needs nothing more is taken away, until nothing is left.
        while !graph.is_empty() {
            let known: BTreeSet<String> = graph.keys().cloned().collect();
            let free = graph.iter().find(|(_, used)| used.is_disjoint(&known));
            let free = free.map(|(name, _)| name.clone());
            let free = free.unwrap_or_else(|| panic!("lab/{folder}: a circle in {graph:?}"));
            graph.remove(&free);
        }
    }
}

#[test]
fn what_is_taken_is_found() {
    let code = "use crate::{a::{b, c}, d, e::f::{g}};\nuse crate::h::i;\nlet x = crate::j();";
    let found: Vec<String> = taken(code).into_iter().collect();
    assert_eq!(found, ["a", "d", "e", "h", "j"]);
}

/// Burn's products have an order of sums that depends on the processor: docs/performance.md.
#[test]
fn products_are_those_of_kernels() {
    let crates = names("crates").into_iter().filter(|name| name != "kernels");
    for (path, text) in crates.flat_map(|name| sources(&name)) {
        if path.ends_with("tests.rs") || path.ends_with("subject.rs") {
            continue;
        }
        for burns in [".matmul(", "einsum!", "module::linear"] {
            let at = path.display();
            assert!(!code(&text).contains(burns), "{at}: {burns}: use kernels::matmul or linear");
        }
    }
}

/// With it sums are taken in as many lanes as the processor has: docs/performance.md.
#[test]
fn no_crate_turns_on_burns_simd() {
    for path in files(&root(), "Cargo.toml") {
        let manifest: toml::Table = read(&path).parse().expect("a manifest is TOML");
        assert!(!asks_for_simd(&manifest), "{}: burn's feature simd", path.display());
    }
}

/// Whether a manifest, or a table in it, asks for the feature `simd` of a package of Burn.
fn asks_for_simd(table: &toml::Table) -> bool {
    let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_string();
    table.iter().any(|(key, value)| match value {
        toml::Value::Table(inner) => {
            let package = inner.get("package").map_or(key.clone(), text);
            let features = inner.get("features").and_then(toml::Value::as_array);
            let simd = features.is_some_and(|names| names.iter().any(|name| text(name) == "simd"));
            simd && package.starts_with("burn") || asks_for_simd(inner)
        }
        // `feature = ["burn/simd"]`
        toml::Value::Array(names) => {
            names.iter().map(text).any(|name| name.starts_with("burn") && name.ends_with("/simd"))
        }
        _ => false,
    })
}

#[test]
fn burns_simd_is_found_where_it_is() {
    let asks = |text: &str| asks_for_simd(&text.parse().expect("it is TOML"));
    assert!(asks("[dependencies]\nburn = { version = '1', features = ['std', 'simd'] }"));
    assert!(asks("[workspace.dependencies.x]\npackage = 'burn-flex'\nfeatures = ['simd']"));
    assert!(asks("[features]\nfast = ['burn/simd']"));
    assert!(!asks("[dependencies]\nburn = '1'\nzerocopy = { features = ['simd'] }"));
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
            for machine in &paths {
                let found = text.split(machine.as_str()).skip(1).count();
                let part_of_a_word = text.matches(&format!("k{machine}")).count();
                assert!(found == part_of_a_word, "{}: {machine}", path.display());
            }
        }
    }
}
