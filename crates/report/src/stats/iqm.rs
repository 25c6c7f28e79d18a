//! The interquartile mean: the mean of the middle half, on which outliers have little effect. Agarwal et al.
//! 2021, <https://arxiv.org/abs/2108.13264>, section 4.3.

use super::{
    bootstrap::{RESAMPLES, of_statistics},
    interval::Interval,
    mean::average,
    rng::Rng,
};

/// The mean without the lowest and the highest quarter (each rounded down); none without values.
pub fn iqm(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    let (n, cut) = (values.len(), values.len() / 4);
    // The order within the middle half does not matter, so a full sort is not needed.
    if cut > 0 {
        values.select_nth_unstable_by(cut, f64::total_cmp);
        values[cut..].select_nth_unstable_by(n - 2 * cut - 1, f64::total_cmp);
    }
    average(&values[cut..n - cut])
}

/// The stratified bootstrap interval of the interquartile mean of all values. None if a stratum has fewer
/// than 3.
///
/// Instead of values, indices into the sorted values are drawn and counted, so that no resample is sorted.
pub(crate) fn iqm_interval(strata: &[Vec<f64>]) -> Option<Interval> {
    let mut all = strata.concat();
    all.sort_by(f64::total_cmp);
    let place = |value: &f64| all.partition_point(|other| other.total_cmp(value).is_lt());
    let places: Vec<Vec<usize>> =
        strata.iter().map(|values| values.iter().map(place).collect()).collect();
    let (mut rng, mut counts) = (Rng::new(0), vec![0; all.len()]);
    let middle = iqm_of_counts(&all, &{
        let mut counts = vec![0; all.len()];
        places.iter().flatten().for_each(|place| counts[*place] += 1);
        counts
    });
    let drawn = |_| {
        counts.fill(0);
        for of_stratum in &places {
            let n = of_stratum.len();
            (0..n).for_each(|_| counts[of_stratum[rng.below(n)]] += 1);
        }
        iqm_of_counts(&all, &counts)
    };
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    of_statistics(&sizes, middle, || (0..RESAMPLES).map(drawn).collect())
}

/// The interquartile mean of sorted values, each repeated by its count; NaN if all counts are 0.
fn iqm_of_counts(values: &[f64], counts: &[usize]) -> f64 {
    let n: usize = counts.iter().sum();
    let (cut, mut before, mut sum) = (n / 4, 0, 0.0);
    for (value, count) in values.iter().zip(counts) {
        let after = before + count;
        if before >= n - cut {
            break;
        }
        sum += value * (after.clamp(cut, n - cut) - before.clamp(cut, n - cut)) as f64;
        before = after;
    }
    sum / (n - 2 * cut) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{golden, stratified_bootstrap};

    #[test]
    fn by_hand() {
        assert_eq!(iqm(&[100.0, 2.0, 4.0, -50.0]), Some(3.0));
        assert_eq!(iqm(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(iqm(&[]), None);
    }

    #[test]
    fn the_interval_is_that_of_the_bootstrap() {
        let strata = [vec![0.5, 0.1, 0.1, 0.9, 0.3], vec![0.2, 0.8, 0.4], vec![0.7, 0.1, 1.0, 0.0]];
        let statistic = |strata: &[Vec<f64>]| iqm(&strata.concat()).unwrap();
        let [got, wanted] = [
            iqm_interval(&strata).unwrap(),
            stratified_bootstrap(&strata, statistic, RESAMPLES, 0).unwrap(),
        ];
        assert!((got.low - wanted.low).abs() < 1e-12 && (got.high - wanted.high).abs() < 1e-12);
        assert_eq!(iqm_interval(&[vec![1.0, 2.0]]), None);
    }

    #[test]
    fn rliable_agrees() {
        for case in golden("iqm").as_array().unwrap() {
            let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
            assert!((iqm(&values).unwrap() - case["iqm"].as_f64().unwrap()).abs() < 1e-14);
        }
    }
}
