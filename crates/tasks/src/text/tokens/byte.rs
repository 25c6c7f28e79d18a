//! All 256 bytes as tokens: nothing is lost, whatever the language.

use super::{Tokenizer, Tokens};

/// Bytes as they are.
pub struct Byte;

impl Tokenizer for Byte {
    fn vocab(&self) -> usize {
        256
    }

    fn encode(&self, text: &[u8]) -> Tokens {
        Tokens { ids: text.iter().copied().map(i32::from).collect(), bytes: vec![1; text.len()] }
    }

    /// Bytes that are no character by themselves are shown as a replacement character.
    fn show(&self, id: usize) -> String {
        String::from_utf8_lossy(&[id as u8]).into_owned()
    }

    fn decode(&self, ids: &[usize]) -> String {
        let bytes: Vec<u8> = ids.iter().map(|id| *id as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_several_bytes_come_back_whole() {
        let text = "naïve — 日本\n";
        let tokens = Byte.encode(text.as_bytes());
        assert_eq!((tokens.ids.len(), tokens.ids[2]), (text.len(), 0xc3));
        let ids: Vec<usize> = tokens.ids.iter().map(|id| *id as usize).collect();
        assert_eq!(Byte.decode(&ids), text);
        assert_eq!(Byte.show(0xc3), "\u{fffd}");
    }
}
