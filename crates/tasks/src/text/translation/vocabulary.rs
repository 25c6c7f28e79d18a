//! One vocabulary for both languages, with two additional tokens: the beginning of a target and the end of a
//! sentence.

use std::sync::Arc;

use moe::Choice;

use super::{NAME, pairs::Pair};
use crate::{
    DataDir, DataError,
    text::tokens::{Tokenizer, learn},
};

/// One vocabulary for both languages.
pub(super) struct Vocabulary {
    pub(super) tokenizer: Arc<dyn Tokenizer>,
}

/// A sentence pair as tokens.
pub(super) struct Encoded {
    /// The source, with its end token.
    pub(super) source: Vec<i32>,
    /// The target, without an end token.
    pub(super) target: Vec<i32>,
    /// The bytes of each token of the target.
    pub(super) bytes: Vec<u32>,
}

impl Vocabulary {
    /// Learns the vocabulary from both sides of the training pairs.
    pub(super) fn new(tokens: &Choice, train: &[Pair], data: &DataDir) -> Result<Self, DataError> {
        let lines = train.iter().flat_map(|pair| [&pair.source, "\n", &pair.target, "\n"]);
        let text: String = lines.collect();
        Ok(Self { tokenizer: learn(NAME, tokens, text.as_bytes(), data)? })
    }

    /// The number of all tokens.
    pub(super) fn len(&self) -> usize {
        self.tokenizer.vocab() + 2
    }

    /// The token before the first one of a target.
    pub(super) fn begin(&self) -> i32 {
        self.tokenizer.vocab() as i32
    }

    /// The token after the last one of a sentence.
    pub(super) fn end(&self) -> i32 {
        self.begin() + 1
    }

    /// The tokens of a source, with its end token.
    pub(super) fn source(&self, sentence: &str) -> Vec<i32> {
        let mut ids = self.tokenizer.encode(sentence.as_bytes()).ids;
        ids.push(self.end());
        ids
    }

    pub(super) fn encode(&self, pair: &Pair) -> Encoded {
        let target = self.tokenizer.encode(pair.target.as_bytes());
        Encoded { source: self.source(&pair.source), target: target.ids, bytes: target.bytes }
    }

    /// The text of tokens; begin and end tokens have none.
    pub(super) fn text(&self, ids: &[i32]) -> String {
        let words = ids.iter().map(|id| *id as usize).filter(|id| *id < self.tokenizer.vocab());
        self.tokenizer.decode(&words.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(tokens: Choice) -> Vocabulary {
        let pair =
            |source: &str, target: &str| Pair { source: source.into(), target: target.into() };
        let pairs = [pair("a dog", "ein Hund"), pair("two dogs", "zwei Hunde")];
        Vocabulary::new(&tokens, &pairs, &DataDir::default()).unwrap()
    }

    #[test]
    fn both_languages_share_tokens_and_come_back() {
        for (tokens, most) in
            [(Choice::of("bpe").with("vocab", 258), 258), (Choice::of("byte"), 256)]
        {
            let vocabulary = vocabulary(tokens);
            assert_eq!(vocabulary.len(), most + 2);
            assert_eq!([vocabulary.begin(), vocabulary.end()], [most as i32, most as i32 + 1]);
            let pair = Pair { source: "zwei dogs".into(), target: "two Hunde".into() };
            let encoded = vocabulary.encode(&pair);
            assert_eq!(encoded.source.last(), Some(&vocabulary.end()));
            assert_eq!(vocabulary.text(&encoded.source), "zwei dogs");
            assert_eq!(vocabulary.text(&encoded.target), "two Hunde");
            assert_eq!(encoded.bytes.iter().sum::<u32>(), 9);
        }
    }
}
