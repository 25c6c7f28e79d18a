//! `power`: how many seeds it takes to show a difference.

use clap::Args;
use report::{power, render};

use crate::cli::{
    Answer, FormatArgs, Session, Verb,
    args::{QueryArgs, SourceArgs, size},
};

/// Arguments of `power`.
#[derive(Args)]
pub(crate) struct Power {
    /// The method that the others are compared with; the first if left out
    #[arg(long)]
    baseline: Option<String>,
    /// The least difference that matters; without it, the table shows the difference that the present
    /// seeds detect
    #[arg(long, value_name = "SIZE", value_parser = size)]
    margin: Option<f64>,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Power {
    const NAME: &'static str = "power";
    const ABOUT: &'static str = "Print the number of seeds needed to detect a difference";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let baseline = self.baseline.as_deref();
        let tables = power(&results.runs, &self.query.query(), baseline, self.margin)?;
        Ok(render(&tables, self.format.get()).into())
    }
}
