//! Clusters of a graph by greedy agglomeration of modularity: here, of classes that are confused with each
//! other.
//!
//! Clauset, Newman, Moore. *Finding community structure in very large networks*. 2004.
//! <https://arxiv.org/abs/cond-mat/0408187>, on weighted graphs.
//!
//! Q = sum over clusters of w_c / m - (d_c / 2m)^2        (1)
//! joining c and c': Delta Q = w_cc' / m - d_c d_c' / 2m^2    (2)
//!
//! w_c is the weight inside of the cluster, d_c the sum of its degrees, w_cc' the weight between both
//! clusters, m the total weight.
//!
//! Differs from the paper: it continues until the requested number of clusters is reached, while the paper
//! stops at the largest Q.

/// A partition of the nodes of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ModularityClusters {
    /// The cluster of each node; the largest cluster is 0, and among equals the one with the first node.
    pub of: Vec<usize>,
    /// Its modularity (1); 0 in a graph without edges.
    pub modularity: f64,
}

/// Divides a symmetric graph into exactly `count` clusters. Each step joins the two clusters whose union
/// gives the largest Q; among equals those with the first nodes.
///
/// # Errors
/// If there are fewer nodes than clusters, or `count` is 0.
pub fn modularity_clusters(
    weights: &[Vec<f64>],
    count: usize,
) -> Result<ModularityClusters, String> {
    let n = weights.len();
    if count == 0 || count > n {
        return Err(format!("{count} groups of {n} classes: must be from 1 to {n}"));
    }
    let mut members: Vec<Vec<usize>> = (0..n).map(|node| vec![node]).collect();
    while members.len() > count {
        let (a, b) = best_pair(weights, &members);
        let joined = members.remove(b);
        members[a].extend(joined);
        members[a].sort_unstable();
    }
    members.sort_by_key(|nodes| (usize::MAX - nodes.len(), nodes[0]));
    let mut of = vec![0; n];
    for (cluster, nodes) in members.iter().enumerate() {
        nodes.iter().for_each(|node| of[*node] = cluster);
    }
    Ok(ModularityClusters { of, modularity: modularity(weights, &members) })
}

/// The indices of the two clusters whose union gives the largest Q.
fn best_pair(weights: &[Vec<f64>], members: &[Vec<usize>]) -> (usize, usize) {
    let (mut best, mut pair) = (f64::NEG_INFINITY, (0, 1));
    for a in 0..members.len() {
        for b in a + 1..members.len() {
            let gain = gain(weights, &members[a], &members[b]);
            // Rounding must not decide between equals.
            if gain > best + 1e-12 {
                (best, pair) = (gain, (a, b));
            }
        }
    }
    pair
}

/// (2); 0 in a graph without edges.
fn gain(weights: &[Vec<f64>], a: &[usize], b: &[usize]) -> f64 {
    let m = total(weights);
    if m == 0.0 {
        return 0.0;
    }
    between(weights, a, b) / m - degrees(weights, a) * degrees(weights, b) / (2.0 * m * m)
}

/// (1).
fn modularity(weights: &[Vec<f64>], members: &[Vec<usize>]) -> f64 {
    let m = total(weights);
    if m == 0.0 {
        return 0.0;
    }
    let of = |nodes: &Vec<usize>| {
        between(weights, nodes, nodes) / 2.0 / m - (degrees(weights, nodes) / (2.0 * m)).powi(2)
    };
    members.iter().map(of).sum()
}

fn between(weights: &[Vec<f64>], a: &[usize], b: &[usize]) -> f64 {
    a.iter().flat_map(|i| b.iter().map(|j| weights[*i][*j])).sum()
}

fn degrees(weights: &[Vec<f64>], nodes: &[usize]) -> f64 {
    nodes.iter().flat_map(|node| &weights[*node]).sum()
}

/// m: the total weight, with each edge counted once.
fn total(weights: &[Vec<f64>]) -> f64 {
    weights.iter().flatten().sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confusion_graph;

    fn graph(n: usize, edges: &[(usize, usize)]) -> Vec<Vec<f64>> {
        let mut weights = vec![vec![0.0; n]; n];
        for (a, b) in edges {
            (weights[*a][*b], weights[*b][*a]) = (1.0, 1.0);
        }
        weights
    }

    #[test]
    fn two_triangles_with_a_bridge() {
        let edges = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3)];
        let found = modularity_clusters(&graph(6, &edges), 2).unwrap();
        assert_eq!(found.of, [0, 0, 0, 1, 1, 1]);
        // Each cluster has 3 of 7 edges and degrees 7 of 14: 2 (3/7 - 1/4).
        assert!((found.modularity - 5.0 / 14.0).abs() < 1e-12, "{}", found.modularity);
    }

    #[test]
    fn a_confusion_matrix_of_six_classes() {
        // Values of another implementation, networkx.
        let counts = [
            [16.0, 3.0, 0.0, 1.0, 0.0, 0.0],
            [5.0, 14.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 15.0, 4.0, 0.0, 1.0],
            [1.0, 0.0, 6.0, 13.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0, 12.0, 7.0],
            [0.0, 0.0, 0.0, 1.0, 4.0, 15.0],
        ];
        let graph = confusion_graph(&counts.map(Vec::from));
        assert!((graph[0][1] - 0.4).abs() < 1e-12 && graph[0][0] == 0.0);
        let three = modularity_clusters(&graph, 3).unwrap();
        assert_eq!(three.of, [0, 0, 1, 1, 2, 2]);
        assert!((three.modularity - 0.4914286).abs() < 1e-6, "{}", three.modularity);
        let two = modularity_clusters(&graph, 2).unwrap();
        assert_eq!(two.of, [0, 0, 0, 0, 1, 1]);
        assert!((two.modularity - 0.3526531).abs() < 1e-6, "{}", two.modularity);
    }

    #[test]
    fn there_are_as_many_as_were_asked_for() {
        let empty = graph(5, &[]);
        for count in 1..=5 {
            let found = modularity_clusters(&empty, count).unwrap();
            assert_eq!(found.of.iter().max(), Some(&(count - 1)));
        }
        assert!(modularity_clusters(&empty, 6).unwrap_err().contains("6 groups of 5 classes"));
        assert!(modularity_clusters(&empty, 0).is_err());
    }

    #[test]
    fn the_order_of_the_nodes_changes_names_only() {
        let edges = [(5, 3), (3, 1), (5, 1), (4, 2), (2, 0), (4, 0), (1, 2)];
        let found = modularity_clusters(&graph(6, &edges), 2).unwrap();
        assert_eq!(found.of, [0, 1, 0, 1, 0, 1]);
    }
}
