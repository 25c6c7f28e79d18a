//! Baselines of translation without a network.

use super::vocabulary::{Encoded, Vocabulary};
use crate::trivial::{Lexicon, best_order_of_sentences};

/// The maximum order of the n-gram model: its longest context plus one.
const ORDER: usize = 5;

/// The maximum number of pairs that the lexicon learns from, and the number of its rounds.
const PAIRS: usize = 100_000;
const ROUNDS: usize = 5;

/// Nats per token of the last of three splits, the end of each sentence included, of an n-gram model of the
/// targets; it does not use the sources.
pub(super) fn loss(vocabulary: &Vocabulary, splits: &[Vec<Encoded>; 3]) -> f64 {
    let (begin, end) = (vocabulary.begin(), vocabulary.end());
    let sentence = |pair: &Encoded| [&[begin], &pair.target[..], &[end]].concat();
    let [train, valid, test] =
        splits.each_ref().map(|pairs| pairs.iter().map(sentence).collect::<Vec<_>>());
    let model = best_order_of_sentences(ORDER, vocabulary.len(), &train, &valid);
    let nats: f64 = test.iter().map(|sentence| model.nats(sentence)).sum();
    nats / test.iter().map(|sentence| sentence.len() - 1).sum::<usize>().max(1) as f64
}

/// Translations token by token, in the order of the source. A token that does not occur in training is
/// unchanged. The end token of a source serves as the empty word of the model: it generates target tokens
/// that no other token generates.
pub(super) fn word_by_word(
    vocabulary: &Vocabulary,
    train: &[Encoded],
    test: &[Encoded],
) -> Vec<String> {
    let pairs = train.iter().take(PAIRS).map(|pair| (&pair.source[..], &pair.target[..]));
    let lexicon = Lexicon::learn(pairs, ROUNDS);
    let end = vocabulary.end();
    let translated = |pair: &Encoded| {
        let tokens = pair.source.iter().filter(|token| **token != end);
        let tokens = tokens.map(|token| lexicon.translation(*token).unwrap_or(*token));
        vocabulary.text(&tokens.collect::<Vec<_>>())
    };
    test.iter().map(translated).collect()
}
