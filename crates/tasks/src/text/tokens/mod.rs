//! Tokenisers: text to numbers and back, one file each.
//!
//! What a tokeniser knows it has from the training split alone, so a run's tokeniser follows from its
//! config and its data.

mod ascii;
mod byte;
mod character;
mod word;

pub use ascii::Ascii;
pub use byte::Byte;
pub use character::Character;
pub use word::{Word, WordConfig};

use std::sync::Arc;

use moe::{Choice, ConfigError, NoConfig, read};

/// Text to numbers and back.
pub trait Tokenizer: Send + Sync {
    /// How many tokens there are.
    fn vocab(&self) -> usize;

    /// The tokens of a text.
    fn encode(&self, text: &[u8]) -> Tokens;

    /// A token as people read it.
    fn show(&self, id: usize) -> String;

    /// The text of some tokens.
    fn decode(&self, ids: &[usize]) -> String {
        ids.iter().map(|id| self.show(*id)).collect()
    }

    /// The token for what has none, if there is such.
    fn unknown(&self) -> Option<usize> {
        None
    }

    /// Is a token a word? Then perplexity is a measure that people know.
    fn words(&self) -> bool {
        false
    }
}

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// The number of each token, below the vocabulary's size.
    pub ids: Vec<i32>,
    /// The bytes of text that each token stands for; together they are the text's.
    pub bytes: Vec<u32>,
}

impl Tokens {
    fn push(&mut self, id: usize, bytes: usize) {
        self.ids.push(id as i32);
        self.bytes.push(bytes as u32);
    }
}

/// The names of the tokenisers.
const KNOWN: &str = "ascii, byte, character, word";

/// The tokeniser of a task's option `tokens`, made from the text for training.
///
/// # Errors
/// If there is none of that name, its hyperparameters are wrong, or the text is not for it.
pub(crate) fn learn(
    task: &'static str,
    tokens: &Choice,
    train: &[u8],
) -> Result<Arc<dyn Tokenizer>, ConfigError> {
    let located = |err| match err {
        ConfigError::Key { key, message, .. } => ConfigError::Key {
            what: "task",
            name: task.into(),
            key: format!("tokens.{key}"),
            message,
        },
        other => other,
    };
    let plain = || read::<NoConfig>("task", tokens).map_err(located);
    Ok(match tokens.kind.as_str() {
        "ascii" => plain().map(|_| Arc::new(Ascii))?,
        "byte" => plain().map(|_| Arc::new(Byte))?,
        "character" => plain().map(|_| Arc::new(Character::new(train)))?,
        "word" => {
            let config: WordConfig = read("task", tokens).map_err(located)?;
            Arc::new(Word::new(&config, train).map_err(|message| ConfigError::Key {
                what: "task",
                name: task.into(),
                key: "tokens".into(),
                message,
            })?)
        }
        other => {
            return Err(ConfigError::Key {
                what: "task",
                name: task.into(),
                key: "tokens".into(),
                message: format!("no tokens are named {other:?}; known: {KNOWN}"),
            });
        }
    })
}

/// Do these tokens take any bytes, and not only text in UTF-8?
pub(crate) fn any_bytes(tokens: &Choice) -> bool {
    ["ascii", "byte"].contains(&tokens.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_chosen_by_name_and_what_is_wrong_is_named() {
        for kind in KNOWN.split(", ") {
            let tokenizer = learn("text-lm", &Choice::of(kind), b"one two\n").unwrap();
            let tokens = tokenizer.encode("two one\nthree".as_bytes());
            assert_eq!(tokens.bytes.iter().sum::<u32>(), 13, "{kind}");
            assert!(tokens.ids.iter().all(|id| (0..tokenizer.vocab() as i32).contains(id)));
            assert!((0..tokenizer.vocab()).all(|id| !tokenizer.show(id).is_empty()), "{kind}");
        }
        let wrong = |choice: Choice| learn("text-lm", &choice, b"").err().unwrap().to_string();
        let err = wrong(Choice::of("wrod"));
        assert!(err.contains("no tokens are named \"wrod\"; known: ascii, byte"), "{err}");
        let err = wrong(Choice::of("word").with("mots", 3));
        assert!(err.contains("tokens.mots: unknown field `mots`, expected `most`"), "{err}");
        assert!(wrong(Choice::of("byte").with("most", 3)).contains("tokens.most"));
        assert!(wrong(Choice::of("word").with("most", 1)).contains("most = 1: it is at least 3"));
    }
}
