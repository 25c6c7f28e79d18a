//! Loss spikes: harmful steps are detected before they are applied, retried, and skipped.
//!
//! Ling team. *Every FLOP Counts: Scaling a 300B Mixture-of-Experts LING LLM without Premium GPUs*.
//! 2025. <https://arxiv.org/abs/2503.05139>, sections 3.4.4 and 6.1.
//!
//! ```text
//! try a step: loss and gradient
//!   no spike: the optimizer's step; mean and deviation of accepted losses move
//!   a spike:  nothing moves, neither weights nor moments nor the routers' states
//!             the first time: try the same again
//!             the second time: try the same again, for a step at a tenth of the rate
//!             the third time: leave it out; its examples go into quarantine
//! every eighth step: an example from quarantine, drawn at random, joins a batch
//! ```
//!
//! `detector.rs` defines a spike, and `guard.rs` implements the above.
//!
//! A skipped step counts: the schedule and the stream of examples advance, and so do the tokens of the
//! ledger, which include those of repeated attempts and of returned examples.
//!
//! The paper gives no detection rule, no threshold and no rate; those here are our choices. A loss does not
//! depend on the rate, so the third attempt gives the same result as the second, unless the damage of the
//! batch has disappeared; `persistent = "lower"` interprets the paper's sentence such that the step is
//! executed at the lower rate anyway.
//!
//! With `faults` a training is damaged on purpose: in some steps the examples are corrupted when they are
//! read, each time or the first few times.

mod detector;
mod fault_impact;
mod guard;
mod quarantine;
mod states;
#[cfg(test)]
mod tests;

pub(crate) use guard::Guard;
