//! Comparison of two methods on shared seeds: the difference and its uncertainty.

use serde_json::Value;

use super::{
    cmp_table,
    comparison::{Comparison, judge},
};
use crate::{Error, Format, Query, Runs, setting::distinct, table, visible::in_json};

/// Compares two methods in each setting that has both, and in each metric requested.
///
/// # Errors
/// If a method is unknown, if the two share no task, if the direction of a metric is unknown, or if the
/// margin is not above 0.
pub fn cmp(
    runs: &Runs,
    query: &Query,
    a: &str,
    b: &str,
    margin: Option<f64>,
) -> Result<Vec<Comparison>, Error> {
    let settings = query.settings(runs)?;
    let known = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
    for method in [a, b] {
        if !known.contains(&method) {
            return Err(Error::unknown("method", method, known));
        }
    }
    let both = |setting: &&crate::Setting| [a, b].iter().all(|m| setting.methods.contains(m));
    let mut comparisons = Vec::new();
    for setting in settings.iter().filter(both) {
        for metric in query.metrics(setting) {
            comparisons.push(Comparison::new(setting, query, metric, [a, b])?);
        }
    }
    judge(&mut comparisons, margin)?;
    match comparisons.is_empty() {
        true => {
            let why = query.unjudged(&settings).map_or(String::new(), |why| format!(": {why}"));
            Err(Error::Query(format!("{a:?} and {b:?} share no task with a known metric{why}")))
        }
        false => Ok(comparisons),
    }
}

/// Renders the comparisons in a format. JSON is one flat object for one comparison, or else an array.
pub fn render_cmp(comparisons: &[Comparison], format: Format) -> String {
    let json: Value = match (format, comparisons) {
        (Format::Json, [one]) => one.to_json(),
        (Format::Json, all) => all.iter().map(Comparison::to_json).collect(),
        _ => return table::render(&[cmp_table(comparisons)], format),
    };
    in_json(format!("{json:#}\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        Better, Page, comparison, fixture, page as report, plots, power, rank, stats::Verdict,
    };

    fn compared(a: &str, b: &str, margin: Option<f64>) -> Vec<Comparison> {
        cmp(&fixture::runs(), &Query::default(), a, b, margin).unwrap()
    }

    #[test]
    fn a_clear_difference() {
        let c = compared("switch", "dense", None).remove(0);
        // 0.019 0.027 0.012 0.028 0.024: mean 0.022.
        assert!((c.paired.unwrap().difference - 0.022).abs() < 1e-12);
        assert_eq!((c.differences.len(), c.verdict), (5, Verdict::Better));
        assert_eq!(compared("dense", "switch", None)[0].verdict, Verdict::Worse);
    }

    #[test]
    fn lower_is_better_for_a_loss() {
        let query = Query { metrics: vec!["loss".into()], ..Query::default() };
        let c = cmp(&fixture::runs(), &query, "switch", "dense", None).unwrap().remove(0);
        assert!(c.paired.unwrap().difference < 0.0);
        assert_eq!(c.verdict, Verdict::Better);
    }

    #[test]
    fn near_enough_is_equivalent() {
        assert_eq!(compared("switch", "top-k", Some(0.01))[0].verdict, Verdict::Equivalent);
        assert_eq!(compared("soft", "top-k", Some(0.01))[0].paired, None);
    }

    #[test]
    fn json_is_flat() {
        let json = render_cmp(&compared("switch", "top-k", Some(0.01)), Format::Json);
        let json: Value = serde_json::from_str(&json).unwrap();
        for key in ["difference", "low", "high", "p_value"] {
            assert!(json[key].is_f64(), "{key}: {json}");
        }
        assert_eq!((&json["n"], &json["verdict"]), (&json!(5), &json!("equivalent")));
    }

    #[test]
    fn shown_as_text() {
        let runs = two_tasks();
        let all = cmp(&runs, &Query::default(), "switch", "soft", Some(0.005)).unwrap();
        insta::assert_snapshot!(render_cmp(&all, Format::Text));
        let all = cmp(&runs, &Query::default(), "switch", "dense", Some(0.005)).unwrap();
        insta::assert_snapshot!(render_cmp(&all, Format::Text));
    }

    fn two_tasks() -> Runs {
        let mut runs = fixture::runs();
        let more = runs.rows.clone().into_iter().map(|mut row| {
            row.task = "glyphs".into();
            row.value = row.value.map(|value| value + 0.001 * (row.seed % 3) as f64);
            row
        });
        runs.rows.extend(more);
        runs
    }

    /// The largest numbers of a file, the smallest ones, and those at the limit of what statistics accept.
    #[test]
    fn values_of_any_size_have_an_answer() {
        for size in [5e-324, 1e-160, 1e-81, 1e60, 1e61, 1e155, 1e308] {
            let values = [("a", [size, -size, size, 0.0]), ("b", [0.0, 0.0, size / 2.0, -size])];
            let rows = values.iter().flat_map(|(method, values)| {
                let row = |(seed, value)| fixture::row(method, seed, "surprise", value);
                (0..).zip(*values).map(row)
            });
            let runs = Runs::of(rows.collect::<Vec<_>>());
            let query = Query {
                metrics: vec!["surprise".into()],
                better: [("surprise".to_string(), Better::Higher)].into(),
                ..Query::default()
            };
            for margin in [None, Some(1e-300), Some(1e300)] {
                let found = cmp(&runs, &query, "a", "b", margin).unwrap().remove(0);
                let numbers = found.differences.iter().chain(found.paired.iter().map(|p| &p.error));
                assert!(numbers.into_iter().all(|number| number.is_finite()), "{found:?}");
                assert!(!power(&runs, &query, None, margin).unwrap().is_empty());
            }
            assert!(!comparison(&runs, &query).unwrap().is_empty());
            drop(rank(&runs, &query));
            let page = Page { query, ..Page::new("t", &runs) };
            assert!(!report(&page).unwrap().contains("NaN"), "{size:e}");
            assert!(!plots(&page).unwrap().is_empty());
        }
    }

    #[test]
    fn bad_questions_are_answered_with_the_alternatives() {
        let compared = |query: Query, a, margin| cmp(&fixture::runs(), &query, a, "soft", margin);
        let err = compared(Query::default(), "swich", None).unwrap_err().to_string();
        assert!(
            err.starts_with("no method is named \"swich\"; known: dense, switch, top-k"),
            "{err}"
        );
        let err = compared(Query::default(), "switch", Some(-1.0)).unwrap_err().to_string();
        assert_eq!(err, "margin = -1: must be larger than 0");
        let speed = Query { metrics: vec!["tokens_per_second".into()], ..Query::default() };
        let err = compared(speed, "switch", None).unwrap_err().to_string();
        assert!(err.contains("expected higher or lower"), "{err}");
    }
}
