//! The comparison table: quality with its interval, and all costs.

use std::slice;

use crate::{
    Cell, Column, Error, Estimate, Kind, NumberForm, Query, Row, Runs, Setting, Table,
    best::{Place, RULE, standing},
    budget::Spent,
    few::{NOTED, first},
    metric::{DROPPED, LATENCY, LOAD, SPEED, range},
    number::decimals,
    pairs::crossed_mean,
    searches::{is_search_alone, searches_of},
    stats::{Interval, Mean, mean},
    verbs::spans,
};

/// One table for each suite, task and backbone, with one row for each method, followed by the table of the
/// searches if there were any.
pub fn comparison(runs: &Runs, query: &Query) -> Result<Vec<Table>, Error> {
    Ok(query.settings(runs)?.iter().flat_map(|setting| comparison_of(setting, query)).collect())
}

/// The tables of one setting.
pub(crate) fn comparison_of(setting: &Setting, query: &Query) -> Vec<Table> {
    let builder = Builder::new(setting, query);
    let own = (!builder.methods.is_empty()).then(|| builder.table());
    own.into_iter().chain(searches_of(setting, query)).collect()
}

/// A table that is being built.
struct Builder<'a> {
    setting: &'a Setting<'a>,
    query: &'a Query,
    split: &'a str,
    methods: Vec<&'a str>,
    metrics: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn new(setting: &'a Setting<'a>, query: &'a Query) -> Self {
        let (split, mut methods) = (query.split(setting), query.methods(setting));
        if query.methods.is_empty() && query.metrics.is_empty() {
            methods.retain(|method| !is_search_alone(setting, method));
        }
        Self { setting, query, split, methods, metrics: query.metrics(setting) }
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
            (SPEED, "tokens/s", Some(NumberForm::Short)),
            (LOAD, "max/mean load", Some(NumberForm::Short)),
            (DROPPED, "dropped", None),
        ] {
            self.cost(&mut table, metric, name, digits);
        }
        if self.setting.has(LATENCY, self.split) {
            self.cost(&mut table, LATENCY, "ms/sentence", Some(NumberForm::Short));
        }
        self.notes(&mut table);
        table
    }

    /// A column of quality, with the best methods in bold if the metric's direction is known.
    fn quality(&self, table: &mut Table, metric: &str) {
        let shown = |method: &str, bold| {
            self.estimate(method, metric, self.split, Show { bold, says_n: true })
        };
        let Some(better) = self.query.better(metric) else {
            let cells = self.methods.iter().map(|method| shown(method, false)).collect();
            push(table, metric, metric, None, cells);
            let note = "higher and lower values are not ranked, so nothing is in bold";
            table.notes.push(format!("{metric}: {note}."));
            return;
        };
        let what = (metric, self.split);
        let standing = standing(self.setting, self.query, &self.methods, what, better);
        let cells = self.methods.iter().zip(&standing.bold).map(|(m, bold)| shown(m, *bold));
        push(table, metric, metric, None, cells.collect());
        let p = Column::new(&format!("{metric}_p"), "p", Kind::Numbers(NumberForm::P));
        table.columns.push(p);
        table.rows.iter_mut().zip(standing.places).for_each(|(row, place)| row.push(cell(place)));
        if standing.bold.contains(&true) {
            table.bold = Some(RULE.into());
        }
        table.notes.push(format!("{metric}: {better} is better."));
    }

    /// The columns of parameters and FLOPs. They are counted, not measured, so all seeds agree.
    fn facts(&self, table: &mut Table) {
        let fact = |key: &str, name: &str, of: fn(&Row) -> Option<f64>, table: &mut Table| {
            table.columns.push(Column::new(key, name, Kind::Numbers(NumberForm::Short)));
            for (method, row) in self.methods.iter().zip(&mut table.rows) {
                row.push(Cell::span(self.setting.rows(method).filter_map(of)));
            }
        };
        fact("params", "params", |row| row.params.map(|n| n as f64), table);
        fact("active_params", "active", |row| row.active_params.map(|n| n as f64), table);
        fact("flops_per_token", "FLOPs/token", |row| row.flops_per_token, table);
    }

    /// Adds the deviation of each method from the quantity held equal, if there is one.
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

    /// A column of a cost. It may be measured on another split than the quality.
    fn cost(&self, table: &mut Table, metric: &str, name: &str, digits: Option<NumberForm>) {
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
        match (self.mean(method, metric, split), gaps.first()) {
            (Some(mean), _) => Cell::from(Estimate {
                bold: show.bold,
                says_n: show.says_n,
                failed: gaps.len(),
                ..Estimate::new(mean, range(metric))
            }),
            (None, Some((_, why))) if show.says_n || self.metrics.is_empty() => {
                Cell::Gap(why.to_string())
            }
            (None, Some(_)) => Cell::Gap(String::new()),
            (None, None) => Cell::Missing,
        }
    }

    /// The mean over seeds. Its interval also covers the test examples if this is requested and their values
    /// are known.
    fn mean(&self, method: &str, metric: &str, split: &str) -> Option<Mean> {
        let scores = self.setting.scores(method, metric, split)?;
        let mean = mean(&scores.values().copied().collect::<Vec<_>>())?;
        match self.crossed(method, metric, split) {
            Some(interval) => {
                Some(Mean { half: Some((interval.high - interval.low) / 2.0), ..mean })
            }
            None => Some(mean),
        }
    }

    fn crossed(&self, method: &str, metric: &str, split: &str) -> Option<Interval> {
        let scores = self.setting.scores(method, metric, split).filter(|_| self.query.examples)?;
        let row = |seed: &u64| self.setting.examples(method, metric, split, *seed);
        let rows: Option<Vec<_>> = scores.keys().map(row).collect();
        Some(crossed_mean(&rows?)?.interval())
    }

    /// The note on the sources of variation that intervals cover, if test examples were requested.
    fn examples_note(&self) -> Option<String> {
        let metrics = self.metrics.iter().filter(|metric| self.query.better(metric).is_some());
        let missing = |metric: &&&str| {
            let with = |method: &&&str| self.setting.scores(method, metric, self.split).is_some();
            let covered = |method: &&str| self.crossed(method, metric, self.split).is_some();
            !self.methods.iter().filter(with).all(covered)
        };
        let alone: Vec<&str> = metrics.copied().filter(|metric| missing(&metric)).collect();
        self.query.examples.then(|| match alone.is_empty() {
            true => "Intervals and tests of quality cover seeds and test examples.".into(),
            false => format!(
                "Intervals and tests of quality cover seeds and test examples, except for {}: there, a \
                 method lacks values of single examples for some seeds, or has fewer than 3 seeds, \
                 and its intervals and tests cover the seeds alone.",
                first(NOTED, alone, ", ")
            ),
        })
    }

    /// The note on seeds, if the methods have different seeds: each mean is over a method's own seeds.
    fn seeds_note(&self) -> Option<String> {
        let metric = self.metrics.first()?;
        let seeds = |method: &str| {
            let scores = self.setting.scores(method, metric, self.split)?;
            Some((method.to_string(), spans(scores.keys().copied())))
        };
        let all: Vec<_> = self.methods.iter().filter_map(|method| seeds(method)).collect();
        let differ = all.windows(2).any(|two| two[0].1 != two[1].1);
        let each = all.iter().map(|(method, seeds)| {
            let seeds = first(NOTED, seeds, ", ");
            format!("{method} {seeds}")
        });
        let text =
            "Methods differ in their seeds: means are over a method's own, tests over the shared";
        differ.then(|| format!("{text} ones. Seeds: {}.", first(NOTED, each, "; ")))
    }

    fn notes(&self, table: &mut Table) {
        table.notes.push(
            "mean ± half-width of the 95 % t interval (number of seeds); with fewer than 3 seeds \
             there is no interval. Where no number of seeds is given, it is that of the first \
             metric. active: parameters at work on one token; FLOPs/token: those of one forward \
             pass; dropped: share of units assigned to no expert."
                .into(),
        );
        if let Some(why) = self.query.unjudged(slice::from_ref(self.setting)) {
            table.notes.push(format!("Without a column of quality: {why}."));
        }
        table.notes.extend(self.examples_note());
        table.notes.extend(self.seeds_note());
        table.notes.extend(tuning(self.setting, &self.methods));
        table.notes.extend(remarks(self.setting, &self.methods));
        if let Some(metric) = self.metrics.first() {
            for method in &self.methods {
                let gaps = self.setting.gaps(method, metric, self.split);
                let lost = |gaps: &[(u64, &str)]| {
                    let seeds = first(NOTED, gaps.iter().map(|gap| gap.0), ", ");
                    let s = if gaps.len() > 1 { "s" } else { "" };
                    format!("{method}, seed{s} {seeds}: {}.", gaps[0].1)
                };
                table.notes.extend(gaps.chunk_by(|a, b| a.1 == b.1).map(lost));
            }
        }
    }
}

/// The cell for a method's place relative to the best.
fn cell(place: Place) -> Cell {
    match place {
        Place::Best => Cell::Words("best".into()),
        Place::Tested { p: Some(p) } => Cell::Number(p),
        Place::Tested { p: None } => Cell::Gap("no variance".into()),
        Place::Untested(why) => Cell::Gap(why),
        Place::Absent => Cell::Gap(String::new()),
    }
}

/// The remarks of the results on methods, without duplicates.
fn remarks(setting: &Setting, methods: &[&str]) -> Vec<String> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for method in methods {
        let mut rows = setting.rows(method).filter(|row| !row.is_gap() && !row.note.is_empty());
        let Some(note) = rows.next().map(|row| row.note.trim_end_matches('.')) else { continue };
        match all.iter_mut().find(|(known, _)| *known == note) {
            Some((_, those)) => those.push(method),
            None => all.push((note, vec![method])),
        }
    }
    let said = |(note, those): (&str, Vec<&str>)| match those.len() == methods.len() {
        true => format!("{note}."),
        false => format!("{}: {note}.", first(NOTED, those, ", ")),
    };
    all.into_iter().map(said).collect()
}

/// The number of settings tried for each method, and the chosen one; none if nothing was tuned.
fn tuning(setting: &Setting, methods: &[&str]) -> Option<String> {
    let of = |method: &&str| {
        let row = setting.rows(method).find(|row| row.trials.is_some())?;
        Some(format!("{method} {} ({})", row.tuned, row.trials?))
    };
    let chosen: Vec<String> = methods.iter().filter_map(of).collect();
    let text = "Tuned on the validation split, with the number of settings tried";
    (!chosen.is_empty()).then(|| format!("{text}: {}.", first(NOTED, chosen, "; ")))
}

/// The form in which an estimate is displayed.
struct Show {
    bold: bool,
    says_n: bool,
}

/// Adds a column of estimates; if no digits are given, the intervals determine them.
fn push(table: &mut Table, key: &str, name: &str, digits: Option<NumberForm>, cells: Vec<Cell>) {
    let half = |cell: &Cell| match cell {
        Cell::Estimate(estimate) => estimate.mean.half,
        _ => None,
    };
    let digits =
        digits.unwrap_or_else(|| NumberForm::Fixed(decimals(cells.iter().filter_map(half))));
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
    fn a_method_without_runs_of_a_task_is_shown_as_missing() {
        let methods = vec!["dense".into(), "hash".into()];
        let query = Query { methods, ..Query::default() };
        let mut runs = fixture::runs();
        let elsewhere = fixture::row("hash", 0, "accuracy", 0.5);
        runs.rows.push(Row { task: "another".into(), ..elsewhere });
        let table = comparison(&runs, &query).unwrap().remove(0);
        assert_eq!(table.rows.len(), 2);
        // The test column is empty: the column beside it has the reason.
        let empty = |cell: &&Cell| !matches!(cell, Cell::Gap(why) if why.is_empty());
        assert!(table.rows[1][1..].iter().filter(empty).all(|cell| *cell == Cell::Missing));
    }
}
