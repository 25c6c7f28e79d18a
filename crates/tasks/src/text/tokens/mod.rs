//! Tokenisers: text to numbers and back, one file each.
//!
//! A tokeniser is fitted on the training split alone, so a run's tokeniser follows from its config and
//! its data.

mod ascii;
mod bpe;
mod byte;
mod character;
mod expressions;
mod word;

pub use ascii::Ascii;
pub use bpe::Bpe;
pub use byte::Byte;
pub use character::Character;
pub use word::{Word, WordConfig};

use std::sync::Arc;

use moe::{Choice, ConfigError, NoConfig, config, read};

pub use crate::tokenizer::{Tokenizer, Tokens};
use crate::{DataDir, DataError};

config! {
    /// Tokens of several bytes, by byte-pair encoding.
    pub struct BpeConfig {
        /// The largest size of a vocabulary trained on the training text, the 256 bytes included.
        pub vocab: usize = 1000,
        /// A `tokenizer.json` in the data folder that defines the tokens instead. It may be of any kind that
        /// the crate tokenizers supports.
        pub file: Option<String> = None,
        /// The size of the vocabulary where a network knows more tokens than the file has.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size: Option<usize> = None,
    }
}

/// The names of the tokenisers.
const KNOWN: &str = "ascii, byte, character, word, bpe";

/// The tokeniser of a task's option `tokens`, made from the text for training.
///
/// # Errors
/// If no tokeniser has that name, or if its hyperparameters or its file are invalid.
pub(crate) fn learn(
    task: &'static str,
    tokens: &Choice,
    train: &[u8],
    data: &DataDir,
) -> Result<Arc<dyn Tokenizer>, DataError> {
    let wrong = |key: String, message: String| {
        let name = task.into();
        DataError::from(ConfigError::Key { what: "task", name, key, message })
    };
    let located = |err| match err {
        ConfigError::Key { key, message, .. } => wrong(format!("tokens.{key}"), message),
        other => other.into(),
    };
    let plain = || read::<NoConfig>("task", tokens).map_err(located);
    let key = || "tokens".to_string();
    Ok(match tokens.kind.as_str() {
        "ascii" => plain().map(|_| Arc::new(Ascii))?,
        "byte" => plain().map(|_| Arc::new(Byte))?,
        "character" => plain().map(|_| Arc::new(Character::new(train)))?,
        "word" => {
            let config: WordConfig = read("task", tokens).map_err(located)?;
            Arc::new(Word::new(&config, train).map_err(|message| wrong(key(), message))?)
        }
        "bpe" => {
            let config: BpeConfig = read("task", tokens).map_err(located)?;
            pairs(&config, train, data, |message| wrong(key(), message))?
        }
        other => {
            let message = format!("no tokeniser is named {other:?}; known: {KNOWN}");
            return Err(wrong(key(), message));
        }
    })
}

fn pairs(
    config: &BpeConfig,
    train: &[u8],
    data: &DataDir,
    wrong: impl Fn(String) -> DataError,
) -> Result<Arc<dyn Tokenizer>, DataError> {
    if let (Some(size), None) = (config.size, &config.file) {
        return Err(wrong(format!(
            "tokens.size = {size}: requires tokens.file; without a file set tokens.vocab"
        )));
    }
    Ok(Arc::new(match &config.file {
        None => Bpe::train(config.vocab, &String::from_utf8_lossy(train)).map_err(wrong)?,
        Some(file) => {
            let (path, json) = data.read(file)?;
            let read = Bpe::read(&json).and_then(|bpe| bpe.sized(config.size));
            read.map_err(|message| DataError::Content { path, message })?
        }
    }))
}

/// Whether these tokens can encode any bytes, and not only text in UTF-8.
pub(crate) fn any_bytes(tokens: &Choice) -> bool {
    ["ascii", "byte"].contains(&tokens.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_chosen_by_name_and_what_is_wrong_is_named() {
        let data = DataDir::default();
        for kind in KNOWN.split(", ") {
            let tokenizer = learn("text-lm", &Choice::of(kind), b"one two\n", &data).unwrap();
            let tokens = tokenizer.encode("two one\nthree".as_bytes());
            assert_eq!(tokens.bytes.iter().sum::<u32>(), 13, "{kind}");
            assert!(tokens.ids.iter().all(|id| (0..tokenizer.vocab() as i32).contains(id)));
            assert!((0..tokenizer.vocab()).all(|id| !tokenizer.show(id).is_empty()), "{kind}");
        }
        let wrong =
            |choice: Choice| learn("text-lm", &choice, b"", &data).err().unwrap().to_string();
        let err = wrong(Choice::of("wrod"));
        assert!(err.contains("no tokeniser is named \"wrod\"; known: ascii, byte"), "{err}");
        let err = wrong(Choice::of("word").with("mots", 3));
        assert!(err.contains("tokens.mots: unknown key `mots`, expected `most`"), "{err}");
        assert!(wrong(Choice::of("byte").with("most", 3)).contains("tokens.most"));
        assert!(wrong(Choice::of("bpe").with("vocap", 3)).contains("tokens.vocap"));
        let err = wrong(Choice::of("bpe").with("vocab", 3));
        assert!(err.contains("must be at least 256"), "{err}");
        assert!(wrong(Choice::of("word").with("most", 1)).contains("most = 1: must be at least 3"));
    }
}
