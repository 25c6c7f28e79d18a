//! The order of the folders of a crate, and of the files in each.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{code, names, root, sources, stem};

/// The names that each name uses.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The folders of `moe`; each uses only those before it.
const MOE: [&str; 6] = ["plugin", "routing", "capacity", "experts", "engine", "layer"];

/// The folders of `lab`; each uses only those before it.
const LAB: [&str; 10] = [
    "plugins", "facts", "settings", "spec", "store", "planning", "probes", "exec", "results", "cli",
];

/// The folder with which a path in the code of a crate begins, if it is one of `order`. Names that the root
/// of `lab` re-exports belong to their folder.
fn folder_of<'a>(name: &'a str, order: &[&'a str]) -> Option<&'a str> {
    let folder = match name {
        "Plugins" => "plugins",
        "RunConfig" | "Suite" | "Program" | "PruneConfig" | "GroupsConfig" | "By" => "spec",
        other => other,
    };
    order.iter().copied().find(|known| *known == folder)
}

/// The paths that code imports after a start such as `crate::`: for `crate::{a::{b, c}, d}`, `a::b`, `a::c`
/// and `d`.
fn taken(code: &str, start: &str) -> Vec<String> {
    code.match_indices(start).flat_map(|(at, _)| paths(&code[at + start.len()..])).collect()
}

/// The paths at the beginning of a text, in the notation of `use`.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        return parts(list).into_iter().flat_map(paths).collect();
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let below = rest.strip_prefix("::").map(paths).unwrap_or_default();
    match (name, &below[..]) {
        ("", _) => Vec::new(),
        (_, []) => vec![name.to_string()],
        (_, below) => below.iter().map(|path| format!("{name}::{path}")).collect(),
    }
}

/// The parts of a list, which ends with its closing brace.
fn parts(list: &str) -> Vec<&str> {
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
    parts.collect()
}

/// The first name of a path.
fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or_default()
}

/// Checks that each folder of a crate uses only those before it in `order`, and prints the graph.
#[allow(clippy::print_stdout, reason = "the graph is for whoever asks, with --nocapture")]
fn check_order(of: &str, order: &[&str]) {
    let root = root().join("crates").join(of).join("src");
    let mut graph = Graph::new();
    for (path, text) in sources(of) {
        let inside = path.strip_prefix(&root).expect("it is in the crate").with_extension("");
        let own = inside.components().next().expect("it has a name").as_os_str();
        let own = own.to_string_lossy().to_string();
        if let Some(own) = folder_of(&own, order) {
            let used = taken(&code(&text), "crate::").into_iter();
            let used = used.filter_map(|path| folder_of(first(&path), order).map(str::to_string));
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

/// A file of `moe` names the folder of an item from another folder, so that the order is visible.
#[test]
fn moe_has_no_circles() {
    for (path, text) in sources("moe").into_iter().filter(|(path, _)| !path.ends_with("lib.rs")) {
        let known = |name: &str| MOE.contains(&name) || name == "config" || name == "serde";
        let others = taken(&code(&text), "crate::").into_iter();
        let others: Vec<String> = others.filter(|path| !known(first(path))).collect();
        assert!(others.is_empty(), "{}: crate::{others:?}: name its folder", path.display());
    }
    check_order("moe", &MOE);
}

/// The code of a crate's files by folder, as `a::b::`, and name.
fn folders(of: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let root = root().join("crates").join(of).join("src");
    let mut folders = BTreeMap::<String, BTreeMap<String, String>>::new();
    for (path, text) in sources(of) {
        let inside = path.parent().and_then(|folder| folder.strip_prefix(&root).ok());
        let inside = inside.expect("it is in the crate").components();
        let folder = inside.map(|part| format!("{}::", part.as_os_str().display())).collect();
        folders.entry(folder).or_default().insert(stem(&path), code(&text));
    }
    folders
}

/// The names that a `mod.rs` or `lib.rs` re-exports from the modules below it, with the module of each.
fn passed_on(head: &str) -> BTreeMap<String, String> {
    taken(head, "use ")
        .iter()
        .filter_map(|path| path.strip_prefix("self::").unwrap_or(path).split_once("::"))
        .map(|(module, path)| (last(path).to_string(), module.to_string()))
        .collect()
}

/// The modules at the root of a crate, files or folders, that each of them uses by `crate::`. Names that
/// `lib.rs` re-exports belong to their module. Files of tests are left out.
fn modules_used(of: &str) -> Graph {
    let root = root().join("crates").join(of).join("src");
    let all = sources(of);
    let head = all.iter().find(|(path, _)| path.ends_with("src/lib.rs"));
    let passed_on = passed_on(&head.map(|(_, text)| code(text)).unwrap_or_default());
    let files = all.iter().filter_map(|(path, text)| {
        let inside = path.strip_prefix(&root).expect("it is in the crate").with_extension("");
        let own = inside.components().next().expect("it has a name").as_os_str();
        let is_left_out = ["lib", "tests"].iter().any(|name| inside.ends_with(name));
        (!is_left_out).then(|| (own.to_string_lossy().to_string(), text))
    });
    let files: Vec<(String, &String)> = files.collect();
    // A function may have the name of another module: `crate::a` is the function, `crate::a::B` an item of
    // the module.
    let is_module = |name: &str| files.iter().any(|(own, _)| own == name);
    let module = |path: &str| match passed_on.get(first(path)) {
        Some(module) if first(path) == path || !is_module(first(path)) => module.clone(),
        _ => first(path).to_string(),
    };
    let mut graph = Graph::new();
    for (own, text) in &files {
        let used = taken(&code(text), "crate::").into_iter().map(|path| module(&path));
        let used: Vec<String> = used.filter(|used| used != own).collect();
        graph.entry(own.clone()).or_default().extend(used);
    }
    graph
}

#[test]
fn no_modules_of_a_crate_use_each_other_in_a_circle() {
    let mut uses = 0;
    for of in names("crates") {
        let graph = modules_used(&of);
        uses += graph.values().flatten().filter(|used| graph.contains_key(*used)).count();
        let left = circles(graph);
        assert!(left.is_empty(), "{of}: a circle of modules in {left:?}");
    }
    assert!(uses > 200, "{uses} uses of a module by another: are they found?");
}

/// The files of a folder that each of them uses, by `super::` or by the path of the folder, either directly
/// or by way of `mod.rs`, which is above them.
fn files_used(folder: &str, mut files: BTreeMap<String, String>) -> Graph {
    let head = files.remove("mod").or_else(|| files.remove("lib")).unwrap_or_default();
    let passed_on = passed_on(&head);
    let used = |name: &str, code: &str| -> BTreeSet<String> {
        let inside = taken(code, "crate::").into_iter();
        let inside = inside.filter_map(|path| path.strip_prefix(folder).map(str::to_string));
        let all = inside.chain(taken(code, "super::"));
        let all = all.map(|path| passed_on.get(first(&path)).unwrap_or(&path).clone());
        let all = all.map(|path| first(&path).to_string());
        all.filter(|used| used != name).collect()
    };
    files.iter().map(|(name, code)| (name.clone(), used(name, code))).collect()
}

/// The part of a graph that remains after nodes without dependencies are removed repeatedly: circles, and the
/// nodes that use them.
fn circles(mut graph: Graph) -> Graph {
    loop {
        let known: BTreeSet<String> = graph.keys().cloned().collect();
        graph.retain(|_, used| !used.is_disjoint(&known));
        if graph.len() == known.len() {
            return graph;
        }
    }
}

/// For the files of each folder in all crates.
#[test]
fn no_folder_has_a_circle_of_files() {
    for of in names("crates") {
        let mut uses = 0;
        for (folder, files) in folders(&of) {
            let graph = files_used(&folder, files);
            uses += graph.values().filter(|used| !used.is_empty()).count();
            let left = circles(graph);
            assert!(left.is_empty(), "{of}/{folder}: a circle in {left:?}");
        }
        let is_large = ["moe", "lab", "report", "tasks", "training"].contains(&of.as_str());
        assert!(uses > 10 || !is_large, "{of}: the search finds what is there");
    }
}

#[test]
fn a_circle_by_way_of_the_folder_is_found() {
    let graph = |c: &str| {
        let files = [
            ("mod", "mod a;\nuse b::y::B;\npub use {a::A, c::{C, z::D}};"),
            ("a", "use super::B;"),
            ("b", "use crate::{f::{C, b::B}, g::A};"),
            ("c", c),
        ];
        let files = files.map(|(name, code)| (name.to_string(), code.to_string()));
        files_used("f::", files.into())
    };
    assert!(circles(graph("use crate::A;\nuse super::D;")).is_empty());
    for back in ["use super::A;", "use super::a::X;", "fn c() { crate::f::A::new() }"] {
        let found: Vec<String> = circles(graph(back)).into_keys().collect();
        assert_eq!(found, ["a", "b", "c"], "{back}");
    }
}

#[test]
fn what_is_taken_is_found() {
    let code = "use crate::{a::{b, c}, d, e::f::{g as x},\n};\nuse crate::h::*;\ncrate::j();";
    assert_eq!(taken(code, "crate::"), ["a::b", "a::c", "d", "e::f::g", "h", "j"]);
}
