//! Metrics of a network's translations, and its decoding speed.

use std::time::Instant;

use backbones::{
    AnyBackbone, SequenceToSequence,
    seq2seq::{BeamSearch, translate},
};
use burn::prelude::*;
use moe::Pass;
use tasks::{Score, Split, TranslationTask, Writing};

use crate::{EVALUATION_BATCH, Timing};

/// The speed at which a network generates translations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WritingSpeed {
    /// The number of generated tokens, including those that end sentences.
    pub tokens: usize,
    /// The time of the generation, in seconds.
    pub seconds: f64,
    /// The time of one translation in milliseconds, measured by [`latency`], if the task requests it.
    pub latency: Option<f64>,
}

impl WritingSpeed {
    /// The number of tokens per second; none if none were generated.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.tokens > 0 && self.seconds > 0.0).then(|| self.tokens as f64 / self.seconds)
    }
}

/// Translates sources batch by batch, and returns the translations as tokens.
pub fn translations(
    network: &dyn SequenceToSequence,
    writing: Writing,
    sources: &[Vec<i32>],
    device: &Device,
) -> Vec<Vec<i32>> {
    let Writing { beam, length_penalty, most, begin, end } = writing;
    let search = BeamSearch { beam, length_penalty, most, begin, end };
    sources
        .chunks(EVALUATION_BATCH)
        .flat_map(|batch| translate(network, batch, &search, device))
        .collect()
}

/// Adds the measures of the translations of the first `count` sentences of a split to a score; at most as
/// many sentences as the task asks for.
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
    let timed = task.latency_runs(split);
    let latency = (timed > 0).then(|| latency(network, &sources.concat(), timed, device));
    Some(WritingSpeed { tokens, seconds, latency })
}

/// The largest number of tokens of the source and of the target in a measurement of latency.
const LATENCY_TOKENS: usize = 24;

/// The latency of a translation in milliseconds: one source of up to 24 tokens is read, and the same number
/// of tokens is generated one after the other, with the cache of keys and values. All networks do the same
/// work, whatever they would generate: `tokens`, which are those of sources, are used on both sides. Five
/// untimed runs, then the trimmed mean of `timed` runs, as in AutoMoE.
///
/// # Panics
/// If there are no tokens, or `timed` is 0.
pub fn latency(
    network: &dyn SequenceToSequence,
    tokens: &[i32],
    timed: usize,
    device: &Device,
) -> f64 {
    let [source, target] = network.longest().map(|longest| longest.min(LATENCY_TOKENS));
    let ids = |from: usize, n: usize| {
        let ids: Vec<i32> = tokens.iter().cycle().skip(from).take(n).copied().collect();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [1, n]), device)
    };
    Timing { timed, ..Timing::REPORT }.milliseconds(|| {
        let mut memory = network.read(&mut Pass::eval(), ids(0, source), vec![source]);
        for at in 0..target {
            let scores = network.answer(&mut Pass::eval(), ids(at, 1), &mut memory);
            drop(scores.into_data()); // a device may compute later
        }
    })
}
