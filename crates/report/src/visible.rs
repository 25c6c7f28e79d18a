//! Letters that are shown and not obeyed.

/// The letter, or the sign for one that cannot be shown: control characters, with which a name could
/// command a terminal, marks that turn the direction of the text around them, and what XML cannot hold.
pub fn visible(letter: char) -> char {
    match letter {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    }
}

/// A text in one line of such letters: breaks and tabs are spaces.
pub(crate) fn in_one_line(text: &str) -> String {
    let letter = |letter| if matches!(letter, '\n' | '\t') { ' ' } else { visible(letter) };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_all_scripts_stay() {
        let text = "Ā é 中 한 🙂 ± − ─";
        assert_eq!(in_one_line(text), text);
        assert_eq!(
            in_one_line("a\n\tb\u{7}\u{9b}\u{202e}\u{ffff}"),
            "a  b\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
    }
}
