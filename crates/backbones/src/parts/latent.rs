//! Multi-head latent attention: keys and values from a low-dimensional latent vector.
//!
//! DeepSeek-AI. *DeepSeek-V2*. 2024. <https://arxiv.org/abs/2405.04434>, section 2.1.
//!
//! c^KV = RMSNorm(x W^DKV)                      (9)
//! k^C, v = c^KV W^UKV                          (10), (11), head by head beside each other
//! k^R  = RoPE(x W^KR)                          (15), one for all heads
//! c^Q  = RMSNorm(x W^DQ), q = c^Q W^UQ         (12), (13), or q = x W^Q without `query_rank`
//! q^R  = RoPE of the last numbers of a head    (14)
//! scores from [q^C; q^R] and [k^C; k^R]        (16), (17)
//!
//! W^DKV and W^KR are side by side in `down`. The pairs of rotary positions are neighbours.
//!
//! Differs from the paper: the cache keeps keys and values, not the latent vectors; the numbers are the same.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{linear_layer, rms_norm};
use moe::{Init, config};

use super::Turns;

config! {
    /// The widths of latent attention.
    pub struct LatentConfig {
        /// The width of the latent vector of keys and values.
        pub rank: usize = 512,
        /// The width of the latent vector of queries; without it, queries have no latent vector.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub query_rank: Option<usize> = None,
        /// The width of a head's queries and keys without positions.
        pub plain: usize = 128,
        /// The width of a head's queries and keys with rotary positions.
        pub rotary: usize = 64,
        /// The width of a head's values.
        pub value: usize = 128,
        /// The epsilon of the norms of latent vectors.
        pub epsilon: f64 = 1e-6,
    }
}

impl LatentConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { rank, query_rank, plain, rotary, value, .. } = *self;
        if [rank, query_rank.unwrap_or(1), plain, rotary, value].contains(&0) {
            return Err("attention.latent: all widths must be at least 1".into());
        }
        crate::Norm::check(self.epsilon).map_err(|err| format!("attention.latent: {err}"))?;
        match rotary.is_multiple_of(2) {
            true => Ok(()),
            false => Err(format!("attention.latent.rotary = {rotary}: must be even")),
        }
    }

    /// The width of a head's queries.
    pub fn head(&self) -> usize {
        self.plain + self.rotary
    }
}

/// The maps to queries, keys and values.
#[derive(Module, Debug)]
pub(crate) struct Latent {
    query_down: Option<Linear>,
    query_norm: Option<Param<Tensor<1>>>,
    query: Linear,
    down: Linear,
    norm: Param<Tensor<1>>,
    up: Linear,
    heads: usize,
    #[module(skip)]
    config: LatentConfig,
    #[module(skip)]
    turns: Turns,
}

impl Latent {
    /// Fresh maps from width `width` to this many heads; `bias` is for the maps down.
    pub(crate) fn new(
        config: &LatentConfig,
        [width, heads]: [usize; 2],
        bias: bool,
        turns: Turns,
        init: &Init,
    ) -> Self {
        let LatentConfig { rank, query_rank, plain, rotary, value, .. } = *config;
        let out = heads * config.head();
        Self {
            query_down: query_rank.map(|rank| init.linear("query_down", width, rank, bias)),
            query_norm: query_rank.map(|rank| init.constant("query_norm", [rank], 1.0)),
            query: init.linear("query", query_rank.unwrap_or(width), out, false),
            down: init.linear("down", width, rank + rotary, bias),
            norm: init.constant("norm", [rank], 1.0),
            up: init.linear("up", rank, heads * (plain + value), false),
            heads,
            config: config.clone(),
            turns,
        }
    }

    /// Maps `[B, T, D]` to queries and keys `[B, heads, T, plain + rotary]` and values `[B, heads, T,
    /// value]`; positions count from `start`.
    pub(crate) fn forward(&self, x: Tensor<3>, start: usize) -> [Tensor<4>; 3] {
        let LatentConfig { rank, plain, rotary, value, .. } = self.config;
        let q = self.by_head(self.queries(x.clone()), plain + rotary);
        let turned = self.turns.turn(q.clone().narrow(3, plain, rotary), start); // (14)
        let q = Tensor::cat(vec![q.narrow(3, 0, plain), turned], 3); // (16)
        let down = linear_layer(&self.down, x);
        let [b, t, _] = down.dims();
        let c = rms_norm(down.clone().narrow(2, 0, rank), self.norm.val(), self.config.epsilon); // (9)
        let up = self.by_head(linear_layer(&self.up, c), plain + value); // (10), (11)
        let shared = down.narrow(2, rank, rotary).reshape([b, 1, t, rotary]);
        let shared = self.turns.turn(shared, start).expand([b, self.heads, t, rotary]); // (15)
        let k = Tensor::cat(vec![up.clone().narrow(3, 0, plain), shared], 3); // (17)
        [q, k, up.narrow(3, plain, value)]
    }

    fn queries(&self, x: Tensor<3>) -> Tensor<3> {
        let latent = match (&self.query_down, &self.query_norm) {
            (Some(down), Some(norm)) => {
                rms_norm(linear_layer(down, x), norm.val(), self.config.epsilon) // (12)
            }
            _ => x,
        };
        linear_layer(&self.query, latent) // (13)
    }

    fn by_head(&self, x: Tensor<3>, width: usize) -> Tensor<4> {
        let [b, t, _] = x.dims();
        x.reshape([b, t, self.heads, width]).swap_dims(1, 2)
    }

    /// The number of weights of the maps.
    pub(crate) fn elements(&self) -> usize {
        let maps = [Some(&self.query), Some(&self.down), Some(&self.up), self.query_down.as_ref()];
        maps.into_iter().flatten().map(|map| map.weight.lazy_shape().num_elements()).sum()
    }
}
