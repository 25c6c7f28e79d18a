//! Bytes as tokens: printable ASCII and the line break, everything else is one token more.
//!
//! The alphabet is fixed beforehand, so that no test text can be outside of it.

/// How many tokens there are.
pub(crate) const VOCAB: usize = 97;

/// The token of a byte: 0 to 94 for space to tilde, 95 for the line break, 96 for the rest.
pub(crate) fn token(byte: u8) -> i32 {
    match byte {
        b' '..=b'~' => i32::from(byte - b' '),
        b'\n' => 95,
        _ => 96,
    }
}

/// What a token stands for; the one for all else is shown as a replacement character.
pub(crate) fn letter(token: usize) -> char {
    match token {
        0..=94 => char::from(b' ' + token as u8),
        95 => '\n',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_token() {
        assert_eq!([b' ', b'~', b'\n', b'\t', 0xc3].map(token), [0, 94, 95, 96, 96]);
        assert!((b' '..=b'~').all(|byte| letter(token(byte) as usize) == char::from(byte)));
        assert_eq!([95, 96].map(letter), ['\n', char::REPLACEMENT_CHARACTER]);
        assert!((0..=255).all(|byte| (0..VOCAB as i32).contains(&token(byte))));
    }
}
