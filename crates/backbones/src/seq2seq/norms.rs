//! The norm of an encoder-decoder.
//!
//! Ba, Kiros, Hinton. *Layer Normalization*. 2016. <https://arxiv.org/abs/1607.06450>
//! Zhang, Sennrich. *Root Mean Square Layer Normalization*. NeurIPS 2019. <https://arxiv.org/abs/1910.07467>,
//! as in T5: the mean is not subtracted, and there is no shift.

use moe::Init;
use serde::{Deserialize, Serialize};

use crate::Norm;

/// The kind of all norms of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Mean 0 and variance 1.
    Layer,
    /// Root mean square 1.
    Rms,
}

impl NormKind {
    /// A fresh norm.
    pub(crate) fn make(self, init: &Init, name: &str, width: usize, epsilon: f64) -> Norm {
        match self {
            Self::Layer => Norm::layer(init, name, width, epsilon),
            Self::Rms => Norm::rms(init, name, width, epsilon),
        }
    }

    /// Whether this is the default, a layer norm.
    pub(crate) fn is_layer(&self) -> bool {
        *self == Self::Layer
    }
}
