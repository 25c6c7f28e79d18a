//! From runs to the rows that tables are made of.

use report::{Row, Runs};

use crate::{
    code::revision,
    store::{Ended, Numbers, Store},
    suite::{Cell, Loaded},
};

/// The rows of all runs of a suite that have ended or are refused. Those that are still to be
/// trained have none.
pub(crate) fn rows(suite: &Loaded, store: &Store) -> anyhow::Result<Runs> {
    let mut rows = Vec::new();
    for cell in &suite.cells {
        let row = blank(suite, cell);
        match (cell.refused, store.ended(&cell.id)?) {
            (Some(why), _) => {
                rows.push(Row { metric: "refused".into(), note: why.into(), ..row });
            }
            (None, Some(Ended::Done(numbers))) => rows.extend(done(&row, numbers)),
            (None, Some(Ended::Failed { step, cause })) => rows.push(Row {
                metric: "failed".into(),
                step: Some(step as u64),
                note: format!("at step {step}, {cause}"),
                ..row
            }),
            (None, None) => {}
        }
    }
    Ok(Runs { rows })
}

fn blank(suite: &Loaded, cell: &Cell) -> Row {
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
        ..Row::default()
    }
}

fn done(row: &Row, numbers: Numbers) -> impl Iterator<Item = Row> {
    let row = Row {
        step: Some(numbers.step as u64),
        params: Some(numbers.params.round() as u64),
        active_params: Some(numbers.active_params.round() as u64),
        flops_per_token: Some(numbers.flops_per_token),
        seconds: Some(numbers.seconds),
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
