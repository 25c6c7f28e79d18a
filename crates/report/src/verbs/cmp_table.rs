//! Comparisons as a table.

use super::Comparison;
use crate::{
    Cell, Column, Digits, Estimate, Kind, Table,
    number::decimals,
    setting::distinct,
    stats::{Mean, RESAMPLES, mean, mean_of_means, paired_bootstrap},
};

/// The comparisons as a table, one row each.
pub fn cmp_table(comparisons: &[Comparison]) -> Table {
    let halves = comparisons.iter().filter_map(|c| c.paired).map(|p| p.high - p.difference);
    let digits = Digits::Fixed(decimals(halves));
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
            Column::new("p_value", "p", Kind::Numbers(Digits::P)),
            Column::new("p_holm", "p (Holm)", Kind::Numbers(Digits::P)),
            Column::new("n", "n", Kind::Numbers(Digits::Fixed(0))),
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
    let side = |m: Option<Mean>| match m {
        Some(mean) => Cell::Estimate(Estimate { mean, bold: false, says_n: true, lost: 0 }),
        None => Cell::Missing,
    };
    vec![
        words(&c.task),
        words(&c.backbone),
        words(&c.metric),
        side(c.mean_a),
        side(c.mean_b),
        number(mean(&c.differences).map(|mean| mean.mean)),
        number(c.paired.map(|paired| paired.low)),
        number(c.paired.map(|paired| paired.high)),
        number(c.paired.map(|paired| paired.p_value)),
        number(c.p_holm),
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
    if let Some(margin) = comparisons.iter().find_map(|c| c.margin) {
        notes.push(format!(
            "equivalent: two one-sided t tests at 5 % put the difference inside ± {margin}."
        ));
    }
    let off = comparisons.iter().filter_map(|c| c.off_budget.as_deref());
    notes.extend(distinct(off).into_iter().map(String::from));
    let metrics = distinct(comparisons.iter().map(|c| c.metric.as_str()));
    for metric in metrics {
        let of_metric = comparisons.iter().filter(|c| c.metric == metric);
        let tasks: Vec<Vec<f64>> = of_metric.map(|c| c.differences.clone()).collect();
        if let Some(interval) = paired_bootstrap(&tasks, RESAMPLES, 0).filter(|_| tasks.len() > 1) {
            notes.push(format!(
                "{metric} over all {} settings: difference {:.4}, 95 % stratified bootstrap \
                 interval over seeds {:.4} to {:.4}.",
                tasks.len(),
                mean_of_means(&tasks),
                interval.low,
                interval.high
            ));
        }
    }
    notes
}
