//! The number of experts that are pruned from each layer.

use serde::{Deserialize, Serialize};

/// The share of a layer's experts that is pruned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a share, or a list with one for each MoE layer")]
pub enum Ratio {
    /// The same in every layer.
    All(f64),
    /// A share for each MoE layer; 0 leaves a layer as it is.
    Layers(Vec<f64>),
}

impl Ratio {
    /// The number of experts pruned from each layer, which has `experts[layer]` of them: the nearest
    /// integer.
    ///
    /// # Errors
    /// If a share is not at least 0 and below 1, if a layer would lose all its experts, or if the number
    /// of shares is not the number of layers.
    pub fn counts(&self, experts: &[usize]) -> Result<Vec<usize>, String> {
        let shares = match self {
            Ratio::All(share) => vec![*share; experts.len()],
            Ratio::Layers(shares) => shares.clone(),
        };
        if shares.len() != experts.len() {
            let (said, there) = (shares.len(), experts.len());
            return Err(format!("ratio: {said} shares, but the network has {there} MoE layers"));
        }
        let count = |(share, n): (&f64, &usize)| {
            if !(0.0..1.0).contains(share) {
                return Err(format!("ratio = {share}: must be at least 0 and below 1"));
            }
            match (share * *n as f64).round() as usize {
                all if all == *n => {
                    Err(format!("ratio = {share}: would leave none of {n} experts"))
                }
                some => Ok(some),
            }
        };
        shares.iter().zip(experts).map(count).collect()
    }
}

/// The experts that remain when the `n` experts with the smallest scores are pruned, in ascending order.
/// Among ties the first is pruned first.
pub(crate) fn keep(scores: &[f64], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b])); // stable
    let mut left = order.split_off(n.min(scores.len()));
    left.sort_unstable();
    left
}

/// The experts that remain when `n` are pruned, where experts are in consecutive groups that keep equal
/// sizes: the same number is pruned from each group. If `n` is not a multiple of `groups`, the experts
/// with the smallest scores are pruned, whatever their group.
pub fn keep_in_groups(scores: &[f64], n: usize, groups: usize) -> Vec<usize> {
    let size = scores.len() / groups.max(1);
    if groups < 2 || size == 0 || !n.is_multiple_of(groups) {
        return keep(scores, n);
    }
    let of_group = |(group, own): (usize, &[f64])| {
        keep(own, n / groups).into_iter().map(move |expert| group * size + expert)
    };
    scores.chunks(size).enumerate().flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_of_each_group_go() {
        let scores = [0.1, 0.2, 0.9, 0.8, 0.5, 0.4];
        assert_eq!(keep(&scores, 3), [2, 3, 4]);
        assert_eq!(keep_in_groups(&scores, 3, 3), [1, 2, 4]);
        assert_eq!(keep_in_groups(&scores, 2, 2), [1, 2, 3, 4]);
        assert_eq!(keep_in_groups(&scores, 2, 3), keep(&scores, 2), "no multiple");
    }

    #[test]
    fn the_smallest_go_and_among_equals_the_first() {
        assert_eq!(keep(&[0.3, -0.2, 0.1, -0.2], 1), [0, 2, 3]);
        assert_eq!(keep(&[0.3, -0.2, 0.1, -0.2], 3), [0]);
        assert_eq!(keep(&[0.3, -0.2], 0), [0, 1]);
    }

    #[test]
    fn one_share_or_one_for_each_layer() {
        assert_eq!(Ratio::All(0.25).counts(&[8, 8, 4]), Ok(vec![2, 2, 1]));
        assert_eq!(Ratio::Layers(vec![0.5, 0.0]).counts(&[8, 8]), Ok(vec![4, 0]));
        let err = |ratio: Ratio| ratio.counts(&[8, 8]).unwrap_err();
        assert!(err(Ratio::All(1.0)).contains("ratio = 1: must be at least 0 and below 1"));
        assert!(err(Ratio::All(-0.5)).contains("ratio = -0.5"));
        assert!(err(Ratio::All(0.97)).contains("would leave none of 8 experts"));
        assert!(err(Ratio::Layers(vec![0.5])).contains("1 shares, but the network has 2"));
    }

    #[test]
    fn both_are_written_as_a_person_would() {
        let read = |text: &str| serde_json::from_str::<Ratio>(text).unwrap();
        assert_eq!(read("0.5"), Ratio::All(0.5));
        assert_eq!(read("[0.5, 0]"), Ratio::Layers(vec![0.5, 0.0]));
    }
}
