//! How many seeds it takes to see a difference.

use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::gamma::ln_gamma,
};

use super::mean::t_quantile;

/// More seeds than this are out of reach, and not counted further.
pub const MOST_SEEDS: usize = 100_000;

/// The chance that a paired t test of `n` seeds at 5 % sees a difference of `effect` standard
/// deviations of the differences, on either side. `n` is at least 3.
pub fn power(effect: f64, n: usize) -> f64 {
    let df = (n - 1) as f64;
    let (shift, t) = (effect.abs() * (n as f64).sqrt(), t_quantile(0.975, n - 1));
    let normal = Normal::standard();
    // T > t exactly if Z + shift > t S, where S^2 is the variance estimate over the variance.
    let seen = |s: f64| normal.cdf(shift - t * s) + normal.cdf(-shift - t * s);
    let constant = (2.0_f64).ln() + df / 2.0 * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let density = |s: f64| {
        if s == 0.0 { 0.0 } else { (constant + (df - 1.0) * s.ln() - df * s * s / 2.0).exp() }
    };
    // S is near 1 with a deviation of about 1 / sqrt(2 df).
    let reach = 12.0 / (2.0 * df).sqrt();
    super::integral(|s| density(s) * seen(s), (1.0 - reach).max(0.0), 1.0 + reach)
}

/// The least number of seeds, at least 3, with which a difference of `effect` standard deviations
/// is seen four times in five. None where it is more than [`MOST_SEEDS`].
pub fn seeds_needed(effect: f64) -> Option<usize> {
    let enough = |n: usize| power(effect, n) >= 0.8;
    // Power grows with n: double until it is enough, then halve the gap.
    let mut high = 3;
    while !enough(high) {
        high *= 2;
        if high > MOST_SEEDS {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The least effect that `n` seeds, at least 3, see four times in five.
pub fn least_effect(n: usize) -> f64 {
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if power(middle, n) < 0.8 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn without_effect_it_is_the_level() {
        for n in [3, 10, 1000] {
            assert!((power(0.0, n) - 0.05).abs() < 1e-8, "{n}: {}", power(0.0, n));
        }
    }

    #[test]
    fn statsmodels_agrees() {
        for case in golden("power").as_array().unwrap() {
            let got = power(case["effect"].as_f64().unwrap(), case["n"].as_u64().unwrap() as usize);
            assert!((got - case["power"].as_f64().unwrap()).abs() < 1e-6, "{got} {case}");
        }
        for case in golden("seeds").as_array().unwrap() {
            let wanted = case["n"].as_u64().unwrap() as usize;
            assert_eq!(seeds_needed(case["effect"].as_f64().unwrap()), Some(wanted.max(3)));
        }
    }

    #[test]
    fn effect_and_seeds_are_inverse() {
        for n in [4, 10, 50] {
            assert_eq!(seeds_needed(least_effect(n) + 1e-9), Some(n));
        }
        assert_eq!(seeds_needed(0.0), None);
    }
}
