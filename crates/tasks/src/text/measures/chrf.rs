//! chrF over a corpus.
//!
//! Popovic. *chrF: character n-gram F-score for automatic MT evaluation*. WMT 2015.
//! <https://aclanthology.org/W15-3049>, as sacrebleu computes it: characters without white space,
//! n up to 6, beta = 2.
//!
//! P, R = means over n of the shares of n-grams that match   (1), of translations, of references
//! chrF = 100 (1 + beta^2) P R / (beta^2 P + R)              (2)
//!
//! Counts are over the whole corpus; an n of which translations or references have none is left out.

use super::{is_space, matches};

/// chrF2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chrf;

const ORDER: usize = 6;

impl Chrf {
    /// The score of translations, each with its reference, 0 to 100.
    pub fn score<S: AsRef<str>>(&self, pairs: impl IntoIterator<Item = (S, S)>) -> f64 {
        let mut counts = [[0; 3]; ORDER];
        for (translation, reference) in pairs {
            let [a, b] = [translation, reference]
                .map(|text| text.as_ref().chars().filter(|c| !is_space(*c)).collect::<Vec<char>>());
            for (n, counts) in counts.iter_mut().enumerate() {
                let [of_a, of_b, common] = matches(&a, &b, n + 1);
                // The n-grams of a translation count only if its reference has n-grams of this n.
                let found = [if of_b > 0 { of_a } else { 0 }, of_b, common];
                counts.iter_mut().zip(found).for_each(|(sum, count)| *sum += count);
            }
        }
        of_counts(&counts)
    }

    /// The settings of a score, as sacrebleu writes them.
    pub fn signature(&self) -> String {
        format!("nrefs:1|case:mixed|eff:yes|nc:{ORDER}|nw:0|space:no|version:2.6.0")
    }
}

fn of_counts(counts: &[[usize; 3]; ORDER]) -> f64 {
    const BETA_SQUARED: f64 = 4.0;
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for [of_a, of_b, common] in counts.map(|counts| counts.map(|count| count as f64)) {
        if of_a > 0.0 && of_b > 0.0 {
            precision += common / of_a;
            recall += common / of_b;
            orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    100.0 * (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_by_hand() {
        // Letters: 2 of 3 against 2 of 2. Pairs: 1 of 2 against 1 of 1. Longer ones have no reference.
        let found = Chrf.score([("a b c", "ab")]);
        let (p, r) = ((2.0 / 3.0 + 0.5) / 2.0, 1.0);
        assert!((found - 100.0 * 5.0 * p * r / (4.0 * p + r)).abs() < 1e-12, "{found}");
        assert_eq!(Chrf.score([("x", "y")]), 0.0);
        assert_eq!(Chrf.score::<&str>([]), 0.0);
    }
}
