//! Translation of sentences.
//!
//! The pairs are those of the Tanaka Corpus, maintained by EDRDG,
//! <https://www.edrdg.org/wiki/index.php/Tanaka_Corpus> (CC BY 2.0 FR), as shipped by the crate tanaka; or
//! those of two parallel files per split, for example Multi30k: Elliott et al. *Multi30K: Multilingual
//! English-German Image Descriptions*. 2016. <https://arxiv.org/abs/1605.00459>
//!
//! A source consists of its tokens and an end token. A target is shown with a begin token before it; the
//! label of each token is the next one, and that of the last token is the end token.
//!
//! Batches are made by tokens: a training example is a pack of sentences of similar lengths with
//! `batch_tokens` tokens in total, and `train.batch` counts packs. The padding of shorter sentences is never
//! counted. Pairs longer than `length` are left out of training; in validation and test they are cut for the
//! network, while references stay whole.

mod packs;
mod pairs;
mod sentences;
mod smoothing;
mod trivial;
mod vocabulary;

use std::sync::Arc;

use moe::{Choice, ConfigError, config};

use self::{pairs::Pair, sentences::Sentences, vocabulary::Vocabulary};
use super::measures::{Bleu, Separation};
use crate::{DataDir, DataError, LoadTask, Task};

/// The task's name.
const NAME: &str = "translation";

config! {
    /// The sentences, and how they are shown and measured.
    pub struct TranslationConfig {
        /// The language of the sources: the ending of the files' names.
        pub source: String = "en".into(),
        /// The language of the targets.
        pub target: String = "ja".into(),
        /// The files of training pairs in the data folder, without `.LANGUAGE` or `.LANGUAGE.gz`:
        /// `"multi30k/train"`. Without it, the built-in pairs of English (`en`) and Japanese (`ja`).
        pub train: Option<String> = None,
        /// The files of the validation split.
        pub valid: Option<String> = None,
        /// The files of the test split.
        pub test: Option<String> = None,
        /// The number of training pairs, from the first on; all if left out.
        pub pairs: Option<usize> = None,
        /// The tokens of both languages: `{ kind = "bpe", vocab = 4000 }`, `"byte"`,
        /// `"character"`, `{ kind = "word", most = 5000 }`.
        pub tokens: Choice = Choice::of("bpe").with("vocab", 4000),
        /// The maximum number of tokens of a source and of a target, begin and end tokens included.
        pub length: usize = 64,
        /// Tokens of a training example: sources and targets with their padding.
        pub batch_tokens: usize = 512,
        /// The share of the label's probability that is spread over all other tokens in training.
        pub label_smoothing: f64 = 0.1,
        /// Sentences of the validation split that an evaluation translates; 0 for no BLEU.
        pub valid_sentences: usize = 100,
        /// Sentences of the test split that an evaluation translates; 0 for no BLEU.
        pub test_sentences: usize = 1000,
        /// Translations that are timed for the latency, `latency_ms`, on the test split; 0 for no latency.
        pub latency_runs: usize = 0,
        /// The beam width: the number of translations followed at once. 1 takes the likeliest token at each
        /// step.
        pub beam: usize = 1,
        /// The power of a translation's length by which its log-likelihood is divided in beam search.
        pub length_penalty: f64 = 0.6,
        /// The rule that cuts text into words for BLEU: `"13a"`, `"none"`, `"char"` or `"intl"`.
        pub bleu_tokens: Separation = Separation::V13a,
    }
}

/// Translation of sentences.
pub struct Translation;

impl LoadTask for Translation {
    type Config = TranslationConfig;
    const NAME: &'static str = NAME;
    const ABOUT: &'static str =
        "translation of sentences: built-in English and Japanese, or parallel files";
    const SOURCE: &'static str = "Tanaka Corpus, EDRDG, https://www.edrdg.org (CC BY 2.0 FR), or parallel files such as \
         Multi30k, https://arxiv.org/abs/1605.00459";

    fn load(config: &TranslationConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        check(config)?;
        let [mut train, valid, test] = splits(config, data)?;
        train.truncate(config.pairs.unwrap_or(train.len()));
        let vocabulary = Vocabulary::new(&config.tokens, &train, data)?;
        let sentences = Sentences::new(config, vocabulary, [train, valid, test]);
        Ok(Arc::new(sentences.map_err(wrong)?))
    }
}

fn wrong(message: String) -> ConfigError {
    ConfigError::Invalid { what: "task", name: NAME.into(), message }
}

fn check(config: &TranslationConfig) -> Result<(), ConfigError> {
    let TranslationConfig { length, batch_tokens, label_smoothing, beam, length_penalty, .. } =
        *config;
    if length < 2 {
        return Err(wrong(format!(
            "length = {length}: must be at least 2, a token and the end token"
        )));
    }
    let counts =
        [("batch_tokens", batch_tokens), ("pairs", config.pairs.unwrap_or(1)), ("beam", beam)];
    if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
        return Err(wrong(format!("{name} = 0: must be at least 1")));
    }
    if !(0.0..1.0).contains(&label_smoothing) {
        return Err(wrong(format!(
            "label_smoothing = {label_smoothing}: must be from 0 to below 1"
        )));
    }
    if !length_penalty.is_finite() {
        return Err(wrong(format!("length_penalty = {length_penalty}: must be finite")));
    }
    if config.source == config.target {
        return Err(wrong(format!("source and target are both {:?}", config.source)));
    }
    Ok(())
}

/// The pairs for training, validation and test.
fn splits(config: &TranslationConfig, data: &DataDir) -> Result<[Vec<Pair>; 3], DataError> {
    let languages = [config.source.as_str(), &config.target];
    let stems = [&config.train, &config.valid, &config.test];
    match stems.map(Option::as_deref) {
        [None, None, None] => pairs::built_in(data, languages),
        [Some(train), Some(valid), Some(test)] => {
            let [train, valid, test] =
                [train, valid, test].map(|stem| pairs::read(data, stem, languages));
            Ok([train?, valid?, test?])
        }
        _ => Err(wrong("set all of train, valid and test, or none".into()).into()),
    }
}

/// BLEU with the settings of the config.
fn bleu(config: &TranslationConfig) -> Bleu {
    Bleu { separation: config.bleu_tokens, ..Bleu::default() }
}
