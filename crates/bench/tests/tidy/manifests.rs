//! The dependencies of the crates.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{files, names, read, root};

/// The crates of the workspace on which a crate may depend, except in tests.
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
        // The crate has no code, only the features of other packages.
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

/// With this feature, sums use as many lanes as the processor has: docs/performance.md.
#[test]
fn no_crate_turns_on_burns_simd() {
    for path in files(&root(), "Cargo.toml") {
        let manifest: toml::Table = read(&path).parse().expect("a manifest is TOML");
        assert!(!asks_for_simd(&manifest), "{}: burn's feature simd", path.display());
    }
}

/// Whether a manifest, or a table in it, enables the feature `simd` of a package of Burn.
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
