//! `fit`: power laws of the best learning rate, batch and loss over the FLOPs of training.

use std::path::{Path, PathBuf};

use clap::Args;
use report::{Fit, fit, render};

use crate::cli::{
    Answer, FormatArgs, Session, Verb,
    args::{QueryArgs, SourceArgs},
    out::{create_out, svg_files, write_outs},
};

/// Arguments of `fit`.
#[derive(Args)]
pub(crate) struct FitArgs {
    /// Reference router of the efficiency lever; none is the dense baseline
    #[arg(long, value_name = "ROUTER")]
    dense: Option<String>,
    /// Write the plots into this folder, as SVG files
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for FitArgs {
    const NAME: &'static str = "fit";
    const ABOUT: &'static str =
        "Fit power laws of the best learning rate, batch and loss over the FLOPs of training";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let fits = fit(&results.runs, &self.query.query(), self.dense.as_deref())?;
        if let Some(folder) = &self.out {
            draw(folder, &fits)?;
        }
        let tables: Vec<_> = fits.into_iter().map(|fit| fit.table).collect();
        Ok(render(&tables, self.format.get()).into())
    }
}

fn draw(folder: &Path, fits: &[Fit]) -> anyhow::Result<()> {
    create_out(folder)?;
    let files = fits.iter().flat_map(|fit| svg_files(folder, &fit.figures));
    write_outs(&files.collect::<Vec<_>>())
}
