//! Next-token prediction on three streams of bytes, what all byte-level tasks share.

use burn::prelude::*;
use moe::{Domain, Input};

use super::{
    alphabet::{VOCAB, letter, token},
    attack,
};
use crate::{
    Batch, Score, Split, Task,
    score::{classification, cross_entropy},
};

/// Bits per byte of the test text under attack.
const ATTACKED: &str = "attacked_bits_per_byte";

/// Three streams of bytes, cut into windows. Window i shows the tokens from `i * length` on, and
/// asks at each position for the one after it; windows do not overlap and carry no context over.
pub(crate) struct Streams {
    length: usize,
    /// Tokens of train, valid, test.
    tokens: [Vec<i32>; 3],
    /// Tokens of the test text under attack.
    attacked: Option<Vec<i32>>,
}

impl Streams {
    /// Streams of train, valid and test text, or the split that is too short for one window.
    pub(crate) fn new(texts: [&[u8]; 3], length: usize) -> Result<Self, &'static str> {
        let names = [Split::Train, Split::Valid, Split::Test].map(Split::name);
        match texts.iter().zip(names).find(|(text, _)| text.len() <= length) {
            Some((_, name)) => Err(name),
            None => Ok(Self { length, tokens: texts.map(tokens), attacked: None }),
        }
    }

    /// The same, with measures of the test text under attack as well, at a rate above 0.
    pub(crate) fn with_attack(self, test: &[u8], rate: f64) -> Self {
        let attacked = (rate > 0.0).then(|| tokens(&attack::attacked(test, rate)));
        Self { attacked, ..self }
    }

    /// The windows of these numbers of a stream.
    fn windows(&self, stream: &[i32], windows: &[usize], device: &Device) -> Batch {
        let length = self.length;
        let cut = |shift: usize| {
            let starts = windows.iter().map(|window| window * length + shift);
            let ids: Vec<i32> =
                starts.flat_map(|start| &stream[start..start + length]).copied().collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [windows.len(), length]), device)
        };
        Batch::new(Input::Tokens(cut(0)), cut(1))
    }

    /// How many windows a stream has.
    fn count(&self, stream: &[i32]) -> usize {
        stream.len().saturating_sub(1) / self.length
    }
}

fn tokens(text: &[u8]) -> Vec<i32> {
    text.iter().copied().map(token).collect()
}

fn bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

impl Task for Streams {
    fn domain(&self) -> Domain {
        Domain::Text { vocab: VOCAB, length: self.length }
    }

    fn outputs(&self) -> usize {
        VOCAB
    }

    fn causal(&self) -> bool {
        true
    }

    fn metrics(&self) -> &'static [&'static str] {
        match self.attacked {
            Some(_) => &["bits_per_byte", "accuracy", "loss", ATTACKED],
            None => &["bits_per_byte", "accuracy", "loss"],
        }
    }

    fn len(&self, split: Split) -> usize {
        self.count(&self.tokens[split as usize])
    }

    fn token(&self, id: usize) -> Option<char> {
        Some(letter(id))
    }

    fn batch(&self, split: Split, windows: &[usize], device: &Device) -> Batch {
        self.windows(&self.tokens[split as usize], windows, device)
    }

    /// Short words make the text under attack longer; what is then beyond the last window of the text
    /// itself is not measured.
    fn attacked(&self, split: Split, windows: &[usize], device: &Device) -> Option<Batch> {
        let stream = self.attacked.as_ref().filter(|_| split == Split::Test)?;
        let count = self.count(stream);
        let there: Vec<usize> = windows.iter().copied().filter(|window| *window < count).collect();
        (!there.is_empty()).then(|| self.windows(stream, &there, device))
    }

    fn measure_attacked(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let nats =
            f64::from(cross_entropy(output, batch.labels.clone()).sum().into_scalar::<f32>());
        score.add(ATTACKED, bits(nats), batch.labels.shape().num_elements());
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let nats = classification(output, &batch.labels, score);
        let answers = batch.labels.shape().num_elements();
        score.add("bits_per_byte", bits(nats), answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_next_tokens_and_windows_do_not_overlap() {
        let streams = Streams::new([b"abcdefg", b"abcd", b"abcd"], 3).unwrap();
        assert_eq!((streams.len(Split::Train), streams.len(Split::Valid)), (2, 1));
        let batch = streams.batch(Split::Train, &[1], &Device::flex());
        let Input::Tokens(ids) = batch.input else { unreachable!("text is tokens") };
        let a = i32::from(b'a' - b' ');
        assert_eq!(ids.into_data().try_to_vec::<i32>().unwrap(), [a + 3, a + 4, a + 5]);
        assert_eq!(batch.labels.into_data().try_to_vec::<i32>().unwrap(), [a + 4, a + 5, a + 6]);
    }

    #[test]
    fn a_uniform_guess_costs_log2_of_the_vocabulary() {
        let streams = Streams::new([b"abcd", b"abcd", b"abcd"], 3).unwrap();
        let batch = streams.batch(Split::Test, &[0], &Device::flex());
        let mut score = Score::default();
        streams.measure(Tensor::zeros([1, 3, VOCAB], &Device::flex()), &batch, &mut score);
        assert!((score.mean("bits_per_byte") - (VOCAB as f64).log2()).abs() < 1e-5);
    }

    #[test]
    fn the_test_text_is_attacked_beside_itself() {
        let text = b"ab cdefg, hijkl mnopq";
        let streams = Streams::new([text, text, text], 3).unwrap().with_attack(text, 1.0);
        assert_eq!(streams.metrics().last(), Some(&ATTACKED));
        let device = Device::flex();
        assert!(streams.attacked(Split::Valid, &[0], &device).is_none());
        // "AAA AAA, AAA AAA" has five windows of three tokens, the text itself six.
        let windows: Vec<usize> = (0..streams.len(Split::Test)).collect();
        let batch = streams.attacked(Split::Test, &windows, &device).unwrap();
        assert_eq!((windows.len(), batch.labels.dims()), (6, [5, 3]));
        assert!(streams.attacked(Split::Test, &[5], &device).is_none());
        let expected: Vec<i32> = b"AA AAA, AAA AAA".iter().copied().map(token).collect();
        assert_eq!(batch.labels.clone().into_data().try_to_vec::<i32>().unwrap(), expected);
        let mut score = Score::default();
        streams.measure_attacked(Tensor::zeros([5, 3, VOCAB], &device), &batch, &mut score);
        assert!((score.mean(ATTACKED) - (VOCAB as f64).log2()).abs() < 1e-5);
        assert!(!streams.with_attack(text, 0.0).metrics().contains(&ATTACKED));
    }

    #[test]
    fn a_text_too_short_for_one_window_is_named() {
        assert_eq!(Streams::new([b"abcd", b"abc", b"abcd"], 3).err(), Some("valid"));
    }
}
