//! A loss for experts that say the same.
//!
//! Nguyen et al. *LibMoE*. 2024. <https://arxiv.org/abs/2411.00918>; there a measure, here a loss too.
//!
//! L = mean over units and pairs i < j of their experts of max(0, cos(E_i(x), E_j(x)))
//!
//! 0 where the experts of a unit are orthogonal or oppose each other, 1 where they all say the same.
//! The experts' outputs are needed one by one, so a layer with this loss runs its engine once for each
//! choice, in training.

use burn::prelude::*;

use crate::{Pass, Plan, engine::Engine, engine::ExpertCall};

/// The plan's mixture, `[G, U, P]`, and the loss; none where the plan has no pairs.
pub(crate) fn run(
    engine: Engine,
    plan: &Plan,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Option<(Tensor<3>, Tensor<1>)> {
    let Plan::TokenChoice { experts, weights, n_experts } = plan else { return None };
    let k = experts.dims()[2];
    if k < 2 {
        return None;
    }
    let served = experts.clone().lower_scalar(*n_experts as i64).float();
    let outputs: Vec<Tensor<3>> = (0..k)
        .map(|choice| {
            let experts = experts.clone().narrow(2, choice, 1);
            let weights = served.clone().narrow(2, choice, 1);
            let alone = Plan::TokenChoice { experts, weights, n_experts: *n_experts };
            engine.run(&alone, work, pass, payload.clone())
        })
        .collect();
    let parts = outputs.iter().enumerate();
    let weighted = parts.map(|(choice, y)| y.clone() * weights.clone().narrow(2, choice, 1));
    let mixture = weighted.reduce(|a, b| a + b)?;
    Some((mixture, likeness(&outputs, &served)))
}

/// The loss, for the outputs `[G, U, P]` of K choices and whether each was served, `[G, U, K]`.
fn likeness(outputs: &[Tensor<3>], served: &Tensor<3>) -> Tensor<1> {
    let of = |choice| served.clone().narrow(2, choice, 1);
    let unit = |y: &Tensor<3>| y.clone() / (y.clone().square().sum_dim(2) + 1e-12).sqrt();
    let directions: Vec<Tensor<3>> = outputs.iter().map(unit).collect();
    let device = served.device();
    let (mut sum, mut pairs) = (Tensor::<1>::zeros([1], &device), Tensor::<1>::zeros([1], &device));
    for (j, second) in directions.iter().enumerate() {
        for (i, first) in directions[..j].iter().enumerate() {
            let cosine = (first.clone() * second.clone()).sum_dim(2).clamp_min(0.0);
            sum = sum + cosine.sum();
            pairs = pairs + (of(i) * of(j)).sum();
        }
    }
    sum / pairs.clamp_min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyExperts, Dims, ExpertDtype, Experts, Init, NoConfig};
    use burn::module::Module;

    /// Expert e gives e + 1 times its row, with the sides exchanged for an odd e.
    #[derive(Module, Debug)]
    struct Turned {
        n_experts: usize,
    }

    impl Experts for Turned {
        type Config = NoConfig;
        const NAME: &'static str = "turned";
        const ABOUT: &'static str = "";

        fn init(_config: &NoConfig, dims: Dims, _init: &Init) -> Self {
            Self { n_experts: dims.n_experts }
        }

        fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
            let of = |e: usize| {
                let rows = slots.clone().narrow(0, e, 1) * (e + 1) as f64;
                if e % 2 == 1 { rows.flip([2]) } else { rows }
            };
            Tensor::cat((0..self.n_experts).map(of).collect(), 0)
        }

        fn flops_per_row(&self) -> f64 {
            1.0
        }
    }

    #[test]
    fn the_mixture_is_the_engines_and_the_loss_is_of_the_plan() {
        let device = Device::flex();
        let experts = AnyExperts::new(Turned { n_experts: 3 });
        let work = ExpertCall { experts: &experts, storage: ExpertDtype::F32, row: 2, slots: None };
        // Unit (1, 0): experts 0 and 2 agree. Unit (1, 0) again: 0 and 1 are orthogonal. Unit (0, 1):
        // expert 2 alone.
        let payload = Tensor::<3>::from_floats([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], &device);
        let plan = Plan::TokenChoice {
            experts: Tensor::from_ints([[[0, 2], [0, 1], [3, 2]]], &device),
            weights: Tensor::from_floats([[[0.75, 0.25], [0.5, 0.5], [0.9, 1.0]]], &device),
            n_experts: 3,
        };
        for engine in [Engine::Reference, Engine::Dropless, Engine::Padded] {
            let mut pass = Pass::eval();
            let (y, loss) = run(engine, &plan, &work, &mut pass, payload.clone()).unwrap();
            let expected = engine.run(&plan, &work, &mut pass, payload.clone());
            let gap = (y.clone() - expected).abs().max().into_scalar::<f32>();
            assert!(gap < 1e-6, "{engine:?}: {gap}");
            let y = y.into_data().try_to_vec::<f32>().unwrap();
            assert_eq!(y, [1.5, 0.0, 0.5, 1.0, 0.0, 3.0], "{engine:?}");
            assert!((loss.into_scalar::<f32>() - 0.5).abs() < 1e-6);
        }
        let one = Plan::Dense { weights: Tensor::ones([1, 3, 3], &device) };
        assert!(run(Engine::Reference, &one, &work, &mut Pass::eval(), payload).is_none());
    }

    fn loss(outputs: &[[f32; 2]], served: &[f32]) -> f32 {
        let device = Device::flex();
        let of = |y: &[f32; 2]| Tensor::<3>::from_floats([[*y]], &device);
        let outputs: Vec<Tensor<3>> = outputs.iter().map(of).collect();
        let k = served.len();
        let served = Tensor::from_data(TensorData::new(served.to_vec(), [1, 1, k]), &device);
        likeness(&outputs, &served).into_scalar()
    }

    #[test]
    fn alike_orthogonal_and_opposed() {
        assert!((loss(&[[1.0, 2.0], [2.0, 4.0]], &[1.0; 2]) - 1.0).abs() < 1e-6);
        assert!(loss(&[[1.0, 0.0], [0.0, 4.0]], &[1.0; 2]).abs() < 1e-6);
        assert!(loss(&[[1.0, 0.0], [-3.0, 0.0]], &[1.0; 2]).abs() < 1e-6);
        // Cosines 1, 1/sqrt(2) and 1/sqrt(2).
        let found = loss(&[[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]], &[1.0; 3]);
        assert!((found - (1.0 + 2_f32.sqrt()) / 3.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn a_choice_of_no_one_makes_no_pair() {
        // The null expert's output is 0.
        let found = loss(&[[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]], &[1.0, 1.0, 0.0]);
        assert!((found - 1.0).abs() < 1e-6, "{found}");
        assert_eq!(loss(&[[1.0, 0.0], [0.0, 0.0]], &[1.0, 0.0]), 0.0);
    }
}
