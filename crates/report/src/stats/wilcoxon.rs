//! Wilcoxon's signed-rank test, exact: every assignment of signs to the ranks is counted.
//! Wilcoxon. *Individual comparisons by ranking methods*. 1945. <https://doi.org/10.2307/3001968>

use super::friedman::ranks;

/// The two-sided p value that differences are as often above as below 0. Zeros are left out, ties
/// share their ranks; 1 where nothing is left.
pub fn wilcoxon(differences: &[f64]) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    // Twice the ranks, which are whole also with ties.
    let sizes: Vec<f64> = moved.iter().map(|d| d.abs()).collect();
    let twice: Vec<usize> = ranks(&sizes).iter().map(|rank| (2.0 * rank) as usize).collect();
    let positive = moved.iter().zip(&twice).filter(|(d, _)| **d > 0.0);
    let observed: usize = positive.map(|(_, rank)| rank).sum();
    let chances = sum_chances(&twice);
    let below: f64 = chances[..=observed].iter().sum();
    let above: f64 = chances[observed..].iter().sum();
    (2.0 * below.min(above)).min(1.0)
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
}
