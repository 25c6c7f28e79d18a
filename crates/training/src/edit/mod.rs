//! EDiT: workers take local steps, and synchronise at regular intervals.
//!
//! Cheng et al. *EDiT: A Local-SGD-Based Efficient Distributed Training Method for Large Language
//! Models*. ICLR 2025. <https://arxiv.org/abs/2412.07210>; used for Ling, *Every FLOP Counts*, 2025,
//! section 4. <https://arxiv.org/abs/2503.05139>
//!
//! For `warmup` steps the workers share one network: each computes its part of the step's examples, and the
//! mean of their gradients updates the weights. After that each has a separate network and optimizer. After
//! every `local_steps` steps, for each layer:
//!
//! ```text
//! D_k = anchor - theta_k,  G_k = |D_k|                      the pseudo-gradient of worker k
//! G_k is an outlier for worker k:  D_k = 0,  G_k += 10^6     penalty = "edit" only
//! w = softmax(-G / temperature),  D = sum of w_k D_k         mean: w_k = 1 / count
//! D *= min(1, clip / (|D| + 10^-6))
//! m = momentum m + D;  anchor -= lr (D + momentum m);  all theta_k = anchor
//! ```
//!
//! If every worker is anomalous in a layer, its anchor does not change. `outer.rs` has this arithmetic, and
//! `local_sgd.rs` the workers.
//!
//! The workers are simulated: they run one after the other in one process, so that the same seed gives the
//! same bits.
//!
//! Differences:
//! - A layer is what the published code synchronises at once, a block; here it is everything below one
//!   block's number, or one part of the network that is no block.
//! - State that no gradient moves (a router's bias) is merged with the weights of its layer, without clipping
//!   and momentum. The paper does not mention it.
//! - With `edit` a worker whose numbers are not finite is anomalous, and its optimizer is reset.
//! - As in the published code for DDP, outliers do not update the detector; in the code for FSDP they do. A
//!   worker whose lengths increase permanently may therefore be excluded for good; a test in `outer.rs` shows
//!   it. If outliers updated the detector, frequent faults would be treated as normal.

mod fault;
mod layers;
mod local_sgd;
mod outer;
#[cfg(test)]
mod tests;

pub(crate) use fault::corrupted;
pub(crate) use local_sgd::LocalSgd;
pub use outer::{Detector, outer_step, weights};
