//! A bidirectional encoder with one output per token, for masked language modelling.
//!
//! Devlin, Chang, Lee, Toutanova. *BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding*. NAACL 2019. <https://arxiv.org/abs/1810.04805>
//!
//! x_0 = dropout(N(Embed(ids) + positions))                  (1)
//! x_l = EncoderLayer_l(x_{l-1})                             (2), post-norm or pre-norm, FFN or MoE
//! y   = Head(N(GELU(W x_L + b)))                            (3)
//!
//! The encoder is that of `seq2seq`. Differs from BERT: there are no token types; the vector of the only type
//! is part of the positions.

use burn::{
    module::Module,
    nn::{Embedding, Linear},
    prelude::*,
};
use kernels::{gelu, linear_layer};
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, RealTokens, config};

use crate::{
    Backbone, BackboneSpec, Head, HeadConfig, Norm, Wiring,
    seq2seq::{Encoder, Hidden, PerLayer, PositionKind, TransformerSeq2SeqConfig},
    wrong,
};

config! {
    /// Sizes of an encoder. A setting that may differ from layer to layer is one number or a list.
    pub struct TransformerEncoderConfig {
        /// The width of the stream, D.
        pub width: usize = 64,
        /// The width of queries, keys and values together; D by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub inner: Option<usize> = None,
        /// Layers.
        pub depth: usize = 2,
        /// Attention heads.
        pub heads: PerLayer<usize> = PerLayer::All(4),
        /// Experts of the layers that `moe.layers` names, 1 for a dense network; `moe.experts` by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub experts: Option<PerLayer<usize>> = None,
        /// The hidden width of experts and dense networks; their own setting by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub hidden: Option<PerLayer<Hidden>> = None,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
        /// The place of norms: `post-norm` or `pre-norm`.
        pub wiring: Wiring = Wiring::PostNorm,
        /// The encoding of the order of the tokens.
        pub positions: PositionKind = PositionKind::Learned,
        /// Whether the vectors of tokens are multiplied by sqrt(D).
        pub scale_embedding: bool = false,
        /// Whether a norm follows the sum of tokens and positions.
        pub embedding_norm: bool = true,
        /// Whether the maps of attention have biases.
        pub bias: bool = true,
        /// The dropout probability of a branch's output and of the embedded tokens.
        pub dropout: f64 = 0.1,
        /// The epsilon of the norms, added to the variance.
        pub epsilon: f64 = 1e-12,
        /// The map to the vocabulary; if tied, its matrix is the table of tokens.
        pub head: HeadConfig = HeadConfig { tied: true, bias: true, ..HeadConfig::default() },
    }
}

impl TransformerEncoderConfig {
    /// The same sizes as those of one side of an encoder-decoder.
    fn side(&self) -> TransformerSeq2SeqConfig {
        TransformerSeq2SeqConfig {
            width: self.width,
            inner: self.inner,
            encoder_layers: self.depth,
            decoder_layers: 0,
            encoder_heads: self.heads.clone(),
            encoder_experts: self.experts.clone(),
            encoder_hidden: self.hidden.clone(),
            dense: self.dense.clone(),
            wiring: self.wiring,
            positions: self.positions,
            scale_embedding: self.scale_embedding,
            embedding_norm: self.embedding_norm,
            bias: self.bias,
            dropout: self.dropout,
            epsilon: self.epsilon,
            ..TransformerSeq2SeqConfig::default()
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.depth == 0 {
            return Err("depth = 0: at least one layer is needed".into());
        }
        self.side().check_encoder(["heads", "experts", "hidden"])
    }
}

/// The map before the head, (3).
#[derive(Module, Debug)]
pub(crate) struct Transform {
    map: Linear,
    norm: Norm,
}

impl Transform {
    fn new(width: usize, epsilon: f64, init: &Init) -> Self {
        let map = init.linear("map", width, width, true);
        Self { map, norm: Norm::layer(init, "norm", width, epsilon) }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(gelu(linear_layer(&self.map, x)))
    }
}

/// An encoder.
#[derive(Module, Debug)]
pub struct TransformerEncoder {
    embedding: Embedding,
    encoder: Encoder,
    transform: Transform,
    head: Head,
    width: usize,
    length: usize,
}

/// The message for an input that differs from the one that was checked: text.
const TEXT: &str = "a transformer-encoder requires text";

fn sizes(domain: Domain) -> Option<(usize, usize)> {
    match domain {
        Domain::Text { vocab, length } => Some((vocab, length)),
        _ => None,
    }
}

impl Backbone for TransformerEncoder {
    type Config = TransformerEncoderConfig;
    const NAME: &'static str = "transformer-encoder";
    const ABOUT: &'static str = "bidirectional encoder: BERT by default";
    const PAPER: &'static str = "https://arxiv.org/abs/1810.04805";
    const CAUSAL: bool = false;

    fn check(config: &TransformerEncoderConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (vocab, length) = sizes(spec.domain)
            .ok_or_else(|| wrong("expected one text per example, such as in masked-lm".into()))?;
        config.check().map_err(wrong)?;
        if config.head.tied && spec.outputs != vocab {
            let outputs = spec.outputs;
            return Err(wrong(format!(
                "head.tied: {outputs} outputs, but the vocabulary has {vocab} tokens"
            )));
        }
        config.side().check_layers(Self::NAME, spec, [length, length])
    }

    fn init(
        config: &TransformerEncoderConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let (vocab, length) = sizes(spec.domain).expect(TEXT);
        let d = config.width;
        Ok(Self {
            embedding: init.embedding("embedding", vocab, d, 0.02),
            encoder: Encoder::new(&config.side(), spec, length, 1, &init.at("encoder"))?,
            transform: Transform::new(d, config.epsilon, &init.at("transform")),
            head: Head::new(&config.head, [d, spec.outputs], init),
            width: d,
            length,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Tokens(ids) = input else { panic!("{TEXT}") };
        let [b, t] = ids.dims();
        let counts = match pass.get::<RealTokens>() {
            Some(RealTokens(counts)) => counts.clone(),
            None => vec![t; b],
        };
        let encoded = self.encoder.forward(pass, self.embedding.weight.val(), ids, counts); // (1), (2)
        let (x, _) = encoded.last(1);
        let x = self.transform.forward(x);
        self.head.forward(pass, x, &self.embedding.weight) // (3)
    }

    fn tokens(&self) -> usize {
        self.length
    }

    fn dense_flops(&self) -> f64 {
        let transform = 2.0 * (self.width as f64).powi(2);
        let ends = transform + self.head.flops(&self.embedding.weight);
        self.encoder.dense_flops(self.length) + self.length as f64 * ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use moe::{MoeConfig, Placement};

    const SEVEN: Domain = Domain::Text { vocab: 7, length: 6 };

    fn kinds() -> [TransformerEncoderConfig; 2] {
        let plain = TransformerEncoderConfig {
            width: 16,
            heads: PerLayer::Each(vec![2, 4]),
            dropout: 0.0,
            ..TransformerEncoderConfig::default()
        };
        [
            TransformerEncoderConfig {
                wiring: Wiring::PreNorm,
                positions: PositionKind::Sinusoidal,
                experts: Some(PerLayer::Each(vec![1, 3])),
                ..plain.clone()
            },
            plain,
        ]
    }

    fn of(device: &Device, config: &TransformerEncoderConfig) -> TransformerEncoder {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::Every(2), ..moe };
        let spec = BackboneSpec { outputs: 7, ..spec(SEVEN, &moe, &library) };
        <TransformerEncoder as Backbone>::check(config, &spec).unwrap();
        <TransformerEncoder as Backbone>::init(config, &spec, &Init::new(0, device)).unwrap()
    }

    fn tokens(ids: [i32; 6]) -> Input {
        Input::Tokens(Tensor::from_ints([ids], &Device::flex()))
    }

    #[test]
    fn every_answer_sees_the_whole_text_but_not_its_padding() {
        for config in kinds() {
            let network = of(&Device::flex(), &config);
            let run = |ids, real| {
                let mut pass = Pass::eval();
                pass.put(RealTokens(vec![real]));
                Backbone::forward(&network, &mut pass, tokens(ids)).narrow(1, 0, 1)
            };
            let gap = |a: Tensor<3>, b: Tensor<3>| (a - b).abs().max().into_scalar::<f32>();
            let whole = run([1, 2, 3, 4, 5, 6], 6);
            assert!(gap(whole.clone(), run([1, 2, 3, 4, 5, 0], 6)) > 1e-4);
            let cut = run([1, 2, 3, 4, 5, 6], 4);
            assert!(gap(whole, cut.clone()) > 1e-4);
            assert_eq!(gap(cut, run([1, 2, 3, 4, 0, 0], 4)), 0.0);
        }
    }

    #[test]
    fn it_learns() {
        let device = Device::flex().autodiff();
        for config in kinds() {
            loss_falls(of(&device, &config), tokens([1, 2, 3, 4, 5, 6]), 6);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (library, moe) = library();
        let check = |config: TransformerEncoderConfig, domain| {
            let spec = BackboneSpec { outputs: 7, ..spec(domain, &moe, &library) };
            <TransformerEncoder as Backbone>::check(&config, &spec).unwrap_err().to_string()
        };
        let plain = TransformerEncoderConfig::default;
        let images = Domain::Image { channels: 1, height: 4, width: 4 };
        assert!(check(plain(), images).contains("expected one text per example"));
        let cases = [
            (
                TransformerEncoderConfig { depth: 0, ..plain() },
                "depth = 0: at least one layer is needed",
            ),
            (
                TransformerEncoderConfig { heads: PerLayer::Each(vec![4, 5]), ..plain() },
                "heads of layer 1: 5 does not divide the width of queries, 64",
            ),
            (
                TransformerEncoderConfig { hidden: Some(PerLayer::Each(vec![])), ..plain() },
                "hidden has 0 values for 2 layers",
            ),
        ];
        for (config, expected) in cases {
            let err = check(config, SEVEN);
            assert!(err.contains(expected), "{err}");
        }
    }

    #[test]
    fn flops_by_hand() {
        let [_, config] = kinds();
        // Attention of six tokens, twice: four maps 16 x 16, 36 pairs of 16 numbers; one dense network
        // 16 x 128; the map before the head, 16 x 16; the head, 16 x 7.
        let attention = 2.0 * 6.0 * 1024.0 + 4.0 * 36.0 * 16.0;
        let each = 4.0 * 16.0 * 128.0 + 2.0 * 256.0 + 2.0 * 16.0 * 7.0;
        let flops = Backbone::dense_flops(&of(&Device::flex(), &config));
        assert_eq!(flops, 2.0 * attention + 6.0 * each);
    }
}
