//! Every method against one: the verdicts that accompany a comparison table.

use super::{
    cmp_table::{covers, failures, undecided},
    comparison::{Comparison, judge},
};
use crate::{
    Better, Cell, Column, Error, Kind, NumberForm, Query, Setting, Table, budget::warning,
    number::decimals,
};

/// All other methods against one of them, in one metric of a setting.
pub(crate) struct Baseline<'a> {
    /// The setting.
    pub(crate) setting: &'a Setting<'a>,
    /// The metric.
    pub(crate) metric: &'a str,
    /// The method that the others are compared with.
    pub(crate) base: &'a str,
    /// The comparison of each other method with it.
    pub(crate) rows: Vec<Comparison>,
}

/// The comparisons with `baseline`, or else with the first method, in each metric whose direction is known.
pub(crate) fn differences_to_baseline<'a>(
    setting: &'a Setting<'a>,
    query: &'a Query,
    baseline: Option<&'a str>,
    margin: Option<f64>,
) -> Result<Vec<Baseline<'a>>, Error> {
    let methods = query.methods(setting);
    let Some(base) = baseline.or(methods.first().copied()) else { return Ok(Vec::new()) };
    let metrics = query.metrics(setting).into_iter().filter(|m| query.better(m).is_some());
    let of_metric = |metric| {
        let others = methods.iter().filter(|method| **method != base);
        let rows = others.map(|method| Comparison::new(setting, query, metric, [method, base]));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        judge(&mut rows, margin)?;
        Ok(Baseline { setting, metric, base, rows })
    };
    metrics.map(of_metric).collect()
}

impl Baseline<'_> {
    /// The direction in which the metric improves.
    pub(crate) fn better(&self) -> Better {
        self.rows.first().map_or(Better::Higher, |row| row.better)
    }

    /// Values that all rows of a table share.
    pub(super) fn about(&self) -> Vec<(&'static str, String)> {
        let Self { setting, metric, base, .. } = self;
        vec![
            ("suite", setting.suite.into()),
            ("task", setting.task.into()),
            ("backbone", setting.backbone.into()),
            ("metric", (*metric).into()),
            ("baseline", (*base).into()),
        ]
    }

    /// The verdicts as a table.
    pub(crate) fn table(&self, margin: Option<f64>) -> Table {
        let Self { setting, metric, base, rows } = self;
        let halves = rows.iter().filter_map(|c| c.paired).map(|p| p.high - p.difference);
        let number = Kind::Numbers(NumberForm::Fixed(decimals(halves)));
        let mut notes = vec![format!(
            "{metric} minus that of {base}, mean over the n shared seeds with its 95 % t interval; p: \
             paired t test, two-sided, with Holm's correction over the rows. With fewer than 3 shared \
             seeds there is no interval."
        )];
        notes.push(undecided(margin));
        notes.extend(covers(rows));
        notes.extend(failures(rows));
        let compared: Vec<&str> = rows.iter().map(|row| row.a.as_str()).chain([*base]).collect();
        notes.extend(warning(setting, &compared));
        Table {
            title: format!("{}, {}: {metric} against {base}", setting.task, setting.backbone),
            about: self.about(),
            columns: vec![
                Column::new("method", "method", Kind::Words),
                Column::new("difference", "difference", number),
                Column::new("low", "low", number),
                Column::new("high", "high", number),
                Column::new("p_holm", "p (Holm)", Kind::Numbers(NumberForm::P)),
                Column::new("n", "n", Kind::Numbers(NumberForm::Fixed(0))),
                Column::new("verdict", "verdict", Kind::Words),
            ],
            rows: rows.iter().map(row).collect(),
            bold: None,
            notes,
        }
    }
}

fn row(c: &Comparison) -> Vec<Cell> {
    let number = |x: Option<f64>| x.map_or(Cell::Missing, Cell::Number);
    let without_variance = c.paired.is_some_and(|paired| paired.p_value.is_none());
    vec![
        Cell::Words(c.a.clone()),
        number(c.difference()),
        number(c.paired.map(|paired| paired.low)),
        number(c.paired.map(|paired| paired.high)),
        if without_variance { Cell::Gap("no variance".into()) } else { number(c.p_holm) },
        Cell::Number(c.differences.len() as f64),
        Cell::Words(c.verdict.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn everyone_against_the_first() {
        let (runs, query) = (fixture::runs(), Query::default());
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let found = differences_to_baseline(&setting, &query, None, Some(0.01)).unwrap();
        assert_eq!(found.len(), 1);
        insta::assert_snapshot!(found[0].table(Some(0.01)).render(Format::Text));
    }
}
