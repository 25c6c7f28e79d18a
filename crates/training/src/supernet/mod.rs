//! Supernets: one set of weights that all networks of a space share.
//!
//! Jawahar et al. *AutoMoE: Heterogeneous Mixture-of-Experts with Adaptive Computation for Efficient Neural
//! Machine Translation*. 2022. <https://arxiv.org/abs/2210.07535>
//! Jawahar et al. *Mixture-of-Supernets: Improving Weight-Sharing Supernet Training with
//! Architecture-Routed Mixture-of-Experts*. Findings of ACL 2024. <https://arxiv.org/abs/2306.04845>
//! Wang et al. *HAT: Hardware-Aware Transformers for Efficient Natural Language Processing*. ACL 2020.
//! <https://arxiv.org/abs/2005.14187>
//! Ganesan et al. *SuperShaper*. 2021. <https://arxiv.org/abs/2110.04711>: `bottleneck.rs`.
//!
//! The following are sliced from the front: the rows and columns of linear maps and their biases, norms, the
//! numbers of a token's vector and of its position (times the root of the sliced width), and the router's
//! experts. The number of heads only determines how the inner width is divided, and slices nothing. Layers
//! beyond those of an architecture are skipped. Dropout is scaled by the width over the largest width.
//!
//! A supernet is a backbone, `supernet`: the loop of `supervised.rs` trains it, each step on an architecture
//! that is drawn by seed and step (single path), or on such an architecture, the largest and the smallest
//! (sandwich). `architecture` names one of the space; with `alone` the network has only the weights of that
//! architecture.
//!
//! For text it is a decoder without a source, or an encoder (`causal = false`).
//!
//! Differs from the published code: experts and layers that a step does not use keep their weights; in the
//! published code the moments of Adam continue to move them. In a tensor of which a step uses only a part,
//! the other rows move here too.

mod architecture;
mod attention;
mod backbone;
mod bottleneck;
mod config;
mod cost;
mod embedding;
mod expert;
mod extract;
mod genes;
mod mixture;
mod network;
mod predictor;
mod sizes;
mod slices;
mod switch;

pub use architecture::{Architecture, SupernetSpace};
pub use config::{
    BalanceOver, MixtureConfig, MixtureEmbedding, MixtureKind, Paths, SupernetConfig,
    SupernetRouting,
};
pub use cost::ArchitectureCost;
pub use embedding::{features, latency_features};
pub use expert::Expert;
pub use genes::{ArchitectureChoice, Genes};
pub use mixture::Mixture;
pub use network::Supernet;
pub use predictor::{LatencyPredictor, PredictorConfig};
pub use switch::SwitchLayer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
