//! The slow engine: it defines the meaning of a plan.

use burn::prelude::*;
use kernels::matmul;

use super::ExpertCall;
use crate::routing::{Pass, Plan};

/// `[G, U, P] -> [G, U, P]`.
pub(crate) fn run(
    plan: &Plan,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let (dispatch, combine) = plan.to_soft();
    let [g, u, e, c] = dispatch.dims();
    let [_, _, p] = payload.dims();
    let dispatch = dispatch.reshape([g, u, e * c]).swap_dims(1, 2);
    let slots = matmul(dispatch, payload).reshape([g, e, c, p]); // sum over U
    let slots = slots.swap_dims(0, 1).reshape([e, g * c, p]);
    let slots = work.forward(pass, slots).reshape([e, g, c, p]);
    let slots = slots.swap_dims(0, 1).reshape([g, e * c, p]);
    matmul(combine.reshape([g, u, e * c]), slots) // sum over E and C
}
