//! The slow engine: the definition of what a plan means.

use burn::{prelude::*, tensor::einsum};

use super::ExpertCall;
use crate::{Pass, Plan};

/// `[G, U, P] -> [G, U, P]`.
pub(crate) fn run(
    plan: &Plan,
    work: &ExpertCall,
    pass: &mut Pass,
    payload: Tensor<3>,
) -> Tensor<3> {
    let (dispatch, combine) = plan.to_soft();
    let [g, _, e, c] = dispatch.dims();
    let [_, _, p] = payload.dims();
    let slots = einsum!("GUEC,GUP->EGCP", dispatch, payload).reshape([e, g * c, p]);
    let slots = work.forward(pass, slots).reshape([e, g, c, p]);
    einsum!("GUEC,EGCP->GUP", combine, slots)
}
