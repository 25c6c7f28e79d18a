//! Byte-pair encoding by the crate tokenizers: trained on the training text, or read from a `tokenizer.json`
//! of any kind.
//!
//! Sennrich, Haddow, Birch. *Neural Machine Translation of Rare Words with Subword Units*. ACL 2016.
//! <https://arxiv.org/abs/1508.07909>
//! Radford et al. *Language Models are Unsupervised Multitask Learners*. 2019 (on bytes, so that every text
//! can be encoded, and not across words).
//!
//! Differs from GPT-2: lines are encoded one by one, so no token continues beyond a line break.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder, TokenizerImpl,
    models::bpe::{BPE, BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::{Tokenizer, Tokens, expressions};

/// The largest factor by which a normalizer may lengthen a text; published ones have up to 4.
const GROWTH: usize = 64;

/// The minimum number of tokens: one for each byte.
const BYTES: usize = 256;

/// The maximum memory for the values of a file; those of published ones take some 400 MB.
const MEMORY: u64 = 1 << 30;

/// The parts of a file that are checked besides those that the crate reads: not the vocabulary, which is large.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    added_tokens: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
}

impl Spec {
    /// Reads and checks a file. All of it is read, since the crate panics at a decoder that is not JSON.
    fn read(json: &[u8]) -> Result<Self, String> {
        let memory = files::json_memory(json);
        if memory > MEMORY {
            return Err(format!(
                "its JSON could take {memory} bytes of memory; the limit is {MEMORY}"
            ));
        }
        let spec: Self =
            serde_json::from_slice(json).map_err(|err| format!("not a tokenizer.json: {err}"))?;
        if let Some(key) = files::repeated_key(json) {
            return Err(format!("not a tokenizer.json: {key} occurs twice"));
        }
        expressions::check([
            ("normalizer", &spec.normalizer),
            ("pre_tokenizer", &spec.pre_tokenizer),
            ("post_processor", &spec.post_processor),
            ("decoder", &spec.decoder),
        ])?;
        Ok(spec)
    }
}

/// Byte-pair encoding of a training text, or the tokeniser of a file.
pub struct Bpe {
    inner: tokenizers::Tokenizer,
    /// The file. It is kept because the crate prints a line if it writes a file whose ids have gaps.
    json: String,
    vocab: usize,
}

impl Bpe {
    /// Trains at most `vocab` tokens on the training text; pairs that occur only once are not merged.
    ///
    /// # Errors
    /// If `vocab` is too small for one token per byte.
    pub fn train(vocab: usize, text: &str) -> Result<Self, String> {
        if vocab < BYTES {
            return Err(format!("vocab = {vocab}: must be at least {BYTES}, one for each byte"));
        }
        let bytes = ByteLevel::new(false, false, true);
        let mut tokenizer: TokenizerImpl<
            BPE,
            NormalizerWrapper,
            ByteLevel,
            PostProcessorWrapper,
            ByteLevel,
        > = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(bytes))
            .with_post_processor(None)
            .with_decoder(Some(bytes))
            .build()
            .map_err(|err| err.to_string())?;
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        tokenizer.train(&mut trainer, text.split_inclusive('\n')).map_err(|err| err.to_string())?;
        let json = tokenizer.to_string(true).map_err(|err| err.to_string())?;
        Self::read(json.as_bytes())
    }

    /// The tokeniser of a `tokenizer.json`. The file's settings of truncation and padding are ignored: all
    /// tokens of a text are kept.
    ///
    /// # Errors
    /// If the file is no `tokenizer.json`, if the number of a token is no `i32` or is shared by two tokens,
    /// if one of its regular expressions may take more than linear time in the length of the text, or if its
    /// normalizer may make a text more than 64 times as long.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let spec = Spec::read(json)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|err| format!("not a tokenizer.json: {err}"))?;
        inner.with_truncation(None).map_err(|err| format!("not a tokenizer.json: {err}"))?;
        inner.with_padding(None);
        has_added_tokens(&inner, &spec.added_tokens)?;
        if let Some(normalizer) = inner.get_normalizer() {
            let growth = growth(normalizer)?;
            if growth > GROWTH {
                return Err(format!(
                    "normalizer: it may make a text {growth} times as long; the limit is {GROWTH} \
                     times"
                ));
            }
        }
        let tokens = inner.get_vocab(true);
        each_has_its_number(&tokens)?;
        let vocab = tokens.into_values().max().map_or(0, |id| id as usize + 1);
        match vocab {
            0 => Err("the tokenizer.json has no tokens".into()),
            _ if vocab > i32::MAX as usize => {
                Err(format!("token number {}; expected a number below {}", vocab - 1, i32::MAX))
            }
            vocab => Ok(Self { inner, json: String::from_utf8_lossy(json).into_owned(), vocab }),
        }
    }

    /// The same tokeniser with a vocabulary of this size, whose last tokens never occur.
    ///
    /// # Errors
    /// If it already has more tokens.
    pub(super) fn sized(self, size: Option<usize>) -> Result<Self, String> {
        match size {
            Some(size) if size < self.vocab => {
                Err(format!("it has {} tokens, more than tokens.size = {size}", self.vocab))
            }
            size => Ok(Self { vocab: size.unwrap_or(self.vocab), ..self }),
        }
    }
}

/// Checks that the added tokens have the numbers that the file gives them: the crate renumbers them.
///
/// # Errors
/// Names a token with both numbers.
fn has_added_tokens(inner: &tokenizers::Tokenizer, added: &Value) -> Result<(), String> {
    for token in added.as_array().into_iter().flatten() {
        let (Some(text), Some(id)) = (token["content"].as_str(), token["id"].as_u64()) else {
            continue;
        };
        let own = inner.token_to_id(text);
        if own.map(u64::from) != Some(id) {
            let own = own.map_or("none".into(), |own| own.to_string());
            return Err(format!(
                "added_tokens: {text:?} has the number {id}, but its number in the vocabulary is {own}"
            ));
        }
    }
    Ok(())
}

/// Checks that no two tokens share a number: only one of them would ever be shown.
///
/// # Errors
/// Names the first shared number, with both tokens.
fn each_has_its_number(tokens: &HashMap<String, u32>) -> Result<(), String> {
    let mut order: Vec<(u32, &str)> = tokens.iter().map(|(text, id)| (*id, &text[..])).collect();
    order.sort_unstable();
    match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some([(id, first), (_, second)]) => {
            Err(format!("tokens {first:?} and {second:?} have the same number, {id}"))
        }
        _ => Ok(()),
    }
}

/// The length of the longest replacement in a character map of SentencePiece. A map has the size of its trie,
/// the trie, and zero-terminated texts.
fn longest(map: &[u8]) -> usize {
    let Some((size, rest)) = map.split_first_chunk::<4>() else { return 0 };
    let texts = rest.get(u32::from_le_bytes(*size) as usize..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0)
}

/// The largest factor by which a normalizer may lengthen a text by replacing text or putting text before it.
/// Idempotent changes of single letters, such as NFKC, are not counted.
fn growth(normalizer: &NormalizerWrapper) -> Result<usize, String> {
    match normalizer {
        NormalizerWrapper::Sequence(all) => {
            let all: &[NormalizerWrapper] = all.as_ref();
            all.iter().try_fold(1_usize, |most, one| Ok(most.saturating_mul(growth(one)?)))
        }
        NormalizerWrapper::Prepend(before) => Ok((before.prepend.len() / GROWTH).max(1)),
        NormalizerWrapper::ByteLevel(_) => Ok(2),
        // Spaces around letters of Chinese.
        NormalizerWrapper::BertNormalizer(_) => Ok(3),
        // In published maps, the letters with the longest replacements have three bytes.
        NormalizerWrapper::Precompiled(map) => {
            let spec = serde_json::to_value(map).map_err(|err| format!("normalizer: {err}"))?;
            let text = spec["precompiled_charsmap"].as_str().unwrap_or_default();
            let bytes = base64::decode(text).map_err(|err| format!("normalizer: {err}"))?;
            Ok(longest(&bytes).div_ceil(3).max(1))
        }
        NormalizerWrapper::Replace(replace) => {
            // The crate does not make the pattern public.
            let spec = serde_json::to_value(replace).map_err(|err| format!("normalizer: {err}"))?;
            let found = spec["pattern"]["String"].as_str().map_or(0, str::len);
            Ok(match found {
                // An expression may match between any two letters.
                0 => replace.content.len().saturating_add(1),
                found => replace.content.len().div_ceil(found).max(1),
            })
        }
        _ => Ok(1),
    }
}

impl Tokenizer for Bpe {
    fn vocab(&self) -> usize {
        self.vocab
    }

    /// Text that the tokeniser drops is counted with the token after it, at the end of a line with the one
    /// before it.
    fn encode(&self, text: &[u8]) -> Tokens {
        let mut tokens = Tokens::default();
        for line in String::from_utf8_lossy(text).split_inclusive('\n') {
            // Encoding only fails for pairs of sequences.
            let Ok(encoding) = self.inner.encode(line, false) else { continue };
            let mut done = 0;
            for (id, (_, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
                // All tokens of one letter end at the end of the letter.
                tokens.push(*id as usize, end.saturating_sub(done));
                done = done.max(*end);
            }
            if let Some(last) = tokens.bytes.last_mut() {
                *last += line.len().saturating_sub(done) as u32;
            }
        }
        tokens
    }

    fn show(&self, id: usize) -> String {
        self.decode(&[id])
    }

    fn decode(&self, ids: &[usize]) -> String {
        let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        self.inner.decode(&ids, false).unwrap_or_default()
    }

    fn unknown(&self) -> Option<usize> {
        match self.inner.get_model() {
            ModelWrapper::BPE(model) => {
                let id = self.inner.token_to_id(model.unk_token.as_deref()?)?;
                Some(id as usize)
            }
            _ => None,
        }
    }

    fn file(&self) -> Option<String> {
        Some(self.json.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "low lower lowest\nnew newer newest\nlow new lowest newest\n";

    fn numbers(ids: &[i32]) -> Vec<usize> {
        ids.iter().map(|id| *id as usize).collect()
    }

    #[test]
    fn frequent_pairs_become_tokens_and_all_text_comes_back() {
        let bpe = Bpe::train(262, TEXT).unwrap();
        assert_eq!(bpe.vocab(), 262);
        assert!(bpe.encode(TEXT.as_bytes()).ids.len() * 3 < TEXT.len() * 2);
        for text in [TEXT, "naïve 日本 \t\r\n\n  x", "low"] {
            let tokens = bpe.encode(text.as_bytes());
            assert_eq!(bpe.decode(&numbers(&tokens.ids)), text);
            assert_eq!(tokens.bytes.iter().sum::<u32>() as usize, text.len());
        }
        // "we" is there six times, no other pair more than five times.
        let one = Bpe::train(257, TEXT).unwrap();
        assert_eq!((one.encode(b"we").ids, one.encode(b"lo").ids.len()), (vec![256], 2));
        assert_eq!(
            Bpe::train(255, TEXT).err().unwrap(),
            "vocab = 255: must be at least 256, one for each byte"
        );
    }

    #[test]
    fn training_again_gives_the_same_file_and_the_file_the_same_tokens() {
        let (first, second) = (Bpe::train(280, TEXT).unwrap(), Bpe::train(280, TEXT).unwrap());
        assert_eq!(first.file(), second.file());
        let read = Bpe::read(first.file().unwrap().as_bytes()).unwrap();
        assert_eq!(read.encode(TEXT.as_bytes()), first.encode(TEXT.as_bytes()));
        assert_eq!(read.unknown(), None);
        let err = Bpe::read(b"{\"model\": 3}").err().unwrap();
        assert!(err.starts_with("not a tokenizer.json: "), "{err}");
        assert!(Bpe::read(b"").is_err());
        let brackets = format!("{{\"model\":[{}[]]}}", "[[[]]],".repeat(1_100_000));
        let err = Bpe::read(brackets.as_bytes()).err().unwrap();
        assert!(err.starts_with("its JSON could take 1124"), "{err}");
        for decoder in [":: 1".to_string(), "1e999".into(), "[".repeat(999), "\"\\ud800\"".into()] {
            let err = Bpe::read(format!("{{\"decoder\":{decoder}}}").as_bytes()).err().unwrap();
            assert!(err.starts_with("not a tokenizer.json: "), "{err}");
        }
    }

    /// A file of a word tokeniser in which this value replaces a member that is null.
    fn words(member: &str, value: serde_json::Value) -> Result<Bpe, String> {
        let mut json = serde_json::json!({"version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": null, "decoder": null, "model": {"type": "WordLevel",
            "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1, "cat": 7}}});
        json[member] = value;
        Bpe::read(json.to_string().as_bytes())
    }

    #[test]
    fn tokens_beside_the_models_have_the_numbers_of_the_file() {
        let added = |text: &str, id: u64| {
            let token = serde_json::json!([{"id": id, "content": text, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
            words("added_tokens", token)
        };
        assert!(added("cat", 7).is_ok() && added("a", 1).is_ok());
        let free = added("<s>", 8).err();
        let far = added("<s>", 40_000).err().unwrap();
        assert!(
            far.starts_with(
                "added_tokens: \"<s>\" has the number 40000, but its number in the vocabulary is "
            ),
            "{far}"
        );
        assert!(added("cat", 6).is_err(), "{free:?}");
    }

    #[test]
    fn two_tokens_of_one_number_and_two_numbers_of_one_token_are_refused() {
        let model = |vocab: &str| {
            format!(
                r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
                "model": {{"type": "WordLevel", "unk_token": "[UNK]",
                "vocab": {{"[UNK]": 0, {vocab}}}}}}}"#
            )
        };
        let said = |vocab: &str| Bpe::read(model(vocab).as_bytes()).err();
        assert_eq!(said(r#""cat": 1, "a": 2"#), None);
        let one = said(r#""cat": 1, "a": 1"#);
        assert_eq!(one.as_deref(), Some("tokens \"a\" and \"cat\" have the same number, 1"));
        let two = said(r#""cat": 1, "cat": 2"#);
        assert_eq!(two.as_deref(), Some("not a tokenizer.json: model.vocab.cat occurs twice"));
    }

    #[test]
    fn truncation_and_padding_of_a_file_do_not_count() {
        let truncation = |most: usize, stride: usize| {
            serde_json::json!({"direction": "Right", "max_length": most, "strategy": "LongestFirst",
                "stride": stride})
        };
        let padding = |length: u64| {
            serde_json::json!({"strategy": {"Fixed": length}, "direction": "Right",
                "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"})
        };
        let plain = words("padding", serde_json::Value::Null).unwrap().encode(b"a cat a cat");
        for (member, value) in [
            ("truncation", truncation(3, 10)),
            ("truncation", truncation(3, 3)),
            ("truncation", truncation(0, 0)),
            ("padding", padding(1_000_000_000)),
            ("padding", padding(1 << 62)),
        ] {
            let read = words(member, value.clone()).unwrap();
            assert_eq!(read.encode(b"a cat a cat"), plain, "{value}");
        }
    }

    #[test]
    fn a_normalizer_that_makes_much_of_little_is_refused() {
        let replace = |pattern: serde_json::Value, content: &str| serde_json::json!({"type": "Replace", "pattern": pattern, "content": content});
        let text = |text: &str| serde_json::json!({ "String": text });
        let all =
            |all: &[serde_json::Value]| serde_json::json!({"type": "Sequence", "normalizers": all});
        let growing = replace(text("a"), &"a".repeat(32));
        let error = words("normalizer", all(&[growing.clone(), growing.clone()])).err().unwrap();
        let expected = "normalizer: it may make a text 1024 times as long; the limit is 64 \
                        times";
        assert_eq!(error, expected);
        assert!(words("normalizer", all(&[growing])).is_ok());
        let anywhere = serde_json::json!({ "Regex": "b*" });
        assert!(words("normalizer", replace(anywhere, &"a".repeat(64))).is_err());
        let before = serde_json::json!({"type": "Prepend", "prepend": "a".repeat(64 * 65)});
        assert!(words("normalizer", before).is_err());
        let bytes = serde_json::json!({"type": "ByteLevel"});
        assert!(words("normalizer", all(&vec![bytes; 7])).is_err());
        // The size of a trie of one number, the number, and 301 letters.
        let map = format!("BAAAAAAAAABh{}", "YWFh".repeat(100));
        let map = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": map});
        let error = words("normalizer", map).err().unwrap();
        assert!(error.contains("a text 101 times as long"), "{error}");
        // As published ones are.
        let spaces = serde_json::json!({ "Regex": " {2,}" });
        let before = serde_json::json!({"type": "Prepend", "prepend": "▁"});
        let published = all(&[
            before,
            replace(text("``"), "\""),
            replace(text(" "), "▁"),
            replace(spaces, "▁"),
        ]);
        assert!(words("normalizer", published).is_ok());
        let vocab = serde_json::json!({"type": "WordLevel", "unk_token": "a",
            "vocab": {"a": 4_000_000_000_u32}});
        let error = words("model", vocab).err().unwrap();
        assert_eq!(error, "token number 4000000000; expected a number below 2147483647");
    }

    #[test]
    fn an_expression_that_may_take_for_ever_is_refused_in_each_place() {
        let pattern = serde_json::json!({ "Regex": "(?=(.*.*)+x)|." });
        let split = serde_json::json!({"type": "Split", "pattern": pattern, "behavior": "Isolated",
            "invert": false});
        let replace = serde_json::json!({"type": "Replace", "pattern": pattern, "content": "a"});
        for (member, value) in
            [("pre_tokenizer", &split), ("normalizer", &replace), ("decoder", &replace)]
        {
            let error = words(member, value.clone()).err().unwrap();
            let start =
                format!("{member}: the regular expression \"(?=(.*.*)+x)|.\" is not supported: ");
            assert!(error.starts_with(&start), "{error}");
        }
        let mut split = split;
        split["pattern"]["Regex"] = r" ?\p{L}+|\s+(?!\S)|\s+".into();
        assert_eq!(words("pre_tokenizer", split).unwrap().encode(b"a  cat").ids, [1, 0, 0]);
    }

    /// A tokeniser with a fixed list of words and one token for all others: an example of a file of another
    /// kind.
    #[test]
    fn files_of_other_kinds_are_read_too() {
        let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
            "decoder": null, "model": {"type": "WordLevel", "unk_token": "[UNK]",
            "vocab": {"[UNK]": 0, "a": 1, "cat": 7}}}"#;
        let words = Bpe::read(json.as_bytes()).unwrap();
        assert_eq!(words.vocab(), 8);
        let tokens = words.encode("a  cat, dé \n".as_bytes());
        assert_eq!(tokens.ids, [1, 7, 0, 0]);
        assert_eq!(tokens.bytes, [1, 5, 1, 6]);
    }
}
