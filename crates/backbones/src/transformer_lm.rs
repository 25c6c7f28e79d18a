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
//! With `wiring = "double-residual"` the blocks are those of MomentumSMoE, see `block.rs`, with layer
//! norms, and (4) has no norm before the head: the last block ends with one. Differs from its published
//! code: there a token sees those of a span before it, itself not, with learned relative positions and
//! a cache across windows; here attention is as in the other wiring. The head has no bias.
//!
//! Differs from LLaMA: the dense network is GELU by default (`dense = { kind = "swiglu" }` is theirs).

use burn::{
    module::Module,
    nn::{Embedding, Linear},
    prelude::*,
};
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, TokenIds, config};

use crate::{Attention, AttentionConfig, Backbone, Block, Brief, Norm, Positions, Wiring, wrong};

config! {
    /// Sizes of a decoder.
    pub struct TransformerLmConfig {
        /// The width of the stream, D.
        pub width: usize = 64,
        /// Blocks.
        pub depth: usize = 2,
        /// Attention heads.
        pub heads: usize = 4,
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
        /// Where norms and residuals stand.
        pub wiring: Wiring = Wiring::PreNorm,
    }
}

/// A decoder.
#[derive(Module, Debug)]
pub struct TransformerLm {
    embedding: Embedding,
    blocks: Vec<Block>,
    /// None where the last block ends with a norm.
    norm: Option<Norm>,
    head: Linear,
    length: usize,
}

/// What was checked before: text.
const TEXT: &str = "a transformer-lm is built for text";

fn sizes(domain: Domain) -> Option<(usize, usize)> {
    match domain {
        Domain::Text { vocab, length } => Some((vocab, length)),
        Domain::Image { .. } => None,
    }
}

impl Backbone for TransformerLm {
    type Config = TransformerLmConfig;
    const NAME: &'static str = "transformer-lm";
    const ABOUT: &'static str = "pre-norm decoder: RMSNorm, rotary positions, causal";
    const PAPER: &'static str = "https://arxiv.org/abs/2302.13971";
    const CAUSAL: bool = true;

    fn check(config: &TransformerLmConfig, brief: &Brief) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (_, length) = sizes(brief.domain)
            .ok_or_else(|| wrong("it takes text, and the task has pictures".into()))?;
        Attention::check(config.width, config.heads, Positions::CausalRotary).map_err(wrong)?;
        brief.check_blocks(Self::NAME, &config.dense, [length, config.width], config.depth)
    }

    fn init(config: &TransformerLmConfig, brief: &Brief, init: &Init) -> Result<Self, ConfigError> {
        let (vocab, length) = sizes(brief.domain).expect(TEXT);
        let d = config.width;
        let attention = AttentionConfig {
            width: d,
            heads: config.heads,
            positions: Positions::CausalRotary,
            bias: false,
        };
        let double = config.wiring == Wiring::DoubleResidual;
        let norm = |init: &Init, name: &str, width| match double {
            true => Norm::layer(init, name, width, 1e-5),
            false => Norm::rms(init, name, width, 1e-5),
        };
        let block = |i| {
            let init = init.at("blocks").at(i);
            let block = Block::new(
                brief,
                &attention,
                &config.dense,
                (i, config.depth),
                length,
                &norm,
                0.0,
                &init,
            )?;
            Ok(match double {
                true => block.with_double_residual(|name| norm(&init, name, d)),
                false => block,
            })
        };
        Ok(Self {
            embedding: init.embedding("embedding", vocab, d, 0.02),
            blocks: (0..config.depth).map(block).collect::<Result<_, _>>()?,
            norm: (!double).then(|| norm(init, "norm", d)),
            head: init.linear("head", d, brief.outputs, false),
            length,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Tokens(ids) = input else { panic!("{TEXT}") };
        pass.put(TokenIds(ids.clone()));
        let mut x = self.embedding.forward(ids); // (1)
        for block in &self.blocks {
            x = block.forward(pass, x); // (2), (3)
        }
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        self.head.forward(x) // (4)
    }

    fn tokens(&self) -> usize {
        self.length
    }

    fn dense_flops(&self) -> f64 {
        let head = 2.0 * self.head.weight.lazy_shape().num_elements() as f64;
        let blocks: f64 = self.blocks.iter().map(|block| block.dense_flops(self.length)).sum();
        self.length as f64 * (blocks + head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{brief, library, loss_falls};
    use moe::{MoeConfig, Placement};

    const TEXT: Domain = Domain::Text { vocab: 7, length: 6 };

    fn network(device: &Device) -> TransformerLm {
        wired(device, Wiring::PreNorm, 2, Choice::of("add"), Placement::Every(2))
    }

    fn wired(
        device: &Device,
        wiring: Wiring,
        depth: usize,
        residual: Choice,
        layers: Placement,
    ) -> TransformerLm {
        let (library, moe) = library();
        let moe = MoeConfig { residual, layers, ..moe };
        let sizes = TransformerLmConfig { width: 16, heads: 2, ..TransformerLmConfig::default() };
        let config = TransformerLmConfig { depth, wiring, ..sizes };
        let brief = Brief { outputs: 7, ..brief(TEXT, &moe, &library) };
        <TransformerLm as Backbone>::init(&config, &brief, &Init::new(0, device)).unwrap()
    }

    #[test]
    fn an_output_depends_on_no_later_token() {
        for wiring in [Wiring::PreNorm, Wiring::DoubleResidual] {
            let (add, every) = (Choice::of("add"), Placement::Every(2));
            no_later_token(&wired(&Device::flex(), wiring, 2, add, every));
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
        loss_falls(network(&device), Input::Tokens(ids), 6);
    }

    #[test]
    fn it_learns_with_momentum_too() {
        let device = Device::flex().autodiff();
        let ids = Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5, 6]], &device);
        for rule in ["heavy-ball", "adam", "robust"] {
            let (double, rule) = (Wiring::DoubleResidual, Choice::of(rule));
            let network = wired(&device, double, 2, rule, Placement::ALL);
            loss_falls(network, Input::Tokens(ids.clone()), 6);
        }
    }

    /// What the network of the double residual answers with this residual rule.
    fn answers(residual: Choice, layers: Placement) -> Vec<f32> {
        let device = Device::flex();
        let network = wired(&device, Wiring::DoubleResidual, 3, residual, layers);
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
        // With one MoE layer there is nothing that could go on.
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
