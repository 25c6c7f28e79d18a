//! The registry of tasks.

use std::sync::Arc;

use moe::{Choice, Entry, Registry, read};
use serde_json::json;

use crate::{DataDigest, DataDir, DataError, LoadTask, Split, Task};

/// The loader of a registered task.
pub type BuildTask = fn(&Choice, &DataDir) -> Result<LoadedTask, DataError>;

/// A task, with the digests of the data that it was made from.
#[derive(Clone)]
pub struct LoadedTask {
    /// The task.
    pub task: Arc<dyn Task>,
    /// The digests of all files and embedded sets that went into it.
    pub data: DataDigest,
}

/// Tasks by name.
#[derive(Clone)]
pub struct Tasks(Registry<BuildTask>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(Registry::new("task"))
    }

    /// Adds a task under its [`LoadTask::NAME`].
    pub fn with<T: LoadTask>(mut self) -> Self {
        let build: BuildTask = |choice, data| {
            let data = data.unread();
            let task = T::load(&read("task", choice)?, &data)?;
            check_splits(T::NAME, &*task)?;
            Ok(LoadedTask { task, data: data.digest() })
        };
        let facts = json!({ "source": T::SOURCE });
        self.0.add(T::NAME, Entry::new::<T::Config>(T::ABOUT, "", facts, build));
        self
    }
}

/// Checks that no split is empty.
pub(crate) fn check_splits(name: &'static str, task: &dyn Task) -> Result<(), DataError> {
    let counts = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
    match counts.contains(&0) {
        true => Err(DataError::EmptySplit { task: name, counts }),
        false => Ok(()),
    }
}

impl std::ops::Deref for Tasks {
    type Target = Registry<BuildTask>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Whether the labels of two tasks have the same meaning: the tasks differ at most in the selection of
/// examples and in the form in which these are shown.
pub fn same_answers(a: &Choice, b: &Choice) -> bool {
    const SHOWN: [&str; 10] = [
        "train",
        "valid",
        "test",
        "side",
        "augment",
        "corrupt",
        "attack",
        "stream",
        "choices",
        "label_noise",
    ];
    let keys = a.options.keys().chain(b.options.keys());
    let mut telling = keys.filter(|key| !SHOWN.contains(&key.as_str()));
    a.kind == b.kind && telling.all(|key| a.options.get(key) == b.options.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all;

    #[test]
    fn embedded_sets_have_a_digest_and_generated_data_have_none() {
        let names = |task: &str| -> Vec<String> {
            let loaded = (all().get(task).unwrap().build)(&Choice::of(task), &DataDir::default());
            loaded.unwrap().data.iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names("digits"), ["digits/labels", "digits/pixels"]);
        assert_eq!(names("tanaka-lm"), ["tanaka"]);
        assert!(names("patterns").is_empty());
    }

    #[test]
    fn other_images_have_the_same_answers_and_other_classes_do_not() {
        let digits = |key: &str, value: serde_json::Value| Choice::of("digits").with(key, value);
        let plain = Choice::of("digits");
        assert!(same_answers(&plain, &digits("side", json!(12))));
        assert!(same_answers(&digits("corrupt", json!("jpeg 3")), &digits("train", json!(100))));
        assert!(!same_answers(&plain, &digits("classes", json!([1, 2]))));
        assert!(!same_answers(&plain, &Choice::of("mnist")));
    }
}
