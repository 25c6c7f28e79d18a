//! Does it help a router to remember the layer before? `cargo run --release -p sticky-routing`
//! answers it; see README.md. This file is the page to copy for a router of your own.

use lab::prelude::*;

config! {
    /// How sticky the routing is.
    pub struct StickyConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The share of the layer before in a layer's probabilities.
        pub stick: f64 = 0.5,
    }
}

/// Top-k of p = (1 - stick) softmax(W x) + stick p', where p' is the p of the layer before.
#[derive(Module, Debug)]
struct Sticky {
    gate: Linear,
    k: usize,
    stick: f64,
}

/// What the layer before preferred, `[G, U, E]`.
struct Last(Tensor<3>);

impl Router for Sticky {
    type Config = StickyConfig;
    const NAME: &'static str = "sticky";
    const ABOUT: &'static str = "top-k that remembers what the layer before preferred";

    fn check(config: &StickyConfig, dims: Dims) -> Result<(), String> {
        match config.k {
            k if k == 0 || k > dims.n_experts => {
                Err(format!("k = {k}: it is from 1 to experts = {}", dims.n_experts))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &StickyConfig, dims: Dims, init: &Init) -> Self {
        let gate = init.linear("gate", dims.width, dims.n_experts, false);
        Self { gate, k: config.k, stick: config.stick }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let mut p = softmax(self.gate.forward(units), 2);
        let n_experts = p.dims()[2];
        if let Some(Last(last)) = pass.take() {
            p = p * (1.0 - self.stick) + last * self.stick;
        }
        pass.put(Last(p.clone()));
        let (experts, weights) = top_k(p, self.k);
        let weights = weights.clone() / weights.sum_dim(2);
        Plan::TokenChoice { experts, weights, n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        2.0 * self.gate.weight.lazy_shape().num_elements() as f64
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sticky-routing", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_router::<Sticky>()
}

#[test]
fn it_is_a_router() {
    conformance::check(&plugins().library.routers, &Choice::of("sticky"), &Device::flex()).unwrap();
}
