//! The engine for graphics cards: shapes are known beforehand, and nothing is read back from the device.
//!
//! With a capacity, each expert has C slots in each group, and a cumulative sum gives each choice its
//! slot. Without one, an expert might get every unit, so every expert processes every unit and the weights
//! of the plan select the outputs. Give the layer a capacity if that is too much work.

use burn::{prelude::*, tensor::IndexingUpdateOp};

use super::{ExpertCall, reference};
use crate::{
    capacity::places,
    routing::{Pass, Plan, one_hot},
};

/// `[G, U, P] -> [G, U, P]`.
pub(crate) fn run(
    plan: &Plan,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    match plan {
        Plan::TokenChoice { experts, weights, n_experts } => match work.slots {
            Some(c) => token_choice(experts, weights, (*n_experts, c), work, pass, payload),
            None => {
                let chosen = one_hot(experts.clone(), *n_experts); // [G, U, K, E]
                let weights = (chosen * weights.clone().unsqueeze_dim::<4>(3)).sum_dim(2);
                dense(weights.squeeze_dim::<3>(2), work, pass, payload)
            }
        },
        Plan::ExpertChoice { units, weights, .. } => {
            expert_choice(units, weights, work, pass, payload)
        }
        Plan::Soft { .. } | Plan::Merged { .. } => reference::run(plan, work, pass, payload),
        Plan::Dense { weights } => dense(weights.clone(), work, pass, payload),
    }
}

/// Plans in which units choose, `[G, U, K]`, with slots `[E, G * C]`; one more slot takes the choices of
/// the null expert.
fn token_choice(
    experts: &Tensor<3, Int>,
    weights: &Tensor<3>,
    (e, c): (usize, usize),
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let ([g, u, k], [_, _, p]) = (weights.dims(), payload.dims());
    let device = payload.device().inner();
    let slot = slots(experts.clone(), e, c); // [G * U * K], E * G * C for the null expert
    let unit = Tensor::<1, Int>::arange(0..(g * u) as i64, &device).reshape([g * u, 1]);
    let unit = unit.repeat_dim(1, k).reshape([g * u * k]);
    let unit_of_slot = Tensor::<1, Int>::zeros([e * g * c + 1], &device).select_assign(
        0,
        slot.clone(),
        unit,
        IndexingUpdateOp::Add,
    );
    // Only real slots are processed. The null slot, whose sum is not the index of a unit, is cut off.
    let rows = payload.reshape([g * u, p]).select(0, unit_of_slot.narrow(0, 0, e * g * c));
    let outputs = work.forward(pass, rows.reshape([e, g * c, p])).reshape([e * g * c, p]);
    let served = slot.clone().lower_scalar((e * g * c) as i64);
    let slot = slot.mask_fill(served.clone().bool_not(), 0);
    let weights = weights.clone().reshape([g * u, k]) * served.float().reshape([g * u, k]);
    let outputs = outputs.select(0, slot).reshape([g * u, k, p]);
    (outputs * weights.unsqueeze_dim::<3>(2)).sum_dim(1).reshape([g, u, p])
}

/// The index of each choice's slot in `[E, G, C]`: slots are assigned in the order of the choices of a
/// group.
fn slots(experts: Tensor<3, Int>, e: usize, c: usize) -> Tensor<1, Int> {
    let [g, u, k] = experts.dims();
    let device = experts.device();
    let null = experts.clone().greater_equal_scalar(e as i64).reshape([g * u * k]);
    let experts = experts.reshape([g, u * k]);
    let group = Tensor::<1, Int>::arange(0..g as i64, &device).reshape([g, 1]);
    let place = places(experts.clone(), e);
    let slot = (experts * g as i64 + group) * c as i64 + place;
    slot.reshape([g * u * k]).mask_fill(null, (e * g * c) as i64)
}

fn expert_choice(
    units: &Tensor<3, Int>,
    weights: &Tensor<3>,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let ([g, u, p], [_, e, c]) = (payload.dims(), units.dims());
    let device = payload.device();
    // Units are numbered within their group, rows over all groups.
    let first = Tensor::<1, Int>::arange_step(0..(g * u) as i64, u, &device).reshape([g, 1, 1]);
    let rows = (units.clone() + first).swap_dims(0, 1).reshape([e * g * c]);
    let slots = payload.reshape([g * u, p]).select(0, rows.clone());
    let slots = work.forward(pass, slots.reshape([e, g * c, p])).reshape([e * g * c, p]);
    let weights = weights.clone().swap_dims(0, 1).reshape([e * g * c, 1]);
    Tensor::<2>::zeros([g * u, p], &device)
        .select_assign(0, rows, slots * weights, IndexingUpdateOp::Add)
        .reshape([g, u, p])
}

fn dense(weights: Tensor<3>, work: &ExpertCall, pass: &mut Pass, payload: Tensor<3>) -> Tensor<3> {
    let ([g, u, p], [_, _, e]) = (payload.dims(), weights.dims());
    let everywhere = payload.reshape([1, g * u, p]).expand([e, g * u, p]);
    let outputs = work.forward(pass, everywhere).reshape([e, g, u, p]);
    let weights = weights.permute([2, 0, 1]).unsqueeze_dim::<4>(3); // [E, G, U, 1]
    (weights * outputs).sum_dim(0).squeeze_dim(0)
}
