//! Selects the variant of a router where the paper and the published code differ.

use serde::{Deserialize, Serialize};

/// The variant that a router implements if paper and published code differ. The router's file describes
/// the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Faithful {
    /// The formulas of the paper.
    #[default]
    Paper,
    /// The published code.
    Reference,
}
