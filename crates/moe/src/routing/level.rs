//! The level of routing, which defines the units.

use serde::{Deserialize, Serialize};

/// The level of routing: the piece of the input that is one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Each token by itself; the tokens of one sequence are a group.
    #[default]
    Token,
    /// A whole sequence or image, scored by the mean of its tokens (Mobile V-MoE).
    Sequence,
    /// The whole batch, scored by a [`crate::Condition`] of this width, which is in the pass
    /// (Mixture-of-Supernets).
    Batch(usize),
    /// Each of this many slices of a token separately (multi-head MoE).
    Heads(usize),
}

impl Level {
    /// The width of the router's input, for tokens of `width`.
    pub fn router_width(self, width: usize) -> usize {
        match self {
            Level::Token | Level::Sequence => width,
            Level::Batch(code) => code,
            Level::Heads(h) => width / h,
        }
    }

    /// The number of units of a group, for sequences of `tokens`. At sequence level the batch is the
    /// group; its size is not known beforehand, so the number is 1.
    pub fn units(self, tokens: usize) -> usize {
        match self {
            Level::Token => tokens,
            Level::Heads(h) => tokens * h,
            Level::Sequence | Level::Batch(_) => 1,
        }
    }

    /// The width of the rows that experts work on.
    pub fn expert_width(self, width: usize) -> usize {
        match self {
            Level::Heads(h) => width / h,
            _ => width,
        }
    }

    /// Checks that batches have the condition that the level requires; `width` is the width of the task's
    /// condition.
    pub fn check_condition(self, width: Option<usize>) -> Result<(), String> {
        match self {
            Level::Batch(code) if width != Some(code) => {
                Err(format!("level.batch = {code}: needs a task with a condition of this width"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the level fits tokens of `width`.
    pub fn check(self, width: usize) -> Result<(), String> {
        match self {
            Level::Heads(h) if h == 0 || !width.is_multiple_of(h) => {
                Err(format!("level.heads = {h} does not divide the width {width}"))
            }
            Level::Batch(0) => {
                Err("level.batch = 0: must be at least 1, the width of the condition".into())
            }
            _ => Ok(()),
        }
    }
}
