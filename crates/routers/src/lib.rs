//! Routing algorithms, one file each.
//!
//! A file reads like the paper's method section: citation, numbered equations, differences; then the
//! hyperparameters, the router, and its tests. Lines of code have the numbers of equations. Shared parts
//! are in [`kit`], which other crates may use too: no router's file uses that of another.

pub mod conformance;
pub mod kit;

#[cfg(test)]
mod testing;

// Routers.
mod ada_moe;
mod base;
mod deepseek_v2;
mod deepseek_v3;
mod dense;
mod dselect_k;
mod expert_choice;
mod expert_threshold;
mod frozen;
mod gshard;
mod hash;
mod hyper_router;
mod lory;
mod loss_free;
mod mixture_of_tokens;
mod mobile_v_moe;
mod moe_plus_plus;
mod noisy_top_k;
mod oracle;
mod peer;
mod perturbed_cosine;
mod quantile_balancing;
mod random;
mod remoe;
mod replay;
mod round_robin;
mod seq_top_k;
mod sigmoid;
mod sinkhorn;
mod smear;
mod soft;
mod sparse_transport;
mod st_moe;
mod switch;
mod tc_moe;
mod top_k;
mod top_p;
mod top_tokens;
mod v_moe;
mod warm_up;
mod x_moe;

pub use kit::{Balance, Faithful, Recorded, TraceFile};

pub use deepseek_v2::{DeepSeekV2, DeepSeekV2Config};
pub use deepseek_v3::{DeepSeekV3, DeepSeekV3Config};
pub use dense::Dense;
pub use expert_choice::{ExpertChoice, ExpertChoiceConfig};
pub use gshard::{GShard, GShardConfig};
pub use hash::{Hash, HashConfig};
pub use loss_free::{LossFree, LossFreeConfig, ScoreFunction};
pub use mobile_v_moe::{ImageSummary, MobileVMoe, MobileVMoeConfig};
pub use moe_plus_plus::{MoePlusPlus, MoePlusPlusConfig};
pub use noisy_top_k::{NoisyTopK, NoisyTopKConfig};
pub use random::{Random, RandomConfig};
pub use sigmoid::{Sigmoid, SigmoidConfig};
pub use soft::{Soft, SoftConfig};
pub use st_moe::{StMoe, StMoeConfig};
pub use switch::{Switch, SwitchConfig};
pub use top_k::{TopK, TopKConfig, Weights};
pub use v_moe::{VMoe, VMoeConfig};

pub use ada_moe::{AdaMoe, AdaMoeConfig};
pub use base::Base;
pub use dselect_k::{DSelectK, DSelectKConfig};
pub use expert_threshold::{ExpertThreshold, ExpertThresholdConfig};
pub use frozen::{Frozen, FrozenConfig};
pub use hyper_router::{HyperRouter, HyperRouterConfig};
pub use lory::{First, Lory, LoryConfig};
pub use mixture_of_tokens::{MixtureOfTokens, MixtureOfTokensConfig};
use moe::{Library, Routers};
pub use oracle::Oracle;
pub use peer::{Peer, PeerConfig};
pub use perturbed_cosine::{PerturbedCosine, PerturbedCosineConfig};
pub use quantile_balancing::{QuantileBalancing, QuantileBalancingConfig};
pub use remoe::{ReMoe, ReMoeConfig};
pub use replay::{Replay, ReplayConfig, ReplayWeights};
pub use round_robin::{RoundRobin, RoundRobinConfig};
pub use seq_top_k::{SeqTopK, SeqTopKConfig};
pub use sinkhorn::{Sinkhorn, SinkhornConfig};
pub use smear::Smear;
pub use sparse_transport::{SparseTransport, SparseTransportConfig};
pub use tc_moe::{TcMoe, TcMoeConfig};
pub use top_p::{TopP, TopPConfig};
pub use top_tokens::{TopTokens, TopTokensConfig};
pub use warm_up::{Inside, WarmUp, WarmUpConfig};
pub use x_moe::{XMoe, XMoeConfig};

/// All routers. The list is the table of contents of this crate.
pub fn all() -> Routers {
    Library::default()
        .routers
        // Units choose a fixed number of experts.
        .with::<TopK>()
        .with::<Switch>()
        .with::<NoisyTopK>()
        .with::<VMoe>()
        .with::<MobileVMoe>()
        .with::<DeepSeekV2>()
        .with::<Sigmoid>()
        .with::<XMoe>()
        .with::<PerturbedCosine>()
        .with::<HyperRouter>()
        .with::<MoePlusPlus>()
        .with::<Peer>()
        // A wrapper for any of the routers with scores, which fade in.
        .with::<WarmUp>()
        // Balanced by a bias instead of a loss.
        .with::<LossFree>()
        .with::<DeepSeekV3>()
        .with::<QuantileBalancing>()
        // Units choose as many experts as they need.
        .with::<GShard>()
        .with::<StMoe>()
        .with::<DSelectK>()
        .with::<TopP>()
        .with::<ReMoe>()
        .with::<AdaMoe>()
        .with::<TcMoe>()
        .with::<SeqTopK>()
        // Units are assigned to experts in equal numbers, in training.
        .with::<Sinkhorn>()
        .with::<Base>()
        .with::<SparseTransport>()
        // Experts choose, or everything is mixed.
        .with::<ExpertChoice>()
        .with::<ExpertThreshold>()
        .with::<TopTokens>()
        .with::<Soft>()
        .with::<MixtureOfTokens>()
        // Experts are merged into one.
        .with::<Lory>()
        .with::<Smear>()
        // Recorded choices are repeated.
        .with::<Replay>()
        // Nothing is learned: baselines.
        .with::<Hash>()
        .with::<Frozen>()
        .with::<Random>()
        .with::<RoundRobin>()
        // Bounds: every expert processes every unit, or the right expert is known.
        .with::<Dense>()
        .with::<Oracle>()
}
