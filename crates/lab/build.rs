//! Fingerprints of the source code that determines the numbers of a run: a run is trained again if and only
//! if that code changes.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Crates whose code determines the numbers of a run.
const CRATES: [&str; 13] = [
    "kernels",
    "moe",
    "routers",
    "experts",
    "residuals",
    "backbones",
    "npy",
    "raw",
    "soccernet",
    "tasks",
    "pruning",
    "distributed",
    "training",
];

/// Crates with one plug-in per file: such a file counts only for the runs that use the plug-in. Their
/// `lib.rs` is the table of contents, and `conformance` tests the plug-ins: neither counts for any run.
const PLUGINS: [&str; 3] = ["routers", "experts", "residuals"];

fn main() {
    let crates = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("..");
    let mut common = Sha256::new();
    let mut plugins = String::new();
    for name in CRATES {
        let source = crates.join(name).join("src");
        println!("cargo::rerun-if-changed={}", source.display());
        for file in files(&source) {
            let content = fs::read(&file).unwrap();
            let stem = file.file_stem().unwrap().to_string_lossy().to_string();
            match (PLUGINS.contains(&name), stem.as_str()) {
                (true, "lib") => {}
                (true, _) if file.starts_with(source.join("conformance")) => {}
                (true, _) => {
                    let hash = hex(&Sha256::digest(&content));
                    plugins.push_str(&format!("({stem:?}, {hash:?}),\n"));
                }
                (false, _) => {
                    common.update(file.strip_prefix(&crates).unwrap().to_string_lossy().as_bytes());
                    common.update(&content);
                }
            }
        }
    }
    let interop = fingerprint(&crates.join("interop/src"));
    let lock = crates.join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = fs::read_to_string(lock).unwrap_or_default();
    common.update(dependencies(&lock, &CRATES).join("\n"));
    let lock = hex(&Sha256::digest(lock));
    let code = format!(
        "pub(crate) const INTEROP: &str = {interop:?};\npub(crate) const COMMON: &str = {:?};\npub(crate) const LOCK: &str = {lock:?};\n\
         pub(crate) const PLUGINS: &[(&str, &str)] = &[\n{plugins}];\n",
        hex(&common.finalize()),
    );
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap()).join("code.rs"), code).unwrap();
}

/// A digest of all Rust files under a folder.
fn fingerprint(folder: &Path) -> String {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut all = Sha256::new();
    files(folder).iter().for_each(|file| all.update(fs::read(file).unwrap()));
    hex(&all.finalize())
}

/// The direct and indirect dependencies of these packages, each as name, version and checksum: another
/// version of a library may compute other numbers. `lock` is the text of `Cargo.lock`.
fn dependencies(lock: &str, roots: &[&str]) -> Vec<String> {
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = roots.iter().map(|root| root.to_string()).collect();
    while let Some(wanted) = waiting.pop() {
        // A dependency is written "NAME", or "NAME VERSION" if the lock file has several versions.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        for package in &packages {
            let is = |key: &str, value: &str| package.contains(&format!("\n{key} = {value:?}\n"));
            if is("name", name) && version.is_none_or(|version| is("version", version)) {
                let (facts, needs) =
                    package.split_once("dependencies = [").unwrap_or((package, ""));
                if found.insert(facts.trim().replace('\n', ", ")) {
                    waiting.extend(needs.split('"').skip(1).step_by(2).map(str::to_string));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// All Rust files under a folder, in the order of their paths.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
