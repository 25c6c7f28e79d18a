//! Printable ASCII and the line break as tokens, and one token for everything else.
//!
//! The alphabet is fixed beforehand, so that no test text can be outside of it. It is the smallest for
//! English. For text with other letters, all of which are one token here, use [`Byte`](super::Byte).

use super::{Tokenizer, Tokens};

/// The size of the vocabulary.
const VOCAB: usize = 97;

/// Bytes as tokens, with one token for all that are neither printable ASCII nor a line break.
pub struct Ascii;

impl Tokenizer for Ascii {
    fn vocab(&self) -> usize {
        VOCAB
    }

    fn encode(&self, text: &[u8]) -> Tokens {
        Tokens { ids: text.iter().copied().map(token).collect(), bytes: vec![1; text.len()] }
    }

    fn show(&self, id: usize) -> String {
        letter(id).into()
    }

    fn unknown(&self) -> Option<usize> {
        Some(VOCAB - 1)
    }
}

/// The token of a byte: 0 to 94 for space to tilde, 95 for the line break, 96 for the rest.
fn token(byte: u8) -> i32 {
    match byte {
        b' '..=b'~' => i32::from(byte - b' '),
        b'\n' => 95,
        _ => 96,
    }
}

/// The character of a token; the token for all other characters is a replacement character.
fn letter(token: usize) -> char {
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
        let ids = Ascii.encode(&[b' ', b'~', b'\n', b'\t', 0xc3]).ids;
        assert_eq!(ids, [0, 94, 95, 96, 96]);
        assert!((b' '..=b'~').all(|byte| letter(token(byte) as usize) == char::from(byte)));
        assert_eq!(Ascii.decode(&[40, 73, 95, 96]), "Hi\n\u{fffd}");
        assert!((0..=255).all(|byte| (0..VOCAB as i32).contains(&token(byte))));
    }
}
