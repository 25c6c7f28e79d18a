//! Expectations of a suite: bounds on its results, `[[expect]]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Cell, Column, Error, Estimate, Kind, NumberForm, Row, Runs, Table,
    metric::range,
    stats::{Mean, mean},
};

/// An expectation, `[[expect]]` of a suite: the mean of a metric over the matching runs lies between two
/// bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Columns with the values of the runs that it applies to; empty means all runs.
    #[serde(rename = "where", default)]
    pub place: BTreeMap<String, Value>,
    /// The metric.
    pub metric: String,
    /// The split.
    #[serde(default = "test")]
    pub split: String,
    /// The smallest and the largest allowed mean.
    pub between: [f64; 2],
}

fn test() -> String {
    "test".into()
}

/// The outcome of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOutcome {
    /// The expectation.
    pub expect: Expect,
    /// The mean of the matching runs; none if there are none.
    pub mean: Option<Mean>,
    /// The number of matching runs that failed or were refused. If there are any, the expectation does not
    /// hold.
    pub lost: usize,
    /// Whether the expectation holds.
    pub holds: bool,
}

/// Checks expectations on runs.
pub fn check(runs: &Runs, expects: &[Expect]) -> Result<Vec<CheckOutcome>, Error> {
    expects.iter().map(|expect| outcome(runs, expect)).collect()
}

fn outcome(runs: &Runs, expect: &Expect) -> Result<CheckOutcome, Error> {
    let mut values = Vec::new();
    let mut lost = 0;
    for row in &runs.rows {
        let asked = row.metric == expect.metric && row.split == expect.split;
        if !(asked || row.is_gap()) || !fits(row, &expect.place)? {
            continue;
        }
        match row.measure().filter(|_| asked) {
            Some(value) => values.push(value),
            None => lost += 1,
        }
    }
    let [low, high] = expect.between;
    let mean = mean(&values);
    let holds = lost == 0 && mean.is_some_and(|mean| (low..=high).contains(&mean.mean));
    Ok(CheckOutcome { expect: expect.clone(), mean, lost, holds })
}

/// Whether the row has these values in these columns.
pub(super) fn fits(row: &Row, place: &BTreeMap<String, Value>) -> Result<bool, Error> {
    for (column, value) in place {
        if row.field(column)? != text(value) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A value of a column, as in tables.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// The columns with the values that select runs, as words; empty if all runs are selected.
pub(super) fn place(columns: &BTreeMap<String, Value>) -> String {
    let one = |(column, value): (&String, &Value)| format!("{column} = {}", text(value));
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The outcomes as a table, one row each.
pub fn check_table(outcomes: &[CheckOutcome]) -> Table {
    let bound = Kind::Numbers(NumberForm::Fixed(4));
    let broken = outcomes.iter().filter(|outcome| !outcome.holds).count();
    Table {
        title: format!("{} of {} expectations are met", outcomes.len() - broken, outcomes.len()),
        columns: vec![
            Column::new("where", "where", Kind::Words),
            Column::new("metric", "metric", Kind::Words),
            Column::new("split", "split", Kind::Words),
            Column::new("low", "at least", bound),
            Column::new("high", "at most", bound),
            Column::new("mean", "mean", Kind::Estimates(NumberForm::Fixed(4))),
            Column::new("holds", "holds", Kind::Words),
        ],
        rows: outcomes.iter().map(row).collect(),
        ..Table::default()
    }
}

fn row(outcome: &CheckOutcome) -> Vec<Cell> {
    let CheckOutcome { expect, mean, lost, holds } = outcome;
    let mean = match *mean {
        Some(mean) => {
            Estimate { failed: *lost, ..Estimate::new(mean, range(&expect.metric)) }.into()
        }
        None if *lost > 0 => Cell::Gap(format!("{lost} failed or refused")),
        None => Cell::Gap("no run matches".into()),
    };
    vec![
        Cell::Words(place(&expect.place)),
        Cell::Words(expect.metric.clone()),
        Cell::Words(expect.split.clone()),
        Cell::Number(expect.between[0]),
        Cell::Number(expect.between[1]),
        mean,
        Cell::Words(if *holds { "yes" } else { "NO" }.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    fn expect(json: &str) -> Expect {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn bands_hold_or_not() {
        let expects = [
            expect(
                r#"{"where": {"method": "switch"}, "metric": "accuracy", "between": [0.95, 1]}"#,
            ),
            expect(
                r#"{"where": {"method": "switch", "seed": 3}, "metric": "accuracy", "between": [0.978, 0.978]}"#,
            ),
            expect(r#"{"where": {"method": "dense"}, "metric": "accuracy", "between": [0.97, 1]}"#),
            expect(r#"{"where": {"method": "hash"}, "metric": "accuracy", "between": [0, 1]}"#),
            expect(
                r#"{"where": {"method": "naïve-路由"}, "metric": "accuracy", "between": [0, 1]}"#,
            ),
            expect(
                r#"{"where": {"method": "expert-choice"}, "metric": "accuracy", "between": [0, 1]}"#,
            ),
        ];
        let outcomes = check(&fixture::runs(), &expects).unwrap();
        let holds: Vec<bool> = outcomes.iter().map(|outcome| outcome.holds).collect();
        assert_eq!(holds, [true, true, false, false, false, false]);
        insta::assert_snapshot!(check_table(&outcomes).render(Format::Text));
    }

    #[test]
    fn a_misspelt_column_or_key_is_named() {
        let bad = expect(r#"{"where": {"methd": "a"}, "metric": "accuracy", "between": [0, 1]}"#);
        let err = check(&fixture::runs(), &[bad]).unwrap_err().to_string();
        assert!(err.starts_with("no column is named \"methd\"; known: suite, task"), "{err}");
        let bad = r#"{"metrc": "accuracy", "between": [0, 1]}"#;
        let err = serde_json::from_str::<Expect>(bad).unwrap_err().to_string();
        assert!(err.contains("metrc"), "{err}");
    }
}
