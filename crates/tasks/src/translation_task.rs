//! The extension of tasks whose answers are sentences that a network writes, token by token.

use crate::{Score, Split};

/// The search for an answer, token by token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Writing {
    /// The beam width: the number of answers followed at once. 1 takes the likeliest token at each step.
    pub beam: usize,
    /// The power of an answer's length by which its log-likelihood is divided.
    pub length_penalty: f64,
    /// The maximum number of tokens of an answer.
    pub most: usize,
    /// The token before the first token of an answer.
    pub begin: i32,
    /// The token after the last token of an answer.
    pub end: i32,
}

/// A task whose answers are sentences that a network writes, token by token:
/// [`Task::as_translation`](crate::Task::as_translation).
pub trait TranslationTask {
    /// The number of sentences of a split that an evaluation translates, from the first one on.
    fn sentences(&self, split: Split) -> usize;

    /// The number of translations that are timed for the latency on a split; 0 if it is not measured.
    fn latency_runs(&self, _split: Split) -> usize {
        0
    }

    /// The tokens of a source of a split.
    fn source(&self, split: Split, sentence: usize) -> Vec<i32>;

    /// The tokens of a source that is not part of the data.
    ///
    /// # Errors
    /// If the source is empty, is longer than allowed, or contains text without a token.
    fn read(&self, sentence: &str) -> Result<Vec<i32>, String>;

    /// The settings of the search for answers.
    fn writing(&self) -> Writing;

    /// The text of an answer.
    fn text(&self, answer: &[i32]) -> String;

    /// Adds the metrics of translations of the first sentences of a split to a score.
    fn score(&self, split: Split, translations: &[String], score: &mut Score);

    /// The settings of the scores, as sacreBLEU writes them.
    fn signatures(&self) -> Vec<String>;

    /// The average number of tokens of a training example without padding, sources and targets together.
    fn tokens_of_example(&self) -> f64;
}
