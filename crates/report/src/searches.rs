//! The table of the results of searches: their own measures, which no network has.

use crate::{
    Cell, Column, Estimate, Kind, LATE_CHANGE, NumberForm, Query, Row, Setting, Table,
    metric::{OF_SEARCHES, range},
    number::decimals,
    setting::distinct,
    stats::mean,
};

/// The split on which searches are measured.
const SPLIT: &str = "valid";

/// Whether a method is only a search: it has measures of a search, and no network that was trained or
/// refused.
pub(crate) fn is_search_alone(setting: &Setting, method: &str) -> bool {
    has_search(setting, method) && setting.rows(method).all(of_search)
}

fn has_search(setting: &Setting, method: &str) -> bool {
    let of_network = |row: &Row| of_search(row) && row.metric == LATE_CHANGE;
    OF_SEARCHES.iter().any(|metric| setting.scores(method, metric, SPLIT).is_some())
        || setting.rows(method).any(of_network)
}

/// Whether a row belongs to a search: it describes no network, so it has no parameters.
fn of_search(row: &Row) -> bool {
    row.params.is_none() && !row.is_gap() && row.split == SPLIT
}

/// The table of the searches of a setting; none if there are none, or if specific metrics are requested.
pub(crate) fn searches_of(setting: &Setting, query: &Query) -> Option<Table> {
    let methods = query.methods(setting).into_iter();
    let methods: Vec<&str> = methods.filter(|method| has_search(setting, method)).collect();
    let rows = methods.iter().flat_map(|method| setting.rows(method)).filter(|row| of_search(row));
    let metrics = distinct(rows.map(|row| row.metric.as_str()));
    if metrics.is_empty() || !query.metrics.is_empty() {
        return None;
    }
    let Setting { suite, task, backbone, .. } = setting;
    let about = [("suite", suite), ("task", task), ("backbone", backbone), ("split", &SPLIT)];
    let mut table = Table {
        title: format!("{task}, {backbone}: searches of suite {suite}, {SPLIT} split"),
        about: about.map(|(key, value)| (key, value.to_string())).into(),
        columns: vec![Column::new("method", "method", Kind::Words)],
        rows: methods.iter().map(|method| vec![Cell::Words(method.to_string())]).collect(),
        bold: None,
        notes: vec![NOTE.into()],
    };
    for metric in metrics {
        let means = methods.iter().map(|method| {
            let scores = setting.scores(method, metric, SPLIT)?;
            mean(&scores.values().copied().collect::<Vec<_>>())
        });
        let means: Vec<_> = means.collect();
        let halves = means.iter().flatten().filter_map(|mean| mean.half);
        let digits = NumberForm::Fixed(decimals(halves));
        table.columns.push(Column::new(metric, metric, Kind::Estimates(digits)));
        for (row, mean) in table.rows.iter_mut().zip(means) {
            row.push(mean.map_or(Cell::Missing, |mean| {
                Estimate { says_n: true, ..Estimate::new(mean, range(metric)) }.into()
            }));
        }
    }
    Some(table)
}

/// The explanation of the measures.
const NOTE: &str = "Measures of searches, mean ± half-width of the 95 % t interval (number of seeds). \
                    evaluations: members that were evaluated; best_...: the best of them; rank_spearman: rank \
                    correlation of random members as candidates and trained alone; rank_gap, rank_mae: the mean \
                    difference and the mean absolute difference of both; predictor_mae: the mean absolute error of \
                    predicted latency in milliseconds; predictor_skill: 1 minus it over that of the mean.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Runs, comparison, fixture::row, render};

    fn searched(method: &str, seed: u64, metric: &str, value: f64) -> Row {
        Row { params: None, split: SPLIT.into(), ..row(method, seed, metric, value) }
    }

    #[test]
    fn searches_have_a_table_of_their_own() {
        let trained = |seed| Row { params: Some(10), ..row("dense", seed, "accuracy", 0.5) };
        let runs = Runs::of([
            trained(0),
            trained(1),
            searched("standard", 0, "rank_mae", 0.25),
            searched("standard", 1, "rank_mae", 0.75),
            searched("standard", 0, "mixture_shift", 0.125),
            searched("mixed", 0, "best_loss", 2.5),
            searched("mixed", 0, "evaluations", 7.0),
        ]);
        let tables = comparison(&runs, &Query::default()).unwrap();
        assert_eq!(tables.len(), 2);
        let names = |table: &Table| {
            let names = table.rows.iter().map(|row| match &row[0] {
                Cell::Words(name) => name.clone(),
                other => panic!("{other:?}"),
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&tables[0]), names(&tables[1])),
            (vec!["dense".to_string()], vec!["standard".to_string(), "mixed".to_string()],)
        );
        let text = render(&tables[1..], Format::Csv);
        let header = text.lines().next().unwrap();
        for column in ["rank_mae", "mixture_shift", "best_loss", "evaluations"] {
            assert!(header.contains(column), "{header}");
        }
        // A metric that is requested by name has a column in the single table.
        let metrics = vec!["rank_mae".to_string()];
        let query = Query { metrics, split: Some(SPLIT.into()), ..Query::default() };
        let tables = comparison(&runs, &query).unwrap();
        assert_eq!((tables.len(), names(&tables[0]).len()), (1, 3));
        // The network of the candidates is not in the table of runs.
        let runs = Runs::of([trained(0), searched("standard", 0, crate::LATE_CHANGE, 0.01)]);
        let tables = comparison(&runs, &Query::default()).unwrap();
        assert_eq!(names(&tables[0]), ["dense"]);
        assert_eq!(names(&tables[1]), ["standard"]);
        // If nothing was trained, there is no other table.
        let runs = Runs::of([searched("standard", 0, "rank_mae", 0.25)]);
        let tables = comparison(&runs, &Query::default()).unwrap();
        assert_eq!((tables.len(), names(&tables[0])), (1, vec!["standard".to_string()]));
    }
}
