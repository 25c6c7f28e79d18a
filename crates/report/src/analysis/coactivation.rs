//! Co-activation: the share of an expert's units that it shares with another expert.
//!
//! coactivation(i, j) = N_ij / N_i                        (Muennighoff et al., section 5.2)
//!
//! N_ij: units that both experts work on; N_i: units that expert i works on.
//!
//! Muennighoff et al. *OLMoE: Open Mixture-of-Experts Language Models*. 2024.
//! <https://arxiv.org/abs/2409.02060>

use crate::trace::Layer;

/// The matrix of co-activation, with row i and column j; 0 for experts without units.
pub fn coactivation(layer: &Layer) -> Vec<Vec<f64>> {
    let mut both = vec![vec![0.0; layer.n_experts]; layer.n_experts];
    for unit in layer.units() {
        for (i, _) in &unit {
            unit.iter().for_each(|(j, _)| both[*i][*j] += 1.0);
        }
    }
    for (i, row) in both.iter_mut().enumerate() {
        let own = row[i];
        row.iter_mut().for_each(|n| *n = if own > 0.0 { *n / own } else { 0.0 });
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let third = 1.0 / 3.0;
        let expected =
            [[1.0, 2.0 * third, third], [2.0 * third, 1.0, 0.0], [1.0, 0.0, 1.0]].map(Vec::from);
        assert_eq!(coactivation(&trace().layers[0]), expected);
    }
}
