//! Quality by the length of training, for suites that have the same method at several lengths.

use super::Figure;
use crate::{Line, Query, Setting, metric::range, plot::curves, setting::distinct, stats::mean};

/// The lines of methods that are named `NAME, N steps` and were trained for N steps: NAME against N. None
/// if no name has two lengths.
pub(super) fn figure(query: &Query, setting: &Setting, metric: &str) -> Option<Figure> {
    let of_length: Vec<(&str, f64, &str)> =
        query.methods(setting).into_iter().filter_map(|method| length(setting, method)).collect();
    let names = distinct(of_length.iter().map(|(name, ..)| *name));
    let lines: Vec<Line> = names
        .iter()
        .enumerate()
        .map(|(hue, name)| Line {
            name: (*name).into(),
            hue,
            points: points(query, setting, metric, of_length.iter().filter(|one| one.0 == *name)),
            range: range(metric),
        })
        .collect();
    let grows = |line: &Line| line.points.len() > 1;
    lines.iter().any(grows).then(|| {
        let title = format!("{}: {metric} by the length of training", setting.task);
        Figure::new(
            &[setting.task, setting.backbone, metric, "by-steps"],
            curves(&title, "steps", metric, &lines),
            format!(
                "{metric} after trainings of different lengths, each with its own schedule: mean \
                 with 95 % t interval (none with fewer than 3 seeds)."
            ),
        )
    })
}

/// Name and steps of a method whose name contains its number of steps.
fn length<'a>(setting: &Setting<'a>, method: &'a str) -> Option<(&'a str, f64, &'a str)> {
    let steps = setting.rows(method).find_map(|row| row.step)?;
    Some((method.strip_suffix(&format!(", {steps} steps"))?, steps as f64, method))
}

fn points<'a>(
    query: &Query,
    setting: &Setting,
    metric: &str,
    lengths: impl Iterator<Item = &'a (&'a str, f64, &'a str)>,
) -> Vec<(f64, crate::stats::Mean)> {
    let point = |(_, steps, method): &(&str, f64, &str)| {
        let scores = setting.scores(method, metric, query.split(setting))?;
        Some((*steps, mean(&scores.values().copied().collect::<Vec<_>>())?))
    };
    let mut points: Vec<_> = lengths.filter_map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Row, Runs, fixture};

    fn runs(names: [(&str, u64); 3]) -> Runs {
        let row = |(name, steps): (&str, u64), seed| Row {
            step: Some(steps),
            ..fixture::row(name, seed, "accuracy", 0.5 + steps as f64 / 1e4)
        };
        let rows = names.iter().flat_map(|name| (0..3).map(|seed| row(*name, seed)));
        Runs::of(rows.collect::<Vec<_>>())
    }

    fn of(runs: &Runs) -> Option<Figure> {
        let query = Query::default();
        let setting = query.settings(runs).unwrap().remove(0);
        figure(&query, &setting, "accuracy")
    }

    #[test]
    fn a_line_goes_through_the_lengths_of_a_name() {
        let figure = of(&runs([("hash, 400 steps", 400), ("hash, 100 steps", 100), ("x", 9)]));
        let figure = figure.unwrap();
        assert!(figure.name.ends_with("accuracy-by-steps"), "{}", figure.name);
        assert!(figure.svg.contains(">hash<") && !figure.svg.contains(">x<"), "{}", figure.svg);
    }

    #[test]
    fn a_name_with_other_steps_than_those_of_its_run_is_no_length() {
        assert_eq!(of(&runs([("a, 5 steps", 5), ("b, 5 steps", 5), ("a, 9 steps", 8)])), None);
    }
}
