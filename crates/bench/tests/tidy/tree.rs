//! The files of the workspace, and the code in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is there")
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

pub(crate) fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().to_string()).collect()
}

/// The name of a file without its extension.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().to_string()
}

/// All files under a folder with this ending, except those of builds, runs and git.
pub(crate) fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let skipped = ["target", "runs", ".git"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !skipped {
            found.extend(files(&path, end));
        } else if path.is_file() && path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// The source files of a crate.
pub(crate) fn sources(of: &str) -> Vec<(PathBuf, String)> {
    let files = files(&root().join("crates").join(of).join("src"), ".rs");
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// A file without its comments and without code that is compiled only for tests.
pub(crate) fn code(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            code.push(line);
            continue;
        }
        // The end of the item after it: one line, or up to a brace with the same indentation.
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
