//! Fingerprints of the source code on which the numbers of a run depend, so that a run is trained
//! again when that code changes, and only then.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Crates whose code makes the numbers of a run.
const CRATES: [&str; 9] = [
    "kernels",
    "moe",
    "routers",
    "experts",
    "residuals",
    "backbones",
    "tasks",
    "pruning",
    "training",
];

/// Crates with one plug-in a file: such a file counts for the runs that use the plug-in. Their
/// `lib.rs` is the table of contents, and `conformance` tests them: both count for none.
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
    let lock = crates.join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = fs::read(lock).map(|bytes| hex(&Sha256::digest(bytes))).unwrap_or_default();
    let code = format!(
        "pub(crate) const COMMON: &str = {:?};\npub(crate) const LOCK: &str = {lock:?};\n\
         pub(crate) const PLUGINS: &[(&str, &str)] = &[\n{plugins}];\n",
        hex(&common.finalize()),
    );
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap()).join("code.rs"), code).unwrap();
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
