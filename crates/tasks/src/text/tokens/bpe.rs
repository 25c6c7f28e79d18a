//! Pairs of bytes that are often side by side as tokens, by the crate tokenizers: trained on the text
//! for training, or read from a `tokenizer.json` of any kind.
//!
//! Sennrich, Haddow, Birch. *Neural Machine Translation of Rare Words with Subword Units*. ACL 2016.
//! <https://arxiv.org/abs/1508.07909>
//! Radford et al. *Language Models are Unsupervised Multitask Learners*. 2019 (of bytes, so that no text
//! is outside of it, and not across words).
//!
//! Differs from GPT-2: lines are made tokens of one by one, so no token goes beyond a line break.

use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder, TokenizerImpl,
    models::bpe::{BPE, BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::{Tokenizer, Tokens};

/// The fewest tokens: one for each byte.
const BYTES: usize = 256;

/// Pairs of bytes of a training text, or what a file says.
pub struct Bpe {
    inner: tokenizers::Tokenizer,
    vocab: usize,
}

impl Bpe {
    /// At most `vocab` tokens, made from the text for training; pairs that it has once only are none.
    ///
    /// # Errors
    /// If there is no token for each byte.
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
        let json = tokenizer.to_string(false).map_err(|err| err.to_string())?;
        Self::read(json.as_bytes())
    }

    /// The tokeniser of a `tokenizer.json`.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|err| format!("not a tokenizer.json: {err}"))?;
        let vocab = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        match vocab {
            0 => Err("a tokenizer.json without tokens".into()),
            vocab => Ok(Self { inner, vocab }),
        }
    }

    /// With a vocabulary of this size, of which the last tokens never come up.
    ///
    /// # Errors
    /// If there are more tokens already.
    pub(super) fn sized(self, size: Option<usize>) -> Result<Self, String> {
        match size {
            Some(size) if size < self.vocab => {
                Err(format!("it has {} tokens, more than tokens.size = {size}", self.vocab))
            }
            size => Ok(Self { vocab: size.unwrap_or(self.vocab), ..self }),
        }
    }
}

impl Tokenizer for Bpe {
    fn vocab(&self) -> usize {
        self.vocab
    }

    /// Text that the tokeniser leaves out belongs to the token after it, at the end of a line to the one
    /// before.
    fn encode(&self, text: &[u8]) -> Tokens {
        let mut tokens = Tokens::default();
        for line in String::from_utf8_lossy(text).split_inclusive('\n') {
            // It only fails for pairs of sequences.
            let Ok(encoding) = self.inner.encode(line, false) else { continue };
            let mut done = 0;
            for (id, (_, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
                // Tokens of one letter all end where it does.
                tokens.push(*id as usize, end.saturating_sub(done));
                done = done.max(*end);
            }
            if let Some(last) = tokens.bytes.last_mut() {
                *last += (line.len() - done) as u32;
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
        self.inner.to_string(true).ok()
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
    }

    /// Words of a fixed list, with one for all others: what a file of another kind may be.
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
