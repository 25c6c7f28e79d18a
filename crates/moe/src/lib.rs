//! The interfaces of Mixture-of-Experts: routers, plans, capacity, experts, engines and the layer.
//!
//! A [`Router`] scores units and returns a [`Plan`]: the experts of each unit, with weights. It
//! never moves data. A [`MoeLayer`] calls its router, applies its [`Capacity`], and executes the plan
//! with its [`Experts`] by an [`Engine`]. State that layers share during one forward pass
//! is in the [`Pass`]; there is no other state, and nothing global.
//!
//! Letters in shapes: G groups, U units per group, D width, E experts, K choices per unit, C slots
//! per expert and group, S slots per expert over all groups, P payload moved for one unit;
//! B, T, H, V batch, tokens, hidden width, vocabulary.
//!
//! This crate is independent of the routers, experts and residual rules of the library.

// `config!` names this crate by its name, so that the macro works in this crate and in every other.
extern crate self as moe;

mod capacity;
mod engine;
mod experts;
mod layer;
mod plugin;
mod routing;
#[cfg(test)]
mod testing;

pub use capacity::{Capacity, DropPolicy, round_up};
pub use engine::{Engine, ExpertShard, expert_parallel};
pub use experts::{
    AnyExperts, BuildExperts, DynExperts, ExpertDtype, ExpertKinds, Experts, ExpertsSocket,
};
/// The crate of [`Experts::stack`]'s type.
pub use kernels;
pub use kernels::{linear, matmul, mean, read_back, softmax, sum, top_k_indices};
pub use layer::{
    AnyResidual, BuildResidual, DynResidual, Gone, LayerCapture, Library, MoeConfig, MoeLayer,
    Placement, Pruned, RealTokens, ResidualRule, ResidualRules, ResidualSocket, RoutingProbe,
    Shared, SharedConfig, Visit, expert_parameters,
};
pub use plugin::{
    AnyMapper, AnyVisitor, Boxed, Choice, ConfigError, Entry, Erased, Hyper, Init, NoConfig,
    Parameter, PathMapper, PathVisitor, Plug, Registry, Scheme, Socket, map_paths, numbers_of,
    parameters, read, stable_hash, typed, visit_paths, with_parameters,
};
pub use routing::{
    AnyRouter, BlockInput, BuildRouter, Clusters, Condition, Dims, Domain, DynRouter,
    ExampleIndices, Input, LayerReport, Level, Pass, Plan, Router, RouterLogits, RouterSocket,
    Routers, SequencePair, SkipTopExperts, TokenIds, counts, one_hot, top_k,
};
#[doc(hidden)]
pub use serde;
