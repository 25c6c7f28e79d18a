//! Rules that add a layer's output to the residual stream, one file each.

mod adam;
mod add;
mod complex;
mod heavy_ball;
mod learned;
mod moment;
mod nag;
mod negative;
mod restart;
mod rms_prop;
mod robust;
mod sam;
mod sign;
mod stability;
#[cfg(test)]
mod testing;

pub use adam::{Adam, AdamConfig};
pub use add::Add;
pub use complex::{Complex, ComplexConfig};
pub use heavy_ball::{HeavyBall, HeavyBallConfig};
pub use learned::{Learned, LearnedConfig};
pub use nag::{Nag, NagConfig};
pub use negative::{Negative, NegativeConfig};
pub use restart::{Restart, RestartConfig};
pub use rms_prop::{RmsProp, RmsPropConfig};
pub use robust::{Robust, RobustConfig};
pub use sam::{Sam, SamConfig};
pub use sign::{Sign, SignConfig};
pub use stability::growth;

use moe::{Library, ResidualRules};

/// All residual rules. The list is the table of contents of this crate.
pub fn all() -> ResidualRules {
    Library::default()
        .residuals
        .with::<Add>()
        .with::<HeavyBall>()
        .with::<Adam>()
        .with::<Robust>()
        .with::<Nag>()
        .with::<RmsProp>()
        .with::<Sign>()
        .with::<Negative>()
        .with::<Complex>()
        .with::<Restart>()
        .with::<Sam>()
        .with::<Learned>()
}
