//! The documents a split consists of, in order, and their properties.

use super::tokens::Tokens;
use crate::Property;

/// The end of a document within a split, and the document's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: usize,
    pub(super) text: usize,
}

/// The whole texts of the three splits.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) properties: Vec<Property>,
    /// The ends of documents in train, valid and test; counted in bytes.
    pub(super) ends: [Vec<End>; 3],
}

/// The tokens of a split, and the whole texts that they are from.
pub(super) struct SplitTokens {
    pub(super) tokens: Tokens,
    /// The ends of documents; counted in tokens.
    ends: Vec<End>,
}

impl SplitTokens {
    /// Converts ends in bytes to ends in tokens: a token is from the text that has its first byte.
    pub(super) fn new(tokens: Tokens, ends: &[End]) -> Self {
        let (mut token, mut byte) = (0, 0);
        let end = |end: &End| {
            while byte < end.at && token < tokens.ids.len() {
                byte += tokens.bytes[token] as usize;
                token += 1;
            }
            End { at: token, text: end.text }
        };
        let ends = ends.iter().map(end).collect();
        Self { tokens, ends }
    }

    /// Checks that there is a window of `length` tokens and the token after it; `name` is the name of the
    /// part.
    pub(super) fn check_length(&self, name: &str, length: usize) -> Result<(), String> {
        match self.tokens.ids.len() {
            tokens if tokens > length => Ok(()),
            tokens => Err(format!(
                "{name} has {tokens} tokens, too few for one window of length = {length}"
            )),
        }
    }

    /// The whole text that a token is from, if that is known.
    pub(super) fn source(&self, token: usize) -> Option<usize> {
        let nth = self.ends.partition_point(|end| end.at <= token);
        self.ends.get(nth).or(self.ends.last()).map(|end| end.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_from_the_text_that_has_its_first_byte() {
        let tokens = Tokens { ids: vec![0; 5], bytes: vec![2, 3, 1, 1, 4] };
        let ends = [(4, 7), (6, 8), (11, 9)].map(|(at, text)| End { at, text });
        let part = SplitTokens::new(tokens.clone(), &ends);
        let sources: Vec<usize> = (0..6).filter_map(|token| part.source(token)).collect();
        assert_eq!(sources, [7, 7, 8, 9, 9, 9]);
        assert_eq!(SplitTokens::new(tokens, &[]).source(0), None);
    }
}
