//! Feed-forward networks of experts on rows sorted by expert, fused.
//!
//! ```text
//! y[token] = sum over its rows of weight * (f(x[token] W1 + b1) [* (x[token] V)] W2 + b2)
//! ```
//!
//! For each block of rows, gather, products, activation and weighted combine follow each other while the
//! block is in cache. Evaluation stores nothing of the size of rows times hidden width; training stores
//! the input of the activation, from which backward computes the rest.

mod autodiff;
mod backward;
mod forward;
mod matrices;
mod params;
mod portable;
mod problem;

use std::sync::Arc;

use burn::{
    backend::Dispatch,
    tensor::{DType, FloatDType, Tensor},
};

use crate::{
    Activation, Rows,
    flex::{on_flex, takes},
};
use autodiff::GroupedFfn;
use problem::KernelArgs;

/// A stack of E feed-forward networks, of width D and hidden width H. The matrices may be in half
/// precision, see [`Ffn::stored`]; all computations are in `f32`.
#[derive(Clone, Debug)]
pub struct Ffn {
    /// W1, `[E, D, H]`.
    pub w1: Tensor<3>,
    /// V of a gated network, `[E, D, H]`.
    pub gate: Option<Tensor<3>>,
    /// W2, `[E, H, D]`.
    pub w2: Tensor<3>,
    /// b1, `[E, 1, H]`.
    pub bias1: Option<Tensor<3>>,
    /// b2, `[E, 1, D]`.
    pub bias2: Option<Tensor<3>>,
    /// f.
    pub activation: Activation,
}

impl Ffn {
    /// The networks with the matrices converted to another type; the biases, a small part, are not
    /// converted. Gradients flow through the conversion to the original matrices.
    pub fn stored(self, numbers: FloatDType) -> Self {
        Self {
            w1: self.w1.cast(numbers),
            gate: self.gate.map(|gate| gate.cast(numbers)),
            w2: self.w2.cast(numbers),
            ..self
        }
    }
}

/// Whether the kernels support a matrix of this type. They widen the matrices one expert at a time, and
/// compute in `f32`.
fn takes_matrix(matrix: &Tensor<3>) -> bool {
    matches!(matrix.dtype(), DType::F32 | DType::BF16 | DType::F16) && on_flex(&matrix.device())
}

/// `[N, D] -> [N, D]`: applies to each row of `x` the experts that `rows` assigns to it, and adds up the
/// outputs with `weights`, one for each choice, or with weight 1. A token without a row gets zeros.
///
/// Gradients flow to `x`, `weights`, all matrices and biases.
///
/// # Panics
/// If shapes do not fit.
pub fn grouped_ffn(
    x: Tensor<2>,
    rows: &Arc<Rows>,
    weights: Option<Tensor<1>>,
    ffn: Ffn,
) -> Tensor<2> {
    check(&x, rows, weights.as_ref(), &ffn);
    let here = takes(&x) && takes_matrix(&ffn.w1) && weights.as_ref().is_none_or(takes);
    if !here {
        return portable::grouped_ffn(x, rows, weights, ffn);
    }
    let args = KernelArgs {
        rows: rows.clone(),
        activation: ffn.activation,
        gated: ffn.gate.is_some(),
        weighted: weights.is_some(),
        biased: [ffn.bias1.is_some(), ffn.bias2.is_some()],
    };
    // An operation has a fixed number of inputs, so an empty tensor represents an absent one.
    let device = x.device().inner();
    let none = || Tensor::<1>::zeros([0], &device).into_dispatch();
    let or_none = |t: Option<Tensor<3>>| t.map_or_else(none, Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as GroupedFfn>::grouped_ffn(
        x.into_dispatch(),
        weights.map_or_else(none, Tensor::into_dispatch),
        ffn.w1.into_dispatch(),
        or_none(ffn.gate),
        ffn.w2.into_dispatch(),
        or_none(ffn.bias1),
        or_none(ffn.bias2),
        args,
    ))
}

/// `[E, S, D] -> [E, S, D]`: applies each expert to its own slots.
///
/// # Panics
/// If shapes do not fit.
pub fn slotwise(slots: Tensor<3>, ffn: Ffn) -> Tensor<3> {
    let [e, s, d] = slots.dims();
    if !(takes(&slots) && takes_matrix(&ffn.w1)) {
        return portable::slotwise(slots, ffn);
    }
    let rows = Arc::new(Rows::in_order(e, s));
    grouped_ffn(slots.reshape([e * s, d]), &rows, None, ffn).reshape([e, s, d])
}

fn check(x: &Tensor<2>, rows: &Rows, weights: Option<&Tensor<1>>, ffn: &Ffn) {
    let ([n, d], [e, d1, h]) = (x.dims(), ffn.w1.dims());
    assert_eq!([n, e, d], [rows.n_tokens, rows.n_experts, d1], "tokens, experts or width differ");
    assert_eq!(ffn.w2.dims(), [e, h, d], "the second matrix does not fit");
    assert!(ffn.gate.as_ref().is_none_or(|gate| gate.dims() == [e, d, h]), "the gate does not fit");
    assert!(
        ffn.bias1.as_ref().is_none_or(|bias| bias.dims() == [e, 1, h]),
        "the first bias does not fit"
    );
    assert!(
        ffn.bias2.as_ref().is_none_or(|bias| bias.dims() == [e, 1, d]),
        "the second bias does not fit"
    );
    assert!(
        weights.is_none_or(|weights| weights.dims() == [rows.n_choices]),
        "the weights do not fit"
    );
}

#[cfg(test)]
mod tests;
