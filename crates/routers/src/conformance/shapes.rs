//! Plans are well formed, outputs are finite and keep their shape, and work is reported.

use burn::prelude::*;
use moe::{BuildRouter, Engine, Plan};

use super::subject::{EXPERTS, LEVELS, Setup, Subject, values};

/// Checks every level, in training and in evaluation, and a single unit.
pub(super) fn at_every_level(subject: &Subject) -> Result<(), String> {
    for level in LEVELS {
        for (training, shape) in [(false, [3, 10]), (true, [3, 10]), (false, [1, 1])] {
            let setup = Setup { level, shape, engine: Engine::Dropless, ..Setup::PLAIN };
            one(subject, setup, training).map_err(|why| {
                let mode = if training { "training" } else { "evaluation" };
                format!("at level {level:?}, in {mode}, with {shape:?} tokens: {why}")
            })?;
        }
    }
    Ok(())
}

fn one(subject: &Subject, setup: Setup, training: bool) -> Result<(), String> {
    let layer = subject.layer(setup)?;
    let (mut pass, x) = subject.input(setup, training);
    let (units, _) = setup.level.view(&pass, x.clone());
    let [g, u, _] = units.dims();
    let plan = layer.router.route(&mut pass, units);
    well_formed(&plan, [g, u])?;
    as_declared(&plan, &subject.promises()?)?;
    let (mut pass, _) = subject.input(setup, training);
    let y = layer.forward(&mut pass, x.clone());
    if y.dims() != x.dims() {
        return Err(format!(
            "the input has the shape {:?}, but the output {:?}",
            x.dims(),
            y.dims()
        ));
    }
    finite("output", &values(y))?;
    for (name, value) in pass.scalars() {
        finite(&name, &[value as f32])?;
    }
    Ok(())
}

/// Checks the kind of a plan and its number of experts against what the router declares.
pub(super) fn as_declared(plan: &Plan, declared: &BuildRouter) -> Result<(), String> {
    let (mixes, promised) = (matches!(plan, Plan::Soft { .. }), declared.mixes_units);
    if mixes != promised {
        return Err(format!("the plan mixes units: {mixes}, but MIXES_UNITS = {promised}"));
    }
    let Some(declared) = declared.experts_per_unit else { return Ok(()) };
    match plan {
        Plan::TokenChoice { experts, .. } if experts.dims()[2] == declared => Ok(()),
        Plan::TokenChoice { experts, .. } => {
            let found = experts.dims()[2];
            Err(format!(
                "the plan has {found} experts for a unit, but EXPERTS_PER_UNIT = {declared}"
            ))
        }
        _ => Err("EXPERTS_PER_UNIT is for plans in which units choose".to_string()),
    }
}

/// Checks that a plan fits G groups of U units and that its indices and weights are in range.
fn well_formed(plan: &Plan, [g, u]: [usize; 2]) -> Result<(), String> {
    let fits = |what: &str, found: &[usize], wanted: &[usize]| {
        let same = found.len() >= wanted.len() && found[..wanted.len()] == *wanted;
        if same { Ok(()) } else { Err(format!("{what} are {found:?}, not {wanted:?}...")) }
    };
    match plan {
        Plan::TokenChoice { experts, weights, n_experts } => {
            fits("n_experts", &[*n_experts], &[EXPERTS])?;
            fits("experts", &experts.dims(), &[g, u])?;
            fits("weights", &weights.dims(), &experts.dims())?;
            // The null expert is E itself.
            within("expert", experts, EXPERTS + 1)?;
            finite("weights", &values(weights.clone()))
        }
        Plan::ExpertChoice { units, weights, n_units } => {
            fits("n_units", &[*n_units], &[u])?;
            fits("units", &units.dims(), &[g, EXPERTS])?;
            fits("weights", &weights.dims(), &units.dims())?;
            within("unit", units, u)?;
            finite("weights", &values(weights.clone()))
        }
        Plan::Soft { dispatch, combine } => {
            fits("dispatch weights", &dispatch.dims(), &[g, u, EXPERTS])?;
            fits("combine weights", &combine.dims(), &dispatch.dims())?;
            finite("dispatch weights", &values(dispatch.clone()))?;
            finite("combine weights", &values(combine.clone()))
        }
        Plan::Merged { weights, n_units, segment } => {
            fits("n_units", &[*n_units], &[u])?;
            fits("weights", &weights.dims(), &[g, u.div_ceil((*segment).max(1)), EXPERTS])?;
            finite("weights", &values(weights.clone()))
        }
        Plan::Dense { weights } => {
            fits("weights", &weights.dims(), &[g, u, EXPERTS])?;
            finite("weights", &values(weights.clone()))
        }
    }
}

fn within(what: &str, indices: &Tensor<3, Int>, end: usize) -> Result<(), String> {
    match indices.to_data().iter::<i64>().find(|index| !(0..end as i64).contains(index)) {
        Some(index) => Err(format!("{what} {index} is chosen; must be below {end}")),
        None => Ok(()),
    }
}

fn finite(what: &str, values: &[f32]) -> Result<(), String> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(format!("{what}: expected finite numbers, found {value}")),
        None => Ok(()),
    }
}

/// Checks that a router with parameters reports a number of floating-point operations.
pub(super) fn flops(subject: &Subject) -> Result<(), String> {
    let layer = subject.training_layer(Setup::PLAIN)?;
    let flops = layer.router.flops_per_unit();
    let trained = super::gradients::trained(&layer.router);
    if !(flops.is_finite() && flops >= 0.0) || (!trained.is_empty() && flops == 0.0) {
        return Err(format!("flops_per_unit is {flops}, with parameters {trained:?}"));
    }
    Ok(())
}
