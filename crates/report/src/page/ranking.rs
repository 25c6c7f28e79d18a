//! The section on the ranking over all tasks.

use super::{Figure, html::pair};
use crate::{
    Line, Ranking,
    plot::{critical_differences, curves},
    series::Hues,
    stats::{Mean, profile},
};

/// The ranking, its critical-difference diagram, and performance profiles.
pub(super) fn section(ranking: &Ranking, hues: &Hues) -> String {
    ranking.table().to_html() + &pair(&figures(ranking, hues))
}

/// The plots of the ranking.
pub(super) fn figures(ranking: &Ranking, hues: &Hues) -> Vec<Figure> {
    let mut figures = Vec::new();
    if ranking.friedman.is_some() {
        figures.push(Figure::new(
            &["critical-differences"],
            critical_differences("Critical differences", &ranking.mean_ranks()),
            "Mean ranks, the best on the left. Bars join methods that Nemenyi's test cannot tell \
             apart at 5 %; CD is its critical difference."
                .into(),
        ));
    }
    let lines = profiles(ranking, hues);
    figures.push(Figure::new(
        &["performance-profiles"],
        curves("Performance profiles", "normalised score", "share of runs above", &lines),
        "Share of runs above each score; 0 is the worst run of a task, 1 the best. A line that is \
         above another everywhere is the better method."
            .into(),
    ));
    figures
}

fn profiles(ranking: &Ranking, hues: &Hues) -> Vec<Line> {
    const STEPS: usize = 60;
    let line = |method: &crate::Ranked| {
        let n = method.scores.iter().map(Vec::len).sum();
        let point = |at: usize| {
            let threshold = at as f64 / STEPS as f64;
            let mean = profile(&method.scores, threshold)?;
            Some((threshold, Mean { mean, half: None, n }))
        };
        let points = (0..=STEPS).filter_map(point).collect();
        let range = [0.0, 1.0];
        Line { name: method.method.clone(), hue: hues.of(&method.method), points, range }
    };
    ranking.methods.iter().map(line).collect()
}
