//! Papers and the code published with them do not always agree.

use serde::{Deserialize, Serialize};

/// Where they disagree, which of them a router follows. Its file says how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Faithful {
    /// The formulas of the paper.
    #[default]
    Paper,
    /// The published code.
    Reference,
}
