//! FLOPs and parameters of an architecture.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>: a multiplication and an addition are
//! two operations; the projection to the vocabulary and the table of tokens are left out; active parameters
//! count as many experts in each layer as a token uses; sparsity is 1 minus the share of active parameters.
//!
//! Experts count with their mean width, as if all were chosen equally often.

use super::{
    architecture::Architecture,
    attention::{attention_flops, attention_params},
    config::SupernetConfig,
    expert::{expert_flops, expert_params},
    sizes::LayerSizes,
};

/// The cost of an architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArchitectureCost {
    /// Operations for an input, without layers of several experts and without the vocabulary.
    pub plain_flops: f64,
    /// Operations for an input in layers of several experts.
    pub expert_flops: f64,
    /// Operations of the projection to the vocabulary.
    pub vocabulary_flops: f64,
    /// The number of parameters without the table of tokens.
    pub params: f64,
    /// The number of these parameters that a token uses.
    pub active_params: f64,
}

impl ArchitectureCost {
    /// The cost of an architecture, for a source of `source` tokens, or 0 without a source, and a target of
    /// `target` tokens.
    pub fn of(
        config: &SupernetConfig,
        architecture: &Architecture,
        [source, target]: [usize; 2],
        vocab: usize,
    ) -> Self {
        let mut cost = Self {
            vocabulary_flops: (2 * target * architecture.decoder_width * vocab) as f64,
            ..Self::default()
        };
        for i in 0..architecture.encoder_heads.len() {
            cost.add(config, architecture.encoder_layer(i), [source, source]);
        }
        for i in 0..architecture.decoder_layers {
            cost.add(config, architecture.decoder_layer(i), [target, source]);
        }
        cost
    }

    fn add(&mut self, config: &SupernetConfig, layer: LayerSizes, [tokens, source]: [usize; 2]) {
        let LayerSizes { width: d, stream, cross, hidden, .. } = layer;
        let inner = layer.inner(config);
        self.plain_flops += attention_flops([tokens, d], [tokens, d], inner);
        let mut shared = attention_params(d, d, inner) + (4 * d) as f64;
        if let Some([d_source, _, outputs]) = cross {
            self.plain_flops += attention_flops([tokens, d], [source * outputs, d_source], inner);
            shared += attention_params(d, d_source, inner) + (2 * d) as f64;
        }
        if let Some(stream) = stream {
            // The two maps of a bottleneck have the sizes of an expert's.
            self.plain_flops += tokens as f64 * expert_flops([stream, d]);
            shared += expert_params([stream, d]);
        }
        let n = hidden.len();
        let k = config.switch.k.min(n) as f64;
        let mean = |of: fn([usize; 2]) -> f64| {
            config.switch.each(d, hidden, of).iter().sum::<f64>() / n as f64
        };
        let tokens = tokens as f64;
        match n {
            1 => self.plain_flops += tokens * mean(expert_flops),
            _ => {
                self.expert_flops += tokens * (k * mean(expert_flops) + (2 * d * n) as f64);
                shared += (d * n + n) as f64;
            }
        }
        self.params += shared + n as f64 * mean(expert_params);
        self.active_params += shared + k * mean(expert_params);
    }

    /// Operations for an input, without the vocabulary.
    pub fn flops(&self) -> f64 {
        self.plain_flops + self.expert_flops
    }

    /// Operations for an input, without layers of several experts.
    pub fn dense_flops(&self) -> f64 {
        self.plain_flops + self.vocabulary_flops
    }

    /// The share of parameters that a token does not use.
    pub fn sparsity(&self) -> f64 {
        1.0 - self.active_params / self.params
    }
}
