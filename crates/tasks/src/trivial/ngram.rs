//! An n-gram model with Witten-Bell smoothing.
//!
//! ```text
//! p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h))
//! ```
//! `h` is the context of n - 1 tokens, `h'` the same without its first, T(h) the number of different
//! tokens seen after it; below the shortest context all tokens are equally likely.
//!
//! Witten and Bell. *The zero-frequency problem*. IEEE Trans. Inf. Theory 1991, method C.
//! <https://doi.org/10.1109/18.87000>

use std::collections::HashMap;

/// The number of occurrences of a context, and of different tokens after it.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    seen: u32,
    different: u32,
}

/// The counts of a text.
pub(crate) struct Ngram {
    order: usize,
    vocab: usize,
    contexts: HashMap<u64, Context>,
    followed: HashMap<u64, u32>,
}

impl Ngram {
    /// A model without counts, of tokens in `0..vocab`; contexts have up to `order - 1` tokens. `order` is
    /// at least 1.
    pub(crate) fn new(order: usize, vocab: usize) -> Self {
        Self { order, vocab, contexts: HashMap::new(), followed: HashMap::new() }
    }

    /// Counts a text.
    pub(crate) fn train(order: usize, vocab: usize, text: &[i32]) -> Self {
        let mut model = Self::new(order, vocab);
        model.learn(text, 0);
        model
    }

    /// Counts the tokens of a text from the position `first` on; earlier tokens are only contexts.
    pub(crate) fn learn(&mut self, text: &[i32], first: usize) {
        for at in first..text.len() {
            for length in 0..self.order.min(at + 1) {
                self.count(&text[at - length..=at]);
            }
        }
    }

    /// Counts one occurrence of a token after its context.
    fn count(&mut self, words: &[i32]) {
        let context = self.contexts.entry(key(&words[..words.len() - 1])).or_default();
        let followed = self.followed.entry(key(words)).or_default();
        context.seen += 1;
        context.different += u32::from(*followed == 0);
        *followed += 1;
    }

    /// The probability of the token at `at`, given those before it.
    pub(crate) fn probability(&self, text: &[i32], at: usize) -> f64 {
        let mut p = 1.0 / self.vocab as f64;
        for length in 0..self.order.min(at + 1) {
            let words = &text[at - length..=at];
            let Some(context) = self.contexts.get(&key(&words[..length])) else { break };
            let followed = f64::from(self.followed.get(&key(words)).copied().unwrap_or_default());
            let [seen, different] = [context.seen, context.different].map(f64::from);
            p = (followed + different * p) / (seen + different);
        }
        p
    }

    /// Nats of all tokens of a text but the first.
    pub(crate) fn nats(&self, text: &[i32]) -> f64 {
        (1..text.len()).map(|at| -self.probability(text, at).ln()).sum()
    }
}

/// The model of the order, up to `most`, that predicts `valid` best.
pub(crate) fn best_order(most: usize, vocab: usize, train: &[i32], valid: &[i32]) -> Ngram {
    best(most, |order| Ngram::train(order, vocab, train), |model| model.nats(valid))
}

/// The same for sentences, each by itself; the first token of a sentence is only a context.
pub(crate) fn best_order_of_sentences(
    most: usize,
    vocab: usize,
    train: &[Vec<i32>],
    valid: &[Vec<i32>],
) -> Ngram {
    let trained = |order| {
        let mut model = Ngram::new(order, vocab);
        train.iter().for_each(|sentence| model.learn(sentence, 1));
        model
    };
    best(most, trained, |model| valid.iter().map(|sentence| model.nats(sentence)).sum())
}

/// The model of the order, up to `most`, with the least cost.
fn best(most: usize, model: impl Fn(usize) -> Ngram, cost: impl Fn(&Ngram) -> f64) -> Ngram {
    let costed = |order| {
        let model = model(order);
        (cost(&model), model)
    };
    let best = (2..=most)
        .map(costed)
        .fold(costed(1), |best, next| if next.0 < best.0 { next } else { best });
    best.1
}

/// A hash of a sequence of tokens, FNV-1a with 64 bits: among millions of sequences two share one with a
/// probability of about one in a million.
fn key(words: &[i32]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ words.len() as u64;
    words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 0 1 0 1 0: unigrams 0 three times and 1 twice, two kinds. p(0) = (3 + 2 / 2) / (5 + 2).
        let text = [0, 1, 0, 1, 0];
        let unigrams = Ngram::train(1, 2, &text);
        assert!((unigrams.probability(&[0], 0) - 4.0 / 7.0).abs() < 1e-12);
        // After 1 there was 0 twice, one kind: p(0 | 1) = (2 + 1 * 4 / 7) / (2 + 1).
        let bigrams = Ngram::train(2, 2, &text);
        let wanted = (2.0 + 4.0 / 7.0) / 3.0;
        assert!((bigrams.probability(&[1, 0], 1) - wanted).abs() < 1e-12);
        // The first 1 follows an unseen context in a text of three kinds: it falls back.
        let more = Ngram::train(2, 3, &[0, 0, 1]);
        assert!((more.probability(&[2, 1], 1) - more.probability(&[1], 0)).abs() < 1e-12);
    }

    #[test]
    fn sentences_stand_for_themselves() {
        // 2 begins a sentence, 3 ends it: after the beginning there is 0 twice, never the end of another.
        let sentences = [vec![2, 0, 3], vec![2, 0, 1, 3]];
        let model = best_order_of_sentences(2, 4, &sentences, &sentences);
        assert_eq!(model.order, 2);
        // Of five tokens that are requested 0 and 3 are two each and 1 is one: three kinds.
        let unigram = (2.0 + 3.0 / 4.0) / 8.0;
        let wanted = (2.0 + unigram) / 3.0;
        assert!((model.probability(&[2, 0], 1) - wanted).abs() < 1e-12);
        // What begins a sentence is requested nowhere.
        assert!((model.probability(&[9, 2], 1) - 3.0 / 4.0 / 8.0).abs() < 1e-12);
    }

    #[test]
    fn probabilities_sum_to_one() {
        let text: Vec<i32> = (0..500).map(|i| (i * i + i / 7) % 5).collect();
        let model = Ngram::train(4, 6, &text);
        for at in [1, 3, 50, 499] {
            let sum: f64 = (0..6)
                .map(|word| {
                    let mut text = text[..at].to_vec();
                    text.push(word);
                    model.probability(&text, at)
                })
                .sum();
            assert!((sum - 1.0).abs() < 1e-12, "{at}: {sum}");
        }
    }

    #[test]
    fn the_order_follows_the_text() {
        // The last two tokens determine the next one, the last one alone does not.
        let text: Vec<i32> = [0, 0, 1, 1].into_iter().cycle().take(400).collect();
        let best = best_order(5, 2, &text[..200], &text[200..]);
        assert!(best.order >= 3, "{}", best.order);
        assert!(best.nats(&text[200..]) < 0.1 * 200.0);
    }
}
