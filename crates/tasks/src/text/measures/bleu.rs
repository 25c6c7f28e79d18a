//! BLEU over a corpus.
//!
//! Papineni, Roukos, Ward, Zhu. *BLEU: a Method for Automatic Evaluation of Machine Translation*. ACL 2002.
//! <https://aclanthology.org/P02-1040>. Post. *A Call for Clarity in Reporting BLEU Scores*. WMT 2018.
//! <https://arxiv.org/abs/1804.08771> (sacrebleu). Chen, Cherry. *A Systematic Comparison of Smoothing
//! Techniques for Sentence-Level BLEU*. WMT 2014. <https://aclanthology.org/W14-3346>
//!
//! p_n  = matched n-grams / n-grams of the translations      (1), in per cent, over the whole corpus
//! BP   = min(1, e^(1 - r / c))                              (2), r, c words of references, translations
//! BLEU = BP exp(1/4 sum_n log p_n)                          (3)
//!
//! Where none of the n-grams matches: `exp` puts 100 / (2^k total) for the k-th such n; `floor` 10 / total;
//! `add-k` adds 1 to both counts for n > 1; `none` leaves BLEU 0.

use std::str::FromStr;

use super::{Separation, is_space, matches, words};

/// The precision of an n without matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smoothing {
    /// Repeated halving, as in mteval-v13a.pl: the usual choice.
    Exp,
    /// A tenth of a match.
    Floor,
    /// One additional match and one additional n-gram, for n > 1.
    AddK,
    /// Nothing.
    None,
}

impl Smoothing {
    /// The name, as in signatures.
    fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Floor => "floor",
            Self::AddK => "add-k",
            Self::None => "none",
        }
    }
}

impl FromStr for Smoothing {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Exp, Self::Floor, Self::AddK, Self::None];
        let found = all.into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| {
            format!("no smoothing is named {name:?}; known: exp, floor, add-k, none")
        })
    }
}

/// BLEU with n-grams up to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bleu {
    /// The rule that cuts text into words.
    pub separation: Separation,
    /// The precision of an n without matches.
    pub smoothing: Smoothing,
}

impl Default for Bleu {
    /// `13a` and `exp`, as sacrebleu has it.
    fn default() -> Self {
        Self { separation: Separation::V13a, smoothing: Smoothing::Exp }
    }
}

/// BLEU and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct BleuScore {
    /// The score (3), 0 to 100.
    pub score: f64,
    /// The precisions (1) for n = 1 to 4, in per cent.
    pub precisions: [f64; 4],
    /// The brevity penalty (2).
    pub brevity: f64,
    /// Words of the translations and of the references.
    pub words: [usize; 2],
}

/// Counts over a corpus.
#[derive(Default)]
struct Counts {
    words: [usize; 2],
    matched: [usize; 4],
    total: [usize; 4],
}

impl Bleu {
    /// The score of translations, each with its reference.
    pub fn score<S: AsRef<str>>(&self, pairs: impl IntoIterator<Item = (S, S)>) -> BleuScore {
        let mut counts = Counts::default();
        for (translation, reference) in pairs {
            counts.add(self.cut(translation.as_ref()), self.cut(reference.as_ref()));
        }
        self.of_counts(&counts)
    }

    /// The settings of a score, as sacrebleu writes them.
    pub fn signature(&self) -> String {
        let smoothing = match self.smoothing {
            Smoothing::Floor => "floor[0.10]",
            Smoothing::AddK => "add-k[1.00]",
            other => other.name(),
        };
        let separation = self.separation.name();
        format!("nrefs:1|case:mixed|eff:no|tok:{separation}|smooth:{smoothing}|version:2.6.0")
    }

    fn cut(&self, line: &str) -> Vec<String> {
        let line = self.separation.apply(line.trim_end_matches(is_space));
        words(&line).map(str::to_string).collect()
    }

    fn of_counts(&self, counts: &Counts) -> BleuScore {
        let [c, r] = counts.words;
        let brevity = match c < r {
            true if c == 0 => 0.0,
            true => (1.0 - r as f64 / c as f64).exp(),
            false => 1.0,
        };
        let precisions = self.precisions(counts);
        let logs = precisions.map(|p| if p == 0.0 { -9_999_999_999.0 } else { p.ln() });
        let mean = logs.iter().sum::<f64>() / 4.0;
        let any = counts.matched.iter().any(|n| *n > 0);
        let score = if any { brevity * mean.exp() } else { 0.0 };
        BleuScore { score, precisions, brevity, words: counts.words }
    }

    /// The precisions (1), in per cent; all 0 if no word matches.
    fn precisions(&self, counts: &Counts) -> [f64; 4] {
        let mut precisions = [0.0; 4];
        if counts.matched.iter().all(|n| *n == 0) {
            return precisions;
        }
        let mut halves = 1.0;
        for (n, precision) in precisions.iter_mut().enumerate() {
            let more = f64::from(self.smoothing == Smoothing::AddK && n > 0);
            let matched = counts.matched[n] as f64 + more;
            let total = counts.total[n] as f64 + more;
            if total == 0.0 {
                break;
            }
            *precision = match (matched == 0.0, self.smoothing) {
                (false, _) => 100.0 * matched / total,
                (true, Smoothing::Exp) => {
                    halves *= 2.0;
                    100.0 / (halves * total)
                }
                (true, Smoothing::Floor) => 100.0 * 0.1 / total,
                (true, _) => 0.0,
            };
        }
        precisions
    }
}

impl Counts {
    fn add(&mut self, translation: Vec<String>, reference: Vec<String>) {
        self.words[0] += translation.len();
        self.words[1] += reference.len();
        for n in 0..4 {
            let [total, _, matched] = matches(&translation, &reference, n + 1);
            self.total[n] += total;
            self.matched[n] += matched;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_by_hand() {
        // Six words of eight: 5 of 6, 3 of 5, 1 of 4, and none of 3, so 1 / (2 * 3).
        let pair = [("the cat sat on the mat", "the cat sat at the mat in there")];
        let found = Bleu::default().score(pair);
        let expected = [500.0 / 6.0, 60.0, 25.0, 100.0 / 6.0];
        for (found, expected) in found.precisions.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
        let brevity = (1.0 - 8.0 / 6.0_f64).exp();
        let mean = expected.iter().product::<f64>().powf(0.25);
        assert!((found.score - brevity * mean).abs() < 1e-12);
        assert_eq!(found.words, [6, 8]);
    }

    #[test]
    fn nothing_and_everything() {
        let score = |pairs: &[(&str, &str)]| Bleu::default().score(pairs.iter().copied()).score;
        assert_eq!(score(&[]), 0.0);
        assert_eq!(score(&[("", "a b")]), 0.0);
        assert_eq!(score(&[("c d", "a b")]), 0.0);
        assert!((score(&[("a b c d.", "a b c d.")]) - 100.0).abs() < 1e-12);
        let err = "exp2".parse::<Smoothing>().unwrap_err();
        assert!(err.contains("known: exp, floor, add-k, none"), "{err}");
    }
}
