//! Equivalence within a margin, by two one-sided tests.
//!
//! Schuirmann. *A comparison of the two one-sided tests procedure and the power approach*. 1987.
//! <https://doi.org/10.1007/BF01068419>

use statrs::distribution::ContinuousCDF;

use super::{Paired, mean::student};

/// The p value of the two one-sided tests: small if the difference is within ± margin. None if all
/// differences are equal: without variance there is no test.
pub fn tost(paired: &Paired, margin: f64) -> Option<f64> {
    let outside = |room: f64| student(paired.df).cdf(-room / paired.error);
    let (above, below) = (margin - paired.difference, margin + paired.difference);
    (paired.error > 0.0).then(|| outside(above).max(outside(below)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{golden, paired_t};

    #[test]
    fn by_hand() {
        // Mean 0, variance 1, error 1 / sqrt(3), margin 2: both sides have t = 2 sqrt(3) and
        // P(T > t) = (1 - t / sqrt(2 + t^2)) / 2 with 2 degrees of freedom.
        let paired = paired_t(&[-1.0, 0.0, 1.0]).unwrap();
        let wanted = (1.0 - (12.0_f64 / 14.0).sqrt()) / 2.0;
        assert!((tost(&paired, 2.0).unwrap() - wanted).abs() < 1e-12);
        // If the difference equals the margin, the p value is one half.
        let at_the_margin = tost(&paired_t(&[1.0, 2.0, 3.0]).unwrap(), 2.0).unwrap();
        assert!((at_the_margin - 0.5).abs() < 1e-12);
        assert_eq!(tost(&paired_t(&[1.0; 3]).unwrap(), 2.0), None);
    }

    #[test]
    fn at_the_least_margin_p_is_half_of_five_per_cent() {
        for differences in [[1.0, 2.0, 3.5], [-1.0, 0.0, 0.5]] {
            let paired = paired_t(&differences).unwrap();
            let least_margin = paired.low.abs().max(paired.high.abs());
            assert!((tost(&paired, least_margin).unwrap() - 0.025).abs() < 1e-6);
        }
    }

    #[test]
    fn statsmodels_agrees() {
        for case in golden("tost").as_array().unwrap() {
            let list = |key: &str| serde_json::from_value::<Vec<f64>>(case[key].clone()).unwrap();
            let differences: Vec<f64> =
                list("a").iter().zip(list("b")).map(|(a, b)| a - b).collect();
            let paired = paired_t(&differences).unwrap();
            let p = tost(&paired, case["margin"].as_f64().unwrap()).unwrap();
            assert!((p - case["p_value"].as_f64().unwrap()).abs() < 1e-10, "{p} {case}");
        }
    }
}
