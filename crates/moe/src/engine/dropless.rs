//! The engine for the processor: rows are sorted by expert, and operations are fused where possible.
//!
//! Experts that expose their matrices ([`crate::Experts::stack`]) are computed by `kernels::grouped_ffn`
//! in one operation, including dispatch and combine. Other experts are computed by one batched product
//! over rows padded to the largest load, so that the work grows with max load over mean load. The choices
//! are read back.

use std::sync::Arc;

use burn::prelude::*;
use kernels::{ExpertRow, Rows, grouped_ffn, permute, unpermute};

use super::{ExpertCall, reference};
use crate::routing::{Pass, Plan, to_host};

/// `[G, U, P] -> [G, U, P]`.
pub(crate) fn run(
    plan: &Plan,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let [g, u, p] = payload.dims();
    let m = p / work.row;
    let Some((rows, weights)) = rows_of(plan, m) else {
        return reference::run(plan, work, pass, payload);
    };
    let (rows, x) = (Arc::new(rows), payload.reshape([g * u * m, work.row]));
    let y = match work.stack() {
        Some(stack) => grouped_ffn(x, &rows, Some(weights), stack),
        None => batched(&rows, weights, work, pass, x),
    };
    y.reshape([g, u, p])
}

/// The rows of work of a plan, with units of `m` rows, and the weights of its choices; none for plans that
/// mix outputs or parameters.
pub(super) fn rows_of(plan: &Plan, m: usize) -> Option<(Rows, Tensor<1>)> {
    let e = plan.n_experts();
    let (rows, weights) = match plan {
        Plan::TokenChoice { experts, weights, .. } => (token_choice(experts, e, m), weights),
        Plan::ExpertChoice { units, weights, n_units } => {
            (expert_choice(units, *n_units, m), weights)
        }
        Plan::Dense { weights } => (everywhere(plan.n_units(), e, m), weights),
        Plan::Soft { .. } | Plan::Merged { .. } => return None,
    };
    Some((rows, weights.clone().reshape([-1])))
}

/// The rows of a plan in which units choose, `[G, U, K]`: a choice is `m` rows of its unit; the null
/// expert has none.
fn token_choice(experts: &Tensor<3, Int>, n_experts: usize, m: usize) -> Rows {
    let ([g, u, k], chosen) = (experts.dims(), to_host(experts));
    let choices = chosen.iter().enumerate().filter(|(_, expert)| **expert < n_experts);
    let entries = choices.flat_map(|(choice, &expert)| {
        (0..m).map(move |row| ExpertRow { expert, token: choice / k * m + row, choice })
    });
    Rows::new(g * u * m, n_experts, g * u * k, entries)
}

/// The rows of a plan in which experts choose, `[G, E, C]`: each entry is `m` rows of its unit. Units are
/// numbered within their group.
fn expert_choice(units: &Tensor<3, Int>, n_units: usize, m: usize) -> Rows {
    let ([g, e, c], claimed) = (units.dims(), to_host(units));
    let entries = claimed.iter().enumerate().flat_map(|(choice, &unit)| {
        let (group, expert) = (choice / (e * c), choice / c % e);
        let first = (group * n_units + unit) * m;
        (first..first + m).map(move |token| ExpertRow { expert, token, choice })
    });
    Rows::new(g * n_units * m, e, g * e * c, entries)
}

/// The rows of a plan in which every expert processes every unit.
fn everywhere(units: usize, e: usize, m: usize) -> Rows {
    let entries = (0..units * e).flat_map(|choice| {
        let (unit, expert) = (choice / e, choice % e);
        (unit * m..(unit + 1) * m).map(move |token| ExpertRow { expert, token, choice })
    });
    Rows::new(units * m, e, units * e, entries)
}

/// Computes any experts, on rows padded to the largest load S, `[E, S, row]`.
fn batched(
    rows: &Arc<Rows>,
    weights: Tensor<1>,
    work: &ExpertCall,
    pass: &mut Pass,
    x: Tensor<2>,
) -> Tensor<2> {
    let (device, loads) = (x.device().inner(), rows.loads());
    let slots = loads.iter().copied().max().unwrap_or(0).max(1);
    // Padding repeats a row, and its output is never read.
    let (mut row_of_slot, mut slot_of_row) = (vec![0; loads.len() * slots], Vec::new());
    for (expert, load) in loads.iter().enumerate() {
        let first = expert * slots;
        for (place, row) in row_of_slot[first..first + load].iter_mut().enumerate() {
            *row = slot_of_row.len() as i32;
            slot_of_row.push((first + place) as i32);
        }
    }
    if rows.is_empty() {
        // Zeros, with gradients of zero for all tensors that would have taken part.
        let idle = Tensor::<3>::zeros([loads.len(), 1, work.row], &x.device());
        let idle = work.experts.forward(pass, idle).sum() + weights.sum();
        return x * 0.0 + (idle * 0.0).reshape([1, 1]);
    }
    let slots = permute(x, rows).select(0, indices(&row_of_slot, &device)).reshape([
        loads.len(),
        slots,
        work.row,
    ]);
    let outputs = work.experts.forward(pass, slots).reshape([row_of_slot.len(), work.row]);
    let outputs = outputs.select(0, indices(&slot_of_row, &device));
    let choices: Vec<i32> = rows.choices().map(|choice| choice as i32).collect();
    let weights = weights.select(0, indices(&choices, &device)).unsqueeze_dim::<2>(1);
    unpermute(outputs * weights, rows)
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values), device)
}
