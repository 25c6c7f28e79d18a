//! Sizes of the encoder-decoder, and their checks.

use moe::{Choice, ConfigError, Init, MoeConfig, config};

use super::{
    dropout::check_dropout,
    layer::Joining,
    multi_head::MultiHeadConfig,
    norms::NormKind,
    per_layer::{Hidden, PerLayer, SideExperts},
    positions::PositionKind,
    relative::{RelativeConfig, RelativePositions},
    side::Side,
};
use crate::{BackboneSpec, HeadConfig, Norm, Wiring};

config! {
    /// Sizes of an encoder-decoder. A setting that may differ from layer to layer is one number or a list.
    pub struct TransformerSeq2SeqConfig {
        /// The width of the stream, D.
        pub width: usize = 64,
        /// The width of queries, keys and values together; D by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub inner: Option<usize> = None,
        /// Layers of the encoder. In `moe.layers` they are the blocks from 0 on.
        pub encoder_layers: usize = 2,
        /// Layers of the decoder. In `moe.layers` they are the blocks after those of the encoder.
        pub decoder_layers: usize = 2,
        /// Attention heads of the encoder.
        pub encoder_heads: PerLayer<usize> = PerLayer::All(4),
        /// Heads of the decoder's self-attention.
        pub decoder_heads: PerLayer<usize> = PerLayer::All(4),
        /// Heads of the decoder's attention to the source.
        pub cross_heads: PerLayer<usize> = PerLayer::All(4),
        /// The number of the encoder's last layers whose outputs each layer of the decoder attends to, side
        /// by side along the tokens (AutoMoE's arbitrary encoder-decoder attention).
        pub encoder_outputs: PerLayer<usize> = PerLayer::All(1),
        /// Experts of the encoder's layers that `moe.layers` names, 1 for a dense network; `moe.experts` by
        /// default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub encoder_experts: Option<PerLayer<usize>> = None,
        /// Experts of the decoder's layers, likewise.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decoder_experts: Option<PerLayer<usize>> = None,
        /// The hidden width of the encoder's experts and dense networks; their own setting by default. A list
        /// of lists has a width for each expert, for experts that take such a list.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub encoder_hidden: Option<PerLayer<Hidden>> = None,
        /// The hidden width of the decoder's, likewise.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decoder_hidden: Option<PerLayer<Hidden>> = None,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128).with("activation", "relu"),
        /// The place of norms: `post-norm` or `pre-norm`.
        pub wiring: Wiring = Wiring::PostNorm,
        /// The encoding of the order of the tokens.
        pub positions: PositionKind = PositionKind::Sinusoidal,
        /// Whether the vectors of tokens are multiplied by sqrt(D).
        pub scale_embedding: bool = true,
        /// Whether a norm follows the sum of tokens and positions.
        pub embedding_norm: bool = false,
        /// Whether the maps of attention have biases.
        pub bias: bool = true,
        /// The dropout probability of a branch's output and of the embedded tokens.
        pub dropout: f64 = 0.1,
        /// The epsilon of the norms, added to the variance or to the mean square.
        pub epsilon: f64 = 1e-5,
        /// The kind of norms: `layer`, or `rms` as in T5.
        #[serde(skip_serializing_if = "NormKind::is_layer")]
        pub norm: NormKind = NormKind::Layer,
        /// The buckets of `positions = "relative"`.
        #[serde(skip_serializing_if = "RelativeConfig::are_default")]
        pub relative: RelativeConfig = RelativeConfig::default(),
        /// Whether scores of attention are divided by the root of a head's width; false in T5.
        #[serde(skip_serializing_if = "is_true")]
        pub scale_attention: bool = true,
        /// Whether the last stream is divided by sqrt(D) before the head, as in T5 with tied weights.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub scale_output: bool = false,
        /// The map to the vocabulary; if tied, its matrix is the table of tokens.
        pub head: HeadConfig = HeadConfig { tied: true, ..HeadConfig::default() },
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

impl TransformerSeq2SeqConfig {
    /// The number of layers of one side.
    pub fn layers(&self, side: Side) -> usize {
        match side {
            Side::Encoder => self.encoder_layers,
            Side::Decoder => self.decoder_layers,
        }
    }

    fn experts(&self, side: Side) -> SideExperts<'_> {
        let (experts, hidden) = match side {
            Side::Encoder => (&self.encoder_experts, &self.encoder_hidden),
            Side::Decoder => (&self.decoder_experts, &self.decoder_hidden),
        };
        SideExperts { experts: experts.as_ref(), hidden: hidden.as_ref() }
    }

    /// All layers, in the order of their blocks.
    fn places(&self) -> Vec<(Side, usize)> {
        let of = |side| (0..self.layers(side)).map(move |layer| (side, layer));
        of(Side::Encoder).chain(of(Side::Decoder)).collect()
    }

    /// The MoE layer and the dense network of one layer; the placement of the MoE layer is either all or
    /// none.
    pub fn of_layer(&self, place: (Side, usize), moe: &MoeConfig) -> (MoeConfig, Choice) {
        let places = self.places();
        let routed = |block: usize| {
            let (side, layer) = places[block];
            moe.layers.has(block, places.len()) && self.experts(side).has_experts(layer)
        };
        let block = places.iter().position(|known| *known == place).expect("the layer must exist");
        let before = (0..block).filter(|block| routed(*block)).count();
        let (side, layer) = place;
        self.experts(side).of_layer(layer, routed(block), moe.of_layer(before), &self.dense)
    }

    /// The sizes of attention with `heads` heads.
    pub fn attention(&self, heads: usize) -> MultiHeadConfig {
        let (width, bias, scaled) = (self.width, self.bias, self.scale_attention);
        let inner = self.inner.unwrap_or(width);
        MultiHeadConfig { width, source_width: width, inner, heads, bias, scaled }
    }

    /// A fresh norm.
    pub(super) fn norm(&self, init: &Init, name: &str) -> Norm {
        self.norm.make(init, name, self.width, self.epsilon)
    }

    /// The relative positions of a side, if it has them.
    pub(super) fn relative(&self, side: Side, init: &Init) -> Option<RelativePositions> {
        let heads = match side {
            Side::Encoder => &self.encoder_heads,
            Side::Decoder => &self.decoder_heads,
        };
        let made =
            || RelativePositions::new(&self.relative, side, *heads.at(0), &init.at("relative"));
        (self.positions == PositionKind::Relative).then(made)
    }

    /// The way in which branches join the stream.
    pub fn joining(&self) -> Joining {
        Joining { pre_norm: self.wiring == Wiring::PreNorm, dropout: self.dropout }
    }

    /// Checks that the sizes are consistent.
    pub fn check(&self) -> Result<(), String> {
        if self.encoder_layers == 0 || self.decoder_layers == 0 {
            return Err("encoder_layers and decoder_layers must be at least 1".into());
        }
        self.check_encoder(["encoder_heads", "encoder_experts", "encoder_hidden"])?;
        let (n, divides) = (self.decoder_layers, |heads: &usize| self.divides(*heads));
        self.decoder_heads.check("decoder_heads", n, divides)?;
        self.check_relative("decoder_heads", &self.decoder_heads, n)?;
        self.cross_heads.check("cross_heads", n, divides)?;
        self.experts(Side::Decoder).check(["decoder_experts", "decoder_hidden"], n)?;
        let most = self.encoder_layers;
        self.encoder_outputs.check("encoder_outputs", n, |n| match (1..=most).contains(n) {
            true => Ok(()),
            false => Err(format!("{n}: must be from 1 to encoder_layers = {most}")),
        })
    }

    /// Checks the shared sizes and those of the encoder; heads, experts and widths have these names.
    pub(crate) fn check_encoder(&self, [heads, experts, hidden]: [&str; 3]) -> Result<(), String> {
        if self.width == 0 || self.inner == Some(0) {
            return Err("width and inner must be at least 1".into());
        }
        if !matches!(self.wiring, Wiring::PreNorm | Wiring::PostNorm) {
            return Err("wiring: expected \"post-norm\" or \"pre-norm\"".into());
        }
        check_dropout("dropout", self.dropout)?;
        Norm::check(self.epsilon)?;
        let n = self.encoder_layers;
        self.encoder_heads.check(heads, n, |heads| self.divides(*heads))?;
        self.check_relative(heads, &self.encoder_heads, n)?;
        self.experts(Side::Encoder).check([experts, hidden], n)
    }

    /// Checks that all layers of a side have the same number of heads, since relative positions have a number
    /// for each head.
    fn check_relative(
        &self,
        name: &str,
        heads: &PerLayer<usize>,
        layers: usize,
    ) -> Result<(), String> {
        if self.positions != PositionKind::Relative {
            return match self.relative.are_default() {
                true => Ok(()),
                false => Err("relative requires positions = \"relative\"".into()),
            };
        }
        self.relative.check()?;
        let first = heads.at(0);
        match (0..layers).find(|layer| heads.at(*layer) != first) {
            None => Ok(()),
            Some(layer) => Err(format!(
                "{name} of layer {layer}: {} differs from the {first} of layer 0, but all layers share \
                 relative positions",
                heads.at(layer)
            )),
        }
    }

    fn divides(&self, heads: usize) -> Result<(), String> {
        let inner = self.inner.unwrap_or(self.width);
        match heads > 0 && inner.is_multiple_of(heads) {
            true => Ok(()),
            false => Err(format!("{heads} does not divide the width of queries, {inner}")),
        }
    }

    /// Checks each layer against the spec, for sources and targets of these lengths.
    pub fn check_layers(
        &self,
        name: &str,
        spec: &BackboneSpec,
        [source, target]: [usize; 2],
    ) -> Result<(), ConfigError> {
        let places = self.places();
        let wrong = |message| ConfigError::Layer { table: "moe", message };
        spec.moe.layers.check(places.len()).map_err(wrong)?;
        for (side, layer) in places {
            let (moe, dense) = self.of_layer((side, layer), spec.moe);
            let tokens = match side {
                Side::Encoder => source,
                Side::Decoder => target,
            };
            let spec = BackboneSpec { moe: &moe, ..*spec };
            spec.check_blocks(name, &dense, [tokens, self.width], 1)?;
        }
        Ok(())
    }
}
