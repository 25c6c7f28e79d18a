//! Wilcoxon's signed-rank test: up to 100 differences exact, with ties up to 25, by counting every assignment
//! of signs to the ranks; beyond that by the normal distribution. Each kind of ties has a count of its own, so
//! that half a million tests with many ties would take minutes.
//! Wilcoxon. *Individual comparisons by ranking methods*. 1945. <https://doi.org/10.2307/3001968>

use std::collections::HashMap;

use statrs::distribution::{ContinuousCDF, Normal};

/// The two-sided p value that differences are as often above as below 0. Zeros are left out, ties
/// share their ranks; 1 where nothing is left.
pub fn wilcoxon(differences: &[f64]) -> f64 {
    SignedRanks::default().wilcoxon(differences)
}

/// Many of these tests: as long as there are no other ties, the chances of sums are counted once.
#[derive(Default)]
pub(crate) struct SignedRanks {
    /// Of sorted ranks, twice each: the chances of each sum or less, and of each sum or more.
    chances: HashMap<Vec<usize>, [Vec<f64>; 2]>,
    /// The same by the number of ranks, without ties.
    untied: HashMap<usize, [Vec<f64>; 2]>,
    /// The differences of a test as whole numbers: the size above, the sign in the last bit.
    sorted: Vec<u64>,
    ranks: Vec<f64>,
}

impl SignedRanks {
    /// Tables that are kept; there are as many as there are kinds of ties.
    const MOST: usize = 1000;
    /// The most differences that are counted without ties.
    const COUNTED: usize = 100;
    /// The most differences that are counted with ties.
    const COUNTED_WITH_TIES: usize = 25;

    /// As [`wilcoxon`].
    pub(crate) fn wilcoxon(&mut self, differences: &[f64]) -> f64 {
        // Numbers of one sign are ordered as their bits are.
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

    /// By counting, from ranks in order.
    fn exact(&mut self, sum: f64) -> f64 {
        // Twice the ranks are whole also with ties.
        let twice: Vec<usize> = self.ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
        if self.chances.len() > Self::MOST {
            self.chances.clear();
        }
        two_sided(self.chances.entry(twice).or_insert_with_key(|twice| tails(twice)), sum)
    }

    /// The same where the ranks are 1, 2, 3 and so on.
    fn exact_untied(&mut self) -> f64 {
        let ranks = (1..).zip(&self.sorted);
        let sum: usize = ranks.map(|(rank, d)| if d & 1 == 0 { rank } else { 0 }).sum();
        let of = |n: &usize| tails(&(1..=*n).map(|rank| 2 * rank).collect::<Vec<_>>());
        two_sided(self.untied.entry(self.sorted.len()).or_insert_with_key(of), sum as f64)
    }
}

/// Twice the chance of a sum that is as far out or farther.
fn two_sided([below, above]: &[Vec<f64>; 2], sum: f64) -> f64 {
    let observed = (2.0 * sum) as usize;
    (2.0 * below[observed].min(above[observed])).min(1.0)
}

/// Each rank is in the sum or not, so the variance is a quarter of their squares, ties or not.
fn normal(ranks: &[f64], sum: f64) -> f64 {
    let (mean, variance) = ranks.iter().fold((0.0, 0.0), |(mean, variance), rank| {
        (mean + rank / 2.0, variance + rank * rank / 4.0)
    });
    2.0 * Normal::standard().cdf(-((sum - mean) / variance.sqrt()).abs())
}

/// The chances of each sum or less, and of each sum or more.
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

/// The chance of each sum, where each rank is in it or not, like the toss of a coin.
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
        // All of 5 positive: 1 of 32 assignments on each side.
        assert_eq!(wilcoxon(&[1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 32.0);
        // The lowest rank of 3 negative: sums 0 and 1 below (or 5 and 6 above), 2 of 8 on a side.
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
        // With 26 differences, two of them alike, the normal distribution; without ties counting.
        let differences = |last: f64| (1..26).map(f64::from).chain([last]).collect::<Vec<_>>();
        let (tied, apart) = (wilcoxon(&differences(25.0)), wilcoxon(&differences(26.0)));
        assert_eq!(apart, 2.0_f64.powi(-25));
        assert!((5e-6..2e-5).contains(&tied), "{tied}");
    }

    #[test]
    fn both_ways_meet() {
        let ranks: Vec<f64> = (1..=100).map(f64::from).collect();
        // The exact chance counts the observed sum on both sides: half a step is the difference.
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
