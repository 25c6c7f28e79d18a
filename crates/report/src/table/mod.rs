//! One table in several formats: a `Table` is a value, and each format is a function of it.

mod csv;
mod footer;
mod html;
mod json;
mod latex;
mod markdown;
mod text;

pub use markdown::escape as markdown_text;

use std::{borrow::Cow, str::FromStr};

use crate::{
    Error, number,
    stats::{Interval, Mean},
};

/// The formats of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text, aligned for a terminal.
    #[default]
    Text,
    /// A Markdown table.
    Markdown,
    /// LaTeX with the package booktabs.
    Latex,
    /// Csv with full precision; several tables become one.
    Csv,
    /// A JSON array of objects.
    Json,
}

impl Format {
    /// The names of the formats on the command line.
    pub const NAMES: [&str; 5] = ["text", "md", "tex", "csv", "json"];
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "text" => Ok(Format::Text),
            "md" => Ok(Format::Markdown),
            "tex" => Ok(Format::Latex),
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            other => Err(Error::unknown("format", other, Self::NAMES)),
        }
    }
}

/// A table with its title and the notes under it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The title, in one line.
    pub title: String,
    /// Values that all rows share, by name: suite, task, backbone. In csv they are columns.
    pub about: Vec<(&'static str, String)>,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: one cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// The rule for bold; none if no cell is in bold.
    pub bold: Option<String>,
    /// Notes below the table, in sentences.
    pub notes: Vec<String>,
}

/// A column: its names, and the form of its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in csv and JSON.
    pub key: String,
    /// The displayed name.
    pub name: String,
    /// The kind of its cells.
    pub kind: Kind,
}

/// The kind of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Words,
    /// Plain numbers.
    Numbers(NumberForm),
    /// Means with their intervals.
    Estimates(NumberForm),
}

/// The number of displayed digits. Csv and JSON always have all digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    /// A fixed number of decimals.
    Fixed(usize),
    /// Three digits and a suffix: `12.3 k`.
    Short,
    /// A p value.
    P,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Words(String),
    /// A number.
    Number(f64),
    /// Numbers that should be equal and are not: the smallest and the largest.
    Range(f64, f64),
    /// A mean. It is boxed, since large tables consist mostly of words and numbers.
    Estimate(Box<Estimate>),
    /// No number, with the reason.
    Gap(String),
    /// No number, without a known reason.
    Missing,
}

/// A mean in a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The mean and the number of values.
    pub mean: Mean,
    /// Its 95 % interval, within the range of the metric; none with fewer than 3 values.
    pub interval: Option<Interval>,
    /// Whether it is printed in bold.
    pub bold: bool,
    /// Whether the number of values is printed. If not, another column of the row shows it.
    pub says_n: bool,
    /// The number of failed runs, which have no value.
    pub failed: usize,
}

impl Estimate {
    /// The estimate of a metric with this range, which prints its number of values and is not in bold.
    pub(crate) fn new(mean: Mean, range: [f64; 2]) -> Self {
        Self { mean, interval: mean.interval(range), bold: false, says_n: true, failed: 0 }
    }
}

impl From<Estimate> for Cell {
    fn from(estimate: Estimate) -> Self {
        Self::Estimate(Box::new(estimate))
    }
}

impl Column {
    /// A column.
    pub fn new(key: &str, name: &str, kind: Kind) -> Self {
        Self { key: key.into(), name: name.into(), kind }
    }

    /// Whether the column holds words.
    fn is_words(&self) -> bool {
        self.kind == Kind::Words
    }

    /// The displayed text of a cell of this column.
    fn show(&self, cell: &Cell) -> String {
        match cell {
            Cell::Words(text) | Cell::Gap(text) => text.clone(),
            Cell::Number(x) => self.number(*x),
            Cell::Range(low, high) => format!("{} to {}", self.number(*low), self.number(*high)),
            Cell::Estimate(estimate) => self.estimate(estimate),
            Cell::Missing => "missing".into(),
        }
    }

    fn number(&self, x: f64) -> String {
        match self.digits() {
            NumberForm::Fixed(decimals) => format!("{x:.decimals$}"),
            NumberForm::Short => number::short(x),
            NumberForm::P => number::p_value(x),
        }
    }

    fn digits(&self) -> NumberForm {
        match self.kind {
            Kind::Words => NumberForm::Short,
            Kind::Numbers(digits) | Kind::Estimates(digits) => digits,
        }
    }

    /// `0.973 ± 0.004 (5)`, `0.973 (2, no interval)`, `0.97 ± 0.01 (4, 1 failed)`; where the interval
    /// ends at the end of the metric's range, `0.88, 0.69 to 1.00 (5)`.
    fn estimate(&self, Estimate { mean, interval, says_n, failed, .. }: &Estimate) -> String {
        let mid = self.number(mean.mean);
        let value = match (interval, mean.half, self.digits()) {
            (Some(Interval { low, high }), Some(half), _) if 1.999 * half > high - low => {
                format!("{mid}, {} to {}", self.number(*low), self.number(*high))
            }
            (_, Some(half), NumberForm::Short) => number::short_pair(mean.mean, half),
            (_, Some(half), _) => format!("{mid} ± {}", self.number(half)),
            (_, None, _) => mid,
        };
        let mut said = Vec::new();
        if *says_n {
            said.push(mean.n.to_string());
        }
        if *says_n && mean.half.is_none() {
            said.push("no interval".into());
        }
        if *says_n && *failed > 0 {
            said.push(format!("{failed} failed"));
        }
        if said.is_empty() { value } else { format!("{value} ({})", said.join(", ")) }
    }
}

impl Cell {
    /// The number if all agree, or else their range.
    pub(crate) fn span(values: impl Iterator<Item = f64>) -> Self {
        let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        match ends {
            Some((low, high)) if low < high => Cell::Range(low, high),
            Some((value, _)) => Cell::Number(value),
            None => Cell::Missing,
        }
    }

    /// Whether it is printed in bold.
    fn is_bold(&self) -> bool {
        matches!(self, Cell::Estimate(estimate) if estimate.bold)
    }
}

impl Table {
    /// Renders the table in a format.
    pub fn render(&self, format: Format) -> String {
        render(std::slice::from_ref(self), format)
    }

    /// The table as part of an HTML page, with its notes.
    pub fn to_html(&self) -> String {
        let rows = html::rows(&self.columns, self.rows.iter().map(|row| Cow::from(&row[..])));
        let mut html = String::new();
        html::render(&mut html, self, [rows]);
        html
    }

    /// The table's rows in HTML, with `rows` instead of its own.
    pub(crate) fn rows_html(&self, rows: impl Iterator<Item = Vec<Cell>>) -> String {
        html::rows(&self.columns, rows.map(Cow::from))
    }

    /// Adds the table to a page, with rows that are already HTML.
    pub(crate) fn html_of(&self, to: &mut String, rows: impl IntoIterator<Item = String>) {
        html::render(to, self, rows);
    }

    /// The displayed notes, with the rule for bold first; `mark` is the description of bold in the format.
    fn notes(&self, mark: &str) -> Vec<String> {
        let rule = self.bold.iter().map(|rule| format!("{mark}: {rule}"));
        rule.chain(self.notes.iter().cloned()).collect()
    }
}

/// Renders several tables in a format, as one text with a final line break. In text and Markdown, notes that
/// several tables share are printed once, below the last table.
pub fn render(tables: &[Table], format: Format) -> String {
    match format {
        Format::Text => text::render(tables),
        Format::Markdown => markdown::render(tables),
        // Each table is on a separate page.
        Format::Latex => tables.iter().map(latex::render).collect::<Vec<_>>().join("\n"),
        Format::Csv => csv::render(tables),
        Format::Json => json::render(tables),
    }
}
