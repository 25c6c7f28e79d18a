//! A feed-forward network plus a learned vector for each token.
//!
//! Not from a paper. The control for hash routing: a hash gives a layer the identity of the token and
//! nothing else. If a vector of the token has the same effect in a dense network, hash routing gains from
//! the identity and not from experts.
//!
//! ```text
//! y = FFN(x) + v[token]
//! ```
//! v starts at 0. The network is for blocks without experts: its rows are the tokens of the pass, in order.
//! FFN is `ffn` with the same initial weights.

use experts::{Ffn, FfnConfig};
use lab::prelude::*;

config! {
    /// Sizes of a feed-forward network with a vector for each token.
    pub struct TokenVectorConfig {
        /// The hidden width, H.
        pub hidden: usize = 128,
        /// The number of tokens in the vocabulary: 98 for `tokens = "ascii"`.
        pub vocab: usize = 98,
    }
}

/// A feed-forward network, and a vector for each token.
#[derive(Module, Debug)]
pub(crate) struct TokenVector {
    network: Ffn,
    /// `[vocab, D]`.
    vectors: Param<Tensor<2>>,
}

impl Experts for TokenVector {
    type Config = TokenVectorConfig;
    const NAME: &'static str = "token-vector";
    const ABOUT: &'static str = "a feed-forward network plus a learned vector of the token";

    fn check(config: &TokenVectorConfig, dims: Dims) -> Result<(), String> {
        match (config.hidden, config.vocab, dims.n_experts) {
            (0, ..) => Err("hidden = 0: must be at least 1".into()),
            (_, 0, _) => Err("vocab = 0: must be at least 1".into()),
            (_, _, 1) => Ok(()),
            (.., n) => Err(format!(
                "experts = {n}: must be 1, since token-vector is for blocks without experts"
            )),
        }
    }

    fn init(config: &TokenVectorConfig, dims: Dims, init: &Init) -> Self {
        let network = FfnConfig { hidden: config.hidden, ..FfnConfig::default() };
        Self {
            network: Experts::init(&network, dims, init),
            vectors: init.constant("vectors", [config.vocab, dims.width], 0.0),
        }
    }

    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [_, rows, d] = slots.dims();
        let TokenIds(ids) = pass.get().expect("a token-vector requires TokenIds in the pass");
        let vectors = self.vectors.val().select(0, ids.clone().reshape([rows]));
        Experts::forward(&self.network, pass, slots) + vectors.reshape([1, rows, d])
    }

    fn flops_per_row(&self) -> f64 {
        Experts::flops_per_row(&self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(ids: [i32; 3], vectors: f32) -> Vec<f32> {
        let device = Device::flex();
        let (dims, init) = (Dims { width: 2, n_experts: 1, units: 3 }, Init::new(0, &device));
        let config = TokenVectorConfig { hidden: 4, vocab: 5 };
        let mut network = TokenVector::init(&config, dims, &init);
        let rows = Tensor::<2>::ones([5, 2], &device) * vectors;
        let rows = rows * Tensor::from_floats([[0.0], [1.0], [2.0], [3.0], [4.0]], &device);
        network.vectors = Param::from_tensor(rows);
        let mut pass = Pass::eval();
        pass.put(TokenIds(Tensor::from_ints([ids], &device)));
        let input = init.normal("input", [1, 3, 2], 1.0).val();
        Experts::forward(&network, &mut pass, input).into_data().iter().collect()
    }

    #[test]
    fn the_vector_of_each_token_is_added() {
        let plain = outputs([0, 1, 4], 0.0);
        let added: Vec<f32> =
            outputs([0, 1, 4], 1.0).iter().zip(&plain).map(|(a, b)| (a - b).round()).collect();
        assert_eq!(added, [0.0, 0.0, 1.0, 1.0, 4.0, 4.0]);
    }

    #[test]
    fn a_stack_of_them_is_refused() {
        let dims = Dims { width: 2, n_experts: 2, units: 3 };
        let refused = TokenVector::check(&TokenVectorConfig::default(), dims).unwrap_err();
        assert!(refused.starts_with("experts = 2: must be 1"), "{refused}");
    }
}
