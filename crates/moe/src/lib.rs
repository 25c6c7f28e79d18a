//! The vocabulary of Mixture-of-Experts: who decides, who works, and how the two meet.
//!
//! A [`Router`] looks at units and returns a [`Plan`]: who goes where, and with what weight. It
//! never moves data. A [`MoeLayer`] asks its router, applies its [`Capacity`], and has an
//! [`Engine`] carry the plan out with its [`Experts`]. What layers share during one forward pass
//! travels in the [`Pass`]; there is no other state, and nothing global.
//!
//! Letters in shapes: G groups, U units per group, D width, E experts, K choices per unit, C slots
//! per expert and group, S slots per expert over all groups, P payload moved for one unit;
//! B, T, H, V batch, tokens, hidden width, vocabulary.
//!
//! This crate knows no router, expert or residual rule by name.

// `config!` names this crate by its name, so that it works from here and from everywhere else.
extern crate self as moe;

mod boxed;
mod capacity;
mod config;
mod diversity;
mod engine;
mod expert_dtype;
mod experts;
mod init;
mod input;
mod layer;
mod layer_report;
mod level;
mod padding;
mod parameters;
mod pass;
mod placement;
mod plan;
mod pruned;
mod queue;
mod registry;
mod residual;
mod router;
mod routing_probe;
mod shared;
#[cfg(test)]
mod testing;
mod token_rounding;

pub use boxed::{AnyMapper, AnyVisitor, Boxed, Erased, Plug, Socket};
pub use capacity::{Capacity, DropPolicy, round_up};
pub use config::{Choice, Hyper, NoConfig};
pub use engine::Engine;
pub use expert_dtype::ExpertDtype;
pub use experts::{AnyExperts, BuildExperts, DynExperts, ExpertKinds, Experts, ExpertsSocket};
pub use init::{Init, Scheme, stable_hash};
pub use input::{Domain, Input};
/// What [`Experts::stack`] gives.
pub use kernels;
pub use kernels::{linear, matmul, mean, softmax, sum, top_k_indices};
pub use layer::{Library, MoeConfig, MoeLayer};
pub use layer_report::LayerReport;
pub use level::Level;
pub use padding::RealTokens;
pub use parameters::{Parameter, numbers_of, parameters, with_parameters};
pub use pass::{BlockInput, Clusters, Condition, Pass, RouterLogits, SkipTopExperts, TokenIds};
pub use placement::Placement;
pub use plan::{Plan, counts, one_hot, top_k};
pub use pruned::{Gone, Pruned};
pub use registry::{ConfigError, Entry, Registry, read};
pub use residual::{
    AnyResidual, BuildResidual, DynResidual, ResidualRule, ResidualRules, ResidualSocket, Visit,
};
pub use router::{AnyRouter, BuildRouter, Dims, DynRouter, Router, RouterSocket, Routers};
pub use routing_probe::{LayerCapture, RoutingProbe};
#[doc(hidden)]
pub use serde;
pub use shared::{Shared, SharedConfig};
pub use token_rounding::Rounding;
