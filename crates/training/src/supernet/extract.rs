//! The weights of one architecture, cut from those of a supernet; mixtures become plain weights.

use burn::{nn::Embedding, prelude::*};

use super::{
    architecture::Architecture,
    attention::cut_attention,
    config::SupernetConfig,
    network::{Supernet, SupernetLayer},
    sizes::LayerSizes,
    slices::{cut, front},
};

impl Supernet {
    /// The network of one architecture with only its own weights, which gives the same scores.
    ///
    /// `config` is the config of the new network, with `alone` and without mixture.
    pub fn extract(&self, architecture: &Architecture, config: &SupernetConfig) -> Self {
        let width = architecture.encoder_width.max(architecture.decoder_width);
        let table = &self.embedding.weight;
        let device = table.val().device();
        let condition = self.condition(architecture, &device);
        let encoder = self.encoder.iter().enumerate();
        let encoder =
            encoder.map(|(i, layer)| layer.cut(config, architecture.encoder_layer(i), &condition));
        let decoder = self.decoder.iter().enumerate().take(architecture.decoder_layers);
        let decoder =
            decoder.map(|(i, layer)| layer.cut(config, architecture.decoder_layer(i), &condition));
        Self {
            embedding: Embedding { weight: cut(table, front(table.val(), 1, width)) },
            encoder: encoder.collect(),
            decoder: decoder.collect(),
            source: self.source,
            target: self.target,
            config: config.clone(),
            architecture: architecture.clone(),
        }
    }
}

impl SupernetLayer {
    fn cut(
        &self,
        config: &SupernetConfig,
        sizes: LayerSizes,
        condition: &Option<Tensor<2>>,
    ) -> Self {
        let LayerSizes { width, cross, hidden, .. } = sizes;
        let inner = sizes.inner(config);
        let source = cross.map_or(width, |[source, ..]| source);
        let mut experts = self.experts.cut(config, width, hidden);
        if let (Some(mixture), Some(condition)) = (&self.mixture, condition) {
            let own = self.experts.first();
            let mixed = mixture.weights(own, condition.clone(), [width, hidden[0]]);
            experts.experts[0] = Some(experts.first().with_weights(mixed));
        }
        Self {
            attention: cut_attention(&self.attention, [width, width, inner]),
            attention_norm: self.attention_norm.cut(width),
            cross: self.cross.as_ref().map(|cross| cut_attention(cross, [width, source, inner])),
            cross_norm: self.cross_norm.as_ref().map(|norm| norm.cut(width)),
            experts,
            mixture: None,
            bottleneck: self.bottleneck.as_ref().and_then(|of| of.cut(sizes, condition)),
            norm: self.norm.cut(width),
        }
    }
}
