//! The interquartile mean: the mean of the middle half, which neither a lucky nor a broken run
//! moves. Agarwal et al. 2021, <https://arxiv.org/abs/2108.13264>, section 4.3.

use super::mean::average;

/// The mean without the lowest and the highest quarter (each rounded down); none of no values.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        assert_eq!(iqm(&[100.0, 2.0, 4.0, -50.0]), Some(3.0));
        assert_eq!(iqm(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(iqm(&[]), None);
    }

    #[test]
    fn rliable_agrees() {
        for case in golden("iqm").as_array().unwrap() {
            let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
            assert!((iqm(&values).unwrap() - case["iqm"].as_f64().unwrap()).abs() < 1e-14);
        }
    }
}
