//! Friedman's test of equal ranks of methods over blocks.
//! Demšar. *Statistical comparisons of classifiers over multiple data sets*. JMLR 2006.
//! <https://jmlr.org/papers/v7/demsar06a.html>

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Mean ranks, and the test that they are equal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Friedman {
    /// The mean rank of each method; 1 is the best.
    pub ranks: Vec<f64>,
    /// The chi-squared statistic, corrected for ties.
    pub statistic: f64,
    /// Its p value.
    pub p_value: f64,
    /// The number of blocks.
    pub blocks: usize,
}

/// Friedman's test on `scores[block][method]`, where higher is better. None if there are fewer than 2 blocks
/// or 3 methods.
pub fn friedman(scores: &[Vec<f64>]) -> Option<Friedman> {
    let (n, k) = (scores.len(), scores.first()?.len());
    if n < 2 || k < 3 {
        return None;
    }
    let each: Vec<Vec<f64>> =
        scores.iter().map(|block| ranks(&block.iter().map(|x| -x).collect::<Vec<_>>())).collect();
    let ranks: Vec<f64> =
        (0..k).map(|m| each.iter().map(|block| block[m]).sum::<f64>() / n as f64).collect();
    let middle = (k + 1) as f64 / 2.0;
    let between: f64 = ranks.iter().map(|rank| (rank - middle).powi(2)).sum::<f64>() * n as f64;
    let within: f64 = each.iter().flatten().map(|rank| (rank - middle).powi(2)).sum();
    // Within each block the ranks have variance k (k + 1) / 12, less where there are ties.
    let statistic = if within == 0.0 { 0.0 } else { between * (n * (k - 1)) as f64 / within };
    let chi = ChiSquared::new((k - 1) as f64).expect("k is at least 3");
    Some(Friedman { ranks, statistic, p_value: chi.sf(statistic), blocks: n })
}

/// The ranks of the values, from 1 for the lowest; ties share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = below as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|at| ranks[*at] = shared);
        below += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // Ranks 1 2 3 in both of 2 blocks: 12 n / (k (k + 1)) * sum (R - 2)^2 = 24 / 12 * 2 = 4;
        // with 2 degrees of freedom p = exp(-4 / 2).
        let test = friedman(&[vec![0.9, 0.8, 0.7], vec![0.5, 0.4, 0.3]]).unwrap();
        assert_eq!((test.ranks, test.blocks), (vec![1.0, 2.0, 3.0], 2));
        assert!((test.statistic - 4.0).abs() < 1e-12);
        assert!((test.p_value - (-2.0_f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn equals_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        let even = friedman(&[vec![1.0; 3], vec![2.0; 3]]).unwrap();
        assert_eq!((even.statistic, even.p_value), (0.0, 1.0));
        assert_eq!(friedman(&[vec![1.0, 2.0], vec![1.0, 2.0]]), None);
    }

    #[test]
    fn scipy_agrees() {
        let golden = golden("friedman");
        let scores: Vec<Vec<f64>> = serde_json::from_value(golden["scores"].clone()).unwrap();
        let test = friedman(&scores).unwrap();
        let ranks: Vec<f64> = serde_json::from_value(golden["ranks"].clone()).unwrap();
        assert!(test.ranks.iter().zip(ranks).all(|(got, wanted)| (got - wanted).abs() < 1e-12));
        assert!((test.statistic - golden["statistic"].as_f64().unwrap()).abs() < 1e-10);
        assert!((test.p_value - golden["p_value"].as_f64().unwrap()).abs() < 1e-10);
    }
}
