//! `fit`: power laws of the best learning rate, batch and loss over the FLOPs of training.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use report::{Fit, fit, render};
use training::write_atomic;

use crate::{cli::Answer, options::Options, spec::Suite, verbs::ask::QueryArgs};

/// What is fitted.
#[derive(Args)]
pub(crate) struct FitArgs {
    /// The router against which the efficiency lever of the others is taken; none is the dense baseline
    #[arg(long, value_name = "ROUTER")]
    dense: Option<String>,
    /// Write the plots into this folder, as SVG files
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    question: QueryArgs,
}

pub(crate) fn laws(call: &FitArgs, options: &Options, suites: &[Suite]) -> anyhow::Result<Answer> {
    let results = call.question.results(options, suites)?;
    let fits = fit(&results.runs, &call.question.ask(), call.dense.as_deref())?;
    if let Some(folder) = &call.out {
        draw(folder, &fits)?;
    }
    let tables: Vec<_> = fits.into_iter().map(|fit| fit.table).collect();
    Ok(render(&tables, options.format()).into())
}

fn draw(folder: &Path, fits: &[Fit]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for picture in fits.iter().flat_map(|fit| &fit.pictures) {
        let path = folder.join(format!("{}.svg", picture.name));
        write_atomic(&path, picture.svg.as_bytes()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
