//! Replaces or escapes control and bidirectional characters for display.

/// The letter, or a replacement if it cannot be displayed: control characters, with which a name could
/// control a terminal, marks that change the direction of the text around them, invisible tags, and
/// characters that XML does not allow.
pub fn visible(letter: char) -> char {
    if is_hidden(letter) { '\u{fffd}' } else { letter }
}

/// Whether a letter cannot be displayed.
pub(crate) fn is_hidden(letter: char) -> bool {
    match letter {
        // Marks and overrides of direction, and the deprecated ones for the shapes of letters.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2066}'..='\u{206f}' => true,
        // Line separators, interlinear annotations, and noncharacters.
        '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' => true,
        // Tags.
        '\u{e0000}'..='\u{e007f}' => true,
        letter => letter.is_control(),
    }
}

/// The text of a JSON file with such letters escaped: they can only occur within its strings.
pub(crate) fn in_json(json: String) -> String {
    if !json.chars().any(|letter| letter != '\n' && is_hidden(letter)) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter == '\n' || !is_hidden(letter) {
            escaped.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            escaped += &format!("\\u{unit:04x}");
        }
    }
    escaped
}

/// A text as one line without such letters: line breaks and tabs become spaces.
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

    #[test]
    fn marks_of_direction_and_tags_are_shown_as_signs() {
        for hidden in "\u{61c}\u{200f}\u{2066}\u{206f}\u{fff9}\u{e0000}\u{e0001}\u{e007f}".chars() {
            assert_eq!(visible(hidden), '\u{fffd}', "{hidden:?}");
        }
        // Joiners are part of words in some scripts, and selectors choose among the forms of a letter.
        for shown in "\u{200c}\u{200d}\u{fe0f}\u{e0100}".chars() {
            assert_eq!(visible(shown), shown, "{shown:?}");
        }
    }

    #[test]
    fn json_is_the_same_with_escapes() {
        let text = "a\u{9b}\u{61c}\u{e0001}é\n";
        let json = in_json(format!("{:#}\n", serde_json::json!({ "name": text })));
        assert!(!json.chars().any(|letter| letter != '\n' && is_hidden(letter)), "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["name"], text);
    }
}
