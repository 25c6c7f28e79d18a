//! The oracle: each unit goes to the expert of its true cluster, which the task supplies.
//!
//! Not from a paper. It is the bound that a router can reach if the data has clusters, as in the theory of
//! Chen, Deng, Wu, Gu, Li. *Towards Understanding the Mixture-of-Experts Layer in Deep Learning*.
//! NeurIPS 2022. <https://arxiv.org/abs/2208.02813>
//!
//! expert of a unit = its cluster modulo E, with weight 1
//!
//! Differs from the paper, which has no oracle: clusters are [`Clusters`] in the pass, `[B, T]`, or
//! `[B, 1]` for all units of an example. A whole sequence has the cluster of its first token. Without
//! clusters, or without clusters that match the units (whole batches), all units are one cluster.
//!
//! If the clusters are the labels, as in the task `digits`, the route reveals the answer, and the bound
//! cannot be reached.
//!
//! Not to be confused with: `hash`, which depends on the token and not on the cluster.

use burn::{module::Module, prelude::*};
use moe::{Clusters, Dims, Init, NoConfig, Pass, Plan, Router};

/// Experts by true cluster.
#[derive(Module, Debug)]
pub struct Oracle {
    n_experts: usize,
}

impl Router for Oracle {
    type Config = NoConfig;
    const NAME: &'static str = "oracle";
    const ABOUT: &'static str = "the expert of a unit is its true cluster, which the task provides";
    const PAPER: &'static str = "https://arxiv.org/abs/2208.02813";
    /// A cluster is the index of its expert.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;
    const EXPERTS_PER_UNIT: Option<usize> = Some(1);

    fn init(_config: &NoConfig, dims: Dims, _init: &Init) -> Self {
        Self { n_experts: dims.n_experts }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, _], device) = (units.dims(), units.device().inner());
        let clusters = match pass.get::<Clusters>() {
            Some(Clusters(known)) if known.dims() == [g, u] => known.clone(),
            // Sequences, [1, B], have the cluster of their first token.
            Some(Clusters(known)) if g == 1 && known.dims()[0] == u => {
                known.clone().narrow(1, 0, 1).transpose()
            }
            // All units of an example have the same cluster.
            Some(Clusters(known)) if known.dims() == [g, 1] => known.clone().expand([g, u]),
            _ => Tensor::zeros([g, u], &device),
        };
        Plan::TokenChoice {
            experts: clusters.remainder_scalar(self.n_experts as i64).reshape([g, u, 1]),
            weights: Tensor::ones([g, u, 1], &device),
            n_experts: self.n_experts,
        }
    }

    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chosen;

    fn route(shape: [usize; 2]) -> Vec<i32> {
        let device = Device::flex();
        let mut pass = Pass::eval();
        pass.put(Clusters(Tensor::from_ints([[5, 1, 2], [4, 0, 3]], &device)));
        let units = Tensor::zeros([shape[0], shape[1], 1], &device);
        chosen(&Oracle { n_experts: 4 }, &mut pass, units).0
    }

    #[test]
    fn each_cluster_has_an_expert() {
        assert_eq!(route([2, 3]), [1, 1, 2, 0, 0, 3]);
    }

    #[test]
    fn a_sequence_has_the_cluster_of_its_first_token() {
        assert_eq!(route([1, 2]), [1, 0]);
    }

    #[test]
    fn all_units_of_an_example_may_have_one_cluster() {
        let device = Device::flex();
        let mut pass = Pass::eval();
        pass.put(Clusters(Tensor::from_ints([[3], [6]], &device)));
        let units = Tensor::zeros([2, 3, 1], &device);
        assert_eq!(chosen(&Oracle { n_experts: 4 }, &mut pass, units).0, [3, 3, 3, 2, 2, 2]);
    }

    #[test]
    fn without_clusters_there_is_one() {
        assert_eq!(route([2, 6]), [0; 12]);
    }
}
