//! Small parts of a page.

use super::Figure;
pub(super) use crate::plot::escape;

/// The HTML id of the n-th section.
pub(super) fn id(at: usize) -> String {
    format!("section-{}", at + 1)
}

/// A figure with its caption.
fn figure(Figure { svg, caption, .. }: &Figure) -> String {
    format!("<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
}

/// A part of a section; empty if its body is empty.
pub(super) fn part(title: &str, body: &str) -> String {
    match body {
        "" => String::new(),
        body => format!("<h3>{}</h3>\n{body}", escape(title)),
    }
}

/// Figures, side by side if there is room.
pub(super) fn pair(figures: &[Figure]) -> String {
    match figures.is_empty() {
        true => String::new(),
        false => {
            let figures: String = figures.iter().map(figure).collect();
            format!("<div class=\"pair\">\n{figures}</div>\n")
        }
    }
}
