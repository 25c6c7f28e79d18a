//! A random graph: the prior of the connections between latents.
//!
//! Barabasi, Albert. *Emergence of Scaling in Random Networks*. Science, 1999, as in networkx: each new node
//! is connected to `DEGREE` others, drawn with probabilities proportional to their numbers of connections;
//! the first node begins with connections to `DEGREE` nodes. Few nodes have many connections: the graph is
//! scale-free.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The number of connections of a new node, as in the published configuration.
pub(super) const DEGREE: usize = 2;

/// The connections of a graph of `nodes` nodes, more than [`DEGREE`]; each connection once.
pub(super) fn scale_free(nodes: usize, rng: &mut ChaCha8Rng) -> Vec<[usize; 2]> {
    let mut edges: Vec<[usize; 2]> = (1..=DEGREE).map(|leaf| [0, leaf]).collect();
    // Each node occurs as often as it has connections.
    let mut ends: Vec<usize> = edges.iter().flatten().copied().collect();
    for new in DEGREE + 1..nodes {
        let mut chosen = Vec::new();
        while chosen.len() < DEGREE {
            let one = ends[rng.random_range(0..ends.len())];
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        for one in chosen {
            edges.push([one, new]);
            ends.extend([one, new]);
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_scale_free_graph_has_hubs() {
        let found = scale_free(256, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(found.len(), 2 + 253 * 2);
        let degree = |node: usize| found.iter().filter(|edge| edge.contains(&node)).count();
        let degrees: Vec<usize> = (0..256).map(degree).collect();
        // The mean number of neighbours is 3.97, as published, and each node has at least the two of its
        // beginning.
        assert!((degrees.iter().sum::<usize>() as f64 / 256.0 - 3.97).abs() < 0.01);
        assert!(degrees[3..].iter().all(|degree| *degree >= 2));
        assert!(degrees.iter().max() > Some(&15), "{degrees:?}");
        let mut distinct = found.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), found.len());
    }
}
