//! Gradients are those of the plan and the losses: they agree with finite differences, if the small step
//! changes no choice.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    prelude::*,
    tensor::Gradients,
};
use moe::{AnyRouter, Dims, Init, Pass, Plan};

use super::subject::{EXPERTS, Subject, WIDTH, values};

const SHAPE: [usize; 2] = [2, 6];
/// Steps along a direction. Long ones have errors from curvature, short ones from rounding, and any may
/// change a choice: the best one is used.
const STEPS: [f32; 4] = [1e-2, 3e-3, 1e-3, 3e-4];
/// The largest accepted difference, relative to slopes above 1: the accuracy of single precision.
const NEAR: f64 = 2e-2;

/// Checks three directions in the space of all trained parameters, in evaluation.
pub(super) fn are_those_of_the_plan(subject: &Subject) -> Result<(), String> {
    let dims = Dims { width: WIDTH, n_experts: EXPERTS, units: SHAPE[1] };
    let router = subject.training_router(dims)?;
    for seed in 0..3 {
        let along = Directions { seed, parts: 0 };
        let Some(slope) = slope(subject, &router, &along) else { continue };
        let steps = STEPS.iter().filter_map(|step| difference(subject, &router, &along, *step));
        let gap = |difference: &f64| (slope - difference).abs() / slope.abs().max(1.0);
        let best = steps.min_by(|a, b| gap(a).total_cmp(&gap(b)));
        if let Some(difference) = best.filter(|best| gap(best) > NEAR) {
            return Err(format!(
                "along a random direction the slope is {slope:.4} by the gradient, but {difference:.4} by \
                 finite differences: the gradient is not that of the computed plan and losses"
            ));
        }
    }
    Ok(())
}

/// Directions with normally distributed components, one part for each parameter.
struct Directions {
    seed: u64,
    parts: usize,
}

impl Directions {
    fn next<const D: usize>(&mut self, like: &Tensor<D>) -> Tensor<D> {
        self.parts += 1;
        let init = Init::new(self.seed, &like.device().inner()).at("direction");
        init.normal(&self.parts.to_string(), like.dims(), 1.0).val()
    }

    fn fresh(&self) -> Self {
        Self { seed: self.seed, parts: 0 }
    }
}

/// A number that depends on all weights of a plan and on all losses; and the choices.
fn outcome(subject: &Subject, router: &AnyRouter) -> (Tensor<1>, Vec<i64>) {
    let mut pass = subject.with_facts(Pass::eval(), SHAPE);
    let x = subject.noise("x", [SHAPE[0], SHAPE[1], WIDTH]);
    let plan = router.route(&mut pass, x);
    let choices = match &plan {
        Plan::TokenChoice { experts, .. } => experts.to_data().iter::<i64>().collect(),
        Plan::ExpertChoice { units, .. } => units.to_data().iter::<i64>().collect(),
        Plan::Soft { .. } | Plan::Merged { .. } | Plan::Dense { .. } => Vec::new(),
    };
    (objective(subject, plan, &pass), choices)
}

/// The sum of the weights of a plan, each multiplied by a different number, and the losses of the pass.
pub(super) fn objective(subject: &Subject, plan: Plan, pass: &Pass) -> Tensor<1> {
    let weighed = |weights: Tensor<3>| (subject.noise("goal", weights.dims()) * weights).sum();
    let value = match plan {
        Plan::TokenChoice { experts, weights, n_experts } => {
            // The weight of a dropped choice is ignored.
            weighed(weights.mask_fill(experts.equal_scalar(n_experts as i64), 0.0))
        }
        Plan::ExpertChoice { weights, .. }
        | Plan::Merged { weights, .. }
        | Plan::Dense { weights } => weighed(weights),
        Plan::Soft { dispatch, combine } => {
            let goal = subject.noise::<4>("goal", dispatch.dims());
            ((dispatch + combine) * goal).sum()
        }
    };
    pass.total_loss().map_or(value.clone(), |losses| value + losses)
}

/// The product of the gradient and the direction; none if no parameter is trained.
fn slope(subject: &Subject, router: &AnyRouter, along: &Directions) -> Option<f64> {
    if super::gradients::trained(router).is_empty() {
        return None;
    }
    let grads = outcome(subject, router).0.backward();
    let mut visitor = Slope { along: along.fresh(), grads, sum: 0.0 };
    router.visit(&mut visitor);
    Some(visitor.sum)
}

struct Slope {
    along: Directions,
    grads: Gradients,
    sum: f64,
}

impl ModuleVisitor for Slope {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            let direction = values(self.along.next(&value));
            let gradient = value.grad(&self.grads).map(values).unwrap_or_default();
            let products = direction.iter().zip(&gradient);
            self.sum += products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        }
    }
}

/// The slope from a step forward and a step back; none if they change a choice.
fn difference(subject: &Subject, router: &AnyRouter, along: &Directions, step: f32) -> Option<f64> {
    let at = |step: f32| {
        let moved = router.clone().map(&mut Move { along: along.fresh(), step });
        let (value, choices) = outcome(subject, &moved);
        (f64::from(value.into_scalar::<f32>()), choices)
    };
    let ((there, a), (back, b)) = (at(step), at(-step));
    let locked = a == b && a == at(0.0).1;
    locked.then(|| (there - back) / (2.0 * f64::from(step)))
}

struct Move {
    along: Directions,
    step: f32,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.val().is_require_grad() {
            return param;
        }
        param.map(|old| {
            let value = old.inner();
            let by = self.along.next(&value) * self.step;
            Tensor::from_inner(value + by).require_grad()
        })
    }
}
