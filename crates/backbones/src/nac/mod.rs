//! Neural attentive circuits: modules that attend to each other by signatures and are conditioned on codes.
//!
//! Rahaman et al. *Neural Attentive Circuits*. NeurIPS 2022. <https://arxiv.org/abs/2210.08031>
//!
//! There are three sets of latents: inputs, mediators, outputs. Each latent has a signature, its position in
//! the graph (`kernel.rs`), and a code, which conditions its computation (`mod_fc.rs`); all layers share
//! them. Its first state depends on its code (`latents.rs`).
//!
//! 1. Inputs read the tokens of the image (`tokenizer.rs`, `attention.rs`).
//! 2. In each propagator, mediators read from inputs and mediators:
//!    z <- z + Attention(z; inputs, mediators),  z <- ModFFN(z)                           (1)
//! 3. Outputs read from inputs and mediators, without a residual, by a kernel without truncation.
//! 4. y = W sum_u pi_u z_u,  pi = softmax_u(w z_u + b + Gumbel noise)                     (2)
//!
//! Mediators' signatures are fitted to a scale-free graph (`graph.rs`, `signatures.rs`); the others are normal.
//! In training, latents that are nearer than 0.4 repel each other:
//!
//! R = -sum_{u > v, d_uv < 0.4} d_uv                                                      (3)
//!
//! The noise of first states and of (2) is present in evaluation too, as in the published code, and is always
//! the same.
//!
//! `drop` leaves mediators out in evaluation, those with the weakest connections first: by the sum of exp(-d)
//! over the latents within the truncation. The paper's criterion is not known to us.
//!
//! The published configuration, where constants are as in it, is `configs/nac_scale_tinyimnet_config.yml` of
//! <https://github.com/kamanphoebe/m2mKD>.
//!
//! Differs from the published code: the scale-free graph is its only graph here; codes have their own width;
//! no branch is skipped in training; an image of few pixels may be cut into patches.

mod attention;
mod graph;
mod kernel;
mod latents;
mod mod_fc;
mod module;
mod signatures;
#[cfg(test)]
mod testing;
mod tokenizer;

pub(crate) use module::NacModule;
pub use tokenizer::ImageTokens;

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::{linear_layer, matmul, read_back, softmax, sum};
use moe::{ConfigError, Domain, Init, Input, Pass, Placement, config};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{Backbone, BackboneSpec, wrong};
use attention::{LatentAttention, ReadIn, Widths};
use graph::{DEGREE, scale_free};
use kernel::{Kernel, TRUNCATION, distances};
use latents::{Latents, Seeder, Set, noisy};
use mod_fc::{ModFfn, map_flops};
use tokenizer::{GRID, STRIDE, Tokenizer, TokenizerSizes};

/// The width of a code: our choice; in the published configuration it is D.
const CODE: usize = 32;
/// The width of a signature, as in the published configuration.
const SIGNATURE: usize = 64;
/// The hidden width of feed-forward networks divided by D, as in the published configuration.
const CAP: usize = 2;
/// The distance of latents below which they repel each other, (3), as in the published configuration.
const NEAR: f64 = 0.4;
/// The weight of (3), as in the published configuration.
const REPULSION: f64 = 0.1;

config! {
    /// Sizes of a neural attentive circuit.
    pub struct NacConfig {
        /// Latents that read the image.
        pub inputs: usize = 16,
        /// Latents that read from inputs and from one another.
        pub mediators: usize = 32,
        /// Latents from which the answer is computed.
        pub outputs: usize = 8,
        /// The width of a state, D.
        pub width: usize = 32,
        /// Attention heads.
        pub heads: usize = 2,
        /// The width of a head.
        pub head: usize = 16,
        /// Propagators.
        pub layers: usize = 2,
        /// The tokenizer: `"patches"` or `"conv-next"`.
        pub tokens: ImageTokens = ImageTokens::Patches,
        /// Rows and columns of pixels in a patch.
        pub patch: usize = 2,
        /// The share of the mediators that are left out in evaluation.
        pub drop: f64 = 0.0,
    }
}

impl NacConfig {
    fn check(&self, height: usize, width: usize) -> Result<(), String> {
        let counts = [
            ("inputs", self.inputs, 1),
            ("mediators", self.mediators, DEGREE + 1),
            ("outputs", self.outputs, 1),
            ("heads", self.heads, 1),
            ("head", self.head, 1),
        ];
        if let Some((name, count, least)) = counts.iter().find(|(_, count, least)| count < least) {
            return Err(format!("{name} = {count}: must be at least {least}"));
        }
        if self.width < 4 || !self.width.is_multiple_of(4) {
            return Err(format!("width = {}: must be a multiple of 4", self.width));
        }
        if !(0.0..1.0).contains(&self.drop) {
            return Err(format!("drop = {}: must be from 0 to below 1", self.drop));
        }
        let side = self.side();
        if side == 0 || !height.is_multiple_of(side) || !width.is_multiple_of(side) {
            return Err(format!("tokens of {side} pixels do not divide {height} x {width}"));
        }
        Ok(())
    }

    /// The side of a token in pixels.
    fn side(&self) -> usize {
        match self.tokens {
            ImageTokens::Patches => self.patch,
            ImageTokens::ConvNext => STRIDE,
        }
    }

    fn widths(&self, senders: usize) -> Widths {
        let Self { width, heads, head, .. } = *self;
        Widths { senders, width, code: CODE, heads, head }
    }

    fn feed_forward(&self, init: &Init) -> ModFfn {
        ModFfn::new(self.width, CAP * self.width, CODE, init)
    }
}

/// Mediators, with signatures that are fitted to the graph on first use.
fn mediators(count: usize, init: &Init) -> Set {
    let fitted = move |rng: &mut ChaCha8Rng| {
        signatures::fitted(count, SIGNATURE, &scale_free(count, rng), rng)
    };
    let signatures = init.drawn("signatures", [count, SIGNATURE], fitted);
    Set { signatures, ..Set::new(count, init) }
}

/// A layer in which mediators read, (1).
#[derive(Module, Debug)]
struct Propagator {
    kernel: Kernel,
    attention: LatentAttention,
    feed_forward: ModFfn,
}

impl Propagator {
    /// A propagator with a kernel that is `sparse` or not.
    fn new(config: &NacConfig, sparse: bool, init: &Init) -> Self {
        Self {
            kernel: Kernel::new(sparse, init),
            attention: LatentAttention::new(config.widths(config.width), &init.at("attention")),
            feed_forward: config.feed_forward(&init.at("feed_forward")),
        }
    }

    /// The values that the receivers read from the senders, `[B, U, D]`, and the noisy codes of the
    /// receivers.
    fn read(
        &self,
        pass: &mut Pass,
        receivers: &Latents,
        senders: &Latents,
    ) -> (Tensor<3>, Tensor<2>) {
        let codes = noisy(pass, receivers.codes.clone());
        let sent = noisy(pass, senders.codes.clone());
        let b = receivers.states.dims()[0];
        let (to, from) = (receivers.signatures.clone(), senders.signatures.clone());
        let log = self.kernel.forward(pass, b, to, from);
        let receivers = (receivers.states.clone(), codes.clone());
        (self.attention.forward(receivers, (senders.states.clone(), sent), log), codes)
    }

    /// The states of the receivers after (1), `[B, U, D]`.
    fn forward(&self, pass: &mut Pass, receivers: &Latents, senders: &Latents) -> Tensor<3> {
        let (branch, codes) = self.read(pass, receivers, senders);
        self.feed_forward.forward(receivers.states.clone() + branch, codes)
    }

    /// The answer of the outputs: no residual around the attention.
    fn read_out(&self, pass: &mut Pass, outputs: &Latents, senders: &Latents) -> Tensor<3> {
        let (z, codes) = self.read(pass, outputs, senders);
        self.feed_forward.forward(z, codes)
    }

    fn flops(&self, receivers: usize, senders: usize) -> f64 {
        self.attention.flops(receivers, senders) + receivers as f64 * self.feed_forward.flops()
    }
}

/// A neural attentive circuit.
#[derive(Module, Debug)]
pub struct Nac {
    tokenizer: Tokenizer,
    inputs: Set,
    mediators: Set,
    outputs: Set,
    seeder: Seeder,
    read_in: ReadIn,
    read_in_feed_forward: ModFfn,
    propagators: Vec<Propagator>,
    read_out: Propagator,
    confidence: Linear,
    head: Linear,
    /// The number of tokens of an image.
    count: usize,
    #[module(skip)]
    config: NacConfig,
}

/// The message of an error that `check` excludes.
const IMAGES: &str = "a nac requires images";

fn sizes(domain: Domain) -> Option<[usize; 3]> {
    match domain {
        Domain::Image { channels, height, width } => Some([channels, height, width]),
        _ => None,
    }
}

impl Backbone for Nac {
    type Config = NacConfig;
    const NAME: &'static str = "nac";
    const ABOUT: &'static str =
        "neural attentive circuit: modules that attend to each other by signatures";
    const PAPER: &'static str = "https://arxiv.org/abs/2210.08031";
    const CAUSAL: bool = false;

    fn check(config: &NacConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let [_, height, width] = sizes(spec.domain)
            .ok_or_else(|| wrong("expected images, but the task has text".into()))?;
        if spec.moe.layers != Placement::NONE {
            return Err(wrong("MoE layers are not supported: moe.layers must be \"none\"".into()));
        }
        config.check(height, width).map_err(wrong)
    }

    fn init(config: &NacConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [channels, height, width] = sizes(spec.domain).expect(IMAGES);
        let NacConfig { tokens, patch, width: d, .. } = *config;
        let count = (height / config.side()) * (width / config.side());
        let sizes = TokenizerSizes { tokens, channels, patch, width: d, count };
        let propagator = |i| Propagator::new(config, true, &init.at("propagators").at(i));
        Ok(Self {
            tokenizer: Tokenizer::new(sizes, &init.at("tokenizer")),
            inputs: Set::new(config.inputs, &init.at("inputs")),
            mediators: mediators(config.mediators, &init.at("mediators")),
            outputs: Set::new(config.outputs, &init.at("outputs")),
            seeder: Seeder::new(CODE, d, &init.at("seeder")),
            read_in: ReadIn::new(config.widths(d / 2 + GRID), &init.at("read_in")),
            read_in_feed_forward: config.feed_forward(&init.at("read_in_feed_forward")),
            propagators: (0..config.layers).map(propagator).collect(),
            read_out: Propagator::new(config, false, &init.at("read_out")),
            confidence: init.linear("confidence", d, 1, true),
            head: init.linear("head", d, spec.outputs, true),
            count,
            config: config.clone(),
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        linear_layer(&self.head, self.pooled(pass, input)) // (2)
    }

    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>> {
        Some(self.pooled(pass, input).squeeze_dim::<2>(1))
    }

    fn tokens(&self) -> usize {
        self.config.inputs + self.config.mediators
    }

    fn dense_flops(&self) -> f64 {
        let NacConfig { inputs, mediators, outputs, .. } = self.config;
        let senders = inputs + mediators;
        let layers = self.propagators.iter().map(|layer| layer.flops(mediators, senders));
        self.tokenizer.flops(self.count)
            + self.read_in.flops(inputs, self.count)
            + inputs as f64 * self.read_in_feed_forward.flops()
            + layers.sum::<f64>()
            + self.read_out.flops(outputs, senders)
            + outputs as f64 * map_flops(&self.confidence)
            + map_flops(&self.head)
    }
}

impl Nac {
    /// The weighted sum of the outputs, `[B, 1, D]`.
    fn pooled(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(pixels) = input else { panic!("{IMAGES}") };
        self.repel(pass);
        let tokens = self.tokenizer.forward(pixels);
        let inputs = self.inputs_of(pass, tokens);
        let b = inputs.states.dims()[0];
        let mediators = self.seeded(pass, b, &self.mediators);
        let mut mediators = self.kept(pass, mediators);
        self.tell_density(pass, &mediators);
        for propagator in &self.propagators {
            let senders = inputs.and(&mediators);
            mediators = mediators.with(propagator.forward(pass, &mediators, &senders)); // (1)
        }
        let outputs = self.seeded(pass, b, &self.outputs);
        let z = self.read_out.read_out(pass, &outputs, &inputs.and(&mediators));
        self.pool(pass, z)
    }

    /// The latents of a set with their first states.
    fn seeded(&self, pass: &mut Pass, examples: usize, set: &Set) -> Latents {
        let codes = noisy(pass, set.codes.val());
        Latents {
            states: self.seeder.forward(pass, examples, codes),
            codes: set.codes.val(),
            signatures: set.signatures.val(),
        }
    }

    /// The input latents after they have read the tokens.
    fn inputs_of(&self, pass: &mut Pass, tokens: Tensor<3>) -> Latents {
        let inputs = self.seeded(pass, tokens.dims()[0], &self.inputs);
        let codes = noisy(pass, inputs.codes.clone());
        let z = self.read_in.forward(tokens, inputs.states.clone(), codes.clone());
        inputs.with(self.read_in_feed_forward.forward(z, codes))
    }

    /// The mediators that are not left out.
    fn kept(&self, pass: &Pass, mediators: Latents) -> Latents {
        if pass.training() || self.config.drop == 0.0 {
            return mediators;
        }
        let kept = self.strongest(mediators.signatures.clone());
        let kept = TensorData::new(kept, [self.left()]);
        let kept = Tensor::<1, Int>::from_data(kept, &mediators.states.device().inner());
        Latents {
            states: mediators.states.select(1, kept.clone()),
            codes: mediators.codes.select(0, kept.clone()),
            signatures: mediators.signatures.select(0, kept),
        }
    }

    /// The number of mediators in evaluation; at least one.
    fn left(&self) -> usize {
        let all = self.config.mediators;
        (all - (self.config.drop * all as f64).round() as usize).max(1)
    }

    /// The mediators with the strongest connections, in their order.
    fn strongest(&self, signatures: Tensor<2>) -> Vec<i32> {
        let all = vec![self.inputs.signatures.val(), signatures.clone()];
        let d = distances(signatures, Tensor::cat(all, 0));
        let near = d.clone().lower_equal_scalar(TRUNCATION).float();
        let strength = (d.neg().exp() * near).sum_dim(1);
        let strength: Vec<f32> = read_back(strength).iter().collect();
        let mut order: Vec<usize> = (0..strength.len()).collect();
        order.sort_by(|a, b| strength[*b].total_cmp(&strength[*a]).then(a.cmp(b)));
        order.truncate(self.left());
        order.sort_unstable();
        order.into_iter().map(|mediator| mediator as i32).collect()
    }

    /// The weighted sum of (2), without the last map.
    fn pool(&self, pass: &mut Pass, z: Tensor<3>) -> Tensor<3> {
        let confidence = linear_layer(&self.confidence, z.clone()).swap_dims(1, 2);
        let (shape, mut rng) = (confidence.dims(), pass.rng());
        let gumbel = |_| {
            let u = rng.random::<f64>().max(f64::MIN_POSITIVE);
            -(-u.ln()).max(f64::MIN_POSITIVE).ln() as f32
        };
        let noise: Vec<f32> = (0..shape[0] * shape[2]).map(gumbel).collect();
        let noise = TensorData::new(noise, shape);
        let noise = Tensor::<3>::from_data(noise, &confidence.device().inner());
        matmul(softmax(confidence + noise, 2), z)
    }

    /// Adds the repulsion (3) as a loss.
    fn repel(&self, pass: &mut Pass) {
        if !pass.training() {
            return;
        }
        let sets = [&self.inputs, &self.mediators, &self.outputs];
        let all = Tensor::cat(sets.map(|set| set.signatures.val()).to_vec(), 0);
        let d = distances(all.clone(), all);
        let [n, _] = d.dims();
        // Each pair once: u > v.
        let below = Tensor::<2>::ones([n, n], &d.device().inner()).tril(-1);
        let near = d.clone().lower_scalar(NEAR).float() * below;
        pass.loss("repulsion", sum(d * near) * -REPULSION);
    }

    /// Reports, in evaluation, the share of the pairs of mediators that are connected.
    fn tell_density(&self, pass: &mut Pass, mediators: &Latents) {
        if pass.training() {
            return;
        }
        let (one, other) = (mediators.signatures.clone(), mediators.signatures.clone());
        let near = distances(one, other).lower_equal_scalar(TRUNCATION).float();
        let [n, _] = near.dims();
        let pairs = (n * n - n).max(1) as f64;
        pass.metric("graph_density", (sum(near) - n as f64) / pairs);
    }
}

#[cfg(test)]
mod tests;
