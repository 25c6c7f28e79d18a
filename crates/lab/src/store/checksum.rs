//! JSON objects with a checksum: the last member is the SHA-256 of all bytes before it.

use files::hex;
use sha2::{Digest, Sha256};

/// The text before and behind the digest at the end.
const END: [&str; 2] = [",\n  \"sha256\": \"", "\"\n}"];
/// The digits of a digest.
const DIGITS: usize = 64;

/// A pretty-printed object, which must not be empty, with its checksum.
pub(super) fn with_checksum(mut object: String) -> Vec<u8> {
    object.truncate(object.trim_end_matches("\n}").len());
    let digest = hex(&Sha256::digest(&object));
    [&object, END[0], &digest, END[1]].concat().into_bytes()
}

/// Whether the checksum at the end matches the bytes before it.
pub(super) fn is_intact(bytes: &[u8]) -> bool {
    let parts = || {
        let rest = bytes.strip_suffix(END[1].as_bytes())?;
        let (rest, digest) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        Some((rest.strip_suffix(END[0].as_bytes())?, digest))
    };
    parts().is_some_and(|(text, digest)| hex(&Sha256::digest(text)).as_bytes() == digest)
}

/// Whether an older version wrote the object: it has none of the keys that were added with the checksum. One
/// flipped bit or a truncation cannot remove all of them and leave a valid object.
pub(super) fn is_older(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    !["\"run\":", "\"files\":", "\"sha256\":"].iter().any(|key| text.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let object = serde_json::json!({ "files": { "a": "\n}" }, "x": [{}, 0.1] });
        let whole = with_checksum(serde_json::to_string_pretty(&object).unwrap());
        let mut read: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(
            read.as_object_mut().unwrap().remove("sha256").unwrap().as_str().unwrap().len(),
            64
        );
        assert_eq!(read, object);
        assert!(is_intact(&whole));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&bytes) && !is_older(&bytes), "bit {bit}");
        }
        assert!((0..whole.len()).all(|cut| !is_intact(&whole[..cut])));
        assert!(is_older(br#"{"status":"failed"}"#));
    }
}
