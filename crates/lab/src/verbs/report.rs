//! `report`: results to be looked at.

use std::{fs, path::Path};

use anyhow::Context;
use report::{Format, Page, comparison, page, render, splice_file};
use training::write_atomic;

use crate::{
    Suite,
    cli::{Answer, Options},
    verbs::{
        ask::{Question, Results},
        course::Course,
    },
};

/// Writes the report as one HTML file, or the tables into a page between its marks.
pub(crate) fn report(
    sources: &[String],
    (out, splice): (Option<&Path>, Option<&Path>),
    margin: Option<f64>,
    question: &Question,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = Results::read(sources, options, suites)?;
    if let Some(path) = splice {
        let tables = render(&comparison(&results.runs, &question.ask())?, Format::Markdown);
        let changed = splice_file(path, results.name(), &tables)?;
        let what = if changed { "rewrote the block in" } else { "nothing to change in" };
        return Ok(format!("{what} {}\n", path.display()).into());
    }
    let default = || options.runs.join(format!("{}.html", results.name()));
    let out = out.map_or_else(default, Path::to_path_buf);
    let html = html(&results, margin, question, options)?;
    write_atomic(&out, html.as_bytes()).with_context(|| out.display().to_string())?;
    Ok(format!("wrote {}\n", out.display()).into())
}

/// The report of some results.
pub(crate) fn html(
    results: &Results,
    margin: Option<f64>,
    question: &Question,
    options: &Options,
) -> anyhow::Result<String> {
    let course = Course::read(&results.runs, options)?;
    let title = format!("Suite {}", results.name());
    let report = Page {
        ask: question.ask(),
        margin,
        curves: course.curves,
        loads: course.loads,
        environment: environment(results),
        commands: vec![format!("cargo run --release -p bench -- run {}", results.name())],
        ..Page::new(&title, &results.runs)
    };
    Ok(page(&report)?)
}

/// The lines of `env.txt` beside the results, if there is one.
fn environment(results: &Results) -> Vec<(String, String)> {
    let text = fs::read_to_string(results.folder().join("env.txt")).unwrap_or_default();
    let pair = |line: &str| {
        line.split_once(": ").map(|(name, value)| (name.to_string(), value.to_string()))
    };
    text.lines().filter_map(pair).collect()
}
