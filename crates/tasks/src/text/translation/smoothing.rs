//! Cross-entropy with smoothed labels.
//!
//! Szegedy et al. *Rethinking the Inception Architecture for Computer Vision*. CVPR 2016.
//! <https://arxiv.org/abs/1512.00567>, section 7, as in fairseq:
//!
//! q(v) = 1 - eps for the label, eps / (V - 1) for each other token      (1)
//! loss = - sum_v q(v) log p(v)                                          (2)
//!
//! Differs from the paper, and from the older fairseq of HAT and AutoMoE: there eps is spread over all
//! tokens, and the label's part is eps / V.

use burn::prelude::*;

use crate::cross_entropy;

/// The loss (2) for scores `[B, T, V]` and labels `[B, T]`: `[B * T]`, in nats.
pub(super) fn smoothed(output: Tensor<3>, labels: Tensor<2, Int>, eps: f64) -> Tensor<1> {
    let [b, t, v] = output.dims();
    let plain = cross_entropy(output.clone(), labels.clone());
    if eps == 0.0 {
        return plain;
    }
    // log sum exp = plain + the label's score, so the sum of -log p is V times that less all scores.
    let scores = output.reshape([b * t, v]);
    let own = scores.clone().gather(1, labels.reshape([b * t, 1])).squeeze_dim::<1>(1);
    let all = (plain.clone() + own) * v as f64 - scores.sum_dim(1).squeeze_dim::<1>(1);
    let share = eps / (v as f64 - 1.0);
    plain * (1.0 - eps - share) + all * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smoothed_loss_by_hand() {
        let device = Device::flex();
        let output = Tensor::<3>::from_floats([[[0.0, 2_f32.ln(), 5_f32.ln()]]], &device);
        let labels = Tensor::<2, Int>::from_ints([[1]], &device);
        let loss = |eps| smoothed(output.clone(), labels.clone(), eps).into_scalar::<f32>();
        // p = 1/8, 2/8, 5/8; with eps = 0.2 the others have 0.1 each.
        let expected = -(0.1 * (1.0_f32 / 8.0).ln() + 0.8 * 0.25_f32.ln() + 0.1 * 0.625_f32.ln());
        assert!((loss(0.2) - expected).abs() < 1e-6, "{}", loss(0.2));
        assert!((loss(0.0) - 4_f32.ln()).abs() < 1e-6);
    }
}
