//! Metrics of translations: BLEU and chrF over a whole corpus, as sacrebleu 2.6
//! computes them, with one reference for each sentence.

mod bleu;
mod chrf;
mod separate;

pub use bleu::{Bleu, BleuScore, Smoothing};
pub use chrf::Chrf;
pub use separate::Separation;

use std::{collections::HashMap, hash::Hash};

/// Whether Python's `str.split` takes a character as white space: Unicode's, and the four separators of
/// ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The words between white space.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The number of occurrences of each n-gram.
fn n_grams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for gram in items.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

/// The number of n-grams of the first, of the second, and of those in common.
fn matches<T: Eq + Hash>(a: &[T], b: &[T], n: usize) -> [usize; 3] {
    let (of_a, of_b) = (n_grams(a, n), n_grams(b, n));
    let common = |(gram, count): (&&[T], &usize)| of_b.get(gram).map_or(0, |in_b| *count.min(in_b));
    let all = |items: &[T]| (items.len() + 1).saturating_sub(n);
    [all(a), all(b), of_a.iter().map(common).sum()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worked::page_has;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    /// Sentences, and the scores that sacrebleu gives them.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        hypotheses: Vec<String>,
        references: Vec<String>,
        /// A score for each separation and smoothing, with its signature.
        bleu: Vec<(String, String, f64, String)>,
        chrf: f64,
        chrf_signature: String,
    }

    /// The number of cases of each measure, and the largest deviation from sacrebleu among them.
    #[derive(Default)]
    struct Deviations(BTreeMap<String, (usize, f64)>);

    impl Deviations {
        /// Checks a score to 1e-9, and records it.
        fn compare(&mut self, measure: String, case: &str, [found, expected]: [f64; 2]) {
            let deviation = (found - expected).abs();
            assert!(deviation < 1e-9, "{case}, {measure}: {found}, not {expected}");
            let (cases, most) = self.0.entry(measure).or_default();
            (*cases, *most) = (*cases + 1, most.max(deviation));
        }

        fn table(&self) -> String {
            let line = |(measure, (cases, most)): (&String, &(usize, f64))| {
                format!("| {measure} | {cases} | {most:.1e} |\n")
            };
            let lines: String = self.0.iter().map(line).collect();
            format!("| measure | cases | largest deviation |\n| --- | ---: | ---: |\n{lines}")
        }
    }

    #[test]
    fn worked_numbers_are_those_of_sacrebleu_and_of_the_page() {
        let mut deviations = Deviations::default();
        let cases = include_str!("../../../fixtures/sacrebleu.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let pairs = || case.hypotheses.iter().zip(&case.references);
            for (separation, smoothing, expected, signature) in &case.bleu {
                let bleu = Bleu {
                    separation: separation.parse().unwrap(),
                    smoothing: smoothing.parse().unwrap(),
                };
                let found = bleu.score(pairs());
                let measure = format!("BLEU, tokens {separation}, smoothing {smoothing}");
                deviations.compare(measure, &case.name, [found.score, *expected]);
                assert_eq!(bleu.signature(), *signature);
            }
            let chrf = Chrf.score(pairs());
            deviations.compare("chrF".into(), &case.name, [chrf, case.chrf]);
            assert_eq!(Chrf.signature(), case.chrf_signature);
        }
        page_has("sacrebleu", &deviations.table());
    }

    #[test]
    fn runs_are_counted_as_often_as_both_have_them() {
        assert_eq!(matches(&['a', 'a', 'b'], &['a', 'b', 'b', 'a'], 1), [3, 4, 3]);
        assert_eq!(matches(&['a', 'a', 'b'], &['a', 'b', 'b', 'a'], 2), [2, 3, 1]);
        assert_eq!(matches(&['a'], &['a', 'b'], 3), [0, 0, 0]);
        let found: Vec<&str> = words(" a\u{a0}b\x1fc\n").collect();
        assert_eq!(found, ["a", "b", "c"]);
    }
}
