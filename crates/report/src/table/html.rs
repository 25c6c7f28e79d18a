//! A table in HTML, with markup for screen readers.

use std::borrow::Cow;

use super::{Cell, Column, Table};
use crate::plot::escape;

/// Adds the table with its caption, and its notes below. Rows are made one by one, so that a large table
/// need not be held beside its text.
pub(super) fn render<'a>(
    to: &mut String,
    table: &Table,
    rows: impl Iterator<Item = Cow<'a, [Cell]>>,
) {
    let names: String = table
        .columns
        .iter()
        .map(|column| format!("<th scope=\"col\"{}>{}</th>", side(column), escape(&column.name)))
        .collect();
    *to += &format!(
        "<div class=\"wide\" tabindex=\"0\"><table>\n<caption>{}</caption>\n<thead><tr>{names}</tr>\
         </thead>\n<tbody>\n",
        escape(&table.title)
    );
    rows.for_each(|cells| *to += &row(&table.columns, &cells));
    *to += "</tbody>\n</table></div>\n";
    for note in table.notes("Bold") {
        *to += &format!("<p class=\"note\">{}</p>\n", escape(&note));
    }
}

fn row(columns: &[Column], cells: &[Cell]) -> String {
    let cell = |(at, (column, cell)): (usize, (&Column, &Cell))| {
        let text = escape(&column.show(cell));
        let text = if cell.is_bold() { format!("<strong>{text}</strong>") } else { text };
        let side = match cell {
            Cell::Gap(_) | Cell::Missing => " class=\"gap\"",
            _ => side(column),
        };
        match at {
            0 => format!("<th scope=\"row\"{side}>{text}</th>"),
            _ => format!("<td{side}>{text}</td>"),
        }
    };
    let cells: String = columns.iter().zip(cells).enumerate().map(cell).collect();
    format!("<tr>{cells}</tr>\n")
}

fn side(column: &Column) -> &'static str {
    if column.is_words() { "" } else { " class=\"number\"" }
}
