//! A checkpoint of another framework for tests: a fixture of `interop`, with a tokeniser.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::Place;

/// A temporary folder with a copy of a fixture of `interop`, and a tokeniser whose vocabulary has the size of
/// the network's.
pub(crate) fn place(fixture: &str, suite: &str) -> Place {
    let place = Place::with_suite(suite);
    let to = place.path("model");
    fs::create_dir(&to).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/fixtures").join(fixture);
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    fs::write(to.join("tokenizer.json"), tokenizer(40)).unwrap();
    place
}

/// Sets the first or the last four bytes of a tensor to NaN: one number of four bytes, or two of two bytes.
pub(crate) fn spoil(place: &Place, tensor: &str, last: bool) {
    for entry in fs::read_dir(place.path("model")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else { continue };
        let length = u64::from_le_bytes(*length) as usize;
        let Some(Ok(header)) = rest.get(..length).map(serde_json::from_slice::<Value>) else {
            continue; // the config, the index
        };
        let ends = &header[tensor]["data_offsets"];
        if let (Some(start), Some(end)) = (ends[0].as_u64(), ends[1].as_u64()) {
            let at = (if last { end - 4 } else { start }) as usize;
            bytes[8 + length + at..][..4].fill(0xff);
            fs::write(path, bytes).unwrap();
            return;
        }
    }
    panic!("{tensor} is not there");
}

/// The word of a token; the first one stands for all other words.
pub(crate) fn word(i: usize) -> String {
    let words = ["[UNK]", "the", "I", "you", "to", "is", "a", "of", "in", "it"];
    words.get(i).map_or_else(|| format!("w{i}"), |word| word.to_string())
}

/// A tokeniser with words, and one token for all others.
pub(crate) fn tokenizer(n: usize) -> String {
    let vocab: serde_json::Map<String, Value> = (0..n).map(|i| (word(i), json!(i))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab },
    })
    .to_string()
}
