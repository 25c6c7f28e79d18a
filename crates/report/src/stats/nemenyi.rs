//! Nemenyi's critical difference of mean ranks.
//! Demšar 2006, <https://jmlr.org/papers/v7/demsar06a.html>, section 3.2.2.

use std::f64::consts::SQRT_2;

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

/// The critical difference at 5 % between the mean ranks of `k` methods over `n` blocks.
pub fn critical_difference(k: usize, n: usize) -> f64 {
    let q = range_quantile(0.95, k) / SQRT_2;
    q * ((k * (k + 1)) as f64 / (6 * n) as f64).sqrt()
}

/// The quantile of the range of `k` standard normal numbers, by bisection.
fn range_quantile(p: f64, k: usize) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    // 60 halvings of an interval of 20 leave less than the last bit of the result.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if range_cdf(middle, k) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// P(range < q) = k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz: z is the largest, the others are below it.
fn range_cdf(q: f64, k: usize) -> f64 {
    let normal = Normal::standard();
    let density =
        |z: f64| normal.pdf(z) * (normal.cdf(z) - normal.cdf(z - q)).powi(k as i32 - 1) * k as f64;
    super::integral(density, -9.0, 9.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // The range of two is |N(0, 2)|, so q / sqrt 2 is 1.959964; k (k + 1) / 6 n is 1 / n.
        assert!((critical_difference(2, 25) - 1.959_963_984_540_054 / 5.0).abs() < 1e-9);
    }

    #[test]
    fn scipy_agrees() {
        for case in golden("nemenyi").as_array().unwrap() {
            let count = |key: &str| case[key].as_u64().unwrap() as usize;
            let got = critical_difference(count("k"), count("n"));
            assert!((got - case["distance"].as_f64().unwrap()).abs() < 1e-6, "{got} {case}");
        }
    }
}
