//! Runs the suite on the whole registry, and on routers with one fault each, which it must find.

use moe::Library;

use self::broken::{Broken, Fault, Modest};
use super::{subject::Step, *};

#[test]
fn every_router_conforms() {
    let routers = crate::all();
    let failures: Vec<String> = routers
        .iter()
        .filter_map(|(name, _)| check(&routers, &Choice::of(name), &Device::flex()).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_depends_on_hyperparameters_conforms_too() {
    let routers = crate::all();
    let of_step = ["top-k", "gshard", "st-moe", "top-p", "seq-top-k", "perturbed-cosine"];
    let of_step = of_step.map(|kind| Choice::of(kind).with("balance_of", "step"));
    let others = [
        Choice::of("lory").with("first", "even").with("segment", 3),
        Choice::of("warm-up").with("router", Choice::of("expert-choice")),
    ];
    for choice in others.iter().chain(&of_step) {
        check(&routers, choice, &Device::flex()).unwrap();
    }
}

/// Published code that fails some checks: LibMoE's x-moe stops the gradient through the length of its
/// expert vectors, and in MoE++'s code the last expert is the zero expert.
#[test]
fn published_code_conforms_but_for_what_is_known() {
    for (kind, exempt) in [
        ("x-moe", "gradients match the plan"),
        ("moe-plus-plus", "permuting the experts permutes the plan"),
    ] {
        let choice = Choice::of(kind).with("faithful", "reference");
        let found = report(&crate::all(), &choice, &Device::flex());
        let failed: Vec<_> = found.into_iter().filter(|(_, found)| found.is_err()).collect();
        assert!(failed.len() == 1 && failed[0].0 == exempt, "{kind}: {failed:?}");
    }
}

/// Runs every form of weights that a router has in addition to that of its defaults.
#[test]
fn every_form_of_weights_conforms() {
    let (routers, of) = (crate::all(), Choice::of);
    for choice in [
        of("top-k").with("weights", "softmax").with("bias", true),
        of("top-k").with("weights", "top-k-softmax"),
        of("switch").with("bias", true),
        of("sigmoid").with("renormalise", true),
        of("sigmoid").with("compete", true).with("bias", true),
        of("loss-free").with("renormalise", true),
        of("loss-free").with("renormalise", true).with("score", "softmax"),
        of("deepseek-v3").with("groups", 4).with("groups_kept", 2).with("scale", 2.5),
        of("deepseek-v2").with("groups", 4).with("groups_kept", 2).with("scale", 2.5),
        of("x-moe").with("renormalise", true),
        of("perturbed-cosine").with("faithful", "reference"),
        of("ada-moe").with("faithful", "reference").with("nulls", 0),
        of("hyper-router").with("faithful", "reference"),
    ] {
        check(&routers, &choice, &Device::flex()).unwrap();
    }
}

#[test]
fn one_choice_of_constant_weight_is_refused_by_every_router() {
    let (routers, of) = (crate::all(), |kind: &str| Choice::of(kind).with("k", 1));
    let dims = moe::Dims { width: 8, n_experts: 8, units: 10 };
    for choice in [
        of("top-k"),
        of("top-k").with("weights", "top-k-softmax").with("balance", 0.1),
        of("noisy-top-k"),
        of("st-moe"),
        of("deepseek-v3"),
        of("sigmoid").with("renormalise", true),
        of("sigmoid").with("compete", true),
        of("x-moe").with("renormalise", true),
        of("x-moe").with("faithful", "reference"),
        of("loss-free").with("renormalise", true),
        of("moe-plus-plus").with("faithful", "reference"),
        of("ada-moe"),
        of("quantile-balancing"),
        of("perturbed-cosine"),
        of("hyper-router").with("k_first", 1),
        of("peer"),
        of("dselect-k"),
        Choice::of("warm-up").with("router", of("top-k")),
    ] {
        let refused = (routers.get(&choice.kind).unwrap().build.check)(&choice, dims);
        let message = refused.expect_err(&format!("{choice:?} is accepted")).to_string();
        assert!(message.contains("no gradient from the task"), "{choice:?}: {message}");
    }
}

fn found(fault: Fault) -> String {
    let routers = Library::default().routers.with::<Broken>();
    let found = check(&routers, &Choice::of("broken").with("fault", fault), &Device::flex());
    found.expect_err(&format!("{fault:?} passes"))
}

#[test]
fn without_a_fault_the_router_passes() {
    let routers = Library::default().routers.with::<Broken>();
    check(&routers, &Choice::of("broken"), &Device::flex()).unwrap();
}

#[test]
fn every_fault_is_found() {
    for (fault, words) in [
        (Fault::Index, "is chosen; must be below 9"),
        (Fault::NotANumber, "expected finite numbers"),
        (Fault::Shape, "weights are [3, 10, 1], not [3, 10, 2]"),
        (Fault::Counter, "the second evaluation differs"),
        (Fault::Autodiff, "valid() changes the output"),
        (Fault::Forgetful, "loaded into one of another seed"),
        (Fault::Idle, "does not reach router.idle"),
        (Fault::Cut, "does not reach router.weight"),
        (Fault::Auxiliary, "does not reach router.weight"),
        (
            Fault::Constant,
            "with k = 1, the gradient of the task's loss does not reach router.weight",
        ),
        (Fault::Epsilon, "sum to 0, but at ordinary scores to 1"),
        (Fault::Position, "UNIT_PERMUTATION_EQUIVARIANT = false"),
        (Fault::Future, "in evaluation, changing the units"),
        (Fault::FutureInTraining, "in training, changing the units"),
        (Fault::Length, "inputs that are zeros"),
        (Fault::Free, "flops_per_unit is 0"),
        (Fault::Name, "\"x\" is not a valid name"),
        (Fault::Slope, "the gradient is not that of the computed plan and losses"),
        (Fault::OneExpert, "with one expert and one choice, outputs or gradients contain NaN"),
        (Fault::Full, "with as many choices as experts, outputs or gradients contain NaN"),
        (Fault::Favourite, "after a permutation of the experts"),
        (Fault::OneDraw, "all units share one draw"),
        (Fault::NoisyEnd, "noise must not depend on positions"),
    ] {
        let message = found(fault);
        assert!(message.contains(words), "{fault:?}: {message}");
        assert!(message.starts_with("router \"broken\", "), "{message}");
    }
}

#[test]
fn too_much_modesty_is_found() {
    let routers = Library::default().routers.with::<Modest>();
    let message = check(&routers, &Choice::of("modest"), &Device::flex()).unwrap_err();
    assert!(message.contains("no output depends on a later unit"), "{message}");
}

#[test]
fn between_a_device_and_itself_there_is_no_gap() {
    let device = Device::flex();
    let gaps = |name| gaps(&crate::all(), &Choice::of(name), [&device, &device]);
    for name in ["top-k", "expert-choice", "lory"] {
        let found = gaps(name).unwrap();
        assert!(found.len() == 8 && found.iter().all(|(gap, _)| *gap == 0.0), "{name}: {found:?}");
    }
    assert!(gaps("topk").unwrap_err().contains("topk"));
}

#[test]
fn a_gap_between_devices_is_found_and_named() {
    let step = |output: f32, gradient: Option<Vec<f32>>| Step {
        output: vec![1.0, output],
        gradients: [("gate".to_string(), gradient)].into(),
    };
    let gap = |b: Step| devices::of_steps(&step(2.0, Some(vec![4.0, 0.0])), &b);
    assert_eq!(gap(step(2.5, Some(vec![4.0, 1.0]))), Ok((0.25, "gate".into())));
    assert_eq!(gap(step(4.0, Some(vec![4.0, 0.0]))), Ok((0.5, "output".into())));
    assert_eq!(gap(step(2.0, Some(vec![f32::NAN, 0.0]))).unwrap().0, f32::INFINITY);
    assert_eq!(gap(step(2.0, Some(vec![4.0]))).unwrap().0, f32::INFINITY);
    assert!(gap(step(2.0, None)).unwrap_err().contains("gate"));
}

#[test]
fn an_engine_that_loses_a_gradient_is_found() {
    let step = |output: f32, gradient: Option<Vec<f32>>| Step {
        output: vec![output],
        gradients: [("gate".to_string(), gradient)].into(),
    };
    let slow = step(1.0, Some(vec![2.0]));
    assert_eq!(engines::same(&slow, &step(1.0, Some(vec![2.0]))), Ok(()));
    assert!(engines::same(&slow, &step(1.1, Some(vec![2.0]))).is_err());
    assert!(engines::same(&slow, &step(1.0, Some(vec![f32::NAN]))).is_err());
    assert!(engines::same(&slow, &step(1.0, None)).unwrap_err().contains("gate"));
}

#[test]
fn too_many_units_for_the_slots_are_found() {
    let experts = Tensor::from_ints([[[0], [0], [1]], [[1], [1], [1]]], &Device::flex());
    let weights = Tensor::ones([2, 3, 1], &Device::flex());
    let plan = moe::Plan::TokenChoice { experts, weights, n_experts: 2 };
    assert_eq!(capacity::within(&plan, 3), Ok(()));
    assert!(capacity::within(&plan, 2).unwrap_err().contains("3 units, but only 2 slots"));
}

#[test]
fn another_number_of_experts_than_declared_is_found() {
    let experts = Tensor::from_ints([[[0, 1], [1, 0]]], &Device::flex());
    let weights = Tensor::ones([1, 2, 2], &Device::flex());
    let plan = moe::Plan::TokenChoice { experts, weights, n_experts: 2 };
    let build = |name| crate::all().get(name).unwrap().build;
    assert_eq!(shapes::as_declared(&plan, &build("gshard")), Ok(()));
    let message = shapes::as_declared(&plan, &build("switch")).unwrap_err();
    assert!(message.contains("2 experts for a unit, but EXPERTS_PER_UNIT = 1"), "{message}");
}

#[test]
fn a_misspelt_router_fails_every_check() {
    let report = report(&crate::all(), &Choice::of("topk"), &Device::flex());
    assert!(report.iter().all(|(_, found)| found.as_ref().unwrap_err().contains("topk")));
}

mod broken {
    //! Routers with one fault each.

    use std::sync::atomic::{AtomicU32, Ordering};

    use burn::{
        module::{Module, Param},
        prelude::*,
        tensor::activation::{sigmoid, softmax},
    };
    use moe::{Dims, Init, NoConfig, Pass, Plan, Router, config, top_k};
    use rand::RngExt;
    use serde::{Deserialize, Serialize};

    /// A fault of a router.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Fault {
        None,
        /// Chooses an expert that does not exist.
        Index,
        /// Divides by zero.
        NotANumber,
        /// Has one weight too few.
        Shape,
        /// Counts its calls, and routes by the count.
        Counter,
        /// Routes differently if gradients are tracked.
        Autodiff,
        /// Has a number that depends on its seed and is not in the record.
        Forgetful,
        /// Has a parameter that nothing depends on.
        Idle,
        /// Detaches the gradient.
        Cut,
        /// Trains its gate only by a loss of its own.
        Auxiliary,
        /// Divides weights by their sum, for one choice too.
        Constant,
        /// Divides sigmoids by their sum and an epsilon.
        Epsilon,
        /// Uses the position.
        Position,
        /// Uses the mean of all units.
        Future,
        /// Uses that mean only in training.
        FutureInTraining,
        /// Divides by the length of a unit.
        Length,
        /// Reports no floating-point operations.
        Free,
        /// Has a parameter whose name is not descriptive.
        Name,
        /// Gives a gradient that is twice the correct one.
        Slope,
        /// Divides by the number of other experts.
        OneExpert,
        /// Divides by the number of experts that are not chosen.
        Full,
        /// Prefers the first expert.
        Favourite,
        /// Adds the same noise to all units.
        OneDraw,
        /// Adds noise only to the last unit of a group.
        NoisyEnd,
    }

    config! {
        /// The fault.
        pub struct BrokenConfig {
            /// The fault.
            pub fault: Fault = Fault::None,
            /// Experts for each unit.
            pub k: usize = 2,
        }
    }

    #[derive(Module, Debug)]
    pub(super) struct Broken {
        weight: Param<Tensor<2>>,
        idle: Option<Param<Tensor<1>>>,
        x: Option<Param<Tensor<1>>>,
        hidden: f64,
        k: usize,
        #[module(skip)]
        fault: Fault,
    }

    static CALLS: AtomicU32 = AtomicU32::new(0);

    impl Router for Broken {
        type Config = BrokenConfig;
        const NAME: &'static str = "broken";
        const ABOUT: &'static str = "top-2 with a fault";

        fn check(config: &BrokenConfig, dims: Dims) -> Result<(), String> {
            crate::kit::check::k(config.k, dims)?;
            crate::kit::check::gate_learns(config.k, config.fault == Fault::Epsilon, dims, "")
        }

        fn init(config: &BrokenConfig, dims: Dims, init: &Init) -> Self {
            let fault = config.fault;
            Self {
                weight: init.normal("weight", [dims.width, dims.n_experts], 1.0),
                idle: (fault == Fault::Idle).then(|| init.constant("idle", [1], 1.0)),
                x: (fault == Fault::Name).then(|| init.constant("x", [1], 1.0)),
                hidden: init.at("hidden").rng().random(),
                k: config.k,
                fault,
            }
        }

        fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
            let [g, u, d] = units.dims();
            let units = match self.fault {
                Fault::Length => units.clone() / units.square().sum_dim(2).sqrt(),
                _ => units,
            };
            let [_, e] = self.weight.lazy_shape().dims();
            let s = units.clone().reshape([g * u, d]).matmul(self.weight.val()).reshape([g, u, e]);
            let s = s + self.disturbance(pass, units, e);
            let p = match self.fault {
                Fault::Epsilon => sigmoid(s),
                _ => softmax(s, 2),
            };
            if self.fault == Fault::Auxiliary {
                pass.loss("auxiliary", p.clone().square().sum());
            }
            let (experts, weights) = top_k(p, self.k);
            let none = |left: usize| 0.0 / left as f64 + 1.0; // not a number at 0
            let (experts, weights) = match self.fault {
                Fault::Index => (experts + 8, weights),
                Fault::NotANumber => (experts, weights.clone() / (weights.clone() - weights)),
                Fault::Shape => (experts, weights.narrow(2, 0, 1)),
                Fault::Cut | Fault::Auxiliary => (experts, weights.detach()),
                Fault::Constant => (experts, weights.clone() / weights.sum_dim(2)),
                Fault::Epsilon => (experts, weights.clone() / (weights.sum_dim(2) + 1e-20)),
                Fault::Slope => (experts, weights.clone() * 2.0 - weights.detach()),
                Fault::OneExpert => (experts, weights * none(e - 1)),
                Fault::Full if e > 1 => (experts, weights * none(e - self.k)),
                _ => (experts, weights),
            };
            Plan::TokenChoice { experts, weights, n_experts: e }
        }

        fn flops_per_unit(&self) -> f64 {
            if self.fault == Fault::Free { 0.0 } else { 1.0 }
        }
    }

    impl Broken {
        /// `[G, U, 1]` or smaller, multiplied by a different number for each expert, so that choices
        /// change.
        fn disturbance(&self, pass: &mut Pass, units: Tensor<3>, e: usize) -> Tensor<3> {
            let ([_, u, _], device) = (units.dims(), units.device());
            let order = Tensor::<1, Int>::arange(0..e as i64, &device).float().reshape([1, 1, e]);
            if self.fault == Fault::Favourite {
                return order.equal_scalar(0.0).float();
            }
            if pass.training() && self.fault == Fault::OneDraw {
                return crate::kit::noise::normal(pass, [1, 1, e], &device.inner());
            }
            if pass.training() && self.fault == Fault::NoisyEnd && u > 1 {
                let noise =
                    crate::kit::noise::uniform(pass, [1, 1, e], (0.0, 9.0), &device.inner());
                let calm = noise.zeros_like().repeat_dim(1, u - 1);
                return Tensor::cat(vec![calm, noise], 1);
            }
            let at = |value: f64| Tensor::<3>::full([1, 1, 1], value, &device);
            let mean = |units: Tensor<3>| units.mean_dim(1).mean_dim(2);
            let by = match self.fault {
                Fault::Counter => at(f64::from(CALLS.fetch_add(1, Ordering::Relaxed))),
                Fault::Autodiff if self.weight.val().device().is_autodiff() => at(1.0),
                Fault::Forgetful => at(self.hidden),
                Fault::Position => {
                    Tensor::<1, Int>::arange(0..u as i64, &device).float().reshape([1, u, 1])
                }
                Fault::Future => mean(units),
                Fault::FutureInTraining if pass.training() => mean(units),
                _ => at(0.0),
            };
            by * order
        }
    }

    /// A causal top-1 router that declares that it is not causal.
    #[derive(Module, Debug)]
    pub(super) struct Modest {
        weight: Param<Tensor<2>>,
    }

    impl Router for Modest {
        type Config = NoConfig;
        const NAME: &'static str = "modest";
        const ABOUT: &'static str = "causal, and says that it is not";
        const CAUSAL: bool = false;

        fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
            Self { weight: init.normal("weight", [dims.width, dims.n_experts], 1.0) }
        }

        fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
            let p = softmax(units.matmul(self.weight.val().unsqueeze::<3>()), 2);
            Plan::Dense { weights: p }
        }

        fn flops_per_unit(&self) -> f64 {
            1.0
        }
    }
}
