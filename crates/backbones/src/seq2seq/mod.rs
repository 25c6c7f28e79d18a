//! An encoder-decoder for translation and other pairs of sequences, with places for MoE layers.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//!
//! x_0 = dropout(sqrt(D) Embed(ids) + positions)             (1)
//! h_l = EncoderLayer_l(h_{l-1})                             (2)
//! y_l = DecoderLayer_l(y_{l-1}, [h_L; ...; h_{L-n+1}])      (3), causal; n = 1 there
//! logits = Head(y_L)                                        (4)
//!
//! Post-norm, sinusoidal positions, ReLU and one table for source, target and head are those of the paper and
//! of fairseq; `wiring = "pre-norm"`, `positions = "learned"`, `embedding_norm` and GELU in `dense` give a
//! BART (Lewis et al. 2019, <https://arxiv.org/abs/1910.13461>). Layers may differ: in heads, in the number
//! of experts (1 is a dense network) and their widths, and in the encoder outputs that they attend to, n in
//! (3): Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>; Wang et al. *HAT*. ACL 2020.
//! <https://arxiv.org/abs/2005.14187>, where n is called arbitrary encoder-decoder attention.
//!
//! With pre-norm each output in (3) passes the norm at the encoder's end, as the last output does.
//!
//! `wiring = "pre-norm"`, `norm = "rms"`, `positions = "relative"`, `scale_attention = false`, `bias = false`
//! and `scale_embedding = false` give a T5 (Raffel et al. 2019, <https://arxiv.org/abs/1910.10683>), with MoE
//! layers a Switch Transformer.
//!
//! Routers process the two sides one after the other; the state that they leave for later layers ends with a
//! side.
//!
//! Differs from fairseq: see `positions.rs`. The initial deviation of the table of tokens is D^-1/2, as in
//! fairseq; the other maps are initialised as in all networks here.

mod config;
mod decoder;
mod dropout;
mod encoder;
mod layer;
mod mask;
mod memory;
mod multi_head;
mod norms;
mod per_layer;
mod positions;
mod relative;
mod search;
mod side;

pub use config::TransformerSeq2SeqConfig;
pub use decoder::Decoder;
pub use dropout::{check_dropout, dropout};
pub use encoder::{Encoder, Entrance};
pub use layer::{DecoderLayer, EncoderLayer, Joining};
pub use mask::{causal_mask, padding_mask};
pub use memory::{Encoded, LayerMemory, Memory};
pub use multi_head::{KeysValues, MultiHead, MultiHeadConfig, multi_head};
pub use norms::NormKind;
pub use per_layer::{Hidden, PerLayer};
pub use positions::{PositionKind, PositionTable, sinusoids};
pub use relative::{RelativeConfig, RelativePositions};
pub use search::{BeamSearch, beam_search, greedy, translate};
pub use side::Side;

use burn::{module::Module, nn::Embedding, prelude::*};
use moe::{ConfigError, Domain, Init, Input, Pass, RealTokens};

use crate::{Backbone, BackboneSpec, Head, multipliers::times, wrong};

/// A network that reads a whole source and writes a target token by token.
pub trait SequenceToSequence {
    /// Reads sources, `[B, S]`, of which `counts` tokens are real, at least 1 in each source.
    fn read(&self, pass: &mut Pass, source: Tensor<2, Int>, counts: Vec<usize>) -> Memory;

    /// The scores `[B, T, V]` of the next token after each of the tokens `[B, T]`, which follow those of the
    /// memory; they are added to the memory.
    fn answer(&self, pass: &mut Pass, target: Tensor<2, Int>, memory: &mut Memory) -> Tensor<3>;

    /// The maximum number of tokens of a source and of a target.
    fn longest(&self) -> [usize; 2];
}

/// An encoder-decoder.
#[derive(Module, Debug)]
pub struct TransformerSeq2Seq {
    /// The table of tokens, shared by source and target.
    pub embedding: Embedding,
    /// The side that reads.
    pub encoder: Encoder,
    /// The side that writes.
    pub decoder: Decoder,
    /// The map to the vocabulary.
    pub head: Head,
    /// A factor on the last stream.
    output: f64,
    source: usize,
    target: usize,
}

/// The message for an input that differs from the one that was checked: pairs.
const PAIRS: &str = "a transformer-seq2seq requires pairs of sequences";

/// Vocabulary, and the lengths of source and target.
fn sizes(domain: Domain) -> Option<(usize, [usize; 2])> {
    match domain {
        Domain::Pair { vocab, source, target } => Some((vocab, [source, target])),
        _ => None,
    }
}

impl Backbone for TransformerSeq2Seq {
    type Config = TransformerSeq2SeqConfig;
    const NAME: &'static str = "transformer-seq2seq";
    const ABOUT: &'static str = "encoder-decoder: post-norm, sinusoidal positions by default";
    const PAPER: &'static str = "https://arxiv.org/abs/1706.03762";
    const CAUSAL: bool = true;

    fn check(config: &TransformerSeq2SeqConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (vocab, lengths) = sizes(spec.domain).ok_or_else(|| {
            wrong("expected pairs of sequences, such as those of the task translation".into())
        })?;
        config.check().map_err(wrong)?;
        if config.head.tied && spec.outputs != vocab {
            let outputs = spec.outputs;
            return Err(wrong(format!(
                "head.tied: {outputs} outputs, but the vocabulary has {vocab} tokens"
            )));
        }
        config.check_layers(Self::NAME, spec, lengths)
    }

    fn init(
        config: &TransformerSeq2SeqConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let (vocab, [source, target]) = sizes(spec.domain).expect(PAIRS);
        let d = config.width;
        let outputs = (0..config.decoder_layers).map(|i| *config.encoder_outputs.at(i)).max();
        let outputs = outputs.unwrap_or(1);
        Ok(Self {
            embedding: init.embedding("embedding", vocab, d, (d as f64).powf(-0.5)),
            encoder: Encoder::new(config, spec, source, outputs, &init.at("encoder"))?,
            decoder: Decoder::new(config, spec, target, &init.at("decoder"))?,
            head: Head::new(&config.head, [d, spec.outputs], init),
            output: if config.scale_output { (d as f64).powf(-0.5) } else { 1.0 },
            source,
            target,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Pair(pair) = input else { panic!("{PAIRS}") };
        let mut memory = self.read(pass, pair.source, pair.source_counts);
        pass.put(RealTokens(pair.target_counts));
        self.answer(pass, pair.target, &mut memory)
    }

    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        Some(self)
    }

    fn tokens(&self) -> usize {
        self.source + self.target
    }

    fn dense_flops(&self) -> f64 {
        let head = self.target as f64 * self.head.flops(&self.embedding.weight);
        let encoder = self.encoder.dense_flops(self.source);
        encoder + self.decoder.dense_flops(self.target, self.source) + head
    }
}

impl SequenceToSequence for TransformerSeq2Seq {
    fn read(&self, pass: &mut Pass, source: Tensor<2, Int>, counts: Vec<usize>) -> Memory {
        let table = self.embedding.weight.val();
        let encoded = self.encoder.forward(pass, table, source, counts); // (1), (2)
        self.decoder.begin(&encoded)
    }

    fn answer(&self, pass: &mut Pass, target: Tensor<2, Int>, memory: &mut Memory) -> Tensor<3> {
        let y = self.decoder.forward(pass, self.embedding.weight.val(), target, memory); // (3)
        self.head.forward(pass, times(y, self.output), &self.embedding.weight) // (4)
    }

    fn longest(&self) -> [usize; 2] {
        [self.source, self.target]
    }
}

#[cfg(test)]
mod tests;
