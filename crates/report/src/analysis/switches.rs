//! The router switch rate: the share of units whose first expert differs from that in the previous trace.
//!
//! Dai et al. *StableMoE: Stable Routing Strategy for Mixture of Experts*. ACL 2022.
//! <https://arxiv.org/abs/2204.08396> (routing fluctuation)

use crate::trace::Layer;

/// The switch rate between two states of a layer.
pub fn switches(before: &Layer, after: &Layer) -> f64 {
    let (before, after) = (before.first(), after.first());
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    moved as f64 / before.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let layers = trace().layers;
        assert_eq!(switches(&layers[0], &layers[0]), 0.0);
        assert_eq!(switches(&layers[0], &layers[1]), 0.25); // only the last unit: 0 to no one
    }
}
