//! Text tables, aligned for a terminal, even with letters that are two columns wide.

use unicode_width::UnicodeWidthStr;

use super::{Cell, Column, Table, footer::footers};
use crate::{visible::in_one_line, wrapped};

/// The tables with their titles above and their notes below.
pub(super) fn render(tables: &[Table]) -> String {
    let (own, shared) = footers(tables, "*");
    let (mut text, mut widest) = (String::new(), 60);
    for (table, notes) in tables.iter().zip(&own) {
        if !text.is_empty() {
            text.push('\n');
        }
        let rule = body(table, &mut text);
        if !notes.is_empty() {
            text.push('\n');
            footer(notes, rule.max(60), &mut text);
        }
        widest = widest.max(rule);
    }
    if !shared.is_empty() {
        text.push('\n');
        footer(&shared, widest, &mut text);
    }
    text
}

/// Adds notes, in lines of at most this width.
fn footer(notes: &[String], width: usize, text: &mut String) {
    let lines = notes.iter().flat_map(|note| wrap(&in_one_line(note), width));
    lines.for_each(|line| add(text, &line));
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Adds a table without its notes, and returns its width. The text of cells is made twice, for the width of
/// their column and for their line: in a large table the texts of all cells take more memory than the lines.
fn body(table: &Table, text: &mut String) -> usize {
    let columns: Vec<TextColumn> =
        (0..table.columns.len()).map(|at| TextColumn::new(table, at)).collect();
    let gaps = 2 * columns.len().saturating_sub(1);
    let rule = columns.iter().map(|column| column.width).sum::<usize>() + gaps;
    let line = |row: Option<&[Cell]>| {
        let cell = |column: &TextColumn| {
            let text = row.map_or_else(|| column.head(), |row| column.cell(row));
            pad(&text, column.width, column.column.is_words())
        };
        columns.iter().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let head = [in_one_line(&table.title), String::new(), line(None), "─".repeat(rule)];
    head.iter().for_each(|line| add(text, line));
    table.rows.iter().for_each(|row| add(text, &line(Some(row))));
    rule
}

/// The words of a note in lines of at most the width of the table, with all lines but the first indented.
fn wrap(note: &str, to: usize) -> Vec<String> {
    wrapped(note, to as f64, "  ", |text| width(text) as f64)
}

/// A column as displayed.
struct TextColumn<'a> {
    at: usize,
    column: &'a Column,
    /// Whether any of its cells is in bold, so that all cells leave room for a star.
    starred: bool,
    width: usize,
}

impl<'a> TextColumn<'a> {
    fn new(table: &'a Table, at: usize) -> Self {
        let starred = table.rows.iter().any(|row| row[at].is_bold());
        let shown = Self { at, column: &table.columns[at], starred, width: 0 };
        let cells = table.rows.iter().map(|row| width(&shown.cell(row))).max().unwrap_or(0);
        Self { width: cells.max(width(&shown.head())), ..shown }
    }

    fn head(&self) -> String {
        in_one_line(&self.column.name) + self.star(false)
    }

    fn cell(&self, row: &[Cell]) -> String {
        let cell = &row[self.at];
        in_one_line(&self.column.show(cell)) + self.star(cell.is_bold())
    }

    fn star(&self, bold: bool) -> &'static str {
        match (self.starred, bold) {
            (false, _) => "",
            (true, false) => "  ",
            (true, true) => " *",
        }
    }
}

fn pad(cell: &str, to: usize, left: bool) -> String {
    let blank = " ".repeat(to.saturating_sub(width(cell)));
    if left { format!("{cell}{blank}") } else { format!("{blank}{cell}") }
}

fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "  three"]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(pad("路由", 6, true), "路由  ");
        assert_eq!(pad("naïve", 6, false), " naïve");
    }
}
