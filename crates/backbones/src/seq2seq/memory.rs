//! The memory of a decoder: keys and values of the source and of earlier tokens.

use burn::prelude::*;

use super::{mask::padding_mask, multi_head::KeysValues};

/// The encoding of sources: the outputs of the encoder's last layers, `[B, S, D]` each, the last one last.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The outputs; at least one.
    pub outputs: Vec<Tensor<3>>,
    /// The number of real tokens of each source; at least 1 each.
    pub counts: Vec<usize>,
}

impl Encoded {
    /// The outputs of the last `n` layers for the sources, one after the other along the tokens,
    /// `[B, n S, D]`, the last layer first; and the mask of their padding.
    ///
    /// # Panics
    /// If there are fewer than `n` outputs.
    pub fn last(&self, n: usize) -> (Tensor<3>, Option<Tensor<4>>) {
        let seen: Vec<_> = self.outputs.iter().rev().take(n).cloned().collect();
        assert!(
            n > 0 && seen.len() == n,
            "cannot take the last {n} of {} layers",
            self.outputs.len()
        );
        let (tokens, device) = (seen[0].dims()[1], seen[0].device());
        (Tensor::cat(seen, 1), padding_mask(&self.counts, tokens, n, &device))
    }
}

/// The keys and values that one layer of a decoder attends to.
#[derive(Clone, Debug)]
pub struct LayerMemory {
    /// The keys and values of the target's earlier tokens; none at first.
    pub own: Option<KeysValues>,
    /// The keys and values of the source.
    pub source: KeysValues,
    /// The mask of the source's padding.
    pub mask: Option<Tensor<4>>,
}

/// The keys and values that a decoder attends to, layer by layer: the source, and the tokens of the target
/// so far (the key-value cache).
#[derive(Clone, Debug)]
pub struct Memory {
    /// The memory of each layer.
    pub layers: Vec<LayerMemory>,
}

impl Memory {
    /// The number of tokens of the target so far.
    pub fn tokens(&self) -> usize {
        let own = self.layers.first().and_then(|layer| layer.own.as_ref());
        own.map_or(0, KeysValues::tokens)
    }

    /// The memory of the sequences with these indices, in this order; an index may be repeated.
    pub fn select(&self, rows: &[usize]) -> Self {
        let Some(first) = self.layers.first() else { return self.clone() };
        let numbers: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let device = first.source.keys.device().inner();
        let rows = Tensor::<1, Int>::from_data(TensorData::from(numbers.as_slice()), &device);
        let select = |layer: &LayerMemory| LayerMemory {
            own: layer.own.as_ref().map(|own| own.select(&rows)),
            source: layer.source.select(&rows),
            mask: layer.mask.as_ref().map(|mask| mask.clone().select(0, rows.clone())),
        };
        Self { layers: self.layers.iter().map(select).collect() }
    }
}
