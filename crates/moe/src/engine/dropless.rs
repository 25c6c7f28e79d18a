//! The fast engine: sort by expert, one batched product, gather back.
//!
//! Rows are gathered into `[E, S, P]` with S the largest load, so each matrix of the experts is used
//! in one batched product. Slicing a stacked parameter expert by expert would be the obvious way,
//! but the backward of each slice writes zeros over the whole parameter. The price is padding: work
//! grows with max load over mean load. The choices are read back to sort them on the host.

use burn::{prelude::*, tensor::IndexingUpdateOp, tensor::einsum};

use super::{Work, reference};
use crate::{Pass, Plan, plan::to_host};

/// `[G, U, P] -> [G, U, P]`.
pub(crate) fn run(plan: &Plan, work: &Work, pass: &mut Pass, payload: Tensor<3>) -> Tensor<3> {
    match plan {
        Plan::TokenChoice { experts, weights, n_experts } => {
            token_choice(&Sorted::new(experts, *n_experts), weights, work, pass, payload)
        }
        Plan::ExpertChoice { units, weights, .. } => {
            expert_choice(units, weights, work, pass, payload)
        }
        Plan::Soft { .. } => reference::run(plan, work, pass, payload),
        Plan::Dense { weights } => dense(weights, work, pass, payload),
    }
}

/// The choices of a plan in the order of the experts, on the host.
struct Sorted {
    /// S: the largest load, at least 1.
    slots: usize,
    /// For each slot of `[E, S]` the unit in it; padding repeats unit 0 and is never read.
    unit_of_slot: Vec<i32>,
    /// For each choice of `[G, U, K]` its slot; a null choice points at slot 0 with weight 0.
    slot_of_choice: Vec<i32>,
    /// For each choice 1, for a null choice 0.
    served: Vec<f32>,
}

impl Sorted {
    fn new(experts: &Tensor<3, Int>, n_experts: usize) -> Self {
        let k = experts.dims()[2];
        let chosen = to_host(experts);
        let mut loads = vec![0; n_experts + 1];
        // The place of a choice within its expert is the number of choices before it.
        let mut places = Vec::with_capacity(chosen.len());
        for &expert in &chosen {
            places.push(loads[expert]);
            loads[expert] += 1;
        }
        let slots = loads[..n_experts].iter().copied().max().unwrap_or(0).max(1);
        let mut sorted = Self {
            slots,
            unit_of_slot: vec![0; n_experts * slots],
            slot_of_choice: vec![0; chosen.len()],
            served: vec![0.0; chosen.len()],
        };
        for (choice, (expert, place)) in chosen.into_iter().zip(places).enumerate() {
            if expert < n_experts {
                let slot = expert * slots + place;
                sorted.unit_of_slot[slot] = (choice / k) as i32;
                sorted.slot_of_choice[choice] = slot as i32;
                sorted.served[choice] = 1.0;
            }
        }
        sorted
    }
}

fn token_choice(
    sorted: &Sorted,
    weights: &Tensor<3>,
    work: &Work,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let ([g, u, k], [_, _, p]) = (weights.dims(), payload.dims());
    let device = payload.device();
    let rows = payload.reshape([g * u, p]).select(0, indices(&sorted.unit_of_slot, &device));
    let slots = rows.reshape([sorted.unit_of_slot.len() / sorted.slots, sorted.slots, p]);
    let slots = work.forward(pass, slots).reshape([sorted.unit_of_slot.len(), p]);
    let outputs = slots.select(0, indices(&sorted.slot_of_choice, &device));
    let served = TensorData::new(sorted.served.clone(), [g * u, k]);
    let weights = weights.clone().reshape([g * u, k]) * Tensor::<2>::from_data(served, &device);
    let outputs = outputs.reshape([g * u, k, p]) * weights.unsqueeze_dim::<3>(2);
    outputs.sum_dim(1).reshape([g, u, p])
}

fn expert_choice(
    units: &Tensor<3, Int>,
    weights: &Tensor<3>,
    work: &Work,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let ([g, u, p], [_, e, c]) = (payload.dims(), units.dims());
    let device = payload.device();
    // Units count within their group; rows count over all groups.
    let first = Tensor::<1, Int>::arange_step(0..(g * u) as i64, u, &device).reshape([g, 1, 1]);
    let rows = (units.clone() + first).swap_dims(0, 1).reshape([e * g * c]);
    let slots = payload.reshape([g * u, p]).select(0, rows.clone());
    let slots = work.forward(pass, slots.reshape([e, g * c, p])).reshape([e * g * c, p]);
    let weights = weights.clone().swap_dims(0, 1).reshape([e * g * c, 1]);
    Tensor::<2>::zeros([g * u, p], &device)
        .select_assign(0, rows, slots * weights, IndexingUpdateOp::Add)
        .reshape([g, u, p])
}

fn dense(weights: &Tensor<3>, work: &Work, pass: &mut Pass, payload: Tensor<3>) -> Tensor<3> {
    let ([g, u, p], [_, _, e]) = (payload.dims(), weights.dims());
    let everywhere = payload.reshape([1, g * u, p]).expand([e, g * u, p]);
    let outputs = work.forward(pass, everywhere).reshape([e, g, u, p]);
    einsum!("GUE,EGUP->GUP", weights.clone(), outputs)
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values), device)
}
