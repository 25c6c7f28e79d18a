//! A decoder that predicts the next token, with places for MoE layers.
//!
//! Radford et al. *Language Models are Unsupervised Multitask Learners*. 2019 (the pre-norm decoder).
//! Touvron et al. *LLaMA*. 2023. <https://arxiv.org/abs/2302.13971> (RMSNorm, rotary positions,
//! SwiGLU, no biases).
//!
//! x_0  = Embed(ids)                                      (1)
//! x'_l = x_{l-1} + Attention(RMSNorm(x_{l-1}))           (2), causal, rotary
//! x_l  = x'_l + FFN(RMSNorm(x'_l))                       (3), FFN or MoE
//! y    = Head(RMSNorm(x_L))                              (4)
//!
//! With another wiring the blocks are as in `block.rs`, with layer norms, and (4) has no norm before the
//! head: the last block ends with a norm.
//!
//! With `positions = "relative"` attention is as in `relative_attention.rs`: `span`, and one table of
//! distances for all layers. Windows are independent, with zeros in place of earlier tokens; in a pass with a
//! [`Cache`] the earlier tokens are used.
//!
//! The language models of MomentumSMoE have `wiring = "double-residual"`, relative positions and a head with
//! a bias. Mixtral has `kv_heads`, `moe.layers = "all"`, SwiGLU experts and `top-k`; Ling has in addition
//! shared experts and `head = { norm = "column" }`.
//!
//! Further parts of other published models are in `parts` and `multipliers.rs`.
//!
//! Differs from LLaMA: the dense network is GELU by default (`dense = { kind = "swiglu" }` is LLaMA's).

use burn::{
    module::{Module, Param},
    nn::Embedding,
    prelude::*,
};
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, TokenIds, config};
use serde::{Deserialize, Serialize};

use crate::{
    AttentionConfig, AttentionParts, Backbone, BackboneSpec, Block, Cache, Head, HeadConfig,
    Multipliers, Norm, Positions, Wiring, multipliers::times, relative_attention::Distances, wrong,
};

/// The positional encoding of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionEncoding {
    /// Rotary positions.
    Rotary,
    /// A learned vector for each distance, up to a span.
    Relative,
}

config! {
    /// Sizes of a decoder.
    pub struct TransformerLmConfig {
        /// The width of the stream, D.
        pub width: usize = 64,
        /// The number of blocks.
        pub depth: usize = 2,
        /// Attention heads.
        pub heads: usize = 4,
        /// The width of a head; by default the width of the stream divided by the heads.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub head_width: Option<usize> = None,
        /// Heads of keys and values, which neighbouring heads share; as many as `heads` by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub kv_heads: Option<usize> = None,
        /// The positional encoding.
        pub positions: PositionEncoding = PositionEncoding::Rotary,
        /// The base of rotary positions.
        pub theta: f64 = 10_000.0,
        /// The number of tokens before it that a token attends to with relative positions; the length of
        /// a window if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub span: Option<usize> = None,
        /// Whether the linear maps of attention have biases.
        pub bias: bool = false,
        /// Further parts of attention, as published models have them.
        #[serde(skip_serializing_if = "AttentionParts::are_default")]
        pub attention: AttentionParts = AttentionParts::default(),
        /// Constant factors on embedding, branches and scores.
        #[serde(skip_serializing_if = "Multipliers::are_default")]
        pub multipliers: Multipliers = Multipliers::default(),
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
        /// The initial standard deviation of the table of tokens; 0.02 by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub embedding_deviation: Option<f64> = None,
        /// The order of norms and residual connections.
        pub wiring: Wiring = Wiring::PreNorm,
        /// The epsilon of the norms, added to the mean square.
        pub epsilon: f64 = 1e-5,
        /// The map to the vocabulary.
        pub head: HeadConfig = HeadConfig::default(),
    }
}

impl TransformerLmConfig {
    /// The config of attention, on windows of this length.
    fn attention(&self, length: usize) -> AttentionConfig {
        AttentionConfig {
            width: self.width,
            heads: self.heads,
            head: self.head_width,
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            positions: match self.positions {
                PositionEncoding::Rotary => Positions::Rotary { theta: self.theta },
                PositionEncoding::Relative => {
                    Positions::Relative { span: self.span.unwrap_or(length) }
                }
            },
            bias: self.bias,
            parts: self.attention.clone(),
            epsilon: self.epsilon,
        }
    }

    /// The initial standard deviation of the table of tokens.
    fn table_deviation(&self) -> f64 {
        self.embedding_deviation.unwrap_or(0.02)
    }

    fn norm(&self, init: &Init, name: &str, width: usize) -> Norm {
        match self.wiring {
            Wiring::PreNorm | Wiring::OutputNorm => Norm::rms(init, name, width, self.epsilon),
            Wiring::PostNorm | Wiring::DoubleResidual => {
                Norm::layer(init, name, width, self.epsilon)
            }
        }
    }

    /// Block number `i`, on windows of this length.
    fn block(
        &self,
        i: usize,
        length: usize,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Block, ConfigError> {
        let (whole, place) = (self.attention(length), (i, self.depth));
        let attention = AttentionConfig { parts: whole.parts.of_block(i, self.depth), ..whole };
        let norm = |init: &Init, name: &str, width| self.norm(init, name, width);
        let block = Block::new(spec, &attention, &self.dense, place, length, &norm, init)?;
        let block = block.wired(self.wiring, |name| norm(init, name, self.width));
        Ok(block.times(self.multipliers.residual))
    }
}

/// A decoder.
#[derive(Module, Debug)]
pub struct TransformerLm {
    embedding: Embedding,
    /// The vectors of relative positions, `[D / heads, span]`.
    distances: Option<Param<Tensor<2>>>,
    blocks: Vec<Block>,
    /// The norm before the head; none if the last block ends with a norm.
    norm: Option<Norm>,
    head: Head,
    length: usize,
    #[module(skip)]
    multipliers: Multipliers,
}

/// The message of an error that `check` excludes.
const TEXT: &str = "a transformer-lm requires text";

fn sizes(domain: Domain) -> Option<(usize, usize)> {
    match domain {
        Domain::Text { vocab, length } => Some((vocab, length)),
        Domain::Image { .. } | Domain::Pair { .. } => None,
    }
}

impl Backbone for TransformerLm {
    type Config = TransformerLmConfig;
    const NAME: &'static str = "transformer-lm";
    const ABOUT: &'static str = "decoder: pre-norm, RMSNorm, rotary positions by default";
    const PAPER: &'static str = "https://arxiv.org/abs/2302.13971";
    const CAUSAL: bool = true;

    fn check(config: &TransformerLmConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (vocab, length) = sizes(spec.domain)
            .ok_or_else(|| wrong("expected text, but the task has images".into()))?;
        config.attention(length).check().map_err(wrong)?;
        Norm::check(config.epsilon).map_err(wrong)?;
        if config.span.is_some() && config.positions != PositionEncoding::Relative {
            return Err(wrong("span requires positions = \"relative\"".into()));
        }
        let deviation = config.table_deviation();
        if !(deviation.is_finite() && deviation > 0.0) {
            return Err(wrong(format!("embedding_deviation = {deviation}: must be above 0")));
        }
        config.multipliers.check().map_err(wrong)?;
        config.attention.window_layers.check(config.depth).map_err(wrong)?;
        if config.wiring != Wiring::PreNorm && config.multipliers.residual != 1.0 {
            return Err(wrong("multipliers.residual requires wiring = \"pre-norm\"".into()));
        }
        if config.head.tied && spec.outputs != vocab {
            let outputs = spec.outputs;
            let message =
                format!("head.tied: {outputs} outputs, but the vocabulary has {vocab} tokens");
            return Err(wrong(message));
        }
        spec.check_blocks(Self::NAME, &config.dense, [length, config.width], config.depth)
    }

    fn init(
        config: &TransformerLmConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let (vocab, length) = sizes(spec.domain).expect(TEXT);
        let d = config.width;
        let block = |i| config.block(i, length, spec, &init.at("blocks").at(i));
        let distances = match config.attention(length).positions {
            Positions::Relative { span } => {
                Some(init.normal("distances", [d / config.heads, span], 1.0))
            }
            _ => None,
        };
        let pre_norm = config.wiring == Wiring::PreNorm;
        Ok(Self {
            embedding: init.embedding("embedding", vocab, d, config.table_deviation()),
            distances,
            blocks: (0..config.depth).map(block).collect::<Result<_, _>>()?,
            norm: pre_norm.then(|| config.norm(init, "norm", d)),
            head: Head::new(&config.head, [d, spec.outputs], init),
            length,
            multipliers: config.multipliers.clone(),
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Tokens(ids) = input else { panic!("{TEXT}") };
        self.prepare(pass, &ids);
        let mut x = times(self.embedding.forward(ids), self.multipliers.embedding); // (1)
        for block in &self.blocks {
            x = block.forward(pass, x); // (2), (3)
        }
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let y = self.head.forward(pass, x, &self.embedding.weight); // (4)
        times(y, 1.0 / self.multipliers.logits)
    }

    fn tokens(&self) -> usize {
        self.length
    }

    fn dense_flops(&self) -> f64 {
        let head = self.head.flops(&self.embedding.weight);
        let blocks: f64 = self.blocks.iter().map(|block| block.dense_flops(self.length)).sum();
        self.length as f64 * (blocks + head)
    }
}

impl TransformerLm {
    /// Puts the state that the layers need into the pass.
    fn prepare(&self, pass: &mut Pass, ids: &Tensor<2, Int>) {
        pass.put(TokenIds(ids.clone()));
        if let Some(distances) = &self.distances {
            pass.put(Distances(distances.val()));
        }
        if let Some(mut cache) = pass.take::<Cache>() {
            cache.begin();
            pass.put(cache);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        HeadNorm,
        testing::{library, loss_falls, spec},
    };
    use moe::{MoeConfig, Placement};

    const TEXT: Domain = Domain::Text { vocab: 7, length: 6 };

    fn network(device: &Device) -> TransformerLm {
        of(device, TransformerLmConfig::default())
    }

    /// A small decoder with these other settings.
    fn of(device: &Device, config: TransformerLmConfig) -> TransformerLm {
        let (library, moe) = library();
        built(device, config, &MoeConfig { layers: Placement::Every(2), ..moe }, &library)
    }

    fn built(
        device: &Device,
        config: TransformerLmConfig,
        moe: &MoeConfig,
        library: &moe::Library,
    ) -> TransformerLm {
        let config = TransformerLmConfig { width: 16, heads: 2, ..config };
        let spec = BackboneSpec { outputs: 7, ..spec(TEXT, moe, library) };
        <TransformerLm as Backbone>::check(&config, &spec).unwrap();
        <TransformerLm as Backbone>::init(&config, &spec, &Init::new(0, device)).unwrap()
    }

    /// Decoders that differ in attention, wiring or head.
    fn kinds() -> Vec<TransformerLmConfig> {
        let plain = TransformerLmConfig::default;
        let head = HeadConfig { norm: HeadNorm::Column, tied: true, ..HeadConfig::default() };
        vec![
            plain(),
            TransformerLmConfig { wiring: Wiring::PostNorm, ..plain() },
            TransformerLmConfig { wiring: Wiring::OutputNorm, ..plain() },
            TransformerLmConfig { wiring: Wiring::DoubleResidual, ..plain() },
            TransformerLmConfig { kv_heads: Some(1), theta: 6e5, bias: true, ..plain() },
            TransformerLmConfig { positions: PositionEncoding::Relative, ..plain() },
            TransformerLmConfig {
                positions: PositionEncoding::Relative,
                span: Some(3),
                head,
                ..plain()
            },
        ]
    }

    fn double(device: &Device, depth: usize, residual: Choice, layers: Placement) -> TransformerLm {
        let (library, moe) = library();
        let moe = MoeConfig { residual, layers, ..moe };
        let wiring = Wiring::DoubleResidual;
        let config = TransformerLmConfig { depth, wiring, ..TransformerLmConfig::default() };
        built(device, config, &moe, &library)
    }

    #[test]
    fn an_output_depends_on_no_later_token() {
        for config in kinds() {
            no_later_token(&of(&Device::flex(), config));
        }
    }

    fn no_later_token(network: &TransformerLm) {
        let device = Device::flex();
        let run = |ids: [i32; 6]| {
            let ids = Tensor::<2, Int>::from_ints([ids], &device);
            let y = Backbone::forward(network, &mut Pass::eval(), Input::Tokens(ids));
            y.into_data().try_to_vec::<f32>().unwrap()
        };
        let (a, b) = (run([1, 2, 3, 4, 5, 6]), run([1, 2, 3, 0, 0, 0]));
        assert_eq!(a[..3 * 7], b[..3 * 7]);
        assert_ne!(a[3 * 7..], b[3 * 7..]);
    }

    #[test]
    fn it_learns() {
        let device = Device::flex().autodiff();
        let ids = Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5, 6]], &device);
        for config in kinds() {
            // The normalised head of a tied embedding is too flat for so few steps.
            if config.head.norm == HeadNorm::None {
                loss_falls(of(&device, config), Input::Tokens(ids.clone()), 6);
            }
        }
    }

    #[test]
    fn it_learns_with_momentum_too() {
        let device = Device::flex().autodiff();
        let ids = Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5, 6]], &device);
        for rule in ["heavy-ball", "adam", "robust"] {
            let network = double(&device, 2, Choice::of(rule), Placement::ALL);
            loss_falls(network, Input::Tokens(ids.clone()), 6);
        }
    }

    #[test]
    fn tokens_after_a_cache_are_answered_as_in_one_window() {
        for config in kinds() {
            let (device, span) = (Device::flex(), config.span);
            let network = of(&device, config);
            let ids =
                Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5, 6], [6, 0, 1, 3, 2, 1]], &device);
            let answer = |pass: &mut Pass, start: usize, n: usize| {
                let ids = ids.clone().narrow(1, start, n);
                let y = Backbone::forward(&network, pass, Input::Tokens(ids));
                (0..n).map(move |t| y.clone().narrow(1, t, 1)).collect::<Vec<_>>()
            };
            let whole = Tensor::cat(answer(&mut Pass::eval(), 0, 6), 1);
            let (mut cache, mut parts) = (Cache::new(6), Vec::new());
            for (start, n) in [(0, 3), (3, 1), (4, 2)] {
                let mut pass = Pass::eval();
                pass.put(cache);
                parts.extend(answer(&mut pass, start, n));
                cache = pass.take().expect("a cache comes back");
            }
            let gap = (Tensor::cat(parts, 1) - whole).abs().max().into_scalar::<f32>();
            assert!(gap < 1e-5, "span {span:?}: {gap}");
        }
    }

    /// The outputs of two windows of a network that attends to earlier windows, the second window with a
    /// cache.
    fn second_window(network: &TransformerLm, mut pass: Pass, cache: Cache) -> (Tensor<3>, Cache) {
        let ids = Tensor::<2, Int>::from_ints([[6, 0, 1, 3, 2, 1]], &Device::flex());
        pass.put(cache);
        let y = Backbone::forward(network, &mut pass, Input::Tokens(ids));
        (y, pass.take().expect("a cache comes back"))
    }

    #[test]
    fn windows_of_a_stream_see_what_went_before_them() {
        let (device, [_, _, _, _, _, relative, _]) = (Device::flex(), kinds().try_into().unwrap());
        let network = of(&device, relative);
        let first = || second_window(&network, Pass::eval(), Cache::of_stream());
        let gap = |a: Tensor<3>, b: Tensor<3>| (a - b).abs().max().into_scalar::<f32>();
        let (alone, cache) = first();
        let (after, _) = second_window(&network, Pass::eval(), cache.clone());
        assert!(gap(alone, after.clone()) > 1e-4);
        // The same as one text that is continued, and as restored from stored inputs.
        let (_, whole) = second_window(&network, Pass::eval(), Cache::new(6));
        let (read_on, _) = second_window(&network, Pass::eval(), whole);
        assert!(gap(read_on, after.clone()) < 1e-6);
        let restored = Cache::restored(cache.inputs());
        assert_eq!(cache.inputs().len(), 2);
        assert!(gap(second_window(&network, Pass::eval(), restored).0, after) == 0.0);
        // Windows with rotary positions are independent.
        let rotary = self::network(&device);
        let (alone, cache) = second_window(&rotary, Pass::eval(), Cache::of_stream());
        assert!(gap(alone, second_window(&rotary, Pass::eval(), cache).0) == 0.0);
    }

    #[test]
    fn no_gradient_goes_into_the_window_before() {
        let [_, _, _, _, _, relative, _] = kinds().try_into().unwrap();
        let network = of(&Device::flex().autodiff(), relative);
        let gradient = |cache| {
            let (y, cache) = second_window(&network, Pass::train(0, 0, 0.0), cache);
            let grads = y.square().sum().backward();
            (network.embedding.weight.val().grad(&grads).unwrap().into_data(), cache)
        };
        let (_, cache) = gradient(Cache::of_stream());
        let numbers = cache.inputs().into_iter().map(|inputs| inputs.inner());
        let constant = Cache::restored(numbers.collect());
        assert_eq!(gradient(cache).0, gradient(constant).0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (library, moe) = library();
        let check = |config| {
            let spec = spec(TEXT, &moe, &library);
            <TransformerLm as Backbone>::check(&config, &spec).unwrap_err().to_string()
        };
        let plain = TransformerLmConfig::default;
        let err = check(TransformerLmConfig { kv_heads: Some(3), ..plain() });
        assert!(err.contains("kv_heads = 3 does not divide heads = 4"), "{err}");
        let err = check(TransformerLmConfig { span: Some(3), ..plain() });
        assert!(err.contains("span requires positions = \"relative\""), "{err}");
        let head = HeadConfig { tied: true, ..HeadConfig::default() };
        let err = check(TransformerLmConfig { head, ..plain() });
        assert!(err.contains("head.tied: 3 outputs, but the vocabulary has 7 tokens"), "{err}");
        let err = check(TransformerLmConfig { epsilon: 0.0, ..plain() });
        assert!(err.contains("epsilon = 0: must be from 1e-30 to 1"), "{err}");
        for number in [f64::NAN, f64::INFINITY, -0.0, 1e300, 1e-300] {
            let err = check(TransformerLmConfig { epsilon: number, ..plain() });
            assert!(err.contains(&format!("epsilon = {number}: must be from")), "{err}");
        }
        for number in [f64::NAN, f64::INFINITY, -0.0, 1e-300] {
            let err = check(TransformerLmConfig { theta: number, ..plain() });
            assert!(err.contains(&format!("theta = {number}: must be at least 1")), "{err}");
        }
    }

    /// The outputs of the network of the double residual with this residual rule.
    fn answers(residual: Choice, layers: Placement) -> Vec<f32> {
        let device = Device::flex();
        let network = double(&device, 3, residual, layers);
        let ids = Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5, 6]], &device);
        let y = Backbone::forward(&network, &mut Pass::eval(), Input::Tokens(ids));
        y.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn momentum_goes_through_dense_blocks_from_one_moe_layer_to_the_next() {
        let ball = |mu: f64| Choice::of("heavy-ball").with("mu", mu).with("gamma", -1.0);
        let glam = || Placement::Blocks(vec![0, 2]);
        assert_eq!(answers(ball(0.0), glam()), answers(Choice::of("add"), glam()));
        assert_ne!(answers(ball(0.7), glam()), answers(Choice::of("add"), glam()));
        // With one MoE layer there is no state that could continue.
        let one = || Placement::Blocks(vec![1]);
        assert_eq!(answers(ball(0.7), one()), answers(Choice::of("add"), one()));
    }

    #[test]
    fn flops_by_hand() {
        // One MoE layer of two blocks (every 2), so one dense ffn. Attention of a token among 6:
        // 8*256 + 4*6*16 = 2432, twice; ffn 4*16*128 = 8192; head 2*16*7 = 224.
        let flops = Backbone::dense_flops(&network(&Device::flex()));
        assert_eq!(flops, 6.0 * (2.0 * 2432.0 + 8192.0 + 224.0));
    }
}
