//! Selects the variant of a router where the paper and the published code differ.

use serde::{Deserialize, Serialize};

/// The variant that a router implements where paper and published code disagree. The router's file
/// says how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Faithful {
    /// The formulas of the paper.
    #[default]
    Paper,
    /// The published code.
    Reference,
}
