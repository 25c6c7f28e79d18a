//! Weights of the chosen experts that sum to 1, computed from logits. The quotient of probabilities and
//! their sum is 0/0 if all of them underflow; the softmax of their logarithms is not.

use burn::{prelude::*, tensor::activation::log_sigmoid};
use moe::softmax;

/// `sigmoid(s_i) / sum_j sigmoid(s_j)` along the last axis, for all finite scores, computed as the softmax
/// of the logarithms of the sigmoids. `[G, U, K] -> [G, U, K]`.
pub fn of_sigmoids(scores: Tensor<3>) -> Tensor<3> {
    softmax(log_sigmoid(scores), 2)
}

/// `w_i / sum_j w_j` along the last axis, for weights of 0 or more; equal shares if all are far below
/// 1e-18. `[G, U, K] -> [G, U, K]`. For logits use the softmax, which is exact for small weights too.
pub fn of_weights(weights: Tensor<3>) -> Tensor<3> {
    // The summand is lost in rounding beside larger weights; its square, in the gradient, does not
    // underflow.
    let weights = weights + 1e-18;
    weights.clone() / weights.sum_dim(2)
}

/// The softmax of the logits along the last axis without those in `left_out`, whose shares are 0; all
/// shares are 0 if all are left out. All tensors are `[G, U, K]`.
pub fn without(logits: Tensor<3>, left_out: Tensor<3, Bool>) -> Tensor<3> {
    // Not minus infinity: a row of infinities would give 0/0, also in the gradient.
    softmax(logits.mask_fill(left_out.clone(), f32::MIN), 2).mask_fill(left_out, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    #[test]
    fn shares_of_sigmoids_are_the_quotients_at_ordinary_scores() {
        let s = Tensor::<3>::from_floats([[[3_f32.ln(), 0.0, -(3_f32.ln())]]], &Device::flex());
        // 3/4, 1/2, 1/4 over 3/2.
        close(&values(of_sigmoids(s)), &[0.5, 1.0 / 3.0, 1.0 / 6.0]);
    }

    #[test]
    fn shares_of_weights_are_quotients_and_never_0_over_0() {
        let device = Device::flex().autodiff();
        let weights = [[[0.5, 0.25], [0.0, 0.0], [1e-12, 3e-12]]];
        let weights = Tensor::<3>::from_floats(weights, &device).require_grad();
        let shares = of_weights(weights.clone());
        close(&values(shares.clone()), &[2.0 / 3.0, 1.0 / 3.0, 0.5, 0.5, 0.25, 0.75]);
        let gradient = values(weights.grad(&shares.narrow(2, 0, 1).sum().backward()).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }

    #[test]
    fn shares_of_sigmoids_sum_to_one_where_the_sigmoids_underflow() {
        let device = Device::flex().autodiff();
        for at in [-45.0, -110.0, -1e4, 1e4] {
            // 3 to 1 below 0, where sigmoids are exponentials; equal above, where they are 1.
            let s = Tensor::<3>::from_floats([[[at + 3_f32.ln(), at]]], &device).require_grad();
            let shares = of_sigmoids(s.clone());
            let expected = if at < 0.0 { 0.75 } else { 0.5 };
            let found = values(shares.clone());
            assert!((found[0] - expected).abs() < 1e-3, "{at}: {found:?}");
            assert!((found[0] + found[1] - 1.0).abs() < 1e-6, "{at}: {found:?}");
            let gradient = values(s.grad(&shares.narrow(2, 0, 1).sum().backward()).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{at}: {gradient:?}");
            assert_eq!(gradient[0] > 0.1, at < 0.0, "{at}: {gradient:?}");
        }
    }

    #[test]
    fn what_is_left_out_has_no_share_and_no_gradient() {
        let device = Device::flex().autodiff();
        let logits = [[[50.0, 3_f32.ln(), 0.0], [1.0, 2.0, 3.0]]];
        let logits = Tensor::<3>::from_floats(logits, &device).require_grad();
        let mask = [[[true, false, false], [true, true, true]]];
        let left_out = Tensor::<3, Bool>::from_data(TensorData::from(mask), &device.inner());
        let shares = without(logits.clone(), left_out);
        close(&values(shares.clone()), &[0.0, 0.75, 0.25, 0.0, 0.0, 0.0]);
        let gradient = values(logits.grad(&shares.narrow(2, 1, 1).sum().backward()).unwrap());
        close(&gradient, &[0.0, 0.1875, -0.1875, 0.0, 0.0, 0.0]);
    }
}
