//! A ranking as a table.

use super::{Ranked, Ranking};
use crate::{
    Cell, Column, Kind, NumberForm, Table,
    few::{NOTED, first},
    stats::Interval,
};

impl Ranking {
    /// The ranking as a table.
    pub fn table(&self) -> Table {
        let number = Kind::Numbers(NumberForm::Fixed(3));
        let to_first = |at: usize| match at {
            0 => Cell::Gap("first".into()),
            // The pairs with the best method come first.
            _ => self.pairs.get(at - 1).map_or(Cell::Missing, |(.., p)| Cell::Number(*p)),
        };
        let row = |(at, m): (usize, &Ranked)| {
            let end =
                |of: fn(Interval) -> f64| m.interval.map_or(Cell::Missing, |i| Cell::Number(of(i)));
            vec![
                Cell::Words(m.method.clone()),
                Cell::Number(m.rank),
                Cell::Number(m.iqm),
                end(|interval| interval.low),
                end(|interval| interval.high),
                Cell::Number(m.improvement),
                to_first(at),
            ]
        };
        Table {
            title: format!("Ranking over {} blocks (tasks: {})", self.blocks, self.tasks),
            about: Vec::new(),
            columns: vec![
                Column::new("method", "method", Kind::Words),
                Column::new("rank", "mean rank", Kind::Numbers(NumberForm::Fixed(2))),
                Column::new("iqm", "IQM", number),
                Column::new("low", "low", number),
                Column::new("high", "high", number),
                Column::new("improvement", "P(improvement)", number),
                Column::new("p_first", "p to the first", Kind::Numbers(NumberForm::P)),
            ],
            rows: self.methods.iter().enumerate().map(row).collect(),
            bold: None,
            notes: self.notes(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "A block is a task and a seed that all methods have; what follows holds for these \
             tasks. IQM: interquartile mean of scores that are 0 for the worst run of a task and 1 \
             for the best, low and high: its 95 % t interval with the standard error of a bootstrap \
             over the seeds of each task (none with fewer than 3 seeds); P(improvement): chance that \
             a run beats one of another method on the same task."
                .to_string(),
        ];
        notes.push(match self.pairs.is_empty() {
            false => {
                "p to the first: Wilcoxon's signed-rank test with Holm's correction over all pairs."
                    .into()
            }
            true => format!(
                "p to the first is left out: with {} methods the tests of all pairs take long. \
                 `rank` makes them for up to 2,000.",
                self.methods.len()
            ),
        });
        if let Some(test) = &self.friedman {
            notes.push(format!(
                "Friedman's test that all are alike: chi-squared {:.2}, p {}. Nemenyi's critical \
                 difference of mean ranks at 5 %: {:.2}.",
                test.statistic,
                crate::number::p_value(test.p_value),
                self.critical
            ));
        }
        if !self.failed.is_empty() {
            let each: Vec<String> =
                self.failed.iter().map(|(method, count)| format!("{method} ({count})")).collect();
            notes.push(format!(
                "Failed runs, each worse than all others of its task: {}.",
                first(NOTED, each, ", ")
            ));
        }
        if !self.left_out.is_empty() {
            notes.push(format!(
                "Left out, without results in every task: {}.",
                first(NOTED, &self.left_out, ", ")
            ));
        }
        notes
    }
}
