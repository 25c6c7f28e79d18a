//! A table in HTML, with markup for screen readers.

use std::borrow::Cow;

use super::{Cell, Column, Table};
use crate::plot::{escape, escape_into};

/// Adds the table with its caption and its notes. Rows are passed in parts, so that a large table need not be
/// in memory beside its text.
pub(super) fn render(to: &mut String, table: &Table, rows: impl IntoIterator<Item = String>) {
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
    to.extend(rows);
    *to += "</tbody>\n</table></div>\n";
    for note in table.notes("Bold") {
        *to += &format!("<p class=\"note\">{}</p>\n", escape(&note));
    }
}

/// The rows as HTML.
pub(super) fn rows<'a>(columns: &[Column], rows: impl Iterator<Item = Cow<'a, [Cell]>>) -> String {
    let mut html = String::new();
    rows.for_each(|cells| row(&mut html, columns, &cells));
    html
}

fn row(to: &mut String, columns: &[Column], cells: &[Cell]) {
    *to += "<tr>";
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let side = match cell {
            Cell::Gap(_) | Cell::Missing => " class=\"gap\"",
            _ => side(column),
        };
        let [tag, scope] = if at == 0 { ["th", " scope=\"row\""] } else { ["td", ""] };
        let [strong, end] = if cell.is_bold() { ["<strong>", "</strong>"] } else { ["", ""] };
        to.extend(["<", tag, scope, side, ">", strong]);
        escape_into(to, &column.show(cell));
        to.extend([end, "</", tag, ">"]);
    }
    *to += "</tr>\n";
}

fn side(column: &Column) -> &'static str {
    if column.is_words() { "" } else { " class=\"number\"" }
}
