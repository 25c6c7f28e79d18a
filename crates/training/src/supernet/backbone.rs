//! A supernet as a backbone.

use backbones::{
    AnyBackbone, Backbone, BackboneSpec,
    seq2seq::{Memory, SequenceToSequence},
};
use burn::prelude::*;
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, Placement, RealTokens, read};

use super::{
    config::SupernetConfig,
    cost::ArchitectureCost,
    network::{Supernet, SupernetLayer},
    sizes::LayerSizes,
};

/// The message if an input is of a kind that was excluded before.
const TEXT: &str = "a supernet requires text or pairs of sequences";

fn wrong(message: String) -> ConfigError {
    ConfigError::Invalid { what: "backbone", name: Supernet::NAME.into(), message }
}

/// The vocabulary, the length of the source, if there is one, and the length of the target.
fn sizes(domain: Domain) -> Option<(usize, (Option<usize>, usize))> {
    match domain {
        Domain::Pair { vocab, source, target } => Some((vocab, (Some(source), target))),
        Domain::Text { vocab, length } => Some((vocab, (None, length))),
        Domain::Image { .. } => None,
    }
}

impl Backbone for Supernet {
    type Config = SupernetConfig;
    const NAME: &'static str = "supernet";
    const ABOUT: &'static str = "supernet of encoder-decoders, of decoders or of encoders, whose architectures share weights";
    const PAPER: &'static str = "https://arxiv.org/abs/2210.07535";
    const CAUSAL: bool = true;

    fn check(config: &SupernetConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let (vocab, (source, _)) = sizes(spec.domain).ok_or_else(|| {
            wrong("expected text or pairs of sequences, but the task has images".into())
        })?;
        config.check().map_err(wrong)?;
        if spec.outputs != vocab {
            let outputs = spec.outputs;
            return Err(wrong(format!("{outputs} outputs, but the vocabulary has {vocab} tokens")));
        }
        if spec.moe.layers != Placement::NONE {
            return Err(wrong(
                "moe.layers: must be \"none\", since a supernet has its own experts".into(),
            ));
        }
        let pair = source.is_some();
        if pair && config.space.bottleneck.is_some() {
            return Err(wrong("space.bottleneck: requires text, not pairs of sequences".into()));
        }
        config.space.architecture(&config.architecture, pair).map(drop).map_err(wrong)
    }

    fn init(
        config: &SupernetConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let (vocab, lengths) = sizes(spec.domain).expect(TEXT);
        let pair = lengths.0.is_some();
        let architecture = config.space.architecture(&config.architecture, pair).map_err(wrong)?;
        Ok(Self::new(config, architecture, vocab, lengths, init))
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let architecture = self.now(pass);
        if !pass.training() {
            self.tell(pass, &architecture);
        }
        match input {
            Input::Tokens(ids) => self.decode(pass, &architecture, ids, None),
            Input::Pair(pair) => {
                let encoded = self.encode(pass, &architecture, pair.source, pair.source_counts);
                let mut memory = self.begin(&architecture, &encoded);
                pass.put(RealTokens(pair.target_counts));
                self.decode(pass, &architecture, pair.target, Some(&mut memory))
            }
            Input::Image(_) => panic!("{TEXT}"),
        }
    }

    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        self.is_pair().then_some(self)
    }

    fn passes(&self) -> usize {
        self.passes_of_step()
    }

    fn resized(&self, choice: &Choice) -> Result<Option<AnyBackbone>, ConfigError> {
        let config: SupernetConfig = read("backbone", choice)?;
        if self.config.alone {
            return Ok(None);
        }
        config.cut_from(&self.config).map_err(wrong)?;
        if !config.alone {
            return Ok(None);
        }
        let architecture = config.space.architecture(&config.architecture, self.is_pair());
        let network = self.extract(&architecture.map_err(wrong)?, &config);
        Ok(Some(AnyBackbone::new(network)))
    }

    fn tokens(&self) -> usize {
        self.source + self.target
    }

    fn dense_flops(&self) -> f64 {
        self.cost().dense_flops()
    }
}

impl SequenceToSequence for Supernet {
    fn read(&self, pass: &mut Pass, source: Tensor<2, Int>, counts: Vec<usize>) -> Memory {
        let architecture = &self.architecture;
        let encoded = self.encode(pass, architecture, source, counts);
        self.begin(architecture, &encoded)
    }

    fn answer(&self, pass: &mut Pass, target: Tensor<2, Int>, memory: &mut Memory) -> Tensor<3> {
        self.decode(pass, &self.architecture, target, Some(memory))
    }

    fn longest(&self) -> [usize; 2] {
        [self.source, self.target]
    }
}

impl Supernet {
    /// The cost of the evaluated architecture.
    pub fn cost(&self) -> ArchitectureCost {
        let [vocab, _] = self.embedding.weight.lazy_shape().dims();
        ArchitectureCost::of(&self.config, &self.architecture, [self.source, self.target], vocab)
    }

    /// Reports the distribution of the experts, the sparsity of the network, the cost of a token without the
    /// vocabulary, and how far mixtures differ between the smallest and the largest architecture.
    fn tell(&self, pass: &mut Pass, architecture: &super::Architecture) {
        let device = self.embedding.weight.val().device();
        let mut tell = |name: &str, value: f64| {
            pass.metric(name, Tensor::from_floats([value as f32], &device));
        };
        if let Some(share) = architecture.encoder_share() {
            tell("encoder_expert_share", share);
        }
        let cost = self.cost();
        tell("sparsity", cost.sparsity());
        tell("flops_without_vocabulary", cost.flops() / self.tokens() as f64);
        let shifts = self.mixture_shifts(&device);
        if !shifts.is_empty() {
            tell("mixture_shift", shifts.iter().sum::<f64>() / shifts.len() as f64);
        }
        for (layer, shift) in shifts.iter().enumerate() {
            tell(&format!("mixture_shift_layer{layer}"), *shift);
        }
    }

    /// For each layer with a mixture, in the order encoder, decoder: the mean difference of alpha between the
    /// smallest and the largest architecture, over both maps and the outputs that both architectures have.
    fn mixture_shifts(&self, device: &Device) -> Vec<f64> {
        let pair = self.is_pair();
        let [small, large] = [self.space().smallest(pair), self.space().largest(pair)];
        let (few, all) = (self.condition(&small, device), self.condition(&large, device));
        let (Some(few), Some(all)) = (few, all) else { return Vec::new() };
        let encoder =
            self.encoder.iter().enumerate().map(|(i, layer)| (layer, small.encoder_layer(i)));
        let decoder = self.decoder.iter().enumerate().take(small.decoder_layers);
        let decoder = decoder.map(|(i, layer)| (layer, small.decoder_layer(i)));
        let shift = |(layer, sizes): (&SupernetLayer, LayerSizes)| {
            let mixture = layer.mixture.as_ref()?;
            let sizes = [sizes.width, sizes.hidden[0]];
            let (few, all) =
                (mixture.alphas(few.clone(), sizes), mixture.alphas(all.clone(), sizes));
            let maps = few
                .into_iter()
                .zip(all)
                .map(|(a, b)| f64::from(kernels::mean((a - b).abs()).into_scalar::<f32>()));
            Some(maps.sum::<f64>() / 2.0)
        };
        encoder.chain(decoder).filter_map(shift).collect()
    }
}
