//! A siamese network for replay grounding: one encoder for a piece of a game and for a replay, and for each
//! frame of the piece the score that the replay shows it.
//!
//! Deliège et al. *SoccerNet-v2*. CVPR Workshops 2021. <https://arxiv.org/abs/2011.13367>, section 5.3:
//! replay and piece pass the same network, and a second network compares the results.
//!
//! e(x) = x E, and a convolution over time of GELU(x E)                               (1)
//! r    = mean over the frames of e(replay)                                           (2)
//! s_t  = four times the cosine of e_t and r                                          (3)
//! y_t  = [e_t, e_t r, r, s_t] to `width`, layers, a linear map to one number         (4)
//!
//! With `clusters`, both are pooled by one NetVLAD P (`net_vlad.rs`), as in the paper's second baseline:
//!
//! r    = P of all frames of e(replay),   in the place of e_t: P of the window around t    (2')
//!
//! Differs from the paper: one convolution in place of the pyramid of CALF, an answer at each frame.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::{gelu, linear_layer};
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, config};

use super::{
    frames::{Convolution, Layers, at_least_one, flops, unit},
    net_vlad::Vlad,
};
use crate::{Backbone, BackboneSpec, wrong};

/// The width of a frame's features in the encoder, (1): our choice, as is its one convolution.
const FEATURES: usize = 64;
/// The size of the encoder's filter in frames: our choice.
const KERNEL: usize = 5;

config! {
    /// Sizes of the network.
    pub struct SiameseConfig {
        /// The width of the stream of the comparison.
        pub width: usize = 64,
        /// Clusters of the NetVLAD that pools frames, (2'); the mean of (2) if none are given.
        pub clusters: Option<usize> = None,
        /// The number of frames of the piece that it pools around each frame.
        pub window: usize = 10,
        /// The number of layers of the comparison.
        pub depth: usize = 1,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// The pooling of frames, (2').
#[derive(Module, Debug)]
struct Pool {
    vlad: Vlad,
    projection: Linear,
}

impl Pool {
    fn new(config: &SiameseConfig, clusters: usize, init: &Init) -> Self {
        let before = (config.window / 2) as isize;
        let window = (-before, config.window as isize - before);
        let pooled = clusters * FEATURES;
        Self {
            vlad: Vlad::new(&init.at("vlad"), [FEATURES, clusters], window),
            projection: init.linear("projection", pooled, FEATURES, true),
        }
    }

    /// The pooled result for each frame of the piece, `[B, T, D]`, and for the whole replay, `[B, 1, D]`.
    fn forward(&self, [piece, replay]: [Tensor<3>; 2]) -> [Tensor<3>; 2] {
        let frames = replay.dims()[1] as isize;
        let replay = self.vlad.pooled(unit(replay), (-frames, frames)).narrow(1, 0, 1);
        let both = [self.vlad.forward(unit(piece)), replay];
        both.map(|x| linear_layer(&self.projection, x))
    }
}

/// One encoder for piece and replay, and the layers that compare them.
#[derive(Module, Debug)]
pub struct Siamese {
    embedding: Linear,
    encoder: Convolution,
    pool: Option<Pool>,
    comparison: Linear,
    layers: Layers,
    head: Linear,
    tokens: usize,
}

/// The message for an input that differs from the one that was checked.
const PAIRS: &str = "expected images of two channels: the rows of a piece, and those of a replay";

fn sizes(domain: Domain) -> Result<[usize; 2], ConfigError> {
    match domain {
        Domain::Image { channels: 2, height, width } => Ok([height, width]),
        other => Err(wrong(Siamese::NAME, format!("{PAIRS}, not {other:?}"))),
    }
}

impl Siamese {
    fn encode(&self, x: Tensor<3>) -> Tensor<3> {
        let x = linear_layer(&self.embedding, x);
        x.clone() + self.encoder.forward(gelu(x)) // (1)
    }
}

impl Backbone for Siamese {
    type Config = SiameseConfig;
    const NAME: &'static str = "siamese";
    const ABOUT: &'static str =
        "siamese network: one encoder for game clips and replays, then a comparison";
    const PAPER: &'static str = "https://arxiv.org/abs/2011.13367";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &SiameseConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(spec.domain)?;
        let clusters = config.clusters.unwrap_or(1);
        let sizes = [("width", config.width), ("clusters", clusters), ("window", config.window)];
        at_least_one(Self::NAME, &sizes)?;
        Layers::check(Self::NAME, spec, &config.dense, [tokens, config.width], config.depth)
    }

    fn init(config: &SiameseConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [tokens, numbers] = sizes(spec.domain).expect(PAIRS);
        let SiameseConfig { width, depth, .. } = *config;
        Ok(Self {
            embedding: init.linear("embedding", numbers, FEATURES, true),
            encoder: Convolution::new(init, "encoder", [FEATURES, FEATURES], KERNEL),
            pool: config.clusters.map(|clusters| Pool::new(config, clusters, init)),
            comparison: init.linear("comparison", 3 * FEATURES + 1, width, true),
            layers: Layers::new(spec, &config.dense, [tokens, width], depth, init)?,
            head: init.linear("head", width, spec.outputs, true),
            tokens,
        })
    }

    /// Maps `[B, 2, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(rows) = input else { panic!("{PAIRS}") };
        let channel = |at: usize| rows.clone().narrow(1, at, 1).squeeze_dim::<3>(1);
        let both = [0, 1].map(|at| self.encode(channel(at)));
        let [piece, replay] = match (&self.pool, both) {
            (Some(pool), both) => pool.forward(both), // (2')
            (None, [piece, replay]) => [piece, replay.mean_dim(1)], // (2)
        };
        let [_, t, _] = piece.dims();
        let both = piece.clone() * replay.clone();
        let cosine = (unit(piece.clone()) * unit(replay.clone())).sum_dim(2); // (3)
        let compared = Tensor::cat(vec![piece, both, replay.repeat_dim(1, t), cosine * 4.0], 2);
        let x = linear_layer(&self.comparison, compared);
        linear_layer(&self.head, self.layers.forward(pass, x)) // (4)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let encoder = 2.0 * (flops(&self.embedding) + self.encoder.flops());
        let pool = |pool: &Pool| 2.0 * pool.vlad.flops(self.tokens) + flops(&pool.projection);
        let pool = self.pool.as_ref().map_or(0.0, pool);
        let rest = pool + flops(&self.comparison) + self.layers.dense_flops() + flops(&self.head);
        self.tokens as f64 * (encoder + rest)
    }
}
