//! `cmp`: the difference of two methods.

use clap::Args;
use report::{cmp, render_cmp};

use crate::cli::{
    Answer, FormatArgs, Session, Verb,
    args::{ExamplesArgs, MarginArgs, MetricArgs, SourceArgs},
};

/// Arguments of `cmp`.
#[derive(Args)]
pub(crate) struct Cmp {
    /// The method that the verdict is about
    a: String,
    /// The method that it is compared with
    b: String,
    #[command(flatten)]
    margin: MarginArgs,
    #[command(flatten)]
    query: MetricArgs,
    #[command(flatten)]
    examples: ExamplesArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Cmp {
    const NAME: &'static str = "cmp";
    const ABOUT: &'static str = "Compare two methods: difference, confidence interval and test";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let (results, query) = (self.source.read(session)?, self.examples.on(self.query.query()));
        let comparisons = cmp(&results.runs, &query, &self.a, &self.b, self.margin.margin)?;
        Ok(render_cmp(&comparisons, self.format.get()).into())
    }
}
