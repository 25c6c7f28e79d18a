//! Comparisons as a table.

use super::Comparison;
use crate::{
    Cell, Column, Estimate, Kind, NumberForm, Table,
    metric::range,
    number::decimals,
    setting::distinct,
    stats::{Mean, stratified_mean},
};

/// The comparisons as a table, one row each.
pub fn cmp_table(comparisons: &[Comparison]) -> Table {
    let halves = comparisons.iter().filter_map(|c| c.paired).map(|p| p.high - p.difference);
    let digits = NumberForm::Fixed(decimals(halves));
    let (words, number) = (Kind::Words, Kind::Numbers(digits));
    let (a, b) = comparisons.first().map_or(("a", "b"), |c| (c.a.as_str(), c.b.as_str()));
    let mut table = Table {
        title: format!("{a} against {b}"),
        columns: vec![
            Column::new("task", "task", words),
            Column::new("backbone", "backbone", words),
            Column::new("metric", "metric", words),
            Column::new("mean_a", a, Kind::Estimates(digits)),
            Column::new("mean_b", b, Kind::Estimates(digits)),
            Column::new("difference", "difference", number),
            Column::new("low", "low", number),
            Column::new("high", "high", number),
            Column::new("p_value", "p", Kind::Numbers(NumberForm::P)),
            Column::new("p_holm", "p (Holm)", Kind::Numbers(NumberForm::P)),
            Column::new("n", "n", Kind::Numbers(NumberForm::Fixed(0))),
            Column::new("verdict", "verdict", words),
        ],
        rows: comparisons.iter().map(row).collect(),
        ..Table::default()
    };
    table.notes = notes(comparisons);
    table
}

fn row(c: &Comparison) -> Vec<Cell> {
    let words = |text: &str| Cell::Words(text.into());
    let number = |x: Option<f64>| x.map_or(Cell::Missing, Cell::Number);
    let side = |m: Option<Mean>, failed| match m {
        Some(mean) => Estimate { failed, ..Estimate::new(mean, range(&c.metric)) }.into(),
        None => Cell::Missing,
    };
    let p = |p: Option<f64>| match (c.paired, p) {
        (Some(paired), _) if paired.p_value.is_none() => Cell::Gap("no variance".into()),
        (_, p) => number(p),
    };
    vec![
        words(&c.task),
        words(&c.backbone),
        words(&c.metric),
        side(c.mean_a, c.failed[0]),
        side(c.mean_b, c.failed[1]),
        number(c.difference()),
        number(c.paired.map(|paired| paired.low)),
        number(c.paired.map(|paired| paired.high)),
        p(c.paired.and_then(|paired| paired.p_value)),
        p(c.p_holm),
        Cell::Number(c.differences.len() as f64),
        words(&c.verdict.to_string()),
    ]
}

fn notes(comparisons: &[Comparison]) -> Vec<String> {
    let mut notes = vec![
        "difference: mean over the n shared seeds of the first minus the second; low and high: \
         its 95 % t interval; p: paired t test, two-sided. With fewer than 3 shared seeds there \
         is no interval. The verdict is about the first, at 5 % after Holm's correction over the \
         rows."
            .into(),
    ];
    notes.push(undecided(comparisons.iter().find_map(|c| c.margin)));
    notes.extend(covers(comparisons));
    notes.extend(failures(comparisons));
    let off = comparisons.iter().filter_map(|c| c.off_budget.as_deref());
    notes.extend(distinct(off).into_iter().map(String::from));
    let metrics = distinct(comparisons.iter().map(|c| c.metric.as_str()));
    for metric in metrics {
        let of_metric = comparisons.iter().filter(|c| c.metric == metric);
        let tasks: Vec<Vec<f64>> = of_metric.map(|c| c.differences.clone()).collect();
        if let Some((mean, interval)) = stratified_mean(&tasks).filter(|_| tasks.len() > 1) {
            notes.push(format!(
                "{metric} over all {} settings: difference {mean:.4}, 95 % t interval over seeds \
                 {:.4} to {:.4}.",
                tasks.len(),
                interval.low,
                interval.high
            ));
        }
    }
    notes
}

/// The note on the numbers in undecided verdicts.
pub(super) fn undecided(margin: Option<f64>) -> String {
    match margin {
        Some(margin) => format!(
            "equivalent: two one-sided t tests put the difference inside ± {margin}, at 5 % after \
             Holm's correction over the rows. Seeds for equivalence: the number that shows it with a \
             probability of 80 % if there is no difference."
        ),
        None => {
            "undecided: the detected difference is the one that this number of seeds shows with a \
                 probability of 80 %; it does not depend on the observed one. Seeds that are added \
                 after an analysis are tested separately."
                .into()
        }
    }
}

/// The note on the sources of variation that the tests cover, if test examples were requested.
pub(super) fn covers(comparisons: &[Comparison]) -> Option<String> {
    let of = |c: &Comparison| Some(c.paired?.examples);
    let (with, alone): (Vec<_>, Vec<_>) =
        comparisons.iter().filter_map(of).partition(Option::is_some);
    let query = comparisons.iter().any(|c| c.examples);
    query.then(|| match (with.len(), alone.len()) {
        (_, 0) => "Intervals and tests cover seeds and test examples.".into(),
        (0, _) => "Intervals and tests cover the seeds alone: these results keep no values of single \
                   test examples."
            .into(),
        (with, alone) => format!(
            "Intervals and tests of {with} rows cover seeds and test examples; of {alone} rows they \
             cover the seeds alone, since no values of single examples are kept."
        ),
    })
}

/// A description of failed runs, if there are any.
pub(super) fn failures(comparisons: &[Comparison]) -> Option<String> {
    let failed = comparisons.iter().flat_map(|c| [(&c.a, c.failed[0]), (&c.b, c.failed[1])]);
    let mut named: Vec<(&str, usize)> = Vec::new();
    for (method, count) in failed.filter(|(_, count)| *count > 0) {
        match named.iter_mut().find(|(known, _)| known == method) {
            Some((_, most)) => *most = count.max(*most),
            None => named.push((method, count)),
        }
    }
    let each: Vec<String> = named.iter().map(|(method, n)| format!("{method} ({n})")).collect();
    (!each.is_empty()).then(|| {
        format!(
            "Runs failed where the other method's did not: {}. A failed run is worse than any other, \
             so nothing is decided in favour of its method.",
            each.join(", ")
        )
    })
}
