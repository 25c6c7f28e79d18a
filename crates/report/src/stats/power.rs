//! The number of seeds needed to detect a difference, or to show equivalence.

use std::{cell::RefCell, collections::HashMap};

use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::gamma::ln_gamma,
};

use super::mean::t_quantile;

/// The largest number of seeds that is searched for; more are out of reach.
pub const MOST_SEEDS: usize = 100_000;

/// Quantiles of the normal distribution, from which the number of seeds is first guessed.
const Z_80: f64 = 0.841_621;
const Z_90: f64 = 1.281_552;
const Z_95: f64 = 1.644_854;
const Z_975: f64 = 1.959_964;

/// The probability that a paired t test of `n` seeds at 5 % detects a difference of `effect` standard
/// deviations of the differences, in either direction. `n` is at least 3.
pub fn power(effect: f64, n: usize) -> f64 {
    let (shift, t) = (effect.abs() * (n as f64).sqrt(), t_quantile(0.975, (n - 1) as f64));
    let normal = Normal::standard();
    // T > t if and only if Z + shift > t S.
    over_deviations(n, f64::INFINITY, |s| normal.cdf(shift - t * s) + normal.cdf(-shift - t * s))
}

/// The probability that two one-sided t tests of `n` seeds at 5 % show that there is no difference as large
/// as `margin` standard deviations of the differences, if there is no difference at all. `n` is at least 3.
pub fn power_of_equivalence(margin: f64, n: usize) -> f64 {
    let (room, t) = (margin.abs() * (n as f64).sqrt(), t_quantile(0.95, (n - 1) as f64));
    let normal = Normal::standard();
    // Both tests reject if and only if |Z| < room - t S.
    over_deviations(n, room / t, |s| 2.0 * normal.cdf(room - t * s) - 1.0)
}

/// The mean of a probability over S, the ratio of the estimated standard deviation of `n` values to the true
/// one. The probability is 0 from `end` on.
fn over_deviations(n: usize, end: f64, chance: impl Fn(f64) -> f64) -> f64 {
    let df = (n - 1) as f64;
    let constant = (2.0_f64).ln() + df / 2.0 * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let density = |s: f64| {
        if s == 0.0 { 0.0 } else { (constant + (df - 1.0) * s.ln() - df * s * s / 2.0).exp() }
    };
    // S is near 1 with a deviation of about 1 / sqrt(2 df).
    let reach = 12.0 / (2.0 * df).sqrt();
    let start = (1.0 - reach).max(0.0);
    super::integral(|s| density(s) * chance(s), start, (1.0 + reach).min(end).max(start))
}

/// The smallest number of seeds, at least 3, with which a difference of `effect` standard deviations is
/// detected four times in five. None if it is more than [`MOST_SEEDS`].
pub fn seeds_needed(effect: f64) -> Option<usize> {
    let guess = ((Z_975 + Z_80) / effect).powi(2);
    least_seeds(guess, |n| power(effect, n) >= 0.8)
}

/// The smallest number of seeds, at least 3, with which equivalence within `margin` standard deviations is
/// shown four times in five, if there is no difference. None if it is more than [`MOST_SEEDS`].
pub fn seeds_for_equivalence(margin: f64) -> Option<usize> {
    let guess = ((Z_95 + Z_90) / margin).powi(2);
    least_seeds(guess, |n| power_of_equivalence(margin, n) >= 0.8)
}

/// The smallest number that is enough, provided that every larger one is too. The search starts at a guess,
/// continues in steps that double, and then bisects the enclosed range.
fn least_seeds(guess: f64, enough: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut too_few, mut enough_at) = (2, MOST_SEEDS + 1);
    let (mut at, mut step) = ((guess.ceil() as usize).clamp(3, MOST_SEEDS), 1);
    while enough_at - too_few > 1 {
        let next = if enough(at) {
            enough_at = at;
            at.saturating_sub(step)
        } else {
            too_few = at;
            at + step
        };
        step *= 2;
        let inside = too_few < next && next < enough_at;
        at = if inside { next } else { too_few.midpoint(enough_at) };
    }
    (enough_at <= MOST_SEEDS).then_some(enough_at)
}

thread_local! {
    /// The results of [`least_effect`]: tables ask for the same numbers of seeds thousands of times.
    static LEAST_EFFECTS: RefCell<HashMap<usize, f64>> = RefCell::default();
}

/// The smallest effect that `n` seeds, at least 3, detect four times in five.
pub fn least_effect(n: usize) -> f64 {
    LEAST_EFFECTS.with_borrow_mut(|known| *known.entry(n).or_insert_with(|| search_effect(n)))
}

/// The distance of the true value from a bound at which four of five experiments with this standard error show
/// its side, by a two-sided test at 5 %: the minimum detectable effect, with t quantiles (Bloom. *Minimum
/// detectable effects*. Evaluation Review 1995. <https://doi.org/10.1177/0193841X9501900504>).
pub fn detectable_effect(error: f64, df: f64) -> f64 {
    error * (t_quantile(0.975, df) + t_quantile(0.8, df))
}

fn search_effect(n: usize) -> f64 {
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
    fn scipy_agrees_on_equivalence() {
        for case in golden("power_of_equivalence").as_array().unwrap() {
            let (margin, n) = (case["margin"].as_f64().unwrap(), case["n"].as_u64().unwrap());
            let got = power_of_equivalence(margin, n as usize);
            // By integration, and by simulation of a million data sets.
            assert!((got - case["power"].as_f64().unwrap()).abs() < 1e-6, "{got} {case}");
            assert!((got - case["simulated"].as_f64().unwrap()).abs() < 0.002, "{got} {case}");
        }
        for case in golden("seeds_for_equivalence").as_array().unwrap() {
            let wanted = case["n"].as_u64().unwrap() as usize;
            assert_eq!(seeds_for_equivalence(case["margin"].as_f64().unwrap()), Some(wanted));
        }
        assert_eq!(seeds_for_equivalence(0.0), None);
    }

    #[test]
    fn any_guess_leads_to_the_least_number() {
        for wanted in [3, 4, 17, 640, MOST_SEEDS - 1, MOST_SEEDS] {
            for guess in [0.0, 3.0, 16.2, 17.0, 18.0, 1e3, 1e9, f64::INFINITY, f64::NAN] {
                assert_eq!(least_seeds(guess, |n| n >= wanted), Some(wanted), "{guess}");
            }
        }
        assert_eq!(least_seeds(5.0, |_| false), None);
    }

    #[test]
    fn effect_and_seeds_are_inverse() {
        for n in [4, 10, 50] {
            assert_eq!(seeds_needed(least_effect(n) + 1e-9), Some(n));
        }
        assert_eq!(seeds_needed(0.0), None);
    }
}
