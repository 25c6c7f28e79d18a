//! `check`: compares results with the expectations of their suite.

use clap::Args;
use report::{check, check_table, gates, gates_table};

use crate::{
    cli::{Answer, FormatArgs, Session, Verb, args::RequestArgs},
    planning::Source,
};

/// Arguments of `check`.
#[derive(Args)]
pub(crate) struct Check {
    /// The suite with the expectations, [[expect]]; the default suite if left out
    suite: Option<String>,
    /// csv files; the suite's own results if left out
    sources: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    of: RequestArgs,
}

impl Verb for Check {
    const NAME: &'static str = "check";
    const ABOUT: &'static str =
        "Check results against the expectations of the suite; exits with 1 if one fails";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let name = session.suite_or_default(self.suite.as_deref())?;
        let source = Source::find(name, session.suites)?;
        let expects = source.expects()?;
        let results = match &self.sources[..] {
            [] => self.of.read(&[name.to_string()], session)?,
            csv => self.of.read(csv, session)?,
        };
        let outcomes = check(&results.runs, &expects)?;
        let holds = outcomes.iter().all(|outcome| outcome.holds);
        let mut text = check_table(&outcomes).render(self.format.get());
        let gates = gates(&results.runs, &source.gates()?)?;
        if !gates.is_empty() {
            text = text + "\n" + &gates_table(&gates).render(self.format.get());
        }
        Ok(Answer::with_code(text, if holds { 0 } else { 1 }))
    }
}
