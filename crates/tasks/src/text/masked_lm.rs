//! Masked language modelling: prediction of masked tokens.
//!
//! Devlin, Chang, Lee, Toutanova. *BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding*. NAACL 2019. <https://arxiv.org/abs/1810.04805>, section 3.1:
//!
//! max(1, round(0.15 T)) tokens of a window of T are chosen at random; of these 80 % are shown as the mask
//! token, 10 % as a random token, 10 % unchanged. The loss is over the chosen tokens.
//!
//! As in RoBERTa (Liu et al. 2019, <https://arxiv.org/abs/1907.11692>), the tokens are chosen anew each time
//! that a window is shown in training. In validation and test the choice depends on the window alone.
//!
//! The windows are those of another text task. The label of a token that was not chosen is -1. Differs from
//! BERT: there are no pairs of sentences, and no token that begins a window.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Choice, ConfigError, Domain, Input, config, read, stable_hash};
use rand::{Rng, RngExt, SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;

use super::{StateOfTheUnion, TanakaLm, TextLm, Tokenizer};
use crate::{
    Batch, BatchPosition, DataDir, DataError, LoadTask, Score, Split, Task, TextTask,
    cross_entropy, score::constant, trivial::Neighbours,
};

/// The share of tokens that are chosen: BERT's, section 3.1.
const RATE: f64 = 0.15;

/// The share of the chosen tokens that are shown as the mask token: BERT's.
const HIDDEN: f64 = 0.8;

/// The share of the chosen tokens that are shown as a random token: BERT's; the rest are shown unchanged.
const RANDOM: f64 = 0.1;

config! {
    /// The text, and the tokens of it that are masked.
    pub struct MaskedLmConfig {
        /// The text task whose windows are shown: `{ kind = "tanaka-lm", length = 64, tokens = "bpe" }`.
        pub text: Choice = Choice::of("tanaka-lm"),
    }
}

/// Masked language modelling.
pub struct MaskedLm;

impl LoadTask for MaskedLm {
    type Config = MaskedLmConfig;
    const NAME: &'static str = "masked-lm";
    const ABOUT: &'static str = "masked language modelling, as in BERT";
    const SOURCE: &'static str = "that of the text task in its config";

    fn load(config: &MaskedLmConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let inner = load_text(&config.text, data)?;
        let (Domain::Text { vocab, length }, true) = (inner.domain(), inner.as_stream().is_none())
        else {
            return Err(
                wrong("text.stream: not supported, since windows are independent".into()).into()
            );
        };
        Ok(Arc::new(Masked { inner, vocab, length }))
    }
}

fn wrong(message: String) -> ConfigError {
    ConfigError::Invalid { what: "task", name: MaskedLm::NAME.into(), message }
}

/// The text task of this choice.
fn load_text(choice: &Choice, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
    fn load<T: LoadTask>(choice: &Choice, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        T::load(&read("task", choice)?, data)
    }
    match choice.kind.as_str() {
        TanakaLm::NAME => load::<TanakaLm>(choice, data),
        TextLm::NAME => load::<TextLm>(choice, data),
        StateOfTheUnion::NAME => load::<StateOfTheUnion>(choice, data),
        other => Err(wrong(format!(
            "text: no text task is named {other:?}; known: {}, {}, {}",
            TanakaLm::NAME,
            TextLm::NAME,
            StateOfTheUnion::NAME
        ))
        .into()),
    }
}

/// The windows of a text task, with some tokens masked.
struct Masked {
    inner: Arc<dyn Task>,
    /// The number of tokens of the text; the mask token comes after them.
    vocab: usize,
    length: usize,
}

impl Masked {
    /// Masks tokens of a batch; `rng` is the generator of a row.
    fn mask(&self, batch: Batch, device: &Device, rng: impl Fn(usize) -> ChaCha8Rng) -> Batch {
        let Input::Tokens(ids) = &batch.input else { unreachable!("text is tokens") };
        let [b, t] = ids.dims();
        let mut ids: Vec<i32> = ids.to_data().iter().collect();
        let mut labels = vec![-1; b * t];
        for (row, (ids, labels)) in ids.chunks_mut(t).zip(labels.chunks_mut(t)).enumerate() {
            let real = batch.text.as_ref().map_or(t, |text| text.count[row]);
            self.mask_row(&mut ids[..real], &mut labels[..real], &mut rng(row));
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, [b, t]), device);
        Batch { text: batch.text, ..Batch::new(Input::Tokens(tensor(ids)), tensor(labels)) }
    }

    fn mask_row(&self, ids: &mut [i32], labels: &mut [i32], rng: &mut impl Rng) {
        if ids.is_empty() {
            return;
        }
        let asked = ((RATE * ids.len() as f64).round() as usize).max(1);
        for place in sample(rng, ids.len(), asked) {
            labels[place] = ids[place];
            let draw: f64 = rng.random();
            if draw < HIDDEN {
                ids[place] = self.vocab as i32;
            } else if draw < HIDDEN + RANDOM {
                ids[place] = rng.random_range(0..self.vocab as i32);
            }
        }
    }
}

/// The number of examples that the baseline reads at once.
const AT_ONCE: usize = 256;

impl Masked {
    /// All batches of a split, one after the other.
    fn batches(task: &dyn Task, split: Split) -> impl Iterator<Item = Batch> {
        let device = Device::flex();
        let numbers: Vec<usize> = (0..task.len(split)).collect();
        let starts = (0..numbers.len()).step_by(AT_ONCE);
        starts.map(move |start| {
            let end = (start + AT_ONCE).min(numbers.len());
            task.batch(split, &numbers[start..end], &device)
        })
    }

    /// The tokens that a batch shows and its labels, row by row, without padding.
    fn rows(batch: &Batch) -> Vec<(Vec<i32>, Vec<i32>)> {
        let Input::Tokens(ids) = &batch.input else { unreachable!("text is tokens") };
        let t = ids.dims()[1].max(1);
        let numbers = |tensor: &Tensor<2, Int>| tensor.to_data().iter().collect::<Vec<i32>>();
        let (ids, labels) = (numbers(ids), numbers(&batch.labels));
        let rows = ids.chunks(t).zip(labels.chunks(t)).enumerate();
        let row = |(row, (ids, labels)): (usize, (&[i32], &[i32]))| {
            let real = batch.text.as_ref().map_or(t, |text| text.count[row]);
            (ids[..real].to_vec(), labels[..real].to_vec())
        };
        rows.map(row).collect()
    }
}

/// Updates the probability `p` of the right token by Bayes' rule, given the token that is shown in its place:
/// it is the right token as often as a random one. `of_shown` is the prior probability of the shown token.
fn with_shown(p: f64, of_shown: f64, is_shown: bool, vocab: usize) -> f64 {
    let random = 1.0 / vocab as f64;
    let right = if is_shown { p } else { 0.0 };
    (right + p * random) / (of_shown + random)
}

/// Losses `[B * T]`, 0 for tokens that were not chosen; and a mask, 1 for the chosen ones.
fn losses(output: Tensor<3>, labels: &Tensor<2, Int>) -> (Tensor<1>, Tensor<1>) {
    let asked = labels.clone().greater_equal_scalar(0).float().reshape([-1]);
    let asked = constant(&output, asked);
    let losses = cross_entropy(output, labels.clone().clamp_min(0));
    (losses * asked.clone(), asked)
}

impl Task for Masked {
    fn domain(&self) -> Domain {
        Domain::Text { vocab: self.vocab + 1, length: self.length }
    }

    fn outputs(&self) -> usize {
        self.vocab + 1
    }

    /// Not every position has an answer.
    fn is_classification(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &["accuracy", "perplexity", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.mask(self.inner.batch(split, examples, device), device, |row| {
            let place = format!("masked-lm/{}/{}", split.name(), examples[row]);
            ChaCha8Rng::seed_from_u64(stable_hash(&place))
        })
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let batch = self.inner.training_batch(examples, place, device);
        self.mask(batch, device, |row| place.rng("masked-lm", row))
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let (losses, asked) = losses(output, &batch.labels);
        kernels::sum(losses) / kernels::sum(asked).clamp_min(1.0)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let [b, t] = batch.labels.dims();
        // No output is the label -1.
        let right = output.clone().argmax(2).reshape([b, t]).equal(batch.labels.clone());
        let (losses, asked) = losses(output, &batch.labels);
        let [nats, asked] =
            [losses, asked].map(|x| f64::from(kernels::sum(x).into_scalar::<f32>()));
        score.add("accuracy", right.int().sum().into_scalar::<i32>().into(), asked as usize);
        score.add("loss", nats, asked as usize);
        score.add_exponent("perplexity", nats, asked as usize);
    }

    /// Counts of tokens between two shown neighbours in the training windows. A token that is shown in place
    /// of the right one is taken into account by Bayes' rule, with the shares of [`Masked::mask_row`].
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let mut counts = Neighbours::new(self.vocab);
        for batch in Self::batches(&*self.inner, Split::Train) {
            Self::rows(&batch).iter().for_each(|(ids, _)| counts.learn(ids));
        }
        let (mut nats, mut asked) = (0.0, 0_usize);
        for batch in Self::batches(self, Split::Test) {
            for (ids, labels) in Self::rows(&batch) {
                for (at, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
                    let p = |token| counts.probability(&ids, at, token);
                    let shown = Some(ids[at]).filter(|shown| *shown < self.vocab as i32);
                    let p = match shown {
                        Some(shown) => with_shown(p(*label), p(shown), shown == *label, self.vocab),
                        None => p(*label),
                    };
                    nats -= p.ln();
                    asked += 1;
                }
            }
        }
        let loss = nats / asked.max(1) as f64;
        vec![("loss", loss), ("perplexity", loss.exp())]
    }

    fn as_text(&self) -> Option<&dyn TextTask> {
        Some(self)
    }
}

impl TextTask for Masked {
    fn tokenizer(&self) -> &dyn Tokenizer {
        self.inner.as_text().expect("the inner task is text").tokenizer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(config: MaskedLmConfig) -> Result<Arc<dyn Task>, String> {
        MaskedLm::load(&config, &DataDir::default()).map_err(|err| err.to_string())
    }

    fn ints(tensor: &Tensor<2, Int>) -> Vec<i32> {
        tensor.clone().into_data().iter().collect()
    }

    fn shown(batch: &Batch) -> Vec<i32> {
        let Input::Tokens(ids) = &batch.input else { panic!("text is tokens") };
        ints(ids)
    }

    #[test]
    fn a_share_is_asked_for_and_hidden_as_in_bert() {
        let device = Device::flex();
        let task = load(MaskedLmConfig::default()).unwrap();
        let text = load_text(&Choice::of("tanaka-lm"), &DataDir::default()).unwrap();
        let examples: Vec<usize> = (0..400).collect();
        let (masked, whole) = (
            task.batch(Split::Train, &examples, &device),
            shown(&text.batch(Split::Train, &examples, &device)),
        );
        let (ids, labels) = (shown(&masked), ints(&masked.labels));
        let mut counts = [0.0; 3];
        for at in 0..ids.len() {
            match labels[at] {
                -1 => assert_eq!(ids[at], whole[at], "what is not asked for is shown"),
                label => {
                    assert_eq!(label, whole[at]);
                    let kind = if ids[at] == 97 { 0 } else { usize::from(ids[at] == label) + 1 };
                    counts[kind] += 1.0;
                }
            }
        }
        // Ten of 64 in each window; some tokens at random are the right ones.
        let asked: f64 = counts.iter().sum();
        assert_eq!(asked, 4000.0);
        let shares = counts.map(|count| count / asked);
        for (share, expected) in shares.iter().zip([0.8, 0.1, 0.1]) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
    }

    #[test]
    fn masks_are_fixed_outside_of_training_and_follow_from_the_place_in_it() {
        let device = Device::flex();
        let task = load(MaskedLmConfig::default()).unwrap();
        let of = |examples: &[usize]| shown(&task.batch(Split::Valid, examples, &device));
        assert_eq!(of(&[3, 5])[64..], of(&[5])[..]);
        let train = |position| {
            let place = BatchPosition { seed: 1, position };
            shown(&task.training_batch(&[7], place, &device))
        };
        assert_eq!(train(4), train(4));
        assert_ne!(train(4), train(5));
    }

    #[test]
    fn the_loss_is_over_what_is_asked_for() {
        let device = Device::flex();
        let task = load(MaskedLmConfig::default()).unwrap();
        let batch = task.batch(Split::Valid, &[0], &device);
        let labels = ints(&batch.labels);
        let output = |elsewhere: f32| {
            let number = |i: usize| {
                let (at, v) = (i / 98, i % 98);
                if labels[at] >= 0 { (v * 7 % 5) as f32 } else { elsewhere * v as f32 }
            };
            let values: Vec<f32> = (0..64 * 98).map(number).collect();
            Tensor::<3>::from_data(TensorData::new(values, [1, 64, 98]), &device)
        };
        let loss = task.loss(output(0.0), &batch).into_scalar::<f32>();
        assert_eq!(task.loss(output(3.0), &batch).into_scalar::<f32>(), loss);
        let sum: f32 = (0..98).map(|v| ((v * 7 % 5) as f32).exp()).sum();
        let nats = |label: &i32| sum.ln() - (*label as usize * 7 % 5) as f32;
        let asked: Vec<f32> = labels.iter().filter(|label| **label >= 0).map(nats).collect();
        let expected = asked.iter().sum::<f32>() / asked.len() as f32;
        assert!((loss - expected).abs() < 1e-5, "{loss}, not {expected}");
        let mut score = Score::default();
        task.measure(output(3.0), &batch, &mut score);
        assert!((score.mean("loss") - f64::from(expected)).abs() < 1e-5);
        assert!((score.mean("perplexity") - f64::from(expected).exp()).abs() < 1e-3);
        assert!((0.0..=1.0).contains(&score.mean("accuracy")));
    }

    #[test]
    fn what_is_shown_is_taken_into_account() {
        // Of two tokens one is four times as likely, and it is seen.
        let [likely, other] = [0.8, 0.2];
        let sum = with_shown(likely, likely, true, 2) + with_shown(other, likely, false, 2);
        assert!((sum - 1.0).abs() < 1e-12);
        let expected = (0.8 + 0.4) / (0.8 + 0.5);
        assert!((with_shown(likely, likely, true, 2) - expected).abs() < 1e-12);
    }

    #[test]
    fn counts_between_neighbours_are_the_baseline() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("text"), "abc".repeat(2000)).unwrap();
        let text = Choice::of("text-lm").with("file", "text").with("length", 12);
        let data = DataDir::new(Some(place.path().into()));
        let task = MaskedLm::load(&MaskedLmConfig { text }, &data).unwrap();
        let found = task.trivial();
        assert_eq!([found[0].0, found[1].0], ["loss", "perplexity"]);
        // One neighbour determines the token, so the remaining loss is at places between two hidden or wrong
        // neighbours; a network that knows only the three letters has ln 3.
        assert!(found[0].1 > 0.0 && found[0].1 < 0.4 * 3.0_f64.ln(), "{found:?}");
        assert!((found[1].1 - found[0].1.exp()).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wrong = |text| load(MaskedLmConfig { text }).err().unwrap();
        let err = wrong(Choice::of("digits"));
        assert!(
            err.contains("no text task is named \"digits\"; known: tanaka-lm, text-lm"),
            "{err}"
        );
        let err = wrong(Choice::of("tanaka-lm").with("stream", "contiguous"));
        assert!(err.contains("text.stream: not supported, since windows are independent"), "{err}");
    }
}
