//! Wilcoxon's signed-rank test. Up to 100 differences without ties, or 25 with ties, it is exact, by counting
//! every assignment of signs to the ranks; with more it uses the normal distribution. Each pattern of ties
//! needs a separate count, so half a million exact tests with many ties would take minutes. Wilcoxon.
//! *Individual comparisons by ranking methods*. 1945. <https://doi.org/10.2307/3001968>

use std::collections::HashMap;

use statrs::distribution::{ContinuousCDF, Normal};

/// The two-sided p value of the hypothesis that differences are as often above as below 0. Zeros are left
/// out, and ties share their ranks; 1 if no difference remains.
pub fn wilcoxon(differences: &[f64]) -> f64 {
    SignedRanks::default().wilcoxon(differences)
}

/// A cache for many of these tests: the probabilities of sums are counted once per pattern of ties.
#[derive(Default)]
pub(crate) struct SignedRanks {
    /// For sorted ranks, each doubled: the probabilities of each sum or less, and of each sum or more.
    chances: HashMap<Vec<usize>, [Vec<f64>; 2]>,
    /// The same without ties, by the number of ranks.
    untied: HashMap<usize, [Vec<f64>; 2]>,
    /// The differences of a test as whole numbers: the absolute value in the upper bits, the sign in the last
    /// bit.
    sorted: Vec<u64>,
    ranks: Vec<f64>,
}

impl SignedRanks {
    /// The largest number of tables that are kept; there is one for each pattern of ties.
    const MOST: usize = 1000;
    /// The largest number of differences that are counted without ties.
    const COUNTED: usize = 100;
    /// The largest number of differences that are counted with ties.
    const COUNTED_WITH_TIES: usize = 25;

    /// The same as [`wilcoxon`].
    pub(crate) fn wilcoxon(&mut self, differences: &[f64]) -> f64 {
        // Numbers of one sign have the same order as their bits.
        let moved = differences.iter().filter(|d| **d != 0.0);
        self.sorted.clear();
        self.sorted.extend(moved.map(|d| d.to_bits().rotate_left(1)));
        self.sorted.sort_unstable();
        let has_ties = self.sorted.windows(2).any(|pair| pair[0] >> 1 == pair[1] >> 1);
        if self.sorted.len() <= Self::COUNTED && !has_ties {
            return self.exact_untied();
        }
        self.ranks.clear();
        let mut sum = 0.0;
        for tied in self.sorted.chunk_by(|a, b| a >> 1 == b >> 1) {
            let before = self.ranks.len();
            let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
            self.ranks.resize(before + tied.len(), rank);
            sum += rank * tied.iter().filter(|d| **d & 1 == 0).count() as f64;
        }
        match self.ranks.len() <= Self::COUNTED_WITH_TIES {
            true => self.exact(sum),
            false => normal(&self.ranks, sum),
        }
    }

    /// The p value by counting, from sorted ranks.
    fn exact(&mut self, sum: f64) -> f64 {
        // Doubled ranks are whole numbers even with ties.
        let twice: Vec<usize> = self.ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
        if self.chances.len() > Self::MOST {
            self.chances.clear();
        }
        two_sided(self.chances.entry(twice).or_insert_with_key(|twice| tails(twice)), sum)
    }

    /// The same for the ranks 1, 2, 3 and so on.
    fn exact_untied(&mut self) -> f64 {
        let ranks = (1..).zip(&self.sorted);
        let sum: usize = ranks.map(|(rank, d)| if d & 1 == 0 { rank } else { 0 }).sum();
        let of = |n: &usize| tails(&(1..=*n).map(|rank| 2 * rank).collect::<Vec<_>>());
        two_sided(self.untied.entry(self.sorted.len()).or_insert_with_key(of), sum as f64)
    }
}

/// Twice the probability of a sum that is at least as extreme.
fn two_sided([below, above]: &[Vec<f64>; 2], sum: f64) -> f64 {
    let observed = (2.0 * sum) as usize;
    (2.0 * below[observed].min(above[observed])).min(1.0)
}

/// The p value by the normal distribution. Each rank is in the sum or not, so the variance is a quarter of
/// the sum of squares, with ties or without.
fn normal(ranks: &[f64], sum: f64) -> f64 {
    let (mean, variance) = ranks.iter().fold((0.0, 0.0), |(mean, variance), rank| {
        (mean + rank / 2.0, variance + rank * rank / 4.0)
    });
    2.0 * Normal::standard().cdf(-((sum - mean) / variance.sqrt()).abs())
}

/// The probabilities of each sum or less, and of each sum or more.
fn tails(twice: &[usize]) -> [Vec<f64>; 2] {
    let chances = sum_chances(twice);
    let mut above = running_sums(chances.iter().rev());
    above.reverse();
    [running_sums(chances.iter()), above]
}

fn running_sums<'a>(chances: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |chance: &f64| {
        sum += chance;
        sum
    };
    chances.map(add).collect()
}

/// The probability of each sum, if each rank is in the sum with probability 1/2.
fn sum_chances(twice: &[usize]) -> Vec<f64> {
    let mut chances = vec![0.0; twice.iter().sum::<usize>() + 1];
    chances[0] = 1.0;
    for rank in twice {
        for sum in (0..chances.len()).rev() {
            let with = if sum >= *rank { chances[sum - rank] } else { 0.0 };
            chances[sum] = (chances[sum] + with) / 2.0;
        }
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // All 5 are positive: 1 of 32 assignments on each side.
        assert_eq!(wilcoxon(&[1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 32.0);
        // The lowest rank of 3 is negative: sums 0 and 1 below (or 5 and 6 above), 2 of 8 on a side.
        assert_eq!(wilcoxon(&[-1.0, 2.0, 3.0]), 0.5);
        assert_eq!(wilcoxon(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn scipy_and_counting_agree() {
        for case in golden("wilcoxon").as_array().unwrap() {
            let differences: Vec<f64> =
                serde_json::from_value(case["differences"].clone()).unwrap();
            let p = wilcoxon(&differences);
            assert!((p - case["p_value"].as_f64().unwrap()).abs() < 1e-12, "{p} {case}");
        }
    }

    #[test]
    fn scipy_agrees_on_many() {
        let golden = golden("wilcoxon_many");
        let differences: Vec<f64> = serde_json::from_value(golden["differences"].clone()).unwrap();
        assert!(differences.len() > 100);
        let p = wilcoxon(&differences);
        assert!((p - golden["p_value"].as_f64().unwrap()).abs() < 1e-10, "{p}");
    }

    #[test]
    fn ties_are_seen() {
        // 26 differences with a tie use the normal distribution; without ties they are counted.
        let differences = |last: f64| (1..26).map(f64::from).chain([last]).collect::<Vec<_>>();
        let (tied, apart) = (wilcoxon(&differences(25.0)), wilcoxon(&differences(26.0)));
        assert_eq!(apart, 2.0_f64.powi(-25));
        assert!((5e-6..2e-5).contains(&tied), "{tied}");
    }

    #[test]
    fn both_ways_meet() {
        let ranks: Vec<f64> = (1..=100).map(f64::from).collect();
        // The exact probability includes the observed sum on both sides, so the two differ by half a step.
        let mut known = SignedRanks { ranks: ranks.clone(), ..SignedRanks::default() };
        assert!((known.exact(3000.0) - normal(&ranks, 2999.5)).abs() < 1e-3);
        // The ranks from 64 on are positive.
        known.sorted = (1..=100).map(|rank| 2 * rank + u64::from(rank < 64)).collect();
        assert_eq!(known.exact((64..=100).sum::<u32>().into()), known.exact_untied());
    }

    #[test]
    fn signs_and_ties_of_any_size_are_seen() {
        // Ranks 1, 2.5, 2.5, 4: two of 16 assignments have a sum of 1 or less.
        let tiny = f64::from_bits(1);
        for differences in [[tiny, -2.0, -2.0, -1e60], [-1e60, -2.0, tiny, -2.0]] {
            assert_eq!(wilcoxon(&differences), 4.0 / 16.0);
        }
    }
}
