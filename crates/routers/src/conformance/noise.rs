//! Noise in training is drawn separately for each unit and step, and has the same distribution for all
//! units.

use burn::prelude::*;
use moe::{Dims, Pass};

use super::{
    permutation::rows,
    subject::{EXPERTS, Subject, WIDTH, values},
};

/// The number of groups, and of identical units in each.
const SHAPE: [usize; 2] = [4, 6];
const STEPS: usize = 150;
/// The accepted distance between the first and the last unit, in standard errors: a larger one has a
/// probability below one in a million.
const APART: f64 = 5.0;

/// Checks the routes of identical units over many steps.
pub(super) fn treats_units_alike(subject: &Subject) -> Result<(), String> {
    if !subject.promises()?.equivariant {
        return Ok(());
    }
    let [groups, units] = SHAPE;
    let dims = Dims { width: WIDTH, n_experts: EXPERTS, units };
    let one: Tensor<3> = subject.noise("x", [1, 1, WIDTH]);
    let x = one.expand([groups, units, WIDTH]);
    // For each step the shares of each unit, `[G * U][2 E]`.
    let steps: Vec<Vec<f32>> = (0..STEPS)
        .map(|step| {
            let mut pass = subject.alike_outside(Pass::train(0, step, 0.0), SHAPE);
            // A new router for each step, so that differences between steps are noise, not state.
            Ok(values(rows(subject.router(dims)?.route(&mut pass, x.clone()))))
        })
        .collect::<Result<_, String>>()?;
    if steps.iter().all(|step| *step == steps[0]) {
        return Ok(()); // there is no noise
    }
    let columns = 2 * EXPERTS;
    let shared = |step: &Vec<f32>| step.chunks(columns).all(|unit| *unit == step[..columns]);
    if steps.iter().all(shared) {
        return Err(
            "in training all units share one draw of the noise; it must be drawn for each unit"
                .into(),
        );
    }
    for expert in 0..EXPERTS {
        // The share of the expert in the unit at a position, in all groups and steps.
        let at = |place: usize| -> Vec<f64> {
            let groups = steps.iter().flat_map(|step| step.chunks(units * columns));
            groups.map(|group| f64::from(group[place * columns + EXPERTS + expert])).collect()
        };
        let gap = standard_errors(&at(0), &at(units - 1));
        if gap > APART {
            return Err(format!(
                "in training the first and the last of identical units differ in their mean share of \
                 expert {expert} by {gap:.1} standard errors; noise must not depend on positions"
            ));
        }
    }
    Ok(())
}

/// The distance of two means in standard errors.
fn standard_errors(a: &[f64], b: &[f64]) -> f64 {
    let moments = |x: &[f64]| {
        let (n, mean) = (x.len() as f64, x.iter().sum::<f64>() / x.len() as f64);
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n)
    };
    let ((a, of_a), (b, of_b)) = (moments(a), moments(b));
    match (a - b).abs() {
        gap if gap < 1e-6 => 0.0,
        gap => gap / (of_a + of_b).sqrt().max(1e-12),
    }
}
