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
//! `detector.rs` says what a spike is, `guard.rs` is the above.
//!
//! A step that is left out counts: the schedule and the stream of examples go on, and so do the tokens
//! of the ledger, those of further tries and of returned examples among them.
//!
//! The paper gives no rule of detection, no threshold and no rate; those here are choices. A loss does
//! not depend on the rate, so the third try finds what the second found, unless what damages the batch
//! has gone away; `persistent = "lower"` reads the paper's sentence so that such a step is made after
//! all, at the lower rate.
//!
//! With `faults` a training is damaged on purpose: some steps see corrupted examples when they are read,
//! each time or the first few times.

mod detector;
mod fault_impact;
mod guard;
mod quarantine;
mod states;
#[cfg(test)]
mod tests;

pub(crate) use guard::Guard;
