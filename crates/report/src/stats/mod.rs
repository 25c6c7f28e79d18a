//! Statistics, one per file. Each is checked by hand, and against the numbers of another program: see
//! `scripts/golden-statistics`.

mod bootstrap;
mod crossed;
mod friedman;
mod holm;
mod improvement;
mod interval;
mod iqm;
mod mean;
mod nemenyi;
mod paired;
mod power;
mod power_law;
mod profile;
mod regression;
mod rng;
mod spearman;
mod strata;
mod tost;
mod verdict;
mod wilcoxon;

pub use bootstrap::RESAMPLES;
#[cfg(test)]
use bootstrap::stratified_bootstrap;
pub use crossed::{Crossed, crossed};
pub use friedman::{Friedman, friedman, ranks};
pub use holm::holm;
pub(crate) use improvement::improvements;
pub use interval::Interval;
pub use iqm::iqm;
pub(crate) use iqm::iqm_interval;
pub use mean::{Mean, mean, t_quantile};
pub(crate) use mean::{average, student};
pub use nemenyi::critical_difference;
pub(crate) use paired::differs;
pub use paired::{Paired, paired_t};
pub use power::{
    MOST_SEEDS, detectable_effect, least_effect, power, power_of_equivalence,
    seeds_for_equivalence, seeds_needed,
};
pub use power_law::{Lever, PowerLaw, lever, power_law};
pub use profile::profile;
pub use regression::{Straight, least_squares};
pub(crate) use rng::Rng;
pub use spearman::spearman;
pub use strata::stratified_mean;
pub use tost::tost;
pub use verdict::{Sight, TestEvidence, Verdict, verdict};
pub(crate) use wilcoxon::SignedRanks;
pub use wilcoxon::wilcoxon;

/// Simpson's rule. The integrands here are smooth and vanish at the ends, or begin at 0.
fn integral(f: impl Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    const STEPS: usize = 400;
    let width = (to - from) / STEPS as f64;
    let term = |at: usize| {
        let weight = match at {
            0 | STEPS => 1.0,
            odd if odd % 2 == 1 => 4.0,
            _ => 2.0,
        };
        weight * f(from + at as f64 * width)
    };
    (0..=STEPS).map(term).sum::<f64>() * width / 3.0
}

/// The values of other programs from one entry of the fixture.
#[cfg(test)]
fn golden(entry: &str) -> serde_json::Value {
    let all = include_str!("../../fixtures/statistics.json");
    let mut all: serde_json::Value = serde_json::from_str(all).unwrap();
    all[entry].take()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The order of the seeds has no effect.
        #[test]
        fn order_does_not_matter(mut values in prop::collection::vec(-1e3..1e3_f64, 3..20)) {
            let before = (mean(&values).unwrap(), iqm(&values).unwrap(), wilcoxon(&values));
            values.reverse();
            let after = (mean(&values).unwrap(), iqm(&values).unwrap(), wilcoxon(&values));
            prop_assert!((before.0.mean - after.0.mean).abs() < 1e-9);
            prop_assert!((before.0.half.unwrap() - after.0.half.unwrap()).abs() < 1e-9);
            prop_assert!((before.1 - after.1).abs() < 1e-9);
            prop_assert!((before.2 - after.2).abs() < 1e-12);
        }

        /// The verdict is reversed if the two methods are exchanged.
        #[test]
        fn sides_can_be_changed(values in prop::collection::vec(-1e3..1e3_f64, 3..20)) {
            let turned: Vec<f64> = values.iter().map(|value| -value).collect();
            let (here, there) = (paired_t(&values).unwrap(), paired_t(&turned).unwrap());
            prop_assert_eq!(here.p_value, there.p_value);
            prop_assert_eq!((here.low, here.high), (-there.high, -there.low));
            prop_assert_eq!(here.turned(), there);
            prop_assert_eq!(tost(&here, 5.0), tost(&there, 5.0));
            prop_assert!((wilcoxon(&values) - wilcoxon(&turned)).abs() < 1e-12);
        }
    }
}
