//! `report`: results as one HTML file, or their tables in a page.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use files::write_atomic;
use report::{Format, comparison, page_into, render, splice};

use crate::{
    cli::{
        Answer, Session, Verb,
        args::{ExamplesArgs, MarginArgs, QueryArgs, SourceArgs},
        out::{create_out, not_an_input, not_of_a_run, write_out_with},
    },
    results::page_of,
};

/// Arguments of `report`.
#[derive(Args)]
pub(crate) struct Report {
    /// The file to write; RUNS/SUITE.html if left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Rewrite the block between <!-- BEGIN: SUITE --> and <!-- END: SUITE --> of this page
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
    #[command(flatten)]
    margin: MarginArgs,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    examples: ExamplesArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Report {
    const NAME: &'static str = "report";
    const ABOUT: &'static str =
        "Write the report as one HTML file, or write the tables into a page";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let (results, query) = (self.source.read(session)?, self.examples.on(self.query.query()));
        if let Some(path) = &self.splice {
            let tables = render(&comparison(&results.runs, &query)?, Format::Markdown);
            rewrite(path, results.name(), &tables)?;
            return Ok(format!("rewrote the block in {}\n", path.display()).into());
        }
        let runs = &self.source.of.store.runs;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => {
                create_out(runs)?;
                runs.join(format!("{}.html", results.stem()))
            }
        };
        not_of_a_run(&out)?;
        not_an_input(&out, &results.files)?;
        let page = page_of(&results, query, self.margin.margin, runs, session.suites)?;
        let written = write_out_with(&out, |file| {
            page_into(&page, file).unwrap_or_else(|err| Err(io::Error::other(err)))
        });
        // A fault of the page itself is reported without the place of the file.
        written.map_err(|err| match err.downcast_ref().and_then(io::Error::get_ref) {
            Some(of_page) if of_page.is::<report::Error>() => anyhow!("{of_page}"),
            _ => err,
        })?;
        Ok(format!("wrote {}\n", out.display()).into())
    }
}

/// Replaces the block between the marks of this name in a page.
fn rewrite(path: &Path, name: &str, block: &str) -> anyhow::Result<()> {
    let place = || path.display().to_string();
    let page = files::read_text(path).with_context(place)?;
    let page = splice(&page, name, block).with_context(place)?;
    write_atomic(path, page.as_bytes()).with_context(place)
}
