//! The scores of each example of the test split, for statistics that resample examples.
//!
//! A run stores the scores in `test-examples.csv`, with one row per example in the order of the examples:
//!
//! | column | meaning |
//! | --- | --- |
//! | `example` | the example's number in the split |
//! | `units` | answers that count: 1 of a class, the tokens of a window without its padding |
//! | `loss` | the sum of their negative log-likelihoods, in nats |
//! | `correct` | how many of them are right |
//! | `bytes` | the bytes of text that they stand for; 0 where examples are no text |
//!
//! Over all examples, accuracy is `correct / units`, the loss is `loss / units`, bits per byte is `loss / ln
//! 2 / bytes` and perplexity is `exp(loss / units)`, each a quotient of sums.

use std::{
    io,
    path::{Path, PathBuf},
};

use burn::prelude::*;
use serde::{Deserialize, Serialize};
use tasks::{Batch, cross_entropy};

use files::write_atomic;

/// The score of one example: a row of `test-examples.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExampleScore {
    /// The example's number in the split.
    pub example: usize,
    /// The number of answers that count.
    pub units: usize,
    /// The sum of their negative log-likelihoods, in nats.
    pub loss: f64,
    /// The number of right answers among them.
    pub correct: usize,
    /// The bytes of text that the answers stand for; 0 if examples are not text.
    pub bytes: usize,
}

impl ExampleScore {
    /// The path of the file in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("test-examples.csv")
    }

    /// Writes the file of a run, completely or not at all.
    pub fn write(folder: &Path, scores: &[ExampleScore]) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        scores.iter().try_for_each(|score| csv.serialize(score))?;
        let bytes = csv.into_inner().map_err(|err| io::Error::other(err.to_string()))?;
        write_atomic(&Self::path(folder), &bytes)
    }

    /// Parses the content of the file of a run.
    pub fn parse(bytes: &[u8]) -> io::Result<Vec<ExampleScore>> {
        Ok(csv::Reader::from_reader(bytes).deserialize().collect::<Result<_, _>>()?)
    }
}

/// The scores of a batch of the given examples, for outputs `[B, T, outputs]`.
pub(crate) fn of_batch(examples: &[usize], output: Tensor<3>, batch: &Batch) -> Vec<ExampleScore> {
    let [b, t] = batch.labels.dims();
    let right = output.clone().argmax(2).reshape([b, t]).equal(batch.labels.clone());
    let right: Vec<bool> = right.into_data().iter::<bool>().collect();
    let nats = cross_entropy(output, batch.labels.clone()).into_data();
    let nats: Vec<f64> = nats.iter::<f64>().collect();
    let text = batch.text.as_ref();
    let score = |(row, example): (usize, &usize)| {
        let units = text.map_or(t, |text| text.count[row]);
        let counted = row * t..row * t + units;
        ExampleScore {
            example: *example,
            units,
            loss: nats[counted.clone()].iter().sum(),
            correct: right[counted].iter().filter(|right| **right).count(),
            bytes: text.map_or(0, |text| text.bytes[row]),
        }
    };
    examples.iter().enumerate().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe::Input;
    use tasks::TextFacts;

    #[test]
    fn padding_is_not_scored_and_the_file_gives_the_same_back() {
        let device = Device::flex();
        // Probabilities 1/4 and 3/4 at each place; the last place of the second window is padding.
        let output = Tensor::<3>::from_floats([[[0.0, 3_f32.ln()]; 3]; 2], &device);
        let labels = Tensor::<2, Int>::from_ints([[1, 1, 0], [0, 1, 1]], &device);
        let text = TextFacts { count: vec![3, 2], bytes: vec![7, 4], source: vec![] };
        let batch = Batch { text: Some(text), ..Batch::new(Input::Tokens(labels.clone()), labels) };
        let scores = of_batch(&[4, 9], output, &batch);
        let facts = |s: &ExampleScore| (s.example, s.units, s.correct, s.bytes);
        assert_eq!(scores.iter().map(facts).collect::<Vec<_>>(), [(4, 3, 2, 7), (9, 2, 1, 4)]);
        let nats = [(64_f64 / 9.0).ln(), (16_f64 / 3.0).ln()];
        let near = |(score, nats): (&ExampleScore, f64)| (score.loss - nats).abs() < 1e-6;
        assert!(scores.iter().zip(nats).all(near), "{scores:?}");

        let folder = tempfile::tempdir().unwrap();
        ExampleScore::write(folder.path(), &scores).unwrap();
        let bytes = std::fs::read(ExampleScore::path(folder.path())).unwrap();
        assert_eq!(ExampleScore::parse(&bytes).unwrap(), scores);
        assert!(ExampleScore::parse(b"example,units\n1,2\n").is_err());
        let text = std::fs::read_to_string(ExampleScore::path(folder.path())).unwrap();
        assert!(text.starts_with("example,units,loss,correct,bytes\n4,3,"), "{text}");
    }
}
