//! Texts in csv files: a text that a spreadsheet would take for a formula gets a quote in front, and
//! characters that cannot be displayed are written as escapes such as `\u{1b}`. Readers of results undo both,
//! so that a text is the same after writing and reading.

use std::borrow::Cow;

use crate::visible::is_hidden;

/// The characters that begin a formula, in a spreadsheet of any language.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// The beginning of an escape.
const ESCAPE: &str = "\\u{";

/// A text as written to a file.
pub(crate) fn written(text: &str) -> Cow<'_, str> {
    let text = match text.chars().any(is_escaped) || text.contains(ESCAPE) {
        true => Cow::Owned(escaped(text)),
        false => Cow::Borrowed(text),
    };
    if is_formula(&text) { Cow::Owned(format!("'{text}")) } else { text }
}

/// The text of a field in a file.
pub(crate) fn read(field: &str) -> Cow<'_, str> {
    let text = field.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(field);
    if text.contains(ESCAPE) { Cow::Owned(unescaped(text)) } else { Cow::Borrowed(text) }
}

/// Whether a text begins like a formula, after quotes and blanks. A name that itself begins with a quote and
/// a formula gets a second quote, so that it differs from a formula with the added quote.
fn is_formula(text: &str) -> bool {
    let before =
        |letter: char| letter == '\'' || letter.is_whitespace() && !FORMULA.contains(&letter);
    text.trim_start_matches(before).starts_with(FORMULA)
}

/// Whether a letter is escaped; line breaks and tabs are not.
fn is_escaped(letter: char) -> bool {
    is_hidden(letter) && !matches!(letter, '\n' | '\t')
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for (at, letter) in text.char_indices() {
        match is_escaped(letter) || text[at..].starts_with(ESCAPE) {
            true => escaped += &format!("{ESCAPE}{:x}}}", u32::from(letter)),
            false => escaped.push(letter),
        }
    }
    escaped
}

fn unescaped(text: &str) -> String {
    let (mut unescaped, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(ESCAPE) {
        let after = &rest[at + ESCAPE.len()..];
        let letter = after.split_once('}').and_then(|(code, tail)| Some((letter(code)?, tail)));
        unescaped += &rest[..at];
        match letter {
            Some((letter, tail)) => {
                unescaped.push(letter);
                rest = tail;
            }
            None => {
                unescaped += ESCAPE;
                rest = after;
            }
        }
    }
    unescaped + rest
}

/// The letter of an escape; none if this letter is never escaped.
fn letter(code: &str) -> Option<char> {
    let letter = u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?;
    (letter == '\\' || is_escaped(letter)).then_some(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_have_a_quote_and_hidden_letters_an_escape() {
        for (text, field) in [
            ("top-k", "top-k"),
            ("=1+1", "'=1+1"),
            ("-a", "'-a"),
            ("\ta", "'\ta"),
            (" @a", "' @a"),
            ("＝1", "'＝1"),
            ("'a", "'a"),
            ("'=1", "''=1"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            ("\r=1", "\\u{d}=1"),
            ("\\alpha \\u", "\\alpha \\u"),
            ("\\u{1b}", "\\u{5c}u{1b}"),
        ] {
            assert_eq!(written(text), field);
            assert_eq!(read(field), text);
        }
    }

    #[test]
    fn what_no_file_of_ours_has_stays() {
        for field in ["'a", "''", "\\u{41}", "\\u{}", "\\u{110000}", "\\u{1b"] {
            assert_eq!(read(field), field);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "['=+ \\\\u{}15cb\u{1b}\u{61c}\n\t\ra]{0,12}") {
            let field = written(&text);
            prop_assert!(!field.starts_with(FORMULA), "{field:?}");
            prop_assert!(!field.chars().any(is_escaped), "{field:?}");
            prop_assert_eq!(read(&field), text.as_str());
        }
    }
}
