//! What every method was given and what it took.

use std::collections::BTreeMap;

use crate::{Cell, Column, Digits, Error, Kind, Row, Runs, Setting, Table};

/// One table with a row for each setting and method. Where the runs of a method differ in what
/// should be equal, the row shows the span.
pub fn ledger(runs: &Runs) -> Result<Table, Error> {
    Ok(ledger_of(&Setting::all(runs, true)?))
}

/// The ledger of some settings.
pub(crate) fn ledger_of(settings: &[Setting]) -> Table {
    let mut rows = Vec::new();
    for setting in settings {
        for method in &setting.methods {
            rows.push(row(setting, method));
        }
    }
    let (words, short) = (Kind::Words, Kind::Numbers(Digits::Short));
    Table {
        title: "What each method was given, and what it took".into(),
        columns: vec![
            Column::new("task", "task", words),
            Column::new("backbone", "backbone", words),
            Column::new("method", "method", words),
            Column::new("router", "router", words),
            Column::new("runs", "runs", Kind::Numbers(Digits::Fixed(0))),
            Column::new("params", "params", short),
            Column::new("active_params", "active", short),
            Column::new("flops_per_token", "FLOPs/token", short),
            Column::new("steps", "steps", short),
            Column::new("seconds", "seconds/run", short),
            Column::new("device", "device", words),
            Column::new("revision", "revision", words),
        ],
        rows,
        ..Table::default()
    }
}

fn row(setting: &Setting, method: &str) -> Vec<Cell> {
    // Every row of a run repeats the facts of the run: its last step is where it ended.
    let mut runs: BTreeMap<(u64, &str), (u64, &Row)> = BTreeMap::new();
    for row in setting.rows(method) {
        let end = row.step.unwrap_or(0);
        let run = runs.entry((row.seed, row.run.as_str())).or_insert((end, row));
        run.0 = run.0.max(end);
    }
    let rows = || runs.values().map(|(_, row)| *row);
    let words =
        |of: fn(&Row) -> &str| Cell::Words(crate::setting::distinct(rows().map(of)).join(", "));
    vec![
        Cell::Words(setting.task.into()),
        Cell::Words(setting.backbone.into()),
        Cell::Words(method.into()),
        words(|row| &row.router),
        Cell::Number(runs.len() as f64),
        Cell::span(rows().filter_map(|row| row.params.map(|n| n as f64))),
        Cell::span(rows().filter_map(|row| row.active_params.map(|n| n as f64))),
        Cell::span(rows().filter_map(|row| row.flops_per_token)),
        Cell::span(runs.values().map(|(end, _)| *end as f64)),
        Cell::span(rows().filter_map(|row| row.seconds)),
        words(|row| &row.device),
        words(|row| &row.revision),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn one_row_for_each_method() {
        let mut runs = fixture::runs();
        runs.rows[0].seconds = Some(10.0);
        insta::assert_snapshot!(ledger(&runs).unwrap().render(Format::Text));
    }
}
