//! Permuting the units permutes the plan and changes nothing else, if the router promises it.

use burn::prelude::*;
use moe::{BlockInput, Clusters, Pass, Plan, TokenIds};

use super::subject::{Setup, Subject, distance, values};

/// Reverses and shifts the units and their ids, and checks that the rows of the plan move accordingly.
pub(super) fn permutes_the_plan(subject: &Subject) -> Result<(), String> {
    if !subject.promises()?.equivariant {
        return Ok(());
    }
    for seed in 0..3 {
        let setup = Setup { seed, ..Setup::PLAIN };
        let layer = subject.layer(setup)?;
        let (mut pass, x) = subject.input(setup, false);
        let (moved, order) = permuted(&pass, x.clone());
        let straight = rows(layer.router.route(&mut pass, x)).select(1, order);
        let (mut pass, x) = moved;
        let moved = rows(layer.router.route(&mut pass, x));
        let gap = distance(&values(straight), &values(moved));
        if gap > 1e-5 {
            return Err(format!(
                "weights differ by {gap} after a permutation of the units; a router that depends on \
                 positions must declare UNIT_PERMUTATION_EQUIVARIANT = false"
            ));
        }
    }
    Ok(())
}

/// The same input in another order, and the order.
fn permuted(pass: &Pass, x: Tensor<3>) -> ((Pass, Tensor<3>), Tensor<1, Int>) {
    let t = x.dims()[1];
    let order: Vec<i32> = (0..t).map(|i| ((2 * t + 2 - i) % t) as i32).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::from(&order[..]), &x.device());
    let mut moved = Pass::eval();
    if let Some(TokenIds(ids)) = pass.get() {
        moved.put(TokenIds(ids.clone().select(1, order.clone())));
    }
    if let Some(Clusters(clusters)) = pass.get() {
        moved.put(Clusters(clusters.clone().select(1, order.clone())));
    }
    let x = x.select(1, order.clone());
    moved.put(BlockInput(x.clone()));
    ((moved, x), order)
}

/// `[G, U, 2 E]`: the shares of each unit in the input and in the output of each expert, summed over the
/// slots.
pub(super) fn rows(plan: Plan) -> Tensor<3> {
    let (dispatch, combine) = plan.to_soft();
    Tensor::cat(vec![dispatch.sum_dim(3), combine.sum_dim(3)], 2).squeeze_dim::<3>(3)
}
