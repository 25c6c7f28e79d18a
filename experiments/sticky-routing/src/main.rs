//! Compares a router that uses the probabilities of the previous layer with top-k: `cargo run --release -p
//! sticky-routing`; see README.md. Copy this file to start a router of your own.

use lab::prelude::*;

config! {
    /// Hyperparameters of the router.
    pub struct StickyConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The share of the previous layer in a layer's probabilities; 0 gives `top-k`.
        pub stick: f64 = 0.5,
        /// Coefficient of the balance loss, as in `top-k`.
        pub balance: f64 = 0.01,
    }
}

/// Top-k of p = (1 - stick) softmax(W x) + stick p', where p' is the p of the previous layer.
#[derive(Module, Debug)]
struct Sticky {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: StickyConfig,
}

/// The probabilities of the previous layer, `[G, U, E]`.
struct Last(Tensor<3>);

impl Router for Sticky {
    type Config = StickyConfig;
    const NAME: &'static str = "sticky";
    const ABOUT: &'static str = "top-k of probabilities mixed with those of the layer before";

    fn check(config: &StickyConfig, dims: Dims) -> Result<(), String> {
        kit::check::k(config.k, dims)?;
        kit::check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        kit::check::coefficient("balance", config.balance)?;
        match (0.0..1.0).contains(&config.stick) {
            true => Ok(()),
            false => Err(format!("stick = {}: must be at least 0 and below 1", config.stick)),
        }
    }

    fn init(config: &StickyConfig, dims: Dims, init: &Init) -> Self {
        let balance = BalanceLoss::new(Balance::Choices, dims, init);
        Self { gate: Gate::new(dims, init), balance, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let StickyConfig { k, stick, balance } = self.config;
        let mut p = softmax(self.gate.forward(pass, units), 2);
        let n_experts = p.dims()[2];
        if let Some(Last(last)) = pass.take() {
            p = p * (1.0 - stick) + last * stick;
        }
        pass.put(Last(p.clone()));
        let (experts, weights) = kit::scores::choose(pass, p.clone(), k);
        let weights = kit::shares::of_weights(weights);
        self.balance.add(pass, balance, p, experts.clone());
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sticky-routing", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_router::<Sticky>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_router() {
        let routers = plugins().library.routers;
        conformance::check(&routers, &Choice::of("sticky"), &Device::flex()).unwrap();
    }

    /// The weights of two layers in one pass, and the losses.
    fn two_layers(router: &Choice) -> (Vec<f32>, Vec<(String, f64)>) {
        let (dims, init) =
            (Dims { width: 8, n_experts: 4, units: 6 }, Init::new(3, &Device::flex()));
        let build = plugins().library.routers.get(&router.kind).unwrap().build.init;
        let mut pass = Pass::train(0, 0, 0.0);
        let layer = |name: &str, pass: &mut Pass| {
            let router = build(router, dims, &init.at(name)).unwrap();
            let (_, combine) =
                router.route(pass, init.normal(name, [2, 6, 8], 1.0).val()).to_soft();
            combine.into_data().iter::<f32>().collect::<Vec<_>>()
        };
        let weights = [layer("first", &mut pass), layer("second", &mut pass)].concat();
        (weights, pass.losses())
    }

    #[test]
    fn without_stick_it_is_top_k() {
        let sticky = Choice::of("sticky").with("stick", 0.0);
        assert_eq!(two_layers(&sticky), two_layers(&Choice::of("top-k")));
        assert_ne!(two_layers(&Choice::of("sticky")), two_layers(&Choice::of("top-k")));
    }
}
