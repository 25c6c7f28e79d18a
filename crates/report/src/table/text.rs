//! Aligned for a terminal, also where letters are two columns wide.

use unicode_width::UnicodeWidthStr;

use super::{Cell, Table, footer::footers};
use crate::visible::in_one_line;

/// The tables with their titles above and their notes below.
pub(super) fn render(tables: &[Table]) -> String {
    let (own, shared) = footers(tables, "*");
    let (mut texts, mut widest) = (Vec::new(), 60);
    for (table, notes) in tables.iter().zip(&own) {
        let (mut lines, rule) = body(table);
        if !notes.is_empty() {
            lines.push(String::new());
            lines.extend(notes.iter().flat_map(|note| wrap(&in_one_line(note), rule.max(60))));
        }
        texts.push(lines.join("\n") + "\n");
        widest = widest.max(rule);
    }
    if !shared.is_empty() {
        let lines: Vec<String> =
            shared.iter().flat_map(|note| wrap(&in_one_line(note), widest)).collect();
        texts.push(lines.join("\n") + "\n");
    }
    texts.join("\n")
}

/// The lines of a table without its notes, and its width.
fn body(table: &Table) -> (Vec<String>, usize) {
    let columns: Vec<Vec<String>> = (0..table.columns.len()).map(|at| column(table, at)).collect();
    let rule = columns.iter().map(|column| width(&column[0])).sum::<usize>()
        + 2 * columns.len().saturating_sub(1);
    let mut lines = vec![in_one_line(&table.title), String::new()];
    for row in 0..=table.rows.len() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        lines.push(cells.join("  ").trim_end().to_string());
        if row == 0 {
            lines.push("─".repeat(rule));
        }
    }
    (lines, rule)
}

/// The words of a note in lines no wider than the table, the further ones indented.
fn wrap(note: &str, to: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in note.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= to => *line += &format!(" {word}"),
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.into()),
        }
    }
    lines
}

/// The name and the cells of a column, all of one width.
fn column(table: &Table, at: usize) -> Vec<String> {
    let column = &table.columns[at];
    let starred = table.rows.iter().any(|row| row[at].is_bold());
    let star = |bold: bool| match (starred, bold) {
        (false, _) => "",
        (true, false) => "  ",
        (true, true) => " *",
    };
    let mut cells = vec![in_one_line(&column.name) + star(false)];
    let cell = |cell: &Cell| in_one_line(&column.show(cell)) + star(cell.is_bold());
    cells.extend(table.rows.iter().map(|row| cell(&row[at])));
    let widest = cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
    cells.iter().map(|cell| pad(cell, widest, column.is_words())).collect()
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
