//! Saturation: the share of the final routing that is reached at a step.
//!
//! saturation(t) = 1/N sum_u |E_u(t) ∩ E_u(T)| / |E_u(T)|,  E_u the experts of unit u, T the last step
//!
//! Muennighoff et al. *OLMoE: Open Mixture-of-Experts Language Models*. 2024, section 5.1.
//! <https://arxiv.org/abs/2409.02060>

use crate::trace::Layer;

/// The saturation of a layer relative to its last state; units without an expert in the last state
/// are left out.
pub fn saturation(then: &Layer, last: &Layer) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for (then, last) in then.units().zip(last.units()).filter(|(_, last)| !last.is_empty()) {
        let kept = last.iter().filter(|(expert, _)| then.iter().any(|(e, _)| e == expert)).count();
        sum += kept as f64 / last.len() as f64;
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let layers = trace().layers;
        assert_eq!(saturation(&layers[0], &layers[0]), 1.0);
        // Units 0 and 1 keep expert 0, unit 2 keeps expert 1; unit 3 has no expert in the last state.
        assert_eq!(saturation(&layers[0], &layers[1]), 1.0);
        // In the other direction: half of units 0 and 1, all of 2, nothing of 3.
        assert_eq!(saturation(&layers[1], &layers[0]), (0.5 + 0.5 + 1.0 + 0.0) / 4.0);
    }
}
