//! The unit of routing.

use serde::{Deserialize, Serialize};

/// The unit of routing: what is routed as one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Each token by itself; the tokens of one sequence are a group.
    #[default]
    Token,
    /// A whole sequence or image, scored by the mean of its tokens (Mobile V-MoE).
    Sequence,
    /// The whole batch, scored by a [`crate::Condition`] of this width in the pass
    /// (Mixture-of-Supernets).
    Batch(usize),
    /// Each of this many slices of a token by itself (multi-head MoE).
    Heads(usize),
}

impl Level {
    /// The width of what the router scores, for tokens of `width`.
    pub fn router_width(self, width: usize) -> usize {
        match self {
            Level::Token | Level::Sequence => width,
            Level::Batch(code) => code,
            Level::Heads(h) => width / h,
        }
    }

    /// The units of a group, for sequences of `tokens`. At sequence level the batch is the group, and
    /// its size is not known beforehand; it counts 1.
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

    /// Checks that batches have the condition that the level scores; `width` is that of the task.
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
