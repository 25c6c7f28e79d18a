//! Routing algorithms, one file each.
//!
//! A file reads like the paper's method section: citation, numbered equations, what differs; then
//! the hyperparameters, the router, and its tests. Lines of code carry the numbers of equations.
//! What routers share stands in files of its own: no router's file uses another's.

pub mod conformance;

// What routers share.
mod balance_bias;
mod check;
mod gate;
mod load;
mod losses;
mod noise;
mod normal_cdf;
mod null;
mod state;
#[cfg(test)]
mod testing;

// Routers.
mod deepseek_v3;
mod dense;
mod expert_choice;
mod gshard;
mod hash;
mod loss_free;
mod noisy_top_k;
mod random;
mod sigmoid;
mod soft;
mod st_moe;
mod switch;
mod top_k;
mod v_moe;

pub use deepseek_v3::{DeepSeekV3, DeepSeekV3Config};
pub use dense::Dense;
pub use expert_choice::{ExpertChoice, ExpertChoiceConfig};
pub use gshard::{GShard, GShardConfig};
pub use hash::{Hash, HashConfig};
pub use loss_free::{LossFree, LossFreeConfig, Score};
pub use noisy_top_k::{NoisyTopK, NoisyTopKConfig};
pub use random::{Random, RandomConfig};
pub use sigmoid::{Sigmoid, SigmoidConfig};
pub use soft::{Soft, SoftConfig};
pub use st_moe::{StMoe, StMoeConfig};
pub use switch::{Switch, SwitchConfig};
pub use top_k::{TopK, TopKConfig, Weights};
pub use v_moe::{VMoe, VMoeConfig};

use moe::{Library, Routers};

/// All routers. The list is the table of contents.
pub fn all() -> Routers {
    Library::default()
        .routers
        // Units choose a fixed number of experts.
        .with::<TopK>()
        .with::<Switch>()
        .with::<NoisyTopK>()
        .with::<VMoe>()
        .with::<Sigmoid>()
        // Balanced by a bias instead of a loss.
        .with::<LossFree>()
        .with::<DeepSeekV3>()
        // Units choose as many experts as they need.
        .with::<GShard>()
        .with::<StMoe>()
        // Experts choose, or everything is mixed.
        .with::<ExpertChoice>()
        .with::<Soft>()
        // Nothing is learned: baselines.
        .with::<Hash>()
        .with::<Random>()
        // Every expert works: a bound.
        .with::<Dense>()
}
