//! Small parts of a page.

pub(super) use crate::plot::escape;

/// The place of the n-th section in the page.
pub(super) fn id(at: usize) -> String {
    format!("section-{}", at + 1)
}

/// A picture with the words under it.
pub(super) fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
}

/// A part of a section, or nothing where there is nothing in it.
pub(super) fn part(title: &str, body: &str) -> String {
    match body {
        "" => String::new(),
        body => format!("<h3>{}</h3>\n{body}", escape(title)),
    }
}

/// Pictures side by side where there is room.
pub(super) fn pair(figures: &[String]) -> String {
    match figures.is_empty() {
        true => String::new(),
        false => format!("<div class=\"pair\">\n{}</div>\n", figures.concat()),
    }
}
