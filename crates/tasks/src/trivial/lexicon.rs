//! A lexicon of single tokens, learned from pairs of sentences: IBM's model 1.
//!
//! ```text
//! t(f | e) <- sum over pairs with f and e of  t(f | e) / sum_e' t(f | e'),   over its sum over f
//! ```
//! Each target token f of a pair is made by one of its source tokens e, all equally likely; t is found by
//! expectation maximisation from equal values.
//!
//! Brown, Della Pietra, Della Pietra, Mercer. *The Mathematics of Statistical Machine Translation: Parameter
//! Estimation*. Computational Linguistics 1993, section 4.1. <https://aclanthology.org/J93-2003>

use std::collections::HashMap;

/// For each source token the likeliest target token.
pub(crate) struct Lexicon {
    best: HashMap<i32, (i32, f64)>,
}

/// A source token and a target token that are in one pair, and the probability of the latter.
struct Link {
    source: i32,
    target: i32,
    probability: f64,
}

impl Lexicon {
    /// Learns from pairs of source and target in this many rounds. Sums are taken in the order of the pairs,
    /// so equal pairs give equal numbers.
    pub(crate) fn learn<'p>(
        pairs: impl IntoIterator<Item = (&'p [i32], &'p [i32])>,
        rounds: usize,
    ) -> Self {
        let mut links: Vec<Link> = Vec::new();
        let mut known: HashMap<(i32, i32), usize> = HashMap::new();
        // For each target token of each pair, the links to all of its source tokens.
        let mut answers: Vec<Vec<usize>> = Vec::new();
        for (source, target) in pairs {
            for &target in target {
                let link = |&source: &i32| {
                    *known.entry((source, target)).or_insert_with(|| {
                        links.push(Link { source, target, probability: 1.0 });
                        links.len() - 1
                    })
                };
                answers.push(source.iter().map(link).collect());
            }
        }
        (0..rounds).for_each(|_| improve(&mut links, &answers));
        let mut best: HashMap<i32, (i32, f64)> = HashMap::new();
        for Link { source, target, probability } in links {
            let found = best.entry(source).or_insert((target, probability));
            if probability > found.1 {
                *found = (target, probability);
            }
        }
        Self { best }
    }

    /// The likeliest translation of a token; none if it was in no pair.
    pub(crate) fn translation(&self, token: i32) -> Option<i32> {
        self.best.get(&token).map(|(target, _)| *target)
    }
}

/// One round of expectation maximisation.
fn improve(links: &mut [Link], answers: &[Vec<usize>]) {
    let mut counts = vec![0.0; links.len()];
    for of_answer in answers {
        let sum: f64 = of_answer.iter().map(|at| links[*at].probability).sum();
        for at in of_answer {
            counts[*at] += links[*at].probability / sum;
        }
    }
    let mut of_source: HashMap<i32, f64> = HashMap::new();
    for (link, count) in links.iter().zip(&counts) {
        *of_source.entry(link.source).or_default() += count;
    }
    for (link, count) in links.iter_mut().zip(counts) {
        link.probability = count / of_source[&link.source];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// das Haus, das Buch, ein Buch; 9 ends each of them.
    const PAIRS: [([i32; 3], [i32; 2]); 3] =
        [([0, 1, 9], [20, 21]), ([0, 2, 9], [20, 22]), ([3, 2, 9], [23, 22])];

    fn learned(rounds: usize) -> Lexicon {
        Lexicon::learn(PAIRS.iter().map(|(source, target)| (&source[..], &target[..])), rounds)
    }

    #[test]
    fn a_textbook_corpus_is_aligned() {
        let lexicon = learned(5);
        let words = [0, 1, 2, 3].map(|token| lexicon.translation(token));
        assert_eq!(words, [Some(20), Some(21), Some(22), Some(23)]);
        assert_eq!(lexicon.translation(7), None);
    }

    #[test]
    fn the_first_rounds_by_hand() {
        // das: a third of each of its four links, two of them to the.
        let first = learned(1);
        assert!((first.best[&0].1 - 0.5).abs() < 1e-12);
        // In the second, das: the 3/8 + 6/13, house 3/11, book 3/13.
        let the = 3.0 / 8.0 + 6.0 / 13.0;
        let wanted = the / (the + 3.0 / 11.0 + 3.0 / 13.0);
        assert!((learned(2).best[&0].1 - wanted).abs() < 1e-12);
    }
}
