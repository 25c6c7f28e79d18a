//! The operation composed of Burn's operations: it defines the kernel's result, and is used on other
//! devices.

use std::sync::Arc;

use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData};

use super::Ffn;
use crate::{Rows, matmul};

/// See [`super::grouped_ffn`]. Rows are padded to the largest load, so that each matrix is used in
/// one batched product.
pub(super) fn grouped_ffn(
    x: Tensor<2>,
    rows: &Arc<Rows>,
    weights: Option<Tensor<1>>,
    ffn: Ffn,
) -> Tensor<2> {
    let ([_, d], [e, _, _]) = (x.dims(), ffn.w1.dims());
    let device = x.device().inner();
    if rows.is_empty() {
        // Zeros, with gradients of zero for all tensors that would have taken part.
        let idle = slotwise(Tensor::zeros([e, 1, d], &x.device()), ffn).sum();
        let idle = weights.map_or(idle.clone(), |weights| idle + weights.sum());
        return x * 0.0 + (idle * 0.0).reshape([1, 1]);
    }
    let indices = |values: Vec<i32>| {
        let n = values.len();
        Tensor::<1, Int>::from_data(TensorData::new(values, [n]), &device)
    };
    let slots = rows.loads().into_iter().max().unwrap_or(0);
    // Padding repeats row 0, and its output is never read.
    let (mut row_of_slot, mut slot_of_row) = (vec![0; e * slots], vec![0; rows.len()]);
    for expert in 0..e {
        for (place, row) in rows.of(expert).enumerate() {
            row_of_slot[expert * slots + place] = row as i32;
            slot_of_row[row] = (expert * slots + place) as i32;
        }
    }
    let tokens = indices(rows.token.iter().map(|token| *token as i32).collect());
    let sorted = x.select(0, tokens.clone());
    let sorted = sorted.select(0, indices(row_of_slot)).reshape([e, slots, d]);
    let outputs = slotwise(sorted, ffn).reshape([e * slots, d]).select(0, indices(slot_of_row));
    let outputs = match weights {
        None => outputs,
        Some(weights) => {
            let choice = indices(rows.choice.iter().map(|choice| *choice as i32).collect());
            outputs * weights.select(0, choice).unsqueeze_dim::<2>(1)
        }
    };
    let zeros = Tensor::<2>::zeros([rows.n_tokens, d], &outputs.device());
    zeros.select_assign(0, tokens, outputs, IndexingUpdateOp::Add)
}

/// `[E, S, D] -> [E, S, D]`: applies each expert's network to its rows.
pub(super) fn slotwise(x: Tensor<3>, ffn: Ffn) -> Tensor<3> {
    let numbers = FloatDType::from(x.dtype());
    let ffn = ffn.stored(numbers);
    let plus = |x: Tensor<3>, bias: Option<Tensor<3>>| match bias {
        Some(bias) => x + bias,
        None => x,
    };
    let inner = ffn.activation.portable(plus(matmul(x.clone(), ffn.w1), ffn.bias1));
    let hidden = match ffn.gate {
        Some(gate) => inner * matmul(x, gate),
        None => inner,
    };
    plus(matmul(hidden, ffn.w2), ffn.bias2)
}
