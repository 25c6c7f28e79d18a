//! Baselines of translation without a network.

use super::vocabulary::{Encoded, Vocabulary};
use crate::trivial::{Lexicon, best_order_of_sentences};

/// The longest context of the n-gram model, and one.
const ORDER: usize = 5;

/// The most pairs that the lexicon learns from, and its rounds.
const PAIRS: usize = 100_000;
const ROUNDS: usize = 5;

/// Nats for each token of the last of three splits, and for the end of each sentence, of an n-gram model of
/// the targets: it sees no source.
pub(super) fn loss(vocabulary: &Vocabulary, splits: &[Vec<Encoded>; 3]) -> f64 {
    let (begin, end) = (vocabulary.begin(), vocabulary.end());
    let sentence = |pair: &Encoded| [&[begin], &pair.target[..], &[end]].concat();
    let [train, valid, test] =
        splits.each_ref().map(|pairs| pairs.iter().map(sentence).collect::<Vec<_>>());
    let model = best_order_of_sentences(ORDER, vocabulary.len(), &train, &valid);
    let nats: f64 = test.iter().map(|sentence| model.nats(sentence)).sum();
    nats / test.iter().map(|sentence| sentence.len() - 1).sum::<usize>().max(1) as f64
}

/// Translations token by token, in the order of the source. A token that was never seen in training stays as
/// it is. The token that ends a source stands for the empty one, which makes what no other token makes.
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
