//! Plans that mix parameters instead of outputs: one expert is made for each segment, and processes all
//! units of the segment.

use std::sync::Arc;

use burn::prelude::*;
use kernels::{ExpertRow, Ffn, Rows, grouped_ffn, matmul};

use super::ExpertCall;

/// `[G, U, P] -> [G, U, P]`, for shares `[G, S, E]` of segments of `segment` units.
///
/// # Panics
/// If the experts do not expose their matrices; [`crate::Library::check`] refuses those beforehand.
pub(crate) fn run(
    shares: &Tensor<3>,
    segment: usize,
    work: &ExpertCall,
    payload: Tensor<3>,
) -> Tensor<3> {
    let ([g, s, e], [_, u, p]) = (shares.dims(), payload.dims());
    let m = p / work.row;
    let stack = work.experts.stack().expect("experts that are merged must expose their matrices");
    let merged = mixed(stack, &shares.clone().reshape([g * s, e]));
    let entry = move |row: usize| {
        let unit = row / m;
        ExpertRow { expert: unit / u * s + unit % u / segment, token: row, choice: 0 }
    };
    let rows = Arc::new(Rows::new(g * u * m, g * s, 1, (0..g * u * m).map(entry)));
    grouped_ffn(payload.reshape([g * u * m, work.row]), &rows, None, merged).reshape([g, u, p])
}

/// A stack of M networks, each a mixture of E experts, by shares `[M, E]`.
fn mixed(stack: Ffn, shares: &Tensor<2>) -> Ffn {
    let mix = |of: Tensor<3>| {
        let [e, a, b] = of.dims();
        let n = shares.dims()[0];
        matmul(shares.clone(), of.reshape([e, a * b])).reshape([n, a, b])
    };
    Ffn {
        w1: mix(stack.w1),
        gate: stack.gate.map(mix),
        w2: mix(stack.w2),
        bias1: stack.bias1.map(mix),
        bias2: stack.bias2.map(mix),
        activation: stack.activation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        experts::{AnyExperts, ExpertDtype, Experts},
        plugin::{Init, NoConfig},
        routing::Dims,
        testing::Net,
    };
    use burn::{module::Param, tensor::activation::relu};

    /// Two groups of three units, of two rows of width 3 each; segments of two units; two experts.
    #[test]
    fn each_segment_is_worked_on_by_its_mixture() {
        let init = Init::new(0, &Device::flex().autodiff());
        let net = Net::init(&NoConfig {}, Dims { width: 3, n_experts: 2, units: 3 }, &init);
        let x = init.normal("x", [2, 3, 6], 1.0).val();
        let shares = init.normal("shares", [2, 2, 2], 1.0).val();
        let experts = AnyExperts::new(net.clone());
        let work = ExpertCall { experts: &experts, dtype: ExpertDtype::F32, row: 3, slots: None };
        let found = run(&shares, 2, &work, x.clone());
        let unit = |g: usize, u: usize| {
            let share = |e| shares.clone().slice(s![g..g + 1, u / 2..u / 2 + 1, e..e + 1]);
            let mix = |of: &Param<Tensor<3>>| {
                let of = |e: usize| of.val().narrow(0, e, 1) * share(e);
                of(0) + of(1)
            };
            let rows = x.clone().slice(s![g..g + 1, u..u + 1, ..]).reshape([1, 2, 3]);
            let h = relu(rows.matmul(mix(&net.w1)) + mix(&net.bias));
            h.matmul(mix(&net.w2)).reshape([1, 1, 6])
        };
        let group = |g| Tensor::cat((0..3).map(|u| unit(g, u)).collect(), 1);
        let expected = Tensor::cat(vec![group(0), group(1)], 0);
        let goal = init.normal("goal", [2, 3, 6], 1.0).val().detach();
        let values = |t: Tensor<3>| t.into_data().iter::<f32>().collect::<Vec<f32>>();
        let all = |y: Tensor<3>| {
            let grads = (y.clone() * goal.clone()).sum().backward();
            let leaves = [&shares, &x, &net.w1.val(), &net.w2.val(), &net.bias.val()];
            let grads = leaves.map(|leaf| values(leaf.grad(&grads).unwrap()));
            [vec![values(y)], grads.to_vec()].concat()
        };
        for (found, expected) in all(found).iter().zip(all(expected)) {
            assert_eq!(found.len(), expected.len());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
            assert!(found.iter().zip(&expected).all(near), "{found:?} {expected:?}");
        }
    }
}
