//! Position embeddings, which are added to token embeddings.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//!
//! PE(t, 2i) = sin(t / 10000^(2i / D)),  PE(t, 2i + 1) = cos(t / 10000^(2i / D))   (section 3.5)
//!
//! All sines come first and all cosines after them, as in Marian and fairseq: the same up to a fixed
//! permutation. Differs from fairseq: it divides i by D / 2 - 1 instead of D / 2, and counts from 2.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::Init;
use serde::{Deserialize, Serialize};

/// The encoding of the order of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionKind {
    /// Sines and cosines.
    Sinusoidal,
    /// A learned vector for each position.
    Learned,
    /// No vectors: attention adds numbers to its scores by distance, see `relative.rs`.
    Relative,
}

/// The vectors of the positions.
#[derive(Module, Debug)]
pub struct PositionTable {
    /// The learned vectors, `[longest, D]`; none if they are not learned.
    learned: Option<Param<Tensor<2>>>,
    #[module(skip)]
    kind: PositionKind,
}

impl PositionTable {
    /// Vectors for at most `longest` tokens of a stream of this width.
    pub fn new(kind: PositionKind, longest: usize, width: usize, init: &Init) -> Self {
        let learned = || init.normal("positions", [longest, width], 0.02);
        Self { learned: (kind == PositionKind::Learned).then(learned), kind }
    }

    /// `x`, `[B, T, D]`, with the vectors of the positions from `first` on added.
    pub fn add_to(&self, x: Tensor<3>, first: usize) -> Tensor<3> {
        let [_, tokens, width] = x.dims();
        let vectors = match &self.learned {
            Some(table) => table.val().narrow(0, first, tokens),
            None if self.kind == PositionKind::Relative => return x,
            None => {
                let device = x.device().inner();
                let vectors = sinusoids(first, tokens, width);
                Tensor::from_data(TensorData::new(vectors, [tokens, width]), &device)
            }
        };
        x + vectors.unsqueeze::<3>()
    }
}

/// The vectors of the positions from `first` on, row by row. With an odd width the last number is a sine.
pub fn sinusoids(first: usize, tokens: usize, width: usize) -> Vec<f32> {
    let sines = width.div_ceil(2);
    let number = |t: usize, at: usize| {
        let pair = if at < sines { at } else { at - sines };
        let angle = t as f64 / 10_000_f64.powf(2.0 * pair as f64 / width as f64);
        if at < sines { angle.sin() as f32 } else { angle.cos() as f32 }
    };
    (first..first + tokens).flat_map(|t| (0..width).map(move |at| number(t, at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_by_hand() {
        let rows = sinusoids(1, 1, 4);
        let expected = [1_f32.sin(), 0.01_f32.sin(), 1_f32.cos(), 0.01_f32.cos()];
        assert!(rows.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{rows:?}");
        assert_eq!(sinusoids(0, 1, 3), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn positions_go_on_where_they_ended() {
        let init = Init::new(0, &Device::flex());
        for kind in [PositionKind::Sinusoidal, PositionKind::Learned, PositionKind::Relative] {
            let table = PositionTable::new(kind, 6, 4, &init);
            let add =
                |tokens, first| table.add_to(Tensor::zeros([1, tokens, 4], init.device()), first);
            let parts = Tensor::cat(vec![add(2, 0), add(4, 2)], 1);
            assert_eq!(parts.into_data(), add(6, 0).into_data());
        }
    }
}
