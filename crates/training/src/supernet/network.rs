//! The network: layers of encoder and decoder, and the forward pass of an architecture.
//!
//! x = dropout(sqrt(d) slice(Embed(ids)) + slice(positions))            (1)
//! x = N(x + dropout(Attention(x)))                                      (2), post-norm, as in fairseq
//! x = N(x + dropout(Attention(x, [h_L; ...; h_{L-n+1}])))               (3), in a decoder with a source
//! x = N(x + dropout(FFN(x)))                                            (4), Switch layer or mixture
//! logits = slice(Embed) x                                               (5)
//!
//! In a bottleneck (2) and (4) have the width of the layer (`bottleneck.rs`).
//!
//! The probability of dropout is that of the config times d over the largest d; after a layer of several
//! experts it is also multiplied by `expert_dropout_ratio`. In the published code the probability after
//! attention does not depend on d, and the ratio applies to all layers of a supernet of experts. In a
//! sandwich the largest and the smallest architecture attend to the largest and the smallest number of
//! encoder outputs; in the published code both attend to two.

use backbones::{
    PassOfStep,
    seq2seq::{
        Encoded, KeysValues, LayerMemory, Memory, MultiHead, MultiHeadConfig, causal_mask, dropout,
        padding_mask, sinusoids,
    },
};
use burn::{module::Module, nn::Embedding, prelude::*};
use moe::{Init, Pass, RealTokens};

use super::{
    architecture::{Architecture, SupernetSpace},
    attention::{attend, keys_values},
    bottleneck::{Bottleneck, through},
    config::{MixtureEmbedding, Paths, SupernetConfig},
    embedding::features,
    genes::{ArchitectureChoice, Named},
    mixture::Mixture,
    sizes::LayerSizes,
    slices::{FrontNorm, front},
    switch::{SwitchLayer, balance_of_side},
};

/// A layer of either side.
#[derive(Module, Debug)]
pub(super) struct SupernetLayer {
    pub(super) attention: MultiHead,
    pub(super) attention_norm: FrontNorm,
    /// In a decoder with a source: the attention to the source, and its norm.
    pub(super) cross: Option<MultiHead>,
    pub(super) cross_norm: Option<FrontNorm>,
    pub(super) experts: SwitchLayer,
    pub(super) mixture: Option<Mixture>,
    pub(super) norm: FrontNorm,
    /// The maps into the layer and out of it, if its width differs from that of the stream.
    pub(super) bottleneck: Option<Bottleneck>,
}

/// A supernet, or the network of a single architecture.
#[derive(Module, Debug)]
pub struct Supernet {
    pub(super) embedding: Embedding,
    pub(super) encoder: Vec<SupernetLayer>,
    pub(super) decoder: Vec<SupernetLayer>,
    pub(super) source: usize,
    pub(super) target: usize,
    #[module(skip)]
    pub(super) config: SupernetConfig,
    /// The architecture in evaluation, and in training unless it is sampled.
    #[module(skip)]
    pub(super) architecture: Architecture,
}

impl SupernetLayer {
    fn new(config: &SupernetConfig, sizes: LayerSizes, features: usize, init: &Init) -> Self {
        let LayerSizes { width, heads, cross, hidden, .. } = sizes;
        let attention = |name: &str, source_width: usize| {
            let inner = sizes.inner(config);
            let sizes =
                MultiHeadConfig { width, source_width, inner, heads, bias: true, scaled: true };
            MultiHead::new(&sizes, &init.at(name))
        };
        let norm = |name: &str| FrontNorm::new(init, name, width, config.epsilon);
        let mixture = config.mixed().map(|mixture| {
            let sizes = [width, hidden[0], features];
            Mixture::new(mixture, sizes, config.feed_forward_scale, &init.at("mixture"))
        });
        Self {
            attention: attention("attention", width),
            attention_norm: norm("attention_norm"),
            cross: cross.map(|[source, ..]| attention("cross", source)),
            cross_norm: cross.map(|_| norm("cross_norm")),
            experts: SwitchLayer::new(config, width, hidden, init),
            mixture,
            norm: norm("norm"),
            bottleneck: Bottleneck::new(config, sizes, features, init),
        }
    }
}

impl Supernet {
    /// Makes a network for sources and targets of these `lengths`; for text there is no source.
    pub(super) fn new(
        config: &SupernetConfig,
        architecture: Architecture,
        vocab: usize,
        lengths: (Option<usize>, usize),
        init: &Init,
    ) -> Self {
        let (source, target) = lengths;
        let pair = source.is_some();
        let mut sizes = config.space.largest(pair);
        if config.alone {
            sizes = architecture.clone();
        }
        let width = sizes.encoder_width.max(sizes.decoder_width);
        let features = features(&config.space, &sizes).len();
        let layer = |side: &str, i: usize, of: LayerSizes| {
            SupernetLayer::new(config, of, features, &init.at(side).at(i))
        };
        let encoder = sizes.encoder_heads.len();
        Self {
            embedding: init.embedding("embedding", vocab, width, (width as f64).powf(-0.5)),
            encoder: (0..encoder).map(|i| layer("encoder", i, sizes.encoder_layer(i))).collect(),
            decoder: (0..sizes.decoder_layers)
                .map(|i| layer("decoder", i, sizes.decoder_layer(i)))
                .collect(),
            source: source.unwrap_or(0),
            target,
            config: config.clone(),
            architecture,
        }
    }

    /// The space.
    pub fn space(&self) -> &SupernetSpace {
        &self.config.space
    }

    /// The architecture of evaluation.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The same weights with another architecture of the space.
    pub fn with(mut self, architecture: Architecture) -> Self {
        self.architecture = architecture;
        self
    }

    pub(super) fn is_pair(&self) -> bool {
        self.source > 0
    }

    fn is_sampled(&self) -> bool {
        self.config.architecture == ArchitectureChoice::Named(Named::Sampled)
    }

    /// The number of forward passes of a step on the same examples.
    pub(super) fn passes_of_step(&self) -> usize {
        match (self.is_sampled(), self.config.paths) {
            (true, Paths::Sandwich) => 3,
            _ => 1,
        }
    }

    /// The architecture of a pass.
    pub(super) fn now(&self, pass: &mut Pass) -> Architecture {
        if !(pass.training() && self.is_sampled()) {
            return self.architecture.clone();
        }
        let number = pass.get::<PassOfStep>().map_or(0, |PassOfStep(number)| *number);
        match (self.config.paths, number) {
            (Paths::Sandwich, 1) => self.space().largest(self.is_pair()),
            (Paths::Sandwich, 2) => self.space().smallest(self.is_pair()),
            _ => self.space().draw(&mut pass.common_rng(), self.is_pair()),
        }
    }

    /// The input of the routers of mixtures for an architecture, `[1, features]`.
    pub(super) fn condition(
        &self,
        architecture: &Architecture,
        device: &Device,
    ) -> Option<Tensor<2>> {
        let mixture = self.config.mixed()?;
        let mut values = features(self.space(), architecture);
        if mixture.embedding == MixtureEmbedding::Constant {
            values.fill(0.5);
        }
        let n = values.len();
        Some(Tensor::from_data(TensorData::new(values, [1, n]), &device.clone().inner()))
    }

    /// The probability of dropout on one side of an architecture.
    pub(super) fn dropout_of(&self, width: usize, experts: usize, widths: &[usize]) -> f64 {
        let widest = widths.iter().copied().max().unwrap_or(width);
        let rate = self.config.dropout * width as f64 / widest as f64;
        match experts > 1 {
            true => (rate * self.config.expert_dropout_ratio).min(1.0 - 1e-6),
            false => rate,
        }
    }

    /// (1) of the tokens `[B, T]` from position `first` on.
    fn enter(
        &self,
        pass: &mut Pass,
        ids: Tensor<2, Int>,
        d: usize,
        first: usize,
        rate: f64,
    ) -> Tensor<3> {
        let [b, t] = ids.dims();
        let widest = self.space().encoder_width.iter().chain(&self.space().decoder_width).max();
        let widest = widest.copied().unwrap_or(d);
        let table = front(self.embedding.weight.val(), 1, d);
        let tokens = table.select(0, ids.reshape([b * t])).reshape([b, t, d]) * (d as f64).sqrt();
        let positions = TensorData::new(sinusoids(first, t, widest), [1, t, widest]);
        let positions = Tensor::<3>::from_data(positions, &tokens.device().inner());
        dropout(pass, tokens + front(positions, 2, d), rate)
    }

    /// (4).
    fn feed_forward(
        &self,
        pass: &mut Pass,
        layer: &SupernetLayer,
        x: Tensor<3>,
        hidden: &[usize],
        condition: &Option<Tensor<2>>,
        widths: &[usize],
    ) -> Tensor<3> {
        let [.., d] = x.dims();
        let branch = match (&layer.mixture, condition) {
            (Some(mixture), Some(condition)) => {
                let own = layer.experts.first();
                mixture.forward(own, condition.clone(), x.clone(), hidden[0])
            }
            _ => layer.experts.forward(pass, x.clone(), hidden),
        };
        let rate = self.dropout_of(d, hidden.len(), widths);
        layer.norm.forward(x + dropout(pass, branch, rate))
    }

    /// Encodes sources `[B, S]` of which `counts` tokens are real.
    pub(super) fn encode(
        &self,
        pass: &mut Pass,
        architecture: &Architecture,
        ids: Tensor<2, Int>,
        counts: Vec<usize>,
    ) -> Encoded {
        let before = pass.take::<RealTokens>();
        pass.put(RealTokens(counts.clone()));
        let (d, widths) = (architecture.encoder_width, &self.space().encoder_width);
        let rate = self.dropout_of(d, 1, widths);
        let device = self.embedding.weight.val().device();
        let (mask, condition) = (
            padding_mask(&counts, ids.dims()[1], 1, &device),
            self.condition(architecture, &device),
        );
        let mut x = self.enter(pass, ids, d, 0, rate);
        let most = architecture.encoder_outputs[..architecture.decoder_layers].iter().max();
        let most = most.copied().unwrap_or(1);
        let mut outputs = Vec::new();
        for (i, layer) in self.encoder.iter().enumerate() {
            let sizes = architecture.encoder_layer(i);
            let seen = keys_values(&layer.attention, x.clone(), self.config.inner);
            let branch = attend(&layer.attention, x.clone(), &seen, sizes.heads, mask.clone());
            x = layer.attention_norm.forward(x + dropout(pass, branch, rate)); // (2)
            x = self.feed_forward(pass, layer, x, sizes.hidden, &condition, widths);
            if i + most >= self.encoder.len() {
                outputs.push(x.clone());
            }
        }
        balance_of_side(pass, self.config.balance);
        pass.take::<RealTokens>();
        if let Some(before) = before {
            pass.put(before);
        }
        Encoded { outputs, counts }
    }

    /// The memory of a decoder before the first token.
    pub(super) fn begin(&self, architecture: &Architecture, encoded: &Encoded) -> Memory {
        let layer = |(i, layer): (usize, &SupernetLayer)| {
            let [_, _, outputs] = architecture.decoder_layer(i).cross?;
            let (source, mask) = encoded.last(outputs);
            let source = keys_values(layer.cross.as_ref()?, source, self.config.inner);
            Some(LayerMemory { own: None, source, mask })
        };
        let layers = self.decoder.iter().enumerate().take(architecture.decoder_layers);
        Memory { layers: layers.filter_map(layer).collect() }
    }

    /// The scores `[B, T, V]` after each of the tokens, which follow those of the memory, if there is one.
    pub(super) fn decode(
        &self,
        pass: &mut Pass,
        architecture: &Architecture,
        ids: Tensor<2, Int>,
        mut memory: Option<&mut Memory>,
    ) -> Tensor<3> {
        let (d, widths) = (architecture.decoder_width, &self.space().decoder_width);
        let rate = self.dropout_of(d, 1, widths);
        let [_, t] = ids.dims();
        let first = memory.as_ref().map_or(0, |memory| memory.tokens());
        let device = self.embedding.weight.val().device();
        let condition = self.condition(architecture, &device);
        let mask = match (memory.is_some() || self.config.causal, pass.get::<RealTokens>()) {
            (true, _) => causal_mask(first, t, &device),
            (false, Some(RealTokens(counts))) => padding_mask(counts, t, 1, &device),
            (false, None) => None,
        };
        let mut x = self.enter(pass, ids, d, first, rate);
        for (i, layer) in self.decoder.iter().enumerate().take(architecture.decoder_layers) {
            let sizes = architecture.decoder_layer(i);
            let memory = memory.as_mut().map(|memory| &mut memory.layers[i]);
            let [into, out] = Bottleneck::maps(layer.bottleneck.as_ref(), sizes, &condition);
            let rate = self.dropout_of(sizes.width, 1, widths);
            x = through(into, x);
            let new = keys_values(&layer.attention, x.clone(), sizes.inner(&self.config));
            let seen = seen(memory.as_deref(), new);
            let branch = attend(&layer.attention, x.clone(), &seen, sizes.heads, mask.clone());
            x = layer.attention_norm.forward(x + dropout(pass, branch, rate)); // (2)
            if let (Some(memory), Some(cross), Some(norm), Some([_, heads, _])) =
                (memory, &layer.cross, &layer.cross_norm, sizes.cross)
            {
                memory.own = Some(seen);
                let branch = attend(cross, x.clone(), &memory.source, heads, memory.mask.clone());
                x = norm.forward(x + dropout(pass, branch, rate)); // (3)
            }
            x = through(out, self.feed_forward(pass, layer, x, sizes.hidden, &condition, widths));
        }
        balance_of_side(pass, self.config.balance);
        kernels::linear(x, front(self.embedding.weight.val(), 1, d).transpose(), None) // (5)
    }
}

/// The keys and values of its own side to which a layer of a decoder attends.
fn seen(memory: Option<&LayerMemory>, new: KeysValues) -> KeysValues {
    match memory.and_then(|memory| memory.own.clone()) {
        Some(own) => own.then(new),
        None => new,
    }
}
