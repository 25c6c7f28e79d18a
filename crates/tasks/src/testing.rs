//! Helpers of the tests.

use std::path::{Path, PathBuf};

use moe::Choice;

use crate::{DataDigest, DataDir, Task};

/// The data that a task was made from, file by file.
pub(crate) fn digest(folder: &Path, task: &Choice) -> DataDigest {
    let build = crate::all().get(&task.kind).unwrap().build;
    build(task, &DataDir::new(Some(folder.into()))).unwrap().data
}

/// Checks that the digest of a task has exactly these names, the first of which is the file at `path`, and
/// that a change of that file changes its digest alone.
pub(crate) fn check_digest(folder: &Path, task: &Choice, path: &str, names: &[&str]) {
    let before = digest(folder, task);
    assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert_eq!(digest(folder, task), before);
    let path = folder.join(path);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], &bytes].concat()).unwrap();
    assert_eq!(digest(folder, task).differences(&before), names[..1]);
    std::fs::write(&path, bytes).unwrap();
}

/// The folder with the published sets, for tests that are ignored unless they are requested.
pub(crate) fn published() -> DataDir {
    let folder = std::env::var_os("MOELAB_DATA").expect("MOELAB_DATA is the data folder");
    DataDir::new(Some(PathBuf::from(folder)))
}

/// The true super-class of each class.
pub(crate) fn super_classes(task: &dyn Task) -> Option<&[usize]> {
    task.as_clustered().and_then(|task| task.super_classes())
}
