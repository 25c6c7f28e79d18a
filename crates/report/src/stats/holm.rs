//! Holm's correction for several tests.
//!
//! Holm. *A simple sequentially rejective multiple test procedure*. Scand. J. Statist. 1979.
//! <https://www.jstor.org/stable/4615733>

/// The p values after correction for their number, in the given order.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = vec![0.0; m];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(p_values[index] * (m - rank) as f64).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below 0.06), 0.04 * 1 (not below 0.06).
        let corrected = holm(&[0.04, 0.01, 0.03, 0.02]);
        for (got, wanted) in corrected.into_iter().zip([0.06, 0.04, 0.06, 0.06]) {
            assert!((got - wanted).abs() < 1e-15, "{got} is not {wanted}");
        }
    }

    #[test]
    fn never_above_one() {
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [] as [f64; 0]);
    }

    #[test]
    fn statsmodels_agrees() {
        let golden = golden("holm");
        let list = |key: &str| serde_json::from_value::<Vec<f64>>(golden[key].clone()).unwrap();
        for (got, wanted) in holm(&list("p_values")).into_iter().zip(list("corrected")) {
            assert!((got - wanted).abs() < 1e-14, "{got} is not {wanted}");
        }
    }
}
