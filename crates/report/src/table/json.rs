//! Json for machines.

use serde_json::{Map, Value, json};

use super::{Cell, Column, Table};
use crate::visible::in_json;

/// An array with one object for each table.
pub(super) fn render(tables: &[Table]) -> String {
    let value: Value = tables.iter().map(table).collect();
    in_json(&format!("{value:#}\n"))
}

fn table(table: &Table) -> Value {
    let mut object = Map::new();
    object.insert("title".into(), json!(table.title));
    for (key, value) in &table.about {
        object.insert((*key).into(), json!(value));
    }
    let rows: Vec<Value> = table.rows.iter().map(|r| row(&table.columns, r)).collect();
    object.insert("rows".into(), json!(rows));
    object.insert("bold".into(), json!(table.bold));
    object.insert("notes".into(), json!(table.notes));
    Value::Object(object)
}

fn row(columns: &[Column], row: &[Cell]) -> Value {
    let field = |(column, c): (&Column, &Cell)| (column.key.clone(), cell(c));
    Value::Object(columns.iter().zip(row).map(field).collect())
}

fn cell(cell: &Cell) -> Value {
    match cell {
        Cell::Words(text) => json!(text),
        Cell::Number(x) => json!(x),
        Cell::Range(low, high) => json!([low, high]),
        Cell::Estimate(e) => json!({
            "mean": e.mean.mean, "half": e.mean.half,
            "low": e.interval.map(|interval| interval.low),
            "high": e.interval.map(|interval| interval.high),
            "n": e.mean.n, "failed": e.failed, "bold": e.bold
        }),
        Cell::Gap(why) => json!({ "gap": why }),
        Cell::Missing => Value::Null,
    }
}
