//! `table`: the comparison table of what was trained before.

use clap::Args;
use report::{comparison, render};

use crate::cli::{
    Answer, FormatArgs, Session, Verb,
    args::{ExamplesArgs, QueryArgs, SourceArgs},
};

/// Arguments of `table`.
#[derive(Args)]
pub(crate) struct Table {
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    examples: ExamplesArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Table {
    const NAME: &'static str = "table";
    const ABOUT: &'static str = "Print the comparison table; nothing is trained";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let tables = comparison(&results.runs, &self.examples.on(self.query.query()))?;
        drop(results); // which would be held beside the text
        Ok(render(&tables, self.format.get()).into())
    }
}
