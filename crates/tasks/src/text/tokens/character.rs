//! Characters as tokens: those of the training text in the order of their code points, and one token
//! for all others.

use std::collections::{BTreeSet, HashMap};

use super::{Tokenizer, Tokens};

/// Characters of a training text.
pub struct Character {
    letters: Vec<char>,
    ids: HashMap<char, usize>,
}

impl Character {
    /// The characters of the training text; invalid UTF-8 counts as one more character.
    pub fn new(train: &[u8]) -> Self {
        let letters: BTreeSet<char> = String::from_utf8_lossy(train).chars().collect();
        let letters: Vec<char> = letters.into_iter().collect();
        let ids = letters.iter().enumerate().map(|(id, letter)| (*letter, id)).collect();
        Self { letters, ids }
    }
}

impl Tokenizer for Character {
    fn vocab(&self) -> usize {
        self.letters.len() + 1
    }

    fn encode(&self, text: &[u8]) -> Tokens {
        let mut tokens = Tokens::default();
        for letter in String::from_utf8_lossy(text).chars() {
            let id = self.ids.get(&letter).copied().unwrap_or(self.letters.len());
            tokens.push(id, letter.len_utf8());
        }
        tokens
    }

    /// The token for characters that do not occur in the training text is shown as a replacement character.
    fn show(&self, id: usize) -> String {
        self.letters.get(id).copied().unwrap_or(char::REPLACEMENT_CHARACTER).into()
    }

    fn unknown(&self) -> Option<usize> {
        Some(self.letters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_numbered_in_order_and_others_are_one_token() {
        let character = Character::new("bäb a\n".as_bytes());
        assert_eq!(character.vocab(), 6); // line break, space, a, b, ä, and the others
        let tokens = character.encode("äzb".as_bytes());
        assert_eq!((tokens.ids, tokens.bytes), (vec![4, 5, 3], vec![2, 1, 1]));
        assert_eq!(character.decode(&[2, 4, 5]), "aä\u{fffd}");
    }
}
