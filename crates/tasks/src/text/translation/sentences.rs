//! The sentences of three splits, and their metrics.

use burn::prelude::*;
use moe::{Domain, Input, SequencePair};

use super::{
    TranslationConfig, bleu,
    packs::packs,
    pairs::Pair,
    smoothing::smoothed,
    trivial,
    vocabulary::{Encoded, Vocabulary},
};
use crate::{
    Batch, Score, Split, Task, TextFacts, TextTask, Tokenizer, TranslationTask, Writing,
    score::cross_entropy, task::mean_of_real, text::measures::Chrf,
};

/// The measures, BLEU and chrF first.
const METRICS: [&str; 5] = ["bleu", "chrf", "loss", "perplexity", "smoothed_loss"];

/// The sentences of three splits.
pub(super) struct Sentences {
    config: TranslationConfig,
    vocabulary: Vocabulary,
    /// Train, valid, test.
    pairs: [Vec<Encoded>; 3],
    /// The references of valid and test.
    references: [Vec<String>; 2],
    /// The sentences that are shown together in training.
    packs: Vec<Vec<usize>>,
}

impl Sentences {
    /// # Errors
    /// If all pairs for training are too long.
    pub(super) fn new(
        config: &TranslationConfig,
        vocabulary: Vocabulary,
        [train, valid, test]: [Vec<Pair>; 3],
    ) -> Result<Self, String> {
        let length = config.length;
        let encode = |pairs: &[Pair]| pairs.iter().map(|pair| vocabulary.encode(pair)).collect();
        let mut pairs: [Vec<Encoded>; 3] = [encode(&train), encode(&valid), encode(&test)];
        let tokens = |pair: &Encoded| pair.source.len().max(pair.target.len() + 1);
        if let Some(shortest) = pairs[0].iter().map(tokens).min().filter(|n| *n > length) {
            let count = pairs[0].len();
            return Err(format!(
                "length = {length}: all {count} training pairs are longer; the shortest has {shortest} tokens"
            ));
        }
        pairs[0].retain(|pair| tokens(pair) <= length);
        pairs[1..].iter_mut().flatten().for_each(|pair| cut(pair, length, vocabulary.end()));
        let lengths: Vec<[usize; 2]> =
            pairs[0].iter().map(|pair| [pair.source.len(), pair.target.len() + 1]).collect();
        let references =
            [valid, test].map(|pairs| pairs.into_iter().map(|pair| pair.target).collect());
        let packs = packs(&lengths, config.batch_tokens);
        Ok(Self { config: config.clone(), vocabulary, pairs, references, packs })
    }

    /// A batch of pairs, padded to the longest source and the longest target.
    fn show(&self, pairs: &[&Encoded], device: &Device) -> Batch {
        let source_counts: Vec<usize> = pairs.iter().map(|pair| pair.source.len()).collect();
        let target_counts: Vec<usize> = pairs.iter().map(|pair| pair.target.len() + 1).collect();
        let (begin, end) = (self.vocabulary.begin(), self.vocabulary.end());
        let filled = |of: &dyn Fn(&Encoded) -> Vec<i32>, counts: &[usize]| {
            let longest = counts.iter().copied().max().unwrap_or(0);
            let row = |pair: &&Encoded| {
                let mut ids = of(pair);
                ids.resize(longest, end);
                ids
            };
            let ids: Vec<i32> = pairs.iter().flat_map(row).collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [pairs.len(), longest]), device)
        };
        let shown = |pair: &Encoded| [&[begin], &pair.target[..]].concat();
        let answers = |pair: &Encoded| [&pair.target[..], &[end]].concat();
        let bytes = |pair: &&Encoded| pair.bytes.iter().sum::<u32>() as usize;
        let text = TextFacts {
            count: target_counts.clone(),
            bytes: pairs.iter().map(bytes).collect(),
            source: Vec::new(),
        };
        let labels = filled(&answers, &target_counts);
        let input = Input::Pair(SequencePair {
            source: filled(&|pair| pair.source.clone(), &source_counts),
            source_counts,
            target: filled(&shown, &target_counts),
            target_counts,
        });
        Batch { text: Some(text), ..Batch::new(input, labels) }
    }

    fn sources(&self, split: Split) -> &[Encoded] {
        &self.pairs[split as usize]
    }
}

/// Cuts a pair so that source and target, with their start and end tokens, have at most `length` tokens.
fn cut(pair: &mut Encoded, length: usize, end: i32) {
    if pair.source.len() > length {
        pair.source.truncate(length - 1);
        pair.source.push(end);
    }
    pair.target.truncate(length - 1);
    pair.bytes.truncate(length - 1);
}

impl Task for Sentences {
    fn domain(&self) -> Domain {
        let (vocab, length) = (self.vocabulary.len(), self.config.length);
        Domain::Pair { vocab, source: length, target: length }
    }

    fn outputs(&self) -> usize {
        self.vocabulary.len()
    }

    fn causal(&self) -> bool {
        true
    }

    fn metrics(&self) -> &[&'static str] {
        match self.config.valid_sentences.max(self.config.test_sentences) {
            0 => &METRICS[2..],
            _ => &METRICS,
        }
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.packs.len(),
            _ => self.sources(split).len(),
        }
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let pairs = self.sources(split);
        let numbers = examples.iter().flat_map(|example| match split {
            Split::Train => self.packs[*example].clone(),
            _ => vec![*example],
        });
        let shown: Vec<&Encoded> = numbers.map(|number| &pairs[number]).collect();
        self.show(&shown, device)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let labels = batch.labels.clone();
        mean_of_real(smoothed(output, labels, self.config.label_smoothing), batch)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let labels = &batch.labels;
        let ([b, t], eps) = (labels.dims(), self.config.label_smoothing);
        let numbers = |losses: Tensor<1>| losses.into_data().iter::<f32>().map(f64::from).collect();
        let plain = numbers(cross_entropy(output.clone(), labels.clone()));
        let smooth = numbers(smoothed(output, labels.clone(), eps));
        let counts = batch.text.as_ref().map_or_else(|| vec![t; b], |text| text.count.clone());
        let sum = |values: Vec<f64>| -> f64 {
            values.chunks(t.max(1)).zip(&counts).map(|(row, n)| row[..*n].iter().sum::<f64>()).sum()
        };
        let (nats, answers) = (sum(plain), counts.iter().sum());
        score.add("loss", nats, answers);
        score.add_exponent("perplexity", nats, answers);
        score.add("smoothed_loss", sum(smooth), answers);
    }

    /// An n-gram model of the targets, which does not use the sources, and a lexicon of single tokens, which
    /// translates token by token.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let loss = trivial::loss(&self.vocabulary, &self.pairs);
        let mut found = vec![("loss", loss), ("perplexity", loss.exp())];
        let [train, _, test] = &self.pairs;
        let test = &test[..self.sentences(Split::Test)];
        if !test.is_empty() {
            let translations = trivial::word_by_word(&self.vocabulary, train, test);
            let mut score = Score::default();
            self.score(Split::Test, &translations, &mut score);
            found.extend(["bleu", "chrf"].map(|name| (name, score.mean(name))));
        }
        found
    }

    fn as_text(&self) -> Option<&dyn TextTask> {
        Some(self)
    }

    fn as_translation(&self) -> Option<&dyn TranslationTask> {
        Some(self)
    }
}

impl TextTask for Sentences {
    fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.vocabulary.tokenizer
    }
}

impl TranslationTask for Sentences {
    fn latency_runs(&self, split: Split) -> usize {
        if split == Split::Test { self.config.latency_runs } else { 0 }
    }

    fn sentences(&self, split: Split) -> usize {
        let wanted = match split {
            Split::Train => 0,
            Split::Valid => self.config.valid_sentences,
            Split::Test => self.config.test_sentences,
        };
        wanted.min(self.sources(split).len())
    }

    fn source(&self, split: Split, sentence: usize) -> Vec<i32> {
        self.sources(split)[sentence].source.clone()
    }

    fn read(&self, sentence: &str) -> Result<Vec<i32>, String> {
        if sentence.trim().is_empty() {
            return Err("it is empty; expected at least one word".into());
        }
        let (ids, most) = (self.vocabulary.source(sentence.trim()), self.config.length);
        let unknown = self.vocabulary.tokenizer.unknown().map(|id| id as i32);
        if let Some(at) = ids.iter().position(|id| Some(*id) == unknown) {
            return Err(format!("its token number {} is not in the run's vocabulary", at + 1));
        }
        match ids.len() {
            n if n > most => {
                Err(format!("it has {n} tokens with the end token; the limit is {most}"))
            }
            _ => Ok(ids),
        }
    }

    fn writing(&self) -> Writing {
        let TranslationConfig { beam, length_penalty, length, .. } = self.config;
        let (begin, end) = (self.vocabulary.begin(), self.vocabulary.end());
        Writing { beam, length_penalty, most: length - 1, begin, end }
    }

    fn text(&self, answer: &[i32]) -> String {
        self.vocabulary.text(answer)
    }

    fn score(&self, split: Split, translations: &[String], score: &mut Score) {
        let references = match split {
            Split::Train => return,
            Split::Valid => &self.references[0],
            Split::Test => &self.references[1],
        };
        let pairs = || translations.iter().zip(references);
        score.add("bleu", bleu(&self.config).score(pairs()).score, 1);
        score.add("chrf", Chrf.score(pairs()), 1);
    }

    fn signatures(&self) -> Vec<String> {
        vec![
            format!("BLEU|{}", bleu(&self.config).signature()),
            format!("chrF2|{}", Chrf.signature()),
        ]
    }

    fn tokens_of_example(&self) -> f64 {
        let tokens = |pair: &Encoded| pair.source.len() + pair.target.len() + 1;
        let all: usize = self.sources(Split::Train).iter().map(tokens).sum();
        all as f64 / self.packs.len().max(1) as f64
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
