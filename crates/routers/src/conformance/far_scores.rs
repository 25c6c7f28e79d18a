//! Scores far from zero: all near -45, where sums of sigmoids are lost in an epsilon; near -110, where
//! they underflow; at +-1e4; and far apart. Weights stay finite, and their sums are the same as at
//! ordinary scores.

use std::collections::BTreeMap;

use burn::prelude::*;
use moe::{AnyRouter, Dims, Pass, Plan, numbers_of, with_parameters};

use super::{
    gradients::trained,
    slopes::objective,
    subject::{EXPERTS, Subject, WIDTH, gradients, values},
};

const SHAPE: [usize; 2] = [3, 10];
/// The offsets of the scores, with factors on their differences.
const PLACES: [(f32, f32); 10] = [
    (-1e4, 1.0),
    (-110.0, 1.0),
    (-45.0, 1.0),
    (-20.0, 1.0),
    (20.0, 1.0),
    (45.0, 1.0),
    (110.0, 1.0),
    (1e4, 1.0),
    (0.0, 100.0),
    (0.0, 1e4),
];
/// The tolerance of sums of weights.
const NEAR: f32 = 1e-4;
/// The number of equal sums from which on they are taken as a promise of the router.
const ENOUGH: usize = 4;

/// The gradient of each parameter by path.
type Gradients = BTreeMap<String, Option<Vec<f32>>>;

/// Checks training and evaluation, at every place.
pub(super) fn keep_sums(subject: &Subject) -> Result<(), String> {
    for training in [false, true] {
        let promised = promised(&sums(&run(subject, (0.0, 1.0), training)?.0));
        for place in PLACES {
            let (plan, gradients) = run(subject, place, training)?;
            let mode = if training { "training" } else { "evaluation" };
            check(&plan, &gradients, &promised).map_err(|why| {
                let (place, spread) = place;
                format!("with scores scaled by {spread} and shifted by {place}, in {mode}: {why}")
            })?;
        }
    }
    Ok(())
}

/// Checks that weights and gradients are finite, and that sums are as promised.
fn check(plan: &Plan, gradients: &Gradients, promised: &BTreeMap<&str, f32>) -> Result<(), String> {
    for (what, sums) in sums(plan) {
        if let Some(sum) = sums.iter().find(|sum| !sum.is_finite()) {
            return Err(format!("weights of {what} sum to {sum}"));
        }
        if let Some(promised) = promised.get(what)
            && let Some(sum) = sums.iter().find(|sum| (*sum - promised).abs() > NEAR)
        {
            return Err(format!(
                "weights of {what} sum to {sum}, but at ordinary scores to {promised}"
            ));
        }
    }
    match gradients.iter().find(|(_, gradient)| gradient.iter().flatten().any(|g| !g.is_finite())) {
        Some((path, _)) => Err(format!("the gradient of {path} is not finite")),
        None => Ok(()),
    }
}

/// The sum of the weights, if it is the same for all units, as in routers that normalise.
fn promised(sums: &[(&'static str, Vec<f32>)]) -> BTreeMap<&'static str, f32> {
    let constant = |sums: &[f32]| {
        let first = *sums.first()?;
        let equal = sums.iter().all(|sum| (sum - first).abs() <= NEAR);
        (equal && sums.len() >= ENOUGH).then_some(first)
    };
    sums.iter().filter_map(|(what, sums)| Some((*what, constant(sums)?))).collect()
}

/// The sums of the absolute weights of a plan: of units with all their choices and of units with some of
/// them, of experts, or of slots.
fn sums(plan: &Plan) -> Vec<(&'static str, Vec<f32>)> {
    match plan.clone() {
        Plan::TokenChoice { experts, weights, n_experts } => {
            let null = experts.greater_equal_scalar(n_experts as i64);
            let left = values(null.clone().bool_not().float().sum_dim(2));
            let k = weights.dims()[2] as f32;
            let all = values(weights.mask_fill(null, 0.0).abs().sum_dim(2));
            let of = |wanted: fn(f32, f32) -> bool| -> Vec<f32> {
                let units = all.iter().zip(&left).filter(|(_, left)| wanted(**left, k));
                units.map(|(sum, _)| *sum).collect()
            };
            vec![
                ("a unit with all its choices", of(|left, k| left == k)),
                ("a unit with some of its choices", of(|left, k| 0.0 < left && left < k)),
            ]
        }
        Plan::ExpertChoice { weights, .. } => vec![("an expert", values(weights.sum_dim(2)))],
        Plan::Soft { dispatch, combine } => vec![
            ("a slot", values(dispatch.sum_dim(1))),
            ("a unit", values(combine.sum_dim(3).sum_dim(2))),
        ],
        Plan::Merged { weights, .. } => vec![("a segment", values(weights.sum_dim(2)))],
        Plan::Dense { weights } => vec![("a unit", values(weights.sum_dim(2)))],
    }
}

/// The plan of a router whose scores are moved to a place, and the gradients of a number that depends on
/// all its weights and on its losses.
fn run(
    subject: &Subject,
    (place, spread): (f32, f32),
    training: bool,
) -> Result<(Plan, Gradients), String> {
    let dims = Dims { width: WIDTH, n_experts: EXPERTS, units: SHAPE[1] };
    let router = moved(subject.training_router(dims)?, place)?;
    let pass = if training { Pass::train(0, 3, 0.3) } else { Pass::eval() };
    let mut pass = subject.with_facts(pass, SHAPE);
    // The first number of each unit is 1, so that an offset of the first row of a matrix is an offset of
    // the scores.
    let rest: Tensor<3> = subject.noise("x", [SHAPE[0], SHAPE[1], WIDTH - 1]);
    let x =
        Tensor::cat(vec![Tensor::ones([SHAPE[0], SHAPE[1], 1], &rest.device()), rest * spread], 2);
    let plan = router.route(&mut pass, x);
    if trained(&router).is_empty() {
        return Ok((plan, Gradients::new()));
    }
    let grads = objective(subject, plan.clone(), &pass).backward();
    Ok((plan, gradients(&router, grads)))
}

/// The router with `place` added to the first row of every matrix that is applied to units.
fn moved(router: AnyRouter, place: f32) -> Result<AnyRouter, String> {
    let takes_units = |shape: &[usize]| shape.len() == 2 && shape[0] == WIDTH;
    let numbers = numbers_of(&router, |known| known.trained && takes_units(&known.shape));
    let moved = numbers.into_iter().map(|(known, data)| {
        let mut numbers: Vec<f32> = data.iter().collect();
        numbers[..known.shape[1]].iter_mut().for_each(|number| *number += place);
        (known.path, TensorData::new(numbers, known.shape))
    });
    with_parameters(router, moved.collect())
}
