//! Ling's stochastic routing warm-up around any router: scores start as pure noise and fade into the
//! learned scores.
//!
//! Ling team. *Every FLOP Counts: Scaling a 300B Mixture-of-Experts LING LLM without Premium GPUs*.
//! 2025. <https://arxiv.org/abs/2503.05139>, (3).
//!
//! s' = a s + (1 - a) (mu + sigma N(0, 1)),  a = min(i / W, 1)              (3)
//!
//! s are the scores of the inner router, mu and sigma their running mean and standard deviation, i the
//! step and W the length of the warm-up. At first all experts are equally likely, at the scale of the
//! scores. The choice, weights and losses of the inner router are computed from s' instead of s.
//!
//! mu and sigma are a state: it is saved, and updated in the last pass of a step from the scores of all
//! its passes. A unit therefore never depends on the scores of its own batch.
//!
//! Differs from the paper, which leaves these details open: W is a share of the training; mu and sigma are
//! computed over all units and experts, start at 0 and 1, and move by a tenth of the difference in each
//! step. The inner router is one of this library that has scores; the paper's is `top-k` with
//! `balance = 0.015`, the default here.
//!
//! Not to be confused with: `noisy-top-k`, whose noise is added and whose scale is learned.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{AnyRouter, Choice, Dims, Init, Pass, Plan, Router, config};
use serde::{Deserialize, Serialize};

use crate::kit::{check, scores::FadeIn, state};

/// The inner router; every default is written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub struct Inside(Choice);

impl Inside {
    /// The paper's router.
    fn published() -> Self {
        let router = Choice::of("top-k").with("balance", 0.015);
        Self::try_from(router).expect("top-k is one of this library's routers")
    }
}

impl TryFrom<Choice> for Inside {
    type Error = moe::ConfigError;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        crate::all().complete(&choice).map(Inside)
    }
}

impl From<Inside> for Choice {
    fn from(Inside(choice): Inside) -> Self {
        choice
    }
}

config! {
    /// The router, and the duration of the noise.
    pub struct WarmUpConfig {
        /// The router whose scores fade in.
        pub router: Inside = Inside::published(),
        /// The share of the training in which the scores fade in, W.
        pub warm_up: f64 = 0.05,
    }
}

/// Any router, with scores that fade in.
#[derive(Module, Debug)]
pub struct WarmUp {
    router: AnyRouter,
    /// `[2]`: the running means of scores and of their squares.
    moments: RunningState<Tensor<1>>,
    /// `[3]`: the sums of scores and of their squares, and their number, in the passes of the step so far.
    seen: RunningState<Tensor<1>>,
    warm_up: f64,
}

impl Router for WarmUp {
    type Config = WarmUpConfig;
    const NAME: &'static str = "warm-up";
    const ABOUT: &'static str = "any router, with scores that fade in from noise (Ling)";
    const PAPER: &'static str = "https://arxiv.org/abs/2503.05139";

    fn causal(config: &WarmUpConfig) -> bool {
        let Inside(inside) = &config.router;
        let routers = crate::all();
        let entry = routers.get(&inside.kind);
        entry.and_then(|entry| (entry.build.causal)(inside)).unwrap_or(false)
    }

    fn check(config: &WarmUpConfig, dims: Dims) -> Result<(), String> {
        check::share("warm_up", config.warm_up)?;
        let Inside(inside) = &config.router;
        let entry = crate::all().get(&inside.kind).cloned().map_err(|err| err.to_string())?;
        (entry.build.check)(inside, dims).map_err(|err| err.to_string())?;
        let kind = &inside.kind;
        if !asks(inside, dims) {
            return Err(format!("router = {kind:?} has no scores to warm up"));
        }
        // What a router mixes is known by its name, so a warm-up around it would hide it.
        match (entry.build.merges, entry.build.mixes_units) {
            (true, _) => Err(format!("router = {kind:?} mixes the matrices of experts")),
            (_, true) => Err(format!("router = {kind:?} mixes units")),
            _ => Ok(()),
        }
    }

    fn init(config: &WarmUpConfig, dims: Dims, init: &Init) -> Self {
        let moments = Tensor::from_floats([0.0, 1.0], &init.device().clone().inner());
        Self {
            router: inside(&config.router.0, dims, &init.at("router")),
            moments: init.state("moments", moments),
            seen: state::new(init, "seen", [3], 0.0),
            warm_up: config.warm_up,
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let share = (pass.progress() / self.warm_up).min(1.0);
        if !pass.training() || share == 1.0 {
            return self.router.route(pass, units);
        }
        pass.put(FadeIn { share, moments: state::get(&self.moments), seen: None }); // (3)
        let plan = self.router.route(pass, units);
        if let Some(sums) = pass.take::<FadeIn>().and_then(|fade| fade.seen) {
            self.follow(pass, sums);
        }
        plan
    }

    fn flops_per_unit(&self) -> f64 {
        self.router.flops_per_unit()
    }
}

impl WarmUp {
    /// Adds the statistics of a pass to those of the step; in the last pass of a step the moments are
    /// updated.
    fn follow(&self, pass: &Pass, sums: Tensor<1>) {
        let (kept, moments) = (self.seen.clone(), self.moments.clone());
        pass.follow(&self.seen, sums, move |sums, ends_step| {
            let seen = state::get(&kept) + sums;
            if !ends_step {
                return state::set(&kept, seen);
            }
            let means = seen.clone().narrow(0, 0, 2) / seen.clone().narrow(0, 2, 1);
            state::set(&moments, state::get(&moments) * 0.9 + means * 0.1);
            state::set(&kept, seen.zeros_like());
        });
    }
}

/// The inner router. [`Router::check`] has verified that it can be built.
fn inside(choice: &Choice, dims: Dims, init: &Init) -> AnyRouter {
    let routers = crate::all();
    let built = routers.get(&choice.kind).and_then(|entry| (entry.build.init)(choice, dims, init));
    built.unwrap_or_else(|err| panic!("{err}"))
}

/// Whether the router calls [`scores::settle`], so that its scores can fade in: it is built and run once.
fn asks(choice: &Choice, dims: Dims) -> bool {
    let device = Device::flex();
    let router = inside(choice, dims, &Init::new(0, &device));
    let mut pass = Pass::train(0, 0, 0.0);
    let moments = Tensor::from_floats([0.0, 1.0], &device);
    pass.put(FadeIn { share: 0.5, moments, seen: None });
    router.route(&mut pass, Tensor::ones([1, 1, dims.width], &device));
    pass.take::<FadeIn>().is_some_and(|fade| fade.seen.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, values};
    use moe::with_parameters;

    fn around(router: Choice, dims: Dims) -> WarmUp {
        let router = Inside::try_from(router).unwrap();
        let config = WarmUpConfig { router, ..WarmUpConfig::default() };
        WarmUp::check(&config, dims).unwrap();
        WarmUp::init(&config, dims, &Init::new(0, &Device::flex()))
    }

    #[test]
    fn moments_follow_the_scores_of_the_whole_step() {
        let router = around(Choice::of("top-k"), Dims { width: 1, n_experts: 2, units: 1 });
        let part = |index| Pass::train(0, 0, 0.0).micro_batch(index, 2);
        let sums = |sums: [f32; 3]| Tensor::from_floats(sums, &Device::flex());
        router.follow(&part(0), sums([1.0 + 2.0, 1.0 + 4.0, 2.0]));
        close(&values(state::get(&router.moments)), &[0.0, 1.0]);
        // The mean of scores is (1 + 2 + 3 + 4) / 4 = 2.5, that of squares 30 / 4 = 7.5; the moments move
        // a tenth of the way.
        router.follow(&part(1), sums([3.0 + 4.0, 9.0 + 16.0, 2.0]));
        close(&values(state::get(&router.moments)), &[0.25, 0.9 + 0.75]);
    }

    #[test]
    fn at_first_all_experts_are_equally_likely_and_later_the_gate_decides() {
        for kind in ["switch", "sigmoid", "loss-free"] {
            let choice = match kind {
                "switch" => Choice::of(kind).with("jitter", 0.0),
                _ => Choice::of(kind).with("k", 1),
            };
            let dims = Dims { width: 1, n_experts: 4, units: 1000 };
            let router = around(choice, dims);
            let gate = TensorData::new(vec![3.0_f32, 1.0, 0.0, 0.0], [1, 4]);
            let router =
                with_parameters(router, [("router.gate.weight".to_string(), gate)].into()).unwrap();
            let load = |progress| {
                // Scores and noise have the same scale.
                state::set(&router.moments, Tensor::from_floats([1.0, 2.5], &Device::flex()));
                let x = Tensor::ones([1, 1000, 1], &Device::flex());
                let (experts, _) = chosen(&router, &mut Pass::train(0, 0, progress), x);
                experts.iter().filter(|e| **e == 0).count()
            };
            // 250 of 1000; the standard deviation is sqrt(1000 * 3 / 16) = 14.
            assert!(load(0.0).abs_diff(250) < 4 * 14, "{kind}: {}", load(0.0));
            assert!(load(0.025) > load(0.0) && load(0.025) < 1000, "{kind}");
            assert_eq!(load(0.05), 1000, "{kind}");
        }
    }

    #[test]
    fn the_default_of_the_inner_router_is_written_out() {
        let WarmUpConfig { router: Inside(inside), .. } = WarmUpConfig::default();
        assert_eq!((&inside.options["k"], &inside.options["balance"]), (&2.into(), &0.015.into()));
    }

    #[test]
    fn without_noise_it_is_the_router_inside() {
        let dims = Dims { width: 3, n_experts: 4, units: 5 };
        let (wrapped, init) = (around(Choice::of("top-k"), dims), Init::new(0, &Device::flex()));
        let alone = inside(&Choice::of("top-k"), dims, &init.at("router"));
        let x = init.normal("x", [2, 5, 3], 1.0).val();
        let plan = |plan: Plan| values(plan.to_soft().1);
        for pass in [Pass::eval, || Pass::train(0, 0, 0.05)] {
            let expected = plan(alone.route(&mut pass(), x.clone()));
            assert_eq!(plan(wrapped.route(&mut pass(), x.clone())), expected);
        }
    }

    #[test]
    fn what_cannot_be_wrapped_is_named() {
        let dims = Dims { width: 4, n_experts: 4, units: 4 };
        let check = |kind: &str| {
            let router = Inside::try_from(Choice::of(kind)).unwrap();
            WarmUp::check(&WarmUpConfig { router, ..WarmUpConfig::default() }, dims)
        };
        assert!(check("hash").unwrap_err().contains("\"hash\" has no scores"));
        assert!(check("soft").unwrap_err().contains("\"soft\" has no scores"));
        for kind in ["smear", "lory"] {
            let message = check(kind).unwrap_err();
            assert!(message.contains("mixes the matrices of experts"), "{kind}: {message}");
        }
        let message = check("mixture-of-tokens").unwrap_err();
        assert!(message.contains("\"mixture-of-tokens\" mixes units"), "{message}");
        for kind in ["top-k", "switch", "x-moe", "hyper-router", "moe-plus-plus", "deepseek-v3"] {
            assert_eq!(check(kind), Ok(()), "{kind}");
        }
        let causal = |kind: &str| {
            let router = Inside::try_from(Choice::of(kind)).unwrap();
            WarmUp::causal(&WarmUpConfig { router, ..WarmUpConfig::default() })
        };
        assert!(causal("switch") && !causal("expert-choice"));
        let unknown = Inside::try_from(Choice::of("topk")).unwrap_err().to_string();
        assert!(unknown.contains("no router is named \"topk\"; known: top-k"), "{unknown}");
    }
}
