//! Language modelling on short English sentences, the default text task.
//!
//! Tanaka Corpus, maintained by EDRDG, <https://www.edrdg.org/wiki/index.php/Tanaka_Corpus>
//! (CC BY 2.0 FR), as shipped by the crate tanaka: the English side of its checked part, one
//! sentence a line.
//!
//! Neighbours in the corpus are often variants of one another, so a random split would leak. Whole blocks of
//! 100 neighbours go to one split, by a hash of the block's number: a twentieth each to test and validation.
//! Their sentences that also occur in training are left out.

use std::{collections::HashSet, sync::Arc};

use moe::{Choice, ConfigError, config, stable_hash};
use tanaka::data::EXAMPLES_SUBSET;

use super::{
    sources::Sources,
    stream::{Stream, Streams, TextSettings},
};
use crate::{DataDir, DataError, LoadTask, Split, Task};

config! {
    /// Settings of the windows of sentences.
    pub struct TanakaLmConfig {
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

/// Next-token prediction on English sentences.
pub struct TanakaLm;

impl LoadTask for TanakaLm {
    type Config = TanakaLmConfig;
    const NAME: &'static str = "tanaka-lm";
    const ABOUT: &'static str = "next-token prediction on 1.2 MB of short English sentences";
    const SOURCE: &'static str = "Tanaka Corpus, EDRDG, https://www.edrdg.org (CC BY 2.0 FR)";

    fn load(config: &TanakaLmConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let TanakaLmConfig { length, attack, ref tokens, stream, .. } = *config;
        data.embedded("tanaka", EXAMPLES_SUBSET.as_bytes());
        let texts = split(&sentences());
        let texts = texts.each_ref().map(|text| text.as_bytes());
        let short = |message: String| {
            let message = format!("length = {length}: {message}");
            ConfigError::Invalid { what: "task", name: Self::NAME.into(), message }.into()
        };
        let choices = config.choices.as_deref();
        let shown =
            TextSettings { task: Self::NAME, length, attack, tokens, stream, choices, data };
        Ok(Arc::new(Streams::new(texts, &shown, Sources::default(), short)?))
    }
}

/// The English sentences, in the corpus's order.
fn sentences() -> Vec<&'static str> {
    pairs().into_iter().map(|(_japanese, english)| english).collect()
}

/// Japanese and English sentences, in the corpus's order. A line reads
/// `A: japanese<TAB>english#ID=1_2`.
pub(super) fn pairs() -> Vec<(&'static str, &'static str)> {
    EXAMPLES_SUBSET
        .lines()
        .filter_map(|line| line.strip_prefix("A: "))
        .filter_map(|line| line.rsplit_once("#ID="))
        .filter_map(|(text, _id)| text.split_once('\t'))
        .collect()
}

/// The split that a block of 100 neighbours goes to.
pub(super) fn split_of(block: usize) -> Split {
    match stable_hash(&format!("tanaka/{block}")) % 20 {
        0 => Split::Test,
        1 => Split::Valid,
        _ => Split::Train,
    }
}

/// Train, valid and test text, one sentence a line.
fn split(sentences: &[&str]) -> [String; 3] {
    let mut parts: [Vec<&str>; 3] = Default::default();
    for (block, members) in sentences.chunks(100).enumerate() {
        parts[split_of(block) as usize].extend(members);
    }
    let known: HashSet<&str> = parts[0].iter().copied().collect();
    for part in &mut parts[1..] {
        part.retain(|sentence| !known.contains(sentence));
    }
    parts.map(|part| part.iter().flat_map(|sentence| [sentence, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tokens::{Ascii, Tokenizer};

    #[test]
    fn no_sentence_of_test_or_valid_stands_in_train() {
        let sentences = sentences();
        assert_eq!(sentences.len(), 25_854);
        let [train, valid, test] = split(&sentences);
        let known: HashSet<&str> = train.lines().collect();
        assert!(valid.lines().chain(test.lines()).all(|sentence| !known.contains(sentence)));
        for part in [valid.len(), test.len()] {
            assert!((30_000..90_000).contains(&part), "{part} of {}", train.len());
        }
    }

    #[test]
    fn hardly_a_byte_is_outside_the_alphabet() {
        let text = sentences().concat();
        let outside = Ascii.encode(text.as_bytes()).ids.iter().filter(|id| **id == 96).count();
        assert!((outside as f64) < 1e-4 * text.len() as f64, "{outside} of {}", text.len());
    }

    #[test]
    fn a_window_longer_than_the_text_is_refused() {
        let load = |length| {
            let config = TanakaLmConfig { length, ..TanakaLmConfig::default() };
            TanakaLm::load(&config, &DataDir::default())
        };
        assert!(load(64).is_ok());
        for length in [0, 100_000_000] {
            let err = load(length).err().unwrap().to_string();
            assert!(err.contains(&format!("length = {length}")), "{err}");
        }
    }
}
