//! The interface of tokenisers; they are in `text/tokens`, one file each.

/// Text to numbers and back.
pub trait Tokenizer: Send + Sync {
    /// The size of the vocabulary.
    fn vocab(&self) -> usize;

    /// The tokens of a text.
    fn encode(&self, text: &[u8]) -> Tokens;

    /// The displayed form of a token.
    fn show(&self, id: usize) -> String;

    /// The text of some tokens.
    fn decode(&self, ids: &[usize]) -> String {
        ids.iter().map(|id| self.show(*id)).collect()
    }

    /// The token for text that has no token of its own, if there is one.
    fn unknown(&self) -> Option<usize> {
        None
    }

    /// The `tokenizer.json` with which other programs produce the same tokens, if there is one.
    fn file(&self) -> Option<String> {
        None
    }

    /// Whether tokens are words, so that perplexity is measured per word.
    fn words(&self) -> bool {
        false
    }
}

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// The number of each token, below the vocabulary's size.
    pub ids: Vec<i32>,
    /// The number of bytes of text that each token stands for; they sum to the length of the text.
    pub bytes: Vec<u32>,
}

impl Tokens {
    /// Adds a token that stands for some bytes.
    pub(crate) fn push(&mut self, id: usize, bytes: usize) {
        self.ids.push(id as i32);
        self.bytes.push(bytes as u32);
    }
}
