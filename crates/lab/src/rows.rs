//! From runs to the rows that tables are made of.

use std::collections::HashMap;

use report::{Row, Runs};

use crate::{
    code::revision,
    ranks,
    run_spec::RunSpec,
    store::{Ended, Numbers, Store},
    suite::SuitePlan,
};

/// FLOPs of a training step over those of its forward pass: the backward pass has two products for
/// each one. Kaplan et al. *Scaling Laws for Neural Language Models*. 2020, section 2.1.
/// <https://arxiv.org/abs/2001.08361>
const TRAINING: f64 = 3.0;

/// The rows of all runs of a suite that have ended or are refused. Those that are still to be
/// trained have none.
pub(crate) fn rows(suite: &SuitePlan, store: &Store) -> anyhow::Result<Runs> {
    let mut rows = Vec::new();
    let spent = Spent::of(suite, store)?;
    for cell in &suite.cells {
        let row = blank(suite, cell);
        match (&cell.refused, store.ended(&cell.id)?) {
            (Some(why), _) => {
                rows.push(Row { metric: "refused".into(), note: why.clone(), ..row });
            }
            (None, Some(mut ended)) => {
                if let Ended::Done(numbers) = &mut ended {
                    numbers.metrics.extend(ranks::read(&cell.id, store)?);
                }
                let off = off_budget(cell, &ended, &spent).or(row.budget_off);
                rows.extend(of_ended(&Row { budget_off: off, ..row }, ended));
            }
            (None, None) => {}
        }
    }
    Ok(Runs { rows })
}

/// What the runs of the reference methods took of what is held equal, by task and backbone.
struct Spent(HashMap<(String, String), Vec<f64>>);

impl Spent {
    fn of(suite: &SuitePlan, store: &Store) -> anyhow::Result<Self> {
        let mut spent: HashMap<_, Vec<f64>> = HashMap::new();
        for cell in &suite.cells {
            let Some(given) = cell.budget.as_ref().filter(|g| g.reference == cell.method) else {
                continue;
            };
            if let Some(Ended::Done(numbers)) = store.ended(&cell.id)? {
                spent.entry(place(cell)).or_default().push(given.equal.of(&numbers));
            }
        }
        Ok(Self(spent))
    }
}

fn place(cell: &RunSpec) -> (String, String) {
    (cell.config.task.kind.clone(), cell.config.backbone.kind.clone())
}

/// How far a run is off the mean of its reference's runs; none if there is no such run yet.
fn off_budget(cell: &RunSpec, ended: &Ended, Spent(spent): &Spent) -> Option<f64> {
    let Ended::Done(numbers) = ended else { return None };
    let reference = spent.get(&place(cell))?;
    let mean = reference.iter().sum::<f64>() / reference.len() as f64;
    Some(cell.budget.as_ref()?.equal.of(numbers) / mean - 1.0)
}

pub(crate) fn blank(suite: &SuitePlan, cell: &RunSpec) -> Row {
    Row {
        suite: suite.name.clone(),
        task: cell.config.task.kind.clone(),
        backbone: cell.config.backbone.kind.clone(),
        method: cell.method.clone(),
        router: cell.router().into(),
        seed: cell.seed,
        split: "test".into(),
        // A run's folder is named by its code too, so whatever is found there is of this revision.
        revision: revision().into(),
        run: cell.id.clone(),
        budget: cell.budget.as_ref().map_or_else(String::new, |given| given.equal.words().into()),
        budget_limit: cell.budget.as_ref().map(|given| given.tolerance),
        budget_off: cell.budget.as_ref().and_then(|given| given.off),
        trials: cell.tuned.as_ref().map(|(_, trials)| *trials as u64),
        tuned: cell.tuned.as_ref().map_or_else(String::new, |(text, _)| text.clone()),
        lr: Some(cell.config.train.lr),
        batch: Some(cell.config.train.batch as u64),
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
        train_flops: Some(TRAINING * numbers.flops_per_token * numbers.tokens),
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
