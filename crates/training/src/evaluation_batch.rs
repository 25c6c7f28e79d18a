//! The batch of evaluations.

/// The number of examples in a batch of an evaluation, and of everything that is compared with one. It is
/// fixed, so that routers whose units compete across a batch are all measured in the same way.
pub const EVALUATION_BATCH: usize = 64;
