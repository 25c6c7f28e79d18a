//! A Markdown table.

use super::{Column, Table, footer::footers};
use crate::visible;

/// The tables with their titles above and their notes below.
pub(super) fn render(tables: &[Table]) -> String {
    let (own, shared) = footers(tables, "Bold");
    let paragraphs = |notes: &[String]| notes.iter().map(|note| escape(note)).collect::<Vec<_>>();
    let with_notes = |(table, notes): (&Table, &Vec<String>)| {
        [vec![body(table)], paragraphs(notes)].concat().join("\n\n")
    };
    let mut texts: Vec<String> = tables.iter().zip(&own).map(with_notes).collect();
    texts.extend(paragraphs(&shared));
    texts.join("\n\n") + "\n"
}

/// A table without its notes.
fn body(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|column| escape(&column.name)).collect();
    let sides: Vec<&str> = table.columns.iter().map(side).collect();
    let mut lines = vec![format!("**{}**", escape(&table.title)), String::new()];
    lines.push(line(&names));
    lines.push(format!("|{}|", sides.join("|")));
    for row in &table.rows {
        let cell = |(column, cell): (&Column, &super::Cell)| {
            let text = escape(&column.show(cell));
            if cell.is_bold() { format!("**{text}**") } else { text }
        };
        lines.push(line(&table.columns.iter().zip(row).map(cell).collect::<Vec<_>>()));
    }
    lines.join("\n")
}

fn side(column: &Column) -> &'static str {
    if column.is_words() { ":---" } else { "---:" }
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Escapes a text so that Markdown finds no markup in it, as one line.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' => escaped.extend(['\\', letter]),
            '<' => escaped.push_str("&lt;"),
            '\n' | '\t' => escaped.push(' '),
            _ => escaped.push(visible(letter)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_no_markup() {
        assert_eq!(super::escape("a|b_c < *"), "a\\|b\\_c &lt; \\*");
        assert_eq!(super::escape("a\n# b\u{1b}[2J"), "a # b\u{fffd}\\[2J");
    }
}
