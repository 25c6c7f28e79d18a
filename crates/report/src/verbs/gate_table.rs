//! Gates with the measured values, as a table.

use super::{Gated, SuiteGate, check::place};
use crate::{Cell, Column, Kind, Table};

/// The conditions of all gates, one row each.
pub fn gates_table(gates: &[Gated]) -> Table {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    let broken = gates.iter().filter(|gated| !gated.broken().is_empty()).count();
    Table {
        title: format!("{} of {} gates hold", gates.len() - broken, gates.len()),
        columns: vec![
            words("where", "where"),
            words("metric", "metric"),
            words("condition", "condition"),
            words("measured", "measured"),
            words("holds", "holds"),
        ],
        rows: gates.iter().flat_map(rows).collect(),
        ..Table::default()
    }
}

/// The gates of a suite, and what the training of its runs took.
#[derive(Clone, Debug)]
pub struct SuiteConditions {
    /// The suite's name.
    pub suite: String,
    /// Its gates, judged on its results.
    pub gates: Vec<Gated>,
    /// The seconds of training of all its runs, without trials.
    pub seconds: f64,
}

/// The gates of several suites with the values of their references beside trivial baselines, one row for each
/// gate, or for a suite without any.
pub fn conditions_table(suites: &[SuiteConditions]) -> Table {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    Table {
        title: "Reference, trivial baseline and control of each gate".into(),
        columns: vec![
            words("suite", "suite"),
            words("metric", "metric"),
            words("reference", "reference"),
            words("value", "its mean"),
            words("trivial", "trivial baseline"),
            words("gap", "minus control, 95 % interval"),
            words("holds", "gate"),
            words("minutes", "minutes of training"),
        ],
        rows: suites.iter().flat_map(conditions).collect(),
        ..Table::default()
    }
}

fn conditions(of: &SuiteConditions) -> Vec<Vec<Cell>> {
    if of.gates.is_empty() {
        let words = [of.suite.as_str(), "", "", "", "", "", "none", &minutes(of)];
        return vec![words.map(|word| Cell::Words(word.into())).into()];
    }
    of.gates.iter().map(|gated| condition(of, gated)).collect()
}

/// The minutes of training; its runs may have recorded none.
fn minutes(of: &SuiteConditions) -> String {
    if of.seconds > 0.0 { format!("{:.0}", of.seconds / 60.0) } else { "not recorded".into() }
}

fn condition(of: &SuiteConditions, gated: &Gated) -> Vec<Cell> {
    let SuiteGate { metric, reference, control, .. } = &gated.gate;
    let metric = match place(&gated.gate.place) {
        place if place.is_empty() => metric.clone(),
        place => format!("{metric}, {place}"),
    };
    let [value, trivial] =
        gated.means.map(|mean| mean.map_or("not measured".into(), |mean| format!("{mean:.3}")));
    let gap = match gated.gap {
        Some([mean, low, high]) => format!("{control:?}: {mean:+.3}, {low:+.3} to {high:+.3}"),
        None => format!("{control:?}: not measured"),
    };
    let broken: Vec<_> = gated.broken().iter().map(|condition| condition.name).collect();
    let holds = match &broken[..] {
        [] => "holds".into(),
        names => format!("does not hold: {}", names.join(", ")),
    };
    let suite = of.suite.clone();
    let cells = [suite, metric, reference.clone(), value, trivial, gap, holds, minutes(of)];
    cells.map(Cell::Words).into()
}

fn rows(gated: &Gated) -> Vec<Vec<Cell>> {
    let gate = &gated.gate;
    let place = place(&gate.place);
    let mut rows = Vec::new();
    let mut add = |name: &str, text: &str, holds: &str| {
        let cells = [&place, &gate.metric, name, text, holds];
        rows.push(cells.map(|text| Cell::Words(text.to_string())).into());
    };
    for condition in &gated.conditions {
        add(condition.name, &condition.text, if condition.holds { "yes" } else { "NO" });
    }
    let (reference, control) = (&gate.reference, &gate.control);
    if let Some([mean, low, high]) = gated.gap {
        let text = format!("{reference:?} minus {control:?}: {mean:+.4}, {low:+.4} to {high:+.4}");
        let margin = format!("for margins up to {:.4}", mean.abs() / 3.0);
        let differs = low > 0.0 || high < 0.0;
        add("can tell methods apart", &text, if differs { &margin } else { "for no margin" });
    }
    rows
}
