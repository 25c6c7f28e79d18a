//! Networks, one file each, with places for MoE layers.
//!
//! A backbone does not refer to any task or router by name: it is built from a [`BackboneSpec`].

mod attention;
mod bare;
mod bca;
mod block;
mod cache;
mod conv_net;
mod convolution;
mod feed_forward;
mod generate;
mod head;
mod hybrid;
mod multipliers;
mod nac;
mod norm;
mod parts;
mod raw_resnet;
mod relative_attention;
pub mod seq2seq;
pub mod temporal;
mod transformer_encoder;
mod transformer_lm;
mod vit;
mod vit_distillation;
mod vit_module;
mod vit_positions;

pub use attention::{Attention, AttentionConfig, Positions};
pub use bare::Bare;
pub use bca::Bca;
pub use block::{Block, Wiring};
pub use cache::Cache;
pub use conv_net::{ConvNet, ConvNetConfig, ConvPool};
pub use convolution::{BatchNorm, ImageConvolution, average_pool, channels_last, max_pool};
pub use feed_forward::FeedForward;
pub use generate::{Decoding, gap_of_cache};
pub use head::{Head, HeadConfig, HeadNorm};
pub use hybrid::{Hybrid, HybridConfig, Stitch};
pub use multipliers::Multipliers;
pub use nac::{ImageTokens, Nac, NacConfig};
pub use norm::Norm;
pub use parts::{AttentionParts, LatentConfig, Llama3Config, QkNorm, YarnConfig};
pub use raw_resnet::{RawResnet, RawResnetConfig, ResnetForm};
pub use seq2seq::{SequenceToSequence, TransformerSeq2Seq, TransformerSeq2SeqConfig};
pub use transformer_encoder::{TransformerEncoder, TransformerEncoderConfig};
pub use transformer_lm::{PositionEncoding, TransformerLm, TransformerLmConfig};
pub use vit::{Pool, Vit, VitConfig};
pub use vit_module::VitModule;
pub use vit_positions::{zoom, zoomed};

use burn::prelude::*;
use moe::{
    Boxed, Choice, ConfigError, Dims, Domain, Entry, Erased, Hyper, Init, Input, Library,
    MoeConfig, Pass, Plug, Registry, Socket, read,
};
use serde_json::json;

/// All backbones. The list is the table of contents.
pub fn all() -> Backbones {
    Backbones::new("backbone")
        .with::<Vit>()
        .with::<TransformerLm>()
        .with::<TransformerSeq2Seq>()
        .with::<TransformerEncoder>()
        .with::<Bare>()
        .with::<ConvNet>()
        .with::<RawResnet>()
        .with::<Bca>()
        .with::<temporal::MaxPool>()
        .with::<temporal::NetVlad>()
        .with::<temporal::Calf>()
        .with::<temporal::CalfSegmentation>()
        .with::<temporal::TemporalTransformer>()
        .with::<temporal::TemporalConvolution>()
        .with::<temporal::Siamese>()
        .with::<Hybrid>()
        .with::<Nac>()
}

/// The inputs, outputs and plug-ins that a network is built for.
#[derive(Clone, Copy)]
pub struct BackboneSpec<'a> {
    /// The form of the inputs.
    pub domain: Domain,
    /// Outputs at each position: classes, or the vocabulary.
    pub outputs: usize,
    /// The MoE layers.
    pub moe: &'a MoeConfig,
    /// The registries of routers, experts and residual rules.
    pub library: &'a Library,
}

impl BackboneSpec<'_> {
    /// Checks the blocks of backbone `name`: their number, the `dense` networks, the MoE layers.
    /// The stream is `[B, tokens, width]`.
    fn check_blocks(
        &self,
        name: &str,
        dense: &Choice,
        [tokens, width]: [usize; 2],
        depth: usize,
    ) -> Result<(), ConfigError> {
        if depth == 0 {
            return Err(wrong(name, "depth = 0: at least one block is needed"));
        }
        let dims = Dims { width, n_experts: 1, units: tokens };
        let entry = self.library.experts.get(&dense.kind);
        entry
            .and_then(|entry| (entry.build.check)(dense, dims))
            .map_err(|err| wrong(name, format!("dense: {err}")))?;
        self.library.check(self.moe, [tokens, width], depth)
    }
}

/// The number of a pass within its step, from 0, for networks with several passes in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassOfStep(pub usize);

/// A network with places for MoE layers.
pub trait Backbone: Module + Sync + 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs and tables.
    const NAME: &'static str;
    /// One line of description.
    const ABOUT: &'static str;
    /// URL of the paper.
    const PAPER: &'static str;
    /// Whether an output is independent of the inputs after it, provided that the MoE layers are
    /// causal.
    const CAUSAL: bool;

    /// Checks the config against the spec. All user errors are found here.
    fn check(config: &Self::Config, spec: &BackboneSpec) -> Result<(), ConfigError>;

    /// A fresh network.
    fn init(config: &Self::Config, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError>;

    /// The number T of answers for an image with `_rows` rows; one by default.
    fn answers(_rows: usize) -> usize {
        1
    }

    /// Maps a batch of B inputs to `[B, T, outputs]`, with T = 1 for one answer per input.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3>;

    /// The inputs of the head for a batch of B inputs, `[B, width]`: features for a linear probe.
    /// None in networks with an output at each position.
    fn features(&self, _pass: &mut Pass, _input: Input) -> Option<Tensor<2>> {
        None
    }

    /// The extension of networks that translate; none for others.
    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        None
    }

    /// The number of forward passes over the same examples whose gradients make up one training step; each
    /// pass holds its number as [`PassOfStep`].
    fn passes(&self) -> usize {
        1
    }

    /// The weights for a network of another config, if they are not those of the same names: a part of this
    /// network, for example. None if they are those of the same names.
    ///
    /// # Errors
    /// If the config cannot be read, or describes nothing that this network has.
    fn resized(&self, _config: &Choice) -> Result<Option<AnyBackbone>, ConfigError> {
        Ok(None)
    }

    /// The number of tokens per input that the blocks process: characters, patches.
    fn tokens(&self) -> usize;

    /// Floating-point operations for one input, forward, without the MoE layers; a multiplication
    /// and an addition are two. Matrix products only: norms, activations and softmax are left out.
    fn dense_flops(&self) -> f64;
}

/// The object-safe counterpart of [`Backbone`].
pub trait DynBackbone: Erased<BackboneSocket> {
    /// See [`Backbone::forward`].
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3>;
    /// See [`Backbone::features`].
    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>>;
    /// See [`Backbone::sequence_to_sequence`].
    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence>;
    /// See [`Backbone::passes`].
    fn passes(&self) -> usize;
    /// See [`Backbone::resized`].
    fn resized(&self, config: &Choice) -> Result<Option<AnyBackbone>, ConfigError>;
    /// See [`Backbone::tokens`].
    fn tokens(&self) -> usize;
    /// See [`Backbone::dense_flops`].
    fn dense_flops(&self) -> f64;
}

impl<N: Backbone> DynBackbone for N {
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        Backbone::forward(self, pass, input)
    }
    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>> {
        Backbone::features(self, pass, input)
    }
    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        Backbone::sequence_to_sequence(self)
    }
    fn passes(&self) -> usize {
        Backbone::passes(self)
    }
    fn resized(&self, config: &Choice) -> Result<Option<AnyBackbone>, ConfigError> {
        Backbone::resized(self, config)
    }
    fn tokens(&self) -> usize {
        Backbone::tokens(self)
    }
    fn dense_flops(&self) -> f64 {
        Backbone::dense_flops(self)
    }
}

/// The socket of backbones.
pub enum BackboneSocket {}

impl Socket for BackboneSocket {
    type Object = dyn DynBackbone;
}

impl<N: Backbone> Plug<N> for BackboneSocket {
    fn plug(network: N) -> Box<dyn DynBackbone> {
        Box::new(network)
    }
}

/// Any backbone.
pub type AnyBackbone = Boxed<BackboneSocket>;

/// The functions of a registered backbone.
#[derive(Clone, Copy)]
pub struct BuildBackbone {
    /// See [`Backbone::CAUSAL`].
    pub causal: bool,
    /// See [`Backbone::answers`].
    pub answers: fn(usize) -> usize,
    /// Reads the hyperparameters, then calls [`Backbone::check`].
    pub check: fn(&Choice, &BackboneSpec) -> Result<(), ConfigError>,
    /// Checks the config, then builds the network.
    pub init: fn(&Choice, &BackboneSpec, &Init) -> Result<AnyBackbone, ConfigError>,
}

/// Backbones by name.
#[derive(Clone)]
pub struct Backbones(Registry<BuildBackbone>);

impl Backbones {
    fn new(what: &'static str) -> Self {
        Self(Registry::new(what))
    }

    /// Adds a backbone under its [`Backbone::NAME`].
    pub fn with<N: Backbone>(mut self) -> Self {
        let build = BuildBackbone {
            causal: N::CAUSAL,
            answers: N::answers,
            check: |choice, spec| checked::<N>(choice, spec).map(drop),
            init: |choice, spec, init| {
                Ok(AnyBackbone::new(N::init(&checked::<N>(choice, spec)?, spec, init)?))
            },
        };
        let facts = json!({ "causal": N::CAUSAL });
        self.0.add(N::NAME, Entry::new::<N::Config>(N::ABOUT, N::PAPER, facts, build));
        self
    }
}

impl std::ops::Deref for Backbones {
    type Target = Registry<BuildBackbone>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn checked<N: Backbone>(choice: &Choice, spec: &BackboneSpec) -> Result<N::Config, ConfigError> {
    let config: N::Config = read("backbone", choice)?;
    N::check(&config, spec)?;
    Ok(config)
}

/// The error for an invalid config of backbone `name`.
fn wrong(name: &str, message: impl ToString) -> ConfigError {
    let (what, name) = ("backbone", name.to_string());
    ConfigError::Invalid { what, name, message: message.to_string() }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "../../bench/tests/common/worked.rs"]
mod worked;
