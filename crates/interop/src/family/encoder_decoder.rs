//! Names and layouts of tensors that the encoder-decoders share: those of T5.
//!
//! Keys: `vocab_size`, `d_model`, `d_kv` (the width of a head), `num_layers`, `num_decoder_layers`, `num_heads`,
//! `relative_attention_num_buckets`, `relative_attention_max_distance`, `dropout_rate`, `layer_norm_epsilon`,
//! `tie_word_embeddings`, `n_positions` (the longest text of training; there is no limit).
//!
//! ```text
//! shared.weight [V, D], lm_head.weight [V, D] unless tied
//! SIDE.block.0.layer.0.SelfAttention.relative_attention_bias.weight [buckets, heads]
//! SIDE.block.N.layer.0.{SelfAttention.{q,k,v,o}.weight [out, in], layer_norm.weight [D]}
//! decoder.block.N.layer.1.{EncDecAttention.{q,k,v,o}.weight, layer_norm.weight}
//! SIDE.block.N.layer.{1, of the decoder 2}.layer_norm.weight, SIDE.final_layer_norm.weight
//! ```
//!
//! Maps are transposed here. Dropout is on embeddings and branches here; in the library it is also on the
//! hidden units of feed-forward networks, on the weights of attention, and on the output of each side. In
//! evaluation there is no difference.

use anyhow::ensure;
use backbones::{
    TransformerSeq2SeqConfig, Wiring,
    seq2seq::{NormKind, PerLayer, PositionKind, RelativeConfig, Side},
};
use moe::{Choice, Domain, MoeConfig, Placement};
use serde_json::json;

use super::ImportedNetwork;
use crate::{keys::Keys, rules::Rules};

/// An encoder-decoder whose description is being built.
pub(super) struct EncoderDecoder {
    pub(super) config: TransformerSeq2SeqConfig,
    pub(super) moe: MoeConfig,
    pub(super) rules: Rules,
    vocab: usize,
    length: usize,
}

/// A layer: its number among all blocks, and its paths here and in the checkpoint.
pub(super) struct LayerPaths {
    pub(super) side: Side,
    pub(super) number: usize,
    pub(super) block: usize,
    here: String,
    there: String,
}

impl LayerPaths {
    /// The paths of the feed-forward network: here, and its part of the block in the checkpoint.
    pub(super) fn feed_forward(&self) -> (String, String) {
        let last = match self.side {
            Side::Encoder => 1,
            Side::Decoder => 2,
        };
        (format!("{}.feed_forward", self.here), format!("{}.layer.{last}", self.there))
    }
}

impl EncoderDecoder {
    /// Reads the shared keys.
    pub(super) fn read(keys: &mut Keys) -> anyhow::Result<Self> {
        for flag in ["is_decoder", "add_cross_attention"] {
            keys.only(flag, &[json!(false)])?;
        }
        let heads = keys.size("num_heads")?;
        let layers = keys.size("num_layers")?;
        let mut config = TransformerSeq2SeqConfig {
            width: keys.size("d_model")?,
            inner: Some(heads * keys.size("d_kv")?),
            encoder_layers: layers,
            decoder_layers: keys.maybe_size("num_decoder_layers")?.unwrap_or(layers),
            encoder_heads: PerLayer::All(heads),
            decoder_heads: PerLayer::All(heads),
            cross_heads: PerLayer::All(heads),
            wiring: Wiring::PreNorm,
            norm: NormKind::Rms,
            epsilon: keys.number("layer_norm_epsilon", 1e-6)?,
            positions: PositionKind::Relative,
            relative: RelativeConfig {
                buckets: keys.size_or("relative_attention_num_buckets", 32)?,
                max_distance: keys.size_or("relative_attention_max_distance", 128)?,
            },
            scale_attention: false,
            scale_embedding: false,
            bias: false,
            dropout: keys.number("dropout_rate", 0.1)?,
            ..TransformerSeq2SeqConfig::default()
        };
        keys.not_null("tie_word_embeddings")?; // the library's classes do not agree on what null is
        config.head.tied = keys.flag("tie_word_embeddings", true)?;
        config.scale_output = config.head.tied;
        ensure!(heads > 0, "config.json: num_heads = 0: must be at least 1");
        let mut it = Self {
            config,
            moe: MoeConfig { layers: Placement::NONE, ..MoeConfig::default() },
            rules: Rules::default(),
            vocab: keys.size("vocab_size")?,
            length: keys.size_or("n_positions", 512)?,
        };
        it.ends();
        it.attention();
        Ok(it)
    }

    /// All layers, beginning with the encoder.
    pub(super) fn layers(&self) -> Vec<LayerPaths> {
        let of = |side: Side, first: usize| {
            let name = match side {
                Side::Encoder => "encoder",
                Side::Decoder => "decoder",
            };
            let layer = move |number: usize| LayerPaths {
                side,
                number,
                block: first + number,
                here: format!("{name}.layers.{number}"),
                there: format!("{name}.block.{number}"),
            };
            (0..self.config.layers(side)).map(layer)
        };
        of(Side::Encoder, 0).chain(of(Side::Decoder, self.config.encoder_layers)).collect()
    }

    /// Adds the rules of embedding, head, final norms and relative positions.
    fn ends(&mut self) {
        let (shared, rules) = ("shared.weight", &mut self.rules);
        rules.same("embedding.weight", shared);
        for side in ["encoder", "decoder"] {
            rules.same(format!("{side}.norm.gamma"), format!("{side}.final_layer_norm.weight"));
            let bias =
                format!("{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
            rules.same(format!("{side}.relative.table"), bias);
            rules.copies.push((format!("{side}.embed_tokens.weight"), shared.into()));
        }
        // In the first published files of T5; the attention to the source has no positions.
        let stray = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
        rules.unused.push(stray.into());
        match self.config.head.tied {
            true => rules.copies.push(("lm_head.weight".into(), shared.into())),
            false => rules.map("head.weight", "lm_head.weight"),
        }
    }

    /// Adds the rules of attention and of the norms of all branches.
    fn attention(&mut self) {
        for layer in self.layers() {
            let LayerPaths { side, here, there, .. } = &layer;
            let cross = [("cross", "1", "EncDecAttention")].into_iter();
            let cross = cross.filter(|_| *side == Side::Decoder);
            for (own, part, name) in [("attention", "0", "SelfAttention")].into_iter().chain(cross)
            {
                let there = format!("{there}.layer.{part}");
                let maps = [("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")];
                for (map, short) in maps {
                    let weight = format!("{there}.{name}.{short}.weight");
                    self.rules.map(format!("{here}.{own}.{map}.weight"), weight);
                }
                let norm = format!("{there}.layer_norm.weight");
                self.rules.same(format!("{here}.{own}_norm.gamma"), norm);
            }
            let (path, there) = layer.feed_forward();
            self.rules.same(format!("{path}_norm.gamma"), format!("{there}.layer_norm.weight"));
        }
    }

    /// The network as described so far.
    pub(super) fn done(self) -> ImportedNetwork {
        let Self { config, moe, rules, vocab, length } = self;
        let options = serde_json::to_value(&config).ok();
        let options = options.and_then(|value| value.as_object().cloned()).unwrap_or_default();
        ImportedNetwork {
            backbone: Choice { kind: "transformer-seq2seq".into(), options },
            moe,
            domain: Domain::Pair { vocab, source: length, target: length },
            outputs: vocab,
            rules,
        }
    }
}
