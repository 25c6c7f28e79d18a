//! Expert pruning: scores of the experts of a trained network, and the transfer of weights to the smaller
//! one.
//!
//! Chowdhury, Wang, El Maghraoui, Wang, Chen, Carothers. *A Provably Effective Method for Pruning
//! Experts in Fine-tuned Sparse Mixture-of-Experts*. ICML 2024. <https://arxiv.org/abs/2405.16646>
//!
//! A network is trained, then fine-tuned. For expert s of a layer with the router's vectors w:
//!
//! Delta_s = ||w_s fine-tuned|| - ||w_s before||          the signed difference of the lengths
//!
//! Within each layer, the experts with the smallest Delta are pruned: [`PruningRule`] computes the scores,
//! [`Ratio`] the number of pruned experts, and [`carry`] transfers the weights. `moe::Gone` is the
//! treatment of choices of pruned experts. With [`PruningRule::Merge`] experts are averaged in groups
//! instead of dropped: [`clusters_in_groups`], [`merged`].

mod carry;
mod merge;
mod norms;
mod ratio;
mod rule;
mod upcycle;
mod walk;

pub use carry::carry;
pub use merge::{clusters_in_groups, dominant, merged};
pub use norms::{LayerNorms, norms};
pub use ratio::{Ratio, keep_in_groups};
pub use rule::{Evidence, PruningRule};
pub use upcycle::{UpcycleConfig, divided, factor, upcycle};
