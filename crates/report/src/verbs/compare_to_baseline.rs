//! Every method against one: the verdicts beside a comparison table.

use super::cmp::{Comparison, judge};
use crate::{
    Cell, Column, Digits, Error, Kind, Query, Runs, Setting, Table, budget::warning,
    number::decimals, query::known, setting::distinct, stats::mean,
};

/// One table for each setting and metric: every method against `baseline`, with verdicts. Holm's
/// correction is over the methods of a table. None is the first method of each setting.
pub fn compare_to_baseline(
    runs: &Runs,
    ask: &Query,
    baseline: Option<&str>,
    margin: Option<f64>,
) -> Result<Vec<Table>, Error> {
    let settings = ask.settings(runs)?;
    let methods = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
    known("method", &baseline.map(String::from).into_iter().collect::<Vec<_>>(), &methods)?;
    let tables = settings.iter().map(|setting| against_in(setting, ask, baseline, margin));
    Ok(tables.collect::<Result<Vec<_>, _>>()?.concat())
}

/// The tables of one setting.
pub(crate) fn against_in(
    setting: &Setting,
    ask: &Query,
    baseline: Option<&str>,
    margin: Option<f64>,
) -> Result<Vec<Table>, Error> {
    let methods = ask.methods(setting);
    let Some(base) = baseline.or(methods.first().copied()) else { return Ok(Vec::new()) };
    let mut tables = Vec::new();
    for metric in ask.metrics(setting).into_iter().filter(|m| ask.better(m).is_some()) {
        let others = methods.iter().filter(|method| **method != base);
        let mut rows = others
            .map(|method| Comparison::new(setting, ask, metric, method, base))
            .collect::<Result<Vec<_>, _>>()?;
        judge(&mut rows, margin)?;
        tables.push(table(setting, metric, base, margin, &rows));
    }
    Ok(tables)
}

fn table(
    setting: &Setting,
    metric: &str,
    base: &str,
    margin: Option<f64>,
    rows: &[Comparison],
) -> Table {
    let halves = rows.iter().filter_map(|c| c.paired).map(|p| p.high - p.difference);
    let number = Kind::Numbers(Digits::Fixed(decimals(halves)));
    let mut notes = vec![format!(
        "{metric} minus that of {base}, mean over the n shared seeds with its 95 % t interval; p: \
         paired t test, two-sided, with Holm's correction over the rows. With fewer than 3 shared \
         seeds there is no interval."
    )];
    let compared: Vec<&str> = rows.iter().map(|row| row.a.as_str()).chain([base]).collect();
    notes.extend(warning(setting, &compared));
    notes.extend(margin.map(|margin| {
        format!("equivalent: two one-sided t tests at 5 % put the difference inside ± {margin}.")
    }));
    Table {
        title: format!("{}, {}: {metric} against {base}", setting.task, setting.backbone),
        about: vec![
            ("suite", setting.suite.into()),
            ("task", setting.task.into()),
            ("backbone", setting.backbone.into()),
            ("metric", metric.into()),
            ("baseline", base.into()),
        ],
        columns: vec![
            Column::new("method", "method", Kind::Words),
            Column::new("difference", "difference", number),
            Column::new("low", "low", number),
            Column::new("high", "high", number),
            Column::new("p_holm", "p (Holm)", Kind::Numbers(Digits::P)),
            Column::new("n", "n", Kind::Numbers(Digits::Fixed(0))),
            Column::new("verdict", "verdict", Kind::Words),
        ],
        rows: rows.iter().map(row).collect(),
        bold: None,
        notes,
    }
}

fn row(c: &Comparison) -> Vec<Cell> {
    let number = |x: Option<f64>| x.map_or(Cell::Missing, Cell::Number);
    vec![
        Cell::Words(c.a.clone()),
        number(mean(&c.differences).map(|mean| mean.mean)),
        number(c.paired.map(|paired| paired.low)),
        number(c.paired.map(|paired| paired.high)),
        number(c.p_holm),
        Cell::Number(c.differences.len() as f64),
        match c.differences.len() {
            0 => Cell::Gap("no shared seed".into()),
            _ => Cell::Words(c.verdict.to_string()),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn everyone_against_the_first() {
        let tables =
            compare_to_baseline(&fixture::runs(), &Query::default(), None, Some(0.01)).unwrap();
        assert_eq!(tables.len(), 1);
        insta::assert_snapshot!(tables[0].render(Format::Text));
    }

    #[test]
    fn a_misspelt_baseline_is_named() {
        let err = compare_to_baseline(&fixture::runs(), &Query::default(), Some("dens"), None)
            .unwrap_err();
        assert!(err.to_string().starts_with("no method is named \"dens\"; known: dense,"), "{err}");
    }
}
