//! Entropies of routing, normalised to at most 1: 0 is one expert, 1 is a uniform distribution.
//!
//! choice  H_c = mean_u ( - sum_i w_ui log w_ui ) / log E,  w the weights of a unit, made to sum to 1
//! weights H_w = the same over log K, K the choices of the unit: 1 if they count alike
//! load    H_l = - sum_i p_i log p_i / log E,               p the shares of the load
//!
//! Zoph et al. *ST-MoE: Designing Stable and Transferable Sparse Expert Models*. 2022.
//! <https://arxiv.org/abs/2202.08906> (entropy of the router's choices over training and tokens)
//! Nguyen et al. *LibMoE*. 2024. <https://arxiv.org/abs/2411.00918> (H_l, H_w)

use super::load;
use crate::trace::Layer;

/// H_c, over the units that have an expert. Negative weights count by their absolute value.
pub fn choice_entropy(layer: &Layer) -> f64 {
    mean_entropy(layer, |_| Some(layer.n_experts))
}

/// H_w, over the units that have several experts; 0 if there are none.
pub fn weight_entropy(layer: &Layer) -> f64 {
    mean_entropy(layer, |choices| (choices > 1).then_some(choices))
}

/// The mean entropy of the units' weights, relative to that of `of(K)` equal weights, with K the number of
/// choices of the unit; units for which `of` returns none are left out.
fn mean_entropy(layer: &Layer, of: impl Fn(usize) -> Option<usize>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for unit in layer.units().filter(|unit| !unit.is_empty()) {
        let Some(most) = of(unit.len()) else { continue };
        let weights: Vec<f64> = unit.iter().map(|(_, weight)| weight.abs()).collect();
        sum += relative(&weights, most);
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { 0.0 }
}

/// H_l.
pub fn load_entropy(layer: &Layer) -> f64 {
    relative(&load(layer).per_expert, layer.n_experts)
}

/// The entropy of shares, relative to that of n equal shares.
pub(crate) fn relative(amounts: &[f64], n: usize) -> f64 {
    let total: f64 = amounts.iter().sum();
    if n < 2 || total <= 0.0 {
        return 0.0;
    }
    let shares = amounts.iter().map(|amount| amount / total).filter(|share| *share > 0.0);
    -shares.map(|share| share * share.ln()).sum::<f64>() / (n as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let trace = trace();
        let h = |p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
        let expected = (h(0.75) + h(0.5) + 0.0 + h(0.75)) / 4.0 / 3_f64.ln();
        assert!((choice_entropy(&trace.layers[0]) - expected).abs() < 1e-9);
        assert_eq!(choice_entropy(&trace.layers[1]), 0.0);
        // Unit 2 has one expert; the other units have weights of (3 : 1), (1 : 1) and (3 : 1).
        let expected = (h(0.75) + h(0.5) + h(0.75)) / 3.0 / 2_f64.ln();
        assert!((weight_entropy(&trace.layers[0]) - expected).abs() < 1e-9);
        assert_eq!(weight_entropy(&trace.layers[1]), 0.0);
        let loads = -(2.0 * 3.0 / 7.0 * (3.0_f64 / 7.0).ln() + 1.0 / 7.0 * (1.0_f64 / 7.0).ln());
        assert!((load_entropy(&trace.layers[0]) - loads / 3_f64.ln()).abs() < 1e-9);
    }
}
