//! `rank`: the methods in order, over all tasks.

use clap::Args;
use report::rank;

use crate::cli::{
    Answer, FormatArgs, Session, Verb,
    args::{QueryArgs, SourceArgs},
};

/// Arguments of `rank`.
#[derive(Args)]
pub(crate) struct Rank {
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Rank {
    const NAME: &'static str = "rank";
    const ABOUT: &'static str = "Rank the methods over all tasks";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let table = rank(&results.runs, &self.query.query())?.table();
        Ok(table.render(self.format.get()).into())
    }
}
