//! Next-token prediction on three streams of bytes, what all byte-level tasks share.

use burn::prelude::*;
use moe::{Domain, Input};

use super::alphabet::{VOCAB, letter, token};
use crate::{Batch, Score, Split, Task, score::classification};

/// Three streams of bytes, cut into windows. Window i shows the tokens from `i * length` on, and
/// asks at each position for the one after it; windows do not overlap and carry no context over.
pub(crate) struct Streams {
    length: usize,
    /// Tokens of train, valid, test.
    tokens: [Vec<i32>; 3],
}

impl Streams {
    /// Streams of train, valid and test text, or the split that is too short for one window.
    pub(crate) fn new(texts: [&[u8]; 3], length: usize) -> Result<Self, &'static str> {
        let names = [Split::Train, Split::Valid, Split::Test].map(Split::name);
        match texts.iter().zip(names).find(|(text, _)| text.len() <= length) {
            Some((_, name)) => Err(name),
            None => {
                let tokens = texts.map(|text| text.iter().copied().map(token).collect());
                Ok(Self { length, tokens })
            }
        }
    }
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
        &["bits_per_byte", "accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        (self.tokens[split as usize].len() - 1) / self.length
    }

    fn token(&self, id: usize) -> Option<char> {
        Some(letter(id))
    }

    fn batch(&self, split: Split, windows: &[usize], device: &Device) -> Batch {
        let (stream, length) = (&self.tokens[split as usize], self.length);
        let cut = |shift: usize| {
            let starts = windows.iter().map(|window| window * length + shift);
            let ids: Vec<i32> =
                starts.flat_map(|start| &stream[start..start + length]).copied().collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [windows.len(), length]), device)
        };
        Batch::new(Input::Tokens(cut(0)), cut(1))
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let nats = classification(output, &batch.labels, score);
        let answers = batch.labels.shape().num_elements();
        score.add("bits_per_byte", nats / std::f64::consts::LN_2, answers);
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
    fn a_text_too_short_for_one_window_is_named() {
        assert_eq!(Streams::new([b"abcd", b"abc", b"abcd"], 3).err(), Some("valid"));
    }
}
