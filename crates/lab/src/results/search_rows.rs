//! The results of searches, as rows.

use report::Row;

use super::{conditions::of_training, rows::blank};
use crate::{exec::SearchResult, spec::SuitePlan, store::Store};

/// A row for each measure of each search, on the validation split. If the claims of the suite have
/// conditions, also the rows of the networks whose weights the candidates have.
pub(crate) fn search_rows(
    suite: &SuitePlan,
    results: &[SearchResult],
    store: &Store,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for result in results {
        let mut numbers = result.numbers.clone();
        if let Some(network) = result.network.as_ref().filter(|_| suite.gated) {
            let of_network = of_training(network, store)?.into_iter();
            numbers.extend(of_network.map(|(_, metric, value)| (metric, value)));
        }
        let row = Row { split: "valid".into(), ..blank(suite, &result.spec) };
        rows.extend(numbers.into_iter().map(|(metric, value)| Row {
            metric,
            value: Some(value),
            ..row.clone()
        }));
    }
    Ok(rows)
}
