//! {Name}: say in one sentence what is asked. `cargo run --release -p {name}` answers it.

use lab::prelude::*;

config! {
    /// How {Name} is tuned.
    pub struct {Name}Config {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Say in one sentence what it does.
#[derive(Module, Debug)]
struct {Name} {
    gate: Linear,
    k: usize,
}

impl Router for {Name} {
    type Config = {Name}Config;
    const NAME: &'static str = "{name}";
    const ABOUT: &'static str = "say in one line what it does";

    fn check(config: &{Name}Config, dims: Dims) -> Result<(), String> {
        match config.k {
            k if k == 0 || k > dims.n_experts => {
                Err(format!("k = {k}: it is from 1 to experts = {}", dims.n_experts))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &{Name}Config, dims: Dims, init: &Init) -> Self {
        Self { gate: init.linear("gate", dims.width, dims.n_experts, false), k: config.k }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(units), 2);
        let [_, _, n_experts] = p.dims();
        let (experts, weights) = top_k(p, self.k);
        Plan::TokenChoice { experts, weights, n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        2.0 * self.gate.weight.lazy_shape().num_elements() as f64
    }
}

fn main() -> ExitCode {
    let plugins = Plugins::default().with_router::<{Name}>();
    lab::main(plugins, &[lab::suite!("{name}", "../suite.toml")])
}

#[test]
fn it_is_a_router() {
    let routers = Plugins::default().with_router::<{Name}>().library.routers;
    conformance::check(&routers, &Choice::of("{name}"), &Device::flex()).unwrap();
}
