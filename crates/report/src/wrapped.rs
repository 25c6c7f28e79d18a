//! Wrapping of texts into lines.

/// The words of a text in lines of at most `room`, measured by `width`; lines after the first begin with
/// `indent`. A word that is wider has a separate line.
pub fn wrapped(text: &str, room: f64, indent: &str, width: impl Fn(&str) -> f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{indent}{word}")),
            None => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_fit_share_a_line() {
        let lines = |text, room, indent| wrapped(text, room, indent, |text| text.len() as f64);
        assert_eq!(lines("one two three", 7.0, "  "), ["one two", "  three"]);
        assert_eq!(lines("unbreakable", 3.0, "  "), ["unbreakable"]);
        assert_eq!(lines("a longword b c", 3.0, ""), ["a", "longword", "b c"]);
    }
}
