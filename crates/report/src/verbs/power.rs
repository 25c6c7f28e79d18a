//! The number of seeds needed to detect a difference.

use super::{
    baseline::{Baseline, differences_to_baseline},
    comparison::Comparison,
};
use crate::{
    Better, Cell, Column, Error, Kind, NumberForm, Query, Runs, Table,
    number::decimals,
    query::known,
    setting::distinct,
    stats::{MOST_SEEDS, least_effect, seeds_for_equivalence, seeds_needed},
};

/// One table for each setting and metric. For every method against `baseline` it has the spread of the
/// differences, the smallest difference that the present seeds detect, and the numbers of seeds needed to
/// detect a difference as large as the margin and to show equivalence.
///
/// # Errors
/// If there is no method of that name, if there is no metric to compare by, or if the margin is not above 0.
pub fn power(
    runs: &Runs,
    query: &Query,
    baseline: Option<&str>,
    margin: Option<f64>,
) -> Result<Vec<Table>, Error> {
    let settings = query.settings(runs)?;
    let methods = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
    known("method", &baseline.map(String::from).into_iter().collect::<Vec<_>>(), &methods)?;
    let mut query = query.clone();
    for metric in &query.metrics {
        // The number of seeds does not depend on the direction of the metric.
        let better = query.better(metric).unwrap_or(Better::Higher);
        query.better.insert(metric.clone(), better);
    }
    let mut tables = Vec::new();
    for setting in &settings {
        let found = differences_to_baseline(setting, &query, baseline, margin)?;
        tables.extend(found.iter().map(|found| table(found, margin)));
    }
    match query.unjudged(&settings).filter(|_| tables.is_empty()) {
        Some(why) => Err(Error::Query(why)),
        None => Ok(tables),
    }
}

fn table(found: &Baseline, margin: Option<f64>) -> Table {
    let Baseline { setting, metric, base, rows: comparisons } = found;
    let deviations = comparisons.iter().filter_map(|c| Some(c.paired?.deviation));
    let number = Kind::Numbers(NumberForm::Fixed(decimals(deviations)));
    let count = Kind::Numbers(NumberForm::Fixed(0));
    let mut columns = vec![
        Column::new("method", "method", Kind::Words),
        Column::new("n", "n", count),
        Column::new("difference", "difference", number),
        Column::new("deviation", "deviation", number),
        Column::new("detects", "detects", number),
    ];
    if let Some(margin) = margin {
        columns.push(Column::new("seeds", &format!("seeds to detect {margin}"), count));
        columns.push(Column::new("seeds_equivalence", "seeds for equivalence", count));
    }
    Table {
        title: format!("{}, {}: seeds for {metric} against {base}", setting.task, setting.backbone),
        about: found.about(),
        columns,
        rows: rows(comparisons, margin),
        bold: None,
        notes: notes(margin),
    }
}

fn notes(margin: Option<f64>) -> Vec<String> {
    let mut notes = vec![
        "deviation: standard deviation of the differences over the n shared seeds; detects: the \
         smallest difference that n seeds show with a probability of 80 %, by a two-sided paired t \
         test at 5 %. The deviation is itself an estimate from n seeds, and the test examples are fixed."
            .to_string(),
    ];
    notes.push(match margin {
        Some(margin) => format!(
            "seeds to detect {margin}: the number of shared seeds that shows a difference of {margin} \
             with a probability of 80 %, by that test; seeds for equivalence: the number that shows \
             with a probability of 80 % that the difference is smaller than {margin}, by two one-sided t \
             tests at 5 %, if there is none."
        ),
        None => "With --margin, the smallest difference that matters, the table has the number of \
                 seeds that detects it."
            .into(),
    });
    notes
}

fn rows(comparisons: &[Comparison], margin: Option<f64>) -> Vec<Vec<Cell>> {
    let row = |c: &Comparison| {
        let n = c.differences.len();
        let mut row = vec![Cell::Words(c.a.clone()), Cell::Number(n as f64)];
        let Some(paired) = c.paired else {
            let gaps = if margin.is_some() { 5 } else { 3 };
            row.extend(vec![Cell::Gap("fewer than 3 seeds".into()); gaps]);
            return row;
        };
        let deviation = paired.deviation;
        let least = least_effect(n) * deviation;
        row.extend([paired.difference, deviation, least].map(Cell::Number));
        if let Some(margin) = margin {
            let seeds = [seeds_needed, seeds_for_equivalence];
            row.extend(seeds.map(|seeds| count(deviation, || seeds(margin / deviation))));
        }
        row
    };
    comparisons.iter().map(row).collect()
}

fn count(deviation: f64, seeds: impl Fn() -> Option<usize>) -> Cell {
    if deviation == 0.0 {
        return Cell::Gap("no variance".into());
    }
    match seeds() {
        Some(seeds) => Cell::Number(seeds as f64),
        None => Cell::Gap(format!("over {MOST_SEEDS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn with_a_margin_and_without() {
        let shown = |margin| {
            let tables = power(&fixture::runs(), &Query::default(), None, margin).unwrap();
            tables[0].render(Format::Text)
        };
        insta::assert_snapshot!(shown(Some(0.005)));
        insta::assert_snapshot!(shown(None));
    }

    #[test]
    fn a_misspelt_baseline_is_named() {
        let err = power(&fixture::runs(), &Query::default(), Some("dens"), None).unwrap_err();
        assert!(err.to_string().starts_with("no method is named \"dens\"; known: dense,"), "{err}");
    }
}
