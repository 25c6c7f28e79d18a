//! NetVLAD over a window around each frame, and NetVLAD++, which pools the frames before and after
//! separately.
//!
//! Arandjelović et al. *NetVLAD*. CVPR 2016. <https://arxiv.org/abs/1511.07247>
//! Giancola, Ghanem. *Temporally-Aware Feature Pooling for Action Spotting*. CVPR Workshops 2021.
//! <https://arxiv.org/abs/2104.06779>
//!
//! e_t = x_t E, over its length                                                      (1)
//! a_t = softmax(e_t C), the shares of K clusters                                    (2)
//! V_k = sum over the window of a_tk (e_t - c_k)                                     (3)
//! v   = all V_k, each over its length, side by side, over its length, times the root of the number of its
//!       numbers                                                                     (4)
//! y_t = v with layers, then a linear map to classes                                 (5)
//!
//! With `halves = true` (NetVLAD++) the frames before t and those from t on have separate clusters, each with
//! its own (2) to (4), side by side.
//!
//! Differs from the papers: the last factor of (4), without which v is so small that little is learned in few
//! steps; a linear map to `width` and layers in (5), of which there are none with `depth = 0`; no dropout.
//! NetVLAD of the first baseline has no (1).

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{linear_layer, softmax};
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::frames::{FRAMES, Layers, at_least_one, flops, frames, sizes, unit, window_sum};
use crate::{Backbone, BackboneSpec};

/// The width of a frame's features after the first map, (1); 512 in the published code of NetVLAD++.
const FEATURES: usize = 32;

config! {
    /// Sizes of the network.
    pub struct NetVladConfig {
        /// The number of clusters, K; with `halves`, K on either side.
        pub clusters: usize = 8,
        /// The number of frames of a window.
        pub window: usize = 40,
        /// Whether the frames before and after are pooled separately, as in NetVLAD++.
        pub halves: bool = false,
        /// The width of the stream after the pooling.
        pub width: usize = 64,
        /// Layers after the pooling; if 0, its result goes directly to the head.
        pub depth: usize = 1,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// Clusters, pooled over the frames from t + `from` to t + `to`.
#[derive(Module, Debug)]
pub(super) struct Vlad {
    /// C, `[features, K]`.
    assignment: Linear,
    /// c, `[K, features]`.
    centers: Param<Tensor<2>>,
    from: isize,
    to: isize,
}

impl Vlad {
    pub(super) fn new(
        init: &Init,
        [features, clusters]: [usize; 2],
        (from, to): (isize, isize),
    ) -> Self {
        let std = 1.0 / (features as f64).sqrt();
        Self {
            assignment: init.linear("assignment", features, clusters, false),
            centers: init.normal("centers", [clusters, features], std),
            from,
            to,
        }
    }

    /// (2) to (4): `[B, T, features] -> [B, T, K * features]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.pooled(x, (self.from, self.to))
    }

    /// Pools over the frames from t + `from` to t + `to`.
    pub(super) fn pooled(&self, x: Tensor<3>, (from, to): (isize, isize)) -> Tensor<3> {
        let ([b, t, d], [k, _]) = (x.dims(), self.centers.lazy_shape().dims());
        let shares = softmax(linear_layer(&self.assignment, x.clone()), 2); // (2)
        let parts = shares.clone().reshape([b, t, k, 1]) * x.reshape([b, t, 1, d]);
        let parts = Tensor::cat(vec![parts.reshape([b, t, k * d]), shares], 2);
        let sums = window_sum(parts, from, to);
        let counts = sums.clone().narrow(2, k * d, k).reshape([b, t, k, 1]);
        let centers = self.centers.val().reshape([1, 1, k, d]);
        let residuals = sums.narrow(2, 0, k * d).reshape([b, t, k, d]) - counts * centers; // (3)
        unit(unit(residuals).reshape([b, t, k * d])) * ((k * d) as f64).sqrt() // (4)
    }

    /// Floating-point operations for an input of `tokens` frames.
    pub(super) fn flops(&self, tokens: usize) -> f64 {
        let [k, d] = self.centers.lazy_shape().dims();
        flops(&self.assignment) + 2.0 * (tokens * k * (d + 1)) as f64
    }
}

/// NetVLAD, or NetVLAD++.
#[derive(Module, Debug)]
pub struct NetVlad {
    embedding: Linear,
    pools: Vec<Vlad>,
    projection: Option<Linear>,
    layers: Layers,
    head: Linear,
    tokens: usize,
}

impl NetVladConfig {
    /// The ranges of the pools around a frame, each from and to.
    fn pools(&self) -> Vec<(isize, isize)> {
        let (before, all) = ((self.window / 2) as isize, self.window as isize);
        match self.halves {
            true => vec![(-before, 0), (0, all - before)],
            false => vec![(-before, all - before)],
        }
    }
}

impl Backbone for NetVlad {
    type Config = NetVladConfig;
    const NAME: &'static str = "net-vlad";
    const ABOUT: &'static str =
        "NetVLAD: residuals to clusters, summed over a window around each frame";
    const PAPER: &'static str = "https://arxiv.org/abs/2104.06779";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &NetVladConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let NetVladConfig { clusters, width, window, .. } = *config;
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        at_least_one(Self::NAME, &[("clusters", clusters), ("width", width)])?;
        if window < 2 {
            return Err(crate::wrong(Self::NAME, format!("window = {window}: must be at least 2")));
        }
        Layers::check(Self::NAME, spec, &config.dense, [tokens, width], config.depth)
    }

    fn init(config: &NetVladConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [tokens, numbers] = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let NetVladConfig { clusters, width, depth, .. } = *config;
        let windows = config.pools();
        let pooled = windows.len() * clusters * FEATURES;
        let pool = |(at, window): (usize, (isize, isize))| {
            Vlad::new(&init.at("pools").at(at), [FEATURES, clusters], window)
        };
        let (projects, last) = (depth > 0, if depth > 0 { width } else { pooled });
        Ok(Self {
            embedding: init.linear("embedding", numbers, FEATURES, true),
            pools: windows.into_iter().enumerate().map(pool).collect(),
            projection: projects.then(|| init.linear("projection", pooled, width, true)),
            layers: Layers::new(spec, &config.dense, [tokens, width], depth, init)?,
            head: init.linear("head", last, spec.outputs, true),
            tokens,
        })
    }

    /// Maps `[B, 1, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let x = unit(linear_layer(&self.embedding, frames(input))); // (1)
        let pooled = self.pools.iter().map(|pool| pool.forward(x.clone())).collect();
        let pooled = Tensor::cat(pooled, 2);
        let x = match &self.projection {
            Some(projection) => linear_layer(projection, pooled),
            None => pooled,
        };
        linear_layer(&self.head, self.layers.forward(pass, x)) // (5)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let pools: f64 = self.pools.iter().map(|pool| pool.flops(self.tokens)).sum();
        let maps = flops(&self.embedding) + flops(&self.head);
        let projection = self.projection.as_ref().map_or(0.0, flops);
        self.tokens as f64 * (maps + pools + projection + self.layers.dense_flops())
    }
}
