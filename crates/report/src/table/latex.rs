//! LaTeX with booktabs: `\usepackage{booktabs}`.

use super::{Cell, Column, Table};
use crate::visible;

/// A `table` with caption and notes.
pub(super) fn render(table: &Table) -> String {
    let sides: String =
        table.columns.iter().map(|c| if c.is_words() { 'l' } else { 'r' }).collect();
    let names: Vec<String> = table.columns.iter().map(|column| escape(&column.name)).collect();
    let mut lines = vec![
        "\\begin{table}".into(),
        "\\centering".into(),
        format!("\\caption{{{}}}", escape(&table.title)),
        format!("\\begin{{tabular}}{{{sides}}}"),
        "\\toprule".into(),
        names.join(" & ") + " \\\\",
        "\\midrule".into(),
    ];
    lines.extend(table.rows.iter().map(|row| line(&table.columns, row)));
    lines.extend(["\\bottomrule".into(), "\\end{tabular}".into()]);
    let notes = table.notes("Bold").into_iter();
    lines.extend(notes.map(|note| format!("\n\\smallskip\\footnotesize {}", escape(&note))));
    lines.push("\\end{table}".into());
    lines.join("\n") + "\n"
}

fn line(columns: &[Column], row: &[Cell]) -> String {
    let cell = |(column, cell): (&Column, &Cell)| {
        let text = escape(&column.show(cell));
        if cell.is_bold() { format!("\\textbf{{{text}}}") } else { text }
    };
    let cells: Vec<String> = columns.iter().zip(row).map(cell).collect();
    cells.join(" & ") + " \\\\"
}

/// Escapes a text so that LaTeX prints it unchanged.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', letter]),
            '\n' | '\t' => escaped.push(' '),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '±' => escaped.push_str("$\\pm$"),
            _ => escaped.push(visible(letter)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn specials_are_escaped() {
        assert_eq!(super::escape("5 % ± a_b\\"), "5 \\% $\\pm$ a\\_b\\textbackslash{}");
    }
}
