//! Files of tokenisers.

use tasks::{Tokenizer, text::tokens::Bpe};

use super::{Target, target, texts};

const PAIRS: &str = r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}"#;
const WORDS: &str = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 9,
    "strategy": "LongestFirst", "stride": 2}, "padding": {"strategy": {"Fixed": 8}, "direction": "Right",
    "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}, "added_tokens": [],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"String": "``"}, "content": "\""},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    {"type": "Prepend", "prepend": "▁"}]}, "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "unk_token": "[UNK]",
    "vocab": {"[UNK]": 0, "a": 1, "cat": 7}}}"#;
const PIECES: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
    {"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
    "normalized": false, "special": true}], "normalizer": {"type": "BertNormalizer",
    "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
    "split": true}, "post_processor": null, "decoder": null, "model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0.0], ["▁", -1.5], ["a", -2.0]], "byte_fallback": false}}"#;

/// Reads a file, encodes a short text and decodes its tokens.
pub(super) fn tokenizer() -> Target {
    target("tokenizer", 4, texts(&[PAIRS, WORDS, PIECES]), |_, bytes| {
        let Ok(bpe) = Bpe::read(bytes) else { return };
        let text = "A cat, a  dog``s ba▁b!\n\tdé 日本\n";
        let tokens = bpe.encode(text.as_bytes());
        assert!(tokens.ids.iter().all(|id| (0..bpe.vocab() as i64).contains(&i64::from(*id))));
        let ids: Vec<usize> = tokens.ids.iter().map(|id| *id as usize).collect();
        drop(bpe.decode(&ids));
    })
}
