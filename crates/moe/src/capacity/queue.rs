//! Queues before experts, by cumulative sums: the position of each choice, without a read-back.

use burn::prelude::*;

use crate::routing::one_hot;

/// `[G, N] -> [G, N]`: the number of earlier choices of the same group for the same expert; -1 for the
/// null expert.
pub(crate) fn places(asked: Tensor<2, Int>, n_experts: usize) -> Tensor<2, Int> {
    let [g, n] = asked.dims();
    let ints = asked.dtype();
    let asked = one_hot(asked.reshape([g, n, 1]), n_experts).reshape([g, n, n_experts]);
    let places = ((asked.clone().cumsum(1) * asked).sum_dim(2) - 1.0).int().reshape([g, n]);
    debug_assert_eq!(ints, places.dtype(), "one kind of integers");
    places
}

/// `[G, U, K] -> [G, U, K]`: the choices with those that find `slots` others before them given to the
/// null expert. The queue is unit by unit, or rank by rank: first all first choices.
pub(crate) fn drop_overflow(
    choices: Tensor<3, Int>,
    n_experts: usize,
    slots: usize,
    by_rank: bool,
) -> Tensor<3, Int> {
    let turn = |choices: Tensor<3, Int>| if by_rank { choices.swap_dims(1, 2) } else { choices };
    let choices = turn(choices);
    let [g, a, b] = choices.dims();
    let late = places(choices.clone().reshape([g, a * b]), n_experts)
        .greater_equal_scalar(slots as i64)
        .reshape([g, a, b]);
    turn(choices.mask_fill(late, n_experts as i64))
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

    #[test]
    fn the_host_serves_the_same() {
        let (device, mut rng) = (Device::flex(), ChaCha8Rng::seed_from_u64(0));
        let (shape, e) = ([3, 17, 2], 4);
        for (drop, by_rank) in [(DropPolicy::InOrder, false), (DropPolicy::Position, true)] {
            // The null expert is among them.
            let asked: Vec<i32> = (0..102).map(|_| rng.random_range(0..=e)).collect();
            let experts = Tensor::<3, Int>::from_data(TensorData::new(asked, shape), &device);
            let capacity = Capacity { factor: Some(0.7), drop, ..Capacity::default() };
            let weights = Tensor::ones(shape, &device);
            let plan =
                Plan::TokenChoice { experts: experts.clone(), weights, n_experts: e as usize };
            let plan = capacity.apply(&mut Pass::eval(), plan);
            let Plan::TokenChoice { experts: served, .. } = plan else { unreachable!("kept") };
            let slots = capacity.slots(17, 2, e as usize).unwrap();
            let found = to_host(&drop_overflow(experts.clone(), e as usize, slots, by_rank));
            assert_eq!(found, to_host(&served), "{drop:?}");
            assert_ne!(found, to_host(&experts), "{drop:?}: no one was turned away");
        }
    }
}
