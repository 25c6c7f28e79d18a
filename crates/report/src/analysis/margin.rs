//! The margin between a unit's first and second choice, as a share of both weights: 0 is a tie, 1 is a single
//! expert. Units with a small margin change their expert when the router changes slightly.
//!
//! margin = mean_u (|w_1| - |w_2|) / (|w_1| + |w_2|)
//!
//! Dai et al. *StableMoE*. ACL 2022. <https://arxiv.org/abs/2204.08396>

use crate::trace::Layer;

/// The mean margin over the units that have an expert.
pub fn margin(layer: &Layer) -> f64 {
    let of = |unit: Vec<(usize, f64)>| {
        let weight = |at: usize| unit.get(at).map_or(0.0, |(_, weight)| weight.abs());
        let (first, second) = (weight(0), weight(1));
        (first + second > 0.0).then(|| (first - second) / (first + second))
    };
    let margins: Vec<f64> = layer.units().filter_map(of).collect();
    margins.iter().sum::<f64>() / margins.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        assert_eq!(margin(&trace().layers[0]), (0.5 + 0.0 + 1.0 + 0.5) / 4.0);
    }
}
