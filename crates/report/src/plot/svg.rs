//! The SVG elements of which a plot consists.
//!
//! Colours are attributes, so that a file can be used alone; elements also have classes, by which a page with
//! another background can override the colours, since a style sheet takes precedence over attributes.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::visible;

/// Colours that are distinguishable with most kinds of colour vision (Okabe and Ito,
/// <https://jfly.uni-koeln.de/color/>), with enough contrast on white and on black.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d46", "#808080"];

/// The colour of the n-th method. Colours repeat after 8, with another dash.
pub(super) fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

/// The dash of the n-th method, as an attribute.
pub(super) fn dash(at: usize) -> &'static str {
    [r#""#, r#" stroke-dasharray="6 3""#, r#" stroke-dasharray="2 3""#][at / COLOURS.len() % 3]
}

/// The anchor of a text.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    /// The name of the anchor in SVG.
    pub(super) fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// A drawing that is being made. Lengths are pixels at its natural size.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// Adds an element.
    pub(super) fn add(&mut self, element: std::fmt::Arguments) {
        self.body.write_fmt(element).expect("a string takes every letter");
        self.body.push('\n');
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        self.turned_text((x, y), anchor, text, "");
    }

    /// Adds text that runs upwards, along an axis.
    pub(super) fn upright_text(&mut self, (x, y): (f64, f64), text: &str) {
        let turn = format!(r#" transform="rotate(-90 {x:.1} {y:.1})""#);
        self.turned_text((x, y), Anchor::Middle, text, &turn);
    }

    fn turned_text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str, turn: &str) {
        let (anchor, text) = (anchor.name(), escape(text));
        self.add(format_args!(
            r##"<text class="ink" fill="#222" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"{turn}>{text}</text>"##
        ));
    }

    /// A thin line of the frame: `axis` or `grid`.
    pub(super) fn rule(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let stroke = if class == "grid" { "#e4e4e4" } else { "#666" };
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            r#"<path class="{class}" stroke="{stroke}" fill="none" d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}"/>"#
        ));
    }

    /// A line through points in the colour of the n-th method.
    pub(super) fn line(&mut self, at: usize, points: &[(f64, f64)], width: f64) {
        let (d, stroke, dash) = (path(points), colour(at), dash(at));
        self.add(format_args!(
            r#"<path fill="none" stroke="{stroke}" stroke-width="{width}" stroke-linejoin="round"{dash} d="{d}"/>"#
        ));
    }

    /// A disc in the colour of the n-th method; a ring if the colours have repeated.
    pub(super) fn disc(&mut self, at: usize, (x, y): (f64, f64), radius: f64, opacity: f64) {
        let colour = colour(at);
        let fill = if at < COLOURS.len() { colour } else { "none" };
        self.add(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{fill}" stroke="{colour}" opacity="{opacity}"/>"#
        ));
    }

    /// The content of the file, with its title and its description.
    pub(super) fn finish(self, title: &str, description: &str) -> String {
        let Self { width, height, body } = self;
        let (title, label) = (escape(title), escape(&format!("{title}. {description}")));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{label}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
             {body}</svg>\n"
        )
    }
}

/// A path through points.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        let letter = if at == 0 { 'M' } else { 'L' };
        write!(d, "{letter}{x:.1} {y:.1}").expect("a string takes every letter");
    }
    d
}

/// An estimate of the width of a text without font metrics, for DejaVu Sans, the widest of the usual fonts.
pub(super) fn text_width(text: &str) -> f64 {
    let share = |letter: char| match letter {
        ' '..='!'
        | '\''
        | ','
        | '.'
        | '/'
        | ':'
        | ';'
        | 'I'
        | 'i'
        | 'j'
        | 'l'
        | '|'
        | 'f'
        | 't'
        | 'r' => 0.42,
        'A'..='Z' | '+' | '=' | '<' | '>' | '%' | '@' | 'm' | 'w' => 0.84,
        _ => 0.64 * letter.width().unwrap_or(0) as f64,
    };
    12.0 * text.chars().map(share).sum::<f64>()
}

/// Escapes a text so that it contains no markup, also within quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text);
    escaped
}

/// Escapes a text and appends it.
pub(crate) fn escape_into(to: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\n' => to.push(letter),
            '\t' => to.push(' '),
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            _ => to.push(visible(letter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_room_in_wide_fonts() {
        // Measured in DejaVu Sans of 12 pixels.
        for (text, width) in [("NetVLAD++, MoE", 106.7), ("mimimi", 45.0), ("random split", 75.6)] {
            let room = text_width(text);
            assert!((width..1.25 * width).contains(&room), "{text}: {room}");
        }
    }

    #[test]
    fn names_are_no_markup() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text((1.0, 2.0), Anchor::End, "<a & b>");
        assert_eq!(escape("a\tb\u{7}"), "a b\u{fffd}");
        let svg = canvas.finish("\"t\"", "d");
        assert!(svg.contains(">&lt;a &amp; b&gt;</text>"), "{svg}");
        assert!(svg.contains("aria-label=\"&quot;t&quot;. d\""), "{svg}");
    }

    #[test]
    fn after_eight_colours_comes_another_dash() {
        assert_eq!((colour(1), dash(1)), (colour(9), ""));
        assert_ne!(dash(1), dash(9));
    }
}
