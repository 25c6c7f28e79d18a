//! Kinds of experts, one file each.
//!
//! Experts of equal shape are one stacked parameter `[E, ...]`. An expert without units therefore gets a
//! gradient of zeros rather than none: weight decay and the decay of the optimizer's moments apply to it.

mod clamped_glu;
mod conv;
mod ffn;
mod geglu;
mod lora;
mod low_rank;
mod mixed_width;
mod plus_plus;
mod signed_relu;
mod swiglu;

pub use clamped_glu::{ClampedGlu, ClampedGluConfig};
pub use conv::{Conv, ConvConfig};
pub use ffn::{Ffn, FfnActivation, FfnConfig};
pub use geglu::{Geglu, GegluConfig};
pub use lora::{BaseExpert, Lora, LoraConfig, folded};
pub use low_rank::{LowRank, LowRankConfig};
pub use mixed_width::{MixedWidth, MixedWidthConfig};
pub use plus_plus::{PlusPlus, PlusPlusConfig};
pub use signed_relu::{SignedRelu, SignedReluConfig};
pub use swiglu::{SwiGlu, SwiGluConfig};

use moe::{ExpertKinds, Library};

/// All kinds of experts. The list is the table of contents of this crate.
pub fn all() -> ExpertKinds {
    Library::default()
        .experts
        .with::<Ffn>()
        .with::<SwiGlu>()
        .with::<Geglu>()
        .with::<ClampedGlu>()
        .with::<LowRank>()
        .with::<Lora>()
        .with::<Conv>()
        // Experts of different shapes.
        .with::<MixedWidth>()
        .with::<PlusPlus>()
        // Experts from theory.
        .with::<SignedRelu>()
}
