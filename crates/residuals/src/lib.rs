//! Rules by which a layer's output joins the stream, one file each.

mod add;

pub use add::Add;

use moe::{Library, ResidualRules};

/// All residual rules. The list is the table of contents.
pub fn all() -> ResidualRules {
    Library::default().residuals.with::<Add>()
}
