//! Verdicts on two methods, in words with a fixed meaning.

use std::fmt;

use super::{Paired, detectable_effect, least_effect, seeds_for_equivalence};
use crate::number::{counted, two_digits};

/// The verdict on two methods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Different at 5 %, and on the better side.
    Better,
    /// Different at 5 %, and on the worse side.
    Worse,
    /// The difference is shown to be smaller than the margin, at 5 %. This takes precedence over better and
    /// worse: a difference that is real but smaller than the margin is equivalence.
    Equivalent,
    /// The difference is the same on every seed, so there is no variance to test it by.
    NoVariance,
    /// A run of one method failed on a seed on which the other's did not, so the other seeds do not decide: a
    /// failed run is worse than any other.
    Failed,
    /// Fewer than 3 seeds are shared.
    Untested {
        /// The number of shared seeds.
        shared: usize,
    },
    /// None of these.
    Undecided(Sight),
}

/// The power of the seeds, independent of the observed difference: using the observed difference would use
/// the data twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight {
    /// The smallest difference that the present seeds detect four times in five: without a margin, and where the
    /// interval covers test examples, whose part of the error more seeds do not reduce.
    Detects {
        /// The difference, in the units of the metric.
        difference: f64,
        /// The seeds.
        seeds: usize,
    },
    /// With a margin: the number of seeds that show equivalence four times in five if there is no difference;
    /// none if it is too large to count.
    Equivalence {
        /// The margin.
        margin: f64,
        /// The seeds.
        seeds: Option<usize>,
    },
}

/// The tests of a verdict, each corrected where there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TestEvidence {
    /// The two-sided p value of a difference.
    pub difference: Option<f64>,
    /// The p value of equivalence within the margin.
    pub equivalence: Option<f64>,
    /// The size below which a difference does not matter.
    pub margin: Option<f64>,
}

/// The verdict at 5 % on differences that are oriented so that higher is better.
pub fn verdict(paired: &Paired, evidence: TestEvidence) -> Verdict {
    let shown = |p: Option<f64>| p.is_some_and(|p| p < 0.05);
    if paired.p_value.is_none() {
        Verdict::NoVariance
    } else if shown(evidence.equivalence) {
        Verdict::Equivalent
    } else if shown(evidence.difference) {
        if paired.difference > 0.0 { Verdict::Better } else { Verdict::Worse }
    } else {
        Verdict::Undecided(sight(paired, evidence.margin))
    }
}

fn sight(paired: &Paired, margin: Option<f64>) -> Sight {
    match (margin, paired.examples) {
        (Some(margin), None) => {
            Sight::Equivalence { margin, seeds: seeds_for_equivalence(margin / paired.deviation) }
        }
        // More seeds do not reduce the part of the error that comes from the examples.
        (_, Some(_)) => {
            let difference = detectable_effect(paired.error, paired.df);
            Sight::Detects { difference, seeds: paired.n }
        }
        (None, None) => {
            let difference = least_effect(paired.n) * paired.deviation;
            Sight::Detects { difference, seeds: paired.n }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Better => f.write_str("better"),
            Verdict::Worse => f.write_str("worse"),
            Verdict::Equivalent => f.write_str("equivalent"),
            Verdict::NoVariance => f.write_str("no variance, no test"),
            Verdict::Failed => f.write_str("undecided, a run failed"),
            Verdict::Untested { shared } => {
                write!(f, "untested, {}", counted(*shared, "shared seed"))
            }
            Verdict::Undecided(sight) => write!(f, "undecided, {sight}"),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sight::Detects { difference, seeds } => {
                write!(f, "{seeds} seeds detect {}", two_digits(*difference))
            }
            Sight::Equivalence { margin, seeds: Some(seeds) } => {
                write!(f, "equivalence within {margin} takes about {seeds} seeds")
            }
            Sight::Equivalence { margin, seeds: None } => {
                write!(f, "equivalence within {margin} is out of reach")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{paired_t, tost};

    fn word(differences: &[f64], margin: Option<f64>) -> String {
        let paired = paired_t(differences).unwrap();
        let equivalence = margin.and_then(|margin| tost(&paired, margin));
        verdict(&paired, TestEvidence { difference: paired.p_value, equivalence, margin })
            .to_string()
    }

    #[test]
    fn the_words() {
        assert_eq!(word(&[0.02, 0.03, 0.025, 0.022], None), "better");
        assert_eq!(word(&[-0.02, -0.03, -0.025, -0.022], None), "worse");
        assert_eq!(word(&[0.001, -0.001, 0.002, 0.0], Some(0.01)), "equivalent");
        // The difference is real, and smaller than the margin.
        assert_eq!(word(&[0.002, 0.003, 0.0025, 0.0022], None), "better");
        assert_eq!(word(&[0.002, 0.003, 0.0025, 0.0022], Some(0.01)), "equivalent");
        assert_eq!(word(&[0.0; 4], None), "no variance, no test");
        assert_eq!(word(&[0.02; 4], Some(0.1)), "no variance, no test");
        assert_eq!(Verdict::Untested { shared: 2 }.to_string(), "untested, 2 shared seeds");
    }

    /// The deviation is 0.018257: 4 pairs detect 2.128 deviations four times in five (statsmodels:
    /// `TTestPower().solve_power(nobs=4, power=0.8, alpha=0.05)`). Shifting all differences does not change
    /// the plan.
    #[test]
    fn what_the_seeds_can_show_does_not_follow_the_observed_difference() {
        let differences = [0.02, 0.0, 0.03, -0.01];
        assert_eq!(word(&differences, None), "undecided, 4 seeds detect 0.039");
        assert_eq!(word(&differences.map(|d| d - 0.005), None), "undecided, 4 seeds detect 0.039");
        // 0.02 is 1.095 deviations; the fixture's power of equivalence says 9 seeds.
        let wanted = "undecided, equivalence within 0.02 takes about 9 seeds";
        assert_eq!(word(&differences, Some(0.02)), wanted);
        assert_eq!(word(&differences.map(|d| d - 0.005), Some(0.02)), wanted);
    }

    /// 0.02 (2.7764 + 0.9410) = 0.074: quantiles of t with 4 degrees of freedom.
    #[test]
    fn an_interval_that_covers_examples_has_their_error_in_what_it_detects() {
        let paired = paired_t(&[0.0101, 0.0099, 0.01, 0.0102, 0.0098]).unwrap();
        let paired = Paired { error: 0.02, df: 4.0, examples: Some(500), ..paired };
        let evidence = |margin| TestEvidence { difference: Some(0.6), equivalence: None, margin };
        for margin in [None, Some(0.02)] {
            let found = verdict(&paired, evidence(margin)).to_string();
            assert_eq!(found, "undecided, 5 seeds detect 0.074");
        }
    }
}
