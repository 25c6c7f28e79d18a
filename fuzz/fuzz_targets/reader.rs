//! One reader under libFuzzer; which one, the name of the program says.
#![no_main]

#[path = "../../crates/bench/tests/fuzz/targets.rs"]
#[allow(dead_code, reason = "valid files and shares are for the test")]
mod targets;

use std::{path::Path, sync::OnceLock};

use libfuzzer_sys::fuzz_target;
use targets::Target;

/// The reader, and a folder for it.
fn reader() -> &'static (Target, tempfile::TempDir) {
    static READER: OnceLock<(Target, tempfile::TempDir)> = OnceLock::new();
    READER.get_or_init(|| {
        let program = std::env::args().next().unwrap_or_default();
        let name = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy();
        let target = targets::all().into_iter().find(|target| target.name == name);
        (target.expect("the program has the name of a reader"), tempfile::tempdir().expect("a folder"))
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (target, folder) = reader();
    (target.read)(folder.path(), bytes);
});
