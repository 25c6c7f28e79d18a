//! All engines give the same output and the same gradients for every plan.

use burn::{module::Param, prelude::*};
use proptest::prelude::*;

use super::{Engine, ExpertCall};
use crate::{
    capacity::Capacity,
    experts::{AnyExperts, ExpertDtype, Experts},
    plugin::{Init, NoConfig},
    routing::{Dims, Pass, Plan},
};

/// Two matrices with a GELU between them, exposed to the engines or not.
#[derive(Module, Debug)]
struct Net<const SHOWN: bool> {
    w1: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
}

impl<const SHOWN: bool> Net<SHOWN> {
    fn matrices(&self) -> kernels::Ffn {
        kernels::Ffn {
            w1: self.w1.val(),
            gate: None,
            w2: self.w2.val(),
            bias1: None,
            bias2: None,
            activation: kernels::Activation::Gelu,
        }
    }
}

impl<const SHOWN: bool> Experts for Net<SHOWN> {
    type Config = NoConfig;
    const NAME: &'static str = "net";
    const ABOUT: &'static str = "for tests";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        let (e, d) = (dims.n_experts, dims.width);
        Self { w1: init.normal("w1", [e, d, 5], 0.5), w2: init.normal("w2", [e, 5, d], 0.5) }
    }
    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        burn::tensor::activation::gelu(slots.matmul(self.w1.val())).matmul(self.w2.val())
    }
    fn stack(&self) -> Option<kernels::Ffn> {
        SHOWN.then(|| self.matrices())
    }
    fn flops_per_row(&self) -> f64 {
        0.0
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Token,
    Expert,
    Soft,
    Dense,
}

#[derive(Clone, Debug)]
struct Case {
    form: Form,
    g: usize,
    u: usize,
    e: usize,
    k: usize,
    /// The number of rows of a unit.
    m: usize,
    shown: bool,
    /// The number format of experts that are exposed.
    dtype: ExpertDtype,
    /// Skewed random numbers in `0..=1`, one for each choice.
    picks: Vec<f64>,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let form =
        prop_oneof![Just(Form::Token), Just(Form::Expert), Just(Form::Soft), Just(Form::Dense)];
    let dtype =
        prop_oneof![Just(None), Just(Some(ExpertDtype::F32)), Just(Some(ExpertDtype::Bf16))];
    (form, 1_usize..4, 1_usize..9, 1_usize..5, 1_usize..4, 1_usize..3, dtype, any::<u64>())
        .prop_flat_map(|(form, g, u, e, k, m, dtype, seed)| {
            let picks = prop::collection::vec(0.0..1.0_f64, g * u.max(e) * k);
            let (shown, dtype) = (dtype.is_some(), dtype.unwrap_or_default());
            picks.prop_map(move |picks| Case { form, g, u, e, k, m, shown, dtype, picks, seed })
        })
}

const WIDTH: usize = 3;

impl Case {
    /// The plan, its float tensors as leaves, and the largest number of choices of one expert in one
    /// group.
    fn plan(&self, init: &Init) -> (Plan, Vec<Tensor<1>>, usize) {
        let Case { form, g, u, e, k, .. } = *self;
        let leaf = |name: &str, n: usize| init.normal(name, [n], 1.0).val();
        let ints = |values: Vec<i32>, shape: [usize; 3]| {
            Tensor::<3, Int>::from_data(
                TensorData::new(values, shape),
                &init.device().clone().inner(),
            )
        };
        match form {
            Form::Token => {
                // Squared, so that experts of low index get more; the last index is the null expert.
                let pick = |p: &f64| (p * p * (e + 1) as f64) as i32;
                let chosen: Vec<i32> = self.picks[..g * u * k].iter().map(pick).collect();
                let most = chosen
                    .chunks(u * k)
                    .flat_map(|group| {
                        (0..e as i32).map(|x| group.iter().filter(|y| **y == x).count())
                    })
                    .max();
                let w = leaf("weights", g * u * k);
                let weights = w.clone().reshape([g, u, k]);
                let experts = ints(chosen, [g, u, k]);
                let plan = Plan::TokenChoice { experts, weights, n_experts: e };
                (plan, vec![w], most.unwrap_or(0).max(1))
            }
            Form::Expert => {
                let pick = |p: &f64| (p * u as f64) as i32;
                let units = ints(self.picks[..g * e * k].iter().map(pick).collect(), [g, e, k]);
                let w = leaf("weights", g * e * k);
                let weights = w.clone().reshape([g, e, k]);
                (Plan::ExpertChoice { units, weights, n_units: u }, vec![w], k)
            }
            Form::Soft => {
                let n = g * u * e * k;
                let (a, b) = (leaf("dispatch", n), leaf("combine", n));
                let dispatch = a.clone().reshape([g, u, e, k]);
                let combine = b.clone().reshape([g, u, e, k]);
                (Plan::Soft { dispatch, combine }, vec![a, b], k)
            }
            Form::Dense => {
                let w = leaf("weights", g * u * e);
                (Plan::Dense { weights: w.clone().reshape([g, u, e]) }, vec![w], u)
            }
        }
    }

    fn run(&self, engine: Engine, with_slots: bool) -> Vec<Vec<f32>> {
        self.run_with(engine, with_slots, None)
    }

    /// The results after a capacity was applied; the padded engine uses its slots.
    fn run_at(&self, engine: Engine, capacity: &Capacity) -> Vec<Vec<f32>> {
        self.run_with(engine, false, Some(capacity))
    }

    fn run_with(
        &self,
        engine: Engine,
        with_slots: bool,
        capacity: Option<&Capacity>,
    ) -> Vec<Vec<f32>> {
        match self.shown {
            true => self.run_on::<true>(engine, with_slots, capacity),
            false => self.run_on::<false>(engine, with_slots, capacity),
        }
    }

    fn run_on<const SHOWN: bool>(
        &self,
        engine: Engine,
        with_slots: bool,
        capacity: Option<&Capacity>,
    ) -> Vec<Vec<f32>> {
        let init = Init::new(self.seed, &Device::flex().autodiff());
        let dims = Dims { width: WIDTH, n_experts: self.e, units: self.u };
        let net = Net::<SHOWN>::init(&NoConfig {}, dims, &init);
        let (w1, w2) = (net.w1.val(), net.w2.val());
        let experts = AnyExperts::new(net);
        let (plan, leaves, most) = self.plan(&init.at("plan"));
        let token = matches!(self.form, Form::Token) && with_slots;
        let mut slots = token.then_some(most);
        let plan = match capacity {
            Some(capacity) => {
                slots = capacity.most_slots([self.g, self.u, self.k], self.e);
                capacity.apply(&mut Pass::eval(), plan)
            }
            None => plan,
        };
        let dtype = self.dtype;
        let work = ExpertCall { experts: &experts, dtype, row: WIDTH, slots };
        let shape = [self.g, self.u, self.m * WIDTH];
        let x = init.normal("x", shape, 1.0).val();
        let y = engine.run(&plan, &work, &mut Pass::eval(), x.clone());
        let dy = init.normal("dy", shape, 1.0).val().detach();
        let grads = (y.clone() * dy).sum().backward();
        let values = |t: Tensor<1>| t.into_data().iter::<f32>().collect::<Vec<f32>>();
        let grad = |t: Option<Tensor<3>>| t.map_or(Vec::new(), |t| values(t.reshape([-1])));
        let mut all = vec![values(y.reshape([-1])), grad(x.grad(&grads))];
        all.extend([grad(w1.grad(&grads)), grad(w2.grad(&grads))]);
        all.extend(leaves.iter().map(|leaf| leaf.grad(&grads).map_or(Vec::new(), values)));
        all
    }
}

fn check(slow: &[Vec<f32>], fast: &[Vec<f32>]) -> Result<(), TestCaseError> {
    for (i, (slow, fast)) in slow.iter().zip(fast).enumerate() {
        prop_assert_eq!(slow.len(), fast.len(), "tensor {}", i);
        // The output to 1e-5, gradients to 1e-4, relative to the largest number.
        let tolerance = if i == 0 { 1e-5 } else { 1e-4 };
        let scale = slow.iter().fold(1.0_f32, |max, x| max.max(x.abs()));
        for (a, b) in slow.iter().zip(fast) {
            prop_assert!((a - b).abs() <= tolerance * scale, "tensor {}: {} {}", i, a, b);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn all_engines_agree(case in cases()) {
        let slow = case.run(Engine::Reference, false);
        check(&slow, &case.run(Engine::Dropless, false))?;
        check(&slow, &case.run(Engine::Padded, false))?;
        check(&slow, &case.run(Engine::Padded, true))?;
        check(&slow, &case.run(Engine::Auto, false))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn padded_and_dropless_agree_for_every_factor(
        case in cases(),
        exponent in -300.0..300.0_f64,
        near_one in any::<bool>(),
    ) {
        let factor = if near_one { 10_f64.powf(exponent / 300.0) } else { 10_f64.powf(exponent) };
        let case = Case { form: Form::Token, ..case };
        let capacity = Capacity { factor: Some(factor), ..Capacity::default() };
        let slots = capacity.most_slots([case.g, case.u, case.k], case.e).unwrap();
        prop_assert!((1..=case.u * case.k).contains(&slots), "{} slots", slots);
        check(
            &case.run_at(Engine::Dropless, &capacity),
            &case.run_at(Engine::Padded, &capacity),
        )?;
    }
}

#[test]
fn engines_have_names() {
    let name = |engine: Engine| serde_json::to_string(&engine).unwrap();
    let all = [Engine::Reference, Engine::Dropless, Engine::Padded, Engine::Auto].map(name);
    assert_eq!(all, ["\"reference\"", "\"dropless\"", "\"padded\"", "\"auto\""]);
    assert_eq!(Engine::default(), Engine::Auto);
}
