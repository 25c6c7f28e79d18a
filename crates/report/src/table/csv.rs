//! Csv for machines: full precision, with an interval in separate columns. A text that a spreadsheet would
//! take for a formula gets a quote in front, and characters that cannot be displayed are escaped.

use super::{Cell, Kind, Table};
use crate::{field::written, setting::distinct};

/// All tables as one, with the columns of each.
pub(super) fn render(tables: &[Table]) -> String {
    let rows: Vec<Vec<(String, String)>> = tables.iter().flat_map(rows).collect();
    let names = rows.iter().flatten().map(|(name, _)| name.as_str());
    let names: Vec<&str> = distinct(names);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(names.iter().map(|name| written(name).into_owned()))
        .expect("a vector takes every byte");
    for row in &rows {
        let field = |name: &&str| row.iter().find(|(key, _)| key == name).map_or("", |f| &f.1);
        writer.write_record(names.iter().map(field)).expect("a vector takes every byte");
    }
    let bytes = writer.into_inner().expect("a vector takes every byte");
    String::from_utf8(bytes).expect("text in, text out")
}

/// The rows of a table as (column, field).
fn rows(table: &Table) -> impl Iterator<Item = Vec<(String, String)>> {
    table.rows.iter().map(|row| {
        let mut fields: Vec<_> = table
            .about
            .iter()
            .map(|(key, value)| (key.to_string(), written(value).into_owned()))
            .collect();
        for (column, cell) in table.columns.iter().zip(row) {
            match column.kind {
                Kind::Estimates(_) => fields.extend(estimate(&column.key, cell)),
                _ => fields.push((column.key.clone(), plain(cell))),
            }
        }
        fields
    })
}

/// The mean, half-width, ends of the interval and number of values; the last column has remarks.
fn estimate(key: &str, cell: &Cell) -> [(String, String); 6] {
    let none = String::new;
    let [mean, half, low, high, n, note] = match cell {
        Cell::Estimate(e) => {
            let text = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
            let note = if e.bold { "bold".into() } else { none() };
            let (low, high) = (e.interval.map(|i| i.low), e.interval.map(|i| i.high));
            let [half, low, high] = [e.mean.half, low, high].map(text);
            [e.mean.mean.to_string(), half, low, high, e.mean.n.to_string(), note]
        }
        Cell::Missing => [none(), none(), none(), none(), "0".into(), "missing".into()],
        other => [none(), none(), none(), none(), "0".into(), plain(other)],
    };
    let name = |suffix: &str| format!("{key}{suffix}");
    [
        (name(""), mean),
        (name("_half"), half),
        (name("_low"), low),
        (name("_high"), high),
        (name("_n"), n),
        (name("_note"), note),
    ]
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Words(text) | Cell::Gap(text) => written(text).into_owned(),
        Cell::Number(x) => x.to_string(),
        Cell::Range(low, high) => format!("{low} to {high}"),
        Cell::Estimate(e) => e.mean.mean.to_string(),
        Cell::Missing => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    #[test]
    fn names_are_no_formulas() {
        let cells =
            ["=1+1", "+1", "-a", "@a", "\tb", "a=b", "\u{1b}"].map(|text| Cell::Words(text.into()));
        let column = Column::new("name", "name", Kind::Words);
        let rows = cells.map(|cell| vec![cell]).into();
        let table = Table { columns: vec![column], rows, ..Table::default() };
        assert_eq!(render(&[table]), "name\n'=1+1\n'+1\n'-a\n'@a\n'\tb\na=b\n\\u{1b}\n");
    }
}
