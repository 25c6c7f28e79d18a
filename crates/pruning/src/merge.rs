//! Merging: experts with similar outputs become one, their weighted average.
//!
//! Chen et al. *Retraining-Free Merging of Sparse Mixture-of-Experts via Hierarchical Clustering* (HC-SMoE).
//! 2024. <https://arxiv.org/abs/2410.08589>
//!
//! o_j = mean of E_j(x) over all units x                                          (1)
//! d(A, B) = mean of ||o_a - o_b|| over a in A, b in B; the nearest two clusters
//! are joined until as many are left as wanted                                    (2)
//! theta_C = sum_{i in C} f_i theta_i / sum_{i in C} f_i                          (3)
//!
//! f_i is the frequency with which expert i is chosen. The merged expert takes the place of the most
//! frequent one, the dominant expert; the others are dropped.
//!
//! Differs from the paper: with `gone = "remove"` the router keeps only the vectors of dominant experts,
//! because checkpoints of other programs have one vector for each expert; the paper's router is not
//! reduced, and all vectors of a cluster lead to the merged expert.

use burn::{
    module::{Module, ModuleMapper, Param},
    prelude::*,
};

use crate::walk::{LayerPart, Walk};

/// `n` clusters of the experts with these mean outputs, by (2). Each is in ascending order.
fn clusters(outputs: &[Vec<f64>], n: usize) -> Vec<Vec<usize>> {
    let distance = |a: &Vec<f64>, b: &Vec<f64>| {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let mut clusters: Vec<Vec<usize>> = (0..outputs.len()).map(|expert| vec![expert]).collect();
    let of = |a: &Vec<f64>| outputs.iter().map(|b| distance(a, b)).collect();
    let mut between: Vec<Vec<f64>> = outputs.iter().map(of).collect();
    while clusters.len() > n.max(1) {
        let (a, b) = nearest(&between);
        join(&mut clusters, &mut between, a, b);
    }
    clusters.iter_mut().for_each(|cluster| cluster.sort_unstable());
    clusters
}

/// `n` clusters of experts in consecutive groups, by (2): only experts of the same group are joined, and
/// each group keeps the same number of clusters. If `n` is not a multiple of `groups`, the groups are
/// ignored.
pub fn clusters_in_groups(outputs: &[Vec<f64>], n: usize, groups: usize) -> Vec<Vec<usize>> {
    let size = outputs.len() / groups.max(1);
    if groups < 2 || size == 0 || !n.is_multiple_of(groups) {
        return clusters(outputs, n);
    }
    let of_group = |(group, own): (usize, &[Vec<f64>])| {
        let found = clusters(own, n / groups);
        let place = move |cluster: Vec<usize>| cluster.iter().map(|e| group * size + e).collect();
        found.into_iter().map(place)
    };
    outputs.chunks(size).enumerate().flat_map(of_group).collect()
}

/// The nearest two clusters; the first pair among ties.
fn nearest(between: &[Vec<f64>]) -> (usize, usize) {
    let pairs = (0..between.len()).flat_map(|a| (a + 1..between.len()).map(move |b| (a, b)));
    let first = |best: (usize, usize), pair: (usize, usize)| {
        if between[pair.0][pair.1] < between[best.0][best.1] { pair } else { best }
    };
    pairs.reduce(first).unwrap_or((0, 0))
}

/// Joins cluster b to cluster a. The mean distance of a union is the average of the mean distances of its
/// parts, weighted by their sizes.
fn join(clusters: &mut Vec<Vec<usize>>, between: &mut Vec<Vec<f64>>, a: usize, b: usize) {
    let sizes = [clusters[a].len() as f64, clusters[b].len() as f64];
    let mean = |(a, b): (&f64, &f64)| (sizes[0] * a + sizes[1] * b) / (sizes[0] + sizes[1]);
    let means: Vec<f64> = between[a].iter().zip(&between[b]).map(mean).collect();
    between.iter_mut().zip(&means).for_each(|(row, mean)| row[a] = *mean);
    between[a] = means;
    let joined = clusters.remove(b);
    clusters[a].extend(joined);
    between.remove(b);
    between.iter_mut().for_each(|row| {
        row.remove(b);
    });
}

/// The most frequent expert of a cluster, by the load of each expert; the first among ties.
pub fn dominant(cluster: &[usize], load: &[f64]) -> usize {
    let more = |best: usize, expert: usize| if load[expert] > load[best] { expert } else { best };
    cluster.iter().copied().reduce(more).unwrap_or_default()
}

/// The network in which the dominant expert of each cluster of MoE layer l has the weights (3) of
/// `clusters[l]`, by `load[l]`; the other experts are unchanged.
///
/// # Errors
/// If the experts of a layer are not stacks with one entry for each load.
pub fn merged<M: Module>(
    network: M,
    clusters: &[Vec<Vec<usize>>],
    load: &[Vec<f64>],
) -> Result<M, String> {
    let mut mapper = Merge { walk: Walk::default(), clusters, load, wrong: None };
    let network = network.map(&mut mapper);
    mapper.wrong.map_or(Ok(network), Err)
}

struct Merge<'a> {
    walk: Walk,
    clusters: &'a [Vec<Vec<usize>>],
    load: &'a [Vec<f64>],
    wrong: Option<String>,
}

impl ModuleMapper for Merge<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((layer, LayerPart::Experts)) = self.walk.layer() else { return param };
        let (Some(clusters), Some(load)) = (self.clusters.get(layer), self.load.get(layer)) else {
            return param;
        };
        let shape = param.val().dims();
        if shape[0] != load.len() {
            let path = self.walk.path();
            let wrong = format!("{path}: {shape:?} is not a stack of {} experts", load.len());
            self.wrong.get_or_insert(wrong);
            return param;
        }
        param.map(|old| {
            let numbers: Vec<f32> = old.to_data().iter().collect();
            let numbers = averaged(numbers, clusters, load);
            Tensor::from_data(TensorData::new(numbers, shape), &old.device())
        })
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.exit();
    }
}

/// Applies (3) to the numbers of one parameter of all experts.
fn averaged(mut numbers: Vec<f32>, clusters: &[Vec<usize>], load: &[f64]) -> Vec<f32> {
    let row = numbers.len() / load.len().max(1);
    for cluster in clusters.iter().filter(|cluster| cluster.len() > 1) {
        let all: f64 = cluster.iter().map(|expert| load[*expert]).sum();
        // Experts that were never chosen have equal shares.
        let share = |expert: usize| match all > 0.0 {
            true => load[expert] / all,
            false => 1.0 / cluster.len() as f64,
        };
        let mut mean = vec![0.0_f64; row];
        for &expert in cluster {
            let own = &numbers[expert * row..(expert + 1) * row];
            let share = share(expert);
            mean.iter_mut().zip(own).for_each(|(sum, x)| *sum += share * f64::from(*x));
        }
        let place = dominant(cluster, load) * row;
        let to = &mut numbers[place..place + row];
        to.iter_mut().zip(mean).for_each(|(x, mean)| *x = mean as f32);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry::{
        carry,
        tests::{fill, layer},
    };
    use moe::{Choice, Gone, MoeConfig, MoeLayer, Pass, Pruned, numbers_of, with_parameters};

    #[test]
    fn average_linkage_by_hand() {
        // On a line: 0, 1, 3.2, 7. 0 and 1 join at distance 1; 3.2 is then 2.7 from them on average, and
        // 3.8 from 7.
        let at = |x: f64| vec![x, 0.0];
        let points = [at(0.0), at(7.0), at(1.0), at(3.2)];
        assert_eq!(clusters(&points, 4), [vec![0], vec![1], vec![2], vec![3]]);
        assert_eq!(clusters(&points, 3), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(clusters(&points, 2), [vec![0, 2, 3], vec![1]]);
        assert_eq!(clusters(&points, 1), [vec![0, 1, 2, 3]]);
        // 4 is 2.5 from the nearest of {0, 1.5}, but 3.25 from them on average, and 2.6 from 6.6.
        let points = [at(0.0), at(1.5), at(4.0), at(6.6)];
        assert_eq!(clusters(&points, 2), [vec![0, 1], vec![2, 3]]);
        let points = [at(0.0), at(7.0), at(0.1), at(6.0)];
        assert_eq!(clusters(&points, 2), [vec![0, 2], vec![1, 3]]);
        assert_eq!(clusters_in_groups(&points, 2, 2), [vec![0, 1], vec![2, 3]], "of one group");
    }

    #[test]
    fn weights_are_averaged_by_frequency() {
        let numbers = vec![1.0, 2.0, 5.0, 6.0, 9.0, 10.0];
        let merged = averaged(numbers.clone(), &[vec![0, 2], vec![1]], &[1.0, 7.0, 3.0]);
        // Expert 2 has (1 + 3 * 9) / 4 and (2 + 3 * 10) / 4.
        assert_eq!(merged, [1.0, 2.0, 5.0, 6.0, 7.0, 8.0]);
        let merged = averaged(numbers, &[vec![0, 2], vec![1]], &[0.0, 7.0, 0.0]);
        assert_eq!(merged, [5.0, 6.0, 5.0, 6.0, 9.0, 10.0]);
    }

    fn output(layer: &MoeLayer) -> Vec<f32> {
        let y = layer.forward(&mut Pass::eval(), fill(1, [3, 5, 8], 2.0));
        y.into_data().try_to_vec().unwrap()
    }

    /// A layer of four experts of which 1 is a copy of 0, and 3 of 2.
    fn twins(config: &MoeConfig) -> MoeLayer {
        let whole = layer(config, 0);
        let doubled = |data: TensorData| {
            let numbers: Vec<f32> = data.iter().collect();
            let rows: Vec<&[f32]> = numbers.chunks(numbers.len() / 4).collect();
            TensorData::new([rows[0], rows[0], rows[2], rows[2]].concat(), data.shape().clone())
        };
        let all = numbers_of(&whole, |known| known.path.starts_with("experts."));
        let all = all.into_iter().map(|(known, data)| (known.path, doubled(data))).collect();
        with_parameters(whole, all).unwrap()
    }

    #[test]
    fn equal_experts_merge_into_the_same_expert() {
        let config = MoeConfig { experts: 4, router: Choice::of("top-k"), ..MoeConfig::default() };
        let whole = twins(&config);
        let (pairs, load) = ([vec![vec![0, 1], vec![2, 3]]], [vec![3.0, 1.0, 1.0, 2.0]]);
        let one = merged(whole.clone(), &pairs, &load).unwrap();
        assert_eq!(output(&one), output(&whole), "their average is the same expert");
        // If the router keeps only the columns of the dominant experts, it is a network of two experts.
        let kept = vec![vec![0, 3]];
        let pruned = Some(Pruned { gone: Gone::Remove, kept: kept.clone() });
        let smaller = MoeConfig { pruned, ..config };
        let two = carry(&one, layer(&smaller, 1), &kept, |_| false).unwrap();
        let plain = carry(&whole, layer(&smaller, 1), &kept, |_| false).unwrap();
        assert_eq!(output(&two), output(&plain));
    }

    #[test]
    fn experts_that_are_no_stack_are_named() {
        let config = MoeConfig { experts: 4, ..MoeConfig::default() };
        let err = merged(layer(&config, 0), &[vec![vec![0, 1]]], &[vec![1.0; 3]]).err().unwrap();
        assert!(err.contains("is not a stack of 3 experts"), "{err}");
    }
}
