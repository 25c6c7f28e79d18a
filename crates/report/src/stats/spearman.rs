//! Rank correlation.
//!
//! Spearman. *The Proof and Measurement of Association between Two Things*. American Journal of
//! Psychology 15, 1904. <https://www.jstor.org/stable/1412159>

use super::ranks;

/// The correlation of the ranks of pairs, from -1 to 1; ties share the mean of their ranks. None with fewer
/// than two pairs, or if all values of one side are equal.
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let side = |of: fn(&(f64, f64)) -> f64| ranks(&pairs.iter().map(of).collect::<Vec<_>>());
    let (a, b) = (side(|pair| pair.0), side(|pair| pair.1));
    let middle = (pairs.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15).
        let rho = spearman(&[(0.1, 5.0), (0.2, 3.0), (0.5, 9.0), (7.0, 8.0)]).unwrap();
        assert!((rho - 0.6).abs() < 1e-12, "{rho}");
        assert_eq!(spearman(&[(1.0, 3.0), (2.0, 2.0), (3.0, -9.0)]), Some(-1.0));
        assert_eq!(spearman(&[(1.0, 3.0)]), None);
        assert_eq!(spearman(&[(1.0, 3.0), (1.0, 4.0)]), None);
    }

    #[test]
    fn equals_share_their_ranks_as_in_scipy() {
        let pairs = [(1.0, 2.0), (2.0, 2.0), (2.0, 7.0), (5.0, 4.0), (4.0, 9.0)];
        let rho = spearman(&pairs).unwrap();
        assert!((rho - 0.552_631_578_947_368_6).abs() < 1e-12, "{rho}");
    }
}
