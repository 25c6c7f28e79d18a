//! Queues before experts, by cumulative sums and by counting: the position of each choice, computed
//! without a read-back.

use burn::{prelude::*, tensor::IndexingUpdateOp};

use crate::routing::one_hot;

/// `[G, N] -> [G, N]`: the number of earlier choices of the same group for the same expert; -1 for the
/// null expert.
pub(crate) fn places(asked: Tensor<2, Int>, n_experts: usize) -> Tensor<2, Int> {
    let [g, n] = asked.dims();
    let ints = asked.dtype();
    let asked = one_hot(asked.reshape([g, n, 1]), n_experts).reshape([g, n, n_experts]);
    let places = ((asked.clone().cumsum(1) * asked).sum_dim(2) - 1.0).int().reshape([g, n]);
    debug_assert_eq!(ints, places.dtype(), "the integer types differ");
    places
}

/// The number of rows that are compared with all others at a time.
const BLOCK: usize = 256;

/// `[G, N] -> [G, N]`: the rank of each score in its group, from 0, the largest first; ties keep their
/// order. The ranks are counted, in time N^2, because Burn sorts on the host.
pub(crate) fn places_by_score(scores: Tensor<2>) -> Tensor<2, Int> {
    let ([g, n], device) = (scores.dims(), scores.device());
    let index = Tensor::<1, Int>::arange(0..n as i64, &device);
    let block = |first: usize| {
        let m = BLOCK.min(n - first);
        let all = scores.clone().reshape([g, 1, n]).expand([g, m, n]);
        let own = scores.clone().narrow(1, first, m).reshape([g, m, 1]).expand([g, m, n]);
        let earlier = index.clone().reshape([1, 1, n]).expand([g, m, n]);
        let earlier =
            earlier.lower(index.clone().narrow(0, first, m).reshape([1, m, 1]).expand([g, m, n]));
        let before = all.clone().greater(own.clone()).bool_or(all.equal(own).bool_and(earlier));
        before.float().sum_dim(2).int().reshape([g, m])
    };
    Tensor::cat((0..n).step_by(BLOCK).map(block).collect(), 1)
}

/// `[G, N]`: the position of each of N elements in the order of its group, which is a permutation.
pub(crate) fn places_of(orders: &[Vec<usize>], device: &Device) -> Tensor<2, Int> {
    let n = orders.first().map_or(0, Vec::len);
    let mut places = vec![0_i32; orders.len() * n];
    for (group, order) in orders.iter().enumerate() {
        order.iter().enumerate().for_each(|(place, of)| places[group * n + of] = place as i32);
    }
    Tensor::from_data(TensorData::new(places, [orders.len(), n]), device)
}

/// The limits on the choices of a group.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) n_experts: usize,
    /// The slots of each expert.
    pub(crate) slots: usize,
    /// The number of units that are routed at all, the first of their order.
    pub(crate) kept: usize,
}

impl Limits {
    /// `[G, U, K] -> [G, U, K]`: the choices, where those whose expert is full are given to the null
    /// expert. The queue is rank by rank: first all first choices, in the order of the units.
    pub(crate) fn drop_overflow(self, choices: Tensor<3, Int>) -> Tensor<3, Int> {
        let late = self.late(choices.clone());
        choices.mask_fill(late, self.n_experts as i64)
    }

    /// [`Limits::drop_overflow`] with the units in another order: `places` `[G, U]` has the position of
    /// each unit.
    pub(crate) fn drop_overflow_by(
        self,
        choices: Tensor<3, Int>,
        places: Tensor<2, Int>,
    ) -> Tensor<3, Int> {
        let ([g, u, k], device) = (choices.dims(), choices.device());
        let units = Tensor::<1, Int>::arange(0..u as i64, &device).reshape([1, u]).expand([g, u]);
        let order = Tensor::<2, Int>::zeros([g, u], &device);
        let order = order.scatter(1, places.clone(), units, IndexingUpdateOp::Add);
        let along = |units: Tensor<2, Int>| units.reshape([g, u, 1]).repeat_dim(2, k);
        let left_out = along(places.clone()).greater_equal_scalar(self.kept as i64);
        let choices = choices.mask_fill(left_out, self.n_experts as i64);
        let late = self.late(choices.clone().gather(1, along(order))).int();
        let late = late.gather(1, along(places)).equal_scalar(1);
        choices.mask_fill(late, self.n_experts as i64)
    }

    /// Whether each of the choices `[G, U, K]` finds its expert full; the queue is rank by rank.
    fn late(self, choices: Tensor<3, Int>) -> Tensor<3, Bool> {
        let [g, u, k] = choices.dims();
        let queue = choices.swap_dims(1, 2).reshape([g, k * u]);
        let late = places(queue, self.n_experts).greater_equal_scalar(self.slots as i64);
        late.reshape([g, k, u]).swap_dims(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capacity::{Capacity, DropPolicy},
        routing::{Pass, Plan, to_host},
    };
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The experts after the capacity was applied, and the number of read-backs.
    fn served(
        capacity: &Capacity,
        experts: &Tensor<3, Int>,
        weights: &Tensor<3>,
    ) -> (Vec<usize>, usize) {
        let plan =
            Plan::TokenChoice { experts: experts.clone(), weights: weights.clone(), n_experts: 4 };
        let mut pass = Pass::train(3, 5, 0.0);
        let (plan, read_backs) = kernels::read_backs_of(|| capacity.apply(&mut pass, plan));
        let Plan::TokenChoice { experts, .. } = plan else { unreachable!("kept") };
        (to_host(&experts), read_backs)
    }

    #[test]
    fn every_order_is_that_of_the_host_without_a_read_back() {
        use DropPolicy::{ChoicePriority, InOrder, Position, Priority, Shuffled, SumPriority};
        let (device, mut rng) = (Device::flex(), ChaCha8Rng::seed_from_u64(0));
        let shape = [3, 300, 2]; // more units than a block has
        let asked: Vec<i32> = (0..1800).map(|_| rng.random_range(0..=4)).collect(); // 4: no expert
        let experts = Tensor::<3, Int>::from_data(TensorData::new(asked, shape), &device);
        // Many weights are tied.
        let weights: Vec<f32> = (0..1800).map(|_| rng.random_range(0..40) as f32 / 64.0).collect();
        let weights = Tensor::<3>::from_data(TensorData::new(weights, shape), &device);
        for drop in [InOrder, Position, Priority, SumPriority, ChoicePriority, Shuffled] {
            for (keep_fraction, group) in [(1.0, 1), (0.6, 1), (1.0, 3)] {
                if keep_fraction < 1.0 && !matches!(drop, Priority | SumPriority) {
                    continue;
                }
                let capacity = Capacity {
                    factor: Some(0.7),
                    drop,
                    keep_fraction,
                    group,
                    ..Capacity::default()
                };
                let (host, read) = served(&capacity, &experts, &weights);
                assert!(read >= 1, "{drop:?}: the host reads");
                let device = kernels::without_kernels(|| served(&capacity, &experts, &weights));
                let of = format!("{drop:?} {keep_fraction} {group}");
                assert!(device.0 == host && device.1 == 0, "{of}: {} read-backs", device.1);
                assert!(host != to_host(&experts), "{of}: nothing was dropped");
            }
        }
    }

    #[test]
    fn places_of_scores_and_of_orders_by_hand() {
        let device = Device::flex();
        let scores =
            Tensor::<2>::from_floats([[0.5, 0.9, 0.5, 0.1], [1.0, 1.0, 1.0, 2.0]], &device);
        let found: Vec<i32> = places_by_score(scores).into_data().iter().collect();
        assert_eq!(found, [1, 0, 2, 3, 1, 2, 3, 0]);
        let orders = [vec![1, 0, 2, 3], vec![3, 0, 1, 2]];
        let found: Vec<i32> = places_of(&orders, &device).into_data().iter().collect();
        assert_eq!(found, [1, 0, 2, 3, 1, 2, 3, 0]);
    }
}
