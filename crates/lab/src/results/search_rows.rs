//! The results of searches, as rows.

use report::Row;

use super::rows::blank;
use crate::{exec::SearchResult, spec::SuitePlan};

/// A row for each number of each search, of the validation split.
pub(crate) fn search_rows(suite: &SuitePlan, results: &[SearchResult]) -> Vec<Row> {
    let of = |result: &SearchResult| {
        let row = Row { split: "valid".into(), ..blank(suite, &result.spec) };
        let number = move |(metric, value): &(String, f64)| Row {
            metric: metric.clone(),
            value: Some(*value),
            ..row.clone()
        };
        result.numbers.iter().map(number).collect::<Vec<_>>()
    };
    results.iter().flat_map(of).collect()
}
