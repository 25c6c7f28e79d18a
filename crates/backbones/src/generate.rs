//! Autoregressive generation with a decoder, token by token.
//!
//! With a cache, each token passes the layers once, and attention keeps the keys and values, or the inputs,
//! of earlier tokens. Without a cache, the whole window is computed again for each token. Both give the same
//! scores as long as no more tokens were read than a window has, provided that the output of each MoE layer
//! for a token does not depend on the tokens beside it. For longer texts, a token attends to a window's
//! length of tokens in each layer with a cache, so that deeper layers reach further back; without a cache,
//! the window slides.

use burn::prelude::*;
use moe::{Input, Pass};

use crate::{AnyBackbone, Cache};

/// A decoder that has read some tokens.
pub struct Decoding<'a> {
    network: &'a AnyBackbone,
    device: &'a Device,
    read: Vec<i32>,
    cache: Option<Cache>,
}

impl<'a> Decoding<'a> {
    /// A decoder that has read nothing. The network must be causal, take tokens, and be without autodiff.
    pub fn new(network: &'a AnyBackbone, device: &'a Device, cached: bool) -> Self {
        let cache = cached.then(|| Cache::new(network.tokens()));
        Self { network, device, read: Vec::new(), cache }
    }

    /// Reads more tokens, and returns the scores of the vocabulary for the next token.
    ///
    /// # Panics
    /// If `ids` is empty.
    pub fn read(&mut self, ids: &[i32]) -> Vec<f32> {
        assert!(!ids.is_empty(), "expected at least one token");
        self.read.extend(ids);
        let mut pass = Pass::eval();
        if let Some(cache) = self.cache.take() {
            pass.put(cache);
            let scores = self.scores(&mut pass, ids.to_vec(), ids.len() - 1);
            self.cache = pass.take();
            return scores;
        }
        let length = self.network.tokens();
        let mut window = self.read[self.read.len().saturating_sub(length)..].to_vec();
        let last = window.len() - 1;
        // Tokens after the last one do not matter, and layers may require a whole window.
        window.resize(length, 0);
        self.scores(&mut pass, window, last)
    }

    /// The scores at one position of a window.
    fn scores(&self, pass: &mut Pass, ids: Vec<i32>, place: usize) -> Vec<f32> {
        let n = ids.len();
        let ids = Tensor::from_data(TensorData::new(ids, [1, n]), self.device);
        let y = self.network.forward(pass, Input::Tokens(ids));
        kernels::read_back(y.narrow(1, place, 1)).iter().collect()
    }
}

/// The largest difference between the scores with and without a cache, over a text of at most a
/// window's length that is read in two halves, the second token by token. Infinite if one is NaN.
pub fn gap_of_cache(network: &AnyBackbone, device: &Device, ids: &[i32]) -> f32 {
    let ways = [true, false].map(|cached| {
        let mut decoder = Decoding::new(network, device, cached);
        let (first, rest) = ids.split_at(ids.len().div_ceil(2));
        let mut scores = decoder.read(first);
        scores.extend(rest.iter().flat_map(|id| decoder.read(&[*id])));
        scores
    });
    let gap = |(a, b): (&f32, &f32)| {
        let gap = (a - b).abs();
        if gap.is_nan() { f32::INFINITY } else { gap }
    };
    ways[0].iter().zip(&ways[1]).map(gap).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Backbone, PositionEncoding, TransformerLm, TransformerLmConfig,
        testing::{library, spec},
    };
    use moe::{Domain, Init};

    fn network(config: TransformerLmConfig) -> AnyBackbone {
        let (library, moe) = library();
        let spec = spec(Domain::Text { vocab: 3, length: 8 }, &moe, &library);
        let init = Init::new(0, &Device::flex());
        AnyBackbone::new(<TransformerLm as Backbone>::init(&config, &spec, &init).unwrap())
    }

    fn kinds() -> [TransformerLmConfig; 3] {
        let plain = TransformerLmConfig::default;
        [
            plain(),
            TransformerLmConfig { kv_heads: Some(2), ..plain() },
            TransformerLmConfig { positions: PositionEncoding::Relative, span: Some(5), ..plain() },
        ]
    }

    #[test]
    fn with_and_without_a_cache_the_scores_are_the_same() {
        for config in kinds() {
            let gap = gap_of_cache(&network(config), &Device::flex(), &[0, 1, 2, 2, 1, 0, 1]);
            assert!(gap < 1e-5, "{gap}");
        }
    }

    #[test]
    fn one_may_read_on_after_the_window() {
        for config in kinds() {
            let (network, device) = (network(config), Device::flex());
            for cached in [true, false] {
                let mut decoder = Decoding::new(&network, &device, cached);
                decoder.read(&[0, 1, 2, 0, 1, 2, 2, 2, 1, 0, 2, 1]);
                let scores = decoder.read(&[1]);
                assert!(scores.len() == 3 && scores.iter().all(|score| score.is_finite()));
            }
        }
    }

    #[test]
    fn one_block_sees_the_same_after_the_window_too() {
        let network = network(TransformerLmConfig { depth: 1, ..kinds()[0].clone() });
        let device = Device::flex();
        let read = |cached| {
            let mut decoder = Decoding::new(&network, &device, cached);
            (0..20).map(|i| decoder.read(&[i % 3])).collect::<Vec<_>>().concat()
        };
        let gaps = read(true).into_iter().zip(read(false)).map(|(a, b)| (a - b).abs());
        assert!(gaps.fold(0.0, f32::max) < 1e-5);
    }
}
