//! The ledger: the budget and the cost of every method.

use std::{collections::BTreeMap, slice};

use rayon::prelude::*;

use crate::{
    Cell, Column, Error, Kind, NumberForm, Row, Runs, Setting, Table,
    budget::Spent,
    few::{NOTED, first},
    setting::distinct,
};

/// One table with a row for each setting and method, or for each run. If the runs of a method differ in a
/// value that should be equal, the row shows the range.
pub fn ledger(runs: &Runs, each_run: bool) -> Result<Table, Error> {
    Ok(ledger_of(&Setting::all(runs, true)?, each_run))
}

/// The ledger of some settings.
pub(crate) fn ledger_of(settings: &[Setting], each_run: bool) -> Table {
    Table { rows: rows(settings, each_run).collect(), ..frame(settings) }
}

/// Adds the ledger with a row for each setting and method to a page.
pub(crate) fn ledger_html(settings: &[Setting], to: &mut String) {
    let frame = frame(settings);
    let of_setting = |setting| frame.rows_html(rows(slice::from_ref(setting), false));
    // A few settings at a time, so that not all of their rows are in memory together with the page.
    let parts =
        settings.chunks(64).flat_map(|some| some.par_iter().map(of_setting).collect::<Vec<_>>());
    frame.html_of(to, parts);
}

/// The rows, each made when it is requested.
fn rows(settings: &[Setting], each_run: bool) -> impl Iterator<Item = Vec<Cell>> {
    let methods =
        settings.iter().flat_map(|setting| setting.methods.iter().map(move |m| (setting, m)));
    methods.flat_map(move |(setting, method)| {
        let ends = ends(setting, method);
        match each_run {
            true => ends.iter().map(|end| row(setting, method, slice::from_ref(end))).collect(),
            false => vec![row(setting, method, &ends)],
        }
    })
}

/// The ledger without its rows.
fn frame(settings: &[Setting]) -> Table {
    let (words, short) = (Kind::Words, Kind::Numbers(NumberForm::Short));
    Table {
        title: "Budget and cost of each method".into(),
        columns: vec![
            Column::new("task", "task", words),
            Column::new("backbone", "backbone", words),
            Column::new("method", "method", words),
            Column::new("router", "router", words),
            Column::new("seeds", "seeds", words),
            Column::new("params", "params", short),
            Column::new("active_params", "active params", short),
            Column::new("router_params", "router params", short),
            Column::new("flops_per_token", "FLOPs/token", short),
            Column::new("train_flops", "training FLOPs", short),
            Column::new("steps", "steps", short),
            Column::new("tokens", "tokens", short),
            Column::new("seconds", "seconds/run", short),
            Column::new("peak_memory", "peak memory", short),
            Column::new("budget", "budget", words),
        ],
        notes: vec![
            made_by(settings),
            "active params: parameters at work on one token; router params: those of the routers; \
             training FLOPs: three times those of one forward pass, for all tokens; peak memory: bytes \
             held by the program at most while the run went on, shared by runs side by side."
                .into(),
        ],
        ..Table::default()
    }
}

/// Devices and revisions in one sentence.
fn made_by(settings: &[Setting]) -> String {
    let rows = || settings.iter().flat_map(|s| s.methods.iter().flat_map(|m| s.rows(m)));
    let all = |of: fn(&Row) -> &str| {
        distinct(rows().map(of)).into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()
    };
    let (devices, revisions) = (all(|row| &row.device), all(|row| &row.revision));
    format!(
        "Device: {}; revision of the code: {}.",
        first(NOTED, devices, ", "),
        first(NOTED, revisions, ", ")
    )
}

/// The last step of each run, and a row: every row repeats the facts of its run.
fn ends<'a>(setting: &Setting<'a>, method: &str) -> Vec<(u64, &'a Row)> {
    let mut runs: BTreeMap<(u64, &str), (u64, &Row)> = BTreeMap::new();
    for row in setting.rows(method) {
        let end = row.step.unwrap_or(0);
        let run = runs.entry((row.seed, row.run.as_str())).or_insert((end, row));
        run.0 = run.0.max(end);
    }
    runs.into_values().collect()
}

fn row(setting: &Setting, method: &str, runs: &[(u64, &Row)]) -> Vec<Cell> {
    let words = |of: fn(&Row) -> &str| {
        Cell::Words(distinct(runs.iter().map(|(_, row)| of(row))).join(", "))
    };
    let number =
        |of: fn(&Row) -> Option<f64>| Cell::span(runs.iter().filter_map(|(_, row)| of(row)));
    let seeds = spans(runs.iter().map(|(_, row)| row.seed)).join(", ");
    let budget = Spent::of_rows(runs.iter().map(|(_, row)| *row));
    vec![
        Cell::Words(setting.task.into()),
        Cell::Words(setting.backbone.into()),
        Cell::Words(method.into()),
        words(|row| &row.router),
        Cell::Words(seeds),
        number(|row| row.params.map(|n| n as f64)),
        number(|row| row.active_params.map(|n| n as f64)),
        number(|row| row.router_params.map(|n| n as f64)),
        number(|row| row.flops_per_token),
        number(|row| row.train_flops),
        Cell::span(runs.iter().map(|(end, _)| *end as f64)),
        number(|row| row.tokens.map(|n| n as f64)),
        number(|row| row.seconds),
        number(|row| row.peak_memory.map(|n| n as f64)),
        budget.map_or(Cell::Missing, |spent| Cell::Words(spent.to_string())),
    ]
}

/// Seeds in order: `0 to 7`, or `0 to 2` and `5`.
pub(crate) fn spans(seeds: impl Iterator<Item = u64>) -> Vec<String> {
    let seeds: Vec<u64> = seeds.collect();
    let span = |of: &[u64]| match of {
        [first, _, .., last] => format!("{first} to {last}"),
        few => few.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    };
    seeds.chunk_by(|a, b| a + 1 == *b).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn one_row_for_each_method() {
        let mut runs = fixture::runs();
        runs.rows[0].seconds = Some(10.0);
        runs.rows[0].train_flops = Some(2.5e12);
        insta::assert_snapshot!(ledger(&runs, false).unwrap().render(Format::Text));
    }

    #[test]
    fn a_page_has_the_same_rows() {
        let runs = fixture::runs();
        let settings = Setting::all(&runs, true).unwrap();
        let mut html = String::new();
        ledger_html(&settings, &mut html);
        assert_eq!(html, ledger_of(&settings, false).to_html());
        assert_eq!(html.matches("<tr>").count(), 1 + settings[0].methods.len());
    }

    #[test]
    fn one_row_for_each_run() {
        let table = ledger(&fixture::runs(), true).unwrap();
        let mut seeds = table.rows.iter().filter(|row| row[2] == Cell::Words("switch".into()));
        assert_eq!(seeds.clone().count(), 5);
        assert_eq!(seeds.next().unwrap()[4], Cell::Words("0".into()));
        assert_eq!(spans([0, 1, 2, 5, 7, 8].into_iter()), ["0 to 2", "5", "7, 8"]);
    }
}
