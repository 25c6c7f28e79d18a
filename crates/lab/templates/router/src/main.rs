//! Sample: one sentence on what is tested. `cargo run --release -p sample` runs it.

use lab::prelude::*;

config! {
    /// Hyperparameters of the router.
    pub struct SampleConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.01,
    }
}

/// Each unit goes to its k most probable experts.
#[derive(Module, Debug)]
struct Sample {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: SampleConfig,
}

impl Router for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "top-k by a linear gate";

    fn check(config: &SampleConfig, dims: Dims) -> Result<(), String> {
        kit::check::k(config.k, dims)?;
        kit::check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        kit::check::coefficient("balance", config.balance)
    }

    fn init(config: &SampleConfig, dims: Dims, init: &Init) -> Self {
        let balance = BalanceLoss::new(Balance::Choices, dims, init);
        Self { gate: Gate::new(dims, init), balance, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let s = self.gate.forward(pass, units); // [G, U, E]
        let n_experts = s.dims()[2];
        let experts = kit::scores::best(pass, s.clone(), self.config.k); // [G, U, K]
        let weights = softmax(s.clone().gather(2, experts.clone()), 2);
        self.balance.add(pass, self.config.balance, softmax(s, 2), experts.clone());
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sample", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_router::<Sample>()
}

#[test]
fn it_is_a_router() {
    let routers = plugins().library.routers;
    conformance::check(&routers, &Choice::of("sample"), &Device::flex()).unwrap();
}
