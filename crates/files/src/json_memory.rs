//! The memory that the values of a JSON text will take, computed before they are made: brackets take a
//! hundred times their size in the text.

/// A list that is not empty has capacity for four values, of 72 bytes each.
const LIST: u64 = 4 * 72;
/// One more value of a list, whose capacity is doubled as it grows.
const ITEM: u64 = 2 * 72;
/// A table that is not empty.
const TABLE: u64 = 500;
/// One more field of a table: twice a hash, a name and a value.
const FIELD: u64 = 2 * 104 + 40;

/// An upper bound of the bytes of memory of a `serde_json::Value` of this text; its letters count twice.
pub fn json_memory(text: &[u8]) -> u64 {
    let mut memory = 2 * text.len() as u64;
    // One bit for each open bracket, 1 for tables. Values within more than 128 brackets are not read.
    let mut tables = 0_u128;
    let (mut at, mut in_text) = (0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' => (memory, tables) = (memory + LIST, tables << 1),
            b'{' => (memory, tables) = (memory + TABLE, tables << 1 | 1),
            b']' | b'}' => tables >>= 1,
            b',' => memory += if tables & 1 == 1 { FIELD } else { ITEM },
            _ => {}
        }
        at += 1;
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_what_is_between_them_count() {
        let of = |text: &str| json_memory(text.as_bytes()) - 2 * text.len() as u64;
        assert_eq!(of(r#""a [[,{\"[\\""#), 0);
        assert_eq!(of("[1, [2, 3], 4]"), 2 * LIST + 3 * ITEM);
        assert_eq!(
            of(r#"{"a": [1, 2], "b": {"c": 0}, "d": 1}"#),
            2 * TABLE + LIST + ITEM + 2 * FIELD
        );
        assert_eq!(of(&"[".repeat(500)), 500 * LIST);
        assert_eq!(of("]]},"), ITEM);
    }
}
