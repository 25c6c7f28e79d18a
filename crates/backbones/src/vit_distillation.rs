//! The distillation token of a vision transformer that learned from a teacher, and its head.
//!
//! Touvron et al. *Training data-efficient image transformers & distillation through attention*. ICML 2021.
//! <https://arxiv.org/abs/2012.12877>
//!
//! z_0 = [x_class; x_distill; x_1 E; ...; x_N E] + E_pos     (section 4, figure 2)
//! y   = (head(LN(z_L)_0) + head_distill(LN(z_L)_1)) / 2
//!
//! Differs from the paper: it adds the softmax of both heads; here, as in its published code and in the
//! transformers library, it is the mean of the scores. There is no teacher here, so that this mean is trained
//! too; the paper trains one head with the label and the other with the teacher's label.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::Init;

/// The token for distillation, which follows the class token.
#[derive(Module, Debug)]
pub(crate) struct Distillation {
    /// `[1, 1, D]`.
    pub(crate) token: Param<Tensor<3>>,
    /// `[D, outputs]`.
    pub(crate) head: Linear,
}

impl Distillation {
    /// A fresh token and a head from `width` numbers to `outputs`.
    pub(crate) fn new([width, outputs]: [usize; 2], init: &Init) -> Self {
        Self {
            token: init.constant("distillation", [1, 1, width], 0.0),
            head: init.linear("distillation_head", width, outputs, true),
        }
    }

    /// The scores, `[B, 1, outputs]`, from the last stream after its norm, `[B, N, D]`.
    pub(crate) fn scores(&self, z: Tensor<3>) -> Tensor<3> {
        linear_layer(&self.head, z.narrow(1, 1, 1))
    }
}
