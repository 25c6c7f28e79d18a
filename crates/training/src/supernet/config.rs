//! Sizes of a supernet, and their checks.

use std::collections::BTreeMap;

use moe::config;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{architecture::SupernetSpace, genes::ArchitectureChoice};

/// The architectures that a training step uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// A random architecture (AutoMoE, HAT).
    Single,
    /// A random architecture, the largest and the smallest, on the same examples (Mixture-of-Supernets).
    Sandwich,
}

/// The mixture of feed-forward weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixtureKind {
    /// No mixture: one set of weights.
    None,
    /// One weight for each set in a layer.
    Layer,
    /// One weight for each set and each output of a map.
    Neuron,
}

/// The input of the router of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixtureEmbedding {
    /// The sizes of the architecture.
    Architecture,
    /// A constant: the control in the paper's code.
    Constant,
}

config! {
    /// A mixture of supernets.
    pub struct MixtureConfig {
        /// The kind of mixture of weights.
        pub kind: MixtureKind = MixtureKind::None,
        /// The number of sets of feed-forward weights, m.
        pub sets: usize = 2,
        /// The hidden width of the routers.
        pub hidden: usize = 128,
        /// The input of the routers.
        pub embedding: MixtureEmbedding = MixtureEmbedding::Architecture,
        /// Whether the maps of bottlenecks are mixed too.
        pub bottleneck: bool = false,
    }
}

/// The layers over which the balance of experts is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceOver {
    /// Each layer separately.
    Layer,
    /// All layers of the encoder, and all of the decoder, as in the published code.
    Side,
}

config! {
    /// The routing of layers of several experts (`switch.rs`).
    pub struct SupernetRouting {
        /// The number of experts of a token, k; all experts of a layer that has fewer.
        pub k: usize = 1,
        /// Whether outputs are multiplied by probabilities; if not, by 1 with the gradient of the
        /// probability.
        pub scaled: bool = true,
        /// The largest number of tokens of an expert, relative to an equal share; if none, no tokens are
        /// dropped.
        pub capacity_factor: Option<f64> = None,
        /// Whether the first of several experts is the identity.
        pub identity: bool = false,
        /// The layers over which the balance loss is computed: `"layer"`, or `"side"` as in the published
        /// code.
        pub balance_over: BalanceOver = BalanceOver::Layer,
    }
}

impl SupernetRouting {
    /// Whether an expert of a layer of `n` is the identity.
    pub(super) fn is_identity(&self, e: usize, n: usize) -> bool {
        self.identity && n > 1 && e == 0
    }

    /// The value of `of` for each expert of a layer of this width and these hidden widths; 0 for the
    /// identity.
    pub(super) fn each(&self, d: usize, hidden: &[usize], of: fn([usize; 2]) -> f64) -> Vec<f64> {
        let n = hidden.len();
        let of = |(e, h): (usize, &usize)| if self.is_identity(e, n) { 0.0 } else { of([d, *h]) };
        hidden.iter().enumerate().map(of).collect()
    }

    fn check(&self) -> Result<(), String> {
        let Self { k, capacity_factor, .. } = *self;
        if k == 0 {
            return Err("switch.k = 0: must be at least 1".into());
        }
        if k > 1 && !self.scaled {
            return Err(format!("switch.scaled = false: needs switch.k = 1, not {k}"));
        }
        let Some(factor) = capacity_factor else { return Ok(()) };
        if k > 1 {
            return Err(format!("switch.capacity_factor = {factor}: needs switch.k = 1, not {k}"));
        }
        match factor.is_finite() && factor > 0.0 {
            true => Ok(()),
            false => Err(format!("switch.capacity_factor = {factor}: must be above 0")),
        }
    }
}

config! {
    /// Sizes of a supernet.
    pub struct SupernetConfig {
        /// The space of architectures.
        pub space: SupernetSpace = SupernetSpace::default(),
        /// The architecture: `sampled` in training, `largest`, `smallest`, or its genes; genes that are left
        /// out have the largest value.
        pub architecture: ArchitectureChoice = ArchitectureChoice::default(),
        /// The architectures that a training step uses if they are sampled.
        pub paths: Paths = Paths::Single,
        /// Whether the network has only the weights of its one architecture.
        pub alone: bool = false,
        /// Sets of feed-forward weights that are mixed depending on the architecture.
        pub mixture: MixtureConfig = MixtureConfig::default(),
        /// The total width of queries, keys and values, which is divided among the heads.
        pub inner: usize = 32,
        /// The probability that a number of a branch, or of the embedded tokens, is dropped in training, at
        /// the largest width.
        pub dropout: f64 = 0.1,
        /// The factor on this probability after a layer of several experts; the product is at most 1.
        pub expert_dropout_ratio: f64 = 1.0,
        /// The coefficient of the balance loss.
        pub balance: f64 = 0.0,
        /// The routing of layers of several experts.
        pub switch: SupernetRouting = SupernetRouting::default(),
        /// The initial standard deviation of feed-forward weights, relative to the usual one.
        pub feed_forward_scale: f64 = 1.0,
        /// Whether a token of a text sees only the tokens before it.
        pub causal: bool = true,
        /// The number that norms add to the mean square before they divide.
        pub epsilon: f64 = 1e-5,
    }
}

impl SupernetConfig {
    /// Checks that a network of this config can take the weights of a supernet of another config: an
    /// architecture is cut from the space in which it was trained.
    pub(super) fn cut_from(&self, supernet: &Self) -> Result<(), String> {
        let sizes = |config: &Self| -> BTreeMap<String, Value> {
            let space = serde_json::to_value(&config.space).unwrap_or_default();
            let space = space.as_object().cloned().unwrap_or_default();
            let of_space = space.into_iter().map(|(key, value)| (format!("space.{key}"), value));
            let identity = Value::from(config.switch.identity);
            let others = [("inner", Value::from(config.inner)), ("switch.identity", identity)];
            of_space.chain(others.map(|(key, value)| (key.to_string(), value))).collect()
        };
        let (here, there) = (sizes(self), sizes(supernet));
        match here.iter().find(|(key, value)| there[*key] != **value) {
            Some((key, value)) => Err(format!(
                "{key} = {value}: the supernet that provides the weights has {}",
                there[key]
            )),
            None => Ok(()),
        }
    }

    /// The mixture, if it has one.
    pub(super) fn mixed(&self) -> Option<&MixtureConfig> {
        (self.mixture.kind != MixtureKind::None).then_some(&self.mixture)
    }

    /// Checks that the sizes fit each other.
    pub(super) fn check(&self) -> Result<(), String> {
        self.space.check()?;
        self.switch.check()?;
        for heads in &self.space.heads {
            if self.space.bottleneck.is_none() && !self.inner.is_multiple_of(*heads) {
                return Err(format!("space.heads: {heads} does not divide inner = {}", self.inner));
            }
        }
        backbones::seq2seq::check_dropout("dropout", self.dropout)?;
        let ranges = [
            ("expert_dropout_ratio", self.expert_dropout_ratio),
            ("balance", self.balance),
            ("feed_forward_scale", self.feed_forward_scale),
        ];
        if let Some((key, value)) = ranges.iter().find(|(_, x)| !(x.is_finite() && *x >= 0.0)) {
            return Err(format!("{key} = {value}: must be at least 0"));
        }
        if !(1e-30..=1.0).contains(&self.epsilon) {
            return Err(format!("epsilon = {}: must be from 1e-30 to 1", self.epsilon));
        }
        if self.alone && self.architecture == ArchitectureChoice::default() {
            return Err("alone: architecture = \"sampled\": expected a single architecture".into());
        }
        let Some(mixture) = self.mixed() else { return Ok(()) };
        if mixture.sets == 0 || mixture.hidden == 0 {
            return Err("mixture: sets and hidden must be at least 1".into());
        }
        if mixture.bottleneck && self.space.bottleneck.is_none() {
            return Err("mixture.bottleneck: needs space.bottleneck".into());
        }
        if self.alone {
            return Err(
                "mixture: cannot be combined with alone, which has one set of weights".into()
            );
        }
        match self.space.experts.iter().all(|n| *n == 1) {
            true => Ok(()),
            false => {
                Err(format!("mixture: needs space.experts = [1], not {:?}", self.space.experts))
            }
        }
    }
}
