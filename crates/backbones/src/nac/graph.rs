//! Random graphs: priors of the connections between latents.
//!
//! Barabasi, Albert. *Emergence of Scaling in Random Networks*. Science, 1999, as networkx has it: each new
//! node is connected to `degree` others, drawn by how many connections they have; the first is connected to
//! `degree` nodes alone. The others are a planted partition into eight blocks, a ring of eight cliques, and
//! Erdos and Renyi's, with the chances of the published configurations of NAC.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Which graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Graph {
    /// Barabasi and Albert's: few nodes have many connections.
    ScaleFree,
    /// Eight blocks, connected with chance 0.9 within and 0.2 between.
    PlantedPartition,
    /// Eight cliques, each connected to the next by one connection.
    RingOfCliques,
    /// Each pair is connected with chance 0.1.
    ErdosRenyi,
}

/// Blocks and cliques.
const GROUPS: usize = 8;

impl Graph {
    /// Checks that a graph of `nodes` can be made.
    pub(super) fn check(self, nodes: usize, degree: usize) -> Result<(), String> {
        match self {
            Graph::ScaleFree if degree == 0 || degree >= nodes => {
                Err(format!("degree = {degree}: must be from 1 to below mediators = {nodes}"))
            }
            Graph::PlantedPartition | Graph::RingOfCliques
                if nodes < 2 * GROUPS || !nodes.is_multiple_of(GROUPS) =>
            {
                Err(format!(
                    "mediators = {nodes}: must be a multiple of {GROUPS}, at least {}",
                    2 * GROUPS
                ))
            }
            _ => Ok(()),
        }
    }

    /// Its connections, each once.
    pub(super) fn edges(
        self,
        nodes: usize,
        degree: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<[usize; 2]> {
        let size = nodes / GROUPS;
        match self {
            Graph::ScaleFree => scale_free(nodes, degree, rng),
            Graph::ErdosRenyi => pairs(nodes, |_, _| rng.random_bool(0.1)),
            Graph::PlantedPartition => {
                pairs(nodes, |a, b| rng.random_bool(if a / size == b / size { 0.9 } else { 0.2 }))
            }
            Graph::RingOfCliques => {
                let mut edges = pairs(nodes, |a, b| a / size == b / size);
                edges.extend((0..GROUPS).map(|i| [i * size + 1, (i + 1) * size % nodes]));
                edges
            }
        }
    }
}

fn pairs(nodes: usize, mut connected: impl FnMut(usize, usize) -> bool) -> Vec<[usize; 2]> {
    let all = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| [a, b]));
    all.filter(|[a, b]| connected(*a, *b)).collect()
}

fn scale_free(nodes: usize, degree: usize, rng: &mut ChaCha8Rng) -> Vec<[usize; 2]> {
    let mut edges: Vec<[usize; 2]> = (1..=degree).map(|leaf| [0, leaf]).collect();
    // Each node as often as it has connections.
    let mut ends: Vec<usize> = edges.iter().flatten().copied().collect();
    for new in degree + 1..nodes {
        let mut chosen = Vec::new();
        while chosen.len() < degree {
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

    fn edges(graph: Graph, nodes: usize, degree: usize) -> Vec<[usize; 2]> {
        graph.edges(nodes, degree, &mut ChaCha8Rng::seed_from_u64(7))
    }

    fn degrees(edges: &[[usize; 2]], nodes: usize) -> Vec<usize> {
        (0..nodes).map(|node| edges.iter().filter(|edge| edge.contains(&node)).count()).collect()
    }

    #[test]
    fn a_scale_free_graph_has_hubs() {
        let found = edges(Graph::ScaleFree, 256, 2);
        assert_eq!(found.len(), 2 + 253 * 2);
        let of = degrees(&found, 256);
        // 3.97 neighbours in the mean, as published, and at least the two that a node begins with.
        assert!((of.iter().sum::<usize>() as f64 / 256.0 - 3.97).abs() < 0.01);
        assert!(of[3..].iter().all(|degree| *degree >= 2));
        assert!(of.iter().max() > Some(&15), "{of:?}");
        let mut distinct = found.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), found.len());
    }

    #[test]
    fn the_others_have_the_connections_of_their_chances() {
        // 8 cliques of 4: 6 pairs each, and 8 between them.
        assert_eq!(edges(Graph::RingOfCliques, 32, 0).len(), 8 * 6 + 8);
        assert!(
            degrees(&edges(Graph::RingOfCliques, 32, 0), 32).iter().all(|d| (3..=5).contains(d))
        );
        let near = |found: usize, pairs: f64, chance: f64| {
            let deviation = (pairs * chance * (1.0 - chance)).sqrt();
            assert!((found as f64 - pairs * chance).abs() < 4.0 * deviation, "{found}");
        };
        near(edges(Graph::ErdosRenyi, 200, 0).len(), 19_900.0, 0.1);
        let planted = edges(Graph::PlantedPartition, 128, 0);
        let within = planted.iter().filter(|[a, b]| a / 16 == b / 16).count();
        near(within, 8.0 * 120.0, 0.9);
        near(planted.len() - within, 28.0 * 256.0, 0.2);
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let err = Graph::ScaleFree.check(8, 8).unwrap_err();
        assert_eq!(err, "degree = 8: must be from 1 to below mediators = 8");
        let err = Graph::RingOfCliques.check(20, 0).unwrap_err();
        assert_eq!(err, "mediators = 20: must be a multiple of 8, at least 16");
        assert_eq!(Graph::ErdosRenyi.check(3, 0), Ok(()));
    }
}
