//! A table in HTML, with markup for screen readers.

use super::{Cell, Column, Table};
use crate::plot::escape;

/// The table with its caption, and its notes below.
pub(super) fn render(table: &Table) -> String {
    let names: String = table
        .columns
        .iter()
        .map(|column| format!("<th scope=\"col\"{}>{}</th>", side(column), escape(&column.name)))
        .collect();
    let rows: String = table.rows.iter().map(|cells| row(&table.columns, cells)).collect();
    let notes = table.notes("Bold");
    let notes: String =
        notes.iter().map(|note| format!("<p class=\"note\">{}</p>\n", escape(note))).collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\"><table>\n<caption>{}</caption>\n<thead><tr>{names}</tr>\
         </thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{notes}",
        escape(&table.title)
    )
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
