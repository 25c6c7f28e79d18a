//! Four words with a fixed meaning.

use std::fmt;

use super::{Paired, seeds_needed, tost};

/// What the seeds say about two methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Different at 5 %, and on the better side.
    Better,
    /// Different at 5 %, and on the worse side.
    Worse,
    /// The difference is shown to be smaller than the margin, at 5 %. This goes before better and
    /// worse: a difference that is real and too small to care about is equivalence.
    Equivalent,
    /// None of these.
    Undecided {
        /// With about this many seeds it would be decided four times in five.
        needs: Option<usize>,
    },
}

/// The verdict on differences that are oriented so that more is better; `margin` is the size
/// below which a difference does not matter. `p_value` is the test's, corrected where there are
/// several.
pub fn verdict(paired: Option<&Paired>, p_value: f64, margin: Option<f64>) -> Verdict {
    let Some(paired) = paired else { return Verdict::Undecided { needs: Some(3) } };
    if margin.is_some_and(|margin| tost(paired, margin) < 0.05) {
        Verdict::Equivalent
    } else if p_value < 0.05 {
        if paired.difference > 0.0 { Verdict::Better } else { Verdict::Worse }
    } else {
        // What has to become visible: the margin, or else the difference as it looks now.
        let size = margin.unwrap_or(paired.difference.abs());
        let needs = seeds_needed(size / paired.deviation).map(|n| n.max(paired.n + 1));
        Verdict::Undecided { needs: needs.filter(|_| paired.deviation > 0.0) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Better => f.write_str("better"),
            Verdict::Worse => f.write_str("worse"),
            Verdict::Equivalent => f.write_str("equivalent"),
            Verdict::Undecided { needs: Some(n) } => write!(f, "undecided, needs about {n} seeds"),
            Verdict::Undecided { needs: None } => {
                f.write_str("undecided, and more seeds would hardly help")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::paired_t;

    fn word(differences: &[f64], margin: Option<f64>) -> String {
        let paired = paired_t(differences);
        verdict(paired.as_ref(), paired.map_or(1.0, |p| p.p_value), margin).to_string()
    }

    #[test]
    fn the_words() {
        assert_eq!(word(&[0.02, 0.03, 0.025, 0.022], None), "better");
        assert_eq!(word(&[-0.02, -0.03, -0.025, -0.022], None), "worse");
        assert_eq!(word(&[0.001, -0.001, 0.002, 0.0], Some(0.01)), "equivalent");
        // Real, and smaller than what matters.
        assert_eq!(word(&[0.002, 0.003, 0.0025, 0.0022], None), "better");
        assert_eq!(word(&[0.002, 0.003, 0.0025, 0.0022], Some(0.01)), "equivalent");
        assert_eq!(word(&[0.5, 0.6], None), "undecided, needs about 3 seeds");
        assert_eq!(word(&[0.0; 4], None), "undecided, and more seeds would hardly help");
    }

    #[test]
    fn undecided_says_how_many_seeds() {
        // Mean 0.01, deviation sqrt((0.01^2 + 0.01^2 + 0.02^2 + 0.02^2) / 3) = 0.018257: an effect
        // of 0.5477 deviations, which a table of the paired t test gives 29 pairs.
        let differences = [0.02, 0.0, 0.03, -0.01];
        assert_eq!(word(&differences, None), "undecided, needs about 29 seeds");
        // With a margin it is the margin that must be seen: 0.02 is 1.095 deviations.
        assert_eq!(word(&differences, Some(0.02)), "undecided, needs about 9 seeds");
    }
}
