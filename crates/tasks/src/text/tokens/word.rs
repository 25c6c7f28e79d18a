//! Words as tokens: the text between white space, and `<eos>` at the end of each line.
//!
//! Merity et al. *Pointer Sentinel Mixture Models*. ICLR 2017. <https://arxiv.org/abs/1609.07843>: the
//! tokens of WikiText, where words that are too rare are `<unk>`.
//!
//! Differs from the published code of language models on WikiText: the vocabulary has the words of the
//! training text alone, and other words of validation and test are `<unk>`. The published vocabulary has the
//! words of all three texts.

use std::{cmp::Reverse, collections::HashMap};

use moe::config;

use super::{Tokenizer, Tokens};

config! {
    /// Settings of the vocabulary of words.
    pub struct WordConfig {
        /// The largest size of the vocabulary, `<unk>` and `<eos>` included: the most frequent words of
        /// the training text, ties broken alphabetically. All words if left out.
        pub most: Option<usize> = None,
    }
}

const UNK: usize = 0;
const EOS: usize = 1;
const MARKS: [&str; 2] = ["<unk>", "<eos>"];

/// Words of a training text.
pub struct Word {
    words: Vec<String>,
    ids: HashMap<String, usize>,
}

impl Word {
    /// The words of the training text; invalid UTF-8 is read as replacement characters.
    ///
    /// # Errors
    /// If no word could have a token.
    pub fn new(config: &WordConfig, train: &[u8]) -> Result<Self, String> {
        let most = config.most.unwrap_or(usize::MAX);
        if most <= MARKS.len() {
            return Err(format!("most = {most}: must be at least {}", MARKS.len() + 1));
        }
        let text = String::from_utf8_lossy(train);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for word in text.split_whitespace().filter(|word| !MARKS.contains(word)) {
            *counts.entry(word).or_default() += 1;
        }
        let mut words: Vec<(Reverse<usize>, &str)> =
            counts.into_iter().map(|(word, count)| (Reverse(count), word)).collect();
        words.sort_unstable();
        let words = MARKS.into_iter().chain(words.into_iter().map(|(_, word)| word));
        let words: Vec<String> = words.take(most).map(str::to_string).collect();
        let ids = words.iter().enumerate().map(|(id, word)| (word.clone(), id)).collect();
        Ok(Self { words, ids })
    }
}

impl Tokenizer for Word {
    fn vocab(&self) -> usize {
        self.words.len()
    }

    /// White space is counted with the token after it.
    fn encode(&self, text: &[u8]) -> Tokens {
        let text = String::from_utf8_lossy(text);
        let mut tokens = Tokens::default();
        for line in text.split_inclusive('\n') {
            let end = |word: &str| word.as_ptr() as usize + word.len() - line.as_ptr() as usize;
            let mut done = 0;
            for word in line.split_whitespace() {
                let id = self.ids.get(word).copied().unwrap_or(UNK);
                tokens.push(id, end(word) - done);
                done = end(word);
            }
            if line.ends_with('\n') {
                tokens.push(EOS, line.len() - done);
            }
        }
        tokens
    }

    fn show(&self, id: usize) -> String {
        self.words.get(id).unwrap_or(&self.words[UNK]).clone()
    }

    /// Words with a space between them, a line for each `<eos>`.
    fn decode(&self, ids: &[usize]) -> String {
        let mut text = String::new();
        for id in ids {
            match *id {
                EOS => text.push('\n'),
                id => {
                    let begins = text.is_empty() || text.ends_with('\n');
                    text += if begins { "" } else { " " };
                    text += &self.show(id);
                }
            }
        }
        text
    }

    fn unknown(&self) -> Option<usize> {
        Some(UNK)
    }

    fn words(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(most: Option<usize>, train: &str) -> Word {
        Word::new(&WordConfig { most }, train.as_bytes()).unwrap()
    }

    #[test]
    fn lines_end_with_a_token_and_unseen_words_are_unknown() {
        let word = word(None, "the cat\n the dog <unk> \n");
        assert_eq!(word.words, ["<unk>", "<eos>", "the", "cat", "dog"]);
        let text = " the  bird\n\nthe <unk>";
        let tokens = word.encode(text.as_bytes());
        // " the", "  bird", "\n", "\n", "the", " <unk>"; the last line has no end.
        assert_eq!((tokens.ids, tokens.bytes), (vec![2, 0, 1, 1, 2, 0], vec![4, 6, 1, 1, 3, 6]));
        assert_eq!(word.decode(&[2, 0, 1, 1, 2, 4]), "the <unk>\n\nthe dog");
    }

    #[test]
    fn every_byte_belongs_to_a_token() {
        let text = "\t a\u{3000}bé \r\n  \nend  \n";
        let tokens = word(None, text).encode(text.as_bytes());
        assert_eq!(tokens.bytes.iter().sum::<u32>() as usize, text.len());
        assert_eq!(tokens.ids.len(), 6);
    }

    #[test]
    fn a_vocabulary_that_would_overflow_keeps_the_frequent_words() {
        let word = word(Some(4), "b c a a b a c d\n");
        assert_eq!(word.words, ["<unk>", "<eos>", "a", "b"]);
        assert_eq!(word.encode(b"a b c d\n").ids, [2, 3, 0, 0, 1]);
        let wrong = Word::new(&WordConfig { most: Some(2) }, b"a").err().unwrap();
        assert_eq!(wrong, "most = 2: must be at least 3");
    }
}
