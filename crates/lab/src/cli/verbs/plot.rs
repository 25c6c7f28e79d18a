//! `plot`: the plots of the report as files, to go into a paper.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use rayon::prelude::*;
use report::{Figure, few, plots};

use crate::{
    cli::{
        Answer, Session, Verb,
        args::{QueryArgs, SourceArgs},
        out::{create_out, write_out},
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
        let default = || runs.join(format!("{}-plots", results.stem()));
        let folder = self.out.clone().unwrap_or_else(default);
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
        create_out(&folder)?;
        // Side by side: each file is synced, which is mostly waiting.
        let write = |figure: &Figure| {
            let path = folder.join(format!("{}.svg", figure.name));
            write_out(&path, figure.svg.as_bytes())?;
            Ok(format!("wrote {}\n", path.display()))
        };
        let lines: anyhow::Result<Vec<String>> = figures.par_iter().map(write).collect();
        let text = lines?.concat();
        Ok(text.into())
    }
}
