//! The tokeniser of a GGUF file as a `tokenizer.json`.
//!
//! Byte-level BPE (`tokenizer.ggml.model = "gpt2"`) is supported, with the splitting rules in `CUTS`; the
//! patterns are those of the published tokenisers of the same names. Tokens of kind 3 (control) are special;
//! those of kind 4 are matched literally in a text.

use serde_json::{Map, Value, json};

/// The rules by which a text is split before byte pairs are merged: the names of `tokenizer.ggml.pre`, and
/// whether digits stand alone, or the pattern of a word if it is not GPT-2's.
const CUTS: [(&str, Cut); 5] = [
    ("gpt-2", Cut::Words),
    ("smollm", Cut::DigitsAndWords),
    ("llama-bpe", Cut::Pattern(LLAMA)),
    ("llama-v3", Cut::Pattern(LLAMA)),
    ("qwen2", Cut::Pattern(QWEN)),
];

const LLAMA: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[derive(Clone, Copy)]
enum Cut {
    Words,
    DigitsAndWords,
    Pattern(&'static str),
}

/// Makes the `tokenizer.json`, or returns the reason why the tokeniser cannot be read.
pub(super) fn read(metadata: &Map<String, Value>) -> Result<Value, String> {
    let entry = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let text = |key: &str| entry(key).and_then(Value::as_str).unwrap_or_default();
    match text("model") {
        "" => return Err("the file has no tokeniser".into()),
        "gpt2" => {}
        other => {
            return Err(format!(
                "tokenizer.ggml.model = {other:?} is not supported; known: \"gpt2\""
            ));
        }
    }
    let pre = text("pre");
    let cut = CUTS.iter().find(|(name, _)| *name == pre).map(|(_, cut)| *cut).ok_or_else(|| {
        let known = CUTS.map(|(name, _)| format!("{name:?}")).join(", ");
        format!("tokenizer.ggml.pre = {pre:?} is not supported; known: {known}")
    })?;
    let (tokens, merges) = (texts(entry("tokens"), "tokens")?, texts(entry("merges"), "merges")?);
    let vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.to_string(), id.into())).collect();
    if vocab.len() != tokens.len() {
        return Err(format!(
            "tokenizer.ggml.tokens: {} tokens are duplicates",
            tokens.len() - vocab.len()
        ));
    }
    let bytes = |cuts: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cuts });
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&tokens, entry("token_type")),
        "normalizer": null, "post_processor": null,
        "pre_tokenizer": cutting(cut, bytes),
        "decoder": bytes(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": merges,
        },
    }))
}

fn cutting(cut: Cut, bytes: impl Fn(bool) -> Value) -> Value {
    let first = match cut {
        Cut::Words => return bytes(true),
        Cut::DigitsAndWords => json!({ "type": "Digits", "individual_digits": true }),
        Cut::Pattern(regex) => json!({
            "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false,
        }),
    };
    let then = bytes(matches!(cut, Cut::DigitsAndWords));
    json!({ "type": "Sequence", "pretokenizers": [first, then] })
}

fn texts<'a>(list: Option<&'a Value>, name: &str) -> Result<Vec<&'a str>, String> {
    let texts =
        list.and_then(Value::as_array).and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| format!("tokenizer.ggml.{name} is not a list of strings"))
}

/// Tokens that are matched as a whole in a text.
fn added(tokens: &[&str], kinds: Option<&Value>) -> Vec<Value> {
    let kinds = kinds.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let one = |(id, (token, kind)): (usize, (&&str, &Value))| {
        let special = match kind.as_u64() {
            Some(3) => true,
            Some(4) => false,
            _ => return None,
        };
        Some(json!({
            "id": id, "content": token, "special": special, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false,
        }))
    };
    tokens.iter().zip(kinds).enumerate().filter_map(one).collect()
}
