//! The rows of tables, from runs.

use std::collections::HashMap;

use report::{Row, Runs};

use super::{
    conditions::{self, Conditions},
    example_rows,
};
use crate::{
    probes::routing_numbers,
    spec::{Equal, RunSpec, SuitePlan},
    store::{Ended, Numbers, Store, revision},
};

/// FLOPs of a training step over those of its forward pass: the backward pass has two products for
/// each one. Kaplan et al. *Scaling Laws for Neural Language Models*. 2020, section 2.1.
/// <https://arxiv.org/abs/2001.08361>
const TRAINING: f64 = 3.0;

/// The rows of all runs of a suite that have ended or are refused. Runs that are still to be trained have no
/// rows.
pub(crate) fn rows(suite: &SuitePlan, store: &Store) -> anyhow::Result<Runs> {
    let mut rows = Vec::new();
    let spent = Spent::of(suite, store)?;
    let mut conditions = Conditions::default();
    for spec in &suite.specs {
        let row = blank(suite, spec);
        match (&spec.refused, store.ended(&spec.id)?) {
            (Some(why), _) => {
                rows.push(Row { metric: "refused".into(), note: why.clone(), ..row });
            }
            (None, Some(mut ended)) => {
                store.check(&spec.id)?;
                if let Ended::Done(numbers) = &mut ended {
                    numbers.metrics.extend(routing_numbers::read(&spec.id, store)?);
                    if suite.gated {
                        numbers.metrics.extend(conditions.of(spec, store)?);
                        let costs = conditions::costs(numbers);
                        numbers.metrics.extend(costs);
                    }
                }
                let off = off_budget(spec, &ended, &spent).or(row.budget_off);
                rows.extend(of_ended(&Row { budget_off: off, ..row }, ended));
            }
            (None, None) => {}
        }
    }
    Ok(Runs { rows, examples: example_rows::of_suite(suite, store)? })
}

/// The cost of the reference methods' runs in the budget's quantity, by task and backbone.
struct Spent(HashMap<(String, String), Vec<f64>>);

impl Spent {
    fn of(suite: &SuitePlan, store: &Store) -> anyhow::Result<Self> {
        let mut spent: HashMap<_, Vec<f64>> = HashMap::new();
        for spec in &suite.specs {
            let Some(given) = spec.budget.as_ref().filter(|g| g.reference == spec.method) else {
                continue;
            };
            if let Some(Ended::Done(numbers)) = store.ended(&spec.id)? {
                spent.entry(place(spec)).or_default().push(taken(given.equal, &numbers));
            }
        }
        Ok(Self(spent))
    }
}

fn place(spec: &RunSpec) -> (String, String) {
    (spec.config.task.kind.clone(), spec.config.backbone.kind.clone())
}

/// The relative deviation of a run from the mean of its reference's runs; none without such a run, or if
/// it took nothing.
fn off_budget(spec: &RunSpec, ended: &Ended, Spent(spent): &Spent) -> Option<f64> {
    let Ended::Done(numbers) = ended else { return None };
    let reference = spent.get(&place(spec))?;
    let mean = reference.iter().sum::<f64>() / reference.len() as f64;
    (mean > 0.0).then_some(taken(spec.budget.as_ref()?.equal, numbers) / mean - 1.0)
}

pub(crate) fn blank(suite: &SuitePlan, spec: &RunSpec) -> Row {
    Row {
        suite: suite.name.clone(),
        task: spec.config.task.kind.clone(),
        backbone: spec.config.backbone.kind.clone(),
        method: spec.method.clone(),
        router: spec.router().into(),
        seed: spec.seed,
        split: "test".into(),
        // The code is part of the name of a run's folder, so every run that is found has this revision.
        revision: revision().into(),
        run: spec.id.clone(),
        note: spec.note.clone(),
        budget: spec.budget.as_ref().map_or_else(String::new, |given| given.equal.words().into()),
        budget_limit: spec.budget.as_ref().map(|given| given.tolerance),
        budget_off: spec.budget.as_ref().and_then(|given| given.off),
        trials: spec.chosen().map(|tuned| tuned.settings as u64),
        tuned: spec.chosen().map_or_else(String::new, |tuned| tuned.text.clone()),
        lr: Some(spec.config.train.lr),
        batch: Some(spec.config.train.batch as u64),
        ..Row::default()
    }
}

/// The rows of a run that has ended.
pub(crate) fn of_ended(row: &Row, ended: Ended) -> Vec<Row> {
    match ended {
        Ended::Done(numbers) => done(row, numbers).collect(),
        Ended::Failed { step, cause } => vec![Row {
            metric: "failed".into(),
            step: Some(step as u64),
            note: format!("at step {step}, {cause}"),
            ..row.clone()
        }],
    }
}

fn done(row: &Row, numbers: Numbers) -> impl Iterator<Item = Row> {
    let row = Row {
        step: Some(numbers.step as u64),
        params: Some(numbers.params.round() as u64),
        active_params: Some(numbers.active_params.round() as u64),
        flops_per_token: Some(numbers.flops_per_token),
        seconds: Some(numbers.seconds),
        router_params: Some(numbers.router_params.round() as u64),
        tokens: Some(numbers.tokens.round() as u64),
        train_flops: Some(TRAINING * numbers.forward_flops),
        peak_memory: numbers.peak_memory,
        device: numbers.device,
        ..row.clone()
    };
    numbers.metrics.into_iter().map(move |(split, metric, value)| Row {
        split,
        metric,
        value: Some(value),
        ..row.clone()
    })
}

/// The cost of a run in the budget's quantity.
fn taken(equal: Equal, numbers: &Numbers) -> f64 {
    match equal {
        Equal::ActiveFlops => numbers.flops_per_token,
        Equal::Params => numbers.params,
        Equal::Steps => numbers.step as f64,
        Equal::Tokens => numbers.tokens,
        Equal::WallTime => numbers.seconds,
    }
}
