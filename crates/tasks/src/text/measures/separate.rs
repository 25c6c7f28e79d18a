//! Tokenisation before scoring, as in sacrebleu.
//!
//! Post. *A Call for Clarity in Reporting BLEU Scores*. WMT 2018. <https://arxiv.org/abs/1804.08771>
//!
//! `13a` and `intl` are mteval-v13a.pl and mteval-v14.pl of NIST. Each of their rules is applied to the whole
//! text, from left to right without going back, before the next rule.

use std::str::FromStr;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// The rule that cuts text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Separation {
    /// At white space, and around punctuation of ASCII: the usual choice.
    #[serde(rename = "13a")]
    V13a,
    /// At white space alone.
    #[serde(rename = "none")]
    None,
    /// Each character is a word.
    #[serde(rename = "char")]
    Char,
    /// At white space, and around punctuation and symbols of Unicode.
    #[serde(rename = "intl")]
    Intl,
}

impl Separation {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::V13a, Self::None, Self::Char, Self::Intl];

    /// The name, as in signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::None => "none",
            Self::Char => "char",
            Self::Intl => "intl",
        }
    }

    /// The words of a line, with white space between them.
    pub fn apply(self, line: &str) -> String {
        match self {
            Self::None => line.to_string(),
            Self::Char => line.chars().flat_map(|c| [c, ' ']).collect(),
            Self::V13a => v13a(line),
            Self::Intl => Intl::default().apply(line),
        }
    }
}

impl FromStr for Separation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|known| known.name() == name);
        found
            .ok_or_else(|| format!("no separation is named {name:?}; known: 13a, none, char, intl"))
    }
}

fn v13a(line: &str) -> String {
    let mut line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (from, to) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        line = line.replace(from, to);
    }
    let point = |c: char| c == '.' || c == ',';
    let digit = |c: char| c.is_ascii_digit();
    let line = around(&format!(" {line} "), is_ascii_symbol);
    let line = pairs(&line, |a, b| !digit(a) && point(b), |a, b| [a, ' ', b, ' ']);
    let line = pairs(&line, |a, b| point(a) && !digit(b), |a, b| [' ', a, ' ', b]);
    pairs(&line, |a, b| digit(a) && b == '-', |a, b| [a, ' ', b, ' '])
}

/// Punctuation and symbols of ASCII except apostrophe, comma, hyphen and point.
fn is_ascii_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Puts a space before and after each such character.
fn around(line: &str, is: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(2 * line.len());
    for c in line.chars() {
        match is(c) {
            true => out.extend([' ', c, ' ']),
            false => out.push(c),
        }
    }
    out
}

/// Replaces each pair of neighbours of a kind; a character is in one pair at most.
fn pairs(
    line: &str,
    is: impl Fn(char, char) -> bool,
    becomes: impl Fn(char, char) -> [char; 4],
) -> String {
    let mut out = String::with_capacity(2 * line.len());
    let mut rest = line.chars().peekable();
    while let Some(a) = rest.next() {
        match rest.peek().copied().filter(|b| is(a, *b)) {
            Some(b) => {
                out.extend(becomes(a, b));
                rest.next();
            }
            None => out.push(a),
        }
    }
    out
}

/// Punctuation, symbols and numbers of Unicode.
struct Intl {
    punctuation: Regex,
    symbol: Regex,
    number: Regex,
}

impl Default for Intl {
    fn default() -> Self {
        let of = |class: &str| Regex::new(class).expect("a class of Unicode");
        Self { punctuation: of(r"^\p{P}$"), symbol: of(r"^\p{S}$"), number: of(r"^\p{N}$") }
    }
}

impl Intl {
    fn apply(&self, line: &str) -> String {
        let is = |class: &Regex, c: char| class.is_match(c.encode_utf8(&mut [0; 4]));
        let (mark, number) = (|c| is(&self.punctuation, c), |c| is(&self.number, c));
        let line = pairs(line, |a, b| !number(a) && mark(b), |a, b| [a, ' ', b, ' ']);
        let line = pairs(&line, |a, b| mark(a) && !number(b), |a, b| [' ', a, ' ', b]);
        around(&line, |c| is(&self.symbol, c))
    }
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn cut(name: &str, line: &str) -> String {
        let cut = name.parse::<Separation>().unwrap().apply(line);
        words(&cut).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lines_by_hand() {
        let line = "It's 3.5-4, \u{201e}not\u{201c} 1,000 (a-b)... &amp;c.";
        assert_eq!(cut("none", line), line);
        assert_eq!(
            cut("13a", line),
            "It's 3.5 - 4 , \u{201e}not\u{201c} 1,000 ( a-b ) . . . & c ."
        );
        assert_eq!(
            cut("intl", line),
            "It ' s 3.5-4 , \u{201e} not \u{201c} 1,000 ( a - b ) . . . & amp ; c ."
        );
        assert_eq!(cut("char", "ab c"), "a b c");
        assert_eq!(cut("intl", "5€+x²"), "5 € + x²");
        let err = "14b".parse::<Separation>().unwrap_err();
        assert_eq!(err, "no separation is named \"14b\"; known: 13a, none, char, intl");
    }
}
