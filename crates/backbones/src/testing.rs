//! Test scaffold of the backbones.

use burn::{
    module::Module,
    optim::{GradientsParams, SgdConfig},
    prelude::*,
};
use moe::{Choice, Dims, Domain, Init, Input, Library, MoeConfig, NoConfig, Pass, Plan, Router};

pub(crate) use crate::worked::fill;
use crate::{Backbone, BackboneSpec};

/// A router that sends every unit to expert 0.
#[derive(Module, Debug)]
struct First {
    n_experts: usize,
}

impl Router for First {
    type Config = NoConfig;
    const NAME: &'static str = "first";
    const ABOUT: &'static str = "";

    fn init(_config: &NoConfig, dims: Dims, _init: &Init) -> Self {
        Self { n_experts: dims.n_experts }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let [g, u, _] = units.dims();
        let device = units.device().inner();
        Plan::TokenChoice {
            experts: Tensor::zeros([g, u, 1], &device),
            weights: Tensor::ones([g, u, 1], &device),
            n_experts: self.n_experts,
        }
    }

    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

/// A library with that one router, and MoE layers that use it.
pub(crate) fn library() -> (Library, MoeConfig) {
    let empty = Library::default();
    let library = Library {
        routers: empty.routers.with::<First>(),
        experts: experts::all(),
        residuals: residuals::all(),
    };
    (library, MoeConfig { router: Choice::of("first"), experts: 2, ..MoeConfig::default() })
}

/// A spec with three classes.
pub(crate) fn spec<'a>(
    domain: Domain,
    moe: &'a MoeConfig,
    library: &'a Library,
) -> BackboneSpec<'a> {
    BackboneSpec { domain, outputs: 3, moe, library }
}

/// Checks that twenty steps of plain gradient descent on the squared outputs reduce them.
pub(crate) fn loss_falls<N: Backbone>(network: N, input: Input, outputs: usize) {
    loss_falls_with(0.05, network, input, outputs);
}

/// The same with this learning rate.
pub(crate) fn loss_falls_with<N: Backbone>(
    rate: f64,
    mut network: N,
    input: Input,
    outputs: usize,
) {
    let mut optimizer = SgdConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..20 {
        let mut pass = Pass::train(0, step, 0.0);
        let y = network.forward(&mut pass, input.clone());
        assert_eq!(y.dims()[1], outputs);
        let loss = (y - 1.0).square().mean();
        losses.push(loss.clone().into_scalar::<f32>());
        let grads = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(rate, network, grads);
    }
    assert!(losses[19] < 0.5 * losses[0], "{}: {losses:?}", N::NAME);
}
