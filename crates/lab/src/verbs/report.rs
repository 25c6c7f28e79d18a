//! `report` and `plot`: results to be looked at.

use std::{fs, path::Path};

use anyhow::Context;
use report::{Format, Page, comparison, page, plots, render, splice};
use training::write_atomic;

use crate::{
    cli::Answer,
    options::Options,
    results::Course,
    spec::Suite,
    verbs::ask::{QueryArgs, Results},
};

/// Writes the report as one HTML file, or the tables into a page between its marks.
pub(crate) fn report(
    (out, splice): (Option<&Path>, Option<&Path>),
    margin: Option<f64>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    if let Some(path) = splice {
        let tables = render(&comparison(&results.runs, &question.ask())?, Format::Markdown);
        rewrite(path, results.name(), &tables)?;
        return Ok(format!("rewrote the block in {}\n", path.display()).into());
    }
    let default = || options.runs.join(format!("{}.html", results.stem()));
    let out = out.map_or_else(default, Path::to_path_buf);
    let html = html(&results, margin, question, options, suites)?;
    write_atomic(&out, html.as_bytes()).with_context(|| out.display().to_string())?;
    Ok(format!("wrote {}\n", out.display()).into())
}

/// Puts a block into a page, between its marks.
fn rewrite(path: &Path, name: &str, block: &str) -> anyhow::Result<()> {
    let place = || path.display().to_string();
    let page = fs::read_to_string(path).with_context(place)?;
    let page = splice(&page, name, block).with_context(place)?;
    write_atomic(path, page.as_bytes()).with_context(place)
}

/// Writes the plots of the report as files of their own, to go into a paper.
pub(crate) fn plot(
    out: Option<&Path>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let default = || options.runs.join(format!("{}-plots", results.stem()));
    let folder = out.map_or_else(default, Path::to_path_buf);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut text = String::new();
    for picture in plots(&made_of(&results, None, question, options, suites)?)? {
        let path = folder.join(format!("{}.svg", picture.name));
        write_atomic(&path, picture.svg.as_bytes()).with_context(|| path.display().to_string())?;
        text.push_str(&format!("wrote {}\n", path.display()));
    }
    Ok(text.into())
}

/// The report of some results.
pub(crate) fn html(
    results: &Results,
    margin: Option<f64>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<String> {
    Ok(page(&made_of(results, margin, question, options, suites)?)?)
}

/// What the report is made of.
fn made_of<'a>(
    results: &'a Results,
    margin: Option<f64>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Page<'a>> {
    let course = Course::read(&results.runs, &options.runs)?;
    let title = format!("Suite {}", results.name());
    let environment = environment(results);
    Ok(Page {
        ask: question.ask(),
        margin,
        curves: course.curves,
        loads: course.loads,
        traces: course.traces,
        commands: command(results.name(), &environment, suites).into_iter().collect(),
        environment,
        ..Page::new(&title, &results.runs)
    })
}

/// How results were made: as `env.txt` says, or with this program if it has the suite.
fn command(name: &str, environment: &[(String, String)], suites: &[Suite]) -> Option<String> {
    let known = environment.iter().find(|(key, _)| key == "command");
    let own = || suites.iter().find(|suite| suite.name == name);
    match known {
        Some((_, command)) => Some(command.clone()),
        None => own().map(|suite| suite.program.command(name)),
    }
}

/// The lines of `env.txt` beside the results, if there is one.
fn environment(results: &Results) -> Vec<(String, String)> {
    let text = fs::read_to_string(results.folder().join("env.txt")).unwrap_or_default();
    let pair = |line: &str| {
        line.split_once(": ").map(|(name, value)| (name.to_string(), value.to_string()))
    };
    text.lines().filter_map(pair).collect()
}
