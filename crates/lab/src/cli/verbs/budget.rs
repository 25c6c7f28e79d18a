//! `budget`: the quantity that a suite holds equal, the sizes that follow from it, and the memory that each
//! method needs.

use clap::Args;
use report::{Cell, Column, Kind, NumberForm, Table};

use crate::{
    cli::{
        Answer, DeviceArgs, FormatArgs, Session, Verb,
        args::{DataArgs, SelectionArgs},
    },
    planning::{Source, memory},
    spec::{RunSpec, Selection},
};

/// Arguments of `budget`.
#[derive(Args)]
pub(crate) struct Budget {
    /// A suite's name, or the path of a TOML file; the default suite if left out
    suite: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Verb for Budget {
    const NAME: &'static str = "budget";
    const ABOUT: &'static str = "Print the budget of a suite, the sizes solved for it, and the memory of its runs; nothing is trained";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let name = session.suite_or_default(self.suite.as_deref())?;
        let wanted = self.selection.on(&DeviceArgs::default());
        let wanted = Selection { seeds: Some(vec![0]), ..wanted };
        let source = Source::find(name, session.suites)?.at_tier(&wanted.tier)?;
        source.warnings(&wanted)?.iter().for_each(|warning| session.say(warning));
        let suite = source.plan(session.plugins, &self.data.dir(), &wanted)?;
        let specs = suite.planned();
        let with_memory = |spec: &RunSpec| {
            let needed = memory::needed(spec, session.plugins);
            let mut row = row(spec);
            row.push(needed.map_or(Cell::Missing, |bytes| Cell::Words(memory::shown(bytes))));
            row
        };
        let rows: Vec<_> = specs.iter().copied().map(with_memory).collect();
        let title = suite.budget().map_or_else(
            || format!("suite {name}: no [budget], so nothing is held equal"),
            |given| given.title(),
        );
        let (words, number) = (Kind::Words, Kind::Numbers(NumberForm::Fixed(0)));
        let table = Table {
            title,
            columns: vec![
                Column::new("task", "task", words),
                Column::new("backbone", "backbone", words),
                Column::new("method", "method", words),
                Column::new("free", "free size", words),
                Column::new("was", "was", number),
                Column::new("is", "is", number),
                Column::new("budget", "budget", number),
                Column::new("off_percent", "off in %", Kind::Numbers(NumberForm::Fixed(2))),
                Column::new("refused", "refused", words),
                Column::new("needs", "needs", words),
            ],
            rows,
            ..Table::default()
        };
        Ok(table.render(self.format.get()).into())
    }
}

fn row(spec: &RunSpec) -> Vec<Cell> {
    let given = spec.budget.as_ref();
    let words = |text: &str| Cell::Words(text.into());
    let number = |x: Option<f64>| x.map_or(Cell::Missing, Cell::Number);
    let solved = given.and_then(|given| given.solved.as_ref());
    vec![
        words(&spec.config.task.kind),
        words(&spec.config.backbone.kind),
        words(&match spec.chosen() {
            Some(tuned) => format!("{} [{}]", spec.method, tuned.text),
            None => spec.method.clone(),
        }),
        words(solved.map_or("", |(path, ..)| path)),
        number(solved.map(|(_, was, _)| *was as f64)),
        number(solved.map(|(.., is)| *is as f64)),
        number(given.and_then(|given| given.target)),
        number(given.and_then(|given| given.off).map(|off| 100.0 * off)),
        words(spec.refused.as_deref().unwrap_or("")),
    ]
}
