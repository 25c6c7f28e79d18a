//! `plot`: the plots of the report as files, to go into a paper.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use report::{few, plots};

use crate::{
    cli::{
        Answer, Session, Verb,
        args::{QueryArgs, SourceArgs},
        out::{create_out, out_or_in_runs, svg_files, write_outs},
    },
    results::page_of,
};

/// Arguments of `plot`.
#[derive(Args)]
pub(crate) struct Plot {
    /// The folder to write into; RUNS/SUITE-plots if left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only the plots of this name: overview, critical-differences, digits-vit-accuracy
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Plot {
    const NAME: &'static str = "plot";
    const ABOUT: &'static str = "Write the plots of the report as SVG files";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let runs = &self.source.of.store.runs;
        let query = self.query.query();
        let mut figures = plots(&page_of(&results, query.clone(), None, runs, session.suites)?)?;
        if figures.is_empty() {
            let why = query.unjudged(&query.settings(&results.runs)?);
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            bail!("there is nothing to draw{why}");
        }
        if let Some(name) = &self.name {
            let known: Vec<String> = figures.iter().map(|p| p.name.clone()).collect();
            figures.retain(|figure| figure.name == *name);
            let known = few(known);
            ensure!(!figures.is_empty(), "no plot is named {name:?}; known: {known}");
        }
        let name = format!("{}-plots", results.stem());
        let folder = out_or_in_runs(self.out.as_ref(), runs, &name)?;
        create_out(&folder)?;
        let files = svg_files(&folder, &figures);
        write_outs(&files)?;
        let text: String =
            files.iter().map(|(path, _)| format!("wrote {}\n", path.display())).collect();
        Ok(text.into())
    }
}
