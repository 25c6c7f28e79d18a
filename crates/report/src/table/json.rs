//! JSON for machines.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::json;

use super::{Cell, Column, Estimate, Table};
use crate::visible::in_json;

/// An array with one object for each table. Cells are written one by one: a tree of a large table would take
/// several times the memory of its text.
pub(super) fn render(tables: &[Table]) -> String {
    let objects: Vec<Object> = tables.iter().map(Object).collect();
    let mut text = serde_json::to_string_pretty(&objects).expect("keys are text");
    text.push('\n');
    in_json(text)
}

/// A table.
struct Object<'a>(&'a Table);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Table { title, about, columns, rows, bold, notes } = self.0;
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("title", title)?;
        for (key, value) in about {
            object.serialize_entry(key, value)?;
        }
        object.serialize_entry("rows", &JsonRows(columns, rows))?;
        object.serialize_entry("bold", bold)?;
        object.serialize_entry("notes", notes)?;
        object.end()
    }
}

/// The rows of a table.
struct JsonRows<'a>(&'a [Column], &'a [Vec<Cell>]);

impl Serialize for JsonRows<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.1.iter().map(|row| JsonRow(self.0, row)))
    }
}

/// One row as an object with the keys of the columns.
struct JsonRow<'a>(&'a [Column], &'a [Cell]);

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().zip(self.1).map(|(column, cell)| (&column.key, cell)))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Words(text) => text.serialize(to),
            Cell::Number(x) => x.serialize(to),
            Cell::Range(low, high) => [low, high].serialize(to),
            Cell::Estimate(estimate) => estimate.serialize(to),
            Cell::Gap(why) => json!({ "gap": why }).serialize(to),
            Cell::Missing => to.serialize_none(),
        }
    }
}

impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        json!({
            "mean": self.mean.mean, "half": self.mean.half,
            "low": self.interval.map(|interval| interval.low),
            "high": self.interval.map(|interval| interval.high),
            "n": self.mean.n, "failed": self.failed, "bold": self.bold
        })
        .serialize(to)
    }
}
