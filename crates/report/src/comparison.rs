//! The comparison table: quality with its interval beside everything that it cost.

use crate::{
    Cell, Column, Digits, Error, Estimate, Kind, Query, Row, Runs, Setting, Table,
    best::{RULE, best},
    budget::Spent,
    metric::{DROPPED, LOAD, SPEED},
    number::decimals,
    stats::{Mean, mean},
};

/// One table for each suite, task and backbone; one row for each method.
pub fn comparison(runs: &Runs, ask: &Query) -> Result<Vec<Table>, Error> {
    Ok(ask.settings(runs)?.iter().map(|setting| comparison_of(setting, ask)).collect())
}

/// The table of one setting.
pub(crate) fn comparison_of(setting: &Setting, ask: &Query) -> Table {
    Builder::new(setting, ask).table()
}

/// One table in the making.
struct Builder<'a> {
    setting: &'a Setting<'a>,
    ask: &'a Query,
    split: &'a str,
    methods: Vec<&'a str>,
    metrics: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn new(setting: &'a Setting<'a>, ask: &'a Query) -> Self {
        let (split, methods) = (ask.split(setting), ask.methods(setting));
        Self { setting, ask, split, methods, metrics: ask.metrics(setting) }
    }

    fn table(&self) -> Table {
        let Setting { suite, task, backbone, .. } = self.setting;
        let about =
            [("suite", suite), ("task", task), ("backbone", backbone), ("split", &self.split)];
        let mut table = Table {
            title: format!("{task}, {backbone}: {} split of suite {suite}", self.split),
            about: about.map(|(key, value)| (key, value.to_string())).into(),
            columns: vec![Column::new("method", "method", Kind::Words)],
            rows: self.methods.iter().map(|m| vec![Cell::Words(m.to_string())]).collect(),
            bold: None,
            notes: Vec::new(),
        };
        for metric in &self.metrics {
            self.quality(&mut table, metric);
        }
        self.facts(&mut table);
        self.budget(&mut table);
        for (metric, name, digits) in [
            (SPEED, "tokens/s", Some(Digits::Short)),
            (LOAD, "max/mean load", Some(Digits::Short)),
            (DROPPED, "dropped", None),
        ] {
            self.cost(&mut table, metric, name, digits);
        }
        self.notes(&mut table);
        table
    }

    /// A column of quality, with the best in bold if it is known which way is better.
    fn quality(&self, table: &mut Table, metric: &str) {
        let better = self.ask.better(metric);
        let bold = match better {
            Some(better) => best(self.setting, &self.methods, metric, self.split, better),
            None => vec![false; self.methods.len()],
        };
        let cells = self.methods.iter().zip(&bold).map(|(method, bold)| {
            self.estimate(method, metric, self.split, Show { bold: *bold, says_n: true })
        });
        push(table, metric, metric, None, cells.collect());
        if bold.contains(&true) {
            table.bold = Some(RULE.into());
        }
        table.notes.push(match better {
            Some(better) => format!("{metric}: {better} is better."),
            None => format!("{metric}: which way is better is not known, so nothing is in bold."),
        });
    }

    /// Parameters and FLOPs. They are counted, not measured, so all seeds agree.
    fn facts(&self, table: &mut Table) {
        let fact = |key: &str, name: &str, of: fn(&Row) -> Option<f64>, table: &mut Table| {
            table.columns.push(Column::new(key, name, Kind::Numbers(Digits::Short)));
            for (method, row) in self.methods.iter().zip(&mut table.rows) {
                row.push(Cell::span(self.setting.rows(method).filter_map(of)));
            }
        };
        fact("params", "params", |row| row.params.map(|n| n as f64), table);
        fact("active_params", "active", |row| row.active_params.map(|n| n as f64), table);
        fact("flops_per_token", "FLOPs/token", |row| row.flops_per_token, table);
    }

    /// How far each method is off what is held equal, if anything is.
    fn budget(&self, table: &mut Table) {
        let spent: Vec<Option<Spent>> =
            self.methods.iter().map(|method| Spent::of(self.setting, method)).collect();
        let Some(budget) = spent.iter().flatten().next() else { return };
        table.notes.push(budget.rule());
        table.columns.push(Column::new("budget", "budget", Kind::Words));
        for (row, spent) in table.rows.iter_mut().zip(&spent) {
            row.push(spent.as_ref().map_or(Cell::Missing, |spent| Cell::Words(spent.to_string())));
        }
    }

    /// A column of what it cost. It may be measured on another split than the quality is.
    fn cost(&self, table: &mut Table, metric: &str, name: &str, digits: Option<Digits>) {
        let mut splits = vec![self.split];
        splits.extend(self.setting.splits());
        let split = splits.into_iter().find(|split| self.setting.has(metric, split));
        let main = self.metrics.first();
        let cell = |method: &&str| {
            let Some(split) = split else { return Cell::Missing };
            let n = |metric, split| self.setting.scores(method, metric, split).map(|s| s.len());
            let says_n = main.is_none_or(|main| n(main, self.split) != n(metric, split));
            self.estimate(method, metric, split, Show { bold: false, says_n })
        };
        push(table, metric, name, digits, self.methods.iter().map(cell).collect());
    }

    fn estimate(&self, method: &str, metric: &str, split: &str, show: Show) -> Cell {
        let gaps = self.setting.gaps(method, metric, split);
        let scores = self.setting.scores(method, metric, split);
        let values: Vec<f64> = scores.into_iter().flatten().map(|(_, value)| *value).collect();
        match (mean(&values), gaps.first()) {
            (Some(mean), _) => {
                let (bold, says_n) = (show.bold, show.says_n);
                Cell::Estimate(Estimate { mean, bold, says_n, lost: gaps.len() })
            }
            (None, Some((_, why))) if show.says_n || self.metrics.is_empty() => {
                Cell::Gap(why.to_string())
            }
            (None, Some(_)) => Cell::Gap(String::new()),
            (None, None) => Cell::Missing,
        }
    }

    fn notes(&self, table: &mut Table) {
        table.notes.push(
            "mean ± half-width of the 95 % t interval (number of seeds); with fewer than 3 seeds \
             there is no interval. Where no number of seeds is given, it is that of the first \
             metric. active: parameters at work on one token; FLOPs/token: those of one forward \
             pass; dropped: share of units that no expert worked on."
                .into(),
        );
        table.notes.extend(tuning(self.setting, &self.methods));
        if let Some(metric) = self.metrics.first() {
            for method in &self.methods {
                let gaps = self.setting.gaps(method, metric, self.split);
                let lost = |gaps: &[(u64, &str)]| {
                    let seeds: Vec<String> = gaps.iter().map(|gap| gap.0.to_string()).collect();
                    let s = if gaps.len() > 1 { "s" } else { "" };
                    format!("{method}, seed{s} {}: {}.", seeds.join(", "), gaps[0].1)
                };
                table.notes.extend(gaps.chunk_by(|a, b| a.1 == b.1).map(lost));
            }
        }
    }
}

/// How many settings each method was tried with, and which was chosen; none if nothing was tuned.
fn tuning(setting: &Setting, methods: &[&str]) -> Option<String> {
    let of = |method: &&str| {
        let row = setting.rows(method).find(|row| row.trials.is_some())?;
        Some(format!("{method} {} ({})", row.tuned, row.trials?))
    };
    let chosen: Vec<String> = methods.iter().filter_map(of).collect();
    let text = "Tuned on the validation split, with the number of settings tried";
    (!chosen.is_empty()).then(|| format!("{text}: {}.", chosen.join("; ")))
}

/// How an estimate is shown.
struct Show {
    bold: bool,
    says_n: bool,
}

/// Adds a column of estimates; without digits given, the intervals decide.
fn push(table: &mut Table, key: &str, name: &str, digits: Option<Digits>, cells: Vec<Cell>) {
    let half = |cell: &Cell| match cell {
        Cell::Estimate(Estimate { mean: Mean { half, .. }, .. }) => *half,
        _ => None,
    };
    let digits = digits.unwrap_or_else(|| Digits::Fixed(decimals(cells.iter().filter_map(half))));
    table.columns.push(Column::new(key, name, Kind::Estimates(digits)));
    table.rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture, render};

    fn shown(format: Format) -> String {
        render(&comparison(&fixture::runs(), &Query::default()).unwrap(), format)
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(shown(Format::Text));
    }

    #[test]
    fn markdown() {
        insta::assert_snapshot!(shown(Format::Markdown));
    }

    #[test]
    fn latex() {
        insta::assert_snapshot!(shown(Format::Latex));
    }

    #[test]
    fn csv() {
        insta::assert_snapshot!(shown(Format::Csv));
    }

    #[test]
    fn json() {
        insta::assert_snapshot!(shown(Format::Json));
    }

    #[test]
    fn what_is_off_the_budget_is_flagged_and_never_in_bold() {
        let mut runs = fixture::runs();
        for row in &mut runs.rows {
            row.budget = "active FLOPs per token".into();
            row.budget_limit = Some(0.02);
            row.budget_off = Some(if row.method == "switch" { 0.14 } else { -0.004 });
            row.trials = Some(6);
            row.tuned = "train.lr=0.003".into();
        }
        let table = comparison(&runs, &Query::default()).unwrap().remove(0);
        let at = table.columns.iter().position(|column| column.key == "budget").unwrap();
        assert_eq!(table.rows[1][at], Cell::Words("off: +14.0 %".into()));
        assert_eq!(table.rows[2][at], Cell::Words("-0.4 %".into()));
        let text = table.render(Format::Markdown);
        assert!(text.contains("**0.9736") && !text.contains("**0.9732"), "{text}");
        assert!(text.contains("Held equal: active FLOPs per token, within 2 %"), "{text}");
        assert!(text.contains("top-k train.lr=0.003 (6)"), "{text}");
    }

    #[test]
    fn a_method_without_runs_is_shown_as_missing() {
        let methods = vec!["dense".into(), "hash".into()];
        let ask = Query { methods, ..Query::default() };
        let table = comparison(&fixture::runs(), &ask).unwrap().remove(0);
        assert_eq!(table.rows.len(), 2);
        assert!(table.rows[1][1..].iter().all(|cell| *cell == Cell::Missing));
    }
}
