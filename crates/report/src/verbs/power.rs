//! How many seeds does it take?

use std::collections::HashMap;

use crate::{
    Cell, Column, Digits, Error, Kind, Query, Runs, Setting, Table,
    number::decimals,
    query::known,
    setting::distinct,
    stats::{MOST_SEEDS, Paired, least_effect, paired_t, seeds_needed},
};

/// One table for each setting and metric: for every method against `baseline`, the spread of the
/// differences, the least difference that the present seeds show, and the seeds that it takes to
/// show the margin. Without a margin it is the difference as it looks now.
pub fn power(
    runs: &Runs,
    ask: &Query,
    baseline: Option<&str>,
    margin: Option<f64>,
) -> Result<Vec<Table>, Error> {
    let settings = ask.settings(runs)?;
    let methods = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
    known("method", &baseline.map(String::from).into_iter().collect::<Vec<_>>(), &methods)?;
    let mut tables = Vec::new();
    for setting in &settings {
        let methods = ask.methods(setting);
        let Some(base) = baseline.or(methods.first().copied()) else { continue };
        for metric in ask.metrics(setting) {
            let tests: Vec<_> = methods
                .iter()
                .filter(|method| **method != base)
                .map(|m| (*m, setting.differences(m, base, metric, ask.split(setting))))
                .collect();
            tables.push(table(setting, metric, base, margin, &tests));
        }
    }
    Ok(tables)
}

fn table(
    setting: &Setting,
    metric: &str,
    base: &str,
    margin: Option<f64>,
    tests: &[(&str, Vec<f64>)],
) -> Table {
    let tests: Vec<_> = tests.iter().map(|(m, d)| (*m, d.len(), paired_t(d))).collect();
    let deviations = tests.iter().filter_map(|(.., paired)| Some(paired.as_ref()?.deviation));
    let number = Kind::Numbers(Digits::Fixed(decimals(deviations)));
    let goal = match margin {
        Some(margin) => format!("a difference of {margin}"),
        None => "the difference as it looks now".into(),
    };
    Table {
        title: format!("{}, {}: seeds for {metric} against {base}", setting.task, setting.backbone),
        about: vec![
            ("suite", setting.suite.into()),
            ("task", setting.task.into()),
            ("backbone", setting.backbone.into()),
            ("metric", metric.into()),
            ("baseline", base.into()),
        ],
        columns: vec![
            Column::new("method", "method", Kind::Words),
            Column::new("n", "n", Kind::Numbers(Digits::Fixed(0))),
            Column::new("difference", "difference", number),
            Column::new("deviation", "deviation", number),
            Column::new("least", "visible now", number),
            Column::new("seeds", "seeds needed", Kind::Numbers(Digits::Fixed(0))),
        ],
        rows: rows(&tests, margin),
        bold: None,
        notes: vec![format!(
            "seeds needed: so many shared seeds show {goal} four times in five, by a two-sided \
             paired t test at 5 %; deviation: standard deviation of the differences; visible now: \
             the least difference that the n seeds show four times in five."
        )],
    }
}

fn rows(tests: &[(&str, usize, Option<Paired>)], margin: Option<f64>) -> Vec<Vec<Cell>> {
    // Most methods have equally many seeds, and the least effect takes a while.
    let mut least = HashMap::new();
    let row = |(method, n, paired): &(&str, usize, Option<Paired>)| {
        let mut row = vec![Cell::Words((*method).into()), Cell::Number(*n as f64)];
        let Some(Paired { difference, deviation, .. }) = *paired else {
            row.extend(vec![Cell::Gap("fewer than 3 seeds".into()); 4]);
            return row;
        };
        let least = *least.entry(*n).or_insert_with(|| least_effect(*n)) * deviation;
        row.extend([difference, deviation, least].map(Cell::Number));
        row.push(seeds(margin.unwrap_or(difference), deviation));
        row
    };
    tests.iter().map(row).collect()
}

fn seeds(size: f64, deviation: f64) -> Cell {
    if deviation == 0.0 {
        return Cell::Gap("no spread".into());
    }
    match seeds_needed(size / deviation) {
        Some(seeds) => Cell::Number(seeds as f64),
        None => Cell::Gap(format!("over {MOST_SEEDS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn for_a_margin_and_for_what_is_seen() {
        let shown = |margin| {
            let tables = power(&fixture::runs(), &Query::default(), None, margin).unwrap();
            tables[0].render(Format::Text)
        };
        insta::assert_snapshot!(shown(Some(0.005)));
        insta::assert_snapshot!(shown(None));
    }
}
