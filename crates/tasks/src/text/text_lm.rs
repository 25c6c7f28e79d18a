//! Language modelling on plain text of your own: a file, or a folder of them.
//!
//! The first nine tenths are for training, a twentieth for validation, the last twentieth for test:
//! running text is best split by position, so that no sentence is cut into two splits. Where texts for
//! validation and test have files of their own, those are named.

use std::{path::PathBuf, sync::Arc};

use moe::{Choice, ConfigError, config};

use super::{
    files,
    sources::Sources,
    stream::{Stream, Streams, TextSettings},
    tokens::any_bytes,
};
use crate::{DataDir, DataError, LoadTask, Task};

config! {
    /// Settings of the text and its windows.
    pub struct TextLmConfig {
        /// The file, or a folder whose `.txt` files are read by name, relative to the data folder.
        /// `"tinyshakespeare"` is that set.
        pub file: String = "tinyshakespeare/input.txt".into(),
        /// The file or folder for validation; a part of `file` if left out.
        pub valid: Option<String> = None,
        /// The file or folder for test; a part of `file` if left out.
        pub test: Option<String> = None,
        /// The number of parts of equal length into which `file` is cut: the last is for test, the one before
        /// it for validation, unless these have their own files.
        pub parts: usize = 20,
        /// Tokens in a window, T.
        pub length: usize = 64,
        /// The share of words replaced by AAA when the test text is measured under attack; 0 for no attack.
        pub attack: f64 = 0.0,
        /// The tokeniser: `"ascii"`, `"byte"`, `"character"`, `"word"`,
        /// `{ kind = "word", most = 5000 }`, `{ kind = "bpe", vocab = 1000 }`.
        pub tokens: Choice = Choice::of("ascii"),
        /// The order of windows: `"windows"` (shuffled) or `"contiguous"`.
        pub stream: Stream = Stream::Windows,
        /// A file of multiple-choice questions that the network answers by likelihood, one line of JSON each:
        /// `{"context": "...", "choices": ["...", "..."], "answer": 0}`. They are evaluated with the test
        /// split.
        pub choices: Option<String> = None,
    }
}

/// Next-token prediction on a text.
pub struct TextLm;

impl LoadTask for TextLm {
    type Config = TextLmConfig;
    const NAME: &'static str = "text-lm";
    const ABOUT: &'static str = "next-token prediction on your own text files (--data-dir)";
    const SOURCE: &'static str = "plain text files";

    fn load(config: &TextLmConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let TextLmConfig { length, attack, ref tokens, stream, .. } = *config;
        let (path, texts) = texts(config, data)?;
        let short = |message| DataError::Content { path: path.clone(), message };
        let choices = config.choices.as_deref();
        let shown =
            TextSettings { task: Self::NAME, length, attack, tokens, stream, choices, data };
        let texts = texts.each_ref().map(Vec::as_slice);
        Ok(Arc::new(Streams::new(texts, &shown, Sources::default(), short)?))
    }
}

/// The path of `file`, and the texts for training, validation and test.
fn texts(config: &TextLmConfig, data: &DataDir) -> Result<(PathBuf, [Vec<u8>; 3]), DataError> {
    let utf8 = !any_bytes(&config.tokens);
    let read = |file: &str| match file {
        "tinyshakespeare" => files::text(data, "tinyshakespeare/input.txt", utf8),
        file => files::text(data, file, utf8),
    };
    let own = |file: &Option<String>| file.as_deref().map(read).transpose();
    let (path, text) = read(&config.file)?;
    let (valid, test) = (own(&config.valid)?, own(&config.test)?);
    let parts = config.parts;
    let held_out = usize::from(valid.is_none()) + usize::from(test.is_none());
    if parts <= held_out {
        let name = TextLm::NAME.into();
        let message = format!("parts = {parts}: must be at least {}", held_out + 1);
        Err(ConfigError::Invalid { what: "task", name, message })?;
    }
    let cut = |from_end: usize| files::whole_letter(&text, text.len() / parts * (parts - from_end));
    let ends = match (&valid, &test) {
        (None, None) => [cut(2), cut(1)],
        (None, Some(_)) => [cut(1), text.len()],
        (Some(_), None) => [cut(1); 2],
        (Some(_), Some(_)) => [text.len(); 2],
    };
    let part = |own: Option<(PathBuf, Vec<u8>)>, part: &[u8]| match own {
        Some((_, text)) => text,
        None => part.to_vec(),
    };
    let valid = part(valid, &text[ends[0]..ends[1]]);
    let test = part(test, &text[ends[1]..]);
    Ok((path, [text[..ends[0]].to_vec(), valid, test]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Split,
        testing::{check_digest, digest},
    };

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(files: &[(&str, &str)]) -> Self {
            let place = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(place.path().join(name), text).unwrap();
            }
            Self(place)
        }

        fn load(&self, config: &TextLmConfig) -> Result<Arc<dyn Task>, DataError> {
            TextLm::load(config, &DataDir::new(Some(self.0.path().into())))
        }

        fn lengths(&self, config: &TextLmConfig) -> [usize; 3] {
            let task = self.load(config).unwrap();
            [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split))
        }
    }

    fn config(file: &str, length: usize) -> TextLmConfig {
        TextLmConfig { file: file.into(), length, ..TextLmConfig::default() }
    }

    #[test]
    fn the_parts_are_cut_by_position() {
        let place = Place::new(&[("a.txt", &"0123456789".repeat(20))]);
        // 180 bytes, (180 - 1) / 4; and 10 bytes each.
        assert_eq!(place.lengths(&config("a.txt", 4)), [44, 2, 2]);
        let thirds = TextLmConfig { parts: 3, ..config("a.txt", 4) };
        assert_eq!(place.lengths(&thirds), [16, 16, 16]); // 66, 66 and 68 bytes
        let err = place.load(&config("a.txt", 10)).err().unwrap().to_string();
        assert!(err.contains("its valid part has 10 tokens, too few for one window of"), "{err}");
        let err = place.load(&TextLmConfig { parts: 2, ..thirds }).err().unwrap().to_string();
        assert!(err.contains("parts = 2: must be at least 3"), "{err}");
    }

    #[test]
    fn splits_may_have_files_of_their_own() {
        let text = "0123456789".repeat(10);
        let place = Place::new(&[("a.txt", &text), ("b.txt", &text[..50]), ("c.txt", &text[..30])]);
        let name = |name: &str| Some(name.to_string());
        let both = TextLmConfig { valid: name("b.txt"), test: name("c.txt"), ..config("a.txt", 9) };
        assert_eq!(place.lengths(&both), [11, 5, 3]);
        let one = TextLmConfig { test: None, parts: 5, ..both.clone() };
        assert_eq!(place.lengths(&one), [8, 5, 2]);
        let one = TextLmConfig { valid: None, parts: 5, ..both.clone() };
        assert_eq!(place.lengths(&one), [8, 2, 3]);
        let missing = TextLmConfig { valid: name("d.txt"), ..both };
        assert!(place.load(&missing).err().unwrap().to_string().contains("d.txt"));
    }

    #[test]
    fn every_file_that_is_read_is_in_the_digest() {
        let text = "0123456789".repeat(20);
        let question = r#"{"context": "01", "choices": ["2", "3"], "answer": 0}"#;
        let files = [("b.txt", &text[..]), ("c.txt", &text), ("q.jsonl", question), ("x", "no")];
        let place = Place::new(&files);
        std::fs::create_dir(place.0.path().join("a")).unwrap();
        for name in ["a/1.txt", "a/2.txt"] {
            std::fs::write(place.0.path().join(name), &text).unwrap();
        }
        let task = Choice::of("text-lm").with("file", "a").with("valid", "b.txt");
        let task = task.with("test", "c.txt").with("choices", "q.jsonl").with("length", 4);
        let names = ["a/1.txt", "a/2.txt", "b.txt", "c.txt", "q.jsonl"];
        check_digest(place.0.path(), &task, "a/1.txt", &names);
    }

    #[test]
    fn the_file_of_the_tokeniser_is_in_the_digest() {
        // Words of a fixed list, which two vocabularies number differently.
        let json = |vocab: &str| {
            format!(
                r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": null, "pre_tokenizer": {{"type": "Whitespace"}}, "decoder": null,
                "post_processor": null, "model": {{"type": "WordLevel", "unk_token": "[UNK]",
                "vocab": {{{vocab}}}}}}}"#
            )
        };
        let text = "one two three ".repeat(60);
        let first = json(r#""[UNK]": 0, "one": 1, "two": 2"#);
        let place = Place::new(&[("a.txt", &text), ("tokenizer.json", &first)]);
        let tokens = serde_json::json!({ "kind": "bpe", "file": "tokenizer.json" });
        let task = Choice::of("text-lm").with("file", "a.txt").with("length", 4);
        let task = task.with("tokens", tokens);
        let before = digest(place.0.path(), &task);
        let names: Vec<&str> = before.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.txt", "tokenizer.json"]);
        let second = json(r#""[UNK]": 0, "one": 2, "two": 1"#);
        std::fs::write(place.0.path().join("tokenizer.json"), second).unwrap();
        assert_eq!(digest(place.0.path(), &task).differences(&before), ["tokenizer.json"]);
    }

    #[test]
    fn no_letter_is_cut_in_two() {
        let place = Place::new(&[("a.txt", &"日".repeat(100))]);
        let characters =
            TextLmConfig { tokens: Choice::of("character"), parts: 7, ..config("a.txt", 3) };
        let task = place.load(&characters).unwrap();
        assert_eq!(task.outputs(), 2, "one character, and all others");
    }
}
