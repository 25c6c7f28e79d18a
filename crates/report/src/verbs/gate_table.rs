//! Gates with the measured values, as a table.

use super::Gated;
use crate::{Cell, Column, Kind, Table};

/// The conditions of all gates, one row each.
pub fn gates_table(gates: &[Gated]) -> Table {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    let broken = gates.iter().filter(|gated| gated.broken().is_some()).count();
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

fn rows(gated: &Gated) -> Vec<Vec<Cell>> {
    let gate = &gated.gate;
    let place = gate.place.iter().map(|(column, value)| match value.as_str() {
        Some(text) => format!("{column} = {text}"),
        None => format!("{column} = {value}"),
    });
    let place = place.collect::<Vec<_>>().join(", ");
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
