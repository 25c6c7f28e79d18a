//! Experts for this crate's tests.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{Activation, Ffn, slotwise};

use crate::{
    experts::Experts,
    plugin::{Init, NoConfig},
    routing::{Dims, Pass},
};

/// Two matrices, of hidden width 4, with a bias and a ReLU between them.
#[derive(Module, Debug)]
pub(crate) struct Net {
    pub(crate) w1: Param<Tensor<3>>,
    pub(crate) w2: Param<Tensor<3>>,
    pub(crate) bias: Param<Tensor<3>>,
    /// Whether the matrices are exposed to the engines.
    pub(crate) shown: bool,
}

impl Net {
    fn matrices(&self) -> Ffn {
        Ffn {
            w1: self.w1.val(),
            gate: None,
            w2: self.w2.val(),
            bias1: Some(self.bias.val()),
            bias2: None,
            activation: Activation::Relu,
        }
    }
}

impl Experts for Net {
    type Config = NoConfig;
    const NAME: &'static str = "net";
    const ABOUT: &'static str = "for tests";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        let (e, d) = (dims.n_experts, dims.width);
        Self {
            w1: init.normal("w1", [e, d, 4], 1.0),
            w2: init.normal("w2", [e, 4, d], 1.0),
            bias: init.normal("bias", [e, 1, 4], 1.0),
            shown: true,
        }
    }
    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        slotwise(slots, self.matrices())
    }
    fn stack(&self) -> Option<Ffn> {
        self.shown.then(|| self.matrices())
    }
    fn flops_per_row(&self) -> f64 {
        0.0
    }
}
