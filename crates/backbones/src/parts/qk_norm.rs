//! Norms of queries and keys, before rotary positions.
//!
//! Henry et al. *Query-Key Normalization for Transformers*. 2020. <https://arxiv.org/abs/2010.04245>;
//! here a root-mean-square norm with a learned scale, as in the models:
//!
//! q' = RMSNorm(q), k' = RMSNorm(k)             (1)
//!
//! over each head with one scale for all heads (Qwen3), or over all heads of a token together (OLMoE).

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::rms_norm_parts;
use moe::Init;
use serde::{Deserialize, Serialize};

/// The range over which queries and keys are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QkNorm {
    /// No normalisation.
    None,
    /// Each head by itself, as in Qwen3.
    Head,
    /// All heads of a token together, as in OLMoE.
    Width,
}

/// The two norms.
#[derive(Module, Debug)]
pub(crate) struct QueryKeyNorm {
    query: Param<Tensor<1>>,
    key: Param<Tensor<1>>,
    epsilon: f64,
}

impl QueryKeyNorm {
    /// Fresh norms, if there are any; `widths` are those of the queries and keys of a token.
    pub(crate) fn new(
        kind: QkNorm,
        head: usize,
        widths: [usize; 2],
        epsilon: f64,
        init: &Init,
    ) -> Option<Self> {
        let [query, key] = match kind {
            QkNorm::None => return None,
            QkNorm::Head => [head; 2],
            QkNorm::Width => widths,
        };
        let one = |name: &str, width: usize| init.constant(name, [width], 1.0);
        Some(Self { query: one("query_norm", query), key: one("key_norm", key), epsilon })
    }

    /// Applies (1) to queries, keys and values side by side, `[B, T, D + 2 D']`; `widths` are D and D'.
    pub(crate) fn forward(&self, qkv: Tensor<3>, [query, key]: [usize; 2]) -> Tensor<3> {
        let counts = [(&self.query, query), (&self.key, key)].map(|(scale, all)| {
            let [width] = scale.lazy_shape().dims();
            all / width
        });
        rms_norm_parts(qkv, [self.query.val(), self.key.val()], counts, self.epsilon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: QkNorm) -> Vec<f32> {
        let device = Device::flex();
        let norm = QueryKeyNorm::new(kind, 2, [4, 2], 1e-12, &Init::new(0, &device)).unwrap();
        // Two heads of queries, one of keys.
        let qkv = [[[3.0, 4.0, 0.0, 2.0, -6.0, 8.0, 7.0, 9.0]]];
        let y = norm.forward(Tensor::from_floats(qkv, &device), [4, 2]);
        y.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn heads_or_the_whole_width_have_mean_square_one() {
        let root = |x: f32| x.sqrt();
        // (3, 4) over sqrt(25 / 2), (0, 2) over sqrt(4 / 2), (-6, 8) over sqrt(100 / 2); values stay.
        let (a, c) = (root(12.5), root(50.0));
        let expected = [3.0 / a, 4.0 / a, 0.0, root(2.0), -6.0 / c, 8.0 / c, 7.0, 9.0];
        let near = |found: Vec<f32>, expected: [f32; 8]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        near(run(QkNorm::Head), expected);
        let w = root(29.0 / 4.0);
        near(run(QkNorm::Width), [3.0 / w, 4.0 / w, 0.0, 2.0 / w, -6.0 / c, 8.0 / c, 7.0, 9.0]);
    }
}
