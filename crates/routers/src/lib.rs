//! Routing algorithms, one file each.
//!
//! A file reads like the paper's method section: citation, numbered equations, what differs; then
//! the hyperparameters, the router, and its tests. Lines of code carry the numbers of equations.
//! What routers share stands in files of its own: no router's file uses another's.

pub mod conformance;

mod check;
mod gate;
mod losses;
mod noise;

mod dense;
mod expert_choice;
mod hash;
mod random;
mod soft;
mod switch;
mod top_k;

pub use dense::Dense;
pub use expert_choice::{ExpertChoice, ExpertChoiceConfig};
pub use hash::{Hash, HashConfig};
pub use random::{Random, RandomConfig};
pub use soft::{Soft, SoftConfig};
pub use switch::{Switch, SwitchConfig};
pub use top_k::{TopK, TopKConfig, Weights};

use moe::{Library, Routers};

/// All routers. The list is the table of contents.
pub fn all() -> Routers {
    Library::default()
        .routers
        // Units choose.
        .with::<TopK>()
        .with::<Switch>()
        // Experts choose, or everything is mixed.
        .with::<ExpertChoice>()
        .with::<Soft>()
        // Nothing is learned: baselines.
        .with::<Hash>()
        .with::<Random>()
        // Every expert works: a bound.
        .with::<Dense>()
}
