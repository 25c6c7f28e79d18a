//! `ledger`: the budget and the cost of each method.

use clap::Args;
use report::ledger;

use crate::cli::{Answer, FormatArgs, Session, Verb, args::SourceArgs};

/// Arguments of `ledger`.
#[derive(Args)]
pub(crate) struct Ledger {
    /// A row for each run, not for each method
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Ledger {
    const NAME: &'static str = "ledger";
    const ABOUT: &'static str =
        "Print the resources of each method: parameters, FLOPs, tokens, time, memory";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let table = ledger(&results.runs, self.each)?;
        drop(results); // which would be held beside the text
        Ok(table.render(self.format.get()).into())
    }
}
