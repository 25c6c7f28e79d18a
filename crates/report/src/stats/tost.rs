//! Equivalence: is the difference shown to be smaller than a margin?
//!
//! Schuirmann. *A comparison of the two one-sided tests procedure and the power approach*. 1987.
//! <https://doi.org/10.1007/BF01068419>

use statrs::distribution::ContinuousCDF;

use super::{
    Paired,
    mean::{student, t_quantile},
};

/// The p value of the two one-sided tests: small if the difference is inside ± margin.
pub fn tost(paired: &Paired, margin: f64) -> f64 {
    let error = paired.deviation / (paired.n as f64).sqrt();
    let inside = |room: f64| match room / error {
        t if t.is_nan() => 0.5,
        t => student(paired.n - 1).cdf(-t),
    };
    inside(margin - paired.difference).max(inside(margin + paired.difference))
}

/// The least margin within which the tests would show equivalence at 5 %.
pub fn least_margin(paired: &Paired) -> f64 {
    let error = paired.deviation / (paired.n as f64).sqrt();
    paired.difference.abs() + t_quantile(0.95, paired.n - 1) * error
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
        assert!((tost(&paired, 2.0) - wanted).abs() < 1e-12);
        // At the margin itself it is even.
        assert!((tost(&paired_t(&[1.0, 2.0, 3.0]).unwrap(), 2.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn at_the_least_margin_p_is_five_per_cent() {
        for differences in [[1.0, 2.0, 3.5], [-1.0, 0.0, 0.5]] {
            let paired = paired_t(&differences).unwrap();
            assert!((tost(&paired, least_margin(&paired)) - 0.05).abs() < 1e-6);
        }
    }

    #[test]
    fn statsmodels_agrees() {
        for case in golden("tost").as_array().unwrap() {
            let list = |key: &str| serde_json::from_value::<Vec<f64>>(case[key].clone()).unwrap();
            let differences: Vec<f64> =
                list("a").iter().zip(list("b")).map(|(a, b)| a - b).collect();
            let p = tost(&paired_t(&differences).unwrap(), case["margin"].as_f64().unwrap());
            assert!((p - case["p_value"].as_f64().unwrap()).abs() < 1e-10, "{p} {case}");
        }
    }
}
