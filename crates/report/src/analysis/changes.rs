//! The expert change rate: the share of (unit, expert) assignments that are not those of the trace
//! before.
//!
//! ECR(t) = 1 - sum_u |E_u(t) ∩ E_u(t-1)| / sum_u |E_u(t)|,  E_u the experts of unit u
//!
//! Nguyen et al. *LibMoE: A Library for Comprehensive Benchmarking Mixture of Experts in Large Language
//! Models*. 2024. <https://arxiv.org/abs/2411.00918>
//!
//! Not to be confused with: the switch rate, which uses first choices only.

use crate::trace::Layer;

/// The expert change rate between two states of a layer; 0 if no unit has an expert.
pub fn changes(before: &Layer, after: &Layer) -> f64 {
    let (mut kept, mut all) = (0.0, 0.0);
    for (before, after) in before.units().zip(after.units()) {
        let known = |expert: &usize| before.iter().any(|(other, _)| other == expert);
        kept += after.iter().filter(|(expert, _)| known(expert)).count() as f64;
        all += after.len() as f64;
    }
    if all > 0.0 { 1.0 - kept / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let layers = trace().layers;
        assert_eq!(changes(&layers[0], &layers[0]), 0.0);
        // Every assignment of the later state is also in the earlier one.
        assert_eq!(changes(&layers[0], &layers[1]), 0.0);
        // In the other direction three of seven are: units 0, 1 and 2 keep one expert each.
        assert!((changes(&layers[1], &layers[0]) - 4.0 / 7.0).abs() < 1e-12);
    }
}
