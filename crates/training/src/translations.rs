//! What the translations of a network are worth, and how fast it writes them.

use std::time::Instant;

use backbones::{
    AnyBackbone, SequenceToSequence,
    seq2seq::{Search, translate},
};
use burn::prelude::*;
use tasks::{Score, Split, TranslationTask, Writing};

/// Sentences at once, as many as an evaluation shows examples.
const BATCH: usize = 64;

/// How fast a network wrote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WritingSpeed {
    /// Tokens written, with those that end sentences.
    pub tokens: usize,
    /// How long that took.
    pub seconds: f64,
}

impl WritingSpeed {
    /// Tokens in a second; none if none were written.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.tokens > 0 && self.seconds > 0.0).then(|| self.tokens as f64 / self.seconds)
    }
}

/// Translates sources, a batch at a time, and gives the answers as tokens.
pub fn translations(
    network: &dyn SequenceToSequence,
    writing: Writing,
    sources: &[Vec<i32>],
    device: &Device,
) -> Vec<Vec<i32>> {
    let Writing { beam, length_penalty, most, begin, end } = writing;
    let search = Search { beam, length_penalty, most, begin, end };
    sources.chunks(BATCH).flat_map(|batch| translate(network, batch, &search, device)).collect()
}

/// Adds to a score what the translations of the first `count` sentences of a split are worth, at most as
/// many as the task wants.
pub(crate) fn judge(
    model: &AnyBackbone,
    task: &dyn TranslationTask,
    (split, count): (Split, usize),
    score: &mut Score,
    device: &Device,
) -> Option<WritingSpeed> {
    let network = model.sequence_to_sequence()?;
    let count = task.sentences(split).min(count);
    if count == 0 {
        return None;
    }
    let sources: Vec<Vec<i32>> = (0..count).map(|number| task.source(split, number)).collect();
    let started = Instant::now();
    let answers = translations(network, task.writing(), &sources, device);
    let seconds = started.elapsed().as_secs_f64();
    let texts: Vec<String> = answers.iter().map(|answer| task.text(answer)).collect();
    task.score(split, &texts, score);
    let tokens = answers.iter().map(|answer| answer.len() + 1).sum();
    Some(WritingSpeed { tokens, seconds })
}
