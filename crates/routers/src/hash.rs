//! Hash routing: a fixed random table maps each token to its experts. Nothing is learned.
//!
//! Roller, Sukhbaatar, Szlam, Weston. *Hash Layers For Large Sparse Models*. NeurIPS 2021.
//! <https://arxiv.org/abs/2106.04426>
//!
//! y = E_{hash(token)}(x)                       (3)
//!
//! Differs from the paper: k may be larger than 1; the output is then the mean over k different experts
//! (the paper's MultiHash splits the layers of one expert instead). The table is the paper's random one,
//! drawn for each layer; balanced, clustered and bigram tables require a corpus.
//!
//! The ids come from [`TokenIds`] in the pass: token ids in text. On images they are the positions of the
//! patches, so that the expert depends only on the position in the image and not on its content. If they
//! do not match the units (whole sequences, whole batches, heads, or no ids at all), the unit's index in
//! its group is hashed instead.
//!
//! Not to be confused with: `random`, which draws anew in every pass; locality-sensitive hashing, which
//! depends on x.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, TokenIds, config, read_back};
use rand::RngExt;

use crate::kit::check;

config! {
    /// The number of experts per token.
    pub struct HashConfig {
        /// Experts for each token.
        pub k: usize = 1,
    }
}

/// Experts by a hash of the token.
#[derive(Module, Debug)]
pub struct Hash {
    /// `[1]`: the index of the random table; saved, so that a loaded network has the same table.
    table: RunningState<Tensor<1>>,
    k: usize,
    n_experts: usize,
}

impl Router for Hash {
    type Config = HashConfig;
    const NAME: &'static str = "hash";
    const ABOUT: &'static str =
        "a fixed random table from token ids to experts; on images, from patch positions";
    const PAPER: &'static str = "https://arxiv.org/abs/2106.04426";
    const ON_IMAGES: &'static str =
        "images have no token ids, so the table is over positions of patches";
    /// The table contains the indices of experts.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;
    /// If ids do not match, they are replaced by indices, and an index does not move with its unit.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &HashConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)
    }

    fn init(config: &HashConfig, dims: Dims, init: &Init) -> Self {
        // An integer that 32-bit floats represent exactly.
        let table = init.at("table").rng().random_range(0..1 << 24) as f32;
        let table = Tensor::<1>::from_floats([table], &init.device().clone().inner());
        Self { table: init.state("table", table), k: config.k, n_experts: dims.n_experts }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let [g, u, _] = units.dims();
        let device = units.device().inner();
        let table = self.table();
        let ids = ids(pass, [g, u]);
        let experts: Vec<i32> = ids.into_iter().flat_map(|id| self.experts(table, id)).collect();
        let shape = [g, u, self.k];
        Plan::TokenChoice {
            experts: Tensor::from_data(TensorData::new(experts, shape), &device), // (3)
            weights: Tensor::full(shape, 1.0 / self.k as f32, &device),
            n_experts: self.n_experts,
        }
    }

    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

impl Hash {
    /// The index of its table.
    fn table(&self) -> u64 {
        let table = read_back(self.table.value_sync());
        table.iter::<f32>().next().expect("the index of the table is one number") as u64
    }

    /// The k experts of a token: those whose hash together with the token is smallest. Every choice of k
    /// different experts is therefore equally likely.
    fn experts(&self, table: u64, id: u64) -> impl Iterator<Item = i32> {
        let mut ranked: Vec<(u64, i32)> =
            (0..self.n_experts).map(|e| (mix(mix(mix(table) ^ id) ^ e as u64), e as i32)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(self.k).map(|(_, expert)| expert)
    }
}

/// The ids of `shape` units; their indices if the pass has no ids of that shape.
fn ids(pass: &Pass, [g, u]: [usize; 2]) -> Vec<u64> {
    match pass.get::<TokenIds>() {
        Some(TokenIds(ids)) if ids.dims() == [g, u] => {
            read_back(ids.clone()).iter::<i64>().map(|id| id as u64).collect()
        }
        _ => (0..g).flat_map(|_| 0..u as u64).collect(),
    }
}

/// A bijection of 64-bit numbers that maps neighbours far apart: the finalizer of SplitMix64.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u64, k: usize) -> Hash {
        let dims = Dims { width: 1, n_experts: 4, units: 6 };
        Hash::init(&HashConfig { k }, dims, &Init::new(seed, &Device::flex()))
    }

    fn route(hash: &Hash, ids: &[i32]) -> Vec<i32> {
        let device = Device::flex();
        let shape = [1, ids.len()];
        let mut pass = Pass::eval();
        pass.put(TokenIds(Tensor::from_data(TensorData::new(ids.to_vec(), shape), &device)));
        let units = Tensor::zeros([1, ids.len(), 1], &device);
        let Plan::TokenChoice { experts, .. } = hash.route(&mut pass, units) else {
            panic!("units choose")
        };
        experts.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_mixer_is_splitmix64() {
        // The first two numbers of SplitMix64 from seed 0, as published with xoshiro.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn the_same_id_has_the_same_experts() {
        let chosen = route(&hash(0, 2), &[7, 3, 7, 5, 3, 7]);
        let of = |unit: usize| &chosen[2 * unit..2 * unit + 2];
        assert_eq!((of(0), of(1)), (of(2), of(4)));
        assert_eq!(of(0), of(5));
        assert!((0..6).all(|unit| of(unit)[0] != of(unit)[1]), "{chosen:?}");
    }

    #[test]
    fn ids_spread_evenly_and_tables_differ() {
        let ids: Vec<i32> = (0..4000).collect();
        let chosen = route(&hash(0, 1), &ids);
        // 1000 for each expert; the standard deviation is sqrt(4000 * 3 / 16) = 27.
        for expert in 0..4 {
            let load = chosen.iter().filter(|e| **e == expert).count();
            assert!(load.abs_diff(1000) < 4 * 27, "{load}");
        }
        assert_ne!(route(&hash(1, 1), &ids), chosen);
    }

    #[test]
    fn without_ids_the_index_is_hashed() {
        let units = Tensor::<3>::zeros([2, 3, 1], &Device::flex());
        let hash = hash(0, 1);
        let Plan::TokenChoice { experts, .. } = hash.route(&mut Pass::eval(), units) else {
            panic!("units choose")
        };
        let chosen: Vec<i32> = experts.into_data().try_to_vec().unwrap();
        let expected = route(&hash, &[0, 1, 2]);
        assert_eq!(chosen, [expected.clone(), expected].concat());
    }
}
