//! The content of a report.

use std::path::Path;

use report::{Page, Query};

use super::{curves::TrainingCurves, found::Results};
use crate::spec::Suite;

/// The report of some results, with the curves and traces of those runs whose folders exist.
pub(crate) fn page_of<'a>(
    results: &'a Results,
    query: Query,
    margin: Option<f64>,
    runs: &Path,
    suites: &[Suite],
) -> anyhow::Result<Page<'a>> {
    let curves = TrainingCurves::read(&results.runs, runs)?;
    let title = format!("Suite {}", results.name());
    let environment = environment(results);
    Ok(Page {
        query,
        margin,
        curves: curves.curves,
        loads: curves.loads,
        traces: curves.traces,
        commands: command(results.name(), &environment, suites).into_iter().collect(),
        environment,
        ..Page::new(&title, &results.runs)
    })
}

/// The command that produced the results: from `env.txt`, or of this program if it has the suite.
fn command(name: &str, environment: &[(String, String)], suites: &[Suite]) -> Option<String> {
    let known = environment.iter().find(|(key, _)| key == "command");
    let own = || suites.iter().find(|suite| suite.name == name);
    match known {
        Some((_, command)) => Some(command.clone()),
        None => own().map(|suite| suite.program.command(name)),
    }
}

/// The largest size of `env.txt` in bytes.
const LARGEST: u64 = 1 << 20;

/// The lines of `env.txt` beside the results, if it exists.
fn environment(results: &Results) -> Vec<(String, String)> {
    let file = results.folder().join("env.txt");
    let bytes = files::read_regular(&file, LARGEST).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let pair = |line: &str| {
        line.split_once(": ").map(|(name, value)| (name.to_string(), value.to_string()))
    };
    text.lines().filter_map(pair).collect()
}
